import { createWalletClient, encodeFunctionData, http } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { HedgerowError } from "../protocol/errors.ts";
import type { Hex } from "../protocol/keys.ts";
import { testDollarAbi } from "../protocol/abi.ts";
import { deployWithLibraries, type Libraries } from "./artifacts.ts";
import { type NodeOptions, nodeTransport, publicClientOf } from "./clearingHouse.ts";

/** Terms of the clearing house, fixed for its life. Amounts in base units, times in seconds (spec GOV-6). */
export type ClearingTerms = {
  readonly seatBond: bigint;
  readonly lateFee: bigint;
  readonly relayFee: bigint;
  /** What whoever reports a seat in default gets of its bond. */
  readonly reporterReward: bigint;
  readonly tradingTime: number;
  readonly settleGrace: number;
  readonly settlementWindow: number;
  /** From the opening of an epoch to its call auction; 0 where there is none (spec EPO-12). */
  readonly callAuction: number;
  readonly windowA: number;
  readonly windowB: number;
  readonly windowBlocks: number;
  readonly refundDelay: number;
  readonly flatGraceEpochs: number;
  /** Time at a limit after which a day may end early, 0 for never; and how long after that it ends (spec EPO-13). */
  readonly lockTime: number;
  readonly lockNotice: number;
};

/** Published terms of one contract. Amounts in base units per contract (spec GOV-2). */
export type MarketTerms = {
  readonly contractId: Hex;
  readonly listingPrice: bigint;
  readonly tick: bigint;
  readonly priceLimit: bigint;
  /** The limit of the day after one that settled at its limit (spec SET-13). */
  readonly expandedLimit: bigint;
  readonly maintenanceMargin: bigint;
  readonly initialMargin: bigint;
  readonly closeOutFee: bigint;
  readonly fillFee: bigint;
  readonly minimumVolume: number;
  readonly minimumMinutes: number;
  readonly lastTradingTime: bigint;
  /** How far beyond the last price an incoming order may go; 0 for no collar (spec ORD-23). */
  readonly priceCollar: bigint;
  /** Feed of the final price, or the zero address; its 1.0 is so many base units, and it is good for so many seconds. */
  readonly priceFeed: Hex;
  readonly feedMultiplier: bigint;
  readonly feedMaxAge: number;
};

/** What a deployment needs to know. */
export type DeploymentPlan = {
  readonly url: string;
  readonly deployerKey: Hex;
  /** May schedule terms, through a delay. */
  readonly owner: Hex;
  readonly operator: Hex;
  readonly governanceDelay: number;
  readonly clearingTerms: ClearingTerms;
  /** By slot; at most eight. */
  readonly markets: readonly MarketTerms[];
  /** Collateral: any plain ERC-20. A test dollar with a faucet is deployed where it is absent. */
  readonly token?: Hex;
  /** Libraries that stand already and are linked as they are. */
  readonly libraries?: Libraries;
};

/** Where everything is. */
export type Deployed = {
  readonly clearingHouse: Hex;
  readonly registry: Hex;
  readonly token: Hex;
  readonly gasUsed: bigint;
};

/** Number of a local development chain. */
export const LOCAL_CHAIN_ID = 31_337;

/** The committed key is for development: whoever reads its ceremony can forge proofs (spec THR-14). */
export class DevelopmentKeyOnly extends HedgerowError {
  constructor(chainId: number) {
    super(
      "DevelopmentKeyOnly",
      `chain ${chainId} is not a local one, but the proving key in circuits/keys is a development key, with which ` +
        `anybody can forge proofs: hold a ceremony of your own first`,
      { chainId },
    );
  }
}

/** Deploys token (if none is given), registry, libraries and clearing house. Throws DeploymentFailed, DevelopmentKeyOnly. */
export async function deployExchange(plan: DeploymentPlan): Promise<Deployed> {
  const chainId = await publicClientOf(plan.url, 0).getChainId();
  if (chainId !== LOCAL_CHAIN_ID) throw new DevelopmentKeyOnly(chainId);
  const client = publicClientOf(plan.url, chainId);
  const wallet = createWalletClient({
    account: privateKeyToAccount(plan.deployerKey),
    chain: client.chain,
    transport: http(plan.url),
  });
  const token = plan.token ?? (await deployWithLibraries(wallet, client, "TestDollar")).address;
  const registry = await deployWithLibraries(wallet, client, "MarketRegistry", [
    plan.governanceDelay,
    plan.owner,
    plan.operator,
    plan.markets,
  ]);
  const parameters = [token, registry.address, plan.clearingTerms];
  const house = await deployWithLibraries(wallet, client, "ClearingHouse", parameters, plan.libraries);
  return {
    clearingHouse: house.address,
    registry: registry.address,
    token,
    gasUsed: registry.gasUsed + house.gasUsed,
  };
}

/** Takes test dollars from the faucet of a local chain. */
export async function drawFromFaucet(
  url: string,
  token: Hex,
  senderKey: Hex,
  to: Hex,
  amount: bigint,
  options: NodeOptions = {},
): Promise<void> {
  const chainId = await publicClientOf(url, 0, options).getChainId();
  const client = publicClientOf(url, chainId, options);
  const wallet = createWalletClient({
    account: privateKeyToAccount(senderKey),
    chain: client.chain,
    transport: nodeTransport(url, options),
  });
  const data = encodeFunctionData({ abi: testDollarAbi, functionName: "faucet", args: [to, amount] });
  await client.waitForTransactionReceipt({ hash: await wallet.sendTransaction({ to: token, data }) });
}
