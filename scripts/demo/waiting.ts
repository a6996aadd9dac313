import { setTimeout } from "node:timers/promises";
import { HedgerowError } from "../../src/protocol/errors.ts";

/** Something that should have come to pass did not. */
export class WaitedInVain extends HedgerowError {
  constructor(what: string, seconds: number, hint: string) {
    super("WaitedInVain", `${what} did not come to pass within ${seconds} s. ${hint}`, { what, seconds });
  }
}

/** What was thrown, as an error. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}

const LOOK_MS = 25;
const MOST_MS = 90_000;

/**
 * Looks again and again until `look` gives something. Throws WaitedInVain, with a hint for whoever reads it, or what
 * `look` throws.
 */
export async function until<T>(
  what: string,
  look: () => Promise<T | undefined> | T | undefined,
  { mostMs = MOST_MS, hint = () => "" }: { readonly mostMs?: number; readonly hint?: () => string } = {},
): Promise<T> {
  const end = performance.now() + mostMs;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > end) throw new WaitedInVain(what, mostMs / 1000, hint());
    await setTimeout(LOOK_MS);
  }
}
