/** Lines of words, none wider than `width` unless a word is. */
export function wrapped(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}

/** Prose folded to a width; lines that are set in, as examples are, stay as they are. */
export function folded(text: string, width: number): string {
  const lines = text.split("\n");
  return lines.flatMap((line) => (line.startsWith(" ") ? [line] : wrapped(line, width))).join("\n");
}
