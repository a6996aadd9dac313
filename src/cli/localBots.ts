import { fork } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import type { MarketTerms } from "../chain/deploy.ts";
import { botsOf, type CrowdConfig, parseCrowdConfig } from "../trader/bots/config.ts";
import { comparable, contractName } from "../trader/markets.ts";
import { WrongUsage } from "./failure.ts";

/** The bots of a local network: who they are, and in which market the book has two sides because of them. */
export type LocalBotsPlan = {
  readonly file: string;
  readonly config: CrowdConfig;
  readonly market: MarketTerms | undefined;
};

/** Bots beside a local network: a process of their own, with wallets of their own in the home directory. */
export type LocalBots = {
  /** Lets them cancel their quotes and close their tickets, and waits until they are gone. */
  end(): Promise<void>;
  /** They leave their tickets open, and go. */
  hurry(): void;
};

const COMMAND = resolve(import.meta.dirname, "main.ts");
const EXAMPLE = resolve(import.meta.dirname, "../../scripts/examples/bots.json");
/** How long they may take to bring their tickets back; the command itself gives up a little before. Milliseconds. */
const CLOSING_MS = 75_000;
const KEPT_OUTPUT = 4_000;

/**
 * Reads who the bots are: those of a file, or the example. Throws BadBotConfig, what reading the file throws, and
 * WrongUsage for a market that is not listed.
 */
export function planBots(named: string | undefined, markets: readonly MarketTerms[]): LocalBotsPlan {
  const file = resolve(named ?? EXAMPLE);
  const config = parseCrowdConfig(readFileSync(file, "utf8"));
  const bots = botsOf(config).map(({ strategy, market }) => ({ strategy, terms: marketOf(market ?? config.market) }));
  const maker = bots.find(({ strategy }) => strategy === "marketMaker");
  return { file, config, market: maker?.terms };

  function marketOf(text: string): MarketTerms {
    const wanted = comparable(text);
    const found =
      markets.find(({ contractId }) => comparable(contractName(contractId)) === wanted) ??
      markets.find((_, slot) => String(slot) === wanted);
    if (found !== undefined) return found;
    const names = markets.map(({ contractId }) => contractName(contractId)).join(", ");
    throw new WrongUsage(`the bots of ${file} trade in "${text}"`, `name one of ${names}, or a slot number`);
  }
}

const lineSchema = z.union([
  z.object({
    bots: z.array(z.object({ name: z.string(), state: z.string(), quotes: z.int(), problem: z.string().nullish() })),
  }),
  z.object({ summary: z.object({ fills: z.int(), openTickets: z.int() }) }),
]);
const failureSchema = z.object({ error: z.object({ code: z.string(), message: z.string() }) });

/**
 * Starts the bots. `tell` hears when they quote, `warn` of each that fails, and if all of them end by themselves; the
 * network goes on without them. They end with this process, however it ends.
 */
export function startLocalBots(
  { file }: LocalBotsPlan,
  where: { readonly home: string; readonly network: string },
  { tell, warn }: { readonly tell: (line: string) => void; readonly warn: (line: string) => void },
): LocalBots {
  const child = fork(
    COMMAND,
    ["bots", "--json", "--config", file, "--home", resolve(where.home), "--network", where.network],
    {
      execArgv: ["--import", import.meta.resolve("../chain/endWithParent.ts")],
      stdio: ["ignore", "pipe", "pipe", "ipc"],
      // Its own process group: Ctrl-C reaches this process only, which ends the bots before the exchange.
      detached: true,
    },
  );
  let errors = "";
  child.stderr?.on("data", (chunk: Buffer) => {
    errors = (errors + chunk.toString("utf8")).slice(-KEPT_OUTPUT);
  });
  let quoting = false;
  let isEnding = false;
  const failed = new Set<string>();
  const read = (line: string): void => {
    const parsed = lineSchema.safeParse(jsonOf(line));
    if (!parsed.success) return;
    if ("summary" in parsed.data) {
      const { fills, openTickets } = parsed.data.summary;
      const left =
        openTickets === 0
          ? "all tickets are closed"
          : openTickets === 1
            ? "1 ticket is left open"
            : `${openTickets} tickets are left open`;
      tell(`The bots have ended: ${fills} fills, ${left}.`);
      return;
    }
    const { bots } = parsed.data;
    if (!quoting && bots.some(({ quotes }) => quotes > 0)) {
      quoting = true;
      tell("The bots quote.");
    }
    for (const { name, state, problem } of bots) {
      if (state !== "failed" || failed.has(name)) continue;
      failed.add(name);
      warn(`Bot ${name} has failed: ${problem ?? "no reason given"}`);
    }
  };
  if (child.stdout !== null) createInterface(child.stdout).on("line", read);
  const gone = once(child, "close").then(
    ([code, signal]: readonly unknown[]) => {
      if (!isEnding) warn(`The bots have ended by themselves (${String(signal ?? code)}): ${lastWordsOf(errors)}`);
    },
    (error: unknown) => warn(`The bots did not start: ${String(error)}`),
  );
  tell("\nThe bots get ready: each opens an account first ...");
  return {
    end: async () => {
      isEnding = true;
      child.kill("SIGINT");
      const cut = new AbortController();
      const late = sleep(CLOSING_MS, undefined, { signal: cut.signal }).then(
        () => child.kill("SIGKILL"),
        () => undefined,
      );
      await gone;
      cut.abort();
      await late;
    },
    // The first one may have come while it could not be heeded: then nothing is left that closes in order.
    hurry: () => void child.kill("SIGINT"),
  };
}

/** What a command with --json says of its failure, or all that it said. */
function lastWordsOf(errors: string): string {
  const lines = errors.trim().split("\n");
  for (const line of lines.toReversed()) {
    const parsed = failureSchema.safeParse(jsonOf(line));
    if (parsed.success) return `${parsed.data.error.message} [${parsed.data.error.code}]`;
  }
  return errors.trim() === "" ? "they said nothing" : errors.trim();
}

function jsonOf(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
