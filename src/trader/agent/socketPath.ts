import { join } from "node:path";
import { HedgerowError } from "../../protocol/errors.ts";

/** The system takes no path of this length for a socket. */
export class SocketPathTooLong extends HedgerowError {
  constructor(path: string) {
    const length = Buffer.byteLength(path);
    super(
      "SocketPathTooLong",
      `${path} has ${length} bytes, but a socket's path may have ${MOST_PATH_BYTES}: move the wallet to a shorter path`,
      { path, length, most: MOST_PATH_BYTES },
    );
  }
}

/** Bytes of a Unix socket's path without its final zero, by platform. */
const MOST_PATH_BYTES = process.platform === "linux" ? 107 : 103;

/** Where the agent of a wallet listens. */
export function socketPathOf(walletDirectory: string): string {
  return join(walletDirectory, "agent.sock");
}

/** Whether the system takes the path for a socket. */
export function fitsSocket(path: string): boolean {
  return Buffer.byteLength(path) <= MOST_PATH_BYTES;
}
