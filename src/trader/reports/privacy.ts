import type { ClearingEvent } from "../../chain/chainState.ts";
import { type ActionName, ACTIONS, showsSeat } from "../../protocol/action.ts";
import type { Hex } from "../../protocol/keys.ts";
import { seatStatus } from "../accountState.ts";
import type { Network } from "../home.ts";
import { formatAmount } from "../markets.ts";
import type { InferenceView, PrivacyView } from "../views.ts";
import { type Happening, lifeOf } from "./life.ts";
import type { AccountReader } from "./reader.ts";

/*
 * What others could infer about an account now (spec PRI-18): computed from what everybody sees, and from knowing which
 * of it is one's own. It asks nobody anything.
 */

/** What the wallet knows and the chain does not. */
export type PrivacyFacts = {
  /** Somebody saw a transition that spends the live note and did not land (spec PRI-2). */
  readonly isNoteExposed?: boolean;
  /** How often this wallet wrote a viewing key of the account out; left out where nobody counted. */
  readonly viewingKeysExported?: number;
  /** The ticket of each order that was sent. */
  readonly orderTickets?: readonly Hex[];
};

type Level = InferenceView["level"];
type Transition = Extract<ClearingEvent, { eventName: "Transitioned" }>;

/** What everybody sees, and which of it is the reader's. */
type Sight = {
  readonly reader: AccountReader;
  readonly own: readonly Happening[];
  /** Transitions of the present epoch, those of the reader, and the transactions that were batches. */
  readonly transitions: readonly Transition[];
  readonly ownNullifiers: ReadonlySet<bigint>;
  readonly batches: ReadonlySet<Hex>;
  readonly seats: number;
  readonly money: (amount: bigint) => string;
};

/** Sets of fewer than this hide nearly nothing, and of fewer than that not much. */
const TINY = 4;
const SMALL = 20;
/** Actions nearer to each other than this look like one movement; seconds, and blocks where times are not known. */
const NEAR_SECONDS = 300;
const NEAR_BLOCKS = 5;

/** What the world, and the operator, could infer about an account now. */
export function privacyOf(
  reader: AccountReader,
  network: Pick<Network, "decimals" | "proxy">,
  facts: PrivacyFacts = {},
): PrivacyView {
  const sight = look(reader, network.decimals);
  const today = ticketsToday(sight);
  return {
    activeSeats: sight.seats,
    ticketsToday: today.all.length,
    ownTicketsToday: today.own.length,
    inferences: [
      ...setSizes(sight),
      ...timing(sight),
      ...amounts(sight),
      ...linkedTickets(sight, facts),
      ...seat(sight),
      ...addresses(sight),
      ...operator(network.proxy, facts),
      ...viewingKeys(facts),
    ],
  };
}

function look(reader: AccountReader, decimals: number): Sight {
  const { chain } = reader;
  const own = lifeOf(reader).happenings;
  const transitions = chain.events.filter((event) => event.eventName === "Transitioned");
  return {
    reader,
    own,
    transitions: transitions.filter(({ args }) => args.epoch === chain.epoch),
    ownNullifiers: new Set(own.flatMap(({ event }) => (isTransition(event) ? [event.args.nullifier] : []))),
    batches: new Set(
      chain.events.flatMap(({ eventName, transactionHash }) =>
        eventName === "BatchSubmitted" ? [transactionHash] : [],
      ),
    ),
    seats: activeSeats(reader),
    money: (amount) => formatAmount(amount, decimals),
  };
}

// ------------------------------------------------------------------ how many there are

function setSizes(sight: Sight): InferenceView[] {
  const { seats, transitions, own, reader } = sight;
  const today = ticketsToday(sight);
  const others = Math.max(0, seats - 1);
  const found: InferenceView[] = [
    {
      topic: "set-size",
      level: bySize(seats),
      finding: `${count(seats, "seat is", "seats are")} active. Whatever an account here does was done by one of them.`,
      advice: others < TINY ? "Trade less, or later: nothing but more traders makes this better." : null,
    },
  ];
  if (today.own.length > 0) {
    const rest = today.all.length - today.own.length;
    found.push({
      topic: "set-size",
      level: bySize(rest),
      finding: `${today.own.length} of the ${count(today.all.length, "ticket", "tickets")} opened today are yours.`,
      advice: rest < TINY ? "Open tickets ahead, at other times than your orders: hedgerow ticket open." : null,
    });
  }
  for (const [action, kind, text] of [
    ["fund", "fund", "deposit taken in"],
    ["withdraw", "withdraw", "withdrawal"],
  ] as const) {
    const mine = own.filter((each) => each.kind === kind && each.epoch === reader.chain.epoch).length;
    if (mine === 0) continue;
    const all = transitions.filter((event) => actionOf(event) === action).length;
    found.push({
      topic: "set-size",
      level: bySize(all - mine),
      finding: `${mine} of today's ${count(all, text, action === "fund" ? "deposits taken in" : `${text}s`)} ${mine === 1 ? "is" : "are"} yours.`,
      advice: null,
    });
  }
  return found;
}

/** Seats that may act: opened, renewed, woken or brought back for the present epoch or the next. */
function activeSeats({ chain }: AccountReader): number {
  const until = new Map<bigint, number>();
  for (const event of chain.events) {
    if (event.eventName === "SeatOpened") until.set(event.args.ownerKey, event.args.epoch);
    if (!isTransition(event) || !showsSeat(actionOf(event))) continue;
    const { seat, epoch } = event.args;
    switch (actionOf(event)) {
      case "renew":
        until.set(seat, epoch + 1);
        break;
      case "wake":
      case "rejoin":
        until.set(seat, epoch);
        break;
      default:
        until.delete(seat);
    }
  }
  return [...until.values()].filter((epoch) => epoch >= chain.epoch).length;
}

function ticketsToday({ reader: { chain }, own }: Sight) {
  const all = [...chain.tickets.values()].filter(({ epoch }) => epoch === chain.epoch);
  const opened = new Set(own.filter(({ kind }) => kind === "ticket-opened").map(({ ticketId }) => ticketId));
  return { all, own: all.filter(({ ticketId }) => opened.has(ticketId)) };
}

// ------------------------------------------------------------------ when

function timing(sight: Sight): InferenceView[] {
  return [...aloneInBatch(sight), ...closeAndRenew(sight), ...fundAndOpen(sight)];
}

function aloneInBatch({ transitions, ownNullifiers }: Sight): InferenceView[] {
  const byBatch = Map.groupBy(transitions, ({ transactionHash }) => transactionHash);
  const isOwn = ({ args }: Transition): boolean => ownNullifiers.has(args.nullifier);
  const mine = transitions.filter(isOwn);
  if (mine.length === 0) return [];
  const companyOf = ({ transactionHash }: Transition): number =>
    (byBatch.get(transactionHash) ?? []).filter((event) => !isOwn(event)).length;
  const alone = mine.filter((event) => companyOf(event) === 0).length;
  const most = `${alone} of your ${count(mine.length, "action", "actions")} of today`;
  return [
    {
      topic: "timing",
      level: alone === 0 ? "good" : "weak",
      finding:
        alone === 0
          ? `Each of your ${count(mine.length, "action", "actions")} of today shared its batch with those of others.`
          : `${most} had no company in the batch: who saw your machine send something at that moment knows what it was.`,
      advice: alone === 0 ? null : "Let chance choose the moment: add --delay 0-5m.",
    },
  ];
}

/** Whether the last renewal followed so soon on something seatless that the two look like one movement. */
function closeAndRenew(sight: Sight): InferenceView[] {
  const { own, reader } = sight;
  const steps = own.filter(({ event }) => isTransition(event));
  const at = steps.findLastIndex(({ kind }) => kind === "renew");
  const [before, renewal] = [steps[at - 1], steps[at]];
  if (renewal === undefined || before === undefined || before.kind === "renew") return [];
  const { near, text } = distance(reader, before, renewal);
  const all = reader.chain.events.filter(
    (event) => isTransition(event) && actionOf(event) === "renew" && event.args.epoch === renewal.epoch,
  ).length;
  return [
    {
      topic: "timing",
      level: near ? (all < TINY ? "exposed" : "weak") : "good",
      finding:
        `Your seat, seen by everybody, was last renewed ${text} after your ${NAMES[before.kind] ?? before.kind}; ` +
        `${count(all, "seat was", "seats were")} renewed in that window.` +
        (near ? " Who takes the two for one movement is right." : ""),
      advice: near ? "Leave the renewal to hedgerow agent, which draws its time." : null,
    },
  ];
}

/** Whether a ticket of today was opened soon after money came in, which everybody saw coming. */
function fundAndOpen({ own, reader, transitions }: Sight): InferenceView[] {
  const steps = own.filter(({ event, epoch }) => isTransition(event) && epoch === reader.chain.epoch);
  for (const [i, step] of steps.entries()) {
    const next = steps.slice(i + 1).find(({ kind }) => kind === "ticket-opened");
    if (step.kind !== "fund" || next === undefined) continue;
    const { near, text } = distance(reader, step, next);
    if (!near) continue;
    const fundings = transitions.filter((event) => actionOf(event) === "fund").length;
    return [
      {
        topic: "timing",
        level: fundings < TINY ? "exposed" : "weak",
        finding: `A ticket of yours was opened ${text} after your deposit was taken in: who sees both may guess that they are one trader's.`,
        advice: "Deposit days ahead and let it wait: hedgerow deposit AMOUNT --hold.",
      },
    ];
  }
  return [];
}

function distance({ chain }: AccountReader, { event: a }: Happening, { event: b }: Happening) {
  const blocks = Number(b.blockNumber - a.blockNumber);
  try {
    const seconds = chain.blockTime(b.blockHash) - chain.blockTime(a.blockHash);
    return { near: seconds < NEAR_SECONDS, text: duration(seconds) };
  } catch {
    return { near: blocks < NEAR_BLOCKS, text: count(blocks, "block", "blocks") };
  }
}

const NAMES: Partial<Record<Happening["kind"], string>> = {
  fund: "deposit was taken in",
  withdraw: "withdrawal",
  "ticket-opened": "ticket was opened",
  "ticket-closed": "ticket was closed",
  "ticket-claimed": "ticket was claimed",
};

// ------------------------------------------------------------------ how much

type Given = { readonly what: string; readonly amount: bigint; readonly same: number };

function amounts(sight: Sight): InferenceView[] {
  const { own, reader, money } = sight;
  const credits = [...reader.chain.credits.values()].map(({ amount }) => amount);
  const withdrawals = reader.chain.events
    .filter((event) => isTransition(event) && actionOf(event) === "withdraw")
    .map((event) => (isTransition(event) ? -event.args.cashDelta : 0n));
  const today = ticketsToday(sight);
  const sameAs = (all: readonly bigint[], amount: bigint, mine: readonly bigint[]): number =>
    all.filter((each) => each === amount).length - mine.filter((each) => each === amount).length;
  const ofKind = (kind: Happening["kind"]) => own.filter((each) => each.kind === kind);
  const deposited = ofKind("deposit").map(({ amount }) => amount);
  const withdrawn = ofKind("withdraw").map(({ amount, fee }) => ({ amount, gross: amount + fee }));
  const gross = withdrawn.map((each) => each.gross);
  const tickets = today.own.map(({ cash }) => cash);
  const cashOfAll = today.all.map(({ cash }) => cash);
  const given: Given[] = [
    ...deposited.map((amount) => ({ what: "deposit", amount, same: sameAs(credits, amount, deposited) })),
    ...withdrawn.map((each) => ({
      what: "withdrawal",
      amount: each.amount,
      same: sameAs(withdrawals, each.gross, gross),
    })),
    ...tickets.map((amount) => ({ what: "ticket", amount, same: sameAs(cashOfAll, amount, tickets) })),
  ];
  const found: InferenceView[] = [];
  if (given.length > 0) {
    const odd = given.filter(({ amount, same }) => same === 0 && !isRound(amount));
    const single = given.filter(({ amount, same }) => same === 0 && isRound(amount));
    const listed = odd.slice(0, 3).map(({ what, amount }) => `${what} ${money(amount)}`);
    const level: Level = odd.length > 0 ? "exposed" : single.length > 0 ? "weak" : "good";
    found.push({
      topic: "amounts",
      level,
      finding:
        odd.length > 0
          ? `${count(odd.length, "amount of yours is", "amounts of yours are")} odd and nobody else's (${listed.join(", ")}${odd.length > 3 ? ", ..." : ""}): each is known wherever it turns up again.`
          : single.length > 0
            ? `Your amounts are round, but ${single.length} of ${given.length} ${single.length === 1 ? "is" : "are"} nobody else's.`
            : `All ${given.length} of your amounts are those of others too.`,
      advice: level === "good" ? null : "Use 1, 2 or 5 and zeros, as in hedgerow deposit 5000.",
    });
  }
  const back = withdrawn.find(({ amount }) => deposited.includes(amount));
  if (back !== undefined) {
    found.push({
      topic: "amounts",
      level: "exposed",
      finding: `You deposited ${money(back.amount)} and withdrew as much: the same amount in and out is one trader's.`,
      advice: "Withdraw another round amount than you deposited, in parts.",
    });
  }
  const carrying = today.own.filter(({ position }) => position !== 0);
  if (carrying.length > 0) {
    const listed = carrying.slice(0, 3).map(({ position }) => (position > 0 ? `+${position}` : `${position}`));
    found.push({
      topic: "amounts",
      level: "weak",
      finding: `${count(carrying.length, "ticket", "tickets")} of today carried contracts of yours (${listed.join(", ")}): a ticket closed earlier with as many may be taken for the same trader's.`,
      advice: "Trade on fresh tickets; carry contracts only where margin is short.",
    });
  }
  return found;
}

/** 1, 2 or 5 times a power of ten. */
function isRound(amount: bigint): boolean {
  return /^[125]0*$/.test(amount.toString());
}

// ------------------------------------------------------------------ together

function linkedTickets(sight: Sight, { orderTickets = [] }: PrivacyFacts): InferenceView[] {
  const { own, reader } = sight;
  const opened = own.filter(({ kind, epoch }) => kind === "ticket-opened" && epoch === reader.chain.epoch);
  if (opened.length === 0) return [];
  const groups = [...Map.groupBy(opened, ({ event }) => (isTransition(event) ? event.args.nullifier : 0n)).values()];
  const together = groups.filter(({ length }) => length > 1);
  const largest = Math.max(...groups.map(({ length }) => length));
  const found: InferenceView[] = [
    {
      topic: "linked-tickets",
      level: together.length === 0 ? "good" : "exposed",
      finding:
        together.length === 0
          ? `Each of your ${count(opened.length, "ticket", "tickets")} of today was opened alone.`
          : `You opened up to ${largest} tickets with one proof today: everybody sees that these are one trader's.`,
      advice: together.length === 0 ? null : "Leave --linked out, and each order gets a ticket and a proof of its own.",
    },
  ];
  const ofToday = new Set(opened.map(({ ticketId }) => ticketId));
  const orders = Map.groupBy(
    orderTickets.filter((ticketId) => ofToday.has(ticketId)),
    (ticketId) => ticketId,
  );
  const most = Math.max(0, ...[...orders.values()].map(({ length }) => length));
  if (most > 1) {
    found.push({
      topic: "linked-tickets",
      level: "weak",
      finding: `Up to ${most} orders went on one ticket of yours: the operator knows them as one trader's, and so does everybody once they fill.`,
      advice: "Leave --ticket out, and each order gets a ticket of its own.",
    });
  }
  return found;
}

// ------------------------------------------------------------------ seat and addresses

function seat({ reader }: Sight): InferenceView[] {
  const status = seatStatus(reader.chain, reader.state);
  const say = (level: Level, finding: string, advice: string | null = null): InferenceView[] => [
    { topic: "seat", level, finding, advice },
  ];
  switch (status.status) {
    case "none":
      return [];
    case "active":
      return say("good", "Your seat is active like others: nobody sees whether its account is flat, or what it has.");
    case "asleep":
      return say(
        "exposed",
        "Your seat sleeps: everybody sees that its account is flat.",
        "Renew each day instead: hedgerow agent.",
      );
    case "inDefault":
      return say(
        "exposed",
        `Your seat was not renewed after day ${status.since}: everybody sees it.`,
        "Come back: hedgerow seat rejoin.",
      );
    case "closed":
      return say("weak", "Your seat is closed: everybody saw when it was opened and closed, and where the bond went.");
  }
}

function addresses({ reader, own, transitions, ownNullifiers, batches, money }: Sight): InferenceView[] {
  const { chain } = reader;
  const found: InferenceView[] = [];
  const deposits = own.flatMap(({ event }) => (event.eventName === "CreditOpened" ? [event.args] : []));
  const depositors = new Set(deposits.map(({ depositor }) => depositor.toLowerCase()));
  for (const depositor of depositors) {
    const from = deposits.filter((each) => each.depositor.toLowerCase() === depositor);
    found.push({
      topic: "address",
      level: "weak",
      finding:
        `${count(from.length, "deposit", "deposits")}, ${money(from.reduce((sum, { amount }) => sum + amount, 0n))} in all, came from ${short(depositor)}. ` +
        `If it paid the seat's bond too, everybody knows what this seat brought in, though not what became of it.`,
      advice: null,
    });
  }
  const paid = own.filter(({ kind }) => kind === "withdraw").flatMap((each) => recipientOf(reader, each));
  const known = paid.filter((to, i) => depositors.has(to) || paid.indexOf(to) !== i);
  if (known.length > 0) {
    found.push({
      topic: "address",
      level: "exposed",
      finding: `${count(known.length, "withdrawal", "withdrawals")} went to an address that had to do with you before (${short(known[0] ?? "")}): money out and money in are tied together.`,
      advice: "Give each withdrawal a fresh address: hedgerow withdraw AMOUNT --to ADDRESS.",
    });
  }
  const direct = transitions.filter(
    (event) =>
      ownNullifiers.has(event.args.nullifier) && !batches.has(event.transactionHash) && !showsSeat(actionOf(event)),
  ).length;
  const bids = own.filter(({ kind }) => kind === "taken-over").length;
  if (bids > 0) {
    found.push({
      topic: "address",
      level: "exposed",
      finding: `${count(bids, "bid", "bids")} of today for what drop-outs left went straight to the chain: the address that paid the gas stands beside the ticket.`,
      advice: "An order of the next day takes a position without your address.",
    });
  }
  if (direct > 0) {
    found.push({
      topic: "address",
      level: "exposed",
      finding: `${count(direct, "action", "actions")} of today went straight to the chain: the address that paid the gas stands beside ${direct === 1 ? "it" : "them"}.`,
      advice: "Leave --direct out, and the operator relays for a flat fee.",
    });
  } else if (bids === 0 && chain.epoch > 0 && own.some(({ event }) => isTransition(event))) {
    found.push({
      topic: "address",
      level: "good",
      finding: "The operator relayed for you today: no address of yours paid gas for an action.",
      advice: null,
    });
  }
  return found;
}

/** Where a withdrawal went: the payment of its amount in the same transaction. */
function recipientOf({ chain }: AccountReader, { event, amount }: Happening): string[] {
  for (const other of chain.events) {
    if (other.transactionHash !== event.transactionHash) continue;
    if ((other.eventName === "Paid" || other.eventName === "Owed") && other.args.amount === amount) {
      return [other.args.to.toLowerCase()];
    }
  }
  return [];
}

// ------------------------------------------------------------------ the operator, and keys given away

function operator(proxy: string | undefined, { isNoteExposed = false }: PrivacyFacts): InferenceView[] {
  const found: InferenceView[] = [
    proxy === undefined
      ? {
          topic: "operator",
          level: "exposed",
          finding:
            "Orders and proofs go to the operator from your network address, over one connection: it can tell that they are one trader's, and where you are.",
          advice: "Go through an onion network: add --proxy socks5h://127.0.0.1:9050.",
        }
      : {
          topic: "operator",
          level: "good",
          finding: `Everything goes through ${proxy}, each ticket and each proof under a name of its own.`,
          advice: null,
        },
    {
      topic: "operator",
      level: "weak",
      finding: "The operator sees each order when it arrives, also those that never fill, but not whose it is.",
      advice: "Show less of a large order: hedgerow buy ... --worked.",
    },
  ];
  if (isNoteExposed) {
    found.push({
      topic: "operator",
      level: "exposed",
      finding:
        "A transition of yours was seen and did not land. If your seat is renewed next, whoever saw it knows which seat it was.",
      advice: "Do something without the seat first: hedgerow ticket open.",
    });
  }
  return found;
}

function viewingKeys({ viewingKeysExported }: PrivacyFacts): InferenceView[] {
  if (viewingKeysExported === undefined) return [];
  if (viewingKeysExported === 0) {
    return [
      { topic: "viewing-key", level: "good", finding: "No viewing key was written out of this wallet.", advice: null },
    ];
  }
  return [
    {
      topic: "viewing-key",
      level: "exposed",
      finding: `A viewing key was written out ${count(viewingKeysExported, "time", "times")}: who has it sees all of this account, past and future, and nothing takes it back.`,
      advice: "Close the seat and go on with the wallet's next account: hedgerow seat close --to ADDRESS.",
    },
  ];
}

// ------------------------------------------------------------------ words

function isTransition(event: ClearingEvent): event is Transition {
  return event.eventName === "Transitioned";
}

function actionOf({ args }: Transition): ActionName {
  return ACTIONS[args.action] ?? "fund";
}

function bySize(size: number): Level {
  return size < TINY ? "exposed" : size < SMALL ? "weak" : "good";
}

function count(number: number, one: string, many: string): string {
  return `${number} ${number === 1 ? one : many}`;
}

function duration(seconds: number): string {
  if (seconds < 120) return count(seconds, "second", "seconds");
  if (seconds < 7_200) return `${Math.round(seconds / 60)} minutes`;
  return `${Math.round(seconds / 3_600)} hours`;
}

function short(address: string): string {
  return `${address.slice(0, 6)}..${address.slice(-4)}`;
}
