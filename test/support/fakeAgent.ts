import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { DOLLAR, LEAN_HOG_TERMS } from "../../src/clearing/leanHogs.ts";
import type { EpochMarket } from "../../src/protocol/epoch.ts";
import { Agent, type AgentParts } from "../../src/trader/agent/agent.ts";
import { drawnFrom, type Look } from "../../src/trader/agent/look.ts";
import type { AgentEvent } from "../../src/trader/agent/notify.ts";
import { type Policy, policySchema } from "../../src/trader/agent/policy.ts";
import { memoryTopUps } from "../../src/trader/agent/topUps.ts";
import type { CommandName } from "../../src/trader/commands.ts";
import { epochMarket } from "./epochMarket.ts";

const { listingPrice, lastTradingTime, ...terms } = LEAN_HOG_TERMS;

/** A market of Lean Hogs around a centre. */
export function hogMarket(over: Partial<EpochMarket> = {}): EpochMarket {
  const rest = { settlementPrice: listingPrice, expired: false, closingOnly: false, listed: true };
  return epochMarket({ ...terms, centre: listingPrice, lastTradingTime, ...rest, ...over });
}

/** What an agent sees in the middle of a trading day, with nothing to do. */
export function quietLook(over: Partial<Look> = {}): Look {
  return {
    now: 1_700_000_100,
    block: 100,
    day: { epoch: 1, openedAt: 1_700_000_000, closingTime: 1_700_020_000, phase: "trading" },
    terms: { windowA: 400, windowB: 400, windowBlocks: 4 },
    seat: { status: "active", epoch: 1 },
    tickets: [],
    credits: [],
    holdings: { cash: 100_000n * DOLLAR, positions: Array.from({ length: 8 }, () => 0n) },
    markets: [hogMarket()],
    nextMarkets: [],
    lastPrices: new Map(),
    relayFee: 0n,
    exchangeAnswers: true,
    hasGas: true,
    ...over,
  };
}

export type FakeAgent = {
  readonly agent: Agent;
  readonly socketPath: string;
  readonly events: AgentEvent[];
  readonly calls: { readonly name: CommandName; readonly params: unknown }[];
  /** What it sees from now on; an error instead: the node does not answer. */
  see(look: Look | Error): void;
};

export type FakeAct = (name: CommandName, params: unknown, signal: AbortSignal | undefined) => unknown;

/** An agent whose wallet does what `act` answers, and that sees what it is shown. */
export async function startFakeAgent(
  first: Look,
  act: FakeAct = () => undefined,
  policy: Partial<Policy> = {},
  over: Partial<AgentParts> = {},
): Promise<FakeAgent> {
  const directory = mkdtempSync(join(tmpdir(), "hedgerow-test-"));
  let seen: Look | Error = first;
  const events: AgentEvent[] = [];
  const calls: { name: CommandName; params: unknown }[] = [];
  const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined };
  const socketPath = join(directory, "agent.sock");
  const agent = await Agent.start({
    service: {
      run: async (name, params, options) => {
        calls.push({ name, params });
        const given: unknown = await act(name, params, options?.signal);
        // What a stand-in answers is up to the test.
        return (given ?? USUAL[name]) as never;
      },
      close: () => Promise.resolve(),
    },
    surroundings: {
      look: () => (seen instanceof Error ? Promise.reject(seen) : Promise.resolve(seen)),
      draw: drawnFrom(1n),
      close: () => undefined,
    },
    socketPath,
    network: "test",
    policy: { ...policySchema.parse({}), lookSeconds: 0.05, ordersSeconds: 0.05, closeDelaySeconds: 0, ...policy },
    topUps: memoryTopUps(),
    logger: quiet,
    onEvent: (event) => events.push(event),
    ...over,
  });
  after(async () => {
    await agent.stop();
    rmSync(directory, { recursive: true, force: true });
  });
  return { agent, socketPath, events, calls, see: (look) => (seen = look) };
}

const LANDED = { action: "renew", nullifier: "0x", newNote: "0x", status: "landed" };
const USUAL: Partial<Record<CommandName, unknown>> = {
  catchUp: { resent: 0, abandoned: 0, ordersFound: 0, notes: [] },
  orders: [],
  closeTickets: [LANDED],
  fund: [LANDED],
  renew: LANDED,
  freshen: null,
  cancelAll: [],
  deposit: { creditId: "1", funding: LANDED },
};
