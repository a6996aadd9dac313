import assert from "node:assert/strict";
import { createReadStream } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { describe, test } from "node:test";
import fc from "fast-check";
import { apply, createBook } from "../../src/market/engine.ts";
import {
  bookCommand,
  type BookRow,
  flowCommands,
  type FlowRow,
  MalformedFlow,
  parseFlow,
  parseInitialBook,
  UnreadableFlow,
} from "../../src/market/flow.ts";
import { openOrder, trades } from "../../src/market/views.ts";
import { limit } from "../support/orders.ts";

const HEADER = "seq,time_ns,op,order_id,side,price,size,tif";
const NEW = "0,1700000000000000001,NEW,a,B,-100,3,GTC";

async function collect<T>(rows: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const row of rows) all.push(row);
  return all;
}

function rowsOf(text: string): Promise<FlowRow[]> {
  return collect(parseFlow(Readable.from([text])));
}

function bookOf(text: string): Promise<BookRow[]> {
  return collect(parseInitialBook(Readable.from([text])));
}

/** The text must fail on that line and column; the message names both and the value. */
async function assertMalformed(text: string, line: number, column: string, value: string): Promise<void> {
  await assert.rejects(rowsOf(text), (error) => {
    assert.ok(error instanceof MalformedFlow, String(error));
    assert.deepEqual([error.details["line"], error.details["column"], error.details["value"]], [line, column, value]);
    assert.ok(error.message.includes(`line ${line}, column ${column}: "${value}"`), error.message);
    return true;
  });
}

describe("well-formed flow", () => {
  test("the three operations are read with their own fields [MAT-15]", async () => {
    const text = [HEADER, NEW, "1,1700000000000000002,MODIFY,a,A,0,2147483647,", "5,0,CANCEL,b,,,,"].join("\n");
    const timeNs = 1700000000000000001n;
    assert.deepEqual(await rowsOf(text), [
      { op: "NEW", line: 2, seq: 0, timeNs, orderId: "a", side: "buy", price: -100, size: 3, timeInForce: "GTC" },
      { op: "MODIFY", line: 3, seq: 1, timeNs: timeNs + 1n, orderId: "a", side: "sell", price: 0, size: 2147483647 },
      { op: "CANCEL", line: 4, seq: 5, timeNs: 0n, orderId: "b" },
    ]);
  });

  test("line ends, byte order mark, quotes, blank lines and a missing last newline make no difference [MAT-15]", async () => {
    const plain = await rowsOf(`${HEADER}\n${NEW}\n`);
    const quoted = NEW.split(",").map((cell) => `"${cell}"`);
    for (const text of [
      `${HEADER}\n${NEW}`,
      `${HEADER}\r\n${NEW}\r\n`,
      `${HEADER}\r\n${NEW}`,
      `\uFEFF${HEADER}\n${NEW}\n`,
      `${HEADER}\n${quoted.join(",")}\n\n`,
      `\uFEFF"seq",${HEADER.slice(4)}\r\n${quoted.join(",")}\r\n\r\n`,
    ]) {
      assert.deepEqual(await rowsOf(text), plain, JSON.stringify(text));
    }
  });

  test("columns stand in any order, and further ones are ignored [MAT-15]", async () => {
    const text = "tif,note,size,price,side,order_id,op,time_ns,seq\nGTC,x,3,-100,B,a,NEW,1700000000000000001,0,more\n";
    assert.deepEqual(await rowsOf(text), await rowsOf(`${HEADER}\n${NEW}\n`));
  });

  test("a header alone is an empty flow [MAT-15]", async () => {
    assert.deepEqual(await rowsOf(HEADER), []);
  });

  test("text that comes in pieces is read like text in one piece [MAT-15]", async () => {
    const text = `\uFEFF${HEADER}\r\n${NEW}\r\n1,2,CANCEL,"ä,1",,,,\r\n`;
    const whole = await rowsOf(text);
    const pieces = [...Buffer.from(text)].map((byte) => Buffer.from([byte]));
    assert.deepEqual(await collect(parseFlow(Readable.from(pieces))), whole);
  });

  test("an initial book keeps the order of its lines [MAT-15]", async () => {
    assert.deepEqual(await bookOf("order_id,side,price,size\nx,B,5,1\ny,A,-6,2"), [
      { line: 2, orderId: "x", side: "buy", price: 5, size: 1 },
      { line: 3, orderId: "y", side: "sell", price: -6, size: 2 },
    ]);
  });

  test("price minus zero is zero [MAT-15]", async () => {
    const [row] = await bookOf("order_id,side,price,size\nx,B,-0,1");
    assert.ok(Object.is(row?.price, 0));
  });
});

describe("malformed flow", () => {
  for (const [column, bad] of [
    ["seq", ["", "x", "-1", "1.5", "9007199254740992", "1e3", "0x10"]],
    ["time_ns", ["", "1.5", "-1", "noon"]],
    ["op", ["", "new", "DELETE"]],
    ["order_id", [""]],
    ["side", ["", "b", "BUY"]],
    ["price", ["", "1.25", "9007199254740992", "-9007199254740992", " 5", "--5", "NaN"]],
    ["size", ["", "0", "-1", "2147483648", "1.0"]],
    ["tif", ["", "DAY", "gtc"]],
  ] as const) {
    test(`a NEW with a bad ${column} is refused with line, column and value [MAT-15]`, async () => {
      const index = HEADER.split(",").indexOf(column);
      for (const value of bad) {
        const line = NEW.replace(/^0/, "7").split(",").with(index, value).join(",");
        await assertMalformed(`${HEADER}\n${NEW}\n${line}\n`, 3, column, value);
      }
    });
  }

  test("the line number is right after CRLF, blank lines and quoted cells [MAT-15]", async () => {
    await assertMalformed(`${HEADER}\r\n${NEW}\r\n1,1,NEW,a,B,5,0,GTC\r\n`, 3, "size", "0");
    await assertMalformed(`${HEADER}\n\n\n"0",1,CANCEL,a,,,,\n1,1,NEW,a,B,5,0,GTC`, 5, "size", "0");
    await assertMalformed(`\uFEFF${HEADER}\n1,1,NEW,a,B,5,0,GTC`, 2, "size", "0");
  });

  test("rows before the bad one are handed out first [MAT-15]", async () => {
    const seen: number[] = [];
    await assert.rejects(async () => {
      for await (const row of parseFlow(Readable.from([`${HEADER}\n${NEW}\n1,1,CANCEL,,,,,`]))) seen.push(row.seq);
    }, MalformedFlow);
    assert.deepEqual(seen, [0]);
  });

  test("a short row is refused for the first cell it lacks [MAT-15]", async () => {
    await assertMalformed(`${HEADER}\n0,1,NEW,a,B`, 2, "price", "");
  });

  test("a number that does not rise is refused [MAT-15]", async () => {
    await assertMalformed(`${HEADER}\n${NEW}\n0,1,CANCEL,a,,,,`, 3, "seq", "0");
  });

  test("a missing, doubled or absent header is refused [MAT-15]", async () => {
    await assertMalformed(`${NEW}\n`, 1, "seq", NEW);
    await assertMalformed(`${HEADER},size\n${NEW}`, 1, "size", `${HEADER},size`);
    await assertMalformed("", 1, "seq", "");
  });

  test("a quote that never closes is refused with its line [MAT-15]", async () => {
    await assert.rejects(
      rowsOf(`${HEADER}\n${NEW}\n1,1,CANCEL,"a,,,,\n`),
      (error) => error instanceof MalformedFlow && Number(error.details["line"]) >= 3,
    );
    await assert.rejects(
      rowsOf(`${HEADER}\n1,1,CANCEL,a"b,,,,\n`),
      (error) => error instanceof MalformedFlow && error.details["line"] === 2,
    );
  });

  test("any text gives rows or a MalformedFlow, never another failure [MAT-15]", async () => {
    const cell = fc.oneof(fc.constantFrom("0", "7", "NEW", "CANCEL", "B", "GTC", '"', "\r", "", "-5"), fc.string());
    const line = fc.array(cell, { maxLength: 10 }).map((cells) => cells.join(","));
    await fc.assert(
      fc.asyncProperty(fc.array(line, { maxLength: 5 }), async (lines) => {
        await rowsOf([HEADER, ...lines].join("\n")).catch((error: unknown) => {
          assert.ok(error instanceof MalformedFlow, String(error));
        });
      }),
    );
  });

  test("a file that is not there is an UnreadableFlow [MAT-15]", async () => {
    const folder = await mkdtemp(join(tmpdir(), "hedgerow-flow-"));
    try {
      await assert.rejects(collect(parseFlow(createReadStream(join(folder, "none.csv")))), UnreadableFlow);
      await writeFile(join(folder, "one.csv"), `${HEADER}\n${NEW}\n`);
      assert.equal((await collect(parseFlow(createReadStream(join(folder, "one.csv"))))).length, 1);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe("long flow", () => {
  /** A source that never ends, one row a piece, and tells how far it was read and whether it was closed. */
  async function* endless(state: { rows: number; closed: boolean }): AsyncGenerator<string> {
    try {
      yield `${HEADER}\n`;
      for (;;) {
        await Promise.resolve();
        yield `${state.rows++},1,CANCEL,${"x".repeat(1_000)},,,,\n`;
      }
    } finally {
      state.closed = true;
    }
  }

  test("a reader that stops closes the source, which was read only a little ahead [MAT-15]", async () => {
    const state = { rows: 0, closed: false };
    for await (const row of parseFlow(endless(state))) if (row.seq === 500) break;
    await new Promise((resolve) => setImmediate(resolve));
    assert.ok(state.closed);
    assert.ok(state.rows < 1_000, `read ${state.rows} rows for 500`);
  });

  test("a source that fails in the middle is an UnreadableFlow that says why [MAT-15]", async () => {
    async function* failing(): AsyncGenerator<string> {
      yield `${HEADER}\n${NEW}\n`;
      await new Promise((resolve) => setImmediate(resolve));
      throw new Error("the disk is gone");
    }
    await assert.rejects(
      collect(parseFlow(failing())),
      (error) => error instanceof UnreadableFlow && error.message.includes("the disk is gone"),
    );
  });
});

describe("flow through the engine", () => {
  test("a CANCEL or MODIFY of an order never seen is a rejection, and the day goes on [MAT-10]", async () => {
    const book = createBook();
    const rows = await rowsOf([HEADER, "0,1,CANCEL,x,,,,", "1,1,MODIFY,y,B,5,1,", "2,1,NEW,z,B,5,1,GTC"].join("\n"));
    const codes = rows.map((row) => {
      const first = flowCommands(book, row, "me").flatMap((command) => apply(book, row.seq, command))[0];
      return first?.kind === "rejected" ? first.error.code : first?.kind;
    });
    assert.deepEqual(codes, ["Matching.UnknownOrder", "Matching.UnknownOrder", "accepted"]);
  });

  test("a MODIFY names the open size, to which the engine adds what has traded [MAT-8]", async () => {
    const book = createBook();
    apply(book, 0, limit("m", "sell", 5, 10));
    apply(book, 1, limit("t", "buy", 5, 4));
    const rows = await rowsOf(`${HEADER}\n2,1,MODIFY,m,A,5,6,\n3,1,MODIFY,m,A,5,2,`);
    for (const row of rows) for (const command of flowCommands(book, row, "m")) apply(book, row.seq, command);
    assert.deepEqual(
      [openOrder(book, "m")?.remaining, openOrder(book, "m")?.filled, openOrder(book, "m")?.prioritySeq],
      [2, 4, 0],
    );
  });

  test("an initial book is entered in the order of its lines [MAT-3]", async () => {
    const book = createBook();
    const rows = await bookOf("order_id,side,price,size\nx,B,5,1\ny,B,5,1");
    rows.forEach((row, seq) => apply(book, seq, bookCommand(row, row.orderId)));
    const [row] = await rowsOf(`${HEADER}\n9,1,NEW,t,A,5,2,IOC`);
    assert.ok(row);
    assert.deepEqual(
      trades(flowCommands(book, row, "t").flatMap((command) => apply(book, row.seq, command))).map(
        (trade) => trade.maker,
      ),
      ["x", "y"],
    );
  });
});
