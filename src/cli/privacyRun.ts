import type { InferenceView, PrivacyView } from "../trader/views.ts";
import { type Io, type JsonOptions, type WalletOptions, withService } from "./session.ts";

/** Prints the report on a wallet's privacy. Throws what withService throws. */
export async function privacy(options: WalletOptions & JsonOptions, io: Io): Promise<void> {
  const view = await withService(options, (service, run) => service.run("privacy", {}, run), io);
  io.print(options.json === true ? JSON.stringify(view) : privacyText(view));
}

const WIDTH = 80;
const INDENT = "           ";
const ORDER: readonly InferenceView["level"][] = ["exposed", "weak", "good"];

const TOPICS: Readonly<Record<InferenceView["topic"], string>> = {
  "set-size": "Company",
  timing: "Timing",
  amounts: "Amounts",
  "linked-tickets": "Tickets",
  seat: "Seat",
  operator: "Operator",
  address: "Addresses",
  "viewing-key": "Viewing key",
};

/** The report as a person reads it, in lines of 80 columns at most, the worst first. */
export function privacyText({ activeSeats, ticketsToday, ownTicketsToday, inferences }: PrivacyView): string {
  const counts = `Active seats: ${activeSeats}. Tickets opened today: ${ticketsToday}, of them yours: ${ownTicketsToday}.`;
  const found = ORDER.flatMap((level) => inferences.filter((each) => each.level === level));
  return ["What others could infer about this account now", counts, ...found.map(inferenceText)].join("\n\n");
}

function inferenceText({ topic, level, finding, advice }: InferenceView): string {
  const text = [...wrapped(`${TOPICS[topic]}. ${finding}`), ...(advice === null ? [] : wrapped(`-> ${advice}`))];
  return text.map((line, i) => (i === 0 ? `  ${level.padEnd(INDENT.length - 2)}` : INDENT) + line).join("\n");
}

/** Lines that fit beside the level; a word that is longer stands alone. */
function wrapped(text: string): readonly string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    const longer = line === "" ? word : `${line} ${word}`;
    if (longer.length > WIDTH - INDENT.length && line !== "") {
      lines.push(line);
      line = word;
    } else line = longer;
  }
  return [...lines, line];
}
