import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { DOLLAR } from "../../src/clearing/leanHogs.ts";
import { HedgerowError } from "../../src/protocol/errors.ts";
import { connectAgent } from "../../src/trader/agent/client.ts";
import { marginOf } from "../../src/trader/agent/margin.ts";
import { type AgentEvent, agentEvent, programNotifier } from "../../src/trader/agent/notify.ts";
import { readPolicy } from "../../src/trader/agent/policy.ts";
import { topUpsIn } from "../../src/trader/agent/topUps.ts";
import type { OrderView } from "../../src/trader/views.ts";
import { type FakeAgent, hogMarket, quietLook, startFakeAgent } from "../support/fakeAgent.ts";

const directory = mkdtempSync(join(tmpdir(), "hedgerow-test-"));
after(() => rmSync(directory, { recursive: true }));

async function until(holds: () => boolean, what = "it"): Promise<void> {
  for (let i = 0; !holds(); i++) {
    assert.ok(i < 2_000, `${what} never came about`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const told = ({ events }: FakeAgent): string[] => events.map(({ event }) => event);
const namesOf = ({ calls }: FakeAgent): string[] => calls.map(({ name }) => name);

const window = (over: object = {}) =>
  quietLook({
    now: 1_700_020_500,
    block: 110,
    day: {
      epoch: 1,
      openedAt: 1_700_000_000,
      closingTime: 1_700_020_000,
      phase: "window",
      closedAt: 1_700_020_000,
      closedBlock: 100,
    },
    nextMarkets: [hogMarket()],
    ...over,
  });

const TICKET = `0x${"12".repeat(32)}` as const;

const order = (over: Partial<OrderView>): OrderView => ({
  ref: "00000000000000aa",
  ticketId: TICKET,
  slot: 0,
  contract: "LEAN HOGS",
  side: "buy",
  type: "limit",
  limitPrice: "32000000000",
  stopPrice: null,
  quantity: 2,
  displayQuantity: null,
  timeInForce: "GTC",
  postOnly: false,
  reduceOnly: false,
  expiry: 1_700_020_000,
  status: "open",
  reason: null,
  filled: 0,
  remaining: 2,
  averagePrice: null,
  revision: 0,
  seq: 1,
  time: 1_700_000_000,
  ...over,
});

test("a renewal that fails is tried again with growing pauses until it lands, and then no more [AGT-12]", async () => {
  let failures = 2;
  // Blocks are missing, so that the deadline is no whole second.
  const late = window({ now: 1_700_020_900, block: 107, terms: { windowA: 400, windowB: 400, windowBlocks: 4 } });
  const fake = await startFakeAgent({ ...late, now: late.now - 0.3 }, (name) => {
    if (name !== "renew") return undefined;
    if (failures-- > 0) throw new HedgerowError("ExchangeUnreachable", "nobody is there");
    fake.see(window({ seat: { status: "active", epoch: 2 } }));
    return undefined;
  });
  await until(() => told(fake).includes("renewed"), "the renewal");
  assert.equal(namesOf(fake).filter((name) => name === "renew").length, 3);
  assert.ok(told(fake).includes("default-risk"));
  await until(() => fake.agent.status.duties.length === 0);
  assert.equal(fake.agent.status.trouble, null);
});

test("tickets come back in part A, the note is looked after, and only then the seat is renewed [AGT-8, AGT-14]", async () => {
  const tickets = [{ ticketId: TICKET, leftOver: false }];
  const late = { now: 1_700_020_399 };
  const fake = await startFakeAgent(window({ ...late, tickets }), (name) => {
    if (name === "closeTickets") fake.see(window(late));
    if (name === "freshen") fake.see(window({ now: 1_700_020_799 }));
    if (name === "renew") fake.see(window({ seat: { status: "active", epoch: 2 } }));
    return undefined;
  });
  await until(() => told(fake).includes("renewed"));
  const sent = namesOf(fake).filter((name) => name !== "orders");
  assert.deepEqual(sent, ["catchUp", "closeTickets", "freshen", "renew"]);
  assert.ok(told(fake).includes("ticket-closed"));
});

test("a ticket that cannot be brought back does not hold up the others [AGT-8, AGT-12]", async () => {
  const other = `0x${"34".repeat(32)}` as const;
  const tickets = [
    { ticketId: TICKET, leftOver: false },
    { ticketId: other, leftOver: false },
  ];
  const closed: string[] = [];
  const fake = await startFakeAgent(window({ now: 1_700_020_399, tickets }), (name, params) => {
    if (name !== "closeTickets") return undefined;
    const text = JSON.stringify(params);
    if (text.includes(TICKET)) throw new HedgerowError("TicketChanged", "not this one");
    closed.push(text);
    fake.see(window({ now: 1_700_020_399, tickets: tickets.slice(0, 1) }));
    return undefined;
  });
  await until(() => closed.length === 1, "the other ticket");
  assert.ok(namesOf(fake).filter((name) => name === "closeTickets").length <= 3);
});

test("a policy that seldom looks misses no settlement window [AGT-17]", async () => {
  const short = { windowA: 1, windowB: 1, windowBlocks: 0 };
  const renewed = window({ terms: short, seat: { status: "active", epoch: 2 } });
  const act = (name: string): void => {
    if (name === "renew") fake.see(renewed);
  };
  const fake = await startFakeAgent(quietLook({ terms: short }), act, { lookSeconds: 3_600 });
  await until(() => fake.agent.status.epoch === 1, "a first look");
  fake.see(window({ terms: short }));
  await until(() => told(fake).includes("renewed"), "the renewal");
});

test("a sleeping seat is left alone, and one in default gets advice once [AGT-7, AGT-16]", async () => {
  const fake = await startFakeAgent(window({ seat: { status: "asleep" } }));
  await new Promise((resolve) => setTimeout(resolve, 300));
  fake.see(quietLook({ seat: { status: "inDefault", since: 1 } }));
  await until(() => told(fake).includes("default-risk"));
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.equal(told(fake).filter((event) => event === "default-risk").length, 1);
  assert.ok(namesOf(fake).every((name) => name === "catchUp" || name === "orders"));
});

test("fills and ends of orders are told once each, and a ticket whose orders are done comes back [AGT-9, AGT-16]", async () => {
  let now = order({});
  const tickets = [{ ticketId: TICKET, leftOver: false }];
  const fake = await startFakeAgent(quietLook({ tickets }), (name) => {
    if (name === "closeTickets") fake.see(quietLook());
    return name === "orders" ? [now] : undefined;
  });
  await until(() => fake.agent.status.liveOrders === 1);
  now = order({ filled: 1, remaining: 1, averagePrice: "32000000000" });
  await until(() => told(fake).includes("fill"));
  assert.ok(!namesOf(fake).includes("closeTickets"));
  now = order({ filled: 2, remaining: 0, averagePrice: "32000000000", status: "filled" });
  await until(() => told(fake).includes("ticket-closed"));
  assert.equal(told(fake).filter((event) => event === "fill").length, 2);
  assert.equal(told(fake).filter((event) => event === "order-done").length, 1);
  assert.deepEqual(fake.calls.find(({ name }) => name === "closeTickets")?.params, {
    tickets: [TICKET],
    direct: false,
  });
});

const long = (contracts: bigint, cash: bigint) => ({
  cash: cash * DOLLAR,
  positions: [contracts, 0n, 0n, 0n, 0n, 0n, 0n, 0n],
});

test("margin: worth at the last price, against what a renewal would ask; in the window against what it does ask [AGT-13]", () => {
  const market = hogMarket();
  const input = {
    phase: "trading" as const,
    // Two contracts at 32,000 dollars, paid for, and 7,000 dollars: 1,000 above maintenance.
    holdings: long(2n, -64_000n + 7_000n),
    markets: [market],
    nextMarkets: [],
    lastPrices: new Map<number, bigint>(),
    relayFee: 0n,
    warnPercents: [50, 25, 10],
  };
  const quiet = marginOf(input);
  assert.deepEqual(
    [quiet.equity, quiet.maintenanceMargin, quiet.initialMargin, quiet.free].map((text) => BigInt(text) / DOLLAR),
    [7_000n, 6_000n, 6_600n, 1_000n],
  );
  assert.deepEqual([quiet.level, quiet.freePercent, quiet.short], ["warning", 16, "0"]);
  assert.equal(BigInt(quiet.freeAtLimits), (1_000n - 2n * 1_200n) * DOLLAR);
  const called = marginOf({ ...input, lastPrices: new Map([[0, market.centre - 600n * DOLLAR]]) });
  assert.deepEqual([called.level, called.short], ["call", (200n * DOLLAR).toString()]);
  const settled = hogMarket({ settlementPrice: market.centre + 500n * DOLLAR });
  const next = hogMarket({ centre: settled.settlementPrice, maintenanceMargin: 4_500n * DOLLAR });
  const renewal = marginOf({ ...input, phase: "window", markets: [settled], nextMarkets: [next], relayFee: DOLLAR });
  assert.deepEqual([renewal.level, renewal.short], ["call", (1_000n * DOLLAR + DOLLAR).toString()]);
  assert.equal(marginOf({ ...input, holdings: long(0n, 0n) }).level, "good");
  // Without positions too the renewal has its fee.
  const feeless = marginOf({ ...input, holdings: long(0n, 0n), relayFee: DOLLAR });
  assert.deepEqual([feeless.level, feeless.short, feeless.freePercent], ["call", DOLLAR.toString(), null]);
  const expired = marginOf({
    ...input,
    phase: "window",
    markets: [hogMarket({ expired: true })],
    nextMarkets: [hogMarket({ listed: false })],
  });
  assert.deepEqual([expired.level, expired.maintenanceMargin], ["good", "0"]);
});

test("a thinner margin warns once at each threshold, a short one is a call and is topped up within the limit [AGT-13]", async () => {
  const fake = await startFakeAgent(
    quietLook({ holdings: long(2n, -64_000n + 8_000n) }),
    (name) => {
      if (name === "deposit") fake.see(quietLook({ holdings: long(2n, -64_000n + 20_000n) }));
      return undefined;
    },
    { topUpLimit: (3_000n * DOLLAR).toString(), topUpPercent: 25 },
  );
  await until(() => told(fake).includes("margin-warning"));
  fake.see(quietLook({ holdings: long(2n, -64_000n + 6_100n) }));
  await until(() => told(fake).filter((event) => event === "margin-warning").length === 2);
  assert.ok(!namesOf(fake).includes("deposit"));
  fake.see(quietLook({ holdings: long(2n, -64_000n + 5_500n) }));
  await until(() => told(fake).includes("topped-up"));
  assert.ok(told(fake).includes("margin-call"));
  // 500 short and a cushion of 1,500, which is a round amount already.
  const deposits = fake.calls.filter(({ name }) => name === "deposit");
  assert.deepEqual(
    deposits.map(({ params }) => params),
    [{ amount: (2_000n * DOLLAR).toString() }],
  );
  for (const { message } of fake.events) assert.doesNotMatch(message, /[0-9]{3,}/, "no amounts among arguments");
});

test("a top-up that fails is told, and what may have been sent uses the limit up [AGT-13]", async () => {
  const fake = await startFakeAgent(
    quietLook({ holdings: long(2n, -64_000n + 5_900n) }),
    (name) => {
      if (name === "deposit") throw new HedgerowError("ChainUnavailable", "the node is away");
      return undefined;
    },
    { topUpLimit: (1_000n * DOLLAR).toString() },
  );
  await until(() => told(fake).includes("top-up-failed"));
  await new Promise((resolve) => setTimeout(resolve, 1_300));
  assert.equal(namesOf(fake).filter((name) => name === "deposit").length, 1);
});

test("the log names what failed and never amounts, which the status tells [AGT-16]", async () => {
  const logged: string[] = [];
  const log = (...line: unknown[]): void => void logged.push(JSON.stringify(line));
  const broken = new HedgerowError("BelowMargin", "equity is 7654321, but 8765432 is needed");
  const fake = await startFakeAgent(
    window(),
    (name) => {
      if (name === "renew") throw broken;
      return undefined;
    },
    {},
    { logger: { info: log, warn: log, error: log } },
  );
  fake.see(window({ now: 1_700_020_700, block: 120 }));
  await until(() => logged.some((line) => line.includes('"renew failed"')));
  assert.equal(fake.agent.status.trouble, broken.message);
  fake.see(new HedgerowError("BelowMargin", "equity is 7654321"));
  await until(() => logged.some((line) => line.includes("look at the chain failed")));
  assert(logged.some((line) => line.includes("BelowMargin")));
  for (const line of logged) assert.doesNotMatch(line, /7654321|8765432/);
});

test("what was topped up in an epoch is remembered over restarts [AGT-13]", () => {
  topUpsIn(directory, "7").add(3, 500n);
  topUpsIn(directory, "7").add(3, 5n);
  assert.equal(topUpsIn(directory, "7").of(3), 505n);
  assert.equal(topUpsIn(directory, "7").of(4), 0n);
  assert.equal(topUpsIn(directory, "8").of(3), 0n);
  writeFileSync(join(directory, "top-ups-9.json"), "{");
  assert.ok(topUpsIn(directory, "9").of(1) > 10n ** 30n);
});

test("a node or an exchange that is silent for long is told of, and its return too [AGT-16]", async () => {
  const fake = await startFakeAgent(quietLook(), undefined, { awaySeconds: 0.1 });
  fake.see(quietLook({ exchangeAnswers: false }));
  await until(() => told(fake).includes("exchange-away"));
  assert.equal(fake.agent.status.exchangeReachable, false);
  fake.see(new HedgerowError("ChainUnavailable", "the node is away"));
  await until(() => told(fake).includes("node-away"));
  fake.see(quietLook());
  await until(() => told(fake).filter((event) => event === "recovered").length === 2);
});

test("told to stop, it leaves what is under way, removes its socket and lets the wallet go, in a moment [AGT-6]", async () => {
  let aborted = false as boolean;
  const fake = await startFakeAgent(window({ now: 1_700_020_799 }), (name, _, signal) => {
    if (name !== "renew") return undefined;
    return new Promise((_resolve, reject) => {
      signal?.addEventListener("abort", () => {
        aborted = true;
        reject(new HedgerowError("Interrupted", "interrupted"));
      });
    });
  });
  await until(() => namesOf(fake).includes("renew"));
  const client = await connectAgent(fake.socketPath);
  assert.ok(client !== undefined);
  assert.equal((await client.status()).duties[0]?.kind, "renew");
  const { ended } = client;
  const start = performance.now();
  await client.stop();
  await fake.agent.done;
  await ended;
  assert.equal(aborted, true);
  assert.ok(performance.now() - start < 3_000);
  assert.equal(existsSync(fake.socketPath), false);
  assert.equal(told(fake).at(-1), "ended");
});

const EVENT: AgentEvent = {
  event: "margin-call",
  time: 1_700_000_000,
  network: "test",
  epoch: 3,
  message: "the account could not be renewed; $(touch oops)",
  details: { short: "100" },
};

function program(name: string, text: string): string {
  const file = join(directory, name);
  writeFileSync(file, `#!/bin/sh\n${text}\n`);
  chmodSync(file, 0o700);
  return file;
}

test("a notification is a program of its own: JSON on its input, a line as its argument, no shell [AGT-15]", async () => {
  const out = join(directory, "told");
  const notifier = programNotifier(program("tell.sh", `printf '%s\\n' "$#" "$1" > ${out}; cat >> ${out}`));
  notifier.notify(EVENT);
  await notifier.close();
  const [count, message, json = ""] = readFileSync(out, "utf8").split("\n");
  assert.deepEqual([count, message], ["1", EVENT.message]);
  assert.deepEqual(agentEvent.parse(JSON.parse(json)), EVENT);
  assert.equal(existsSync("oops"), false);
});

test("a program that hangs, fails or is not there holds nothing up and is told of [AGT-15]", async () => {
  const trouble: string[] = [];
  const onTrouble = (_: string, reason: string): void => void trouble.push(reason);
  const slow = programNotifier(program("slow.sh", "exec sleep 30"), { timeoutMs: 300, onTrouble });
  const start = performance.now();
  for (let i = 0; i < 300; i++) slow.notify(EVENT);
  assert.ok(performance.now() - start < 250);
  await until(() => trouble.some((reason) => reason.includes("SIGKILL")));
  assert.ok(trouble.some((reason) => reason.includes("keep up")));
  await slow.close();
  for (const file of [program("bad.sh", "exit 3"), join(directory, "nothing")]) {
    const reasons: string[] = [];
    const notifier = programNotifier(file, { onTrouble: (_, reason) => void reasons.push(reason) });
    notifier.notify(EVENT);
    await notifier.close();
    assert.match(reasons[0] ?? "", /exit code 3|ENOENT/);
  }
});

test("a policy is checked, and says what is wrong with it [AGT-17]", () => {
  const file = join(directory, "policy.json");
  writeFileSync(file, JSON.stringify({ closeTickets: false, warnPercents: [5] }));
  assert.deepEqual([readPolicy(file).closeTickets, readPolicy(file).warnPercents], [false, [5]]);
  writeFileSync(file, "my secret password");
  assert.throws(
    () => readPolicy(file),
    (error) => error instanceof HedgerowError && !error.message.includes("secret"),
  );
  for (const bad of ["{", JSON.stringify({ closeTicket: true }), JSON.stringify({ topUpLimit: "-1" })]) {
    writeFileSync(file, bad);
    assert.throws(
      () => readPolicy(file),
      (error) => error instanceof HedgerowError && error.code === "BadPolicy",
    );
  }
});
