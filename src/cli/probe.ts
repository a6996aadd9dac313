import { z } from "zod";
import { clearingHouseAbi, marketRegistryAbi, testDollarAbi } from "../protocol/abi.ts";
import { type CodeVerdict, compareCode } from "../chain/codeCheck.ts";
import {
  type Chain,
  ChainUnavailable,
  connect,
  type NodeOptions,
  publicClientOf,
  refusalOf,
} from "../chain/clearingHouse.ts";
import { ExchangeUnreachable } from "../api/client.ts";
import { foreignText } from "../api/foreignText.ts";
import { HedgerowError } from "../protocol/errors.ts";
import type { Hex } from "../protocol/keys.ts";
import { address } from "../trader/views.ts";

// What is behind the addresses of a network, asked of those who should know.

/** At an address there is no clearing house. */
export class NetworkWithoutHouse extends HedgerowError {
  constructor(where: string, reason: string) {
    super("NetworkWithoutHouse", `there is no clearing house at ${where}: ${reason}`, { where, reason });
  }
}

/** Behind the URL of an exchange is something else. */
export class NetworkWithoutExchange extends HedgerowError {
  constructor(url: string, reason: string) {
    super("NetworkWithoutExchange", `${url} is no exchange of this kind: ${reason}`, { url, reason });
  }
}

/** A clearing house as the chain shows it. */
export type HouseFacts = {
  readonly code: CodeVerdict;
  readonly token: Hex;
  readonly decimals: number;
  /** The operator of the present epoch, as the registry names it. */
  readonly operator: Hex;
  readonly epoch: number;
};

/** The number of the chain behind a node. Throws ChainUnavailable, ProxyUnreachable. */
export async function probeChainId(url: string, options: NodeOptions = {}): Promise<number> {
  try {
    return await publicClientOf(url, 0, options).getChainId();
  } catch (error) {
    const refusal = refusalOf(error);
    throw refusal.code === "ChainUnavailable"
      ? new ChainUnavailable(`asking ${url}`, "it does not answer as a node")
      : refusal;
  }
}

/** Looks at a clearing house. Throws NetworkWithoutHouse, WrongChain, ChainUnavailable. */
export async function probeHouse(
  url: string,
  house: Hex,
  chainId: number,
  options: NodeOptions = {},
): Promise<{ readonly chain: Chain; readonly facts: HouseFacts }> {
  const chain = await connect(url, house, chainId, options);
  const code = await chain.client.getCode({ address: house }).catch((error: unknown) => {
    throw refusalOf(error);
  });
  if (code === undefined) throw new NetworkWithoutHouse(house, `chain ${chainId} has no contract there`);
  try {
    const read = { address: house, abi: clearingHouseAbi } as const;
    const [, name] = await chain.client.readContract({ ...read, functionName: "eip712Domain" });
    if (name !== "Hedgerow") throw new NetworkWithoutHouse(house, `the contract there calls itself "${name}"`);
    const [token, registry, [epoch]] = await Promise.all([
      chain.client.readContract({ ...read, functionName: "token" }),
      chain.client.readContract({ ...read, functionName: "registry" }),
      chain.client.readContract({ ...read, functionName: "clock" }),
    ]);
    const [decimals, operator] = await Promise.all([
      chain.client.readContract({ address: token, abi: testDollarAbi, functionName: "decimals" }),
      chain.client.readContract({ address: registry, abi: marketRegistryAbi, functionName: "operator" }),
    ]);
    return { chain, facts: { code: compareCode(code, "ClearingHouse"), token, decimals, operator, epoch } };
  } catch (error) {
    if (error instanceof NetworkWithoutHouse) throw error;
    const refusal = refusalOf(error);
    if (refusal.code === "ChainUnavailable" || refusal.code === "ProxyUnreachable") throw refusal;
    throw new NetworkWithoutHouse(house, "the contract there does not answer as one");
  }
}

const identitySchema = z.object({
  api: z.string().transform((text) => foreignText(text, 80)),
  chainId: z.coerce.number<string>(),
  clearingHouse: address,
  operator: address,
});

/** What an exchange says of itself: its API, whom it serves, and who signs. */
export type ExchangeIdentity = z.infer<typeof identitySchema>;

const ANSWER_MS = 10_000;
const ANSWER_BYTES = 64 * 1024;

/** Asks an exchange whom it serves. Throws ExchangeUnreachable, ProxyUnreachable, NetworkWithoutExchange. */
export async function probeExchange(url: string, options: NodeOptions = {}): Promise<ExchangeIdentity> {
  const ask = options.fetch ?? fetch;
  const signal = AbortSignal.timeout(options.timeoutMs ?? ANSWER_MS);
  let body: unknown;
  try {
    body = JSON.parse(await startOf(await ask(new URL("/healthz", url), { signal })));
  } catch (error) {
    if (error instanceof HedgerowError) throw error;
    if (error instanceof SyntaxError) throw new NetworkWithoutExchange(url, "it does not answer as one");
    throw new ExchangeUnreachable(url, error instanceof Error ? error.message : String(error));
  }
  const parsed = identitySchema.safeParse(body);
  if (!parsed.success) throw new NetworkWithoutExchange(url, "it does not say whom it serves");
  return parsed.data;
}

/** The beginning of an answer: one without end is no answer. */
async function startOf({ body }: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body ?? []) {
    const read = z.instanceof(Uint8Array).parse(chunk);
    chunks.push(read);
    bytes += read.length;
    if (bytes > ANSWER_BYTES) break;
  }
  return Buffer.concat(chunks).toString();
}

/** Whether two addresses are one. */
export function isSame(a: Hex, b: Hex): boolean {
  return a.toLowerCase() === b.toLowerCase();
}
