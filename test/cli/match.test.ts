import assert from "node:assert/strict";
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { text as allText } from "node:stream/consumers";
import { after, beforeEach, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { z } from "zod";

const MAIN = resolve(import.meta.dirname, "../../src/cli/main.ts");
const HEADER = "seq,time_ns,op,order_id,side,price,size,tif";
const FILLS = "seq,n,taker_order_id,maker_order_id,price,size";

/** Two asks at 101 and one at 102; a bid at 99. */
const BOOK = lines("order_id,side,price,size", "a1,A,101,3", "a2,A,101,4", "a3,A,102,5", "b1,B,99,2");
/** A bid that takes both asks at 101 and a part of the next, then an order that nothing meets. */
const SWEEP = lines(HEADER, "10,1,NEW,t,B,102,9,GTC", "11,2,NEW,u,B,98,1,GTC");
const SWEPT = lines(FILLS, "10,0,t,a1,101,3", "10,1,t,a2,101,4", "10,2,t,a3,102,2");

let folder = "";
const folders: string[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "hedgerow-match-"));
  folders.push(folder);
});
after(() => {
  for (const made of folders) rmSync(made, { recursive: true });
});

interface Result {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

function lines(...all: readonly string[]): string {
  return all.map((line) => `${line}\n`).join("");
}

function start(...args: readonly string[]): ChildProcessWithoutNullStreams {
  return spawn(process.execPath, [MAIN, "match", ...args], { cwd: folder });
}

async function ended(child: ChildProcessWithoutNullStreams): Promise<Result> {
  const [out, err] = await Promise.all([allText(child.stdout), allText(child.stderr), once(child, "close")]);
  return { code: child.exitCode, out, err };
}

function run(...args: readonly string[]): Promise<Result> {
  const child = start(...args);
  child.stdin.end();
  return ended(child);
}

/** Writes the files into the folder, matches `commands.csv` into `fills.csv`, and returns what is there then. */
async function match(commands: string | Buffer, book?: string, ...args: readonly string[]) {
  writeFileSync(join(folder, "commands.csv"), commands);
  if (book !== undefined) writeFileSync(join(folder, "book.csv"), book);
  const bookArgs = book === undefined ? [] : ["--book", "book.csv"];
  const result = await run("--commands", "commands.csv", "--fills", "fills.csv", ...bookArgs, ...args);
  return { ...result, fills: contentOf("fills.csv") };
}

function contentOf(file: string): string | undefined {
  return existsSync(join(folder, file)) ? readFileSync(join(folder, file), "utf8") : undefined;
}

/** Exit code 2, a message that says all of it, and no file but those that were there. */
async function assertRefused(result: Promise<Result>, ...says: readonly string[]): Promise<void> {
  const before = readdirSync(folder);
  const { code, out, err } = await result;
  assert.equal(code, 2, err);
  assert.equal(out, "");
  for (const words of says) assert.ok(err.includes(words), `"${err}" does not say "${words}"`);
  assert.doesNotMatch(err, /^ +at /m, "no stack trace");
  const left = readdirSync(folder).filter((file) => !before.includes(file) && !/^(commands|book)\.csv$/.test(file));
  assert.deepEqual(left, []);
}

describe("hedgerow match", () => {
  test("trades the initial book in the order of its lines, at the resting price [MAT-3]", async () => {
    const { code, err, fills } = await match(SWEEP, BOOK);
    assert.deepEqual({ code, err, fills }, { code: 0, err: "", fills: SWEPT });
  });

  test("a flow without a book begins with an empty one [MAT-3]", async () => {
    const { fills } = await match(lines(HEADER, "0,1,NEW,m,A,-5,2,GTC", "7,2,NEW,t,B,-5,3,IOC"));
    assert.equal(fills, lines(FILLS, "7,0,t,m,-5,2"));
  });

  test("a MODIFY names the open size; less at the same price keeps its place, more gives it up [MAT-8]", async () => {
    const flow = lines(
      HEADER,
      "0,1,NEW,first,A,101,5,GTC",
      "1,1,NEW,second,A,101,5,GTC",
      "2,1,NEW,t1,B,101,2,IOC",
      "3,1,MODIFY,first,A,101,2,", // 2 traded, 3 open: 2 is less
      "4,1,NEW,t2,B,101,1,IOC",
      "5,1,MODIFY,first,A,101,2,", // 1 open: 2 is more
      "6,1,NEW,t3,B,101,6,IOC",
      "7,1,MODIFY,first,A,100,4,",
      "8,1,NEW,t4,B,100,9,FOK",
      "9,1,NEW,t5,B,100,4,FOK",
    );
    const { fills } = await match(flow);
    assert.equal(
      fills,
      lines(
        FILLS,
        "2,0,t1,first,101,2",
        "4,0,t2,first,101,1",
        "6,0,t3,second,101,5",
        "6,1,t3,first,101,1",
        "9,0,t5,first,100,4",
      ),
    );
  });

  test("a MODIFY to the price of the other side trades as a new order would [MAT-8]", async () => {
    const { fills } = await match(lines(HEADER, "0,1,MODIFY,b1,B,101,4,"), BOOK);
    assert.equal(fills, lines(FILLS, "0,0,b1,a1,101,3", "0,1,b1,a2,101,1"));
  });

  test("a MODIFY to size 0 takes the order out, one to the other side makes it a new order there [MAT-8]", async () => {
    const flow = lines(
      HEADER,
      "0,1,MODIFY,a1,A,101,0,",
      "1,1,MODIFY,b1,A,101,2,",
      "2,1,NEW,t,B,101,6,IOC",
      "3,1,NEW,u,A,99,1,IOC",
    );
    assert.equal((await match(flow, BOOK)).fills, lines(FILLS, "2,0,t,a2,101,4", "2,1,t,b1,101,2"));
  });

  test("an id may come again once its order is dead [MAT-9]", async () => {
    const flow = lines(
      HEADER,
      "0,1,CANCEL,a1,,,,",
      "1,1,NEW,a1,A,100,1,GTC",
      "2,1,NEW,a2,A,1,1,GTC",
      "3,1,NEW,t,B,101,2,IOC",
    );
    const { fills, out } = await match(flow, BOOK, "--json");
    assert.equal(fills, lines(FILLS, "3,0,t,a1,100,1", "3,1,t,a2,101,1"));
    assert.equal(z.object({ rejected: z.number() }).parse(JSON.parse(out)).rejected, 1, "a2 is alive");
  });

  test("a CANCEL or MODIFY of an order that is not there is counted, and nothing else [MAT-10]", async () => {
    const flow = lines(HEADER, "0,1,CANCEL,x,,,,", "1,1,MODIFY,y,B,500,1,", "2,1,NEW,t,B,101,1,IOC");
    const { code, out, fills } = await match(flow, BOOK, "--json");
    const summary = z
      .object({ commands: z.number(), fills: z.number(), rejected: z.number(), seconds: z.number() })
      .parse(JSON.parse(out));
    assert.deepEqual({ code, ...summary, seconds: 0 }, { code: 0, commands: 3, fills: 1, rejected: 2, seconds: 0 });
    assert.equal(fills, lines(FILLS, "2,0,t,a1,101,1"));
  });

  test("line ends, byte order mark, quotes, other columns and their order make no difference [MAT-15]", async () => {
    const quoted = SWEEP.replaceAll(/[^,\n]+/g, '"$&"').replaceAll("\n", ',"a ""note"",\nof two lines"\n');
    const turned = SWEEP.trimEnd()
      .split("\n")
      .map((line) => `more,${line.split(",").reverse().join(",")}`);
    for (const flow of [SWEEP.replaceAll("\n", "\r\n"), `\uFEFF${SWEEP}`, SWEEP.trimEnd(), quoted, lines(...turned)]) {
      const { err, fills } = await match(flow, BOOK);
      assert.deepEqual({ err, fills }, { err: "", fills: SWEPT }, JSON.stringify(flow));
    }
  });

  test("ids with commas and quotes are written in quotes [MAT-15]", async () => {
    const { fills } = await match(lines(HEADER, '0,1,NEW,"a,""1""",A,5,1,GTC', "1,1,NEW,ä,B,5,1,IOC"));
    assert.equal(fills, lines(FILLS, '1,0,ä,"a,""1""",5,1'));
  });

  test("a header alone gives a header alone [MAT-15]", async () => {
    assert.equal((await match(lines(HEADER))).fills, lines(FILLS));
  });

  test("the largest numbers of the format are exact [MAT-1]", async () => {
    const price = Number.MAX_SAFE_INTEGER;
    const flow = lines(
      HEADER,
      `0,18446744073709551615,NEW,m,A,${price},2147483647,GTC`,
      `${price},1,NEW,t,B,${price},2147483647,GTC`,
    );
    assert.equal((await match(flow)).fills, lines(FILLS, `${price},0,t,m,${price},2147483647`));
  });

  test("packed files are read, and - is standard input and output [MAT-15]", async () => {
    writeFileSync(join(folder, "commands.csv.gz"), gzipSync(SWEEP));
    writeFileSync(join(folder, "book.csv.gz"), gzipSync(BOOK));
    const packed = await run("--commands", "commands.csv.gz", "--book", "book.csv.gz", "--fills", "-");
    assert.deepEqual([packed.code, packed.out], [0, SWEPT]);
    assert.match(packed.err, /^2 commands, 3 fills, 0 rejected in/);

    const piped = start("--commands", "-", "--book", "book.csv.gz", "--fills", "-");
    piped.stdin.end(SWEEP);
    assert.equal((await ended(piped)).out, SWEPT);
  });

  test("ten thousand commands come out as they would one by one [MAT-12]", async () => {
    const flow = Array.from({ length: 5_000 }, (_, i) => [
      `${2 * i},1,NEW,m${i},A,${100 + (i % 7)},2,GTC`,
      `${2 * i + 1},1,NEW,t${i},B,${100 + (i % 7)},2,IOC`,
    ]).flat();
    const fills = Array.from({ length: 5_000 }, (_, i) => `${2 * i + 1},0,t${i},m${i},${100 + (i % 7)},2`);
    assert.equal((await match(lines(HEADER, ...flow))).fills, lines(FILLS, ...fills));
  });
});

describe("hedgerow match refuses", () => {
  for (const [what, line, column] of [
    ["a word for a number", "12,1,NEW,x,B,cheap,1,GTC", "price"],
    ["an unknown operation", "12,1,DELETE,x,B,5,1,GTC", "op"],
    ["a size beyond 32 bits", "12,1,NEW,x,B,5,2147483648,GTC", "size"],
    ["a price beyond 2^53", "12,1,NEW,x,B,9007199254740993,1,GTC", "price"],
    ["a fraction of a contract", "12,1,NEW,x,B,5,1.5,GTC", "size"],
    ["an unknown time in force", "12,1,NEW,x,B,5,1,DAY", "tif"],
    ["a short line", "12,1,NEW,x", "side"],
    ["a number that does not rise", "11,1,CANCEL,t,,,,", "seq"],
    ["bytes that are no UTF-8", Buffer.from("12,1,CANCEL,\xff,,,,", "latin1"), "order_id"],
    ["a quote that never closes", '12,1,CANCEL,"t,,,,', "(line)"],
    ["a line without end", `12,1,CANCEL,${"x".repeat(200_000)},,,,`, "(line)"],
  ] as const) {
    test(`${what}, with line and reason, and leaves no file [MAT-15]`, async () => {
      const flow = Buffer.concat([Buffer.from(SWEEP), Buffer.from(line), Buffer.from("\n")]);
      await assertRefused(match(flow, BOOK), `commands.csv: line 4, column ${column}: "`, " is wrong: ");
    });
  }

  test("a fault at the end of a long file, after fills were written [MAT-15]", async () => {
    const flow = Array.from({ length: 20_000 }, (_, i) => `${i},1,NEW,x${i},${i % 2 === 0 ? "A" : "B"},5,1,GTC`);
    await assertRefused(match(lines(HEADER, ...flow, "20000,1,NEW,x,B,5,0,GTC")), "line 20002, column size");
  });

  test("a header that lacks a column, and a file without one [MAT-15]", async () => {
    await assertRefused(match(SWEEP.replaceAll(/,[^,\n]*$/gm, "")), "line 1, column tif");
    await assertRefused(match(""), "line 1, column seq");
    await assertRefused(match(SWEEP, "order_id,side,price\na,B,1\n"), "book.csv: line 1, column size");
  });

  test("a book with a bad line, a doubled order or orders that would trade [MAT-13]", async () => {
    await assertRefused(match(SWEEP, `${BOOK}b2,B,cheap,1\n`), "book.csv: line 6, column price");
    await assertRefused(match(SWEEP, `${BOOK}a1,A,103,1\n`), "book.csv: line 6", "order a1 is already");
    await assertRefused(match(SWEEP, `${BOOK}b2,B,101,1\n`), "book.csv: line 6", "b2 would trade with a1");
  });

  test("a file that is not there, and one that is no archive [MAT-15]", async () => {
    await assertRefused(run("--commands", "none.csv", "--fills", "fills.csv"), "none.csv", "no such file");
    writeFileSync(join(folder, "commands.csv"), SWEEP);
    await assertRefused(
      run("--commands", "commands.csv", "--book", "none.csv", "--fills", "fills.csv"),
      "none.csv",
      "no such file",
    );
    writeFileSync(join(folder, "cut.csv.gz"), gzipSync(SWEEP.repeat(9)).subarray(0, 60));
    await assertRefused(
      run("--commands", "cut.csv.gz", "--fills", "fills.csv"),
      "cut.csv.gz",
      "unexpected end of file",
    );
  });

  test("an output that cannot be written, or that is an input under any name [MAT-15]", async () => {
    writeFileSync(join(folder, "commands.csv"), SWEEP);
    linkSync(join(folder, "commands.csv"), join(folder, "other.csv"));
    mkdirSync(join(folder, "sub"));
    const to = (fills: string): Promise<Result> => run("--commands", "commands.csv", "--fills", fills);
    await assertRefused(to("none/fills.csv"), "none/fills.csv", "no such file");
    await assertRefused(to("sub"), "sub", "is a folder");
    await assertRefused(to("sub/../commands.csv"), "is also read");
    await assertRefused(to("other.csv"), "is also read");
    assert.equal(contentOf("commands.csv"), SWEEP);
  });

  test("standard input for two files, and arguments it does not know [MAT-15]", async () => {
    await assertRefused(run("--commands", "-", "--book", "-", "--fills", "fills.csv"), "standard input is one file");
    await assertRefused(run("--commands", "commands.csv"), "--fills");
    await assertRefused(run("--commands", "commands.csv", "--fills", "fills.csv", "--fast"), "--fast");
  });
});

describe("the file of fills", () => {
  test("an older one is replaced on success, and stays as it was on failure [MAT-15]", async () => {
    writeFileSync(join(folder, "fills.csv"), "old\n");
    const failed = await match(`${SWEEP}x\n`, BOOK);
    assert.deepEqual([failed.code, failed.fills], [2, "old\n"]);
    assert.equal((await match(SWEEP, BOOK)).fills, SWEPT);
    assert.deepEqual(readdirSync(folder).sort(), ["book.csv", "commands.csv", "fills.csv"]);
  });

  for (const [signal, code] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const) {
    test(`${signal} in the middle leaves nothing behind [MAT-15]`, async () => {
      const child = start("--commands", "-", "--fills", "fills.csv");
      child.stdin.write(lines(HEADER, "0,1,NEW,m,A,5,1,GTC", "1,1,NEW,t,B,5,1,GTC"));
      for (let i = 0; readdirSync(folder).length === 0; i++) {
        assert.ok(i < 1_000, "the command never began to write");
        await sleep(20);
      }
      child.kill(signal);
      assert.equal((await ended(child)).code, code);
      assert.deepEqual(readdirSync(folder), []);
    });
  }
});
