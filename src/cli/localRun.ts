import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { z } from "zod";
import { type OwnProcess, startOwnProcess } from "../chain/ownProcess.ts";
import { LOCAL_MARKETS, type LocalDay, dayOfMinutes, parseMarkets } from "../clearing/localMarkets.ts";
import {
  homeDirectory,
  listNetworks,
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

/** Runs a local network until Ctrl-C. Throws what starting one throws, and LocalNetworkEnded. */
export async function runLocal(options: LocalOptions): Promise<void> {
  const ending = awaitEnding();
  // The chain and the exchange do not keep this process alive.
  const awake = setInterval(() => undefined, 60_000);
  try {
    const running = await start(options, ending.signal);
    const bots = running === undefined ? undefined : startBots(running.network, options);
    try {
      process.exitCode = await (running === undefined ? ending.code : Promise.race([ending.code, running.failed]));
    } finally {
      if (options.json !== true) process.stderr.write("\nEnding the exchange and the chain ...\n");
      await bots?.();
      await running?.stop();
    }
  } finally {
    clearInterval(awake);
    ending.close();
  }
}

const COMMAND = resolve(import.meta.dirname, "main.ts");
const BOTS_FILE = resolve(import.meta.dirname, "../../scripts/examples/bots.json");
/** Each bot proves before it quotes. Milliseconds. */
const BOTS_MS = 300_000;

/** Starts bots, where they are wanted, as a process of their own. Returns how to end them. */
function startBots(network: Network, options: LocalOptions): (() => Promise<void>) | undefined {
  const { bots: file = options.withBots === true ? BOTS_FILE : undefined, json } = options;
  if (file === undefined) return undefined;
  const say = (line: string): void => {
    if (json !== true) process.stderr.write(`${line}\n`);
  };
  say("\nThe bots get ready: each opens an account first ...");
  const starting = startOwnProcess({
    program: COMMAND,
    args: [
      ...["bots", "--json", "--config", resolve(file)],
      ...["--home", resolve(homeDirectory(options.home)), "--network", network.name],
    ],
    timeoutMs: BOTS_MS,
    announcement: (printed) => (printed.includes('"bots":') ? true : undefined),
  });
  let bots: OwnProcess<true> | undefined;
  starting.then(
    (started) => {
      bots = started;
      say("The bots trade.");
    },
    (error: unknown) => {
      say(error instanceof Error ? error.message : String(error));
    },
  );
  // What they have open ends with the chain: there is nothing to bring back in order.
  return async () => bots?.end("SIGKILL");
}

/** Undefined: it was interrupted meanwhile. */
async function start(options: LocalOptions, signal: AbortSignal): Promise<LocalNetwork | undefined> {
  const parsed = parsedOptions(options);
  const { json = false } = options;
  const say = (line: string): void => {
    if (!json) process.stdout.write(`${line}\n`);
  };
  const markets =
    options.markets === undefined
      ? LOCAL_MARKETS
      : parseMarkets(readFileSync(options.markets, "utf8"), options.markets);
  say("Starting a chain, a clearing house and an exchange on this machine ...");
  const running = await startLocalNetwork({
    name: parsed.name,
    day: dayOf(parsed),
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
  else say(await welcome(running, isChosen, options.withBots === true || options.bots !== undefined));
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

async function welcome({ network, local }: LocalNetwork, isChosen: boolean, withBots: boolean): Promise<string> {
  const { closingTime } = await local.chain.house.read.epochOf([1]);
  const [first] = local.markets;
  const contract = contractName(first?.contractId ?? "0x").replaceAll(" ", "-");
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
  const option = isChosen ? "" : ` --network ${network.name}`;
  const price = formatAmount((first?.listingPrice ?? 0n) + (first?.priceLimit ?? 0n) / 2n, network.decimals, true);
  return `
chain           ${network.chain}  (number ${network.chainId})
clearing house  ${network.clearingHouse}
exchange        ${network.exchange}
network         "${network.name}"${isChosen ? ", which is the chosen one" : `: hedgerow network use ${network.name} chooses it`}
day 1           closes at ${timeOf(closingTime)}

${table(columns, rows)}

From nothing to a filled, private order, in another terminal:
  hedgerow wallet new
  hedgerow deposit 100000 --faucet${option}
  hedgerow book ${contract}${option}
  hedgerow buy 1 ${contract} ${withBots ? "--market" : `--limit ${price}`}${option}
  hedgerow balance${option}
${withBots ? "" : "\nThe book is empty: hedgerow local --with-bots starts with bots that make a market.\n"}
The chain lives in memory: what happens here is forgotten when this ends. Ctrl-C ends it.`;
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
