import { toBinary } from "@bufbuild/protobuf";
import secp256k1 from "secp256k1/bindings.js";
import { cancelAllMessageOf, cancelMessageOf, newOrderMessageOf } from "../src/api/codecOrders.ts";
import { type Command, EnterOrdersRequestSchema } from "../src/api/gen/hedgerow/exchange/v1/exchange_pb.ts";
import type { OrderEntry } from "../src/api/service.ts";
import { LEAN_HOG_TERMS, TICK } from "../src/clearing/leanHogs.ts";
import type { Hex } from "../src/protocol/keys.ts";
import {
  type Cancel,
  cancelAllHash,
  cancelHash,
  type Domain,
  type Order,
  orderHash,
  type Side,
  type TimeInForce,
} from "../src/protocol/order.ts";
import type { Desk } from "./exchangeSite.ts";

/** A command of an order-entry stream, packed; a message is any number of them one after the other. */
export type PackedCommand = Uint8Array;

const CENTRE = LEAN_HOG_TERMS.listingPrice;
const NEVER = 4_000_000_000n;
/** Of a hundred commands so many are new orders that rest, and so many cancels; the others take what rests. */
const RESTING = 70;
const CANCELS = 20;
const MOST_CONTRACTS = 3;
/** Ticks from the touch within which most orders rest, and how far behind it those go that take. */
const USUAL_DISTANCE = 8;
const FARTHEST = 100;
const SWEEP = 20n;

/** Orders signed and packed before any clock runs. The same seed gives the same flow, but for the tickets' names. */
export class OrderFlow {
  readonly #domain: Domain;
  #clientId = 0n;
  #correlation = 0n;
  #nonce = 0n;
  #state: number;

  constructor(domain: Domain, seed: number) {
    this.#domain = domain;
    this.#state = seed;
  }

  /**
   * `count` commands on some tickets: 70 % orders that rest near the touch, 20 % cancels of them, 10 % that take a
   * contract of what rests. A cancel is at least `lag` commands behind its order, which then has been acknowledged.
   */
  mixed(desks: readonly Desk[], count: number, lag: number): readonly PackedCommand[] {
    const resting: { readonly at: number; readonly desk: Desk; readonly cancel: Cancel }[] = [];
    return Array.from({ length: count }, (_, at) => {
      const kind = this.#upTo(100);
      const candidate = resting[this.#upTo(resting.length)];
      if (kind >= RESTING && kind < RESTING + CANCELS && candidate !== undefined && candidate.at + lag < at) {
        const last = resting.pop();
        const place = resting.indexOf(candidate);
        if (last !== undefined && place >= 0) resting[place] = last;
        return this.#pack({ case: "cancel", value: cancelMessageOf(this.#cancel(candidate.desk, candidate.cancel)) });
      }
      const desk = desks[this.#upTo(desks.length)] ?? fail();
      const side = this.#random() < 0.5 ? "buy" : "sell";
      if (kind >= RESTING + CANCELS) {
        return this.#create(this.order(desk, side, side === "buy" ? SWEEP : -SWEEP, 1, "IOC"));
      }
      const distance = 1 + Math.min(FARTHEST, Math.floor(-USUAL_DISTANCE * Math.log(1 - this.#random())));
      const ticks = BigInt(side === "buy" ? -distance : distance);
      const entry = this.order(desk, side, ticks, 1 + this.#upTo(MOST_CONTRACTS));
      const { ticketId, clientId } = entry.order;
      resting.push({ at, desk, cancel: { ticketId, clientId } });
      return this.#create(entry);
    });
  }

  /** `count` orders of one contract at one price, buying and selling in turn: with another trader's, each trades. */
  inTurn(desk: Desk, count: number, first: Side): readonly PackedCommand[] {
    return Array.from({ length: count }, (_, i) =>
      this.#create(this.order(desk, (i % 2 === 0) === (first === "buy") ? "buy" : "sell", 0n, 1)),
    );
  }

  /** Takes everything of these tickets out of the book. */
  clear(desks: readonly Desk[]): readonly PackedCommand[] {
    this.#nonce += 1n;
    return desks.map(({ ticketId, key }) => {
      const cancelAll = { ticketId, nonce: this.#nonce };
      const signature = signed(cancelAllHash(this.#domain, cancelAll), key);
      return this.#pack({ case: "cancelAll", value: cancelAllMessageOf({ cancelAll, signature }) });
    });
  }

  /** One signed order, `ticks` from the market's centre. */
  order(desk: Desk, side: Side, ticks: bigint, quantity: number, timeInForce: TimeInForce = "GTC"): OrderEntry {
    const order: Order = {
      ticketId: desk.ticketId,
      clientId: (this.#clientId += 1n),
      revision: 0,
      side,
      limitPrice: CENTRE + ticks * TICK,
      quantity,
      timeInForce,
      postOnly: false,
      expiry: NEVER,
    };
    return { order, signature: signed(orderHash(this.#domain, order), desk.key) };
  }

  #create(entry: OrderEntry): PackedCommand {
    return this.#pack({ case: "create", value: newOrderMessageOf(entry) });
  }

  #cancel(desk: Desk, cancel: Cancel) {
    return { cancel, signature: signed(cancelHash(this.#domain, cancel), desk.key) };
  }

  #pack(body: Command["body"]): PackedCommand {
    this.#correlation += 1n;
    const command: Command = { $typeName: "hedgerow.exchange.v1.Command", correlation: this.#correlation, body };
    return toBinary(EnterOrdersRequestSchema, {
      $typeName: "hedgerow.exchange.v1.EnterOrdersRequest",
      commands: [command],
    });
  }

  #upTo(bound: number): number {
    return Math.floor(this.#random() * bound);
  }

  /** Mulberry32: from 0 to just below 1. */
  #random(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let bits = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits;
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  }
}

/** The native curve signs twenty times as fast as the one that a trader's account uses. */
function signed(hash: Hex, key: Uint8Array): Hex {
  const { signature, recid } = secp256k1.ecdsaSign(Buffer.from(hash.slice(2), "hex"), key);
  return `0x${Buffer.from(signature).toString("hex")}${(27 + recid).toString(16)}`;
}

function fail(): never {
  throw new RangeError("a flow needs a ticket");
}
