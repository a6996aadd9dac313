import { statSync } from "node:fs";
import { HedgerowError } from "../protocol/errors.ts";
import { FileTooOpen, readSecretFile } from "../trader/files.ts";
import { Interrupted } from "../trader/interrupted.ts";

/** A file with a secret is missing, or others may read it. */
export class PasswordFileRefused extends HedgerowError {
  constructor(file: string, reason: string, remedy: string) {
    super("PasswordFileRefused", `${file} ${reason}: ${remedy}`, { file, reason });
  }
}

/** A question that only a person can answer, and nobody is there. */
export class NoTerminal extends HedgerowError {
  constructor(what: string, remedy: string) {
    super("NoTerminal", `there is no terminal to ask for ${what}: ${remedy}`, { what });
  }
}

/** The two passwords of a new wallet are not the same. */
export class PasswordsDiffer extends HedgerowError {
  constructor() {
    super("PasswordsDiffer", "the two passwords differ: type the same one twice");
  }
}

/** Where a password comes from. `repeat`: it is a new one, so that it is asked for twice. */
export type PasswordOptions = { readonly passwordFile?: string | undefined; readonly repeat?: boolean };

/**
 * The wallet's password: the first line of `passwordFile`, which only its owner may read, or typed unseen at the
 * terminal. Throws PasswordFileRefused, NoTerminal, PasswordsDiffer, Interrupted.
 */
export async function askPassword(
  message: string,
  { passwordFile, repeat = false }: PasswordOptions = {},
): Promise<string> {
  if (passwordFile !== undefined) return passwordIn(passwordFile);
  assertTerminal("a password", "give --password-file FILE, readable by you only");
  const password = await hidden(message);
  if (repeat && (await hidden("Once more")) !== password) throw new PasswordsDiffer();
  return password;
}

/** Yes or no, at the terminal. Throws NoTerminal, Interrupted. `remedy`: what to type where nobody can be asked. */
export async function askYes(message: string, remedy = "give --yes"): Promise<boolean> {
  assertTerminal("a yes", remedy);
  const { default: confirm } = await import("@inquirer/confirm");
  return await answered(confirm({ message, default: false }, { output: process.stderr }));
}

/** Text typed unseen at the terminal, as a seed phrase. Throws NoTerminal, Interrupted. */
export async function askHidden(message: string, remedy: string): Promise<string> {
  assertTerminal(message.toLowerCase(), remedy);
  return await hidden(message);
}

/** Throws NoTerminal where nobody can read or answer. */
function assertTerminal(what: string, remedy: string): void {
  if (!process.stdin.isTTY || !process.stderr.isTTY) throw new NoTerminal(what, remedy);
}

function passwordIn(file: string): string {
  const [password = ""] = secretIn(file).split(/\r?\n/, 1);
  if (password === "") throw new PasswordFileRefused(file, "is empty", "put the password on its first line");
  return password;
}

function secretIn(file: string): string {
  const found = statSync(file, { throwIfNoEntry: false });
  if (found === undefined) throw new PasswordFileRefused(file, "is not there", "name the file with the password");
  if (!found.isFile()) throw new PasswordFileRefused(file, "is no file", "name the file with the password");
  try {
    return readSecretFile(file);
  } catch (error) {
    if (!(error instanceof FileTooOpen)) throw error;
    throw new PasswordFileRefused(file, "holds a password, but others may read it", `chmod 600 ${file}`);
  }
}

/** The question goes to standard error: standard output is for answers. */
async function hidden(message: string): Promise<string> {
  const { default: password } = await import("@inquirer/password");
  return await answered(password({ message, mask: "*", toggleMask: false }, { output: process.stderr }));
}

async function answered<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof Error && error.name === "ExitPromptError") throw new Interrupted();
    throw error;
  }
}
