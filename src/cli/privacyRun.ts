import type { InferenceView, PrivacyView } from "../trader/views.ts";
import { type Io, type JsonOptions, type WalletOptions, withService } from "./session.ts";
import { wrapped } from "./wrapped.ts";

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
  const lines = [`${TOPICS[topic]}. ${finding}`, ...(advice === null ? [] : [`-> ${advice}`])];
  // Beside the level.
  const text = lines.flatMap((line) => wrapped(line, WIDTH - INDENT.length));
  return text.map((line, i) => (i === 0 ? `  ${level.padEnd(INDENT.length - 2)}` : INDENT) + line).join("\n");
}
