/** Values an error carries for programs: what was wrong, with its numbers. Never a secret. */
export type ErrorDetails = Readonly<Record<string, string | number | bigint | boolean>>;

/**
 * Base of every error the project throws on purpose.
 * `code` is the stable name a program matches on; `message` is the sentence a person reads.
 */
export class HedgerowError extends Error {
  readonly code: string;
  readonly details: ErrorDetails;

  constructor(code: string, message: string, details: ErrorDetails = {}) {
    super(message);
    this.name = code;
    this.code = code;
    this.details = details;
  }
}
