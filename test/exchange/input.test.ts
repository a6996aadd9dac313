import assert from "node:assert/strict";
import { test } from "node:test";
import type { ProvenTransition } from "../../src/chain/clearingHouse.ts";
import { parseTransition, MalformedMessage } from "../../src/exchange/input.ts";
import type { Action } from "../../src/protocol/action.ts";
import { FIELD_MODULUS } from "../../src/protocol/field.ts";
import type { Hex } from "../../src/protocol/keys.ts";
import { MOST_TICKETS } from "../../src/protocol/ticket.ts";
import { NO_PROOF } from "../support/unprovenExchange.ts";

const TO: Hex = `0x${"12".repeat(20)}`;
const ID: Hex = `0x${"34".repeat(32)}`;
const RELEASE: Hex = `0x${"56".repeat(65)}`;
const TICKET = { sessionKey: TO, cash: -1n, position: -1, reduceOnly: false };

const ACTIONS: readonly Action[] = [
  { name: "fund", creditId: (1n << 256n) - 1n, amount: (1n << 128n) - 1n, relayFee: 0n },
  { name: "openTicket", slot: 7, relayFee: 1n, tickets: Array<typeof TICKET>(MOST_TICKETS).fill(TICKET) },
  { name: "wake" },
  { name: "rejoin", defaultEpoch: 2 ** 32 - 1, flat: true },
  { name: "closeTicket", ticketId: ID, slot: 0, cash: -(1n << 119n), position: 1 - 2 ** 31, relayFee: 1n },
  { name: "claimTicket", ticketId: ID, claim: 0n, relayFee: 1n },
  { name: "withdraw", to: TO, amount: 1n, relayFee: 1n },
  { name: "renew", relayFee: 1n },
  { name: "sleep", relayFee: 1n },
  { name: "exit", defaultEpoch: 1, flat: false, to: TO, equity: 1n },
  { name: "closeSeat", asleep: false, to: TO, relayFee: 1n },
];

function transition(action: Action): ProvenTransition {
  const signature = ["fund", "closeTicket", "claimTicket"].includes(action.name) ? RELEASE : "0x";
  return { action, root: 1n, nullifier: 2n, newNote: FIELD_MODULUS - 1n, seat: 0n, signature, proof: NO_PROOF };
}

function malformed(input: unknown, field: string): void {
  assert.throws(
    () => parseTransition(input),
    (error) => error instanceof MalformedMessage && error.details["field"] === field,
    `${field} was taken`,
  );
}

test("every action passes at the ends of its ranges, and comes out as it went in [BAT-12]", () => {
  for (const action of ACTIONS) assert.deepEqual(parseTransition(transition(action)), transition(action));
});

test("a release is 65 bytes where one is needed, and nothing elsewhere [BAT-12, TKT-7]", () => {
  for (const action of ACTIONS) {
    const good = transition(action);
    const other = good.signature === "0x" ? RELEASE : "0x";
    for (const signature of [other, "0xzz", `${RELEASE}00`, RELEASE.slice(0, -1), `0x${"00".repeat(10_000)}`, "", 5]) {
      malformed({ ...good, signature }, "signature");
    }
  }
});

test("a number outside the range of its ABI type is refused by the name of its field [BAT-4, BAT-12]", () => {
  for (const field of ["root", "nullifier", "newNote", "seat"]) {
    for (const value of [-1n, FIELD_MODULUS, 1, "1", undefined]) {
      malformed({ ...transition({ name: "wake" }), [field]: value }, field);
    }
  }
  const wrong: readonly [Action["name"], string, readonly unknown[]][] = [
    ["fund", "creditId", [-1n, 1n << 256n]],
    ["fund", "amount", [-1n, 1n << 128n, 1]],
    ["openTicket", "slot", [-1, 8, 0.5, 0n]],
    ["openTicket", "tickets", [[], Array(MOST_TICKETS + 1).fill(TICKET)]],
    ["closeTicket", "ticketId", ["0x12", `${ID}00`, ID.replace("34", "zz"), ID.replace("34", "AB")]],
    ["closeTicket", "cash", [1n << 119n, -(1n << 119n) - 1n]],
    ["closeTicket", "position", [2 ** 31, -(2 ** 31), 1.5, NaN]],
    ["claimTicket", "claim", [-1n, 1n << 128n]],
    ["withdraw", "to", ["0x12", `${TO}00`, TO.replace("12", "zz")]],
    ["withdraw", "relayFee", [-1n, 1n << 128n]],
    ["exit", "defaultEpoch", [-1, 2 ** 32]],
    ["exit", "flat", [0, "true"]],
    ["closeSeat", "asleep", [undefined]],
  ];
  for (const [name, field, values] of wrong) {
    const good = transition(ACTIONS.find((action) => action.name === name) ?? assert.fail());
    for (const value of values) malformed({ ...good, action: { ...good.action, [field]: value } }, `action.${field}`);
  }
});

test("unknown actions and fields, and proofs of another shape, are refused [BAT-12]", () => {
  const good = transition({ name: "wake" });
  malformed({ ...good, action: { name: "mint" } }, "action.name");
  malformed({ ...good, action: { name: "wake", more: 1n } }, "action");
  malformed({ ...good, more: 1n }, "");
  malformed(undefined, "");
  malformed({ ...good, proof: { ...NO_PROOF, c: [0n, 1n << 256n] } }, "proof.c.1");
  malformed({ ...good, proof: { ...NO_PROOF, b: [[0n, 0n]] } }, "proof.b");
});
