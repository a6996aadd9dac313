import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { z } from "zod";
import { fromJson, jsonPieces, toJson } from "../../src/exchange/command.ts";

describe("plain data as JSON", () => {
  const plain = fc.anything({
    values: [fc.integer(), fc.string(), fc.boolean(), fc.bigInt(), fc.constant(null), fc.constant(undefined)],
    maxDepth: 5,
  });

  test("written in pieces it is the same text as written at once [JRN-7]", () => {
    fc.assert(
      fc.property(plain, (value) => assert.equal([...jsonPieces({ value })].join(""), toJson({ value }))),
      { numRuns: 2_000 },
    );
    const long = Array.from({ length: 1_000 }, (_, i) => ({ price: BigInt(i), signed: [i], rest: undefined }));
    assert.equal([...jsonPieces({ long, empty: [] })].join(""), toJson({ long, empty: [] }));
    assert(Math.max(...[...jsonPieces(long)].map(({ length }) => length)) < toJson(long).length / 4);
  });

  test("whole numbers of any size come back as they were, whatever texts stand beside them [JRN-11]", () => {
    const schema = z.object({ number: z.bigint(), hex: z.string() });
    fc.assert(
      fc.property(fc.bigInt(), (number) => {
        const value = { number, hex: "0x12n" };
        assert.deepEqual(fromJson(schema, toJson(value)), value);
      }),
    );
  });

  test("what is no JSON, or of another outline, is refused as unreadable [JRN-6]", () => {
    for (const text of ["", "{", "[1]", '{"number":1}']) {
      assert.throws(() => fromJson(z.object({ number: z.bigint() }), text), { code: "RecordUnreadable" });
    }
  });
});
