import { Buffer } from "node:buffer";
import { once } from "node:events";
import { type ClientHttp2Session, type ClientHttp2Stream, connect, type IncomingHttpHeaders } from "node:http2";
import { HedgerowError } from "../src/protocol/errors.ts";
import type { PackedCommand } from "./orderFlow.ts";

// The load generator: order-entry streams over plain HTTP/2, each on a connection of its own. Commands are packed
// beforehand and answers unpacked afterwards, so that the machine's cores are the exchange's as far as they can be.

/** A stream ended, or was answered with what is no answer. */
export class StreamBroken extends HedgerowError {
  constructor(reason: string) {
    super("StreamBroken", `an order-entry stream broke: ${reason}; see the exchange's log`, { reason });
  }
}

const PATH = "/hedgerow.exchange.v1.Exchange/EnterOrders";
/** gRPC puts five bytes before a message: whether it is compressed, and its length. */
const PREFIX_BYTES = 5;
const WINDOW_BYTES = 1024 * 1024;
/** Tag of the one field that requests and answers of a stream have: a list of messages. */
const LIST_TAG = 0x0a;

/** What one client saw: milliseconds from sending to answer for each command, and the answers as they came. */
export type Sent = { readonly latencies: Float64Array; readonly answers: readonly Uint8Array[] };

/** A client with an order-entry stream on a connection of its own. */
export class OrderStream {
  readonly #session: ClientHttp2Session;
  readonly #stream: ClientHttp2Stream;
  #onData: (chunk: Buffer) => void = () => undefined;
  #onEnd: (error: Error) => void = () => undefined;

  private constructor(session: ClientHttp2Session, stream: ClientHttp2Stream) {
    this.#session = session;
    this.#stream = stream;
    stream.on("data", (chunk: Buffer) => this.#onData(chunk));
    const ended = (reason: string) => this.#onEnd(new StreamBroken(reason));
    stream.on("error", (error: Error) => ended(error.message));
    stream.on("trailers", (trailers: IncomingHttpHeaders) => ended(`status ${String(trailers["grpc-status"])}`));
    stream.on("close", () => ended("it was closed"));
  }

  /** Connects. */
  static async open(url: string): Promise<OrderStream> {
    const session = connect(url, { settings: { initialWindowSize: WINDOW_BYTES } });
    await once(session, "connect");
    session.setLocalWindowSize(WINDOW_BYTES);
    const headers = { ":method": "POST", ":path": PATH, "content-type": "application/grpc+proto", te: "trailers" };
    return new OrderStream(session, session.request(headers));
  }

  close(): void {
    this.#onEnd = () => undefined;
    this.#stream.end();
    this.#session.destroy();
  }

  /** Sends commands, at most `inFlight` of them without an answer at a time. Throws StreamBroken. */
  send(commands: readonly PackedCommand[], inFlight: number): Promise<Sent> {
    const latencies = new Float64Array(commands.length);
    const sentAt = new Float64Array(commands.length);
    const answers: Uint8Array[] = [];
    const first = correlationOf(commands[0] ?? Buffer.alloc(0), 0);
    let next = 0;
    let answered = 0;
    let rest: Buffer = Buffer.alloc(0);

    const refill = (): void => {
      const until = Math.min(commands.length, answered + inFlight);
      if (until <= next) return;
      const some = commands.slice(next, until);
      sentAt.fill(performance.now(), next, until);
      next = until;
      const prefix = Buffer.alloc(PREFIX_BYTES);
      prefix.writeUInt32BE(
        some.reduce((sum, { length }) => sum + length, 0),
        1,
      );
      this.#stream.write(Buffer.concat([prefix, ...some]));
    };

    return new Promise((resolve, reject) => {
      this.#onEnd = reject;
      this.#onData = (chunk) => {
        const now = performance.now();
        const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
        let at = 0;
        while (bytes.length - at >= PREFIX_BYTES) {
          const end = at + PREFIX_BYTES + bytes.readUInt32BE(at + 1);
          if (end > bytes.length) break;
          const message = bytes.subarray(at + PREFIX_BYTES, end);
          answers.push(message);
          eachItem(message, (from) => {
            const index = correlationOf(message, from) - first;
            latencies[index] = now - (sentAt[index] ?? 0);
            answered += 1;
          });
          at = end;
        }
        rest = bytes.subarray(at);
        if (answered === commands.length) resolve({ latencies, answers });
        else refill();
      };
      refill();
    });
  }
}

/** Calls back with the place of each item of a list message, at its tag. */
function eachItem(message: Uint8Array, found: (at: number) => void): void {
  for (let at = 0; at < message.length;) {
    if (message[at] !== LIST_TAG) throw new StreamBroken("an answer has another form");
    found(at);
    const length = varint(message, at + 1);
    at = length.end + length.value;
  }
}

/** Commands and results begin with the number that belongs to both: field 1. */
function correlationOf(message: Uint8Array, at: number): number {
  return varint(message, varint(message, at + 1).end + 1).value;
}

function varint(bytes: Uint8Array, from: number): { readonly value: number; readonly end: number } {
  let value = 0;
  for (let at = from, weight = 1; ; at++, weight *= 128) {
    const byte = bytes[at] ?? 0;
    value += (byte & 0x7f) * weight;
    if (byte < 0x80) return { value, end: at + 1 };
  }
}
