import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { throwIfInterrupted } from "../trader/desk/reach.ts";
import { homeDirectory, type Network } from "../trader/home.ts";
import { formatAmount } from "../trader/markets.ts";
import { EXIT, WrongUsage } from "./failure.ts";
import { untilInterrupted } from "./interrupt.ts";
import { type LocalNetwork, startLocalNetwork } from "./localNetwork.ts";
import { parseOrders } from "./ordersFile.ts";
import { showProgress } from "./progress.ts";
import { assertWritable, writeResult } from "./resultFile.ts";
import type { RunCommandOptions } from "./run.ts";
import { playOrders } from "./runPlay.ts";
import { type Trades, tradesSchema } from "./runReport.ts";
import { openNetwork } from "./session.ts";
import { table } from "./terminal.ts";

/** Long enough for any run on a network of its own. */
const LOCAL_DAY = { trading: 86_400, window: 600 };

const optionsSchema = z.object({
  parallel: z.coerce.number<string>().int("give a whole number").min(1, "give 1 to 64").max(64, "give 1 to 64"),
  seed: z.coerce
    .number<string>()
    .int("give a whole number")
    .min(0, "give 0 to 4294967295")
    .max(0xffff_ffff, "give 0 to 4294967295")
    .optional(),
});

/**
 * Places the orders of a file for all of its clients, and writes what happened, also if the run fails or is interrupted.
 * Throws BadOrders and FileUnwritable before anything else.
 */
export async function runOrders(options: RunCommandOptions): Promise<void> {
  const settings = optionsSchema.safeParse(options);
  if (!settings.success) {
    const [issue] = settings.error.issues;
    throw new WrongUsage(`--${String(issue?.path[0])} is not understood`, issue?.message ?? "look at --help");
  }
  const file = parseOrders(readFileSync(options.orders, "utf8"));
  // Better known now than after an hour of proofs.
  assertWritable(options.tradesOut);
  const progress = showProgress(options.json === true);
  const write = (trades: Trades): void => {
    writeResult(options.tradesOut, `${JSON.stringify(tradesSchema.parse(trades), undefined, 2)}\n`);
    if (trades.status === "complete" || options.json === true) return;
    progress.end();
    console.error(`What happened until the run ended is written to ${options.tradesOut}.`);
  };
  const trades = await untilInterrupted((signal) =>
    onNetwork(options, signal, (network, directory, ending) =>
      playOrders(
        file,
        network,
        directory,
        {
          ...settings.data,
          stake: options.stake,
          keep: options.keep === true,
          linked: options.linked === true,
          signal: ending,
          onProgress: progress.on,
        },
        write,
      ),
    ),
  ).finally(() => progress.end());
  if (options.json === true) console.log(JSON.stringify({ ...trades.summary, tradesOut: options.tradesOut }));
  else console.log(textOf(trades, options.tradesOut));
  if (trades.summary.refused > 0) process.exitCode = EXIT.refused;
}

/** Works on the chosen network, or on one that is started for it, and ended whatever happens. */
async function onNetwork<T>(
  options: RunCommandOptions,
  signal: AbortSignal,
  work: (network: Network, directory: string, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  if (options.local !== true) {
    const network = await openNetwork(options);
    return work(network, options.directory ?? join(homeDirectory(options.home), "runs", network.name), signal);
  }
  const own = options.directory === undefined ? mkdtempSync(join(tmpdir(), "hedgerow-run-")) : undefined;
  let running: LocalNetwork | undefined;
  try {
    running = await startLocalNetwork({ name: "run", day: LOCAL_DAY, batchMs: 250, signal });
    throwIfInterrupted(signal);
    if (running === undefined) throw new RangeError("a network that was not interrupted runs");
    // Work that its network has left ends by itself, so that it can write what happened.
    const left = new AbortController();
    running.failed.catch((error: unknown) => left.abort(error));
    try {
      return await work(running.network, options.directory ?? own ?? "", AbortSignal.any([signal, left.signal]));
    } catch (error) {
      throw left.signal.aborted ? left.signal.reason : error;
    }
  } finally {
    await running?.stop();
    if (own !== undefined) rmSync(own, { recursive: true, force: true });
  }
}

// ------------------------------------------------------------------ text

function textOf({ clients, summary, decimals }: Trades, tradesOut: string): string {
  const right = true;
  const columns = [
    { title: "Client" },
    { title: "#", right },
    { title: "Order" },
    { title: "Status" },
    { title: "Filled", right },
    { title: "Mean price", right },
  ];
  const rows = Object.entries(clients).flatMap(([client, { orders }]) =>
    orders.map(({ index, side, volume, instrument, type, status, filled, averagePrice, refusal }) => [
      client,
      String(index),
      `${side} ${volume} ${instrument}, ${type}`,
      refusal === null ? status : `refused: ${refusal.code}`,
      String(filled),
      averagePrice === null ? "" : formatAmount(BigInt(averagePrice), decimals),
    ]),
  );
  const { orders, refused, trades, contracts, seconds } = summary;
  return (
    `${table(columns, rows)}\n\n${orders} orders of ${summary.clients} clients: ${trades} trades of ${contracts} ` +
    `contracts, ${refused} refused, in ${seconds} s. Written to ${tradesOut}.`
  );
}
