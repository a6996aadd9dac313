/** `skipped`: it was not looked at, and nothing is wrong with that. */
export type FindingStatus = "ok" | "warn" | "missing" | "skipped";

/** One thing that Hedgerow needs, and whether it is there. */
export type Finding = {
  readonly what: string;
  readonly status: FindingStatus;
  /** Nothing is missing. */
  readonly ok: boolean;
  readonly found: string;
  /** What to do about it; empty where nothing is to be done. */
  readonly remedy: string;
};

export function good(what: string, found: string): Finding {
  return { what, status: "ok", ok: true, found, remedy: "" };
}

export function warning(what: string, found: string, remedy: string): Finding {
  return { what, status: "warn", ok: true, found, remedy };
}

export function missing(what: string, found: string, remedy: string): Finding {
  return { what, status: "missing", ok: false, found, remedy };
}

export function skipped(what: string, found: string, remedy: string): Finding {
  return { what, status: "skipped", ok: true, found, remedy };
}
