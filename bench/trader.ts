/**
 * Measures what a trader waits for: `npm run bench:trader -- --json FILE`. The command line from nothing to its first
 * question, and from the key pressed to the acknowledged receipt, with a real chain, exchange and agent, each a process
 * of its own on this machine. A missed aim is shown, and is no failure.
 */
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { startLocalExchange } from "../src/chain/localExchange.ts";
import { startOwnProcess } from "../src/chain/ownProcess.ts";
import { argumentsOf, Progress, table } from "../src/cli/terminal.ts";
import { DEMO_CLEARING_TERMS, LEAN_HOG_TERMS } from "../src/clearing/leanHogs.ts";
import { startExchangeProcess } from "../src/exchange/exchangeProcess.ts";
import { HedgerowError } from "../src/protocol/errors.ts";
import { newSeedPhrase } from "../src/protocol/keys.ts";
import { connectAgent } from "../src/trader/agent/client.ts";
import { socketPathOf } from "../src/trader/agent/socketPath.ts";
import { ensureWalletsDirectory, walletDirectory, writeNetwork, writeSettings } from "../src/trader/home.ts";
import { createWallet } from "../src/trader/store.ts";

/** Samples of each figure; the first one warms the machine up and is left out. */
const SAMPLES = 6;
const PASSWORD = "a password of the benchmark";
const COMMAND = resolve(import.meta.dirname, "../src/cli/main.ts");
const COMMAND_MS = 60_000;
/** Time beyond the proof that an order may take, and time to the first question, in milliseconds. */
const AIM = { beyondProofMs: 300, firstPromptMs: 400 };

/** A command of the benchmark failed: nothing is measured. */
class CommandFailed extends HedgerowError {
  constructor(args: readonly string[], output: string) {
    super(
      "CommandFailed",
      `hedgerow ${args.join(" ")} failed: ${output.slice(-2_000).trim()}: put that right and measure again`,
    );
  }
}

type Figure = { readonly name: string; readonly medianMs: number; readonly worstMs: number; readonly aimMs?: number };

const { values } = argumentsOf({ json: { type: "string" } }, "npm run bench:trader -- [--json FILE]");
const directory = mkdtempSync(join(tmpdir(), "hedgerow-bench-"));
const home = join(directory, "home");
const passwordFile = join(directory, "password");
const machine = `${cpus().length} x ${cpus()[0]?.model ?? "unknown"}, Node ${process.versions.node}`;
const workload = `one trader, one market, ${SAMPLES - 1} samples each, batches every 500 ms; chain, exchange and agent share the machine`;
const progress = new Progress("measuring", 8 * SAMPLES);
const local = await startLocalExchange({
  clearingTerms: DEMO_CLEARING_TERMS,
  markets: [LEAN_HOG_TERMS],
  governanceDelay: 7 * 86_400,
});
const exchange = await startExchangeProcess({
  chainUrl: local.url,
  clearingHouse: local.chain.address,
  operatorKey: local.operatorKey,
  directory: join(directory, "exchange"),
  batchMs: 500,
});
try {
  await setUp();
  const figures = await measure();
  const report = { machine, workload, figures };
  console.log(`${machine}\n${workload}\n`);
  console.log(
    table(
      [
        { title: "figure" },
        { title: "median ms", right: true },
        { title: "worst ms", right: true },
        { title: "aim ms", right: true },
      ],
      figures.map(({ name, medianMs, worstMs, aimMs }) => [
        name,
        medianMs.toFixed(0),
        worstMs.toFixed(0),
        aimMs === undefined ? "" : `${aimMs.toFixed(0)}${medianMs <= aimMs ? "" : " missed"}`,
      ]),
    ),
  );
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(report, null, 2)}\n`);
} finally {
  await exchange.stop();
  await local.stop();
  rmSync(directory, { recursive: true, force: true });
}

async function setUp(): Promise<void> {
  mkdirSync(home, { mode: 0o700 });
  writeFileSync(passwordFile, `${PASSWORD}\n`, { mode: 0o600 });
  writeNetwork(home, {
    name: "bench",
    chain: local.url,
    chainId: Number(local.chain.chainId),
    clearingHouse: local.chain.address,
    fromBlock: 0,
    exchange: exchange.url,
    decimals: 6,
  });
  ensureWalletsDirectory(home);
  const wallet = await createWallet(walletDirectory(home, "main"), newSeedPhrase(), PASSWORD);
  wallet.close();
  writeSettings(home, { network: "bench", wallet: "main" });
  await command(["deposit", "1000000", "--faucet"], true);
}

async function measure(): Promise<readonly Figure[]> {
  const help = await sampled("hedgerow --help", () => command(["--help"], false));
  const list = await sampled("hedgerow wallet list", () => command(["wallet", "list"], false));
  const prompt = await sampled("first question of hedgerow balance", firstPrompt, AIM.firstPromptMs);
  const balance = await sampled("hedgerow balance, wallet opened for it", () => command(["balance"], true));
  const coldBuy = await sampled("hedgerow buy, wallet opened for it", () => command(buyArgs(), true));
  const agent = await startOwnProcess({
    program: COMMAND,
    args: ["agent", "--json", "--no-close-tickets", "--home", home, "--password-file", passwordFile],
    timeoutMs: 60_000,
    announcement: (printed) => (printed.includes("\n") ? printed : undefined),
  });
  try {
    const agentBalance = await sampled("hedgerow balance, through the agent", () => command(["balance"], false));
    const { ack, proof } = await ordersThroughAgent();
    const agentBuy = await sampled(
      "hedgerow buy, through the agent, to its receipt",
      () => command(buyArgs(), false),
      proof.medianMs + AIM.beyondProofMs,
    );
    return [help, list, prompt, balance, coldBuy, agentBalance, proof, ack, agentBuy];
  } finally {
    await agent.end("SIGTERM");
  }
}

/** Far from the other side: every order rests, on a fresh ticket with a proof of its own. */
function buyArgs(): readonly string[] {
  return ["buy", "1", "0", "--limit", "31000"];
}

/** Orders on an open connection to the agent: to the receipt, and the part of it that is the proof. */
async function ordersThroughAgent(): Promise<{ readonly ack: Figure; readonly proof: Figure }> {
  const service = await connectAgent(socketPathOf(walletDirectory(home, "main")));
  if (service === undefined) throw new CommandFailed(["agent"], "it does not answer");
  const proofs: number[] = [];
  const order = { slot: 0, side: "buy", quantity: 1, limitPrice: (31_000n * 1_000_000n).toString() } as const;
  const ack = await sampled("the same on an open connection", async () => {
    // The note of the order before must be on chain: that wait is a block's, not the order's.
    await service.run("catchUp", {});
    let proving = 0;
    const started = performance.now();
    const [placed] = await service.run(
      "place",
      { orders: [order] },
      {
        onProgress: ({ stage }) => {
          if (stage === "proving") proving = performance.now();
          if (stage === "sending" && proving > 0) {
            proofs.push(performance.now() - proving);
            proving = 0;
          }
        },
      },
    );
    if (placed?.order?.status !== "open") throw new CommandFailed(["buy"], placed?.refusal?.message ?? "not open");
    return performance.now() - started;
  });
  await service.close();
  return { ack, proof: figureOf("its proof", proofs.slice(1)) };
}

/** Milliseconds from the start of a command to its end. Throws CommandFailed. */
async function command(args: readonly string[], withPassword: boolean): Promise<number> {
  if (args[0] === "buy") await landed(withPassword);
  const all = [COMMAND, ...args, ...(args[0] === "--help" ? [] : ["--home", home])];
  if (withPassword) all.push("--password-file", passwordFile);
  const started = performance.now();
  const child = spawn(process.execPath, all, { stdio: ["ignore", "pipe", "pipe"], timeout: COMMAND_MS });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const code = await new Promise<number | null>((done) => child.on("close", done));
  if (code !== 0) throw new CommandFailed(args, output);
  return performance.now() - started;
}

/** Waits until the order before is on chain, so that its block's time is not measured. */
async function landed(withPassword: boolean): Promise<void> {
  await command(["catch-up"], withPassword);
}

/** Milliseconds until a command asks for the password at a terminal. */
async function firstPrompt(): Promise<number> {
  const line = [process.execPath, COMMAND, "balance", "--home", home].map((part) => `'${part}'`).join(" ");
  const started = performance.now();
  const child = spawn("script", ["-qec", line, "/dev/null"], {
    stdio: ["pipe", "pipe", "ignore"],
    timeout: COMMAND_MS,
  });
  try {
    await new Promise<void>((done, failed) => {
      let output = "";
      child.stdout.on("data", (chunk: Buffer) => {
        output += chunk.toString();
        if (output.includes("Password")) done();
      });
      child.on("close", () => failed(new CommandFailed(["balance"], output)));
    });
    return performance.now() - started;
  } finally {
    child.removeAllListeners("close");
    child.stdin.end("\u0003");
    await new Promise((done) => child.on("close", done));
  }
}

async function sampled(name: string, once: () => Promise<number>, aimMs?: number): Promise<Figure> {
  const samples: number[] = [];
  for (let i = 0; i < SAMPLES; i++) {
    samples.push(await once());
    progress.step();
  }
  return figureOf(name, samples.slice(1), aimMs);
}

function figureOf(name: string, samples: readonly number[], aimMs?: number): Figure {
  const sorted = samples.toSorted((a, b) => a - b);
  const [medianMs = 0, worstMs = 0] = [sorted[Math.floor(sorted.length / 2)], sorted.at(-1)];
  return { name, medianMs, worstMs, ...(aimMs !== undefined && { aimMs }) };
}
