import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { constants, setPriority, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isAddress } from "viem";
import { z } from "zod";
import { connectExchange } from "../src/api/client.ts";
import { deposit, openSeat, type ProvenTransition } from "../src/chain/clearingHouse.ts";
import { DOLLAR } from "../src/clearing/leanHogs.ts";
import { HedgerowError } from "../src/protocol/errors.ts";
import { type Hex, keysOfSpendingKey, sessionPrivateKey } from "../src/protocol/keys.ts";
import type { Domain } from "../src/protocol/order.ts";
import { createProver } from "../src/prover/prover.ts";
import { TraderAccount } from "../src/trader/account.ts";
import { startExchange } from "../test/support/exchange.ts";

/** A ticket with the key that signs for it. */
export type Desk = { readonly ticketId: Hex; readonly key: Uint8Array };

/** An exchange that runs in a process of its own, over a chain in another, and tickets to trade on. */
export type Site = {
  readonly url: string;
  readonly operator: Hex;
  readonly domain: Domain;
  readonly desks: readonly Desk[];
  /** One of the numbers that the exchange shows at /metrics. */
  metric(name: string): Promise<number>;
  /** Processor time since their start, milliseconds; undefined where the system does not tell. */
  cpuMs(): { readonly exchange: number; readonly chain: number } | undefined;
  stop(): Promise<void>;
};

/** The exchange's process ended before it said where it listens. */
export class ExchangeNotStarted extends HedgerowError {
  constructor(ended: string) {
    super("ExchangeNotStarted", `hedgerow exchange ended with ${ended} before it was open: see its log above`, {
      ended,
    });
  }
}

/** What `hedgerow exchange` says on its first line. */
const announcement = z.object({ url: z.string(), operator: z.custom<Hex>((value) => isAddress(String(value))) });

const HOGS = 0;
const TICKETS_PER_PROOF = 8;
const STAKE = 20_000_000n * DOLLAR;
/** Milliseconds of a tick in /proc, on every Linux there is. */
const TICK_MS = 10;

/** Starts chain and exchange, funds traders and opens at least `tickets` tickets with real proofs, eight with each. */
export async function openSite(tickets: number): Promise<Site> {
  const closing: (() => Promise<void> | void)[] = [];
  const stop = async (): Promise<void> => {
    for (const close of closing.splice(0).reverse()) await close();
  };
  try {
    const others = childPids();
    const chain = await startExchange();
    closing.push(chain.stop);
    const [chainPid] = childPids().filter((pid) => !others.includes(pid));
    const folder = mkdtempSync(join(tmpdir(), "hedgerow-bench-"));
    process.once("exit", () => {
      rmSync(folder, { recursive: true, force: true });
    });
    const key = join(folder, "operator.key");
    writeFileSync(key, chain.operatorKey, { mode: 0o600 });
    const served = await serve([
      ...["--chain", chain.url, "--clearing-house", chain.deployed.clearingHouse, "--key", key],
      ...["--journal", join(folder, "journal"), "--port", "0", "--log-level", "warn"],
      ...["--connections-per-address", "1000"],
    ]);
    closing.push(() => end(served.child));

    const prover = await createProver();
    closing.push(() => prover.close());
    const client = connectExchange(served.url);
    closing.push(() => client.close());
    const traders = Math.ceil(tickets / TICKETS_PER_PROOF);
    const stake = STAKE * BigInt(TICKETS_PER_PROOF + 1);
    const payer = await chain.fundedSender(BigInt(traders) * (stake + chain.terms.seatBond));
    const accounts: { readonly account: TraderAccount; readonly credit: bigint }[] = [];
    for (let i = 1; i <= traders; i++) {
      const account = await TraderAccount.open({ keys: keysOfSpendingKey(BigInt(i)), chain: chain.state, prover });
      await openSeat(chain.chain, payer, account.keys.ownerKey);
      accounts.push({ account, credit: await deposit(chain.chain, payer, stake, account.newCreditKey()) });
    }
    const follow = async (): Promise<void> => {
      await chain.state.sync();
      for (const { account } of accounts) account.applyChain();
    };
    const submit = async (transition: ProvenTransition): Promise<bigint> =>
      (await client.submitTransition(transition)).nullifier;
    const settled = async (nullifiers: readonly bigint[]): Promise<void> => {
      for (;;) {
        await follow();
        if (nullifiers.every((nullifier) => chain.state.transitioned.has(nullifier))) return;
        await sleep(100);
      }
    };

    await follow();
    const funded: bigint[] = [];
    for (const { account, credit } of accounts) funded.push(await submit(await account.fund(credit)));
    await settled(funded);
    const opened: bigint[] = [];
    const desks: Desk[] = [];
    for (const { account } of accounts) {
      const specs = Array.from({ length: TICKETS_PER_PROOF }, () => ({ cash: STAKE, position: 0n }));
      const { transition, tickets } = await account.openTickets(HOGS, specs);
      opened.push(await submit(transition));
      for (const { ticketId, noteIndex, keyIndex } of tickets) {
        const secret = sessionPrivateKey(account.keys.spendingKey, noteIndex, keyIndex);
        desks.push({ ticketId, key: Buffer.from(secret.slice(2), "hex") });
      }
    }
    await settled(opened);
    await prover.close();
    giveWay(chainPid);

    return {
      url: served.url,
      operator: served.operator,
      domain: chain.chain.domain,
      desks,
      metric: async (name) => {
        const text = await (await fetch(`${served.url}/metrics`)).text();
        return Number(new RegExp(`^${name} (.*)$`, "m").exec(text)?.[1]);
      },
      cpuMs: () => {
        const [exchange, ofChain] = [cpuOf(served.child.pid), cpuOf(chainPid)];
        return exchange === undefined || ofChain === undefined ? undefined : { exchange, chain: ofChain };
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Starts `hedgerow exchange` as an operator would; it ends with this process, however that ends. */
async function serve(options: readonly string[]) {
  const main = new URL("../src/cli/main.ts", import.meta.url).pathname;
  const child = fork(main, ["exchange", ...options], {
    execArgv: ["--import", import.meta.resolve("../src/chain/endWithParent.ts")],
    stdio: ["ignore", "pipe", "inherit", "ipc"],
    // Its own process group: Ctrl-C reaches this process only, which ends the others.
    detached: true,
  });
  const announced = new Promise<string>((resolve, reject) => {
    child.stdout?.setEncoding("utf8").once("data", resolve);
    child.once("exit", (code, signal) => {
      reject(new ExchangeNotStarted(String(signal ?? code)));
    });
  });
  return { child, ...announcement.parse(JSON.parse(await announced)) };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGTERM");
  const killer = setTimeout(() => child.kill("SIGKILL"), 8_000);
  await exited;
  clearTimeout(killer);
}

/** Processes that this one has started, on Linux. */
function childPids(): readonly number[] {
  try {
    const listed = readFileSync(`/proc/self/task/${process.pid}/children`, "utf8");
    return listed.split(" ").filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

/**
 * Lets a process work with what the others leave: the chain would be on other machines, and takes longer for a trade
 * than the exchange by far. On Linux each thread has a priority of its own, and most systems weigh whole sessions.
 */
function giveWay(pid: number | undefined): void {
  if (pid === undefined) return;
  for (const thread of readdirSync(`/proc/${pid}/task`))
    setPriority(Number(thread), constants.priority.PRIORITY_BELOW_NORMAL);
  const session = `/proc/${pid}/autogroup`;
  if (existsSync(session)) writeFileSync(session, String(constants.priority.PRIORITY_BELOW_NORMAL));
}

function cpuOf(pid: number | undefined): number | undefined {
  try {
    // After the name in parentheses come the state and the numbers; user and system time are the 12th and 13th.
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
    return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
  } catch {
    return undefined;
  }
}
