import assert from "node:assert/strict";
import { before, test } from "node:test";
import fc from "fast-check";
import { FIELD_MODULUS, fromField, toField } from "../../src/protocol/field.ts";
import { keysOfSpendingKey } from "../../src/protocol/keys.ts";
import { noteCommitment } from "../../src/protocol/note.ts";
import { publicSignals } from "../../src/protocol/statement.ts";
import { buildWitness, changed, draftTransition } from "../../src/protocol/transition.ts";
import { equity, valueOf } from "../../src/protocol/valuation.ts";
import { brokenConstraints, type CompiledCircuit, readCircuit, wiresOf } from "../support/circuit.ts";
import { element, solventTransition } from "../support/random.ts";

let circuit: CompiledCircuit;
before(async () => {
  circuit = await readCircuit();
});

test("the library and the circuit compute the same transition for random states and extremes [CIR-1]", () => {
  fc.assert(
    fc.property(solventTransition, element, (input, context) => {
      const draft = draftTransition(input);
      const wires = wiresOf(circuit, buildWitness(draft, context));
      const wire = (name: string): bigint => wires[circuit.wireOf.get(name) ?? -1] ?? -1n;

      assert.deepEqual(wires.slice(1, 26), publicSignals({ ...draft.statement, context }));
      const keys = keysOfSpendingKey(input.spendingKey);
      assert.equal(wire("ownerKey"), keys.ownerKey);
      assert.equal(wire("viewingKey"), keys.viewingKey);
      assert.equal(wire("note"), noteCommitment(keys.ownerKey, input.blinding, input.account));

      const after = changed(input.account, input.change);
      let proven = wire("cash") + wire("cashDelta");
      after.positions.forEach((position, m) => {
        assert.equal(wire(`after[${m}]`), toField(position));
        assert.equal(wire(`isLong[${m}]`), position >= 0n ? 1n : 0n);
        assert.equal(fromField(wire(`value[${m}]`)), valueOf(input.valuation, m, position));
        assert.equal(wire(`newPosition[${m}]`), toField(draft.newAccount.positions[m] ?? -1n));
        proven += wire(`value[${m}]`);
      });
      assert.equal(fromField(proven % FIELD_MODULUS), equity(after, input.valuation));
    }),
    { numRuns: 80 },
  );
});

test("the constraints hold for honest wires of random states [CIR-1]", () => {
  fc.assert(
    fc.property(solventTransition, element, (input, context) => {
      const wires = wiresOf(circuit, buildWitness(draftTransition(input), context));
      assert.deepEqual(brokenConstraints(circuit, wires), []);
    }),
    { numRuns: 8 },
  );
});
