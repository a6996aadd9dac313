import { decodeAbiParameters, encodeAbiParameters, keccak256 } from "viem";
import { type Action, ACTIONS, type ActionName, actionCode, changeOf, encodeFields } from "../protocol/action.ts";
import type { Hex } from "../protocol/keys.ts";
import { lower } from "./deployment.ts";
import { must } from "./errors.ts";
import type { House } from "./state.ts";

/** A transition as it stands in calldata. */
export type CallTransition = {
  readonly action: number;
  readonly root: bigint;
  readonly nullifier: bigint;
  readonly newNote: bigint;
  readonly seat: bigint;
  readonly fields: Hex;
  readonly signature: Hex;
};

/** A transition that was understood. `fields` are the very bytes that its proof binds. */
export type ReadTransition = Omit<CallTransition, "action"> & { readonly action: Action };

/** Understands a transition of calldata. Throws BrokenRule, and viem's errors for fields that are none. */
export function readTransition({ action, ...rest }: CallTransition): ReadTransition {
  const name = ACTIONS[action];
  must(name !== undefined, "ACT-1", `action ${action} does not exist`);
  const read = actionOf(name, rest.fields);
  // What does not fit its type is refused by the encoder.
  encodeFields(read);
  return { ...rest, action: read };
}

/** The context that a transition's proof has to be bound to (spec BAT-17). */
export function contextOfCall(house: House, { action, nullifier, newNote, seat, fields }: ReadTransition): bigint {
  const { cashDelta, slot, positionDelta } = changeOf(action);
  const encoded = encodeAbiParameters(CONTEXT, [
    house.chainId,
    house.address,
    actionCode(action.name),
    house.epoch,
    nullifier,
    newNote,
    seat,
    cashDelta,
    positionDelta,
    slot,
    keccak256(fields),
  ]);
  return BigInt(keccak256(encoded)) >> 8n;
}

const CONTEXT = [
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
] as const;

const UINT128 = { type: "uint128" } as const;
const BOOL = { type: "bool" } as const;
const ADDRESS = { type: "address" } as const;
const BYTES32 = { type: "bytes32" } as const;
const UINT32 = { type: "uint32" } as const;
const UINT8 = { type: "uint8" } as const;
const INT120 = { type: "int120" } as const;
const INT32 = { type: "int32" } as const;
const OPENING = {
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
} as const;

function actionOf(name: ActionName, fields: Hex): Action {
  switch (name) {
    case "fund": {
      const [creditId, amount, relayFee] = decodeAbiParameters([{ type: "uint256" }, UINT128, UINT128], fields);
      return { name, creditId, amount, relayFee };
    }
    case "openTicket": {
      const [{ slot, relayFee, tickets }] = decodeAbiParameters([OPENING], fields);
      return {
        name,
        slot,
        relayFee,
        tickets: tickets.map((ticket) => ({ ...ticket, sessionKey: lower(ticket.sessionKey) })),
      };
    }
    case "wake":
      return { name };
    case "rejoin": {
      const [defaultEpoch, flat] = decodeAbiParameters([UINT32, BOOL], fields);
      return { name, defaultEpoch, flat };
    }
    case "closeTicket": {
      const layout = [BYTES32, UINT8, INT120, INT32, UINT128] as const;
      const [ticketId, slot, cash, position, relayFee] = decodeAbiParameters(layout, fields);
      return { name, ticketId, slot, cash, position, relayFee };
    }
    case "claimTicket": {
      const [ticketId, claim, relayFee] = decodeAbiParameters([BYTES32, UINT128, UINT128], fields);
      return { name, ticketId, claim, relayFee };
    }
    case "withdraw": {
      const [to, amount, relayFee] = decodeAbiParameters([ADDRESS, UINT128, UINT128], fields);
      return { name, to: lower(to), amount, relayFee };
    }
    case "renew":
    case "sleep": {
      const [relayFee] = decodeAbiParameters([UINT128], fields);
      return { name, relayFee };
    }
    case "exit": {
      const [defaultEpoch, flat, to, equity] = decodeAbiParameters([UINT32, BOOL, ADDRESS, UINT128], fields);
      return { name, defaultEpoch, flat, to: lower(to), equity };
    }
    case "closeSeat": {
      const [asleep, to, relayFee] = decodeAbiParameters([BOOL, ADDRESS, UINT128], fields);
      return { name, asleep, to: lower(to), relayFee };
    }
  }
}
