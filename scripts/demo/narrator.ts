import type { Stage } from "./stage.ts";

/** A sentence of the story that was checked. */
export type Claim = { readonly text: string; readonly held: boolean };

/** Tells the day with the chain's clock, and remembers every claim. */
export class Narrator {
  readonly claims: Claim[] = [];
  readonly #stage: Stage;
  readonly #openedAt: bigint;

  constructor(stage: Stage, openedAt: bigint) {
    this.#stage = stage;
    this.#openedAt = openedAt;
  }

  /** A heading. */
  chapter(title: string): void {
    console.log(`\n${title}`);
  }

  /** A line of the timeline. */
  async say(text: string): Promise<void> {
    const elapsed = (await this.#stage.now()) - this.#openedAt;
    console.log(wrap(`${hours(elapsed)}  ${text}`));
  }

  /** A sentence that must be true, or the demo fails. */
  claim(text: string, held: boolean): void {
    this.claims.push({ text, held });
    console.log(wrap(`  ${held ? "ok  " : "FAIL"} ${text}`));
  }

  get allHeld(): boolean {
    return this.claims.every(({ held }) => held);
  }
}

/** Hours and minutes of the demo's clock, which starts at nine. */
function hours(elapsed: bigint): string {
  const minutes = 9n * 60n + elapsed / 60n;
  const two = (n: bigint): string => n.toString().padStart(2, "0");
  return `${two((minutes / 60n) % 24n)}:${two(minutes % 60n)}`;
}

/** Breaks a text at 80 columns; lines that follow are indented. */
function wrap(text: string, width = 80): string {
  return text
    .split("\n")
    .map((paragraph) => {
      const lines: string[] = [];
      let line = "";
      for (const word of paragraph.split(/(?<=\S) (?=\S)/)) {
        if (line !== "" && line.length + 1 + word.length > width) {
          lines.push(line);
          line = `       ${word}`;
        } else {
          line = line === "" ? word : `${line} ${word}`;
        }
      }
      return [...lines, line].join("\n");
    })
    .join("\n");
}
