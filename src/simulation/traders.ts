import type { ChainState } from "../chain/chainState.ts";
import type { EpochMarket } from "../protocol/epoch.ts";
import { hash3 } from "../protocol/hash.ts";
import { keysOfSpendingKey } from "../protocol/keys.ts";
import { HedgerowError } from "../protocol/errors.ts";
import type { Prover } from "../prover/prover.ts";
import { TraderAccount } from "../trader/account.ts";
import type { Chance } from "./chance.ts";

/** How a trader lives: every day on the market, now and then, or never. Makers are active ones that take any side. */
export type TraderClass = "maker" | "active" | "retail" | "asleep";

/** Somebody with an account that nobody else can look into, and with money outside of it. */
export type Trader = {
  readonly number: number;
  /** How it lives at the moment: a sleeper that woke is a retail trader until it sleeps again. */
  kind: TraderClass;
  readonly sleeper: boolean;
  readonly account: TraderAccount;
  /** Margin that it keeps per contract, in hundredths of the initial margin. */
  readonly caution: bigint;
  /** In how many of a thousand margin calls it is there and willing to pay. */
  readonly discipline: number;
  /** What it has outside of the clearing house, base units. */
  wealth: bigint;
};

/** Too few traders for the markets of a series. */
export class TooFewTraders extends HedgerowError {
  constructor(traders: number, least: number) {
    super("TooFewTraders", `${traders} traders, but these markets need ${least} or more: two makers each, and others`, {
      traders,
      least,
    });
  }
}

/** Makers of one market. */
export const MAKERS = 2;

/** What each class begins with, in margins of one contract: in the account, and outside of it. */
const STAKES: Readonly<Record<TraderClass, readonly [account: [number, number], outside: [number, number]]>> = {
  maker: [
    [3_000, 3_000],
    [3_000, 3_000],
  ],
  active: [
    [15, 60],
    [5, 60],
  ],
  retail: [
    [2, 6],
    [0, 3],
  ],
  asleep: [
    [1, 3],
    [1, 3],
  ],
};

/** The classes of traders in a row: two in ten are active, five retail, three asleep. */
const ROW: readonly TraderClass[] = [
  "active",
  "retail",
  "asleep",
  "retail",
  "retail",
  "active",
  "asleep",
  "retail",
  "retail",
  "asleep",
];

/** The class of a trader in a simulation with so many makers. */
export function classOf(number: number, makers: number): TraderClass {
  return number < makers ? "maker" : (ROW[(number - makers) % ROW.length] ?? "retail");
}

/** Everything about a trader that is settled at the beginning, and what it first puts into its account. */
export async function newTrader(
  number: number,
  kind: TraderClass,
  seed: number,
  margin: bigint,
  chance: Chance,
  { chain, prover }: { readonly chain: ChainState; readonly prover: Pick<Prover, "prove"> },
): Promise<{ readonly trader: Trader; readonly stake: bigint }> {
  const keys = keysOfSpendingKey(hash3(SIMULATED, BigInt(seed), BigInt(number)));
  const account = await TraderAccount.open({ keys, chain, prover });
  const [inside, outside] = STAKES[kind];
  const stake = margin * BigInt(chance.between(inside[0], inside[1]));
  const trader: Trader = {
    number,
    kind,
    sleeper: kind === "asleep",
    account,
    caution: BigInt(kind === "maker" ? 200 : chance.between(102, chance.happens(600) ? 130 : 300)),
    discipline: kind === "maker" ? 1_000 : kind === "active" ? 950 : chance.between(400, 900),
    wealth: margin * BigInt(chance.between(outside[0], outside[1])),
  };
  return { trader, stake };
}

const SIMULATED = 0x73696d756c617465n;

/** Whether an account's seat can act in the present epoch. */
export function isPresent({ account }: Trader): boolean {
  const { status } = account;
  return status.status === "active" && status.epoch === account.chain.epoch;
}

/** What the account is worth at the centre prices, without tickets. */
export function worthOf({ account }: Trader, markets: readonly EpochMarket[]): bigint {
  return account.account.positions.reduce(
    (sum, position, slot) => sum + position * (markets[slot]?.centre ?? 0n),
    account.account.cash,
  );
}

/** What a trader wants to do today: contracts bought (sold below zero) in one slot, early in the day or at its end. */
export type Wish = { readonly slot: number; readonly quantity: bigint; readonly early: boolean };

/** On how many of a thousand days a trader looks for a trade; on the first day all that are awake do. */
const ACTS: Readonly<Record<TraderClass, number>> = { maker: 0, active: 700, retail: 150, asleep: 0 };

/** What a trader that is no maker wants today, by class and chance; undefined if nothing. */
export function wishOf(
  trader: Trader,
  markets: readonly EpochMarket[],
  tradable: readonly number[],
  chance: Chance,
): Wish | undefined {
  const { kind, account, caution } = trader;
  const acts = chance.happens(ACTS[kind]) || account.chain.epoch === 1;
  const slot = chance.pick(tradable);
  const early = chance.happens(400);
  const draw = chance.between(20, 100) * (chance.happens(500) ? 1 : -1);
  const market = slot === undefined ? undefined : markets[slot];
  if (!acts || slot === undefined || market === undefined) return undefined;
  const held = account.account.positions[slot] ?? 0n;
  const others = account.account.positions.reduce(
    (sum, position, m) => (m === slot ? sum : sum + magnitude(position) * (markets[m]?.initialMargin ?? 0n)),
    0n,
  );
  const free = worthOf(trader, markets) - (others * caution) / 100n;
  const most = free > 0n ? (free * 100n) / (market.initialMargin * caution) : 0n;
  // Nearly as far as the account allows, in one direction or the other; in a market that ends, out of it.
  const target = market.closingOnly ? 0n : (most * BigInt(draw)) / 100n;
  const quantity = target - held;
  return quantity === 0n ? undefined : { slot, quantity, early };
}

/** |x| */
export function magnitude(x: bigint): bigint {
  return x < 0n ? -x : x;
}
