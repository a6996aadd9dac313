import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";
import { z } from "zod";

const DEMO = resolve(import.meta.dirname, "../../scripts/demo.ts");

const summarySchema = z.strictObject({
  ok: z.boolean(),
  conserved: z.boolean(),
  traders: z.number(),
  tickets: z.number(),
  transitions: z.number(),
  fills: z.number(),
  defaults: z.array(z.strictObject({ trader: z.string(), bondLost: z.string(), paid: z.string() })),
  refusals: z.array(z.strictObject({ what: z.string(), error: z.string() })),
  settlementPrice: z.string(),
  proofMs: z.strictObject({ p50: z.number(), p95: z.number() }),
  gas: z.strictObject({ transition: z.number(), fill: z.number(), deployment: z.number() }),
  seconds: z.number(),
});

let directory = "";
before(async () => {
  directory = await mkdtemp(join(tmpdir(), "hedgerow-test-"));
});
after(() => rm(directory, { recursive: true }));

type Ended = { readonly code: number | null; readonly output: string };

/** Runs the demo as a process of its own; `act` may interfere with it. */
async function demo(
  args: readonly string[],
  act?: (child: ReturnType<typeof spawn>, output: string) => void,
  env: Readonly<Record<string, string>> = {},
): Promise<Ended> {
  const child = spawn(process.execPath, [DEMO, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...env },
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => {
      output += chunk.toString("utf8");
      act?.(child, output);
    });
  }
  await once(child, "close");
  return { code: child.exitCode, output };
}

/** All processes of this machine. */
function processes(): readonly { readonly pid: number; readonly parent: number }[] {
  const lines = execFileSync("ps", ["-A", "-o", "pid=,ppid="], { encoding: "utf8" }).trim().split("\n");
  return lines.map((line) => {
    const [pid = 0, parent = 0] = line.trim().split(/\s+/).map(Number);
    return { pid, parent };
  });
}

function childrenOf(parent: number): readonly number[] {
  return processes().flatMap((each) => (each.parent === parent ? [each.pid] : []));
}

test("the demo plays a whole day, its exchange killed on the way, every claim holds and every token is accounted for [DEV-5, CON-1, CON-2, CON-7, JRN-2, JRN-12, BAT-18, REC-3, API-7]", async () => {
  const file = join(directory, "story.json");
  const { code, output } = await demo(["--json", file]);
  assert.equal(code, 0, output);
  assert.match(output, /^conserved: yes$/m);
  for (const claim of [/the book is the same/, /nothing was posted twice/, /each signed by the operator/]) {
    assert.match(output, claim);
  }
  const summary = summarySchema.parse(JSON.parse(await readFile(file, "utf8")));
  assert.ok(summary.ok && summary.conserved);
  assert.ok(summary.traders >= 10 && summary.fills >= 8 && summary.transitions >= 40);
  assert.deepEqual(
    summary.defaults.map(({ trader }) => trader),
    ["Hank"],
  );
  assert.ok(summary.refusals.every(({ error }) => !error.startsWith("nothing")));
  assert.ok(output.split("\n").every((line) => line.length <= 100));
});

test("a day driven by order flow from a file settles, renews and is conserved [DEV-5, MAT-15]", async () => {
  const flow = join(directory, "flow.csv");
  const rows = [
    "seq,time_ns,op,order_id,side,price,size,tif,note",
    "0,1,NEW,a,B,1000,3,GTC,",
    "1,2,NEW,b,A,1005,4,GTC,",
    "2,3,MODIFY,a,B,1000,2,GTC,",
    "3,4,NEW,c,A,1000,1,IOC,",
    "4,5,NEW,d,B,1005,6,GTC,",
    "5,6,CANCEL,a,B,1000,0,GTC,",
    "6,7,CANCEL,unheard-of,B,1000,0,GTC,",
    "7,8,NEW,e,A,1005,2,IOC,",
  ];
  await writeFile(flow, `${rows.join("\n")}\n`);
  for (const { traders, more } of [
    { traders: 3, more: [] },
    { traders: 2, more: ["--tickets-per-trader", "2"] },
  ]) {
    const file = join(directory, "flow.json");
    const { code, output } = await demo(["--flow", flow, "--traders", String(traders), "--json", file, ...more]);
    assert.equal(code, 0, output);
    const summary = summarySchema.parse(JSON.parse(await readFile(file, "utf8")));
    assert.deepEqual(
      { ok: summary.ok, fills: summary.fills, traders: summary.traders },
      { ok: true, fills: 3, traders },
    );
  }
});

test("a malformed line ends the demo with its number, bad arguments with the usage [MAT-15, DEV-5]", async () => {
  const flow = join(directory, "malformed.csv");
  await writeFile(flow, "seq,time_ns,op,order_id,side,price,size,tif\n0,1,NEW,a,B,1000,0,GTC\n");
  const malformed = await demo(["--flow", flow]);
  assert.equal(malformed.code, 1);
  assert.match(malformed.output, /MalformedFlow: line 2, column size/);
  const bad = await demo(["--traders", "1"]);
  assert.equal(bad.code, 2);
  assert.match(bad.output, /--traders: must be a whole number from 2 to 256/);
});

test("Ctrl-C ends the demo, its node, its exchange and its wallets [DEV-5]", async () => {
  const temporary = await mkdtemp(join(directory, "interrupted-"));
  let pressed = false;
  let children: readonly number[] = [];
  const act = (child: ReturnType<typeof spawn>, text: string): void => {
    if (pressed || !text.includes("seats are open")) return;
    pressed = true;
    children = childrenOf(child.pid ?? 0);
    child.kill("SIGINT");
  };
  const { code, output } = await demo([], act, { TMPDIR: temporary });
  assert.equal(code, 130, output);
  // What libraries keep there may stay.
  const folders = (await readdir(temporary)).filter((name) => name.startsWith("hedgerow-"));
  assert.deepEqual(folders, []);
  assert.equal(children.length, 2, "the chain and the exchange");
  const left = processes().filter(({ pid }) => children.includes(pid));
  assert.deepEqual(left, []);
});
