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

/** It is there, and as it must be. */
export function good(what: string, found: string): Finding {
  return { what, status: "ok", ok: true, found, remedy: "" };
}

/** It is there, and something about it should be done. */
export function warning(what: string, found: string, remedy: string): Finding {
  return { what, status: "warn", ok: true, found, remedy };
}

/** It is not there, or of no use: things will fail without it. */
export function missing(what: string, found: string, remedy: string): Finding {
  return { what, status: "missing", ok: false, found, remedy };
}

/** It was not looked at. */
export function skipped(what: string, found: string, remedy: string): Finding {
  return { what, status: "skipped", ok: true, found, remedy };
}
