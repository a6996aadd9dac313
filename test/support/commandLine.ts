import type { z } from "zod";
import { runCommandLine } from "../../src/cli/commandLine.ts";
import type { Io, WalletOptions } from "../../src/cli/session.ts";
import {
  type CommandName,
  type CommandResult,
  COMMANDS,
  type ProgressEvent,
  type TraderService,
} from "../../src/trader/commands.ts";
import type { OrderView, TransitionView } from "../../src/trader/views.ts";

/** What a command asked of the wallet. */
export type Asked = { readonly name: CommandName; readonly params: unknown };

/** Answers of a stand-in wallet, by command. Throwing is an answer. */
export type Answers = Readonly<Partial<Record<CommandName, (params: unknown) => unknown>>>;

export type Ran = {
  /** 0 where nothing failed. */
  readonly code: number;
  readonly out: string;
  readonly err: string;
  /** Both, in the order in which a terminal got them. */
  readonly seen: string;
  readonly asked: readonly Asked[];
  readonly closed: number;
  readonly opened: readonly WalletOptions[];
};

const HASH = `0x${"ab".repeat(32)}`;

export const LANDED: TransitionView = {
  action: "withdraw",
  nullifier: `0x${"11".repeat(32)}`,
  newNote: `0x${"22".repeat(32)}`,
  status: "landed",
};

export const ORDER: OrderView = {
  ref: "3f2a91bc0d12e4f5",
  ticketId: `0x${"cd".repeat(32)}`,
  slot: 0,
  contract: "LEAN HOGS",
  side: "buy",
  type: "limit",
  limitPrice: "34250000000",
  stopPrice: null,
  quantity: 2,
  displayQuantity: null,
  timeInForce: "GTC",
  postOnly: false,
  reduceOnly: false,
  expiry: 1_900_000_000,
  status: "open",
  reason: null,
  filled: 1,
  remaining: 1,
  averagePrice: "34250000000",
  revision: 0,
  seq: 7,
  time: 1_800_000_000,
};

const PLACED = { order: ORDER, receipts: 2, refusal: null };

/** Equity, positions and the rest of a balance in which LEAN HOGS is slot 0 and WTI slot 3. */
export const BALANCE = {
  network: "local",
  clearingHouse: `0x${"a1".repeat(20)}`,
  account: "5",
  epoch: 3,
  phase: "trading",
  closingTime: 1_900_000_000,
  seat: { status: "active", epoch: 3, ownerKey: HASH },
  cash: "0",
  freeCash: "0",
  marginUsed: "0",
  equity: { atSettlement: "0", atLowerLimits: "0", atUpperLimits: "0", worst: "0" },
  positions: [],
  ticketCash: "0",
  ticketWorth: "0",
  openTickets: 0,
  leftOverTickets: 0,
  credits: [],
  buyingPower: [
    { slot: 0, contract: "LEAN HOGS", buy: 9, sell: 9 },
    { slot: 3, contract: "WTI", buy: 4, sell: 4 },
  ],
  payoutRatio: "1000000000000000000",
};

/** Everything goes well. */
export const GOOD: Answers = {
  balance: () => BALANCE,
  deposit: () => ({ creditId: "17", funding: { ...LANDED, action: "fund" } }),
  fund: () => [{ ...LANDED, action: "fund" }],
  withdraw: () => LANDED,
  place: () => [PLACED],
  orders: () => [ORDER],
  cancel: () => ({ ...PLACED, order: { ...ORDER, status: "cancelled" } }),
  cancelAll: () => [{ ...PLACED, order: { ...ORDER, status: "cancelled" } }],
  replace: () => PLACED,
  openTickets: () => ({ transition: { ...LANDED, action: "openTickets" }, tickets: [HASH] }),
  closeTickets: () => [{ ...LANDED, action: "closeTicket" }],
  tickets: () => [],
  renew: () => ({ ...LANDED, action: "renew", status: "queued" }),
  seat: () => ({ ...LANDED, action: "sleep" }),
  catchUp: () => ({ resent: 1, abandoned: 0, ordersFound: 2, notes: ["fund went on"] }),
};

export type CommandLineOptions = {
  readonly answers?: Answers;
  /** Opening the wallet fails with this. */
  readonly openFails?: Error;
  readonly isTerminal?: boolean;
  readonly progress?: readonly ProgressEvent[];
};

/** Runs a command line in this process, against a wallet that answers what it is told to. */
export async function hedgerow(line: readonly string[], options: CommandLineOptions = {}): Promise<Ran> {
  const { answers = GOOD, openFails, isTerminal = false, progress = [] } = options;
  const [out, err, seen]: [string[], string[], string[]] = [[], [], []];
  const asked: Asked[] = [];
  const opened: WalletOptions[] = [];
  let closed = 0;
  const service: TraderService = {
    run: (name, params, run) => {
      COMMANDS[name].params.parse(params);
      asked.push({ name, params });
      for (const event of progress) run?.onProgress?.(event);
      return new Promise((resolve) => resolve(resultOf(name, answers[name]?.(params))));
    },
    close: () => {
      closed += 1;
      return Promise.resolve();
    },
  };
  const io: Io = {
    open: (given) => {
      opened.push(given);
      return openFails === undefined ? Promise.resolve(service) : Promise.reject(openFails);
    },
    decimals: () => Promise.resolve(6),
    print: (text) => {
      out.push(`${text}\n`);
      seen.push(`${text}\n`);
    },
    printError: (text) => {
      err.push(`${text}\n`);
      seen.push(`${text}\n`);
    },
    progress: {
      write: (text: string | Uint8Array) => {
        err.push(String(text));
        seen.push(String(text));
        return true;
      },
      isTTY: isTerminal,
      columns: 80,
    },
  };
  const code = await runCommandLine(line, io);
  return { code: code ?? 0, out: out.join(""), err: err.join(""), seen: seen.join(""), asked, closed, opened };
}

const RESULTS: { readonly [N in CommandName]: { readonly result: z.ZodType<CommandResult<N>> } } = COMMANDS;

/** The answer in its checked form. */
function resultOf<N extends CommandName>(name: N, answer: unknown): CommandResult<N> {
  return RESULTS[name].result.parse(answer);
}
