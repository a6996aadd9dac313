import { isAddress } from "viem";
import { pino } from "pino";
import { z } from "zod";
import { publicClientOf, refusalOf } from "../chain/clearingHouse.ts";
import { runExchange } from "../exchange/runExchange.ts";
import { HedgerowError } from "../protocol/errors.ts";
import type { Hex } from "../protocol/keys.ts";
import { BadOption, readKey } from "./keyFile.ts";

const whole = (lowest: number) => z.coerce.number<string>().int(`give a whole number`).min(lowest);
const optionsSchema = z
  .object({
    chain: z.url("give the URL of a node, as http://127.0.0.1:8545"),
    clearingHouse: z.custom<Hex>(
      (value) => typeof value === "string" && isAddress(value),
      "give the contract's address",
    ),
    journal: z.string().min(1, "give a directory"),
    key: z.string().min(1, "give a file"),
    passwordFile: z.string().optional(),
    host: z.string().min(1, "give an address of this machine"),
    port: whole(0).max(65_535, "give a port from 0 to 65535"),
    chainId: whole(1).optional(),
    fromBlock: whole(0),
    batchSize: whole(1),
    batchMs: whole(1),
    haltAfter: whole(1).optional(),
    haltFor: whole(1).optional(),
    snapshotEvery: whole(1).optional(),
    transitionsPerSecond: whole(1).optional(),
    connectionsPerAddress: whole(1).optional(),
    logLevel: z.enum(["debug", "info", "warn", "error", "silent"]),
  })
  .refine(({ haltAfter, haltFor }) => (haltAfter === undefined) === (haltFor === undefined), {
    path: ["haltFor"],
    error: "give --halt-after and --halt-for together, or neither",
  });

/** As commander gives them. */
export type ExchangeCommandOptions = Readonly<Record<string, string | undefined>>;

/** Runs an exchange until it is told to end. Its first line on standard output is its address, as JSON. */
export async function serveExchange(given: ExchangeCommandOptions): Promise<void> {
  try {
    await serve(given);
  } catch (error) {
    // A port that is taken, a file that is not there: the system's words are clear enough.
    const isOfSystem = error instanceof Error && "syscall" in error;
    if (!(error instanceof HedgerowError) && !isOfSystem) throw error;
    console.error(error instanceof HedgerowError ? `${error.code}: ${error.message}` : error.message);
    process.exitCode = 1;
  }
}

async function serve(given: ExchangeCommandOptions): Promise<void> {
  const options = parsed(given);
  const { haltAfter, haltFor, snapshotEvery, transitionsPerSecond, connectionsPerAddress } = options;
  const logger = pino({ level: options.logLevel, base: null }, pino.destination({ dest: 2, sync: false }));
  const exchange = await runExchange({
    chainUrl: options.chain,
    chainId: options.chainId ?? (await chainIdBehind(options.chain)),
    clearingHouse: options.clearingHouse,
    fromBlock: BigInt(options.fromBlock),
    operatorKey: readKey(options.key, options.passwordFile),
    directory: options.journal,
    host: options.host,
    port: options.port,
    logger,
    batches: { size: options.batchSize, intervalMs: options.batchMs },
    limits: {
      ...(transitionsPerSecond !== undefined && { transitionsPerSecond }),
      ...(connectionsPerAddress !== undefined && { connectionsPerAddress }),
    },
    ...(haltAfter !== undefined && haltFor !== undefined && { limitLock: { after: haltAfter, pause: haltFor } }),
    ...(snapshotEvery !== undefined && { snapshotEvery }),
  });
  console.log(JSON.stringify({ url: exchange.url, operator: exchange.operator.operator }));
  const end = (): void => void exchange.close();
  process.once("SIGINT", end).once("SIGTERM", end);
  try {
    await exchange.done;
  } catch (error) {
    logger.fatal({ message: error instanceof Error ? error.message : String(error) }, "exchange ended");
    process.exitCode = 1;
    await exchange.close();
  } finally {
    process.off("SIGINT", end).off("SIGTERM", end);
  }
}

async function chainIdBehind(url: string): Promise<number> {
  try {
    return await publicClientOf(url, 0).getChainId();
  } catch (error) {
    throw refusalOf(error);
  }
}

function parsed(given: ExchangeCommandOptions): z.infer<typeof optionsSchema> {
  const result = optionsSchema.safeParse(given);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const name = String(issue?.path[0] ?? "");
  const option = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  throw new BadOption(option, given[name] ?? "", issue?.message ?? "not understood");
}
