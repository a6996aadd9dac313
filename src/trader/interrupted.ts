import { HedgerowError } from "../protocol/errors.ts";

/** The person, or another process, asked a command to end. What was sent before may take effect; it is written down. */
export class Interrupted extends HedgerowError {
  constructor() {
    super(
      "Interrupted",
      "interrupted: what was sent before may take effect; the same command again goes on from there",
    );
  }
}
