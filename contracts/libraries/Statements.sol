// SPDX-License-Identifier: GPL-3.0-only
pragma solidity 0.8.37;

import {IClearingHouse} from "../interfaces/IClearingHouse.sol";
import {SLEEPERS, State, StateMath} from "./ClearingState.sol";
import {Margin} from "./Margin.sol";
import {Proof} from "./Proof.sol";
import {Scratch} from "./Scratch.sol";
import {
    Action,
    BIG,
    ClaimTicketFields,
    CloseSeatFields,
    CloseTicketFields,
    Delta,
    EpochMarket,
    ExitFields,
    FundFields,
    MARKETS,
    OpenTicketFields,
    Phase,
    RejoinFields,
    SeatFields,
    TicketOpening,
    Transition,
    WithdrawFields
} from "./Types.sol";
import {VerifierCall} from "./VerifierCall.sol";

// What each action has to prove. A statement depends on the transition's own fields and on what is fixed for the phase,
// never on what another transition may change: so all proofs are verified first, and a transition that came too late
// is skipped without spoiling its batch. Linked, not inlined, for its size.
library Statements {
    using StateMath for State;
    using StateMath for EpochMarket;

    // The prices at which an action asks for solvency, and those it settles at.
    enum Band {
        Maintenance,
        Initial,
        Default,
        NextMaintenance,
        NextInitial,
        FlatOnly
    }

    // The public change of a note.
    struct Change {
        int256 cashDelta;
        uint256 slot;
        int256 positionDelta;
        uint256 tree;
        uint32 bandEpoch;
        Band band;
        bool settleAll;
        uint256 relayFee;
        // Times the flat fee is due: once, or once per ticket opened.
        uint256 feeUnits;
        // Of a reduce-only opening: the side that the account must not end on, 1 long, -1 short.
        int256 barredSide;
    }

    // The valuation that was read last: most of a batch ask for the same, and reading it costs more than all the rest of a
    // statement. `key` is 0 for none.
    struct Valued {
        uint256 key;
        uint256[25] signals;
    }

    uint256 private constant MAX_TICKETS = 8;

    // Builds every statement and verifies all proofs at once; returns the public change of each note.
    function verified(
        State storage s,
        uint256 batchNumber,
        Transition[] calldata transitions,
        Proof[] calldata proofs,
        bool relayed
    ) public returns (Delta[] memory deltas) {
        uint256 count = transitions.length;
        deltas = new Delta[](count);
        if (count == 0 && proofs.length == 0) return deltas;
        VerifierCall.Call memory verifier = VerifierCall.begin(batchNumber, proofs, count);
        Valued memory last;
        for (uint256 i = 0; i < count; i++) {
            uint256 mark = Scratch.mark();
            _requirePhase(s, transitions[i], relayed);
            Change memory change = _changeOf(s, transitions[i]);
            _checkChange(s, change, transitions[i].root, relayed);
            _write(s, transitions[i], change, VerifierCall.signalsOf(verifier, i), last);
            Delta memory delta = deltas[i];
            (delta.cashDelta, delta.slot, delta.positionDelta) = (change.cashDelta, change.slot, change.positionDelta);
            Scratch.release(mark);
        }
        VerifierCall.send(verifier);
    }

    function _checkChange(State storage s, Change memory change, uint256 root, bool relayed) private view {
        uint256 fee = relayed ? s.terms.relayFee * change.feeUnits : 0;
        if (change.relayFee != fee) revert IClearingHouse.WrongRelayFee(change.relayFee, fee);
        if (!s.roots[change.tree][root]) revert IClearingHouse.UnknownRoot(change.tree, root);
        if (Margin.magnitude(change.cashDelta) >= uint256(Margin.AMOUNT_LIMIT)) {
            revert IClearingHouse.AmountOutOfRange(change.cashDelta);
        }
        if (Margin.magnitude(change.positionDelta) >= uint256(Margin.POSITION_LIMIT)) {
            revert IClearingHouse.PositionOutOfRange(change.positionDelta);
        }
    }

    // The 25 public signals of a transition, in the order of circuits/transition.circom.
    function _write(
        State storage s,
        Transition calldata t,
        Change memory change,
        uint256[25] memory signals,
        Valued memory last
    ) private view {
        signals[0] = t.root;
        signals[1] = t.nullifier;
        signals[2] = t.newNote;
        signals[3] = t.seat;
        _value(s, change, signals, last);
        signals[21] = Margin.toField(change.cashDelta);
        signals[22] = change.slot;
        signals[23] = Margin.toField(change.positionDelta);
        signals[24] = _contextOf(s.epoch, t, change);
    }

    function _contextOf(uint32 epoch, Transition calldata t, Change memory change) private view returns (uint256) {
        return
            uint256(
                keccak256(
                    abi.encode(
                        block.chainid,
                        address(this),
                        t.action,
                        epoch,
                        t.nullifier,
                        t.newNote,
                        t.seat,
                        change.cashDelta,
                        change.positionDelta,
                        change.slot,
                        keccak256(t.fields)
                    )
                )
            ) >> 8;
    }

    function _requirePhase(State storage s, Transition calldata t, bool relayed) private view {
        Action action = t.action;
        bool trading = s.phase == Phase.Trading;
        bool partB = !trading && s.inPartB();
        bool allowed;
        if (action == Action.Fund || (action >= Action.CloseTicket && action <= Action.Withdraw)) {
            allowed = trading || !partB;
        } else if (action == Action.Renew) {
            allowed = partB;
        } else if (action == Action.Sleep || action == Action.CloseSeat) {
            allowed = trading || partB;
        } else {
            allowed = trading || action == Action.Exit;
        }
        if (!allowed) revert IClearingHouse.WrongPhase(action, s.phase, partB);

        // A direct transition in Trading must not be able to race a batch for a live note of the epoch's tree.
        bool reentry = action == Action.Wake || action == Action.Rejoin || action == Action.Exit;
        if (relayed && reentry) revert IClearingHouse.DirectOnly(action);
        if (!relayed && trading && !reentry && !_closesSleepingSeat(t)) revert IClearingHouse.RelayedOnly(action);

        bool seatShown = action >= Action.Renew || action == Action.Wake || action == Action.Rejoin;
        if (seatShown && t.seat == 0) revert IClearingHouse.SeatRequired(action);
        if (!seatShown && t.seat != 0) revert IClearingHouse.SeatNotAllowed(action);
    }

    function _closesSleepingSeat(Transition calldata t) private pure returns (bool) {
        return t.action == Action.CloseSeat && abi.decode(t.fields, (CloseSeatFields)).asleep;
    }

    function _changeOf(State storage s, Transition calldata t) private view returns (Change memory change) {
        Action action = t.action;
        bool trading = s.phase == Phase.Trading;
        uint32 epoch = s.epoch;
        change.feeUnits = 1;
        change.tree = epoch;
        change.bandEpoch = epoch;
        change.band = trading ? Band.Maintenance : Band.Default;

        if (action == Action.Fund) {
            FundFields memory f = abi.decode(t.fields, (FundFields));
            change.relayFee = f.relayFee;
            change.cashDelta = int256(uint256(f.amount)) - int256(uint256(f.relayFee));
        } else if (action == Action.OpenTicket) {
            _openings(s, abi.decode(t.fields, (OpenTicketFields)), change);
        } else if (action == Action.CloseTicket) {
            CloseTicketFields memory f = abi.decode(t.fields, (CloseTicketFields));
            if (f.slot >= MARKETS) revert IClearingHouse.SlotOutOfRange(f.slot);
            change.relayFee = f.relayFee;
            change.cashDelta = int256(f.cash) - int256(uint256(f.relayFee));
            change.slot = f.slot;
            change.positionDelta = f.position;
        } else if (action == Action.ClaimTicket) {
            ClaimTicketFields memory f = abi.decode(t.fields, (ClaimTicketFields));
            change.relayFee = f.relayFee;
            change.cashDelta = int256(uint256(f.claim)) - int256(uint256(f.relayFee));
        } else if (action == Action.Withdraw) {
            WithdrawFields memory f = abi.decode(t.fields, (WithdrawFields));
            _requireRecipient(f.to);
            if (f.amount == 0) revert IClearingHouse.ZeroAmount();
            change.relayFee = f.relayFee;
            change.cashDelta = -int256(uint256(f.amount)) - int256(uint256(f.relayFee));
            change.band = trading ? Band.Initial : Band.NextInitial;
        } else if (action == Action.Renew || action == Action.Sleep) {
            change.relayFee = abi.decode(t.fields, (SeatFields)).relayFee;
            change.cashDelta = -int256(change.relayFee);
            change.band = action == Action.Renew ? Band.NextMaintenance : Band.FlatOnly;
        } else if (action == Action.Wake) {
            change.tree = SLEEPERS;
            change.band = Band.FlatOnly;
        } else if (action == Action.Rejoin) {
            RejoinFields memory f = abi.decode(t.fields, (RejoinFields));
            _closeOut(change, t.seat, f.defaultEpoch, f.flat, epoch);
        } else if (action == Action.Exit) {
            ExitFields memory f = abi.decode(t.fields, (ExitFields));
            _requireRecipient(f.to);
            _closeOut(change, t.seat, f.defaultEpoch, f.flat, epoch);
            change.cashDelta = -int256(uint256(f.equity));
        } else {
            CloseSeatFields memory f = abi.decode(t.fields, (CloseSeatFields));
            _requireRecipient(f.to);
            change.relayFee = f.relayFee;
            change.band = Band.FlatOnly;
            if (f.asleep) change.tree = SLEEPERS;
        }
    }

    // Tickets are checked one by one: two of them must not balance each other below zero.
    function _openings(State storage s, OpenTicketFields memory f, Change memory change) private view {
        uint256 count = f.tickets.length;
        if (count == 0 || count > MAX_TICKETS) revert IClearingHouse.TicketCount(count);
        if (f.slot >= MARKETS) revert IClearingHouse.SlotOutOfRange(f.slot);
        EpochMarket storage market = s.markets[s.epoch][f.slot];
        if (!market.listed) revert IClearingHouse.MarketNotListed(f.slot);

        bool reduceOnly = true;
        for (uint256 i = 0; i < count; i++) reduceOnly = reduceOnly && f.tickets[i].reduceOnly;
        if (market.closingOnly && !reduceOnly) revert IClearingHouse.ClosingOnly(f.slot);
        uint256 halfWidth = reduceOnly ? market.maintenanceMargin : market.initialMargin;

        change.band = reduceOnly ? Band.Maintenance : Band.Initial;
        change.slot = f.slot;
        change.relayFee = f.relayFee;
        change.feeUnits = count;
        change.cashDelta = -int256(uint256(f.relayFee));
        if (reduceOnly) change.barredSide = f.tickets[0].position > 0 ? -1 : int256(1);
        for (uint256 i = 0; i < count; i++) {
            TicketOpening memory ticket = f.tickets[i];
            if (ticket.position == type(int32).min) revert IClearingHouse.PositionOutOfRange(ticket.position);
            if (ticket.sessionKey == address(0)) revert IClearingHouse.ZeroSessionKey();
            int256 equity = Margin.equity(ticket.cash, ticket.position, market.centre, halfWidth);
            if (equity < 0) revert IClearingHouse.TicketInsolvent(i, equity);
            if (reduceOnly) _checkCarried(market, f.tickets, i);
            change.cashDelta -= ticket.cash;
            change.positionDelta -= ticket.position;
        }
    }

    // Opening at maintenance is for reducing what an account holds already: all tickets carry one side, none more than
    // its own initial margin, and the account may not end on the other side (barredSide).
    function _checkCarried(EpochMarket storage market, TicketOpening[] memory tickets, uint256 index) private view {
        TicketOpening memory ticket = tickets[index];
        bool sameSide = ticket.position > 0 == tickets[0].position > 0;
        if (ticket.position == 0 || !sameSide) revert IClearingHouse.NotCarried(index, ticket.position);
        int256 equity = Margin.equity(ticket.cash, ticket.position, market.centre, market.initialMargin);
        if (equity > 0) revert IClearingHouse.TicketOverfunded(index, equity);
    }

    // Paying the clearing house itself would break its books.
    function _requireRecipient(address to) private view {
        if (to == address(0) || to == address(this)) revert IClearingHouse.BadRecipient(to);
    }

    function _closeOut(Change memory change, uint256 seat, uint32 defaultEpoch, bool flat, uint32 epoch) private pure {
        if (defaultEpoch >= epoch) revert IClearingHouse.NotInDefault(seat, defaultEpoch, epoch);
        change.tree = defaultEpoch;
        change.bandEpoch = defaultEpoch;
        change.band = flat ? Band.FlatOnly : Band.Default;
        change.settleAll = true;
    }

    // Writes the valuation prices and the settle mask, signals 4 to 20.
    function _value(
        State storage s,
        Change memory change,
        uint256[25] memory signals,
        Valued memory last
    ) private view {
        uint256 key = 1 + uint256(change.band) + (change.settleAll ? 1 << 8 : 0) + (uint256(change.bandEpoch) << 16);
        if (last.key != key) {
            last.key = key;
            _readValuation(s, change, last.signals);
        }
        uint256[25] memory valued = last.signals;
        assembly ("memory-safe") {
            mcopy(add(signals, 0x80), add(valued, 0x80), 0x220)
        }
        if (change.barredSide > 0) signals[4 + change.slot] = Margin.FIELD - BIG;
        if (change.barredSide < 0) signals[12 + change.slot] = BIG;
    }

    function _readValuation(State storage s, Change memory change, uint256[25] memory signals) private view {
        uint256 mask = change.settleAll ? (1 << MARKETS) - 1 : 0;
        for (uint256 slot = 0; slot < MARKETS; slot++) {
            (bool tradable, int256 centre, uint256 halfWidth, bool settled) = _priceOf(s, change, slot);
            signals[4 + slot] = tradable ? Margin.toField(centre - int256(halfWidth)) : Margin.FIELD - BIG;
            signals[12 + slot] = tradable ? Margin.toField(centre + int256(halfWidth)) : BIG;
            if (settled) mask |= 1 << slot;
        }
        signals[20] = mask;
    }

    // A slot without a contract is valued at -/+ BIG: nobody can hold a position there.
    function _priceOf(
        State storage s,
        Change memory change,
        uint256 slot
    ) private view returns (bool tradable, int256 centre, uint256 halfWidth, bool settled) {
        Band band = change.band;
        if (band == Band.FlatOnly) return (false, 0, 0, false);
        EpochMarket storage market = s.markets[change.bandEpoch][slot];
        if (!market.listed) return (false, 0, 0, false);
        if (band == Band.Maintenance) return (true, market.centre, market.maintenanceMargin, false);
        if (band == Band.Initial) return (true, market.centre, market.initialMargin, false);
        if (band == Band.Default) return (true, market.settlementPrice, market.feeAtDefault(), false);
        if (market.expired) return (true, market.settlementPrice, 0, band == Band.NextMaintenance);
        EpochMarket storage next = s.markets[change.bandEpoch + 1][slot];
        return (true, next.centre, band == Band.NextInitial ? next.initialMargin : next.maintenanceMargin, false);
    }
}
