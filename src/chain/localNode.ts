import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { HedgerowError } from "../protocol/errors.ts";
import { NotStarted, said, startOwnProcess } from "./ownProcess.ts";

/** A development chain that runs as a process of its own. */
export interface LocalNode {
  /** HTTP JSON-RPC endpoint; the same host and port also speak WebSocket. */
  readonly url: string;
  /** Ends the process and resolves when it is gone. May be called more than once. */
  stop(): Promise<void>;
}

/** The local chain did not start, or ended by itself while starting. */
export class LocalNodeError extends HedgerowError {
  constructor(reason: string, output: string) {
    super("LOCAL_NODE", `The local chain did not start: ${reason}. ${said(output)}`, { reason });
  }
}

export interface LocalNodeOptions {
  /** TCP port on 127.0.0.1; a free one by default. */
  readonly port?: number;
  /** How long the start may take, in milliseconds. */
  readonly timeoutMs?: number;
}

const CONFIG = resolve(import.meta.dirname, "localNode.config.ts");

/**
 * Starts `hardhat node` with the rules of hardhat.config.ts and waits until it answers.
 * The node ends with this process, however this process ends, and does not keep it alive.
 *
 * @throws LocalNodeError when it does not answer in time, with what it printed
 */
export async function startLocalNode({ port = 0, timeoutMs = 60_000 }: LocalNodeOptions = {}): Promise<LocalNode> {
  try {
    const node = await startOwnProcess({
      // Hardhat's own entry: starting it through npx would take a second longer.
      program: join(dirname(createRequire(import.meta.url).resolve("hardhat/package.json")), "dist/src/cli.js"),
      args: ["--config", CONFIG, "node", "--hostname", "127.0.0.1", "--port", String(port)],
      env: { HARDHAT_DISABLE_TELEMETRY: "true", NO_COLOR: "1", FORCE_COLOR: "0" },
      timeoutMs,
      announcement: (printed) => /JSON-RPC server at (http:\/\/[\d.]+:\d+)/.exec(printed)?.[1],
    });
    // It holds nothing worth saving.
    return { url: node.announced, stop: () => node.end("SIGKILL") };
  } catch (error) {
    if (error instanceof NotStarted) throw new LocalNodeError(error.reason, error.output);
    throw error;
  }
}
