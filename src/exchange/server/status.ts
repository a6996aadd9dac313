import { Code, ConnectError } from "@connectrpc/connect";
import { type ErrorDetail, ErrorDetailSchema } from "../../api/gen/hedgerow/exchange/v1/exchange_pb.ts";
import { HedgerowError } from "../../protocol/errors.ts";

// What an error becomes on the wire: a status by category, with the error's code, sentence and values. What is no
// HedgerowError stays inside: outside it is a reference number of the log.

/** Categories other than "the state of the exchange does not allow it", which is that of all other codes. */
const CATEGORIES: readonly (readonly [Code, readonly string[]])[] = [
  [
    Code.InvalidArgument,
    [
      "MalformedField",
      "MalformedMessage",
      "MalformedSignature",
      "MalformedOrderName",
      "InstructionsOfAnother",
      "ZeroClientId",
      "NotFirstRevision",
      "BadRevision",
      "BadQuantity",
      "BadDisplayQuantity",
      "BadPrice",
      "BadTick",
      "OffTick",
      "OutOfRange",
      "SideChanged",
      "SlotOutOfRange",
      "PostOnlyNeverRests",
      "NonCanonicalField",
      "WrongSlotCount",
      "ProofRefused",
      "WrongRelayFee",
    ],
  ],
  [Code.NotFound, ["UnknownOrder", "OrderUnknown", "UnknownTicket", "UnknownBatch", "BatchUnknown", "MarketNotListed"]],
  [Code.Unauthenticated, ["WrongSigner", "WatchExpired", "TooManyBadSignatures"]],
  [Code.AlreadyExists, ["DuplicateOrder", "NullifierTaken"]],
  [
    Code.ResourceExhausted,
    [
      "Backlog",
      "Overloaded",
      "TooManyCommands",
      "TooManyTransitions",
      "TooManyWatches",
      "TooManyMakers",
      "SlowReader",
      "TreeFull",
    ],
  ],
  [Code.Unavailable, ["ChainUnavailable", "CallImpossible", "ExchangeStopped", "Closing"]],
];

const STATUS_OF: ReadonlyMap<string, Code> = new Map(
  CATEGORIES.flatMap(([status, codes]) => codes.map((code) => [code, status] as const)),
);

/** Errors of the machinery: they speak to the operator, and their values may name his files. */
const INTERNAL = /^(Journal|Record|Signing|NoSigningKey|BadOperatorKey|CommandOutOfPlace)/;

/** An error for the outside. `reference` names an entry of the log where the error is nobody else's business. */
export type Outcome = { readonly status: Code; readonly error: ErrorDetail; readonly internal: boolean };

/** What an error is to the outside. `reference` is used for errors that are not thrown on purpose. */
export function outcomeOf(error: unknown, reference: string): Outcome {
  if (!(error instanceof HedgerowError) || INTERNAL.test(error.code)) {
    const message = `the server failed; the operator finds it under ${reference}`;
    return { status: Code.Internal, internal: true, error: detail("Internal", message, { reference }, 0) };
  }
  const details: Record<string, string> = {};
  for (const [name, value] of Object.entries(error.details)) details[name] = String(value);
  const retry = error.details["retryAfterMs"];
  const status = STATUS_OF.get(error.code) ?? Code.FailedPrecondition;
  const retryAfterMs = typeof retry === "number" ? retry : 0;
  return { status, internal: false, error: detail(error.code, error.message, details, retryAfterMs) };
}

/** An outcome as the status of a call. */
export function connectErrorOf({ status, error }: Outcome): ConnectError {
  const headers = error.retryAfterMs > 0 ? { "retry-after": String(Math.ceil(error.retryAfterMs / 1000)) } : {};
  return new ConnectError(error.message, status, headers, [{ desc: ErrorDetailSchema, value: error }]);
}

function detail(code: string, message: string, details: Record<string, string>, retryAfterMs: number): ErrorDetail {
  return { $typeName: "hedgerow.exchange.v1.ErrorDetail", code, message, details, retryAfterMs };
}

/** Text without long hex or numbers: signatures, keys, proofs and ticket ids do not go into the log. */
export function redacted(text: string): string {
  return text.replace(/(0x)?[0-9a-f]{32,}/gi, "[redacted]");
}
