import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { Readable } from "node:stream";

import type { ClearingTerms, MarketTerms } from "../../src/chain/deploy.ts";
import { type LocalExchange, startLocalExchange } from "../../src/chain/localExchange.ts";
import { DEMO_CLEARING_TERMS } from "../../src/clearing/leanHogs.ts";
import { type ExchangeProcess, startExchangeProcess } from "../../src/exchange/exchangeProcess.ts";
import { type Network, writeNetwork, writeSettings } from "../../src/trader/home.ts";
import { type Recorder, startRecorder } from "./recorder.ts";
import { networkOf } from "./stageParts.ts";
import { openEpoch } from "./openEpoch.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const MAIN = join(ROOT, "src/cli/main.ts");
/** No command takes so long, on a busy machine either. Milliseconds. */
const MOST_MS = 180_000;

/** How a command ended, and what it said. */
export type Ran = { readonly code: number | null; readonly out: string; readonly err: string };

/** A command that goes on until it is told to end. */
export type Running = {
  readonly pid: number;
  readonly out: () => string;
  readonly err: () => string;
  /** Resolves once standard output or standard error has such a text. Throws where it ends without. */
  said(text: RegExp): Promise<void>;
  end(signal?: NodeJS.Signals): Promise<Ran>;
  readonly ended: Promise<Ran>;
};

/** A chain, an exchange, and a home directory: the command line runs as people run it, each command a process. */
export type CliStage = {
  readonly local: LocalExchange;
  readonly exchange: ExchangeProcess;
  readonly network: Network;
  /** Everything that commands write is below it. */
  readonly directory: string;
  readonly home: string;
  readonly recorder: Recorder;
  /** Runs `hedgerow` with these arguments to its end. */
  run(...args: readonly string[]): Promise<Ran>;
  start(...args: readonly string[]): Running;
  /** Starts a program in the project's directory, as "./hedgerow" or "npm". */
  startProgram(program: string, ...args: readonly string[]): Running;
  /** A file of the owner only. Answers its path. */
  secretFile(name: string, text: string): string;
  /** Moves the chain's clock to that time, unix seconds, unless it is later already. */
  timeTo(time: bigint): Promise<void>;
  /** Moves the chain's clock to the end of the trading day; the exchange closes it. */
  closeDay(): Promise<void>;
  /** Moves the clock to the settlement window's second half. */
  middleOfWindow(): Promise<void>;
  /** Moves the clock to the end of the window, and mines the blocks that part B has to have. */
  endOfWindow(): Promise<void>;
  /** Moves the clock to the end of the window and opens the next day. */
  openDay(): Promise<void>;
  stop(): Promise<void>;
};

/** Starts a chain and an exchange, and a home directory that names them. Ends with `stop`. */
export async function startCliStage(
  markets: readonly MarketTerms[],
  terms: Partial<ClearingTerms> = {},
): Promise<CliStage> {
  // A socket's path may have a hundred bytes only.
  const directory = mkdtempSync(join(tmpdir(), "hedgerow-"));
  const home = join(directory, "home");
  const recorder = startRecorder();
  const local = await startLocalExchange({
    clearingTerms: { ...DEMO_CLEARING_TERMS, windowBlocks: 2, ...terms },
    markets,
    governanceDelay: 7 * 86_400,
  });
  const exchange = await startExchangeProcess({
    chainUrl: local.url,
    clearingHouse: local.chain.address,
    operatorKey: local.operatorKey,
    directory: join(directory, "exchange"),
    batchMs: 200,
    more: ["--connections-per-address", "1000", "--transitions-per-second", "100"],
  });
  const network = networkOf(local.url, local.chain, exchange.url);
  writeNetwork(home, network);
  writeSettings(home, { network: "test" });
  const running = new Set<Running>();

  const startProgram = (program: string, ...args: readonly string[]): Running => {
    const child = spawn(program, args, {
      cwd: ROOT,
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, HEDGEROW_HOME: home },
    });
    recorder.command(args);
    const one = runningOf(child, recorder);
    running.add(one);
    void one.ended.then(() => running.delete(one));
    return one;
  };
  const start = (...args: readonly string[]): Running => startProgram(process.execPath, MAIN, ...args);

  const timeTo = async (time: bigint): Promise<void> => {
    const now = await local.now();
    if (now < time) await local.advanceTime(Number(time - now));
  };
  const day = async () => {
    const [epoch] = await local.chain.house.read.clock();
    return local.chain.house.read.epochOf([epoch]);
  };

  return {
    local,
    exchange,
    network,
    directory,
    home,
    recorder,
    start,
    startProgram,
    timeTo,
    run: async (...args) => {
      const one = start(...args);
      const timer = setTimeout(() => void one.end("SIGKILL"), MOST_MS);
      const ran = await one.ended;
      clearTimeout(timer);
      return ran;
    },
    secretFile: (name, text) => {
      mkdirSync(join(directory, "secrets"), { recursive: true, mode: 0o700 });
      const file = join(directory, "secrets", name);
      writeFileSync(file, text, { mode: 0o600 });
      return file;
    },
    closeDay: async () => {
      await timeTo((await day()).closingTime + 1n);
      await until(async () => (await day()).closedAt > 0n, "the exchange closes the day");
    },
    middleOfWindow: async () => {
      await timeTo((await day()).closedAt + BigInt(local.terms.windowA) + 1n);
      await local.mine(local.terms.windowBlocks);
    },
    endOfWindow: async () => {
      await timeTo((await day()).closedAt + BigInt(local.terms.windowA + local.terms.windowB));
      await local.mine(local.terms.windowBlocks);
    },
    openDay: async () => {
      await timeTo((await day()).closedAt + BigInt(local.terms.windowA + local.terms.windowB));
      await openEpoch(local, await local.fundedSender(0n));
    },
    stop: async () => {
      await Promise.all([...running].map((one) => one.end("SIGKILL")));
      recorder.stop();
      await exchange.stop();
      await local.stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function runningOf(child: ChildProcessByStdio<null, Readable, Readable>, recorder: Recorder): Running {
  const said = { out: "", err: "" };
  for (const name of ["out", "err"] as const) {
    const stream = name === "out" ? child.stdout : child.stderr;
    stream.setEncoding("utf8").on("data", (chunk: string) => {
      said[name] += chunk;
      recorder.text(chunk);
    });
  }
  const ended = once(child, "close").then((): Ran => ({ code: child.exitCode, ...said }));
  return {
    pid: child.pid ?? 0,
    out: () => said.out,
    err: () => said.err,
    said: async (text) => {
      const isOver = (): boolean => child.exitCode !== null || child.signalCode !== null;
      await until(() => Promise.resolve(text.test(said.out + said.err) || isOver()), String(text));
      if (!text.test(said.out + said.err)) throw new Error(`it ended without ${text}: ${said.out}${said.err}`);
    },
    end: (signal = "SIGINT") => {
      child.kill(signal);
      return ended;
    },
    ended,
  };
}

/** Waits until something holds. Throws where it does not come about. */
export async function until(holds: () => Promise<boolean>, what: string): Promise<void> {
  const start = performance.now();
  while (!(await holds())) {
    if (performance.now() - start > MOST_MS) throw new Error(`it never came about: ${what}`);
    await new Promise((done) => setTimeout(done, 100));
  }
}
