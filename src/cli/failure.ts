import { HedgerowError } from "../protocol/errors.ts";

/** How a command ended, for shells and scripts (spec CLI-3). */
export const EXIT = {
  done: 0,
  /** A fault of the program. */
  fault: 1,
  /** The command line, a file or a value makes no sense. */
  usage: 2,
  /** A rule says no: margin, phase, price limit. */
  refused: 3,
  /** Node, exchange or proxy do not answer. */
  unreachable: 4,
  /** Password, or the wallet's files. */
  wallet: 5,
  interrupted: 130,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** Wrong use of the command line. `remedy`: what to type instead. */
export class WrongUsage extends HedgerowError {
  constructor(what: string, remedy: string) {
    super("WrongUsage", `${what}: ${remedy}`, { what, remedy });
  }
}

const UNREACHABLE = /^(ChainUnavailable|ExchangeUnreachable|Proxy\w*|ChainReplaced|WrongChain|AgentUnreachable)$/;
const WALLET = /^(Wallet\w+|WrongPassword|NoTerminal|PasswordFileRefused|PasswordsDiffer|ViewingKey\w*)$/;
const USAGE = /^(WrongUsage|Bad\w+|Malformed\w+|Network\w+|Unknown(Market|Order|Reference)|FileTooOpen)$/;

/** The exit code that says what kind of failure it was. */
export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof HedgerowError) {
    if (error.code === "Interrupted") return EXIT.interrupted;
    if (UNREACHABLE.test(error.code)) return EXIT.unreachable;
    if (WALLET.test(error.code)) return EXIT.wallet;
    return USAGE.test(error.code) ? EXIT.usage : EXIT.refused;
  }
  return isOfSystem(error) ? EXIT.usage : EXIT.fault;
}

/** What a failure prints on standard error: a line what was wrong and one what to do, or one JSON object. */
export function failureText(error: unknown, { json = false }: { readonly json?: boolean | undefined } = {}): string {
  const { code, message, details } = partsOf(error);
  if (json) {
    const bigintAsText = (_: string, value: unknown): unknown => (typeof value === "bigint" ? value.toString() : value);
    return JSON.stringify({ error: { code, message, details } }, bigintAsText);
  }
  return `hedgerow: ${message}`;
}

/** Prints a failure and sets the process's exit code. The one place where commands fail. */
export function reportFailure(error: unknown, options: { readonly json?: boolean | undefined } = {}): ExitCode {
  process.stderr.write(`${failureText(error, options)}\n`);
  const code = exitCodeOf(error);
  process.exitCode = code;
  return code;
}

function partsOf(error: unknown): Pick<HedgerowError, "code" | "message" | "details"> {
  if (error instanceof HedgerowError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return { code: isOfSystem(error) ? "System" : "Fault", message, details: {} };
}

/** A file that is not there, a disk that is full: the system's own words are clear enough. */
function isOfSystem(error: unknown): boolean {
  return error instanceof Error && "syscall" in error;
}
