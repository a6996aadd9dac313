import { after } from "node:test";
import { createProver, type Prover } from "../../src/prover/prover.ts";

let shared: Promise<Prover> | undefined;

// Registered at import, outside any test: inside one it would run at that test's end.
after(async () => (await shared)?.close());

/** One warm prover for all tests of a file. It is closed after the last of them, so that the process can end. */
export function sharedProver(): Promise<Prover> {
  shared ??= createProver();
  return shared;
}
