import { encodeAbiParameters, keccak256 } from "viem";
import { HedgerowError } from "./errors.ts";
import type { Hex } from "./keys.ts";
import { SLOTS } from "./note.ts";
import { type Change, NO_CHANGE } from "./transition.ts";

/** Actions in the contract's order: the entering ones (to rejoin) come before a batch's fills, the others after. */
export const ACTIONS = [
  "fund",
  "openTicket",
  "wake",
  "rejoin",
  "closeTicket",
  "claimTicket",
  "withdraw",
  "renew",
  "sleep",
  "exit",
  "closeSeat",
] as const;

export type ActionName = (typeof ACTIONS)[number];

/** A ticket as its opening transition funds it: signed cash in base units, signed position in contracts. */
export type TicketOpening = {
  readonly sessionKey: Hex;
  readonly cash: bigint;
  readonly position: number;
  readonly reduceOnly: boolean;
};

/**
 * What a transition asks the contract to do. Amounts in base units; relayFee is the flat fee in a batch, 0 when
 * submitted directly. Slots 0 to 7.
 */
export type Action =
  | { readonly name: "fund"; readonly creditId: bigint; readonly amount: bigint; readonly relayFee: bigint }
  | {
      readonly name: "openTicket";
      readonly slot: number;
      readonly relayFee: bigint;
      readonly tickets: readonly TicketOpening[];
    }
  | { readonly name: "wake" }
  | { readonly name: "rejoin"; readonly defaultEpoch: number; readonly flat: boolean }
  | {
      readonly name: "closeTicket";
      readonly ticketId: Hex;
      readonly slot: number;
      readonly cash: bigint;
      readonly position: number;
      readonly relayFee: bigint;
    }
  | { readonly name: "claimTicket"; readonly ticketId: Hex; readonly claim: bigint; readonly relayFee: bigint }
  | { readonly name: "withdraw"; readonly to: Hex; readonly amount: bigint; readonly relayFee: bigint }
  | { readonly name: "renew"; readonly relayFee: bigint }
  | { readonly name: "sleep"; readonly relayFee: bigint }
  | {
      readonly name: "exit";
      readonly defaultEpoch: number;
      readonly flat: boolean;
      readonly to: Hex;
      readonly equity: bigint;
    }
  | { readonly name: "closeSeat"; readonly asleep: boolean; readonly to: Hex; readonly relayFee: bigint };

/** An action names no market slot of the clearing house. */
export class SlotOutOfRange extends HedgerowError {
  constructor(slot: number) {
    super("SlotOutOfRange", `slot is ${slot}, but there are slots 0 to ${SLOTS - 1}: name a listed market`, { slot });
  }
}

/** The contract's number of an action. */
export function actionCode(name: ActionName): number {
  return ACTIONS.indexOf(name);
}

/**
 * What the operator takes for relaying an action: the flat fee once, for an opening once per ticket (spec FEE-1).
 * Actions that are only ever sent directly pay nothing.
 */
export function relayFeeOf(action: Action, flatFee: bigint): bigint {
  if (action.name === "openTicket") return flatFee * BigInt(action.tickets.length);
  return "relayFee" in action ? flatFee : 0n;
}

/** Whether an opening only carries positions out of the account to reduce them: it is valued at maintenance. */
export function isReduceOnly(tickets: readonly TicketOpening[]): boolean {
  return tickets.length > 0 && tickets.every((ticket) => ticket.reduceOnly);
}

/** Whether an action comes before the fills of its batch (spec BAT-2). */
export function isEntering(name: ActionName): boolean {
  return actionCode(name) <= actionCode("rejoin");
}

/** Whether an action shows the seat's ownerKey. */
export function showsSeat(name: ActionName): boolean {
  return ["wake", "rejoin", "renew", "sleep", "exit", "closeSeat"].includes(name);
}

/** ABI encoding of an action's fields: what the context binds besides the public change. */
export function encodeFields(action: Action): Hex {
  switch (action.name) {
    case "fund":
      return encodeAbiParameters(
        [{ type: "uint256" }, { type: "uint128" }, { type: "uint128" }],
        [action.creditId, action.amount, action.relayFee],
      );
    case "openTicket":
      return encodeAbiParameters(OPEN_TICKET_FIELDS, [
        { slot: action.slot, relayFee: action.relayFee, tickets: action.tickets },
      ]);
    case "wake":
      return "0x";
    case "rejoin":
      return encodeAbiParameters([{ type: "uint32" }, { type: "bool" }], [action.defaultEpoch, action.flat]);
    case "closeTicket":
      return encodeAbiParameters(
        [{ type: "bytes32" }, { type: "uint8" }, { type: "int120" }, { type: "int32" }, { type: "uint128" }],
        [action.ticketId, action.slot, action.cash, action.position, action.relayFee],
      );
    case "claimTicket":
      return encodeAbiParameters(
        [{ type: "bytes32" }, { type: "uint128" }, { type: "uint128" }],
        [action.ticketId, action.claim, action.relayFee],
      );
    case "withdraw":
      return encodeAbiParameters(
        [{ type: "address" }, { type: "uint128" }, { type: "uint128" }],
        [action.to, action.amount, action.relayFee],
      );
    case "renew":
    case "sleep":
      return encodeAbiParameters([{ type: "uint128" }], [action.relayFee]);
    case "exit":
      return encodeAbiParameters(
        [{ type: "uint32" }, { type: "bool" }, { type: "address" }, { type: "uint128" }],
        [action.defaultEpoch, action.flat, action.to, action.equity],
      );
    case "closeSeat":
      return encodeAbiParameters(
        [{ type: "bool" }, { type: "address" }, { type: "uint128" }],
        [action.asleep, action.to, action.relayFee],
      );
  }
}

/** The public change of the note that an action brings. Throws SlotOutOfRange. */
export function changeOf(action: Action): Change {
  switch (action.name) {
    case "fund":
      return { ...NO_CHANGE, cashDelta: action.amount - action.relayFee };
    case "openTicket":
      assertSlot(action.slot);
      return {
        cashDelta: action.tickets.reduce((sum, ticket) => sum - ticket.cash, -action.relayFee),
        slot: BigInt(action.slot),
        positionDelta: action.tickets.reduce((sum, ticket) => sum - BigInt(ticket.position), 0n),
      };
    case "closeTicket":
      assertSlot(action.slot);
      return {
        cashDelta: action.cash - action.relayFee,
        slot: BigInt(action.slot),
        positionDelta: BigInt(action.position),
      };
    case "claimTicket":
      return { ...NO_CHANGE, cashDelta: action.claim - action.relayFee };
    case "withdraw":
      return { ...NO_CHANGE, cashDelta: -action.amount - action.relayFee };
    case "renew":
    case "sleep":
      return { ...NO_CHANGE, cashDelta: -action.relayFee };
    case "exit":
      return { ...NO_CHANGE, cashDelta: -action.equity };
    case "wake":
    case "rejoin":
    case "closeSeat":
      return NO_CHANGE;
  }
}

/** Throws SlotOutOfRange unless slot is 0 to 7. */
export function assertSlot(slot: number): void {
  if (!Number.isInteger(slot) || slot < 0 || slot >= SLOTS) throw new SlotOutOfRange(slot);
}

/** Everything the context of a transition binds (spec BAT-17). */
export type ContextInput = {
  readonly chainId: bigint;
  readonly contract: Hex;
  readonly epoch: number;
  readonly action: Action;
  readonly nullifier: bigint;
  readonly newNote: bigint;
  readonly seat: bigint;
};

/** context = uint256(keccak256(abi.encode(...))) >> 8, a field element without reduction. */
export function contextOf(input: ContextInput): bigint {
  const { cashDelta, slot, positionDelta } = changeOf(input.action);
  const encoded = encodeAbiParameters(
    [
      { type: "uint256" },
      { type: "address" },
      { type: "uint8" },
      { type: "uint32" },
      { type: "uint256" },
      { type: "uint256" },
      { type: "uint256" },
      { type: "int256" },
      { type: "int256" },
      { type: "uint256" },
      { type: "bytes32" },
    ],
    [
      input.chainId,
      input.contract,
      actionCode(input.action.name),
      input.epoch,
      input.nullifier,
      input.newNote,
      input.seat,
      cashDelta,
      positionDelta,
      slot,
      keccak256(encodeFields(input.action)),
    ],
  );
  return BigInt(keccak256(encoded)) >> 8n;
}

/**
 * Identity of ticket number `index` of an opening (spec TKT-1). It names the new note and the slot, so that an order
 * signed for an opening that never landed can never come alive on another one.
 */
export function ticketIdOf(opening: OpeningIdentity, index: number): Hex {
  const word = { type: "uint256" } as const;
  return keccak256(
    encodeAbiParameters(
      [word, word, word, word],
      [opening.nullifier, opening.newNote, BigInt(opening.slot), BigInt(index)],
    ),
  );
}

/** What distinguishes one opening of tickets from every other. */
export type OpeningIdentity = {
  readonly nullifier: bigint;
  readonly newNote: bigint;
  readonly slot: number | bigint;
};

const OPEN_TICKET_FIELDS = [
  {
    type: "tuple",
    components: [
      { name: "slot", type: "uint8" },
      { name: "relayFee", type: "uint128" },
      {
        name: "tickets",
        type: "tuple[]",
        components: [
          { name: "sessionKey", type: "address" },
          { name: "cash", type: "int120" },
          { name: "position", type: "int32" },
          { name: "reduceOnly", type: "bool" },
        ],
      },
    ],
  },
] as const;
