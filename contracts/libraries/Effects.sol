// SPDX-License-Identifier: GPL-3.0-only
pragma solidity 0.8.37;

import {IClearingHouse} from "../interfaces/IClearingHouse.sol";
import {SLEEPERS, State, StateMath, WHOLE} from "./ClearingState.sol";
import {Fills} from "./Fills.sol";
import {Margin} from "./Margin.sol";
import {NoteBook} from "./NoteBook.sol";
import {Notes} from "./Notes.sol";
import {Scratch} from "./Scratch.sol";
import {Signatures} from "./Signatures.sol";
import {Waterfall} from "./Waterfall.sol";
import {
    Action,
    ClaimTicketFields,
    CloseSeatFields,
    CloseTicketFields,
    Credit,
    Delta,
    EpochMarket,
    ExitFields,
    Fill,
    FundFields,
    OpenTicketFields,
    Payout,
    Phase,
    RejoinFields,
    Seat,
    SeatFields,
    SeatStatus,
    SignedOrder,
    Skip,
    Ticket,
    TicketOpening,
    TicketSums,
    Transition,
    WithdrawFields
} from "./Types.sol";

// What each proven action does to the public state. A transition that the chain has overtaken is skipped: it has no
// effect, leaves a zero leaf and says why. Linked, not inlined, for its size.
library Effects {
    using StateMath for State;
    using StateMath for EpochMarket;

    // What applying transitions leaves to be done: notes per destination tree, payments, a bond to collect.
    struct Outcome {
        uint256[] current;
        uint256[] next;
        uint256[] sleepers;
        Payout[] payouts;
        uint256 currentCount;
        uint256 nextCount;
        uint256 sleepersCount;
        uint256 payoutCount;
        uint256 bondDue;
        uint256 applied;
        bool direct;
        // In Trading, when what enters would leave those inside no room to get out.
        bool crowded;
        Skip lastSkip;
    }

    // A whole batch: entering transitions, fills, leaving transitions, then all notes as one subtree per tree.
    function settle(
        State storage s,
        bytes32 domainSeparator,
        Transition[] calldata transitions,
        Delta[] memory deltas,
        SignedOrder[] calldata orders,
        Fill[] calldata fills
    ) public returns (Payout[] memory payouts, bytes32 fillsHash) {
        Outcome memory outcome = _newOutcome(s, transitions.length);
        uint256 i = 0;
        for (; i < transitions.length && _isEntering(transitions[i]); i++) {
            _apply(s, transitions[i], deltas[i], domainSeparator, outcome);
        }
        fillsHash = Fills.settle(s, domainSeparator, orders, fills);
        for (; i < transitions.length; i++) {
            if (_isEntering(transitions[i])) revert IClearingHouse.EnteringAfterLeaving(i);
            _apply(s, transitions[i], deltas[i], domainSeparator, outcome);
        }
        _appendNotes(s, outcome);
        payouts = _payouts(outcome);
    }

    // Transitions sent by anybody, without fills. Reverts if none of them took effect.
    function settleDirect(
        State storage s,
        bytes32 domainSeparator,
        Transition[] calldata transitions,
        Delta[] memory deltas
    ) public returns (Payout[] memory payouts, uint256 bondDue) {
        Outcome memory outcome = _newOutcome(s, transitions.length);
        outcome.direct = true;
        for (uint256 i = 0; i < transitions.length; i++) {
            _apply(s, transitions[i], deltas[i], domainSeparator, outcome);
        }
        if (outcome.applied == 0) revert IClearingHouse.NotApplied(outcome.lastSkip);
        _appendNotes(s, outcome);
        return (_payouts(outcome), outcome.bondDue);
    }

    // Moves the bond of a seat to the close-out account, but for what whoever reported it earns.
    function forfeit(State storage s, uint256 ownerKey, uint128 reward) public {
        Seat storage seat = s.seats[ownerKey];
        uint128 bond = seat.bond;
        if (bond == 0) return;
        if (reward > bond) reward = bond;
        seat.bond = 0;
        s.bonds -= bond;
        s.closeOutAccount += int256(uint256(bond - reward));
        emit IClearingHouse.BondForfeited(ownerKey, bond - reward, reward);
    }

    function _isEntering(Transition calldata t) private pure returns (bool) {
        return t.action <= Action.Rejoin;
    }

    function _appendNotes(State storage s, Outcome memory outcome) private {
        NoteBook.append(s, s.epoch, outcome.current, outcome.currentCount);
        NoteBook.append(s, s.epoch + 1, outcome.next, outcome.nextCount);
        NoteBook.append(s, SLEEPERS, outcome.sleepers, outcome.sleepersCount);
    }

    function _payouts(Outcome memory outcome) private pure returns (Payout[] memory payouts) {
        payouts = outcome.payouts;
        uint256 count = outcome.payoutCount;
        assembly ("memory-safe") {
            mstore(payouts, count)
        }
    }

    function _newOutcome(State storage s, uint256 count) private view returns (Outcome memory outcome) {
        outcome.current = new uint256[](count);
        outcome.next = new uint256[](count);
        outcome.sleepers = new uint256[](count);
        outcome.payouts = new Payout[](count);
        // A transition brings a note and up to eight tickets, each of which reserves as much room as a note at the most.
        outcome.crowded = s.phase == Phase.Trading && !NoteBook.hasRoom(s, s.epoch, 9 * count);
    }

    // Applies a proven transition with its proven public change. A skipped one leaves a zero leaf.
    function _apply(
        State storage s,
        Transition calldata t,
        Delta memory delta,
        bytes32 domainSeparator,
        Outcome memory outcome
    ) private {
        uint256 mark = Scratch.mark();
        Skip skip = s.spent[t.nullifier] ? Skip.NullifierSpent : _effect(s, t, delta, domainSeparator, outcome);
        if (skip == Skip.None) {
            outcome.applied++;
            s.spent[t.nullifier] = true;
            emit IClearingHouse.Transitioned(
                t.nullifier,
                t.action,
                s.epoch,
                t.newNote,
                t.seat,
                delta.cashDelta,
                delta.slot,
                delta.positionDelta
            );
        } else {
            outcome.lastSkip = skip;
            emit IClearingHouse.TransitionSkipped(t.nullifier, t.action, skip);
        }
        Scratch.release(mark);
        // Anybody may send copies of one proof: those that do nothing must not eat up the tree.
        if (skip != Skip.None && outcome.direct) return;
        uint256 leaf = skip == Skip.None ? t.newNote : 0;
        if (t.action == Action.Sleep) outcome.sleepers[outcome.sleepersCount++] = leaf;
        else if (t.action == Action.Renew) outcome.next[outcome.nextCount++] = leaf;
        else if (t.action < Action.Exit) outcome.current[outcome.currentCount++] = leaf;
    }

    function _effect(
        State storage s,
        Transition calldata t,
        Delta memory delta,
        bytes32 domainSeparator,
        Outcome memory outcome
    ) private returns (Skip) {
        Action action = t.action;
        if (outcome.crowded && _isEntering(t)) return Skip.TreeFull;
        if (action == Action.Fund) return _fund(s, t, domainSeparator);
        if (action == Action.OpenTicket) return _openTicket(s, t, delta);
        if (action == Action.CloseTicket) return _closeTicket(s, t, domainSeparator);
        if (action == Action.ClaimTicket) return _claimTicket(s, t, domainSeparator);
        if (action == Action.Withdraw) return _withdraw(s, t, outcome);
        if (action == Action.Renew) return _renew(s, t);
        if (action == Action.Sleep) return _sleep(s, t);
        if (action == Action.Wake) return _wake(s, t);
        if (action == Action.Rejoin) return _rejoin(s, t, outcome);
        if (action == Action.Exit) return _exit(s, t, outcome);
        return _closeSeat(s, t, outcome);
    }

    function _fund(State storage s, Transition calldata t, bytes32 domainSeparator) private returns (Skip) {
        FundFields memory f = abi.decode(t.fields, (FundFields));
        Credit storage credit = s.creditOf[f.creditId];
        if (credit.amount == 0 || credit.spent || credit.amount != f.amount) return Skip.CreditUnavailable;
        // New money must not pay for old losses: it stays a credit, which can be had back whole. In the Window it may be
        // what saves a position from being closed.
        if (s.payoutRatio < WHOLE && s.phase == Phase.Trading) return Skip.PoolShort;
        Signatures.requireRelease(domainSeparator, credit.key, t, bytes32(f.creditId), int256(uint256(f.amount)), 0);
        credit.spent = true;
        s.credits -= f.amount;
        s.fees += f.relayFee;
        s.poolCash += int256(uint256(f.amount)) - int256(uint256(f.relayFee));
        emit IClearingHouse.CreditSpent(f.creditId);
        return Skip.None;
    }

    function _openTicket(State storage s, Transition calldata t, Delta memory delta) private returns (Skip) {
        OpenTicketFields memory f = abi.decode(t.fields, (OpenTicketFields));
        s.poolCash += delta.cashDelta;
        s.poolPosition[f.slot] += int64(delta.positionDelta);
        if (s.poolCover() < 0) {
            s.poolCash -= delta.cashDelta;
            s.poolPosition[f.slot] -= int64(delta.positionDelta);
            return Skip.PoolShort;
        }
        s.fees += f.relayFee;
        uint32 epoch = s.epoch;
        s.epochs[epoch].openTickets += uint32(f.tickets.length);
        TicketSums memory sums = s.ticketSums[f.slot];
        for (uint256 i = 0; i < f.tickets.length; i++) {
            TicketOpening memory opening = f.tickets[i];
            sums.cash += opening.cash;
            sums.net += opening.position;
            sums.gross += uint64(Margin.magnitude(opening.position));
            bytes32 ticketId = keccak256(abi.encode(t.nullifier, t.newNote, f.slot, i));
            s.tickets[ticketId] = Ticket({
                sessionKey: opening.sessionKey,
                epoch: epoch,
                slot: f.slot,
                reduceOnly: opening.reduceOnly,
                openedInBatch: s.lastBatch,
                cash: opening.cash,
                position: opening.position,
                clientId: 0,
                filled: 0,
                revision: 0
            });
            emit IClearingHouse.TicketOpened(
                ticketId,
                opening.sessionKey,
                epoch,
                f.slot,
                opening.cash,
                opening.position,
                opening.reduceOnly
            );
        }
        s.ticketSums[f.slot] = sums;
        return Skip.None;
    }

    function _closeTicket(State storage s, Transition calldata t, bytes32 domainSeparator) private returns (Skip) {
        CloseTicketFields memory f = abi.decode(t.fields, (CloseTicketFields));
        Ticket memory ticket = s.tickets[f.ticketId];
        if (ticket.epoch != s.epoch || ticket.slot != f.slot || ticket.cash != f.cash || ticket.position != f.position)
            return Skip.TicketUnavailable;
        Signatures.requireRelease(domainSeparator, ticket.sessionKey, t, f.ticketId, f.cash, f.position);
        delete s.tickets[f.ticketId];
        s.epochs[s.epoch].openTickets--;
        TicketSums storage sums = s.ticketSums[f.slot];
        sums.cash -= f.cash;
        sums.net -= f.position;
        sums.gross -= uint64(Margin.magnitude(f.position));
        s.fees += f.relayFee;
        s.poolCash += int256(f.cash) - int256(uint256(f.relayFee));
        s.poolPosition[f.slot] += f.position;
        emit IClearingHouse.TicketClosed(f.ticketId, f.cash, f.position);
        return Skip.None;
    }

    function _claimTicket(State storage s, Transition calldata t, bytes32 domainSeparator) private returns (Skip) {
        ClaimTicketFields memory f = abi.decode(t.fields, (ClaimTicketFields));
        Ticket memory ticket = s.tickets[f.ticketId];
        if (ticket.epoch == 0 || ticket.epoch >= s.epoch) return Skip.TicketUnavailable;
        EpochMarket storage market = s.markets[ticket.epoch][ticket.slot];
        int256 claim = Margin.equity(ticket.cash, ticket.position, market.settlementPrice, market.feeAtDefault());
        if (claim != int256(uint256(f.claim)) || f.claim > s.claims) return Skip.TicketUnavailable;
        Signatures.requireRelease(domainSeparator, ticket.sessionKey, t, f.ticketId, claim, 0);
        delete s.tickets[f.ticketId];
        s.claims -= f.claim;
        s.fees += f.relayFee;
        s.poolCash += claim - int256(uint256(f.relayFee));
        emit IClearingHouse.TicketClaimed(f.ticketId, ticket.epoch, f.claim);
        return Skip.None;
    }

    function _withdraw(State storage s, Transition calldata t, Outcome memory outcome) private returns (Skip) {
        WithdrawFields memory f = abi.decode(t.fields, (WithdrawFields));
        (bool covered, uint256 paid) = _takeOut(s, f.amount, f.relayFee);
        if (!covered) return Skip.PoolShort;
        s.fees += f.relayFee;
        _owe(outcome, f.to, paid);
        return Skip.None;
    }

    function _renew(State storage s, Transition calldata t) private returns (Skip) {
        if (!_isLive(s, t.seat)) return Skip.SeatUnavailable;
        s.seats[t.seat].lastEpoch = s.epoch + 1;
        s.epochs[s.epoch + 1].liveSeats++;
        _takeSeatFee(s, t);
        return Skip.None;
    }

    function _sleep(State storage s, Transition calldata t) private returns (Skip) {
        if (!_isLive(s, t.seat)) return Skip.SeatUnavailable;
        s.seats[t.seat].status = SeatStatus.Asleep;
        s.epochs[s.epoch].liveSeats--;
        _takeSeatFee(s, t);
        return Skip.None;
    }

    function _wake(State storage s, Transition calldata t) private returns (Skip) {
        Seat storage seat = s.seats[t.seat];
        if (seat.status != SeatStatus.Asleep) return Skip.SeatUnavailable;
        seat.status = SeatStatus.Active;
        seat.lastEpoch = s.epoch;
        s.epochs[s.epoch].liveSeats++;
        return Skip.None;
    }

    function _rejoin(State storage s, Transition calldata t, Outcome memory outcome) private returns (Skip) {
        RejoinFields memory f = abi.decode(t.fields, (RejoinFields));
        Seat storage seat = s.seats[t.seat];
        if (seat.status != SeatStatus.Active || seat.lastEpoch != f.defaultEpoch) return Skip.SeatUnavailable;
        if (_keepsBond(s, seat, f.flat)) {
            _takeLateFee(s, seat);
        } else {
            forfeit(s, t.seat, 0);
            seat.bond = s.terms.seatBond;
            s.bonds += s.terms.seatBond;
            outcome.bondDue += s.terms.seatBond;
        }
        seat.lastEpoch = s.epoch;
        s.epochs[s.epoch].liveSeats++;
        return Skip.None;
    }

    function _exit(State storage s, Transition calldata t, Outcome memory outcome) private returns (Skip) {
        ExitFields memory f = abi.decode(t.fields, (ExitFields));
        Seat storage seat = s.seats[t.seat];
        _requireZeroNote(t);
        if (seat.status != SeatStatus.Active || seat.lastEpoch != f.defaultEpoch) return Skip.SeatUnavailable;
        (bool covered, uint256 paid) = _takeOut(s, f.equity, 0);
        if (!covered) return Skip.PoolShort;
        uint256 refund;
        if (_keepsBond(s, seat, f.flat)) {
            _takeLateFee(s, seat);
            refund = seat.bond;
            s.bonds -= refund;
        } else {
            forfeit(s, t.seat, 0);
        }
        seat.status = SeatStatus.Closed;
        seat.bond = 0;
        _owe(outcome, f.to, paid + refund);
        return Skip.None;
    }

    function _closeSeat(State storage s, Transition calldata t, Outcome memory outcome) private returns (Skip) {
        CloseSeatFields memory f = abi.decode(t.fields, (CloseSeatFields));
        Seat storage seat = s.seats[t.seat];
        _requireZeroNote(t);
        if (f.asleep ? seat.status != SeatStatus.Asleep : !_isLive(s, t.seat)) return Skip.SeatUnavailable;
        if (!f.asleep) s.epochs[s.epoch].liveSeats--;
        uint128 bond = seat.bond;
        seat.status = SeatStatus.Closed;
        seat.bond = 0;
        s.bonds -= bond;
        uint128 fee = f.relayFee < bond ? f.relayFee : bond;
        s.fees += fee;
        _owe(outcome, f.to, bond - fee);
        return Skip.None;
    }

    // Takes an amount and a fee out of the pool, unless that would leave a hole; returns what is paid of the amount. The
    // rest of it helps to make the house whole.
    function _takeOut(State storage s, uint256 amount, uint256 fee) private returns (bool covered, uint256 paid) {
        uint256 toAccount;
        (paid, toAccount) = s.payoutRatio == WHOLE ? (amount, 0) : Waterfall.shareOf(s, amount);
        int256 leaving = int256(paid + toAccount + fee);
        s.poolCash -= leaving;
        covered = s.poolCover() >= 0;
        if (covered) s.closeOutAccount += int256(toAccount);
        else s.poolCash += leaving;
    }

    // Written in place: what `_apply` allocates is gone when it returns.
    function _owe(Outcome memory outcome, address to, uint256 amount) private pure {
        Payout memory payout = outcome.payouts[outcome.payoutCount++];
        (payout.to, payout.amount) = (to, amount);
    }

    // Active with its note in the tree of the present epoch.
    function _isLive(State storage s, uint256 ownerKey) private view returns (bool) {
        Seat storage seat = s.seats[ownerKey];
        return seat.status == SeatStatus.Active && seat.lastEpoch == s.epoch;
    }

    function _keepsBond(State storage s, Seat storage seat, bool flat) private view returns (bool) {
        return flat && seat.bond > 0 && s.epoch <= uint256(seat.lastEpoch) + s.terms.flatGraceEpochs;
    }

    // Several late returns can eat a bond up; never more than it holds.
    function _takeLateFee(State storage s, Seat storage seat) private {
        uint128 fee = s.terms.lateFee < seat.bond ? s.terms.lateFee : seat.bond;
        seat.bond -= fee;
        s.bonds -= fee;
        s.closeOutAccount += int256(uint256(fee));
    }

    function _takeSeatFee(State storage s, Transition calldata t) private {
        uint128 fee = abi.decode(t.fields, (SeatFields)).relayFee;
        s.fees += fee;
        s.poolCash -= int256(uint256(fee));
    }

    function _requireZeroNote(Transition calldata t) private pure {
        uint256 zeroNote = Notes.zeroNote(t.seat);
        if (t.newNote != zeroNote) revert IClearingHouse.NewNoteNotEmpty(t.newNote, zeroNote);
    }
}
