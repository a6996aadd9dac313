import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

const LOOK_MS = 100;

/** Listens to all that commands say, and looks at the command lines and environments of all processes below this one. */
export type Recorder = {
  command(args: readonly string[]): void;
  text(chunk: string): void;
  /** All that was heard and seen, one text after the other. */
  heard(): string;
  /** How many processes were seen. */
  processes(): number;
  stop(): void;
};

export function startRecorder(): Recorder {
  const texts: string[] = [];
  const seen = new Set<string>();
  const pids = new Set<number>();
  const look = (): void => {
    for (const pid of descendants(process.pid)) {
      pids.add(pid);
      for (const name of ["cmdline", "environ", "comm"]) seen.add(contentOf(`/proc/${pid}/${name}`));
    }
  };
  const timer = setInterval(look, LOOK_MS).unref();
  return {
    command: (args) => void texts.push(args.join("\0")),
    text: (chunk) => void texts.push(chunk),
    heard: () => [texts.join(""), ...seen].join("\n"),
    processes: () => pids.size,
    stop: () => clearInterval(timer),
  };
}

/** A file or directory, with its mode. */
export type Entry = { readonly path: string; readonly mode: number; readonly isDirectory: boolean };

/** All files and directories below one, itself included. */
export function entriesBelow(path: string): readonly Entry[] {
  const stats = statSync(path);
  const own = { path, mode: stats.mode & 0o777, isDirectory: stats.isDirectory() };
  return stats.isDirectory() ? [own, ...readdirSync(path).flatMap((name) => entriesBelow(join(path, name)))] : [own];
}

/** Names of the secrets that a text holds: as it stands, as hex, as a number, or as bytes. */
export function secretsIn(text: string, secrets: Readonly<Record<string, RegExp>>): readonly string[] {
  return Object.entries(secrets).flatMap(([name, pattern]) => (pattern.test(text) ? [name] : []));
}

/** Matches two words of a phrase that follow each other, whatever stands between them. */
export function phrasePattern(phrase: string): RegExp {
  const words = phrase.split(" ");
  const pairs = words.slice(1).map((word, i) => `\\b${words[i] ?? ""}[^a-z]+${word}\\b`);
  return new RegExp(pairs.join("|"), "i");
}

/** Matches a key of 32 bytes as hex, as a decimal number, and as bytes in a file read as latin1. */
export function keyPattern(key: bigint): RegExp {
  const hex = key.toString(16).padStart(64, "0");
  const bytes = hex.replace(/../g, (byte) => `\\x${byte}`);
  return new RegExp(`${hex}|${key}|${bytes}`, "i");
}

function descendants(root: number): readonly number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const parent = Number(/^\d+ \(.*\) \S (\d+)/s.exec(contentOf(`/proc/${name}/stat`))?.[1] ?? -1);
    children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const below = (pid: number): readonly number[] =>
    (children.get(pid) ?? []).flatMap((child) => [child, ...below(child)]);
  return below(root);
}

/** Empty where the process has ended. */
function contentOf(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}
