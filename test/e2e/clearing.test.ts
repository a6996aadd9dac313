import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { generatePrivateKey, privateKeyToAddress } from "viem/accounts";
import { z } from "zod";
import { readDayState } from "../../src/chain/clearingHouse.ts";
import { LOCAL_MARKETS } from "../../src/clearing/localMarkets.ts";
import { clearingHouseAbi } from "../../src/protocol/abi.ts";
import { newSeedPhrase } from "../../src/protocol/keys.ts";
import { fillFromFaucet } from "../../src/trader/faucet.ts";
import { createWallet } from "../../src/trader/store.ts";
import { placedView, takenOverView } from "../../src/trader/views.ts";
import { type CliStage, type Ran, type Running, startCliStage, until } from "../support/cliStage.ts";

/*
 * Two days as clearing clerks see them: every command a process of its own, with a real chain, a real exchange and real
 * proofs. Ada and Bela trade; Bela forgets a ticket, Cleo a renewal. Keepers are killed at several steps and go on. On
 * the second day the exchange dies before its end: everybody clears without it. The tests follow each other.
 */

const PASSWORD = "seven unlikely geese";
const DOLLAR = 1_000_000n;
const CONTRACTS = 2;
const PRICE = 69_900n * DOLLAR;
const WTI = 3;

let stage: CliStage;
let password = "";

before(async () => {
  stage = await startCliStage(LOCAL_MARKETS);
  password = stage.secretFile("password", `${PASSWORD}\n`);
  for (const name of ["ada", "bela", "cleo"]) {
    // Every command opens a wallet, so that the password is cheap to guess.
    const wallet = join(stage.home, "wallets", name);
    (await createWallet(wallet, newSeedPhrase(), PASSWORD, { scryptN: 1_024 })).close();
  }
});
after(() => stage.stop());

// ------------------------------------------------------------------ running commands

type Trader = "ada" | "bela" | "cleo";

/** Runs a command that succeeds. Answers what it printed. */
async function did(text: string): Promise<string> {
  const { code, out, err } = await stage.run(...text.split(" "));
  assert.equal(code, 0, `${text}: ${out}${err}`);
  assert.ok(
    out.split("\n").every((line) => line.length <= 80 || line.includes("0x")),
    out,
  );
  return out;
}

/** Runs a command with --json that succeeds: one object and nothing else, in the form that is given. */
async function answered<T>(text: string, schema: z.ZodType<T>): Promise<T> {
  const { code, out, err } = await stage.run(...text.split(" "), "--json");
  assert.deepEqual([code, err], [0, ""], `${text}: ${out}${err}`);
  return schema.parse(JSON.parse(out));
}

/** The same with a trader's wallet. */
function asked<T>(trader: Trader, text: string, schema: z.ZodType<T>): Promise<T> {
  return answered(`${text} --wallet ${trader} --password-file ${password}`, schema);
}

/** A refusal in plain English with what to do, on standard error. */
function assertRefused({ code, out, err }: Ran, exit: number, says: RegExp): void {
  assert.deepEqual([code, out], [exit, ""], err);
  assert.match(err, says);
  assert.match(err, /\nWhat to do: /);
  assert.doesNotMatch(err, /\n\s+at |node:internal|\.ts:\d|undefined|\[object/);
}

/** settle-day as people start it. */
function settling(...args: readonly string[]): Running {
  return stage.startProgram("./hedgerow", "settle-day", ...args);
}

/** Ends it as kill -9 does, once it has said something. */
async function killOnceSaid(running: Running, text: RegExp): Promise<void> {
  await running.said(text);
  assert.equal((await running.end("SIGKILL")).code, null);
}

const landed = z.looseObject({ status: z.literal("landed") });
const house = () => stage.local.chain.house;
const blockNumber = () => stage.local.chain.client.getBlockNumber();

async function filledEvents(): Promise<number> {
  const { client, address } = stage.local.chain;
  const found = { address, abi: clearingHouseAbi, eventName: "Filled", fromBlock: 0n } as const;
  return (await client.getContractEvents(found)).length;
}

const report = z.looseObject({
  epoch: z.number(),
  markets: z.array(
    z.looseObject({ slot: z.number(), settlementPrice: z.string(), tier: z.number(), taken: z.array(z.unknown()) }),
  ),
  seats: z.looseObject({
    due: z.number(),
    done: z.looseObject({ renewed: z.number() }),
    missed: z.array(z.string()),
  }),
  waterfall: z.array(z.unknown()),
});
const settled = z.looseObject({ epoch: z.number(), steps: z.array(z.looseObject({ kind: z.string() })), report });
const plan = z.looseObject({ steps: z.array(z.looseObject({ kind: z.string() })), prices: z.array(z.unknown()) });
const verdict = z.looseObject({
  days: z.array(
    z.looseObject({ epoch: z.number(), proofs: z.number(), fills: z.number(), settlements: z.array(z.unknown()) }),
  ),
  earlierProofs: z.object({ checked: z.number(), left: z.number() }),
  notChecked: z.array(z.string()),
});
const guaranty = z.object({
  closeOutAccount: z.string(),
  abandoned: z.array(z.object({ slot: z.number(), contract: z.string(), position: z.number() })),
  operatorStake: z.string(),
  stakeOfAll: z.string(),
  guarantyFund: z.string(),
  payoutRatio: z.string(),
});
const auction = z.looseObject({
  phase: z.string(),
  lots: z.array(
    z.looseObject({ slot: z.number(), position: z.number(), auction: z.looseObject({ price: z.string() }).nullable() }),
  ),
});

const reports = () => join(stage.directory, "reports");
const reportOf = (day: number) =>
  report.parse(JSON.parse(readFileSync(join(reports(), `day-${day}.json`), "utf8")) as unknown);

// ------------------------------------------------------------------ the tests

describe("the first day", () => {
  test("trades, and before its end it is not settled: the plan is told and nothing sent [CLR-2, CLR-8]", async () => {
    await Promise.all([
      asked("ada", "deposit 100000 --faucet", z.unknown()),
      asked("bela", "deposit 100000 --faucet", z.unknown()),
      asked("cleo", "deposit 10000 --faucet", z.unknown()),
    ]);
    const { closingTime } = await house().read.epochOf([1]);
    // In the settlement window.
    await stage.timeTo(closingTime - 900n);
    await asked("ada", `buy ${CONTRACTS} WTI --limit 69900`, placedView);
    const { order } = await asked("bela", `sell ${CONTRACTS} WTI --limit 69900`, placedView);
    assert.equal(order?.status, "filled");
    await until(async () => (await filledEvents()) > 0, "the fill settles");
    const block = await blockNumber();
    const early = settling();
    const script = stage.startProgram("npm", "run", "settle-day", "--", "--chain", stage.local.url, "--dry-run");
    assertRefused(await early.ended, 3, /Day 1 is traded until .*\[DayNotOver\]/);
    const { code, out, err } = await script.ended;
    assert.equal(code, 0, err);
    assert.match(out, /It is too early[^]*close[^]*renewals[^]*open[^]*Nothing was sent\.\n$/);
    assert.equal(await blockNumber(), block);
  });

  test("is closed by its exchange; a keeper that is killed while it waits, or ended by Ctrl-C, changes nothing [CLR-1, CLR-3]", async () => {
    await stage.closeDay();
    const block = await blockNumber();
    const { steps, prices } = await answered("settle-day --dry-run", plan);
    assert.deepEqual(
      [steps.map(({ kind }) => kind), prices.length],
      [["beginRenewals", "openEpoch"], LOCAL_MARKETS.length],
    );
    const [killed, interrupted] = [settling(), settling()];
    const waits = /Settlement prices:[^]*WTI +settlement window +70,000\.00 +69,900\.00[^]*waits for the end of part A/;
    await killOnceSaid(killed, waits);
    await interrupted.said(waits);
    assertRefused(await interrupted.end("SIGINT"), 130, /\[Interrupted\]/);
    assert.equal(await blockNumber(), block);
    const [closed] = await asked("ada", "ticket close --all", z.array(landed));
    assert.ok(closed !== undefined);
  });

  test("is brought to its end by keepers of whom one is killed after a step and two run at once, and is reported [CLR-1, CLR-2, CLR-6, CLR-7]", async () => {
    const killed = settling();
    await killed.said(/waits for the end of part A/);
    await stage.middleOfWindow();
    await killOnceSaid(killed, /renewals: 0x/);
    assert.ok((await house().read.epochOf([1])).renewalsBlock > 0n);
    await Promise.all([asked("ada", "renew", landed), asked("bela", "renew", landed)]);
    const two = [settling("--report-dir", reports()), settling("--json")] as const;
    await two[0].said(/waits for the end of part B.*seats renewed \(2 of 3\)/);
    await stage.endOfWindow();
    const [first, second] = await Promise.all(two.map(({ ended }) => ended));
    assert.ok(first !== undefined && second !== undefined);
    assert.deepEqual([first.code, second.code, second.err], [0, 0, ""], first.err);
    const { epoch, phase } = await readDayState(stage.local.chain);
    assert.deepEqual([epoch, phase], [2, "trading"]);
    assert.match(first.out, /Day 1 is settled\.[^]*Seats: 3 due, 2 renewed, 0 put to sleep, 0 closed, 1 missed\./);
    assert.deepEqual(readdirSync(reports()).sort(), ["day-1.html", "day-1.json"]);
    const told = reportOf(1);
    assert.deepEqual(settled.parse(JSON.parse(second.out)).report, told);
    const wti = told.markets.find(({ slot }) => slot === WTI);
    assert.deepEqual([wti?.settlementPrice, wti?.tier], [PRICE.toString(), 1]);
    assert.equal(told.seats.missed.length, 1);
    assertPage(1);
  });

  test("is verified from the chain alone: every proof, and what nobody can check is said [VER-1, VER-9]", async () => {
    const { code, out, err } = await stage.startProgram("./hedgerow", "verify-day", "--epoch", "1").ended;
    assert.equal(code, 0, err);
    assert.match(out, /^day 1 verified: 8 proofs, 1 fill, \d+ notes, 4 prices, [\d,.]+ in all buckets\n$/);
    assert.match(err, /Not checked:[^]*\n- price-time priority/);
    const { days } = await answered("verify-day --epoch 1", verdict);
    assert.deepEqual(
      days.map(({ epoch, proofs, fills }) => [epoch, proofs, fills]),
      [[1, 8, 1]],
    );
  });
});

describe("the second day", () => {
  let ticket = "";

  test("begins with what a drop-out left, and layers that stand for it are filled [FND-1, FND-6, DEF-3]", async () => {
    const [{ abandoned, closeOutAccount }, { phase, lots }] = await Promise.all([
      answered("guaranty show", guaranty),
      answered("auction list", auction),
    ]);
    assert.deepEqual(abandoned, [{ slot: WTI, contract: "WTI", position: -CONTRACTS }]);
    // What it owes at the settlement price, and the fee for leaving.
    assert.equal(BigInt(closeOutAccount), BigInt(CONTRACTS) * (PRICE + 2_750n * DOLLAR));
    assert.deepEqual([phase, lots.find(({ position }) => position !== 0)?.auction], ["trading", null]);
    const key = generatePrivateKey();
    const file = stage.secretFile("sponsor.key", `${key}\n`);
    const operator = stage.secretFile("operator.key", `${stage.local.operatorKey}\n`);
    await Promise.all(
      [privateKeyToAddress(key), privateKeyToAddress(stage.local.operatorKey)].map((address) =>
        fillFromFaucet(stage.network, address, 1_000n * DOLLAR),
      ),
    );
    assert.match(await did(`guaranty contribute 700 --key-file ${file}`), /^Done: transaction 0x/);
    assert.match(await did(`guaranty stake 900 --key-file ${operator}`), /^Done: transaction 0x/);
    const poor = stage.secretFile("poor.key", `${generatePrivateKey()}\n`);
    const [unpaid, nobody] = await Promise.all([
      stage.run("guaranty", "contribute", "5", "--key-file", poor),
      stage.run("guaranty", "stake", "5"),
    ]);
    assertRefused(unpaid, 3, /ether.*\[CallImpossible\]/);
    assert.deepEqual(
      [nobody.code, nobody.err],
      [2, "hedgerow: somebody's tokens are meant: give --key-file FILE, their owner's key\n"],
    );
    const shown = await did("guaranty show");
    assert.match(shown, /2 WTI[^]*stake +900\.00[^]*fund +700\.00[^]*paid at 100\.00 %/);
    const { tickets } = await asked(
      "ada",
      "ticket open WTI --cash 40000",
      z.looseObject({ tickets: z.array(z.string()) }),
    );
    ticket = tickets[0] ?? "";
    const { seat } = await asked("cleo", "balance", z.looseObject({ seat: z.looseObject({ status: z.string() }) }));
    assert.equal(seat.status, "inDefault");
  });

  test("is closed by a keeper when the exchange is gone; what was left is taken over without it [CLR-3, DEF-13, EPO-11]", async () => {
    await stage.exchange.stop();
    const { closingTime } = await house().read.epochOf([2]);
    await stage.timeTo(closingTime + 1n);
    const killed = settling();
    await killed.said(/waits for the operator to close the day/);
    await stage.timeTo(closingTime + BigInt(stage.local.terms.settleGrace));
    await killOnceSaid(killed, /close: 0x/);
    const list = await did("auction list");
    assert.match(list, /WTI +sell +2 +\d\d,\d\d\d\.\d\d +72,650\.00[^]*goes on:/);
    const short = ticket.slice(0, 12);
    const taken = await asked("ada", `auction take WTI 5 --limit 69900 --ticket ${short}`, takenOverView);
    assert.equal(taken.quantity, -CONTRACTS);
    assert.ok(BigInt(taken.price) >= PRICE);
    assert.match(await did("auction list"), /drop-outs left nothing/);
    const [closed] = await asked("ada", `ticket close ${short} --direct`, z.array(landed));
    assert.ok(closed !== undefined);
  });

  test("is settled by a clerk who comes again and again, and all days are verified [CLR-1, VER-7]", async () => {
    await stage.middleOfWindow();
    const { code, err } = await settling("--no-wait").ended;
    assert.equal(code, 3, err);
    assert.match(err, /renewals: 0x[^]*Day 2 is not settled: [^]*\[DayWaits\]/);
    await asked("ada", "renew --direct", landed);
    await stage.endOfWindow();
    assert.match(await did(`settle-day --report-dir ${reports()}`), /Day 2 is settled\.[^]*Seats: 2 due, 1 renewed/);
    const told = reportOf(2);
    assert.equal(told.markets.find(({ slot }) => slot === WTI)?.taken.length, 1);
    assertPage(2);
    await Promise.all([
      answered("verify-day --all", verdict).then(({ days, earlierProofs }) => {
        assert.deepEqual(
          days.map(({ epoch, proofs }) => [epoch, proofs]),
          [
            [1, 8],
            [2, 3],
          ],
        );
        assert.deepEqual(earlierProofs, { checked: 0, left: 0 });
      }),
      // Once more does no harm, and says the same.
      answered(`settle-day --epoch 2`, settled).then(({ steps, report: again }) =>
        assert.deepEqual([steps, again], [[], told]),
      ),
    ]);
  });

  test("a price that a node made up is found, and a node that does not answer is told apart [VER-4, VER-9, CLR-2]", async () => {
    const lying = await startLyingNode(stage.local.url);
    const gone = "http://127.0.0.1:9";
    try {
      const [lied, unverified, unsettled] = await Promise.all([
        stage.run("verify-day", "--chain", lying.url),
        stage.run("verify-day", "--chain", gone),
        stage.run("settle-day", "--chain", gone),
      ]);
      assertRefused(lied, 3, /block \d+[^]*\[ChainContradiction\]/);
      assertRefused(unverified, 4, /\[[A-Za-z]+\]/);
      assertRefused(unsettled, 4, /\[ChainUnavailable\]/);
    } finally {
      lying.stop();
    }
  });
});

/** The printable page of a day: whole, with its plots, and with nothing from elsewhere. */
function assertPage(day: number): void {
  const page = readFileSync(join(reports(), `day-${day}.html`), "utf8");
  assert.match(page, /^<!doctype html>[^]*WTI[^]*<\/html>\s*$/i);
  assert.equal((page.match(/<svg /g) ?? []).length, (page.match(/<\/svg>/g) ?? []).length);
  assert.ok((page.match(/<svg /g) ?? []).length >= LOCAL_MARKETS.length);
  assert.ok(!/<script|NaN|Infinity|undefined|src=|href=/.test(page));
}

/** A node that says another settlement price than the house's. */
async function startLyingNode(url: string): Promise<{ readonly url: string; readonly stop: () => void }> {
  const word = (price: bigint): string => price.toString(16).padStart(64, "0");
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("end", () => {
      void fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body: Buffer.concat(parts) })
        .then((answer) => answer.text())
        .then((text) => {
          const isLogs = Buffer.concat(parts).includes("eth_getLogs");
          response.end(isLogs ? text.replaceAll(word(PRICE), word(PRICE + 10n * DOLLAR)) : text);
        });
    });
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const address = server.address();
  assert.ok(address !== null && typeof address === "object");
  return {
    url: `http://127.0.0.1:${address.port}`,
    stop: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
