import type { TransitionWitness } from "../../protocol/transition.ts";
import type { ProvenStatement } from "../../prover/proof.ts";
import type { Prover } from "../../prover/prover.ts";

/** A prover that loads its key when it is first used: most commands prove nothing. */
export type LazyProver = {
  prove(witness: TransitionWitness): Promise<ProvenStatement>;
  /** Begins to load, so that it is warm when it is needed. */
  warm(): void;
  /** Ends its threads, if it has any. */
  close(): Promise<void>;
};

/** A prover that loads nothing before `warm` or the first proof. `prove` throws what loading and proving throw. */
export function lazyProver(): LazyProver {
  let loading: Promise<Prover> | undefined;
  const load = (): Promise<Prover> =>
    (loading ??= import("../../prover/prover.ts").then(({ createProver }) => createProver()));
  return {
    prove: async (witness) => (await load()).prove(witness),
    // Who proves meets the error.
    warm: () => void load().catch(() => undefined),
    close: async () => {
      const prover = await loading?.catch(() => undefined);
      await prover?.close();
    },
  };
}
