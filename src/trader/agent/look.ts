import { createHmac } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { followClock } from "../../chain/chainClock.ts";
import { HedgerowError } from "../../protocol/errors.ts";
import type { EpochMarkets, Phase } from "../../protocol/epoch.ts";
import type { Hex } from "../../protocol/keys.ts";
import type { Account } from "../../protocol/note.ts";
import { isLeftOver, type SeatStatus } from "../accountState.ts";
import type { TraderDesk } from "../desk.ts";
import type { PlannedDay, WindowTerms } from "./plan.ts";

/** What the agent sees when it looks: the chain, the account, and whether the exchange answers. */
export type Look = {
  /** Unix seconds of the chain's clock, and the newest block. */
  readonly now: number;
  readonly block: number;
  readonly day: PlannedDay;
  readonly terms: WindowTerms;
  readonly seat: SeatStatus;
  readonly tickets: readonly { readonly ticketId: Hex; readonly leftOver: boolean }[];
  readonly credits: readonly { readonly creditId: string; readonly amount: bigint }[];
  readonly holdings: Account;
  readonly markets: EpochMarkets;
  readonly nextMarkets: EpochMarkets;
  readonly lastPrices: ReadonlyMap<number, bigint>;
  readonly relayFee: bigint;
  readonly exchangeAnswers: boolean;
  /** The funding address can pay for direct transactions. */
  readonly hasGas: boolean;
};

/** The world around the agent. */
export type Surroundings = {
  /** Throws ChainUnavailable and the like where the node does not answer. */
  look(): Promise<Look>;
  /** A number in [0, 1) for a name: always the same one, and known to nobody else. */
  readonly draw: (name: string) => number;
  close(): void;
};

export type SurroundingsOptions = {
  /** Address that pays for direct transactions. */
  readonly fundingAddress: Hex;
  /** How often the node is asked for its newest block, milliseconds. */
  readonly pollMs?: number;
};

const EXCHANGE_MS = 10_000;
/** Gas of a direct transition with room for a second one. */
const DIRECT_GAS = 2_000_000n;

/** What a desk sees. Throws ChainUnavailable. */
export async function surroundingsOf(
  { account, chain, connections, payer }: TraderDesk,
  { fundingAddress, pollMs = 1_000 }: SurroundingsOptions,
): Promise<Surroundings> {
  const { house, client } = chain.chain;
  const clock = await followClock(chain.chain, { pollMs });
  const terms = await house.read.clearingTerms();
  const lastPrices = new Map<number, bigint>();

  const askExchange = async (): Promise<boolean> => {
    try {
      const markets = await Promise.race([connections.common.fetchMarkets(), silence(EXCHANGE_MS)]);
      for (const { slot, lastPrice } of markets ?? []) {
        if (lastPrice === undefined) lastPrices.delete(slot);
        else lastPrices.set(slot, lastPrice);
      }
      return markets !== undefined;
    } catch (error) {
      if (error instanceof HedgerowError) return false;
      throw error;
    }
  };

  const askGas = async (): Promise<boolean> => {
    // Whoever answers the questions about everybody must not see who asks for this address (spec PRI-13).
    const asked = payer.client ?? client;
    const [balance, price] = await Promise.all([asked.getBalance({ address: fundingAddress }), asked.getGasPrice()]);
    return balance >= DIRECT_GAS * price;
  };

  return {
    look: async () => {
      const answered = askExchange();
      const state = await account.sync();
      const [epoch, hasGas, exchangeAnswers] = await Promise.all([
        house.read.epochOf([chain.epoch]),
        askGas(),
        answered,
      ]);
      return {
        now: Number(clock.now()),
        block: Number(chain.newestBlock.number),
        day: dayOf(chain.epoch, chain.phase, epoch),
        terms,
        seat: account.status,
        tickets: state.tickets.map((ticket) => ({
          ticketId: ticket.ticketId,
          leftOver: isLeftOver(chain, ticket),
        })),
        credits: state.credits.map(({ creditId, amount }) => ({ creditId: creditId.toString(), amount })),
        holdings: account.holdings,
        markets: chain.markets(chain.epoch),
        nextMarkets: chain.phase === "window" ? chain.markets(chain.epoch + 1) : [],
        lastPrices: new Map(lastPrices),
        relayFee: terms.relayFee,
        exchangeAnswers,
        hasGas,
      };
    },
    draw: drawnFrom(account.keys.viewingKey),
    close: () => clock.stop(),
  };
}

type EpochTimes = {
  readonly openedAt: bigint;
  readonly closingTime: bigint;
  readonly closedAt: bigint;
  readonly closedBlock: bigint;
};

function dayOf(epoch: number, phase: Phase, times: EpochTimes): PlannedDay {
  const day = { epoch, openedAt: Number(times.openedAt), closingTime: Number(times.closingTime) };
  // The day may have been closed, or opened, since the chain was read: the next look sees both.
  if (phase === "trading" || times.closedAt === 0n) return { ...day, phase: "trading" };
  return { ...day, phase, closedAt: Number(times.closedAt), closedBlock: Number(times.closedBlock) };
}

/** Numbers that the owner of a key finds again and nobody else foresees. */
export function drawnFrom(viewingKey: bigint): (name: string) => number {
  return (name) => {
    const mac = createHmac("sha256", viewingKey.toString(16)).update(`hedgerow/agent/${name}`).digest();
    return mac.readUIntBE(0, 6) / 2 ** 48;
  };
}

/** Nothing, after a while; it keeps no process alive. */
function silence(ms: number): Promise<undefined> {
  return sleep(ms, undefined, { ref: false });
}
