import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { z } from "zod";
import { readTokenBalance } from "../../src/chain/clearingHouse.ts";
import { LOCAL_MARKETS } from "../../src/clearing/localMarkets.ts";
import {
  accountKeys,
  creditPrivateKey,
  newSeedPhrase,
  parseSeedPhrase,
  sessionPrivateKey,
} from "../../src/protocol/keys.ts";
import { accountNumberOf } from "../../src/trader/accountNumber.ts";
import { type CommandName, type CommandResult, COMMANDS } from "../../src/trader/commands.ts";
import { type AgentStatus, agentStatus } from "../../src/trader/agent/status.ts";
import { writeNetwork } from "../../src/trader/home.ts";
import { fundingKeyOf } from "../../src/trader/keystore.ts";
import { createWallet } from "../../src/trader/store.ts";
import { orderView, type PlacedView, placedView } from "../../src/trader/views.ts";
import { type CliStage, type Ran, type Running, startCliStage, until } from "../support/cliStage.ts";
import { entriesBelow, keyPattern, phrasePattern, secretsIn } from "../support/recorder.ts";

/*
 * The trader's command line as people run it: each command a process of its own, with a real chain, a real exchange and
 * real proofs. Ada and Bela have agents, through which their commands go; Cleo, Dora and Eva do without. The tests
 * follow each other through two days.
 */

const PASSWORD = "seven unlikely geese";
const TRADERS = ["ada", "bela", "cleo", "dora", "eva"] as const;
type Trader = (typeof TRADERS)[number];
/** Their wallets are opened by every command, so their password is cheap to guess: half a second less each time. */
const WITHOUT_AGENT = ["cleo", "dora", "eva"] as const;
const SCRYPT_N = 1_024;
const DOLLAR = 1_000_000n;
const STRANGER = "0x00000000000000000000000000000000000000A1";

let stage: CliStage;
let password = "";
const agents = new Map<Trader, Running>();

before(async () => {
  stage = await startCliStage(LOCAL_MARKETS);
  password = stage.secretFile("password", `${PASSWORD}\n`);
});
after(() => stage.stop());

// ------------------------------------------------------------------ running commands

/** Words of a command line; a wallet's password file comes where no agent holds it. */
function line(trader: Trader | undefined, text: string): readonly string[] {
  const words = text.split(" ");
  if (trader === undefined) return words;
  return [...words, "--wallet", trader, ...(agents.has(trader) ? [] : ["--password-file", password])];
}

/** Runs a command that succeeds. Answers what it printed. */
async function did(trader: Trader | undefined, text: string): Promise<string> {
  const { code, out, err } = await stage.run(...line(trader, text));
  assert.equal(code, 0, `${text}: ${out}${err}`);
  return out;
}

/** Runs a command with --json that succeeds: one object and nothing else, in the form that is given. */
async function answered<T>(trader: Trader | undefined, text: string, schema: z.ZodType<T>): Promise<T> {
  const { code, out, err } = await stage.run(...line(trader, `${text} --json`));
  assert.deepEqual([code, err], [0, ""], `${text}: ${out}${err}`);
  assert.equal(out.trimEnd().split("\n").length, 1, out);
  return schema.parse(JSON.parse(out));
}

const RESULTS: { readonly [N in CommandName]: { readonly result: z.ZodType<CommandResult<N>> } } = COMMANDS;

function asked<N extends CommandName>(trader: Trader, text: string, name: N): Promise<CommandResult<N>> {
  return answered(trader, text, RESULTS[name].result);
}

/** Runs buy, sell, cancel or replace. */
async function ordered(trader: Trader, text: string): Promise<NonNullable<PlacedView["order"]>> {
  const { order, receipts, refusal } = await answered(trader, text, placedView);
  assert.ok(order !== null && refusal === null && receipts > 0, text);
  return order;
}

type Refusal = { readonly exit: number; readonly code?: string; readonly says?: RegExp };

/** A refusal is told on standard error in plain English, says what to do, and shows nothing of the program's inside. */
function assertRefused(text: string, { code: exit, out, err }: Ran, expected: Refusal): void {
  const { code = "", says = /./ } = expected;
  assert.deepEqual([exit, out], [expected.exit, ""], `${text}: ${out}${err}`);
  assert.doesNotMatch(err, /\n\s+at |node:internal|\.ts:\d|undefined|\[object/, text);
  const last = err.slice(err.indexOf("hedgerow: "));
  assert.match(last, says, text);
  if (code === "") return;
  assert.ok(last.includes(`[${code}]\nWhat to do: `), `${text}: ${last}`);
}

async function refused(trader: Trader | undefined, text: string, expected: Refusal): Promise<void> {
  assertRefused(text, await stage.run(...line(trader, text)), expected);
}

/** As many at a time as the machine has room for. */
async function all(...work: readonly (() => Promise<unknown>)[]): Promise<void> {
  const waiting = [...work];
  const worker = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) await next();
  };
  await Promise.all([worker(), worker(), worker()]);
}

const phraseFile = (trader: string): string => join(stage.directory, "secrets", `${trader}.phrase`);
const dollars = (amount: string): bigint => BigInt(amount) / DOLLAR;

async function startAgent(trader: Trader): Promise<void> {
  const policy = { lookSeconds: 0.3, ordersSeconds: 0.5, closeTickets: false, reserve: true, safetySeconds: 100 };
  const file = stage.secretFile("policy.json", JSON.stringify(policy));
  const agent = stage.start(...line(trader, `agent --json --policy ${file}`));
  agents.set(trader, agent);
  await agent.said(/"event":"started"/);
}

/** Moves the clock to what an agent means to do next, until something holds. */
async function goOn(trader: Trader, holds: (status: AgentStatus) => boolean): Promise<void> {
  await until(async () => {
    const status = await answered(trader, "agent status", agentStatus);
    if (holds(status)) return true;
    const wait = Number(BigInt(status.duties[0]?.at ?? 0) - (await stage.local.now()));
    await stage.local.advanceTime(wait > 1 ? wait : 1);
    return false;
  }, "the agent's work");
}

// ------------------------------------------------------------------ the tests

describe("wallets", () => {
  test("are made, listed, chosen and imported from their phrase [ACC-1, ACC-18]", async () => {
    for (const name of WITHOUT_AGENT) {
      const phrase = newSeedPhrase();
      stage.secretFile(`${name}.phrase`, `${phrase}\n`);
      const directory = join(stage.home, "wallets", name);
      (await createWallet(directory, phrase, PASSWORD, { scryptN: SCRYPT_N })).close();
    }
    await all(
      ...["ada", "bela"].map((name) => async () => {
        const made = `wallet new ${name} --password-file ${password} --phrase-out ${phraseFile(name)}`;
        await answered(undefined, made, z.object({ wallet: z.literal(name), kind: z.literal("full") }));
      }),
    );
    await did(undefined, "wallet default ada");
    await did(undefined, `wallet import twin --password-file ${password} --phrase-file ${phraseFile("ada")}`);
    const entry = z.object({ name: z.string(), address: z.string(), chosen: z.boolean() });
    const { wallets } = await answered(undefined, "wallet list", z.object({ wallets: z.array(entry) }));
    const [ada, twin] = ["ada", "twin"].map((name) => wallets.find((each) => each.name === name));
    assert.equal(ada?.address, twin?.address);
    assert.equal(ada?.chosen, true);
    assert.match(await did(undefined, "wallet list"), /\* +ada/);
  });

  test("are held by agents, which say where they stand [AGT-2]", async () => {
    await all(
      () => startAgent("ada"),
      () => startAgent("bela"),
    );
    const { network, seat } = await answered("ada", "agent status", agentStatus);
    assert.deepEqual([network, seat], ["test", "none"]);
    assert.match(await did("bela", "agent status"), /epoch 1 trading/);
    await refused(undefined, `agent --wallet ada --password-file ${password}`, { exit: 5, code: "AgentAlreadyRuns" });
  });
});

describe("money", () => {
  test("comes in, through an agent and without, waits as a reserve, and goes out to any address [CLI-8, ACC-15]", async () => {
    await all(
      () => asked("ada", "deposit 600000 --faucet", "deposit"),
      () => asked("cleo", "deposit 50000 --faucet", "deposit"),
      () => asked("dora", "deposit 20,000.50 --faucet", "deposit"),
      () => asked("eva", "deposit 20000 --faucet", "deposit"),
      () => did("bela", "deposit 600000 --faucet"),
    );
    const { creditId } = await asked("ada", "deposit 2,500.50 --faucet --hold", "deposit");
    const waiting = await asked("ada", "balance", "balance");
    assert.deepEqual(waiting.credits, [{ creditId, amount: "2500500000" }]);
    const [funded] = await asked("ada", `fund ${creditId}`, "fund");
    assert.equal(funded?.status, "landed");
    assert.equal(await did("ada", "fund"), "no credit waits\n");
    await asked("ada", `withdraw 500 --to ${STRANGER}`, "withdraw");
    assert.equal(await readTokenBalance(stage.local.chain, STRANGER), 500n * DOLLAR);
    const { cash, seat } = await asked("ada", "balance", "balance");
    // Three relay fees of half a dollar.
    assert.equal(cash, (602_000_500_000n - 1_500_000n).toString());
    assert.equal(seat.status, "active");
    assert.match(await did("dora", "balance"), /equity at settlement +20,000\.00/);
  });
});

describe("trading", () => {
  let watching: Running;
  let [ada, bela, hogs] = ["", "", ""];

  test("begins with the markets, and with tickets that are opened ahead [CLI-8]", async () => {
    watching = stage.start("watch", "WTI", "--json");
    const markets = z.looseObject({ markets: z.array(z.looseObject({ slot: z.number(), contract: z.string() })) });
    await all(
      async () => assert.match(await did(undefined, "markets"), /3 +WTI +open/),
      async () => assert.equal((await answered(undefined, "markets", markets)).markets.length, 4),
      async () => assert.match(await did(undefined, "book wti"), /the book is empty/),
      async () => {
        [ada = ""] = (await asked("ada", "ticket open WTI --cash 90000 --count 2", "openTickets")).tickets;
        [hogs = ""] = (await asked("ada", "ticket open LEAN-HOGS-APR --cash 20000 --count 2", "openTickets")).tickets;
      },
      async () => {
        [bela = ""] = (await asked("bela", "ticket open 3 --cash 90000 --count 2", "openTickets")).tickets;
      },
    );
    assert.equal((await asked("ada", "ticket list", "tickets")).length, 4);
    assert.match(await did("ada", "ticket list"), /LEAN HOGS APR +0 +20,000\.00/);
  });

  test("knows limit and market orders, each on a fresh ticket [CLI-8, DSK-8]", async () => {
    const bid = await ordered("ada", "buy 2 WTI --limit 69900");
    assert.deepEqual([bid.type, bid.status, bid.limitPrice], ["limit", "open", "69900000000"]);
    const sold = await ordered("bela", "sell 1 WTI --market");
    assert.deepEqual([sold.type, sold.status, sold.averagePrice], ["market", "filled", "69900000000"]);
    assert.ok(![ada, bela].includes(bid.ticketId) && ![ada, bela].includes(sold.ticketId));
    assert.match(await did(undefined, "trades WTI"), /sell +69,900\.00 +1/);
  });

  test("knows icebergs, good-till, slippage, IOC and FOK [CLI-8]", async () => {
    const iceberg = await ordered("ada", `buy 4 WTI --limit 69950 --iceberg 2 --good-till 90m --ticket ${ada}`);
    assert.deepEqual([iceberg.type, iceberg.displayQuantity, iceberg.ticketId], ["iceberg", 2, ada]);
    assert.ok(Math.abs(iceberg.expiry - (Date.now() / 1_000 + 5_400)) < 60);
    assert.match(await did(undefined, "book WTI"), /2 +69,950\.00|69,950\.00 +2/);
    const near = await ordered("bela", `sell 1 WTI --market --slippage 100 --ticket ${bela}`);
    assert.deepEqual([near.limitPrice, near.filled], ["69850000000", 1]);
    const now = await ordered("bela", `sell 1 WTI --limit 69000 --ioc --ticket ${bela}`);
    assert.deepEqual([now.timeInForce, now.averagePrice], ["IOC", "69950000000"]);
    await refused("bela", `sell 5 WTI --limit 69950 --fok --ticket ${bela}`, {
      exit: 3,
      code: "Matching.NotFillable",
      says: /does not hold 5 contracts/,
    });
    const whole = await ordered("bela", `sell 2 WTI --limit 69950 --fok --ticket ${bela}`);
    assert.deepEqual([whole.timeInForce, whole.filled], ["FOK", 2]);
  });

  test("knows post-only, day, stop and stop-limit orders [CLI-8]", async () => {
    const resting = await ordered("ada", `buy 1 WTI --limit 69800 --post-only --day --ticket ${ada}`);
    assert.deepEqual([resting.postOnly, resting.status], [true, "open"]);
    await ordered("ada", `buy 3 WTI --limit 69700 --ticket ${ada}`);
    await refused("bela", `sell 1 WTI --limit 69900 --post-only --ticket ${bela}`, {
      exit: 3,
      code: "Matching.PostOnlyWouldTake",
      says: /at 69,900\.00 this one would have met one at 69,900\.00/,
    });
    const stop = await ordered("bela", `sell 1 WTI --stop 69800 --ticket ${bela}`);
    assert.deepEqual([stop.type, stop.status, stop.stopPrice], ["stop", "waiting", "69800000000"]);
    const stopLimit = await ordered("bela", `sell 1 WTI --stop 69800 --limit 69750 --ticket ${bela}`);
    assert.deepEqual([stopLimit.type, stopLimit.status], ["stop-limit", "waiting"]);
    const trigger = await ordered("bela", `sell 2 WTI --limit 69800 --ticket ${bela}`);
    assert.equal(trigger.filled, 2);
    const orders = await asked("bela", "orders --all", "orders");
    const after = (ref: string) => orders.find((order) => order.ref === ref);
    assert.deepEqual([after(stop.ref)?.status, after(stop.ref)?.averagePrice], ["filled", "69700000000"]);
    assert.deepEqual([after(stopLimit.ref)?.status, after(stopLimit.ref)?.filled], ["open", 0]);
  });

  test("does as it is told when an order meets one of its own ticket [CLI-8]", async () => {
    const modes = [
      ["cancel-incoming", "open", "cancelled"],
      ["cancel-resting", "cancelled", "open"],
      ["cancel-both", "cancelled", "cancelled"],
      ["decrement", "cancelled", "cancelled"],
    ] as const;
    for (const [mode, resting, incoming] of modes) {
      const bid = await ordered("ada", `buy 1 LEAN-HOGS-APR --limit 33800 --ticket ${hogs}`);
      const ask = await ordered("ada", `sell 1 lean-hogs-apr --limit 33800 --self-trade ${mode} --ticket ${hogs}`);
      const orders = await asked("ada", "orders --all", "orders");
      const statusOf = (ref: string) => orders.find((order) => order.ref === ref)?.status;
      assert.deepEqual([statusOf(bid.ref), statusOf(ask.ref)], [resting, incoming], mode);
      for (const { ref, ticketId } of await asked("ada", "orders", "orders")) {
        if (ticketId === hogs) await ordered("ada", `cancel ${ref}`);
      }
    }
  });

  test("reduces what the account holds, and nothing else [CLI-8, TKT-12]", async () => {
    const { ticketId } = await ordered("bela", "sell 1 WTI --limit 69700 --ioc");
    assert.equal((await asked("bela", `ticket close ${ticketId.slice(0, 12)}`, "closeTickets"))[0]?.status, "landed");
    const reducing = await ordered("bela", "buy 1 WTI --limit 69000 --reduce-only");
    assert.deepEqual([reducing.reduceOnly, reducing.status], [true, "open"]);
    await refused("bela", "buy 1 LEAN-HOGS-JUN --limit 38500 --reduce-only", {
      exit: 3,
      code: "NothingToReduce",
      says: /cannot bring a position of 0 nearer to zero/,
    });
  });

  test("works an iceberg in parts, which Ctrl-C ends and resume takes up [CLI-8, PRI-17]", async () => {
    const order = "buy 1 LEAN-HOGS-FEB --limit 32000 --iceberg 1 --worked";
    const worked = stage.start(...line("ada", `${order} --json`));
    await until(
      async () => (await asked("ada", "orders", "orders")).some(({ slot, status }) => slot === 0 && status === "open"),
      "the part rests",
    );
    await ordered("bela", "sell 1 LEAN-HOGS-FEB --limit 32000 --linked");
    const stopped = stage.start(...line("ada", `${order} --json`));
    const report = z.looseObject({ id: z.string(), status: z.enum(["filled", "working", "stopped"]) });
    const { code, out } = await worked.ended;
    assert.deepEqual([code, report.parse(JSON.parse(out)).status], [0, "filled"]);
    await until(
      async () => (await asked("ada", "orders", "orders")).some(({ slot, status }) => slot === 0 && status === "open"),
      "the part rests",
    );
    const interrupted = await stopped.end("SIGINT");
    assertRefused("buy --worked", { ...interrupted, err: `hedgerow: ${interrupted.err}` }, { exit: 130 });
    const [, last] = await answered("ada", "resume", z.array(report));
    assert.ok(last?.status === "working");
    const resumed = stage.start(...line("ada", `resume ${last.id}`));
    await resumed.said(/drawn at random/);
    assertRefused("resume", await resumed.end("SIGINT"), { exit: 130, code: "Interrupted" });
    assert.ok((await asked("ada", "orders", "orders")).every(({ slot }) => slot !== 0));
  });

  test("replaces and cancels orders by the beginning of their names, and all of them [CLI-8]", async () => {
    const order = await ordered("ada", `buy 2 WTI --limit 69000 --ticket ${ada}`);
    const name = order.ref.slice(0, 8);
    assert.equal((await ordered("ada", `replace ${name} --limit 69010`)).limitPrice, "69010000000");
    assert.equal((await ordered("ada", `replace ${name} --quantity 1 --good-till 2h`)).quantity, 1);
    await refused("ada", `ticket close ${ada}`, { exit: 3, code: "TicketHasOrders", says: /lives order/ });
    assert.equal((await ordered("ada", `cancel ${name}`)).status, "cancelled");
    // Once more does no harm; one that is filled is another matter.
    assert.equal((await answered("ada", `cancel ${name}`, placedView)).order?.status, "cancelled");
    const filled = (await asked("ada", "orders --all", "orders")).find(({ status }) => status === "filled");
    await refused("ada", `cancel ${filled?.ref ?? ""}`, {
      exit: 3,
      code: "Matching.UnknownOrder",
      says: /does not live/,
    });
    const cancelled = await asked("ada", "cancel --all", "cancelAll");
    assert.ok(cancelled.length > 0 && cancelled.every(({ order: each }) => each?.status === "cancelled"));
    assert.match(await did("ada", "orders"), /no order lives/);
    assert.match(await did("ada", "orders --all"), /LEAN HOGS APR +sell 1/);
  });

  test("is watched live, a line for each event [SCR-10]", async () => {
    await watching.said(/"type":"trade".*69950000000/);
    const { code, out } = await watching.end("SIGINT");
    assert.equal(code, 130);
    const events = out
      .trimEnd()
      .split("\n")
      .map((each) => z.looseObject({ type: z.string() }).parse(JSON.parse(each)).type);
    for (const type of ["book", "update", "trade", "batch"]) assert.ok(events.includes(type), type);
  });
});

describe("a refusal says in plain English what is wrong and what to do", () => {
  test("of prices, amounts and margin [CLI-3, CLI-9]", async () => {
    await all(
      () => refused("ada", "buy 1 PORK --limit 5", { exit: 2, says: /no market "PORK".*name one of LEAN-HOGS-FEB/ }),
      () =>
        refused("ada", "buy 1 WTI --limit 69955.5", {
          exit: 3,
          code: "Matching.OffTick",
          says: /steps of 10\.00, and 69,955\.50 is not/,
        }),
      () =>
        refused("ada", "buy 1 WTI --limit 80000", {
          exit: 3,
          code: "Matching.OffLimits",
          says: /80,000\.00 is outside .* 67,500\.00 to 72,500\.00/,
        }),
      () =>
        refused("ada", "buy 999 WTI --limit 69000", { exit: 3, code: "ProverRefused", says: /worth -[\d,]+\.\d\d/ }),
      () =>
        refused("cleo", `withdraw 60000 --to ${STRANGER}`, {
          exit: 3,
          code: "ProverRefused",
          says: /worth -10,00\d\.\d/,
        }),
      () => refused("ada", "buy 1 LEAN-HOGS-JUN --market", { exit: 3, code: "NoOppositeSide", says: /other side/ }),
      () => refused("ada", `withdraw 5 --to 0x12`, { exit: 2, says: /"0x12" is no address/ }),
      () => refused("ada", "deposit nothing", { exit: 2, says: /nothing/ }),
      () => refused("bela", "deposit 999999999", { exit: 3, code: "ERC20InsufficientBalance", says: /holds/ }),
    );
  });

  test("of orders, tickets and the seat [CLI-3, CLI-9]", async () => {
    const orders = await asked("ada", "orders --all", "orders");
    const digits = orders.map(({ ref }) => ref.slice(0, 1));
    const shared = digits.find((digit, i) => digits.indexOf(digit) !== i) ?? "";
    await all(
      () =>
        refused("ada", "cancel 0123456789abcdef", {
          exit: 2,
          code: "NameNotFound",
          says: /None of the wallet's orders/,
        }),
      () => refused("ada", `cancel ${shared}`, { exit: 2, code: "NameNotFound", says: /and one is needed/ }),
      () => refused("ada", "ticket close 0123456789ab", { exit: 2, code: "NameNotFound" }),
      () => refused("ada", "replace 0123456789abcdef --quantity 2", { exit: 2, code: "NameNotFound" }),
      () => refused("ada", "cancel", { exit: 2, says: /which order\?/ }),
      () => refused("bela", "renew", { exit: 3, code: "WrongPhase", says: /"renew" cannot be done/ }),
      () => refused("ada", "seat rejoin", { exit: 3, code: "WrongSeatStatus", says: /inDefault, and yours is active/ }),
      () => refused("ada", "fund 17", { exit: 3, code: "CreditNotOwned" }),
      () => refused("ada", "resume 00", { exit: 2, code: "UnknownWorkedOrder" }),
    );
  });

  test("of the command line, the home directory and the wallet [CLI-3, CLI-4]", async () => {
    const wrong = stage.secretFile("wrong", "not the password\n");
    const open = ["--password-file", password] as const;
    const empty = join(stage.directory, "empty");
    await all(
      () => refused(undefined, "frobnicate", { exit: 2, says: /unknown command 'frobnicate'/ }),
      () => refused("ada", "buy 1 WTI --limt 5", { exit: 2, says: /unknown option '--limt' .*--limit/ }),
      () => refused("ada", "buy 1 WTI --market --limit 5", { exit: 2, says: /cannot be used with/ }),
      () => refused("ada", "buy 0 WTI --limit 5", { exit: 2, says: /"0" is no whole number/ }),
      () => refused("ada", "buy 1 WTI", { exit: 2, says: /has no price: give --limit/ }),
      () => refused("ada", "balance --network nowhere", { exit: 2, code: "NetworkNotFound", says: /"nowhere"/ }),
      () => refused("ada", "balance --account 1", { exit: 2, says: /while an agent holds/ }),
      () => refused(undefined, `balance --wallet ada --home ${empty}`, { exit: 2, code: "NothingChosen" }),
      () => refused(undefined, `balance --wallet nobody`, { exit: 5, code: "WalletNotFound", says: /nobody/ }),
      () =>
        refused(undefined, `balance --wallet cleo --password-file ${wrong}`, {
          exit: 5,
          code: "WrongPassword",
          says: /cleo/,
        }),
      () => refused(undefined, "balance --wallet cleo", { exit: 5, code: "NoTerminal", says: /--password-file FILE/ }),
      async () => {
        const exported = ["wallet", "export-viewing-key", join(stage.directory, "secrets", "x"), "--wallet", "ada"];
        assertRefused("export", await stage.run(...exported, ...open), { exit: 5, code: "WalletInUse", says: /ada/ });
      },
      async () => {
        const { code, out, err } = await stage.run(...line("ada", "cancel 0123456789abcdef --json"));
        assert.deepEqual([code, out], [2, ""]);
        const { error } = z.object({ error: z.looseObject({ code: z.string() }) }).parse(JSON.parse(err));
        assert.equal(error.code, "NameNotFound");
      },
    );
    assert.ok(!existsSync(empty));
  });

  test("of a node, an exchange or a proxy that does not answer; nothing goes around a proxy [CLI-3, PRI-14]", async () => {
    const nowhere = "http://127.0.0.1:9";
    let connections = 0;
    const counting = createServer((socket) => {
      connections += 1;
      socket.destroy();
    });
    await new Promise<void>((listening) => counting.listen(0, "127.0.0.1", listening));
    const address = counting.address();
    assert.ok(address !== null && typeof address === "object");
    const counted = `http://127.0.0.1:${address.port}`;
    writeNetwork(stage.home, { ...stage.network, name: "no-node", chain: nowhere });
    writeNetwork(stage.home, { ...stage.network, name: "no-exchange", exchange: nowhere });
    writeNetwork(stage.home, { ...stage.network, name: "proxied", chain: counted, exchange: counted });
    const proxy = "--network proxied --proxy socks5h://127.0.0.1:9";
    await all(
      () =>
        refused("dora", "buy 1 WTI --limit 69000 --network no-exchange", {
          exit: 4,
          code: "ExchangeUnreachable",
          says: /127\.0\.0\.1:9/,
        }),
      () => refused("eva", "balance --network no-node", { exit: 4, code: "ChainUnavailable" }),
      () => refused(undefined, "markets --network no-exchange", { exit: 4, code: "ExchangeUnreachable" }),
      async () => {
        await refused("cleo", `balance ${proxy}`, { exit: 4, code: "ProxyUnreachable", says: /proxy/ });
        await refused("cleo", `deposit 5 --faucet ${proxy}`, { exit: 4, code: "ProxyUnreachable" });
      },
      () => refused(undefined, `book WTI ${proxy}`, { exit: 4, code: "ProxyUnreachable" }),
      () => refused("ada", "balance --network no-node", { exit: 2, says: /trades on network "test"/ }),
    );
    counting.close();
    assert.equal(connections, 0);
  });
});

describe("reports", () => {
  test("say what happened, what others see, and whether all is well [CLI-8]", async () => {
    await all(
      async () => {
        const kinds = new Set((await asked("ada", "history", "history")).map(({ kind }) => kind));
        for (const kind of ["seat-opened", "deposit", "fund", "withdraw", "ticket-opened", "fill"] as const) {
          assert.ok(kinds.has(kind), kind);
        }
      },
      async () => assert.match(await did("ada", "history --from 1 --to 1"), /fill +WTI/),
      async () => {
        const { openingEquity, deposits, closingEquity } = await asked("ada", "statement", "statement");
        assert.deepEqual([openingEquity, deposits], ["0", "602500500000"]);
        assert.ok(dollars(closingEquity) > 600_000n);
      },
      async () => assert.ok((await asked("ada", "privacy", "privacy")).inferences.length > 3),
      async () => assert.match(await did("bela", "privacy"), /Active seats: 5/),
      async () => assert.match(await did(undefined, "doctor"), /ok +verifying key/),
      async () => assert.match(await did(undefined, "explain OffTick"), /What to do: Round it/),
      async () => assert.match(await did(undefined, "completion bash"), /hedgerow/),
      async () => assert.equal((await asked("ada", "catch-up", "catchUp")).abandoned, 0),
      async () => assert.match(await did("cleo", "catch-up"), /sent again: 0/),
      async () => assert.match(await did(undefined, "--version"), /^\d/),
    );
  });

  test("show a viewing key's account to a wallet that only watches, and to an auditor [ACC-19, ACC-20]", async () => {
    const key = join(stage.directory, "secrets", "cleo.viewing");
    await ordered("cleo", "buy 1 LEAN-HOGS-JUN --limit 38000");
    await did("cleo", `wallet export-viewing-key ${key}`);
    await did(undefined, `wallet import-viewing-key watcher ${key} --password-file ${password}`);
    const watcher = `--wallet watcher --password-file ${password}`;
    const [csv, html] = [join(stage.home, "audit.csv"), join(stage.home, "audit.html")];
    await all(
      async () => {
        const own = await did("cleo", "balance --json");
        assert.equal(await did(undefined, `balance ${watcher} --json`), own);
        assert.match(await did(undefined, `ticket list ${watcher}`), /LEAN HOGS JUN/);
        await refused(undefined, `buy 1 WTI --limit 69000 ${watcher}`, { exit: 5, code: "WalletOnlyWatches" });
        await refused(undefined, `balance --account 0 ${watcher}`, { exit: 2, says: /one account only/ });
      },
      async () => {
        const out = await did(undefined, `audit --viewing-key ${key} --csv ${csv} --html ${html}`);
        assert.match(out, /deposits +50,000\.00/);
        assert.match(readFileSync(csv, "utf8"), /50000\.00/);
        assert.match(readFileSync(html, "utf8"), /<html[^]*50,000\.00/);
      },
    );
  });

  test("of a wallet recovered from its phrase are those of the live one [ACC-12]", async () => {
    const words = `--phrase-file ${phraseFile("ada")} --password-file ${password}`;
    await answered(undefined, `wallet recover again ${words}`, z.looseObject({ found: z.looseObject({}) }));
    const again = `--wallet again --password-file ${password} --json`;
    for (const report of ["balance", "history"]) {
      assert.equal(await did(undefined, `${report} ${again}`), await did("ada", `${report} --json`));
    }
  });
});

describe("a day ends", () => {
  test("tickets come back, seats are renewed, by an agent and by hand, and orders are refused meanwhile [CLI-8, AGT-8, AGT-10]", async () => {
    assert.ok((await asked("bela", "ticket close --all", "closeTickets")).length > 0);
    await stage.closeDay();
    await refused("bela", "buy 1 WTI --limit 69000", { exit: 3, code: "NotTrading", says: /being settled/ });
    assert.ok((await asked("cleo", "ticket close --all", "closeTickets")).every(({ status }) => status === "landed"));
    await goOn("ada", ({ openTickets }) => openTickets === 0);
    await stage.middleOfWindow();
    assert.equal((await asked("cleo", "renew", "renew")).status, "landed");
    await refused("cleo", "renew", { exit: 3, code: "SeatUnavailable" });
    for (const trader of ["ada", "bela"] as const) await goOn(trader, ({ duties }) => duties.length === 0);
    assert.equal((await asked("ada", "balance", "balance")).seat.epoch, 2);
    await stage.openDay();
    await until(async () => (await answered("ada", "agent status", agentStatus)).epoch === 2, "the next day");
  });

  test("seats that were not renewed rejoin, or leave with what they had; one that sleeps wakes, and an empty one is given back [CLI-8, SEA-5, SEA-9, SEA-10]", async () => {
    const { seat } = await asked("dora", "balance", "balance");
    assert.equal(seat.status, "inDefault");
    await all(
      async () => {
        await refused("dora", "buy 1 WTI --limit 69000", { exit: 3 });
        assert.equal((await asked("dora", "seat rejoin", "seat")).status, "landed");
        assert.equal((await asked("dora", "balance", "balance")).seat.status, "active");
      },
      async () => {
        const heir = "0x00000000000000000000000000000000000000b2";
        assert.equal((await asked("eva", `seat exit --to ${heir}`, "seat")).status, "landed");
        assert.ok((await readTokenBalance(stage.local.chain, heir)) >= 19_900n * DOLLAR);
      },
      async () => {
        assert.equal((await asked("cleo", "seat sleep", "seat")).status, "landed");
        assert.equal((await asked("cleo", "balance", "balance")).seat.status, "asleep");
        assert.equal((await asked("cleo", "seat wake", "seat")).status, "landed");
        await refused("cleo", `seat close --to ${STRANGER}`, {
          exit: 3,
          code: "AccountNotEmpty",
          says: /49,99\d\.\d\d/,
        });
        const { freeCash } = await asked("cleo", "balance", "balance");
        const most = BigInt(freeCash) - DOLLAR / 2n;
        await did("cleo", `withdraw ${most / DOLLAR}.${(most % DOLLAR).toString().padStart(6, "0")} --to ${STRANGER}`);
        assert.equal((await asked("cleo", `seat close --to ${STRANGER}`, "seat")).status, "landed");
      },
    );
  });

  test("agents end when they are told to, and the wallet is free again [AGT-1]", async () => {
    await all(
      () => did("ada", "agent stop"),
      async () => {
        const ended = await agents.get("bela")?.end("SIGINT");
        assert.equal(ended?.code, 0, ended?.err);
      },
    );
    assert.equal((await agents.get("ada")?.ended)?.code, 0);
    agents.clear();
    await refused(undefined, "agent status --wallet ada", { exit: 2, code: "NoAgent" });
    await answered("ada", "orders --all", z.array(orderView));
  });
});

test("no secret stands in what was said, in a command line, an environment or a file, and others may read nothing [ACC-1, CLI-5]", () => {
  const { clearingHouse, chainId } = stage.network;
  const domain = { name: "Hedgerow", version: "1", chainId, verifyingContract: clearingHouse } as const;
  const secrets: Record<string, RegExp> = { password: new RegExp(PASSWORD) };
  for (const trader of TRADERS) {
    const phrase = parseSeedPhrase(readFileSync(phraseFile(trader), "utf8"));
    const { spendingKey, viewingKey } = accountKeys(phrase, accountNumberOf(domain, 0n));
    secrets[`phrase of ${trader}`] = phrasePattern(phrase);
    const keys = { spendingKey, viewingKey, fundingKey: BigInt(fundingKeyOf(phrase)) };
    for (const [name, key] of Object.entries(keys)) secrets[`${name} of ${trader}`] = keyPattern(key);
    for (let i = 0; i < 12; i++) {
      secrets[`credit key ${i} of ${trader}`] = keyPattern(BigInt(creditPrivateKey(spendingKey, i)));
      secrets[`session key ${i} of ${trader}`] = keyPattern(BigInt(sessionPrivateKey(spendingKey, i, 0)));
    }
  }
  assert.ok(stage.recorder.processes() > 100);
  const heard = stage.recorder.heard();
  assert.ok(heard.includes("--password-file") && heard.includes("HEDGEROW_HOME"), "the recorder sees processes");
  assert.deepEqual(secretsIn(heard, secrets), []);

  const entries = entriesBelow(stage.home);
  assert.ok(entries.length > 20);
  for (const { path, mode, isDirectory } of entries) {
    assert.equal(mode.toString(8), isDirectory ? "700" : "600", path);
    if (isDirectory || path.endsWith("keystore.json") || path.endsWith(".sock")) continue;
    assert.deepEqual(secretsIn(readFileSync(path, "latin1"), secrets), [], path);
  }
});
