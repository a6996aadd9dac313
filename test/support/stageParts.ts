import { existsSync } from "node:fs";
import type { Chain } from "../../src/chain/clearingHouse.ts";
import type { Network } from "../../src/trader/home.ts";
import { createWallet, openWallet, type Wallet } from "../../src/trader/store.ts";
import { keystoreFile } from "../../src/trader/walletFiles.ts";

const PASSWORD = "a password for tests";
const SCRYPT_N = 1024;

/** The network of a stage: its node and its exchange at these URLs. */
export function networkOf(nodeUrl: string, { chainId, address }: Chain, exchangeUrl: string): Network {
  return {
    name: "test",
    chain: nodeUrl,
    chainId: Number(chainId),
    clearingHouse: address,
    fromBlock: 0,
    exchange: exchangeUrl,
    decimals: 6,
  };
}

/** Opens the wallet of a directory; makes it from the phrase where there is none. */
export function walletAt(directory: string, phrase: string): Promise<Wallet> {
  return existsSync(keystoreFile(directory))
    ? openWallet(directory, PASSWORD)
    : createWallet(directory, phrase, PASSWORD, { scryptN: SCRYPT_N });
}
