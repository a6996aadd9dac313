import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import { Socket } from "node:net";
import { dirname, join, resolve } from "node:path";
import { HedgerowError } from "../protocol/errors.ts";

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
    const said = output.trim() === "" ? "It printed nothing." : `It printed:\n${output.trim()}`;
    super("LOCAL_NODE", `The local chain did not start: ${reason}. ${said}`, { reason });
  }
}

export interface LocalNodeOptions {
  /** TCP port on 127.0.0.1; a free one by default. */
  readonly port?: number;
  /** How long the start may take, in milliseconds. */
  readonly timeoutMs?: number;
}

const projectRoot = resolve(import.meta.dirname, "../..");
const keptOutput = 20_000;

/**
 * Starts `hardhat node` with the rules of hardhat.config.ts and waits until it answers.
 * The node ends with this process, however this process ends: it watches the channel between the two.
 * It does not keep this process alive either.
 *
 * @throws LocalNodeError when it does not answer in time, with what it printed
 */
export async function startLocalNode({ port = 0, timeoutMs = 60_000 }: LocalNodeOptions = {}): Promise<LocalNode> {
  // Hardhat's own entry, run by this very Node: starting it through npx would take a second longer.
  const hardhat = join(dirname(createRequire(import.meta.url).resolve("hardhat/package.json")), "dist/src/cli.js");
  const child = fork(hardhat, ["node", "--hostname", "127.0.0.1", "--port", String(port)], {
    cwd: projectRoot,
    execArgv: ["--import", import.meta.resolve("./endWithParent.ts")],
    env: { ...process.env, HARDHAT_DISABLE_TELEMETRY: "true", NO_COLOR: "1", FORCE_COLOR: "0" },
    stdio: ["ignore", "pipe", "pipe", "ipc"],
    // Its own process group: Ctrl-C reaches this process only, which can then finish in order before the node goes.
    detached: true,
  });
  const exited = once(child, "exit");
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", (chunk: Buffer) => {
      output = (output + chunk.toString("utf8")).slice(-keptOutput);
    });
  }

  const stop = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.ref();
    child.kill("SIGKILL"); // It holds nothing worth saving.
    await exited;
  };

  try {
    const url = await announcedUrl(child, timeoutMs);
    child.unref();
    child.channel?.unref();
    for (const stream of [child.stdout, child.stderr]) if (stream instanceof Socket) stream.unref();
    return { url, stop };
  } catch (error) {
    await stop();
    throw new LocalNodeError(error instanceof Error ? error.message : String(error), output);
  }
}

/** Resolves with the address that the node prints once it listens; rejects when it ends or time is up before that. */
function announcedUrl(child: ChildProcess, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new Error(`no answer within ${String(timeoutMs)} ms`));
    }, timeoutMs);
    let printed = "";
    const read = (chunk: Buffer): void => {
      printed += chunk.toString("utf8");
      const url = /JSON-RPC server at (http:\/\/[\d.]+:\d+)/.exec(printed)?.[1];
      if (url === undefined) return;
      clearTimeout(timer);
      child.stdout?.off("data", read);
      resolve(url);
    };
    child.stdout?.on("data", read);
    child.once("error", reject);
    // "close" comes after the last output.
    child.once("close", (code, signal) => {
      clearTimeout(timer);
      reject(new Error(`it ended with ${signal ?? `exit code ${String(code)}`}`));
    });
  });
}
