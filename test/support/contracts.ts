import { after } from "node:test";
import {
  BaseError,
  ContractFunctionRevertedError,
  createPublicClient,
  createWalletClient,
  http,
  type Abi,
  type Address,
  type PublicClient,
  type TransactionReceipt,
} from "viem";
import { mnemonicToAccount } from "viem/accounts";
import { hardhat } from "viem/chains";
import { deployWithLibraries } from "../../src/chain/artifacts.ts";
import { startLocalNode } from "../../src/chain/localNode.ts";

/** A deployed contract as tests use it. */
export type TestContract = {
  readonly address: Address;
  readonly abi: Abi;
  read(functionName: string, args?: readonly unknown[]): Promise<unknown>;
  /** Sends a transaction and waits for it. With a gas limit it is mined even if it fails; the call is refused then too. */
  send(functionName: string, args?: readonly unknown[], gas?: bigint): Promise<TransactionReceipt>;
};

/** What a contract said when it refused. */
export type Refusal = { readonly name: string; readonly args: readonly unknown[] };

/** A chain of its own for the tests of a file, ended after the last of them, and a way to deploy on it. */
export async function startTestChain(): Promise<{
  readonly client: PublicClient;
  readonly deploy: (name: string, args?: readonly unknown[]) => Promise<TestContract>;
}> {
  const node = await startLocalNode();
  after(() => node.stop());
  const transport = http(node.url);
  const client: PublicClient = createPublicClient({ chain: hardhat, transport, pollingInterval: 5 });
  const account = mnemonicToAccount("test test test test test test test test test test test junk");
  const wallet = createWalletClient({ account, chain: hardhat, transport });

  const deploy = async (name: string, args: readonly unknown[] = []): Promise<TestContract> => {
    const { address, abi } = await deployWithLibraries(wallet, client, name, args);
    return {
      address,
      abi,
      read: (functionName, callArgs = []) => client.readContract({ address, abi, functionName, args: callArgs }),
      send: async (functionName, callArgs = [], gas) => {
        const limit = gas === undefined ? {} : { gas };
        const call = { address, abi, functionName, args: callArgs, ...limit };
        return client.waitForTransactionReceipt({ hash: await wallet.writeContract(call) });
      },
    };
  };
  return { client, deploy };
}

/** The typed error with which a call is refused. Throws if it is not refused, or for another reason. */
export async function refusal(call: Promise<unknown>): Promise<Refusal> {
  const error: unknown = await call.then(
    () => new Error("the call was not refused"),
    (reason: unknown) => reason,
  );
  const reverted = error instanceof BaseError && error.walk((cause) => cause instanceof ContractFunctionRevertedError);
  if (!(reverted instanceof ContractFunctionRevertedError) || reverted.data === undefined) throw error;
  return { name: reverted.data.errorName, args: reverted.data.args ?? [] };
}
