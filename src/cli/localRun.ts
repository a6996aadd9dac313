import { readFileSync } from "node:fs";
import { z } from "zod";
import type { MarketTerms } from "../chain/deploy.ts";
import { LOCAL_MARKETS, type LocalDay, dayOfMinutes, parseMarkets } from "../clearing/localMarkets.ts";
import {
  homeDirectory,
  listNetworks,
  listWallets,
  type Network,
  networkSchema,
  readSettings,
  writeNetwork,
  writeSettings,
} from "../trader/home.ts";
import { contractName, formatAmount } from "../trader/markets.ts";
import { awaitEnding } from "./ending.ts";
import { WrongUsage } from "./failure.ts";
import type { LocalOptions } from "./local.ts";
import { type LocalBotsPlan, planBots, startLocalBots } from "./localBots.ts";
import { type LocalNetwork, startLocalNetwork } from "./localNetwork.ts";
import { table } from "./terminal.ts";

const whole = (least: number, most: number, rule: string) =>
  z
    .string()
    .regex(/^\d{1,9}$/, rule)
    .transform(Number)
    .refine((value) => value >= least && value <= most, rule);

const port = whole(0, 65_535, "give a port from 0 to 65535").optional();
const optionsSchema = z.looseObject({
  name: networkSchema.shape.name,
  portChain: port,
  port,
  tradingTime: whole(10, 604_800, "give 10 to 604800 seconds").optional(),
  window: whole(4, 86_400, "give 4 to 86400 seconds").optional(),
  dayMinutes: z
    .string()
    .regex(/^\d{1,5}(\.\d{1,3})?$/, "give minutes, as 5 or 0.5")
    .transform(Number)
    .refine((minutes) => minutes >= 0.5 && minutes <= 10_080, "give 0.5 to 10080 minutes")
    .optional(),
  batchMs: whole(1, 600_000, "give 1 to 600000 milliseconds").optional(),
});

const DEFAULT_DAY: LocalDay = { trading: 21_600, window: 600 };

/** What `hedgerow local --json` prints as its one line. */
export const localSchema = z.strictObject({
  network: networkSchema,
  token: z.string(),
  registry: z.string(),
  markets: z.array(z.strictObject({ slot: z.int(), contract: z.string(), listingPrice: z.string() })),
  home: z.string(),
  isChosen: z.boolean(),
});

/** What is started, once all options are understood. */
type Plan = {
  readonly parsed: z.infer<typeof optionsSchema>;
  readonly day: LocalDay;
  readonly markets: readonly MarketTerms[];
  readonly bots: LocalBotsPlan | undefined;
};

/**
 * Runs a local network until Ctrl-C, with bots if they are wanted. Throws what starting one throws, LocalNetworkEnded,
 * and before anything is started WrongUsage, BadMarkets, BadBotConfig.
 */
export async function runLocal(options: LocalOptions): Promise<void> {
  const plan = planOf(options);
  const warn = (line: string): void => void process.stderr.write(`${line}\n`);
  const tell = options.json === true ? (): void => undefined : warn;
  const ending = awaitEnding();
  // The chain and the exchange do not keep this process alive.
  const awake = setInterval(() => undefined, 60_000);
  try {
    const running = await start(plan, options, ending.signal);
    if (running === undefined) {
      process.exitCode = await ending.code;
      return;
    }
    const where = { home: homeDirectory(options.home), network: running.network.name };
    const bots = plan.bots === undefined ? undefined : startLocalBots(plan.bots, where, { tell, warn });
    const hurry = (): void => bots?.hurry();
    // Without an exchange they have nothing that they could close.
    running.failed.catch(hurry);
    try {
      process.exitCode = await Promise.race([ending.code, running.failed]);
    } finally {
      process.on("SIGINT", hurry).on("SIGTERM", hurry);
      if (bots !== undefined)
        tell("\nThe bots cancel their quotes and close their tickets; Ctrl-C again does not wait ...");
      await bots?.end();
      tell("\nEnding the exchange and the chain ...");
      await running.stop();
      process.off("SIGINT", hurry).off("SIGTERM", hurry);
    }
  } finally {
    clearInterval(awake);
    ending.close();
  }
}

function planOf(options: LocalOptions): Plan {
  const parsed = parsedOptions(options);
  const markets =
    options.markets === undefined
      ? LOCAL_MARKETS
      : parseMarkets(readFileSync(options.markets, "utf8"), options.markets);
  const withBots = options.withBots === true || options.bots !== undefined;
  return { parsed, day: dayOf(parsed), markets, bots: withBots ? planBots(options.bots, markets) : undefined };
}

/** Undefined: it was interrupted meanwhile. */
async function start(
  { parsed, day, markets, bots }: Plan,
  options: LocalOptions,
  signal: AbortSignal,
): Promise<LocalNetwork | undefined> {
  const { json = false } = options;
  const say = (line: string): void => {
    if (!json) process.stdout.write(`${line}\n`);
  };
  say("Starting a chain, a clearing house and an exchange on this machine ...");
  const running = await startLocalNetwork({
    name: parsed.name,
    day,
    markets,
    signal,
    ...(parsed.portChain !== undefined && { chainPort: parsed.portChain }),
    ...(parsed.port !== undefined && { exchangePort: parsed.port }),
    ...(parsed.batchMs !== undefined && { batchMs: parsed.batchMs }),
    ...(options.directory !== undefined && { directory: options.directory }),
    onDay: {
      onClosed: (epoch, opensAt) => {
        say(`Day ${epoch} is closed; the next one opens at ${timeOf(opensAt)}.`);
      },
      onOpened: (epoch) => {
        say(`Day ${epoch} is open.`);
      },
    },
  });
  if (running === undefined) return undefined;
  const home = homeDirectory(options.home);
  const isChosen = publish(home, running.network);
  if (json) process.stdout.write(`${JSON.stringify(announcementOf(running, home, isChosen))}\n`);
  else say(await welcome(running, bots, { home, isChosen, isNamed: options.home !== undefined }));
  return running;
}

/** Writes the profile, and chooses it where nothing that still exists is chosen. Returns whether it is chosen. */
function publish(home: string, network: Network): boolean {
  writeNetwork(home, network);
  const settings = readSettings(home);
  if (settings.network !== undefined && listNetworks(home).includes(settings.network)) {
    return settings.network === network.name;
  }
  writeSettings(home, { ...settings, network: network.name });
  return true;
}

function announcementOf(
  { network, local }: LocalNetwork,
  home: string,
  isChosen: boolean,
): z.infer<typeof localSchema> {
  const { token, registry } = local.deployed;
  const markets = local.markets.map(({ contractId, listingPrice }, slot) => ({
    slot,
    contract: contractName(contractId),
    listingPrice: listingPrice.toString(),
  }));
  return { network, token, registry, markets, home, isChosen };
}

type Where = { readonly home: string; readonly isChosen: boolean; readonly isNamed: boolean };

async function welcome(
  { network, local }: LocalNetwork,
  bots: LocalBotsPlan | undefined,
  { home, isChosen, isNamed }: Where,
): Promise<string> {
  const { closingTime } = await local.chain.house.read.epochOf([1]);
  const columns = [
    { title: "Slot", right: true },
    { title: "Contract" },
    { title: "Listed at", right: true },
    { title: "Limit +-", right: true },
    { title: "Margin", right: true },
  ];
  const rows = local.markets.map(({ contractId, listingPrice, priceLimit, initialMargin }, slot) => [
    String(slot),
    contractName(contractId),
    formatAmount(listingPrice, network.decimals),
    formatAmount(priceLimit, network.decimals),
    formatAmount(initialMargin, network.decimals),
  ]);
  const inHome = isNamed ? ` --home ${home}` : "";
  const there = `${isChosen ? "" : ` --network ${network.name}`}${inHome}`;
  // Where nobody makes a market, an order rests.
  const { contractId, listingPrice, priceLimit } = bots?.market ?? local.markets[0] ?? NO_MARKET;
  const contract = contractName(contractId).replaceAll(" ", "-");
  const price = formatAmount(listingPrice + priceLimit / 2n, network.decimals, true);
  const steps = [
    // A wallet of an earlier chain will do: to a new chain it is as new.
    ...(listWallets(home).length === 0 ? [`wallet new${inHome}`] : []),
    `deposit 100000 --faucet${there}`,
    `book ${contract}${there}`,
    `buy 1 ${contract} ${bots?.market === undefined ? `--limit ${price}` : "--market"}${there}`,
    `balance${there}`,
  ];
  return `
chain           ${network.chain}  (number ${network.chainId})
clearing house  ${network.clearingHouse}
exchange        ${network.exchange}
network         "${network.name}"${isChosen ? ", which is the chosen one" : `: hedgerow network use ${network.name} chooses it`}
day 1           closes at ${timeOf(closingTime)}

${table(columns, rows)}

From nothing to a filled, private order, in another terminal:
${steps.map((step) => `  hedgerow ${step}`).join("\n")}

${aboutTheBook(bots, contract)}
The chain lives in memory: what happens here is forgotten when this ends.
Ctrl-C ends it.`;
}

const NO_MARKET = { contractId: "0x", listingPrice: 0n, priceLimit: 0n } as const;

function aboutTheBook(bots: LocalBotsPlan | undefined, contract: string): string {
  if (bots?.market !== undefined)
    return `The book of ${contract} has two sides within half a minute,\nas soon as the bots quote.`;
  return "The book is empty: hedgerow local --with-bots starts with bots that make a market.";
}

function dayOf(parsed: z.infer<typeof optionsSchema>): LocalDay {
  const { dayMinutes, tradingTime, window } = parsed;
  if (dayMinutes === undefined) {
    return { trading: tradingTime ?? DEFAULT_DAY.trading, window: window ?? DEFAULT_DAY.window };
  }
  if (tradingTime !== undefined || window !== undefined) {
    throw new WrongUsage("--day-minutes says how long a whole day is", "leave out --trading-time and --window");
  }
  return dayOfMinutes(dayMinutes);
}

function parsedOptions(options: LocalOptions): z.infer<typeof optionsSchema> {
  const result = optionsSchema.safeParse(options);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const name = String(issue?.path[0] ?? "");
  const option = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  const value: unknown = Object.entries(options).find(([key]) => key === name)?.[1];
  throw new WrongUsage(`--${option} is "${String(value)}"`, issue?.message ?? "not understood");
}

function timeOf(seconds: bigint): string {
  return new Date(Number(seconds) * 1_000).toLocaleTimeString("en-GB");
}
