import { encodeFunctionData, type GetContractReturnType, getContract, parseAbi, parseEventLogs } from "viem";
import {
  type Chain,
  ChainUnavailable,
  readDayState,
  readMarkets,
  refusalOf,
  type Sender,
} from "../chain/clearingHouse.ts";
import type { MarketTerms } from "../chain/deploy.ts";
import { isTransient } from "../chain/refusals.ts";
import { type Client, sendCall, type SendOptions } from "../chain/sending.ts";
import { marketRegistryAbi } from "../protocol/abi.ts";
import { HedgerowError } from "../protocol/errors.ts";
import type { Hex } from "../protocol/keys.ts";
import { SLOTS } from "../protocol/note.ts";
import type { SlotState } from "./marketSchedule.ts";

/** A registry as it stands in one block. */
export type RegistryView = {
  readonly address: Hex;
  readonly administrator: Hex;
  /** Seconds from a schedule to its effect. */
  readonly delay: bigint;
  /** Time of the block, unix seconds. */
  readonly now: bigint;
  readonly slots: readonly SlotState[];
};

/** Somebody else governs the registry. */
export class NotAdministrator extends HedgerowError {
  constructor(sender: Hex, administrator: Hex) {
    super(
      "NotAdministrator",
      `the key is that of ${sender}, but only the administrator ${administrator} may schedule terms: give its key`,
      { sender, administrator },
    );
  }
}

/**
 * Reads the registry of a clearing house, and what the house runs, all in the newest block; `fromBlock` is not later than
 * the deployment. Throws ChainUnavailable, ContractRefused.
 */
export async function readRegistry(chain: Chain, fromBlock = 0n): Promise<RegistryView> {
  const { client, house } = chain;
  try {
    const { number: blockNumber, timestamp: now } = await client.getBlock();
    const address = await house.read.registry({ blockNumber });
    const registry = getContract({ address, abi: marketRegistryAbi, client });
    const { epoch, phase } = await readDayState(chain, blockNumber);
    // From the close on the next day's markets are fixed.
    const [markets, administrator, delay, scheduled, inForce] = await Promise.all([
      readMarkets(chain, phase === "window" ? epoch + 1 : epoch, blockNumber),
      registry.read.defaultAdmin({ blockNumber }),
      registry.read.delay({ blockNumber }),
      client.getContractEvents({
        address,
        abi: marketRegistryAbi,
        eventName: "MarketScheduled",
        fromBlock,
        toBlock: blockNumber,
        strict: true,
      }),
      termsInForce(registry, blockNumber),
    ]);
    const slots = inForce.map((terms, slot): SlotState => {
      const newest = scheduled.findLast(({ args }) => args.slot === slot)?.args;
      const market = markets[slot];
      return {
        inForce: terms,
        pending: newest !== undefined && newest.effectiveAt > now ? newest : undefined,
        running: market?.listed === true ? market : undefined,
      };
    });
    return { address, administrator, delay: BigInt(delay), now, slots };
  } catch (error) {
    throw refusalOf(error);
  }
}

function termsInForce(
  registry: GetContractReturnType<typeof marketRegistryAbi, Client>,
  blockNumber: bigint,
): Promise<readonly MarketTerms[]> {
  return Promise.all(Array.from({ length: SLOTS }, (_, slot) => registry.read.termsOf([slot], { blockNumber })));
}

/**
 * Whether a price feed answers at an address: a contract keeps its feed for life, so a slip in it is found before it is
 * listed. Throws ChainUnavailable.
 */
export async function answersAsFeed({ client }: Chain, address: Hex): Promise<boolean> {
  try {
    const feed = { address, abi: FEED_ABI } as const;
    await Promise.all([
      client.readContract({ ...feed, functionName: "decimals" }),
      client.readContract({ ...feed, functionName: "latestRoundData" }),
    ]);
    return true;
  } catch (error) {
    if (isTransient(error)) throw refusalOf(error);
    return false;
  }
}

const FEED_ABI = parseAbi([
  "function decimals() view returns (uint8)",
  "function latestRoundData() view returns (uint80, int256, uint256, uint256, uint80)",
]);

/**
 * Tells the registry the terms of a slot; returns when they take effect, unix seconds. Throws NotAdministrator, and what
 * sendCall throws.
 */
export async function scheduleMarket(
  { client }: Chain,
  sender: Sender,
  { address, administrator }: Pick<RegistryView, "address" | "administrator">,
  slot: number,
  terms: MarketTerms,
  options: SendOptions = {},
): Promise<bigint> {
  if (sender.address.toLowerCase() !== administrator.toLowerCase()) {
    throw new NotAdministrator(sender.address, administrator);
  }
  const data = encodeFunctionData({ abi: marketRegistryAbi, functionName: "scheduleMarket", args: [slot, terms] });
  const { logs } = await sendCall(sender.client ?? client, sender, { to: address, data }, options);
  const [event] = parseEventLogs({ abi: marketRegistryAbi, logs, eventName: "MarketScheduled" });
  if (event === undefined) throw new ChainUnavailable("scheduleMarket", "the receipt carries no event of it");
  return event.args.effectiveAt;
}
