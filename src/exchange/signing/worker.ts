import { Buffer } from "node:buffer";
import { parentPort, workerData } from "node:worker_threads";
import { z } from "zod";
import { keccak256 } from "../../protocol/keccak.ts";
import { type Curve, fastestCurve, nativeCurve, portableCurve } from "./curve.ts";
import { ADDRESS_BYTES, HASH_BYTES, layoutOfRequest, SIGNATURE_BYTES } from "./packing.ts";

// The thread that does all work on the curve, and that alone keeps the operator's key.

const { key, curve: name } = z
  .object({ key: z.instanceof(Uint8Array), curve: z.enum(["native", "portable"]).optional() })
  .parse(workerData);
const curve = await (name === "native" ? nativeCurve() : name === "portable" ? portableCurve() : fastestCurve());

parentPort?.on("message", (request: Uint8Array) => {
  parentPort?.postMessage(answerOf(curve, Buffer.from(request.buffer, request.byteOffset, request.byteLength)));
});

function answerOf({ sign, recover }: Curve, request: Buffer): Uint8Array {
  const layout = layoutOfRequest(request);
  const answer = new Uint8Array(layout.answerBytes);
  for (let i = 0; i < layout.toSign; i++) {
    const at = layout.hashToSign(i);
    const { signature, recovery } = sign(request.subarray(at, at + HASH_BYTES), key);
    answer.set(signature, layout.signature(i));
    answer[layout.signature(i) + SIGNATURE_BYTES - 1] = 27 + recovery;
  }
  for (let i = 0; i < layout.toRecover; i++) {
    const at = layout.recovery(i);
    const signature = at + HASH_BYTES;
    const v = signature + SIGNATURE_BYTES - 1;
    const point = recover(request.subarray(at, signature), request.subarray(signature, v), request.readUInt8(v) - 27);
    if (point === undefined) continue;
    answer.set(keccak256(point.subarray(1)).subarray(HASH_BYTES - ADDRESS_BYTES), layout.address(i));
  }
  return answer;
}
