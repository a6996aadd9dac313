import { BaseError, decodeErrorResult, HttpRequestError, RpcRequestError, TimeoutError } from "viem";
import { HedgerowError } from "../protocol/errors.ts";
import type { Hex } from "../protocol/keys.ts";
import { clearingHouseAbi, marketRegistryAbi, testDollarAbi } from "../protocol/abi.ts";

/** The contract refused a call. `code` is the name of its Solidity error, `details` its arguments. */
export class ContractRefused extends HedgerowError {}

/** The chain could not be asked, or a mined transaction failed. */
export class ChainUnavailable extends HedgerowError {
  constructor(what: string, reason: string) {
    super("ChainUnavailable", `${what} failed: ${reason}; is the node running and the address right?`, { what });
  }
}

/** The node is there, but cannot run a call: it does not encode, is too large, takes too much gas, or lacks ether. */
export class CallImpossible extends HedgerowError {
  constructor(reason: string) {
    super("CallImpossible", `the node cannot run the call: ${reason}; send less at once, and look at the ether`);
  }
}

/** Errors of the clearing house, its libraries, its registry, and the token it calls. */
const REFUSALS = [...clearingHouseAbi, ...marketRegistryAbi, ...testDollarAbi];

/** What a failed call means: the contract's own error with its arguments where there is one. */
export function refusalOf(error: unknown): HedgerowError {
  const own = ownErrorIn(error);
  if (own !== undefined) return own;
  const data = revertData(error);
  if (data === undefined) {
    const answered = error instanceof BaseError && error.walk((cause) => cause instanceof RpcRequestError) !== null;
    return answered ? new CallImpossible(messageOf(error)) : new ChainUnavailable("a call", messageOf(error));
  }
  try {
    const { errorName, args, abiItem } = decodeErrorResult({ abi: REFUSALS, data });
    const details: Record<string, string | number | bigint | boolean> = {};
    abiItem.inputs.forEach((input, i) => {
      const value: unknown = args[i];
      details[input.name] = typeof value === "bigint" || typeof value === "number" ? value : String(value);
    });
    const listed = Object.entries(details).map(([name, value]) => `${name} ${String(value)}`);
    return new ContractRefused(errorName, `the contract refused: ${errorName}(${listed.join(", ")})`, details);
  } catch {
    return new ContractRefused("UnknownRevert", `the contract refused with unknown data ${data}`, { data });
  }
}

/** Whether a call failed on the way: no connection, no answer in time, or a server that says it cannot now. */
export function isTransient(error: unknown): boolean {
  if (!(error instanceof BaseError)) return false;
  const failed = error.walk((cause) => cause instanceof TimeoutError || cause instanceof HttpRequestError);
  if (!(failed instanceof HttpRequestError)) return failed instanceof TimeoutError;
  const { status } = failed;
  return status === undefined || status >= 500 || status === 408 || status === 429;
}

/** What a node says of a transaction that it does not take. */
export type Rejection = "known" | "nonceTooLow" | "nonceTooHigh" | "underpriced";

/** In the words of geth, Nethermind and hardhat's node. "Known" comes first: some say it together with a nonce. */
const REJECTIONS: readonly (readonly [Rejection, RegExp])[] = [
  ["known", /already ?known|known transaction|already imported|already in the mempool/i],
  ["nonceTooLow", /nonce( is)? too low|old ?nonce/i],
  ["nonceTooHigh", /nonce( is)? too high/i],
  [
    "underpriced",
    /underpriced|fee ?too ?low|(less than|below|lower than) (the )?(block )?base ?fee|fee ?per ?gas \(\d+\) is too low/i,
  ],
];

/** Why a node did not take a transaction, where it is about its number or its fees; undefined for everything else. */
export function rejectionOf(error: unknown): Rejection | undefined {
  if (!(error instanceof BaseError) || revertData(error) !== undefined) return undefined;
  const text = `${error.shortMessage} ${error.details}`;
  return REJECTIONS.find(([, words]) => words.test(text))?.[0];
}

/** An error of ours that the client of the chain has wrapped: what a proxy's agent threw, for one. */
export function ownErrorIn(error: unknown): HedgerowError | undefined {
  const own = error instanceof BaseError ? error.walk((cause) => cause instanceof HedgerowError) : error;
  return own instanceof HedgerowError ? own : undefined;
}

/** An error in one line. */
export function messageOf(error: unknown): string {
  return error instanceof BaseError ? error.shortMessage : error instanceof Error ? error.message : String(error);
}

function revertData(error: unknown): Hex | undefined {
  if (!(error instanceof BaseError)) return undefined;
  let found: Hex | undefined;
  error.walk((cause) => {
    const data: unknown = typeof cause === "object" && cause !== null && "data" in cause ? cause.data : undefined;
    const inner: unknown = typeof data === "object" && data !== null && "data" in data ? data.data : data;
    if (typeof inner === "string" && /^0x[0-9a-f]{8,}$/i.test(inner)) found = inner as Hex;
    return false;
  });
  return found;
}
