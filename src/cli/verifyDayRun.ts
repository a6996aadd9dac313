import type { Hex } from "../protocol/keys.ts";
import { formatAmount } from "../trader/markets.ts";
import { endProofs, readVerifyingKey } from "../verify/proofs.ts";
import { readHistory } from "../verify/readHistory.ts";
import { lastWholeDay, type Question, type Verdict, verifyDays } from "../verify/verdict.ts";
import { WrongUsage } from "./failure.ts";
import { untilInterrupted } from "./interrupt.ts";
import { showProgress } from "./progress.ts";
import { type Io, type JsonOptions, type NetworkOptions, openNetwork } from "./session.ts";
import { parseAddress } from "./values.ts";
import { folded } from "./wrapped.ts";

export type VerifyDayOptions = JsonOptions &
  NetworkOptions & {
    readonly epoch?: string;
    readonly to?: string;
    readonly all?: true;
    readonly chain?: string;
    readonly clearingHouse?: string;
    readonly fromBlock?: string;
    readonly unproven?: true;
  };

/** Where to read from. `decimals` of the collateral, `proxy` as the network has it. */
type Where = {
  readonly url: string;
  readonly clearingHouse: Hex;
  readonly fromBlock: bigint;
  readonly decimals: number;
  readonly proxy: string | undefined;
};

const DECIMALS = 6;
const LINE = 80;

/** `hedgerow verify-day`. Throws ChainContradiction, HistoryUnreadable, DayNotWhole, HouseUnproven. */
export async function runVerifyDay(options: VerifyDayOptions, io: Io): Promise<void> {
  const question = questionOf(options);
  const { url, clearingHouse, fromBlock, decimals, proxy: proxyUrl } = await whereOf(options);
  const proxy = proxyUrl === undefined ? undefined : (await import("../trader/proxy.ts")).proxyAt(proxyUrl);
  const progress = showProgress(options.json === true, io.progress);
  try {
    const verdict = await untilInterrupted(async (signal) => {
      const key = await readVerifyingKey();
      const source = { url, clearingHouse, fromBlock, keyHash: key.hash, ...proxy?.node() };
      const history = await readHistory(source, (text, done, total) => {
        signal.throwIfAborted();
        progress.on({ stage: "syncing", text, done, total });
      });
      const last = question.last ?? lastWholeDay(history);
      const days: Question = { ...question, first: question.first ?? last, last };
      return verifyDays(history, key, days, (done, total) => {
        signal.throwIfAborted();
        // Where lines are not overwritten, ten of them are enough.
        if (io.progress.isTTY !== true && done % Math.ceil(total / 10) !== 0) return;
        progress.on({ stage: "waiting", text: "checking proofs", done, total });
      });
    });
    progress.end();
    tell(verdict, decimals, options, io);
  } finally {
    progress.end();
    proxy?.close();
    await endProofs();
  }
}

/** The days that are asked for, as far as the options name them. */
function questionOf({ epoch, to, all, unproven }: VerifyDayOptions) {
  const flags = { allProofs: all === true, unproven: unproven === true };
  if (all === true) {
    if (epoch !== undefined || to !== undefined) {
      throw new WrongUsage("--all means all days", "leave --epoch and --to out");
    }
    return { ...flags, first: 1, last: undefined };
  }
  const first = epoch === undefined ? undefined : parseDay("--epoch", epoch);
  const last = to === undefined ? first : parseDay("--to", to);
  if (last !== undefined && (first === undefined || last < first)) {
    throw new WrongUsage("--to is before --epoch", "name the earlier day with --epoch and the later with --to");
  }
  return { ...flags, first, last };
}

async function whereOf(options: VerifyDayOptions): Promise<Where> {
  const { chain: url, clearingHouse, fromBlock } = options;
  if (clearingHouse !== undefined && url === undefined) {
    throw new WrongUsage("--clearing-house is given without --chain", "give --chain URL, too");
  }
  const block = fromBlock === undefined ? undefined : parseBlock(fromBlock);
  if (url !== undefined && clearingHouse !== undefined) {
    const address = await parseAddress("--clearing-house", clearingHouse);
    return { url, clearingHouse: address, fromBlock: block ?? 0n, decimals: DECIMALS, proxy: options.proxy };
  }
  const network = await openNetwork(options);
  return {
    url: url ?? network.chain,
    clearingHouse: network.clearingHouse,
    fromBlock: block ?? BigInt(network.fromBlock),
    decimals: network.decimals,
    proxy: network.proxy,
  };
}

function parseDay(option: string, text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new WrongUsage(`${option} is no number of a day`, "give 1, 2, 3 ...");
  return Number(text);
}

function parseBlock(text: string): bigint {
  if (!/^\d{1,15}$/.test(text)) throw new WrongUsage("--from-block is no number of a block", "give 0, 1, 2 ...");
  return BigInt(text);
}

function tell(verdict: Verdict, decimals: number, { json }: JsonOptions, io: Io): void {
  if (json === true) {
    io.print(JSON.stringify(verdict, (_, value: unknown) => (typeof value === "bigint" ? value.toString() : value)));
    return;
  }
  for (const day of verdict.days) io.print(lineOf(day, decimals));
  for (const text of ["Not checked:", ...verdict.notChecked.map((each) => `- ${each}`)]) {
    io.printError(folded(text, LINE));
  }
}

/** The one line of a day. */
function lineOf(day: Verdict["days"][number], decimals: number): string {
  const { epoch, proofs, fills, notes, settlements, totals } = day;
  const tokens = `${formatAmount(totals.tokens - totals.unasked, decimals)} in all buckets`;
  const rest = `${count(fills, "fill")}, ${count(notes, "note")}, ${count(settlements.length, "price")}, ${tokens}`;
  return proofs === undefined
    ? `day ${epoch} replayed, proofs not checked: this house runs the unproven verifier; ${rest}`
    : `day ${epoch} verified: ${count(proofs, "proof")}, ${rest}`;
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}
