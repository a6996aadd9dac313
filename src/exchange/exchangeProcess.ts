import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { z } from "zod";
import { type OwnProcess, startOwnProcess } from "../chain/ownProcess.ts";
import { HedgerowError } from "../protocol/errors.ts";
import type { Hex } from "../protocol/keys.ts";

/** How an exchange is run as a process of its own: with the command that an operator uses. */
export type ExchangeProcessOptions = {
  readonly chainUrl: string;
  readonly clearingHouse: Hex;
  readonly operatorKey: Hex;
  /** Gets the journal and the file with the key. */
  readonly directory: string;
  /** 0, the default: any that is free. */
  readonly port?: number;
  readonly batchMs?: number;
  readonly batchSize?: number;
  /** Further options of `hedgerow exchange`. */
  readonly more?: readonly string[];
  readonly timeoutMs?: number;
};

/** An exchange that runs as a process of its own. It ends with this process, and does not keep it alive. */
export type ExchangeProcess = {
  readonly url: string;
  readonly port: number;
  /** Signs the receipts. */
  readonly operator: Hex;
  readonly pid: number;
  /** Resolves when it has ended, however: with its exit code, or the signal's name. */
  readonly ended: Promise<string>;
  /** The end of its log. */
  readonly output: () => string;
  /** Ends it as kill -9 does. */
  kill(): Promise<void>;
  /** Ends it in order. Throws ExchangeEndedBadly where it had to be killed, or had a fault to report. */
  stop(): Promise<void>;
};

/** An exchange that was told to end did not end in order. */
export class ExchangeEndedBadly extends HedgerowError {
  constructor(how: string, output: string) {
    super("ExchangeEndedBadly", `the exchange was told to end, but: ${how}. Its log ends with:\n${output}`, { how });
  }
}

const COMMAND = resolve(import.meta.dirname, "../cli/main.ts");
const STOP_MS = 15_000;

const openingSchema = z.object({ url: z.url(), operator: z.custom<Hex>((value) => typeof value === "string") });

/**
 * Starts `hedgerow exchange` and waits until it is open. Started again in the same directory, it goes on where it was.
 * Throws NotStarted with what it printed.
 */
export async function startExchangeProcess(options: ExchangeProcessOptions): Promise<ExchangeProcess> {
  const { directory, port = 0, batchMs, batchSize, more = [], timeoutMs = 60_000 } = options;
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const key = join(directory, "operator.key");
  await writeFile(key, options.operatorKey, { mode: 0o600 });
  // A file that was there keeps its mode.
  await chmod(key, 0o600);
  const child = await startOwnProcess({
    program: COMMAND,
    args: [
      "exchange",
      ...["--chain", options.chainUrl, "--clearing-house", options.clearingHouse],
      ...["--journal", join(directory, "journal"), "--key", key, "--port", String(port)],
      ...(batchMs === undefined ? [] : ["--batch-ms", String(batchMs)]),
      ...(batchSize === undefined ? [] : ["--batch-size", String(batchSize)]),
      ...more,
    ],
    timeoutMs,
    announcement: (printed) =>
      printed.includes("\n") ? openingSchema.parse(JSON.parse(printed.slice(0, printed.indexOf("\n")))) : undefined,
  });
  const { url, operator } = child.announced;
  return {
    url,
    port: Number(new URL(url).port),
    operator,
    pid: child.pid,
    ended: child.ended,
    output: child.output,
    kill: () => child.end("SIGKILL"),
    stop: () => stopInOrder(child),
  };
}

async function stopInOrder(child: OwnProcess<unknown>): Promise<void> {
  const timer = setTimeout(() => void child.end("SIGKILL"), STOP_MS);
  try {
    await child.end("SIGTERM");
  } finally {
    clearTimeout(timer);
  }
  const how = await child.ended;
  if (how !== "exit code 0") throw new ExchangeEndedBadly(how, child.output());
}
