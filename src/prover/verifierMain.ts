import { Verifier } from "./verifier.ts";
import type { VerifyAnswer, VerifyRequest } from "./verifierProcess.ts";

// The process behind VerifierProcess: one request after the other, until whoever started it is gone.

process.once("disconnect", () => process.exit(0));
const verifier = await Verifier.create();
let last: Promise<void> = Promise.resolve();

process.on("message", ({ id, items }: VerifyRequest) => {
  last = last.then(async () => {
    const bad = await verifier.verifyBatch(items);
    process.send?.({ id, bad } satisfies VerifyAnswer);
  });
});
process.send?.("ready");
