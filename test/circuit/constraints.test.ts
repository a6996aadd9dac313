import assert from "node:assert/strict";
import { before, test } from "node:test";
import { BIG, FIELD_MODULUS, toField } from "../../src/protocol/field.ts";
import { keysOfSpendingKey } from "../../src/protocol/keys.ts";
import { noteCommitment, nullifierOf } from "../../src/protocol/note.ts";
import { SIGNAL, SIGNAL_COUNT } from "../../src/protocol/statement.ts";
import { circuitInput, type CircuitInput } from "../../src/protocol/transition.ts";
import { rootOfPath } from "../../src/protocol/tree.ts";
import { flatOnlyValuation } from "../../src/protocol/valuation.ts";
import { hash3, hash9 } from "../../src/protocol/hash.ts";
import { WitnessRefused } from "../../src/prover/witness.ts";
import { brokenConstraints, type CompiledCircuit, freeWires, readCircuit, wiresOf } from "../support/circuit.ts";
import { PLAIN, witnessOf } from "../support/transitions.ts";

const MAX = 2n ** 31n - 1n;

let circuit: CompiledCircuit;
before(async () => {
  circuit = await readCircuit();
});

function wire(name: string): number {
  const found = circuit.wireOf.get(name);
  assert.ok(found !== undefined, `the circuit keeps no wire for ${name}`);
  return found;
}

/** Wires of PLAIN with some values replaced, each name on its own. */
function tampered(changes: Readonly<Record<string, bigint>>): bigint[] {
  const wires = wiresOf(circuit, witnessOf());
  for (const [name, value] of Object.entries(changes)) wires[wire(name)] = value < 0n ? toField(value) : value;
  return wires;
}

/** Inputs that a dishonest prover would want: notes and hashes fit, only a range or a rule of the transition does not. */
function forged(old: { cash: bigint; positions: bigint[] }, next: { cash: bigint; positions: bigint[] }): CircuitInput {
  const { ownerKey, viewingKey } = keysOfSpendingKey(PLAIN.spendingKey);
  const commit = (blinding: bigint, { cash, positions }: { cash: bigint; positions: bigint[] }): bigint =>
    hash3(ownerKey, blinding, hash9([cash, ...positions].map(toField)));
  const note = commit(PLAIN.blinding, old);
  return {
    ...circuitInput(witnessOf()),
    cash: toField(old.cash),
    position: old.positions.map(toField),
    root: rootOfPath(note, PLAIN.path),
    nullifier: nullifierOf(viewingKey, note),
    newNote: commit(PLAIN.newBlinding, next),
    seat: 0n,
    priceIfLong: Array<bigint>(8).fill(0n),
    priceIfShort: Array<bigint>(8).fill(0n),
    settleMask: 0n,
    cashDelta: 0n,
    slot: 0n,
    positionDelta: 0n,
  };
}

const flat = (cash: bigint, first = 0n): { cash: bigint; positions: bigint[] } => ({
  cash,
  positions: [first, 0n, 0n, 0n, 0n, 0n, 0n, 0n],
});

const accepts = (input: CircuitInput): void => {
  assert.doesNotThrow(() => circuit.program.run(input));
};
const refuses = (input: CircuitInput): void => {
  assert.throws(() => circuit.program.run(input), WitnessRefused);
};

test("no wire can change alone, but the price for the other sign of a position [CIR-8]", () => {
  const cases = [
    witnessOf(),
    witnessOf({ showSeat: true, change: { cashDelta: 5n, slot: 7n, positionDelta: MAX } }, 0n),
    witnessOf({
      account: { cash: 50n, positions: [MAX, -MAX, 1n, -1n, 0n, 0n, 5n, -5n] },
      valuation: {
        priceIfLong: [1n, 1n, -2n, -2n, 9n, -9n, 3n, 3n],
        priceIfShort: [1n, 1n, -2n, -2n, 9n, -9n, 3n, 3n],
        settleMask: 0b10101010n,
      },
      change: { cashDelta: 1n, slot: 4n, positionDelta: 0n },
    }),
    witnessOf({
      account: flat(0n),
      valuation: flatOnlyValuation(255n),
      change: { cashDelta: 0n, slot: 3n, positionDelta: 0n },
    }),
  ];
  for (const witness of cases) {
    const wires = wiresOf(circuit, witness);
    const unused = Array.from({ length: 8 }, (_, m) =>
      wires[wire(`isLong[${m}]`)] === 1n ? wire(`priceIfShort[${m}]`) : wire(`priceIfLong[${m}]`),
    );
    assert.deepEqual(
      freeWires(circuit, wires),
      unused.sort((a, b) => a - b),
    );
  }
});

test("every public signal is bound by the witness of a long or of a short account [CIR-8]", () => {
  const everywhere = (position: bigint): bigint[] =>
    freeWires(
      circuit,
      wiresOf(
        circuit,
        witnessOf({
          account: { cash: 10_000n, positions: Array<bigint>(8).fill(position) },
          change: { cashDelta: 0n, slot: 2n, positionDelta: 0n },
        }),
      ),
    ).map(BigInt);
  const long = everywhere(1n);
  assert.deepEqual(
    everywhere(-1n).filter((free) => long.includes(free)),
    [],
  );
  assert.equal(Object.keys(SIGNAL).length - 2 + 16, SIGNAL_COUNT);
});

test("the sign of a zero position cannot be chosen [CIR-4]", () => {
  // Slot 2 is flat. Its value is 0 at either price, so only the range decomposition stands in the way.
  const honest = wiresOf(circuit, witnessOf());
  assert.equal(honest[wire("isLong[2]")], 1n);
  assert.notDeepEqual(brokenConstraints(circuit, tampered({ "isLong[2]": 0n, "price[2]": 0n })), []);
});

test("the sign of a short or long position cannot be turned [CIR-4]", () => {
  assert.notDeepEqual(
    brokenConstraints(
      circuit,
      tampered({ "isLong[1]": 1n, "price[1]": 190n, "value[1]": -570n, "settledValue[1]": -570n }),
    ),
    [],
  );
  assert.notDeepEqual(
    brokenConstraints(circuit, tampered({ "isLong[0]": 0n, "price[0]": 110n, "value[0]": 110n })),
    [],
  );
});

test("slot 8 and every other slot outside 0 to 7 is refused [CIR-4]", () => {
  for (const slot of [8n, 9n, 2n ** 32n, FIELD_MODULUS - 1n]) {
    refuses({ ...circuitInput(witnessOf()), slot });
    refuses({ ...forged(flat(5n), flat(5n)), slot });
    // As forged wires: no slot selected at all, so that positionDelta would go nowhere.
    const none = Object.fromEntries(
      Array.from({ length: 8 }, (_, m) => [`isSlot[${m}]`, 0n] as const).filter(([name]) => circuit.wireOf.has(name)),
    );
    assert.notDeepEqual(brokenConstraints(circuit, tampered({ slot, ...none })), []);
    assert.notDeepEqual(brokenConstraints(circuit, tampered({ slot })), []);
  }
});

test("a change cannot go to another slot than the one stated [CIR-4]", () => {
  refuses({ ...circuitInput(witnessOf()), slot: 1n });
});

test("a settlement mask of 9 bits is refused [CIR-6]", () => {
  const input = forged(flat(5n), flat(5n));
  accepts({ ...input, settleMask: 255n });
  for (const settleMask of [256n, 257n, FIELD_MODULUS - 1n]) {
    refuses({ ...input, settleMask });
    assert.notDeepEqual(brokenConstraints(circuit, tampered({ settleMask })), []);
  }
});

test("a settled slot cannot keep its position, nor an open one lose it [CIR-6]", () => {
  const input = { ...forged(flat(5n, 3n), flat(5n, 3n)), settleMask: 1n };
  refuses(input);
  accepts({ ...input, settleMask: 0n });
  refuses({ ...forged(flat(5n, 3n), flat(5n)), settleMask: 0n });
  accepts({ ...forged(flat(5n, 3n), flat(5n)), settleMask: 1n });
});

test("a position of 2^31 or -2^31 is refused, before and after the change, in every slot [CIR-4, NUM-5]", () => {
  for (const extreme of [MAX, -MAX]) accepts(forged(flat(0n, extreme), flat(0n, extreme)));
  for (const outside of [2n ** 31n, -(2n ** 31n), 2n ** 32n, (FIELD_MODULUS - 1n) / 2n]) {
    for (let m = 0; m < 8; m++) {
      const positions = Array.from({ length: 8 }, (_, i) => (i === m ? outside : 0n));
      refuses(forged({ cash: 0n, positions }, { cash: 0n, positions }));
    }
    const inward = outside > 0n ? -1n : 1n;
    const delta = toField(inward * 2n ** 30n);
    refuses({ ...forged(flat(0n, outside), flat(0n, outside + inward * 2n ** 30n)), positionDelta: delta });
    refuses({ ...forged(flat(0n, outside + inward), flat(0n, outside)), positionDelta: toField(-inward) });
  }
  refuses({ ...forged(flat(0n, MAX), flat(0n, MAX + 1n)), positionDelta: 1n });
  refuses({ ...forged(flat(0n, -MAX), flat(0n, -MAX - 1n)), positionDelta: toField(-1n) });
});

test("equity 0 passes and 1 unit less fails, equity 2^120 - 1 passes and 1 unit more fails [CIR-5]", () => {
  accepts(forged(flat(0n), flat(0n)));
  refuses(forged(flat(-1n), flat(-1n)));
  accepts(forged(flat(2n ** 120n - 1n), flat(2n ** 120n - 1n)));
  refuses(forged(flat(2n ** 120n), flat(2n ** 120n)));
  // PLAIN is worth exactly 0 when slot 0 is valued at 90: at 89 it is insolvent by 1 unit.
  accepts(circuitInput(witnessOf()));
  refuses({ ...circuitInput(witnessOf()), priceIfLong: [89n, 190n, 0n, 0n, 0n, 0n, 0n, 0n] });
});

test("no bits make an equity of -1 or 2^120 look in range [CIR-5]", () => {
  // Slot 0 is not settled, so its price moves equity but not the new note: every other wire stays honest.
  for (const equity of [-1n, 2n ** 120n, -(2n ** 119n)]) {
    const shift = { "priceIfLong[0]": 90n + equity, "price[0]": 90n + equity, "value[0]": 90n + equity };
    for (const bit of [0n, 1n]) {
      const bits = Object.fromEntries(
        Array.from({ length: 120 }, (_, i) => [`equityBit[${i}]`, bit] as const).filter(([name]) =>
          circuit.wireOf.has(name),
        ),
      );
      assert.notDeepEqual(brokenConstraints(circuit, tampered({ ...shift, ...bits })), []);
    }
  }
});

test("at the flat-only prices one contract outweighs the largest cash [CIR-5, NUM-7]", () => {
  const prices = { priceIfLong: Array<bigint>(8).fill(toField(-BIG)), priceIfShort: Array<bigint>(8).fill(BIG) };
  const rich = 2n ** 121n - 1n;
  for (const position of [1n, -1n, MAX, -MAX]) {
    refuses({ ...forged(flat(rich, position), flat(rich, position)), ...prices });
  }
  accepts({ ...forged(flat(7n), flat(7n)), ...prices });
});

test("a note of another owner, root or nullifier is refused [CIR-2]", () => {
  const input = circuitInput(witnessOf());
  refuses({ ...input, spendingKey: 124n });
  refuses({ ...input, root: 1n });
  refuses({ ...input, sibling: PLAIN.path.siblings.map((sibling, level) => (level === 19 ? sibling + 1n : sibling)) });
  refuses({ ...input, pathBit: [2n, ...Array<bigint>(19).fill(1n)] });
  refuses({ ...input, pathBit: Array<bigint>(20).fill(0n) });
  refuses({ ...input, blinding: 457n });
  const { viewingKey } = keysOfSpendingKey(124n);
  const { ownerKey } = keysOfSpendingKey(PLAIN.spendingKey);
  refuses({ ...input, nullifier: nullifierOf(viewingKey, noteCommitment(ownerKey, PLAIN.blinding, PLAIN.account)) });
});

test("the seat is 0 or the owner's key, nobody else's [CIR-7]", () => {
  const { ownerKey } = keysOfSpendingKey(PLAIN.spendingKey);
  accepts({ ...circuitInput(witnessOf()), seat: ownerKey });
  refuses({ ...circuitInput(witnessOf()), seat: keysOfSpendingKey(124n).ownerKey });
  refuses({ ...circuitInput(witnessOf()), seat: 1n });
});

test("a new note with more cash, another owner or another blinding is refused [CIR-3]", () => {
  const { ownerKey } = keysOfSpendingKey(PLAIN.spendingKey);
  const { newAccount } = witnessOf();
  const richer = { ...newAccount, cash: newAccount.cash + 1n };
  for (const newNote of [
    noteCommitment(ownerKey, PLAIN.newBlinding, richer),
    noteCommitment(ownerKey + 1n, PLAIN.newBlinding, newAccount),
    noteCommitment(ownerKey, PLAIN.newBlinding + 1n, newAccount),
  ]) {
    refuses({ ...circuitInput(witnessOf()), newNote });
  }
});
