import { generatePrivateKey, privateKeyToAddress } from "viem/accounts";
import { z } from "zod";
import { type Chain, type Sender, senderOf, WrongChain } from "../chain/clearingHouse.ts";
import type { Words } from "../clearing/reportPage.ts";
import { fillFromFaucet, NoFaucet } from "../trader/faucet.ts";
import type { Network } from "../trader/home.ts";
import { contractName, formatAmount } from "../trader/markets.ts";
import { proxyAt } from "../trader/proxy.ts";
import { WrongUsage } from "./failure.ts";
import { readKey } from "./keyFile.ts";
import { NetworkWithoutHouse, probeChainId, probeHouse } from "./probe.ts";
import { type HouseOptions, type KeyOptions, openNetwork } from "./session.ts";
import { parseAddress } from "./values.ts";

// Where the commands of clerks act, and with whose key.

/** A whole number from `least` on, as text. */
export const whole = (least: number, rule: string) =>
  z
    .string()
    .regex(/^\d{1,12}$/, rule)
    .transform(Number)
    .refine((value) => value >= least, rule)
    .optional();

const placeSchema = z.looseObject({
  chain: z.url({ protocol: /^https?$/, error: "give a URL, as http://127.0.0.1:8545" }).optional(),
  chainId: whole(1, "give the number of a chain"),
  fromBlock: whole(0, "give a block's number"),
});

/** Options as a schema understands them. Throws WrongUsage with the option's name and the rule. */
export function parseOptions<S extends z.ZodType>(schema: S, options: object): z.infer<S> {
  const result = schema.safeParse(options);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const option = String(issue?.path[0] ?? "").replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  throw new WrongUsage(`--${option} is not understood`, issue?.message ?? "look at --help");
}

/** A clearing house that is what it should be, and the way to it. */
export type Place = {
  readonly chain: Chain;
  readonly fromBlock: bigint;
  readonly network: Network;
  readonly words: Words;
  readonly sender: () => Promise<Sender>;
  readonly close: () => void;
};

/**
 * The clearing house that is meant, after a look at it. Throws WrongUsage, NothingChosen, WrongChain, NetworkWithoutHouse,
 * and what reaching it throws.
 */
export async function placeOf(given: HouseOptions & KeyOptions): Promise<Place> {
  const { chain: url, chainId: expected, fromBlock = 0 } = parseOptions(placeSchema, given);
  if (url === undefined && given.clearingHouse !== undefined) {
    throw new WrongUsage("--clearing-house is given without --chain", "give --chain URL, too");
  }
  const house =
    given.clearingHouse === undefined ? undefined : await parseAddress("--clearing-house", given.clearingHouse);
  // A node of the caller's choice serves the network's house unless another is named.
  const known = house === undefined ? await openNetwork(given) : undefined;
  const chosen = known === undefined || url === undefined ? known : { ...known, chain: url };
  const proxyUrl = given.proxy ?? chosen?.proxy;
  const proxy = proxyUrl === undefined ? undefined : proxyAt(proxyUrl);
  const node = proxy?.node() ?? {};
  try {
    const where = chosen?.chain ?? url ?? "";
    const found = await probeChainId(where, node);
    const wanted = chosen?.chainId ?? expected ?? found;
    if (found !== wanted) throw new WrongChain(where, wanted, found);
    const at = chosen?.clearingHouse ?? house ?? "0x";
    const { chain, facts } = await probeHouse(where, at, wanted, node);
    if (facts.code === "different") {
      throw new NetworkWithoutHouse(at, "its code is not that of this version: ask who runs it for theirs");
    }
    const { decimals, operator } = facts;
    const network = chosen ?? {
      name: "given",
      chain: where,
      chainId: found,
      clearingHouse: at,
      fromBlock,
      exchange: where,
      operator,
      decimals,
    };
    return {
      chain,
      fromBlock: BigInt(network.fromBlock),
      network,
      words: { money: (baseUnits) => formatAmount(baseUnits, decimals), contract: contractName, decimals },
      sender: async () => {
        if (given.keyFile !== undefined) {
          const key = readKey(given.keyFile, given.passwordFile);
          return senderOf(where, chain.chainId, key, undefined, node);
        }
        const key = generatePrivateKey();
        await fillFromFaucet(network, privateKeyToAddress(key), 0n, node).catch((error: unknown) => {
          if (!(error instanceof NoFaucet)) throw error;
          throw new WrongUsage("somebody has to pay for gas", "give --key-file FILE, the key of anybody with ether");
        });
        return senderOf(where, chain.chainId, key, undefined, node);
      },
      close: () => proxy?.close(),
    };
  } catch (error) {
    proxy?.close();
    throw error;
  }
}
