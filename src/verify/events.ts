import { type Abi, decodeEventLog, encodeAbiParameters, encodeEventTopics, type Hex as ViemHex } from "viem";
import { clearingHouseAbi } from "../protocol/abi.ts";
import type { Hex } from "../protocol/keys.ts";
import { BrokenRule, must } from "./errors.ts";
import type { LogRecord } from "./history.ts";

/** Name of an event of the clearing house. */
export type EventName = Extract<(typeof clearingHouseAbi)[number], { type: "event" }>["name"];

/** Values of an event, by name. */
export type EventValues = Readonly<Record<string, unknown>>;

const ABI: Abi = clearingHouseAbi;

/** The logs of one call, which the replay has to foresee one by one. */
export class Logs {
  readonly #logs: readonly LogRecord[];
  #next = 0;

  constructor(logs: readonly LogRecord[]) {
    this.#logs = logs;
  }

  /** Name of the event that comes next; undefined at the end. */
  get nextName(): string | undefined {
    const log = this.#logs[this.#next];
    return log === undefined ? undefined : (decode(log)?.eventName ?? "a log that is no event of the house");
  }

  /** The value of the next event by name, where it is this one: for what the house learned from outside. */
  nextValue(eventName: EventName, value: string): unknown {
    const log = this.#logs[this.#next];
    const found = log === undefined ? undefined : decode(log);
    return found?.eventName === eventName ? found.args[value] : undefined;
  }

  /** The next log must be this event, to the last bit. Throws BrokenRule. */
  expect(eventName: EventName, values: EventValues): void {
    const log = this.#logs[this.#next];
    must(log !== undefined, "VER-4", `event ${eventName} is missing`);
    if (!isEqual(log, encode(eventName, values))) throw differing(log, eventName, values);
    this.#next += 1;
  }

  /** There must be no further log. Throws BrokenRule. */
  expectEnd(): void {
    const name = this.nextName;
    must(name === undefined, "VER-4", `event ${name ?? ""} is one that nothing explains`);
  }
}

function isEqual(log: LogRecord, due: Pick<LogRecord, "topics" | "data">): boolean {
  return log.data === due.data && log.topics.join() === due.topics.join();
}

function encode(eventName: EventName, values: EventValues): Pick<LogRecord, "topics" | "data"> {
  const inputs = inputsOf(eventName);
  const indexed = Object.fromEntries(
    inputs.filter((each) => each.indexed).map(({ name = "" }) => [name, values[name]]),
  );
  const topics = encodeEventTopics({ abi: ABI, eventName, args: indexed });
  const plain = inputs.filter((each) => each.indexed !== true);
  const data = encodeAbiParameters(
    plain,
    plain.map(({ name = "" }) => values[name]),
  );
  return { topics: topics.flat().filter((topic) => topic !== null), data };
}

function inputsOf(eventName: EventName) {
  const item = ABI.find((each) => each.type === "event" && each.name === eventName);
  return item?.type === "event" ? item.inputs : [];
}

function decode(log: LogRecord): { readonly eventName: string; readonly args: EventValues } | undefined {
  const [signature, ...rest] = log.topics;
  if (signature === undefined) return undefined;
  const topics: [signature: ViemHex, ...args: ViemHex[]] = [signature, ...rest];
  try {
    const { eventName, args } = decodeEventLog({ abi: clearingHouseAbi, topics, data: log.data });
    return { eventName, args: Object.fromEntries(Object.entries(args)) };
  } catch {
    return undefined;
  }
}

/** Says in what a log differs from the event that is due in its place. */
function differing(log: LogRecord, eventName: EventName, values: EventValues): BrokenRule {
  const found = decode(log);
  if (found === undefined)
    return new BrokenRule("VER-4", `event ${eventName} is missing, a log that is none is in its place`);
  if (found.eventName !== eventName) {
    return new BrokenRule("VER-4", `event ${eventName} is missing, ${found.eventName} is in its place`);
  }
  for (const { name = "" } of inputsOf(eventName)) {
    const [is, due] = [textOf(found.args[name]), textOf(values[name])];
    if (is !== due) return new BrokenRule("VER-4", `${eventName}.${name} is ${is}, but ${due} is due`);
  }
  return new BrokenRule("VER-4", `event ${eventName} is not encoded as the contract does`);
}

function textOf(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(textOf).join(", ")}]`;
  return String(value).toLowerCase();
}

/** Tokens that went from one address to another. */
export type TokenMove = { readonly from: Hex; readonly to: Hex; readonly amount: bigint };

const TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";

/** The transfer that a log of the token tells; undefined for its other logs and for transfers of nothing. */
export function tokenMoveOf({ topics, data }: LogRecord): TokenMove | undefined {
  const [signature, from, to] = topics;
  if (signature !== TRANSFER || !isAddress(from) || !isAddress(to) || data.length !== 66) return undefined;
  const amount = BigInt(data);
  return amount === 0n ? undefined : { from: addressIn(from), to: addressIn(to), amount };
}

/** Whether a topic is an address and nothing else. */
function isAddress(topic: Hex | undefined): topic is Hex {
  return topic !== undefined && /^0x0{24}[0-9a-f]{40}$/.test(topic);
}

function addressIn(topic: Hex): Hex {
  return `0x${topic.slice(26)}`;
}
