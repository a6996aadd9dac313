/** A program that proves once and ends by itself; the exit test runs it as a process of its own. */
import { createProver } from "../../src/prover/prover.ts";
import { witnessOf } from "../support/transitions.ts";

const prover = await createProver();
const proven = await prover.prove(witnessOf());
console.log((await prover.verify(proven)) ? "verified" : "not verified");
await prover.close();
