import { CommanderError } from "commander";
import { ZodError } from "zod";
import { foreignText } from "../api/foreignText.ts";
import { type ErrorDetails, HedgerowError } from "../protocol/errors.ts";
import { explanationFor, explanationOf } from "./explain.ts";
import { looksSecret } from "./values.ts";

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

/** The exit code that says what kind of failure it was: that of its explanation; a refusal where there is none. */
export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof CommanderError) return EXIT.usage;
  if (error instanceof HedgerowError) return EXIT[explanationFor(error.code)?.kind ?? "refused"];
  if (error instanceof ZodError) return EXIT.usage;
  return isOfSystem(error) ? EXIT.usage : EXIT.fault;
}

export type FailureOptions = {
  readonly json?: boolean | undefined;
  /** Decimals of the network's collateral, where they are known. */
  readonly decimals?: number | undefined;
  /** Command whose help says more, as "buy". */
  readonly command?: string | undefined;
};

/** What a failure prints on standard error: a line what was wrong and one what to do, or one JSON object. */
export function failureText(error: unknown, options: FailureOptions = {}): string {
  const { message, details, ...parts } = partsOf(error, options);
  const code = foreignText(parts.code, 80);
  if (options.json) return JSON.stringify({ error: { code, message: oneLine(message), details: asText(details) } });
  // What people mistyped says best itself what was wrong with it.
  if (code === "WrongUsage" || code === "Fault" || code === "System") return `hedgerow: ${oneLine(message)}`;
  const explained = explanationOf(code, details, options.decimals);
  if (explained === undefined) return `hedgerow: ${oneLine(message)} [${code}]`;
  // A trader's own slip is named best by the error itself; what others refuse is put into plain words.
  const why = explained.inWords || explained.kind === "refused" ? explained.why : message;
  return `hedgerow: ${oneLine(why)} [${code}]\nWhat to do: ${explained.next}`;
}

type Parts = Pick<HedgerowError, "code" | "message" | "details">;

function partsOf(error: unknown, { command }: FailureOptions): Parts {
  if (error instanceof HedgerowError) return error;
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof CommanderError) {
    const help = command === undefined ? "hedgerow --help" : `hedgerow ${command} --help`;
    const what = withoutSecrets(message.replace(/^error: /, ""));
    return new WrongUsage(oneLine(what), `${help} shows what there is`);
  }
  if (error instanceof ZodError) {
    const [issue] = error.issues;
    return new WrongUsage(`${issue?.path.join(".") ?? "a value"} is wrong`, issue?.message ?? "look at --help");
  }
  return { code: isOfSystem(error) ? "System" : "Fault", message, details: {} };
}

/** What people mistyped is shown to them again, except what could be a password or a phrase. */
function withoutSecrets(text: string): string {
  return text
    .replace(/(Expected \d+ arguments? but got \d+):[^]*$/, "$1")
    .replace(/'(--?[a-z-]+)=[^']*'/gi, "'$1=...'")
    .replace(/'([^']*)'/g, (quoted, value: string) => (looksSecret(value) ? "(hidden)" : quoted))
    .replace(/[0-9a-f]{60,}/gi, "(hidden)");
}

/** Errors take one line, and steer no terminal, whatever came from elsewhere is in them. */
function oneLine(text: string): string {
  return foreignText(text, 1_000);
}

/** Values for programs: whole numbers of any size as text; a signed receipt is among the longest. */
function asText(details: ErrorDetails): Readonly<Record<string, unknown>> {
  const valueOf = (value: unknown): unknown =>
    typeof value === "bigint" ? value.toString() : typeof value === "string" ? foreignText(value, 8_000) : value;
  return Object.fromEntries(Object.entries(details).map(([name, value]) => [foreignText(name, 80), valueOf(value)]));
}

/** A file that is not there, a disk that is full: the system's own words are clear enough. */
function isOfSystem(error: unknown): boolean {
  return error instanceof Error && "syscall" in error;
}
