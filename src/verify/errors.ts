import { HedgerowError } from "../protocol/errors.ts";

/** What the chain shows contradicts the rules. `where` names block and transaction, `rule` the specification. */
export class ChainContradiction extends HedgerowError {
  readonly rule: string;

  constructor(where: string, what: string, rule: string) {
    super("ChainContradiction", `${where}: ${what}, against ${rule}: ask the operator, and others who verify`, {
      where,
      what,
      rule,
    });
    this.rule = rule;
  }
}

/** The chain does not show what a replay needs. */
export class HistoryUnreadable extends HedgerowError {
  constructor(what: string) {
    super("HistoryUnreadable", `${what}: ask another node`, { what });
  }
}

/** The day that is to be verified is not over, or never was. */
export class DayNotWhole extends HedgerowError {
  constructor(epoch: number, present: number) {
    super("DayNotWhole", `day ${epoch} is not over: the chain shows whole days below ${present} only`, {
      epoch,
      present,
    });
  }
}

/** Proofs cannot be checked where the house does not ask for any. */
export class HouseUnproven extends HedgerowError {
  constructor(epoch: number) {
    super(
      "HouseUnproven",
      `day ${epoch} is not verified, proofs not checked: this house runs the unproven verifier; ` +
        `--unproven checks everything else`,
      { epoch },
    );
  }
}

/** A rule that a step of the replay breaks. The replay says where. */
export class BrokenRule extends HedgerowError {
  readonly rule: string;

  constructor(rule: string, what: string) {
    super("BrokenRule", what, { rule });
    this.rule = rule;
  }
}

/** Throws BrokenRule unless a rule is kept. */
export function must(kept: boolean, rule: string, what: string): asserts kept {
  if (!kept) throw new BrokenRule(rule, what);
}

/** The committed verifying key is not the pinned one. */
export class KeyMismatch extends HedgerowError {
  constructor(found: string, pinned: string) {
    super(
      "KeyMismatch",
      `the verifying key hashes to ${found}, but ${pinned} is pinned: take a whole copy of this version`,
      {
        found,
        pinned,
      },
    );
  }
}
