import { DayNotWhole, HouseUnproven } from "./errors.ts";
import type { History } from "./history.ts";
import { checkProofs, type VerifyingKey } from "./proofs.ts";
import { type DayRecord, replay } from "./replay.ts";

/** What is asked: the days, and what is checked of them. */
export type Question = {
  readonly first: number;
  readonly last: number;
  /** The proofs of all days before, too. */
  readonly allProofs?: boolean;
  /** Whether a house that asks for no proofs will do. */
  readonly unproven?: boolean;
};

/** What came out. `proofs` counts those that were checked; undefined where the house asks for none. */
export type Verdict = {
  readonly days: readonly (DayRecord & { readonly proofs: number | undefined })[];
  /** Proofs of the days before that were checked, and those that were not. */
  readonly earlierProofs: { readonly checked: number; readonly left: number };
  readonly notChecked: readonly string[];
};

/** What no chain shows, so that nobody can check it from there (spec VER-8). */
const NEVER_SHOWN: readonly string[] = [
  "price-time priority: the chain shows what traded, not what waited; receipts show it to those who hold them",
  "log heads: the log behind them is the exchange's own",
  "price feeds: what they answered is the house's word, held against limits and ticks",
  "attested quotes: that they were executable is checked, not that they rested all the time",
  "governance: what the registry published is followed, not who may publish",
];

/**
 * Verifies whole days of a history: all rules from the deployment on, and the proofs of the days that are asked for.
 * Throws ChainContradiction with what and where, DayNotWhole, HouseUnproven.
 */
export async function verifyDays(
  history: History,
  key: VerifyingKey,
  { first, last, allProofs = false, unproven = false }: Question,
  onProof: (done: number, total: number) => void = () => undefined,
): Promise<Verdict> {
  const { days, proofs, house } = replay(history, last);
  const asked = days.filter(({ epoch }) => epoch >= first && epoch <= last);
  if (asked.length === 0 || days.every(({ epoch }) => epoch !== last)) throw new DayNotWhole(last, house.epoch);
  const earlier = proofs.filter(({ epoch }) => epoch < first);
  const present = proofs.filter(({ epoch }) => epoch >= first && epoch <= last);
  if (!history.holdsKey) {
    if (!unproven) throw new HouseUnproven(last);
    return {
      days: asked.map((day) => ({ ...day, proofs: undefined })),
      earlierProofs: { checked: 0, left: earlier.length },
      notChecked: ["proofs: this house runs the unproven verifier", ...codeNotes(history), ...NEVER_SHOWN],
    };
  }
  await checkProofs(key, allProofs ? [...earlier, ...present] : present, onProof);
  const left = allProofs ? 0 : earlier.length;
  return {
    days: asked.map((day) => ({ ...day, proofs: present.filter(({ epoch }) => epoch === day.epoch).length })),
    earlierProofs: { checked: earlier.length - left, left },
    notChecked: [
      ...(left > 0 ? [`${left} proofs of earlier days: --all checks them, too`] : []),
      ...codeNotes(history),
      ...NEVER_SHOWN,
    ],
  };
}

/** What is to be said of the code behind a house: what it did is checked, what it might do is not. */
function codeNotes({ otherCode }: History): readonly string[] {
  if (otherCode === undefined)
    return ["code: the contracts are not compiled here, so there is nothing to compare with"];
  if (otherCode.length === 0) return [];
  return [`code: not what is compiled here: ${otherCode.join(", ")}; ask for the sources`];
}

/** Number of the last whole day of a history. Throws ChainContradiction, DayNotWhole. */
export function lastWholeDay(history: History): number {
  const { house, days } = replay(history);
  const last = days.at(-1)?.epoch;
  if (last === undefined) throw new DayNotWhole(house.epoch, house.epoch);
  return last;
}
