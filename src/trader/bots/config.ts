import { z } from "zod";
import { HedgerowError } from "../../protocol/errors.ts";
import { parseAmount, parsePrice } from "../markets.ts";
import { marketMaker } from "./marketMaker.ts";
import { meanReversion } from "./meanReversion.ts";
import { momentum } from "./momentum.ts";
import { randomTrader } from "./randomTrader.ts";
import { type Brain, brainOf, type RiskLimits } from "./risk.ts";

/*
 * The file that describes a crowd of bots. Distances are ticks, quantities whole contracts, times seconds, amounts and
 * prices collateral units with a decimal point, as people write them.
 */

const contracts = z.int().min(1).max(1_000_000);
const ticks = z.number().min(0).max(1_000_000);
const wholeTicks = z.int().min(0).max(1_000_000);
const seconds = z.number().min(0.05).max(86_400);
const share = z.number().min(0).max(1);
const amount = z.string().regex(/^\d+(\.\d+)?$/, 'expected an amount as "25000" or "25000.50"');
const price = z.string().regex(/^-?\d+(\.\d+)?$/, 'expected a price as "34250" or "-3.50"');

const common = {
  name: z.string().regex(/^[a-z0-9][a-z0-9-]{0,23}$/, "expected up to 24 small letters, digits and hyphens"),
  /** So many bots alike: their names get a number. */
  count: z.int().min(1).max(200).default(1),
  /** Cash that the bot has at the beginning. */
  stake: amount,
  /** Market by name or slot; that of the file if left out. */
  market: z.string().min(1).optional(),
  maxPosition: contracts.default(10),
  /** Commands a second. */
  ordersPerSecond: z.number().min(0.1).max(1_000).optional(),
  /** The exchange cancels everything if the bot is silent for so long; 0: it does not. */
  heartbeatSeconds: z.int().min(0).max(3_600).default(30),
  /** From so long before the close on nothing rests. */
  stopBeforeClose: z.number().min(0).max(86_400).default(30),
};

const botSchema = z.discriminatedUnion("strategy", [
  z.strictObject({
    ...common,
    strategy: z.literal("random"),
    everySeconds: seconds.default(3),
    rangeTicks: wholeTicks.default(6),
    maxQuantity: contracts.default(2),
    lifetimeSeconds: seconds.default(20),
  }),
  z.strictObject({
    ...common,
    strategy: z.literal("meanReversion"),
    windowSeconds: seconds.default(60),
    bandTicks: ticks.default(3),
    quantity: contracts.default(1),
    minTrades: contracts.default(5),
    pauseSeconds: seconds.default(2),
  }),
  z.strictObject({
    ...common,
    strategy: z.literal("momentum"),
    fastSeconds: seconds.default(5),
    slowSeconds: seconds.default(30),
    thresholdTicks: ticks.default(1),
    quantity: contracts.default(1),
    slipTicks: wholeTicks.default(2),
    pauseSeconds: seconds.default(2),
  }),
  z.strictObject({
    ...common,
    strategy: z.literal("marketMaker"),
    fairValue: z.enum(["microPrice", "tradeAverage"]).default("tradeAverage"),
    anchor: price.optional(),
    anchorWeight: share.default(0.1),
    averageSeconds: seconds.default(60),
    widthTicks: z.number().min(1).max(1_000_000).default(4),
    levels: z.int().min(1).max(20).default(2),
    stepTicks: z.int().min(1).max(1_000_000).default(2),
    size: contracts.default(2),
    skewTicks: ticks.default(0.3),
    refreshTicks: ticks.default(1),
    refreshShare: share.default(0.5),
  }),
]);

const configSchema = z.strictObject({
  /** Decides everything that is left to chance. */
  seed: z.int().min(0),
  /** Market of the bots that name none. */
  market: z.string().min(1).default("0"),
  /** Ends by itself after so long; runs on until it is told to end if left out. */
  durationSeconds: z.number().min(1).optional(),
  /** How often a bot looks. */
  stepMs: z.int().min(20).max(60_000).default(250),
  ordersPerSecond: z.number().min(0.1).max(1_000).default(5),
  /** Directory under the home directory that holds the bots' wallets. */
  wallets: z
    .string()
    .regex(/^[a-z0-9][a-z0-9-]{0,31}$/, "expected the name of a directory in the home directory")
    .default("bots"),
  bots: z.array(botSchema).min(1).max(100),
});

export type BotConfig = z.infer<typeof botSchema>;
export type CrowdConfig = z.infer<typeof configSchema>;

/** The file of a crowd is not what it should be. */
export class BadBotConfig extends HedgerowError {
  constructor(where: string, rule: string) {
    super("BadBotConfig", `the bots' configuration is wrong at ${where}: ${rule}; see scripts/examples/bots.json`, {
      where,
      rule,
    });
  }
}

/** Reads the file of a crowd. Throws BadBotConfig, which names the place. */
export function parseCrowdConfig(text: string): CrowdConfig {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // The parser's words would repeat parts of the file, which may be another one than was meant: a password's.
    throw new BadBotConfig("the beginning", "it is no JSON");
  }
  const result = configSchema.safeParse(value);
  if (!result.success) {
    const [issue] = result.error.issues;
    throw new BadBotConfig(issue?.path.join(".") ?? "", issue?.message ?? "not understood");
  }
  const names = botsOf(result.data).map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw new BadBotConfig("bots", `two bots are called "${twice}"`);
  return result.data;
}

/** The bots one by one: those of a count have a number behind their name. */
export function botsOf({ bots }: CrowdConfig): readonly BotConfig[] {
  return bots.flatMap((bot) =>
    bot.count === 1
      ? [bot]
      : Array.from({ length: bot.count }, (_, i) => ({ ...bot, count: 1, name: `${bot.name}-${i + 1}` })),
  );
}

/** A bot's stake in base units. Throws BadAmount. */
export function stakeOf({ stake }: BotConfig, decimals: number): bigint {
  return parseAmount(stake, decimals);
}

/** The strategy of a bot at its start, within its limits. Throws BadAmount for an anchor off the tick. */
export function brainFor(
  bot: BotConfig,
  { tick, decimals }: { readonly tick: bigint; readonly decimals: number },
): Brain {
  const { maxPosition } = bot;
  const limits = (over: Partial<RiskLimits>): RiskLimits => ({
    maxPosition,
    maxQuantity: maxPosition,
    maxOrders: 10,
    stopBeforeClose: bot.stopBeforeClose,
    ...over,
  });
  switch (bot.strategy) {
    case "random":
      return brainOf(randomTrader(bot), limits({ maxQuantity: bot.maxQuantity }));
    case "meanReversion":
      return brainOf(meanReversion(bot), limits({}));
    case "momentum":
      return brainOf(momentum(bot), limits({}));
    case "marketMaker": {
      const { anchor } = bot;
      const anchorTicks = anchor === undefined ? undefined : Number(parsePrice(anchor, decimals, tick) / tick);
      return brainOf(marketMaker({ ...bot, anchorTicks }), limits({ maxOrders: 2 * bot.levels }));
    }
  }
}
