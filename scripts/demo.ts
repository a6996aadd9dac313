import { access, constants, mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { z } from "zod";
import { dollars, grouped, table } from "../src/cli/terminal.ts";
import { HedgerowError } from "../src/protocol/errors.ts";
import { auditStage } from "./demo/audit.ts";
import { type FlowOptions, planFlow, playFlow } from "./demo/flow.ts";
import { Narrator } from "./demo/narrator.ts";
import { costTable, gasFigures, privateTable, publicTable, quantile } from "./demo/report.ts";
import { Stage } from "./demo/stage.ts";
import { playStory, STORY_TERMS } from "./demo/story.ts";

const USAGE = `npm run demo                      a trading day of eleven traders
npm run demo -- --flow FILE.csv   the day driven by recorded order flow
    --traders N                   spread over N traders (default 8)
    --limit M                     only the first M rows (default 200)
    --tickets-per-trader K        many orders on K tickets of each trader
                                  (default: a ticket and a proof per order)
    --unit U                      base units per unit of price (default 500000:
                                  index points x 100 at 50 dollars a point)
    --json FILE                   also write a summary for programs`;

/** A whole number between two others, as a command line has it. */
function wholeNumber(least: number, most: number) {
  const rule = `must be a whole number from ${least} to ${most}`;
  return z
    .string()
    .regex(/^\d{1,9}$/, rule)
    .transform(Number)
    .refine((value) => value >= least && value <= most, rule);
}

const optionsSchema = z.strictObject({
  json: z.string().min(1).optional(),
  flow: z.string().min(1).optional(),
  traders: wholeNumber(2, 256).prefault("8"),
  limit: wholeNumber(1, 1_000_000).prefault("200"),
  "tickets-per-trader": wholeNumber(1, 8).optional(),
  unit: wholeNumber(1, 999_999_999).prefault("500000").transform(BigInt),
  help: z.boolean().optional(),
});
type Options = z.infer<typeof optionsSchema>;

/** The command line breaks a rule. */
class BadArguments extends HedgerowError {
  constructor(problem: string) {
    super("BadArguments", `${problem}\n\n${USAGE}`);
  }
}

function readOptions(args: readonly string[]): Options {
  const text = { type: "string" } as const;
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        json: text,
        flow: text,
        traders: text,
        limit: text,
        "tickets-per-trader": text,
        unit: text,
        help: { type: "boolean" },
      },
    });
    return optionsSchema.parse(values);
  } catch (error) {
    if (error instanceof z.ZodError) {
      throw new BadArguments(error.issues.map(({ path, message }) => `--${path.join(".")}: ${message}`).join("; "));
    }
    throw new BadArguments(error instanceof Error ? error.message : String(error));
  }
}

/** Throws BadArguments now rather than after the whole day. */
async function assertWritable(file: string): Promise<void> {
  await access(dirname(resolve(file)), constants.W_OK).catch(() => {
    throw new BadArguments(`--json: ${file} cannot be written, its folder is missing or closed`);
  });
}

/** Plays the demo; the process's exit code says whether every claim held. */
async function main(options: Options): Promise<void> {
  if (options.help === true) {
    console.log(USAGE);
    return;
  }
  if (options.json !== undefined) await assertWritable(options.json);
  const started = performance.now();
  const flow: FlowOptions | undefined =
    options.flow === undefined
      ? undefined
      : {
          file: options.flow,
          traders: options.traders,
          limit: options.limit,
          ticketsPerTrader: options["tickets-per-trader"],
          unit: options.unit,
        };
  const plan = flow === undefined ? undefined : await planFlow(flow);
  const { clearing, markets } = plan === undefined ? STORY_TERMS : { clearing: plan.clearing, markets: [plan.terms] };
  console.log("Starting a local chain and the exchange, each in a process of its own ...");
  const directory = await mkdtemp(join(tmpdir(), "hedgerow-demo-"));
  // Much order flow makes large batches by itself; a story wants to see them soon.
  const batchMs = flow?.ticketsPerTrader === undefined ? 200 : 2_000;
  const stage = await Stage.open({ terms: clearing, markets, directory, batchMs });
  const interruption = interrupted();
  const playing = play(stage, flow, plan, options.json, started);
  // After an interruption nobody waits for it any more.
  playing.catch(() => undefined);
  try {
    const ok = await Promise.race([playing, interruption.promise]);
    process.exitCode = ok ? 0 : 1;
  } finally {
    interruption.ignore();
    await stage.close();
  }
}

/** Somebody pressed Ctrl-C. */
class Interrupted extends HedgerowError {
  constructor() {
    super("Interrupted", "stopped: the chain, the exchange and the wallets of the demo are gone");
  }
}

/** A promise that rejects on Ctrl-C, until it is told to ignore it. */
function interrupted(): { readonly promise: Promise<never>; readonly ignore: () => void } {
  const { promise, reject } = Promise.withResolvers<never>();
  promise.catch(() => undefined);
  const stop = (): void => {
    reject(new Interrupted());
  };
  const signals = ["SIGINT", "SIGTERM"] as const;
  for (const signal of signals) process.once(signal, stop);
  return {
    promise,
    ignore: () => {
      for (const signal of signals) process.off(signal, stop);
    },
  };
}

async function play(
  stage: Stage,
  flow: FlowOptions | undefined,
  plan: Awaited<ReturnType<typeof planFlow>> | undefined,
  json: string | undefined,
  started: number,
): Promise<boolean> {
  const narrator = new Narrator(stage, await stage.now());
  const story = plan === undefined || flow === undefined ? await playStory(stage, narrator) : undefined;
  const played = plan === undefined || flow === undefined ? undefined : await playFlow(stage, narrator, plan, flow);
  const settlementPrice = story?.settlementPrice ?? played?.settlementPrice ?? 0n;

  console.log(`\nWhat each trader has (the demo holds all keys)\n${privateTable(stage)}`);
  console.log(`\nWhat the chain shows\n${await publicTable(stage)}`);
  const gas = await gasFigures(stage);
  console.log(`\n${costTable(stage, gas)}`);
  if (played !== undefined) {
    const refused = [...played.refused].map(([code, count]) => [`refused: ${code}`, grouped(count)]);
    const rows = [
      ["rows played", grouped(played.rows)],
      ["orders placed", grouped(played.placed)],
      ["cancels", grouped(played.cancelled)],
      ["replacements", grouped(played.modified)],
      ["rows about orders not resting", grouped(played.unknown)],
      ...refused,
      ["trading, proofs and batches included", `${played.tradingSeconds.toFixed(1)} s`],
    ];
    console.log(`\n${table([{ title: "flow" }, { title: "figure", right: true }], rows)}`);
  }
  if (stage.refusals.length > 0) {
    const rows = stage.refusals.map(({ what, error }) => [what, error]);
    console.log(`\n${table([{ title: "refused" }, { title: "error" }], rows)}`);
  }
  const conserved = await auditStage(stage);
  const seconds = Number(((performance.now() - started) / 1000).toFixed(1));
  const failed = narrator.claims.filter(({ held }) => !held);
  console.log(`\nsettlement price: ${dollars(settlementPrice)}`);
  console.log(`claims: ${narrator.claims.length - failed.length} of ${narrator.claims.length} held`);
  console.log(`conserved: ${conserved ? "yes" : "no"}`);
  console.log(`seconds: ${seconds}`);

  const ok = conserved && narrator.allHeld;
  if (json !== undefined) {
    const { tickets, proofMs } = stage.measured;
    const defaults = story?.defaults.map(({ trader, bondLost, paid }) => ({
      trader,
      bondLost: bondLost.toString(),
      paid: paid.toString(),
    }));
    const summary = {
      ok,
      conserved,
      traders: stage.traders.size,
      tickets,
      transitions: stage.state.transitioned.size,
      fills: stage.state.fills.length,
      defaults: defaults ?? [],
      refusals: stage.refusals,
      settlementPrice: settlementPrice.toString(),
      proofMs: { p50: quantile(proofMs, 0.5), p95: quantile(proofMs, 0.95) },
      gas,
      seconds,
    };
    await writeFile(json, `${JSON.stringify(summary, undefined, 2)}\n`);
  }
  return ok;
}

/** Runs the demo with these arguments and sets the exit code: 0 every claim held, 1 not, 2 bad arguments. */
export async function runDemo(args: readonly string[]): Promise<void> {
  try {
    await main(readOptions(args));
  } catch (error) {
    if (!(error instanceof HedgerowError)) throw error;
    console.error(`${error.code}: ${error.message}`);
    // The story may still be waiting for something: do not wait with it.
    if (error instanceof Interrupted) process.exit(130);
    process.exitCode = error instanceof BadArguments ? 2 : 1;
  }
}

if (import.meta.main) await runDemo(process.argv.slice(2));
