import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { HedgerowError } from "../protocol/errors.ts";
import { type ProvenStatement, ProverClosed } from "./proof.ts";

/** What the process is asked, and what it answers. */
export type VerifyRequest = { readonly id: number; readonly items: readonly ProvenStatement[] };
export type VerifyAnswer = { readonly id: number; readonly bad: readonly number[] };

/** The verifying process has ended by itself. */
export class VerifierDied extends HedgerowError {
  constructor(code: number | null) {
    super("VerifierDied", `no proof is verified any more, its process ended with ${code}: start the program again`, {
      code: code ?? -1,
    });
  }
}

type Waiting = { readonly resolve: (bad: number[]) => void; readonly reject: (error: Error) => void };

/**
 * Verifies proofs in a process of its own, so that nothing else waits for it: a wrong proof costs as much as a good one,
 * and anybody can send one. (The curve's library does not run in a thread.) The answers are those of Verifier.
 */
export class VerifierProcess {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();
  #requests = 0;
  #ended: Error | undefined;

  private constructor(child: ChildProcess, onFailure: (error: VerifierDied) => void) {
    this.#child = child;
    child.on("message", ({ id, bad }: VerifyAnswer) => {
      this.#waiting.get(id)?.resolve([...bad]);
      this.#waiting.delete(id);
    });
    const died = (code: number | null): void => {
      const error = new VerifierDied(code);
      if (this.#end(error)) onFailure(error);
    };
    child.on("exit", died);
    // What is sent to a process that has just died comes back as an error.
    child.on("error", () => died(child.exitCode));
  }

  /**
   * Starts the process, which reads the committed verifying key. It ends with this one. `onFailure` is called once if it
   * ends without having been closed. Throws VerifierDied.
   */
  static async create(onFailure: (error: VerifierDied) => void = () => undefined): Promise<VerifierProcess> {
    const child = fork(new URL("./verifierMain.ts", import.meta.url), {
      serialization: "advanced",
      execArgv: [],
      // Ctrl-C reaches this process only, which ends the other in its order.
      detached: true,
    });
    const ready = once(child, "message");
    const died = once(child, "exit").then(([code]: unknown[]) => {
      throw new VerifierDied(typeof code === "number" ? code : null);
    });
    died.catch(() => undefined);
    await Promise.race([ready, died]);
    return new VerifierProcess(child, onFailure);
  }

  /** Number of the process. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Positions of the proofs that do not hold, in rising order (spec PRV-4). Throws ProverClosed or VerifierDied. */
  async verifyBatch(items: readonly ProvenStatement[]): Promise<number[]> {
    if (this.#ended !== undefined) throw this.#ended;
    const id = this.#requests++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#child.send({ id, items } satisfies VerifyRequest);
    });
  }

  /** Ends the process; what is under way is rejected with ProverClosed. */
  async close(): Promise<void> {
    if (this.#ended !== undefined) return;
    this.#end(new ProverClosed());
    const exited = once(this.#child, "exit");
    this.#child.kill("SIGKILL"); // It holds nothing worth saving.
    await exited;
  }

  /** Rejects what waits; false where it has ended before. */
  #end(reason: Error): boolean {
    if (this.#ended !== undefined) return false;
    this.#ended = reason;
    for (const { reject } of this.#waiting.values()) reject(reason);
    this.#waiting.clear();
    return true;
  }
}
