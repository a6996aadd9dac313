import { encodeAbiParameters, keccak256 } from "viem";
import type { Hex } from "../protocol/keys.ts";
import { zeroNote } from "../protocol/note.ts";
import { decodeCall, type HouseCall } from "./calldata.ts";
import { type Call, emitted, paid, pulled } from "./call.ts";
import { takeAbandoned } from "./closeOut.ts";
import { beginRenewals, close, closeEarly, markRenewals, open } from "./cycle.ts";
import { lower } from "./deployment.ts";
import { must } from "./errors.ts";
import { applyFills, fillsHashOf } from "./fills.ts";
import type { PricedDay } from "./prices.ts";
import { appendTo, applyBatch, applyDirect, forfeit, readTransitions } from "./transitions.ts";
import { shareOf } from "./waterfall.ts";

type ArgsOf<Name extends HouseCall["functionName"]> = Extract<HouseCall, { functionName: Name }>["args"];

/** What a call of the house did beyond its events. */
export type Done = { readonly settled?: ReadonlyMap<number, PricedDay>; readonly opened?: true };

/** Replays one call of the house: its checks, what it changes, and what it must have emitted. Throws BrokenRule. */
export function replayCall(call: Call, input: Hex): Done {
  const { functionName, args } = decodeCall(input);
  switch (functionName) {
    case "deposit":
      return deposit(call, args);
    case "requestCreditRefund":
      return requestCreditRefund(call, args);
    case "refundCredit":
      return refundCredit(call, args);
    case "openSeat":
      return openSeat(call, args);
    case "submitTransitions":
      return submitTransitions(call, args);
    case "collectOwed":
      return collectOwed(call, args);
    case "submitBatch":
      return submitBatch(call, args);
    case "collectFees":
      return collectFees(call, args);
    case "closeEpoch":
      return { settled: close(call, args[0]) };
    case "closeEarly":
      closeEarly(call, args[0]);
      return {};
    case "beginRenewals":
      beginRenewals(call);
      return {};
    case "takeAbandoned":
      takeAbandoned(call, args[0]);
      return {};
    case "openEpoch":
      open(call);
      return { opened: true };
    case "stake":
      return stake(call, args);
    case "requestUnstake":
      return requestUnstake(call);
    case "unstake":
      return unstake(call);
    case "forfeitBond":
      return forfeitBond(call, args);
    case "contributeToFund":
      return contributeToFund(call, args);
    default:
      // A question, which another contract may ask on its way: it explains no log.
      return {};
  }
}

function deposit(call: Call, [amount, address]: ArgsOf<"deposit">): Done {
  const { house, sender } = call;
  const key = lower(address);
  must(amount > 0n, "CRE-1", "a deposit of nothing was accepted");
  house.creditCount += 1n;
  const name = encodeAbiParameters(CREDIT_NAME, [sender, key, amount, house.creditCount]);
  const creditId = BigInt(keccak256(name));
  house.credits.set(creditId, { key, depositor: sender, amount, refundableAt: 0n, spent: false });
  house.ledger.credits += amount;
  emitted(call, "CreditOpened", { creditId, key, depositor: sender, amount });
  pulled(call, amount);
  return {};
}

const CREDIT_NAME = [{ type: "address" }, { type: "address" }, { type: "uint128" }, { type: "uint256" }] as const;

function requestCreditRefund(call: Call, [creditId]: ArgsOf<"requestCreditRefund">): Done {
  const { house, sender, time } = call;
  const credit = house.credits.get(creditId);
  must(credit !== undefined && !credit.spent, "CRE-4", `credit ${creditId} is not open`);
  must(credit.depositor === sender, "CRE-4", `${sender} did not deposit credit ${creditId}`);
  credit.refundableAt = time + BigInt(house.terms.refundDelay);
  emitted(call, "CreditRefundRequested", { creditId, refundableAt: credit.refundableAt });
  return {};
}

function refundCredit(call: Call, [creditId]: ArgsOf<"refundCredit">): Done {
  const { house, time } = call;
  const credit = house.credits.get(creditId);
  const isOpen = credit !== undefined && !credit.spent && credit.refundableAt > 0n;
  must(isOpen, "CRE-4", `credit ${creditId} is not to be refunded`);
  must(time >= credit.refundableAt, "CRE-4", `credit ${creditId} is refunded before ${credit.refundableAt}`);
  credit.spent = true;
  house.ledger.credits -= credit.amount;
  emitted(call, "CreditRefunded", { creditId, depositor: credit.depositor, amount: credit.amount });
  paid(call, credit.depositor, credit.amount);
  return {};
}

function openSeat(call: Call, [ownerKey]: ArgsOf<"openSeat">): Done {
  const { house } = call;
  const { seatBond } = house.terms;
  must(ownerKey !== 0n && !house.seats.has(ownerKey), "SEA-1", `owner key ${ownerKey} is zero or was used before`);
  const epoch = house.phase === "trading" ? house.epoch : house.epoch + 1;
  house.seats.set(ownerKey, { status: "active", lastEpoch: epoch, bond: seatBond });
  const record = house.epochOf(epoch);
  record.liveSeats += 1n;
  house.ledger.bonds += seatBond;
  const hasRoom = house.notes.hasRoom(BigInt(epoch), 1, record.liveSeats + record.openTickets);
  must(hasRoom, "TRE-8", `the tree of day ${epoch} has no room for another seat`);
  appendTo(call, BigInt(epoch), [zeroNote(ownerKey)]);
  emitted(call, "SeatOpened", { ownerKey, epoch, bond: seatBond });
  pulled(call, seatBond);
  return {};
}

function submitTransitions(call: Call, [transitions, proofs]: ArgsOf<"submitTransitions">): Done {
  markRenewals(call);
  applyDirect(call, readTransitions(call, transitions, proofs, false));
  return {};
}

function collectOwed(call: Call, [address]: ArgsOf<"collectOwed">): Done {
  const { house } = call;
  const to = lower(address);
  const amount = house.owedTo.get(to) ?? 0n;
  must(amount > 0n, "PAY-4", `nothing is owed to ${to}`);
  house.owedTo.set(to, 0n);
  house.ledger.owed -= amount;
  emitted(call, "Paid", { to, amount });
  call.moves.push({ from: house.address, to, amount });
  return {};
}

function submitBatch(
  call: Call,
  [batchNumber, transitions, proofs, orders, fills, logHead]: ArgsOf<"submitBatch">,
): Done {
  const { house, sender } = call;
  must(sender === house.operator, "BAT-1", `${sender} posted a batch, but ${house.operator} is the operator`);
  must(batchNumber === house.lastBatch + 1, "BAT-1", `batch ${batchNumber} comes after batch ${house.lastBatch}`);
  stampBatch(call, batchNumber);
  markRenewals(call);
  const read = readTransitions(call, transitions, proofs, true);
  const payOut = applyBatch(call, read, () => applyFills(call, orders, fills));
  const fillsHash = fillsHashOf(orders, fills);
  emitted(call, "BatchSubmitted", { batchNumber, epoch: house.epoch, fillsHash, logHead });
  payOut();
  return {};
}

function stampBatch({ house, time }: Call, batchNumber: number): void {
  house.lastBatch = batchNumber;
  const { today, terms } = house;
  const inWindow = time >= today.closingTime - BigInt(terms.settlementWindow);
  if (inWindow && today.firstBatchInWindow === 0) today.firstBatchInWindow = batchNumber;
}

function collectFees(call: Call, [address]: ArgsOf<"collectFees">): Done {
  const { house, sender } = call;
  const amount = house.ledger.fees;
  must(sender === house.operator, "FEE-5", `${sender} collected the fees, but ${house.operator} is the operator`);
  must(amount > 0n, "FEE-5", "fees were collected where there are none");
  const share = shareOf(house, amount);
  house.ledger.fees = 0n;
  house.ledger.closeOutAccount += share.toAccount;
  house.ledger.poolCash += amount - share.paid - share.toAccount;
  paid(call, lower(address), share.paid);
  return {};
}

function forfeitBond(call: Call, [ownerKey]: ArgsOf<"forfeitBond">): Done {
  const { house, sender } = call;
  const seat = house.seats.get(ownerKey);
  const isLate = seat?.status === "active" && house.epoch > seat.lastEpoch + house.terms.flatGraceEpochs;
  must(isLate && seat.bond > 0n, "DEF-9", `the bond of seat ${ownerKey} was not to be forfeited`);
  const { reporterReward } = house.terms;
  const reward = reporterReward < seat.bond ? reporterReward : seat.bond;
  forfeit(call, ownerKey, seat, reward);
  paid(call, sender, reward);
  return {};
}

function contributeToFund(call: Call, [amount]: ArgsOf<"contributeToFund">): Done {
  must(amount > 0n, "FND-1", "a contribution of nothing was accepted");
  call.house.ledger.guarantyFund += amount;
  emitted(call, "FundContributed", { from: call.sender, amount });
  pulled(call, amount);
  return {};
}

function stake(call: Call, [amount]: ArgsOf<"stake">): Done {
  const { house, sender } = call;
  must(amount > 0n, "FND-6", "a stake of nothing was accepted");
  const own = house.stakes.get(sender) ?? { amount: 0n, withdrawableIn: 0 };
  house.stakes.set(sender, { ...own, amount: own.amount + amount });
  house.ledger.operatorStake += amount;
  emitted(call, "Staked", { operator: sender, amount });
  pulled(call, amount);
  return {};
}

function requestUnstake(call: Call): Done {
  const { house, sender } = call;
  const own = house.stakes.get(sender);
  must(own !== undefined && own.amount > 0n, "FND-6", `${sender} asks for a stake that is not there`);
  own.withdrawableIn = house.epoch + 2;
  emitted(call, "UnstakeRequested", { operator: sender, withdrawableIn: own.withdrawableIn });
  return {};
}

function unstake(call: Call): Done {
  const { house, sender } = call;
  const own = house.stakes.get(sender);
  must(own !== undefined && own.amount > 0n, "FND-6", `${sender} takes a stake that is not there`);
  const isTime = house.phase === "trading" && house.epoch === own.withdrawableIn;
  must(isTime, "FND-6", `a stake of day ${own.withdrawableIn} was taken in the ${house.phase} of day ${house.epoch}`);
  house.stakes.delete(sender);
  house.ledger.operatorStake -= own.amount;
  emitted(call, "Unstaked", { operator: sender, amount: own.amount });
  paid(call, sender, own.amount);
  return {};
}
