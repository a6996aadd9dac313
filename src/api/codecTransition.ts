import type { ProvenTransition } from "../chain/clearingHouse.ts";
import type { Action } from "../protocol/action.ts";
import type { Proof } from "../protocol/proof.ts";
import {
  addressFrom,
  hashFrom,
  integerFrom,
  MalformedField,
  present,
  signatureFrom,
  wordFrom,
  wordOf,
} from "./codec.ts";
import type * as wire from "./gen/hedgerow/exchange/v1/exchange_pb.ts";

// Transitions as messages. Ranges of the values are the service's business.

/** The message of a transition. */
export function transitionMessageOf(transition: ProvenTransition): wire.Transition {
  return {
    $typeName: "hedgerow.exchange.v1.Transition",
    root: wordOf(transition.root),
    nullifier: wordOf(transition.nullifier),
    newNote: wordOf(transition.newNote),
    seat: wordOf(transition.seat),
    signature: transition.signature,
    proof: proofMessageOf(transition.proof),
    action: actionMessageOf(transition.action),
  };
}

/** The transition of a message. Throws MalformedField. */
export function transitionFrom(message: wire.Transition): ProvenTransition {
  return {
    action: actionFrom(message.action),
    root: wordFrom("root", message.root),
    nullifier: wordFrom("nullifier", message.nullifier),
    newNote: wordFrom("new_note", message.newNote),
    seat: wordFrom("seat", message.seat),
    signature: message.signature === "0x" ? "0x" : signatureFrom("signature", message.signature),
    proof: proofFrom(present("proof", message.proof)),
  };
}

function proofMessageOf({ a, b, c }: Proof): wire.Proof {
  const coordinates = [...a, ...b.flat(), ...c].map(wordOf);
  return { $typeName: "hedgerow.exchange.v1.Proof", coordinates };
}

function proofFrom({ coordinates }: wire.Proof): Proof {
  if (coordinates.length !== 8) throw new MalformedField("proof.coordinates", "expected 8 of them");
  const at = (index: number): bigint => wordFrom("proof.coordinates", coordinates[index] ?? "");
  return {
    a: [at(0), at(1)],
    b: [
      [at(2), at(3)],
      [at(4), at(5)],
    ],
    c: [at(6), at(7)],
  };
}

function actionMessageOf(action: Action): wire.Transition["action"] {
  switch (action.name) {
    case "fund":
      return {
        case: "fund",
        value: {
          $typeName: "hedgerow.exchange.v1.Fund",
          creditId: wordOf(action.creditId),
          amount: action.amount.toString(),
          relayFee: action.relayFee.toString(),
        },
      };
    case "openTicket":
      return {
        case: "openTicket",
        value: {
          $typeName: "hedgerow.exchange.v1.OpenTicket",
          slot: action.slot,
          relayFee: action.relayFee.toString(),
          tickets: action.tickets.map(({ sessionKey, cash, position, reduceOnly }) => ({
            $typeName: "hedgerow.exchange.v1.TicketOpening",
            sessionKey: sessionKey.toLowerCase(),
            cash: cash.toString(),
            position,
            reduceOnly,
          })),
        },
      };
    case "wake":
      return { case: "wake", value: { $typeName: "hedgerow.exchange.v1.Wake" } };
    case "rejoin":
      return {
        case: "rejoin",
        value: {
          $typeName: "hedgerow.exchange.v1.Rejoin",
          defaultEpoch: action.defaultEpoch,
          flat: action.flat,
        },
      };
    case "closeTicket":
      return {
        case: "closeTicket",
        value: {
          $typeName: "hedgerow.exchange.v1.CloseTicket",
          ticketId: action.ticketId,
          slot: action.slot,
          cash: action.cash.toString(),
          position: action.position,
          relayFee: action.relayFee.toString(),
        },
      };
    case "claimTicket":
      return {
        case: "claimTicket",
        value: {
          $typeName: "hedgerow.exchange.v1.ClaimTicket",
          ticketId: action.ticketId,
          claim: action.claim.toString(),
          relayFee: action.relayFee.toString(),
        },
      };
    case "withdraw":
      return {
        case: "withdraw",
        value: {
          $typeName: "hedgerow.exchange.v1.Withdraw",
          to: action.to.toLowerCase(),
          amount: action.amount.toString(),
          relayFee: action.relayFee.toString(),
        },
      };
    case "renew":
      return {
        case: "renew",
        value: { $typeName: "hedgerow.exchange.v1.Renew", relayFee: action.relayFee.toString() },
      };
    case "sleep":
      return {
        case: "sleep",
        value: { $typeName: "hedgerow.exchange.v1.Sleep", relayFee: action.relayFee.toString() },
      };
    case "exit":
      return {
        case: "exit",
        value: {
          $typeName: "hedgerow.exchange.v1.Exit",
          defaultEpoch: action.defaultEpoch,
          flat: action.flat,
          to: action.to.toLowerCase(),
          equity: action.equity.toString(),
        },
      };
    case "closeSeat":
      return {
        case: "closeSeat",
        value: {
          $typeName: "hedgerow.exchange.v1.CloseSeat",
          asleep: action.asleep,
          to: action.to.toLowerCase(),
          relayFee: action.relayFee.toString(),
        },
      };
  }
}

function actionFrom(action: wire.Transition["action"]): Action {
  switch (action.case) {
    case undefined:
      throw new MalformedField("action", "it is missing");
    case "wake":
      return { name: "wake" };
    case "renew":
    case "sleep":
      return { name: action.case, relayFee: integerFrom("relay_fee", action.value.relayFee) };
    case "rejoin":
      return { name: "rejoin", defaultEpoch: action.value.defaultEpoch, flat: action.value.flat };
    case "fund":
      return {
        name: "fund",
        creditId: wordFrom("credit_id", action.value.creditId),
        amount: integerFrom("amount", action.value.amount),
        relayFee: integerFrom("relay_fee", action.value.relayFee),
      };
    case "openTicket":
      return {
        name: "openTicket",
        slot: action.value.slot,
        relayFee: integerFrom("relay_fee", action.value.relayFee),
        tickets: action.value.tickets.map((ticket) => ({
          sessionKey: addressFrom("session_key", ticket.sessionKey),
          cash: integerFrom("cash", ticket.cash),
          position: ticket.position,
          reduceOnly: ticket.reduceOnly,
        })),
      };
    case "closeTicket":
      return {
        name: "closeTicket",
        ticketId: hashFrom("ticket_id", action.value.ticketId),
        slot: action.value.slot,
        cash: integerFrom("cash", action.value.cash),
        position: action.value.position,
        relayFee: integerFrom("relay_fee", action.value.relayFee),
      };
    case "claimTicket":
      return {
        name: "claimTicket",
        ticketId: hashFrom("ticket_id", action.value.ticketId),
        claim: integerFrom("claim", action.value.claim),
        relayFee: integerFrom("relay_fee", action.value.relayFee),
      };
    case "withdraw":
      return {
        name: "withdraw",
        to: addressFrom("to", action.value.to),
        amount: integerFrom("amount", action.value.amount),
        relayFee: integerFrom("relay_fee", action.value.relayFee),
      };
    case "exit":
      return {
        name: "exit",
        defaultEpoch: action.value.defaultEpoch,
        flat: action.value.flat,
        to: addressFrom("to", action.value.to),
        equity: integerFrom("equity", action.value.equity),
      };
    case "closeSeat":
      return {
        name: "closeSeat",
        asleep: action.value.asleep,
        to: addressFrom("to", action.value.to),
        relayFee: integerFrom("relay_fee", action.value.relayFee),
      };
  }
}
