import { Code, ConnectError } from "@connectrpc/connect";
import { type ErrorDetail, ErrorDetailSchema } from "../../api/gen/hedgerow/exchange/v1/exchange_pb.ts";
import { HedgerowError } from "../../protocol/errors.ts";

// What an error becomes on the wire: a status by category, with the error's code, sentence and values. What is no
// HedgerowError stays inside: outside it is a reference number of the log.

/** Codes whose category is not "the state of the exchange does not allow it". */
const CATEGORIES: ReadonlyMap<string, Code> = new Map([
  ...[
    "MalformedField",
    "MalformedMessage",
    "MalformedSignature",
    "ZeroClientId",
    "NotFirstRevision",
    "BadRevision",
  ].map((code) => [code, Code.InvalidArgument] as const),
  ...["BadQuantity", "BadPrice", "OffTick", "SideChanged", "PostOnlyNeverRests", "SlotOutOfRange", "OutOfRange"].map(
    (code) => [code, Code.InvalidArgument] as const,
  ),
  ...["NonCanonicalField", "WrongSlotCount", "ProofRefused", "WrongRelayFee", "BadStop", "BadDisplay"].map(
    (code) => [code, Code.InvalidArgument] as const,
  ),
  ...["UnknownOrder", "UnknownTicket", "UnknownBatch", "MarketNotListed"].map((code) => [code, Code.NotFound] as const),
  ...["WrongSigner", "WatchExpired"].map((code) => [code, Code.Unauthenticated] as const),
  ...["DuplicateOrder", "NullifierTaken", "BatchNumberTaken"].map((code) => [code, Code.AlreadyExists] as const),
  ...["Backlog", "TooManyCommands", "TooManyWatches", "SlowReader", "TreeFull"].map(
    (code) => [code, Code.ResourceExhausted] as const,
  ),
  ...["ChainUnavailable", "CallImpossible", "Closing", "JournalUnavailable"].map(
    (code) => [code, Code.Unavailable] as const,
  ),
]);

/** An error for the outside. `reference` names an entry of the log where the error is nobody else's business. */
export type Outcome = { readonly status: Code; readonly error: ErrorDetail; readonly internal: boolean };

/** The status of an error. */
export function statusOf(error: unknown): Code {
  if (!(error instanceof HedgerowError)) return Code.Internal;
  return CATEGORIES.get(error.code) ?? Code.FailedPrecondition;
}

/** What an error is to the outside. `reference` is used for errors that are not thrown on purpose. */
export function outcomeOf(error: unknown, reference: string): Outcome {
  if (!(error instanceof HedgerowError)) {
    const message = `the server failed; the operator finds it under ${reference}`;
    return { status: Code.Internal, internal: true, error: detail("Internal", message, { reference }, 0) };
  }
  const details: Record<string, string> = {};
  for (const [name, value] of Object.entries(error.details)) details[name] = String(value);
  const retry = error.details["retryAfterMs"];
  const status = statusOf(error);
  const retryAfterMs = typeof retry === "number" ? retry : 0;
  return { status, internal: false, error: detail(error.code, error.message, details, retryAfterMs) };
}

/** An outcome as the status of a call. */
export function connectErrorOf({ status, error }: Outcome): ConnectError {
  const headers = error.retryAfterMs > 0 ? { "retry-after": String(Math.ceil(error.retryAfterMs / 1000)) } : {};
  return new ConnectError(error.message, status, headers, [{ desc: ErrorDetailSchema, value: error }]);
}

/** Whether a refusal shows that the sender held the ticket's key, so that it counts against the ticket. */
export function isAuthenticated(status: Code): boolean {
  return (
    status !== Code.Internal &&
    status !== Code.Unauthenticated &&
    status !== Code.NotFound &&
    status !== Code.InvalidArgument
  );
}

function detail(code: string, message: string, details: Record<string, string>, retryAfterMs: number): ErrorDetail {
  return { $typeName: "hedgerow.exchange.v1.ErrorDetail", code, message, details, retryAfterMs };
}

/** Text without long hex or numbers: signatures, keys, proofs and ticket ids do not go into the log. */
export function redacted(text: string): string {
  return text.replace(/(0x)?[0-9a-f]{32,}/gi, "[redacted]");
}
