/**
 * Pins figures that a change of the contracts must not move unnoticed, in bench/figures.pins.json: the size of every
 * deployed contract, and the gas of calls whose bytes are always the same. What pins the circuit and its keys is
 * circuits/pins.json.
 *
 *     node scripts/pins.ts            measure and write
 *     node scripts/pins.ts --check    exit code 1, with what differs, unless the file says the same
 */
import { readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { createTestClient, createWalletClient, http, type TransactionReceipt } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { z } from "zod";
import { deployedContracts, openAccounts, post, postFills, proveOpenings, type Site } from "../bench/workload.ts";
import { deployWithLibraries } from "../src/chain/artifacts.ts";
import { ChainState } from "../src/chain/chainState.ts";
import { approve, call, closeEpoch, connect, publicClientOf, senderOf } from "../src/chain/clearingHouse.ts";
import { deployExchange, drawFromFaucet } from "../src/chain/deploy.ts";
import { startLocalNode } from "../src/chain/localNode.ts";
import { table } from "../src/cli/terminal.ts";
import { DEMO_CLEARING_TERMS, LEAN_HOG_TERMS } from "../src/clearing/leanHogs.ts";
import { unprovenProver } from "../test/support/unprovenExchange.ts";

const FILE = resolve(import.meta.dirname, "../bench/figures.pins.json");

/** The first two accounts of every local chain: known to all, worth nothing anywhere else. */
const DEPLOYER = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
const PAYER = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";

/** Times that a call carries are bytes, and bytes cost gas: so the chain starts at a fixed one. */
const START = 2_000_000_000n;

const figures = z.record(z.string(), z.int().nonnegative());
const pins = z.object({ bytes: figures, gas: figures });
type Pins = z.infer<typeof pins>;

async function measure(): Promise<Pins> {
  const node = await startLocalNode();
  try {
    return {
      bytes: Object.fromEntries(deployedContracts().map(({ name, size }) => [name, size])),
      gas: await measureGas(node.url),
    };
  } finally {
    await node.stop();
  }
}

async function measureGas(url: string): Promise<Pins["gas"]> {
  const test = createTestClient({ mode: "hardhat", transport: http(url) });
  await test.setNextBlockTimestamp({ timestamp: START });
  const site = await deploySite(url);
  await test.setNextBlockTimestamp({ timestamp: START + 2_000n });

  const bench = await openAccounts(site, unprovenProver, 8);
  const first = await proveOpenings(bench.accounts, 1);
  await post(bench, first.transitions);
  const one = await proveOpenings(bench.accounts.slice(0, 1), 1);
  const openOne = await post(bench, one.transitions);
  const eight = await proveOpenings(bench.accounts, 1);
  const openEight = await post(bench, eight.transitions);
  const pairs = first.desks.flatMap((maker, i) => {
    const taker = eight.desks[i];
    return taker === undefined ? [] : [{ maker, taker }];
  });
  const fillOne = await postFills(bench, pairs.slice(0, 1));
  const fillFour = await postFills(bench, pairs.slice(1, 5));
  const { closingTime } = await site.chain.house.read.epochOf([1]);
  await test.setNextBlockTimestamp({ timestamp: closingTime });
  const close = await closeEpoch(site.chain, site.operator);
  await test.mine({ blocks: site.terms.windowBlocks });
  await test.increaseTime({ seconds: site.terms.windowA + site.terms.windowB });
  await test.mine({ blocks: 1 });
  const begin = await call(site.chain, site.operator, { functionName: "beginRenewals", args: [] });
  await test.mine({ blocks: site.terms.windowBlocks });
  const open = await call(site.chain, site.operator, { functionName: "openEpoch", args: [] });

  const receipts: Record<string, TransactionReceipt> = {
    "batch of 1 opening, unproven": openOne,
    "batch of 8 openings, unproven": openEight,
    "batch of 1 fill": fillOne,
    "batch of 4 fills": fillFour,
    closeEpoch: close,
    beginRenewals: begin,
    openEpoch: open,
  };
  return Object.fromEntries(Object.entries(receipts).map(([what, { gasUsed }]) => [what, Number(gasUsed)]));
}

/** A clearing house at always the same address, which takes statements without proofs. */
async function deploySite(url: string): Promise<Site> {
  const client = publicClientOf(url, await publicClientOf(url, 0).getChainId());
  const wallet = createWalletClient({
    account: privateKeyToAccount(DEPLOYER),
    chain: client.chain,
    transport: http(url),
  });
  const { address: BatchVerifier } = await deployWithLibraries(wallet, client, "UnprovenVerifier");
  const deployed = await deployExchange({
    url,
    deployerKey: DEPLOYER,
    owner: wallet.account.address,
    operator: wallet.account.address,
    governanceDelay: 86_400,
    clearingTerms: DEMO_CLEARING_TERMS,
    markets: [LEAN_HOG_TERMS],
    libraries: { BatchVerifier },
  });
  const chain = await connect(url, deployed.clearingHouse, client.chain.id);
  return {
    url,
    chain,
    state: await ChainState.follow(chain),
    terms: DEMO_CLEARING_TERMS,
    operator: senderOf(url, chain.chainId, DEPLOYER),
    now: () => Promise.resolve(START + 1_000n),
    fundedSender: async (tokens) => {
      const payer = senderOf(url, chain.chainId, PAYER);
      await drawFromFaucet(url, deployed.token, PAYER, payer.address, tokens);
      await approve(chain, payer, tokens);
      return payer;
    },
  };
}

/** One row for each figure that is new, gone or another. */
function differences(pinned: Pins, measured: Pins): readonly (readonly string[])[] {
  return (["bytes", "gas"] as const).flatMap((kind) =>
    [...new Set([...Object.keys(pinned[kind]), ...Object.keys(measured[kind])])].flatMap((what) => {
      const [was, is] = [pinned[kind][what], measured[kind][what]];
      const change = was === undefined ? "new" : is === undefined ? "gone" : is > was ? `+${is - was}` : `${is - was}`;
      return was === is ? [] : [[`${what} (${kind})`, String(was ?? ""), String(is ?? ""), change]];
    }),
  );
}

const measured = await measure();
if (process.argv.includes("--check")) {
  const differing = differences(pins.parse(JSON.parse(readFileSync(FILE, "utf8"))), measured);
  if (differing.length > 0) {
    const right = true;
    console.error(
      table([{ title: "" }, { title: "pinned", right }, { title: "now", right }, { title: "", right }], differing),
    );
    console.error("If the change is meant: node scripts/pins.ts");
    process.exitCode = 1;
  }
} else {
  writeFileSync(FILE, `${JSON.stringify(measured, undefined, 2)}\n`);
}
