// SPDX-License-Identifier: GPL-3.0-only
pragma solidity 0.8.37;

import {IClearingHouse} from "../interfaces/IClearingHouse.sol";
import {State} from "./ClearingState.sol";
import {Margin} from "./Margin.sol";
import {SettlementPrice} from "./SettlementPrice.sol";
import {Signatures} from "./Signatures.sol";
import {EpochMarket, Fill, OrderState, Phase, Side, SignedOrder, Ticket, TicketSums, TimeInForce} from "./Types.sol";

// Settles matched orders between tickets. Linked, not inlined: the clearing house must stay below the size limit.
library Fills {
    uint64 private constant MAX_SEQ_STEP = 1 << 32;

    // Checks and applies the fills of a batch in order; returns the hash under which they are kept.
    function settle(
        State storage s,
        bytes32 domainSeparator,
        SignedOrder[] calldata orders,
        Fill[] calldata fills
    ) public returns (bytes32) {
        if (fills.length == 0) return keccak256(abi.encode(orders, fills));
        if (s.phase != Phase.Trading) revert IClearingHouse.FillsOutsideTrading();
        for (uint256 i = 0; i < orders.length; i++) _checkOrder(s, domainSeparator, orders[i]);
        for (uint256 i = 0; i < fills.length; i++) {
            _advance(s, fills[i]);
            _fill(s, orders[fills[i].maker], orders[fills[i].taker], fills[i]);
            _checkImmediate(s, orders[fills[i].taker], fills, i);
        }
        return keccak256(abi.encode(orders, fills));
    }

    function _checkOrder(State storage s, bytes32 domainSeparator, SignedOrder calldata order) private view {
        Ticket storage ticket = s.tickets[order.ticketId];
        if (ticket.epoch == 0) revert IClearingHouse.UnknownTicket(order.ticketId);
        if (ticket.epoch != s.epoch || ticket.openedInBatch >= s.lastBatch) {
            revert IClearingHouse.TicketNotTradable(order.ticketId, ticket.epoch, ticket.openedInBatch);
        }
        if (order.clientId == 0) revert IClearingHouse.ZeroClientId(order.ticketId);
        Signatures.requireOrder(domainSeparator, ticket.sessionKey, order);
    }

    // (seq, n) strictly increases over all batches; execution times do not fall and lie inside the trading day.
    function _advance(State storage s, Fill calldata fill) private {
        if (fill.seq < s.lastSeq || (fill.seq == s.lastSeq && fill.n <= s.lastN)) {
            revert IClearingHouse.FillOutOfOrder(fill.seq, fill.n, s.lastSeq, s.lastN);
        }
        // A bad operator must not be able to use the numbers up.
        if (fill.seq - s.lastSeq > MAX_SEQ_STEP) revert IClearingHouse.SeqTooFar(fill.seq, s.lastSeq);
        if (fill.makerPrioritySeq > fill.seq) {
            revert IClearingHouse.PriorityAfterFill(fill.makerPrioritySeq, fill.seq);
        }
        uint64 earliest = s.epochs[s.epoch].openedAt;
        if (s.lastExecTime > earliest) earliest = s.lastExecTime;
        uint64 latest = s.epochs[s.epoch].closingTime;
        if (block.timestamp < latest) latest = uint64(block.timestamp);
        if (fill.execTime < earliest || fill.execTime > latest) {
            revert IClearingHouse.ExecTimeOutOfRange(fill.execTime, earliest, latest);
        }
        s.lastSeq = fill.seq;
        s.lastN = fill.n;
        s.lastExecTime = fill.execTime;
    }

    function _fill(
        State storage s,
        SignedOrder calldata maker,
        SignedOrder calldata taker,
        Fill calldata fill
    ) private {
        Ticket storage makerTicket = s.tickets[maker.ticketId];
        Ticket storage takerTicket = s.tickets[taker.ticketId];
        uint8 slot = makerTicket.slot;
        EpochMarket storage market = s.markets[s.epoch][slot];
        _checkPair(maker, taker, slot, takerTicket.slot);
        _checkPrice(market, maker, taker, fill);
        _use(s, makerTicket, maker, fill);
        _use(s, takerTicket, taker, fill);

        TicketSums memory sums = s.ticketSums[slot];
        uint256 makerFee = _trade(market, makerTicket, maker, fill, sums);
        uint256 takerFee = _trade(market, takerTicket, taker, fill, sums);
        s.ticketSums[slot] = sums;
        s.fees += makerFee + takerFee;
        SettlementPrice.record(s.volumes[s.epoch][slot], fill.execTime, fill.price, fill.quantity);
        emit IClearingHouse.Filled(
            maker.ticketId,
            taker.ticketId,
            fill.seq,
            fill.n,
            fill.execTime,
            slot,
            taker.side == Side.Buy,
            fill.price,
            fill.quantity,
            makerFee,
            takerFee
        );
    }

    // An immediate order trades in one run of fills, with one sequence number; fill-or-kill trades all of it there.
    function _checkImmediate(
        State storage s,
        SignedOrder calldata taker,
        Fill[] calldata fills,
        uint256 i
    ) private view {
        if (taker.timeInForce == TimeInForce.GoodTillCancelled) return;
        Fill calldata fill = fills[i];
        uint256 filled = _filledOf(s, taker);
        bool starts = i == 0 || fills[i - 1].taker != fill.taker || fills[i - 1].seq != fill.seq;
        if (starts && filled != fill.quantity) revert IClearingHouse.NotImmediate(taker.ticketId, taker.clientId);
        bool ends = i + 1 == fills.length || fills[i + 1].taker != fill.taker || fills[i + 1].seq != fill.seq;
        bool unfilled = taker.timeInForce == TimeInForce.FillOrKill && filled != taker.quantity;
        if (ends && unfilled) {
            revert IClearingHouse.FillOrKillUnfilled(taker.ticketId, taker.clientId, filled, taker.quantity);
        }
    }

    function _filledOf(State storage s, SignedOrder calldata order) private view returns (uint256) {
        Ticket storage ticket = s.tickets[order.ticketId];
        if (ticket.clientId == order.clientId) return ticket.filled;
        return s.laterOrders[order.ticketId][order.clientId].filled;
    }

    function _checkPair(
        SignedOrder calldata maker,
        SignedOrder calldata taker,
        uint8 makerSlot,
        uint8 takerSlot
    ) private pure {
        if (maker.ticketId == taker.ticketId) revert IClearingHouse.SameTicket(maker.ticketId);
        if (makerSlot != takerSlot) revert IClearingHouse.DifferentMarkets(makerSlot, takerSlot);
        if (maker.side == taker.side) revert IClearingHouse.SameSide();
        if (maker.timeInForce != TimeInForce.GoodTillCancelled) {
            revert IClearingHouse.MakerCannotRest(maker.ticketId);
        }
        if (taker.postOnly) revert IClearingHouse.PostOnlyTakes(taker.ticketId);
    }

    function _checkPrice(
        EpochMarket storage market,
        SignedOrder calldata maker,
        SignedOrder calldata taker,
        Fill calldata fill
    ) private view {
        (int88 buyPrice, int88 sellPrice) = maker.side == Side.Buy
            ? (maker.limitPrice, taker.limitPrice)
            : (taker.limitPrice, maker.limitPrice);
        if (buyPrice < sellPrice) revert IClearingHouse.NotCrossing(buyPrice, sellPrice);
        if (fill.price != maker.limitPrice) revert IClearingHouse.NotMakerPrice(fill.price, maker.limitPrice);
        int256 down = int256(market.centre) - int256(uint256(market.priceLimit));
        int256 up = int256(market.centre) + int256(uint256(market.priceLimit));
        if (fill.price < down || fill.price > up) revert IClearingHouse.OffLimits(fill.price, down, up);
        if (fill.price % int256(uint256(market.tick)) != 0) revert IClearingHouse.OffTick(fill.price, market.tick);
    }

    // Consumes the order's quantity. The first order that fills on a ticket is remembered beside its cash, later ones
    // in a map: one order a ticket is the rule, and this saves it a fresh storage word.
    function _use(State storage s, Ticket storage ticket, SignedOrder calldata order, Fill calldata fill) private {
        if (fill.execTime > order.expiry) {
            revert IClearingHouse.OrderExpired(order.ticketId, order.expiry, fill.execTime);
        }
        if (fill.quantity == 0 || fill.quantity > uint32(type(int32).max)) {
            revert IClearingHouse.QuantityOutOfRange(fill.quantity);
        }
        if (order.quantity > uint32(type(int32).max)) revert IClearingHouse.QuantityOutOfRange(order.quantity);
        if (ticket.clientId == 0) ticket.clientId = order.clientId;
        if (ticket.clientId == order.clientId) {
            (ticket.filled, ticket.revision) = _consume(ticket.filled, ticket.revision, order, fill.quantity);
        } else {
            OrderState storage state = s.laterOrders[order.ticketId][order.clientId];
            (state.filled, state.revision) = _consume(state.filled, state.revision, order, fill.quantity);
        }
    }

    function _consume(
        uint32 filled,
        uint8 revision,
        SignedOrder calldata order,
        uint32 quantity
    ) private pure returns (uint32, uint8) {
        if (order.revision < revision) {
            revert IClearingHouse.Superseded(order.ticketId, order.clientId, order.revision, revision);
        }
        uint256 newFilled = uint256(filled) + quantity;
        if (newFilled > order.quantity) {
            revert IClearingHouse.Overfilled(order.ticketId, order.clientId, newFilled, order.quantity);
        }
        return (uint32(newFilled), order.revision);
    }

    // Moves cash and position of one side, takes its fee and checks its margin.
    function _trade(
        EpochMarket storage market,
        Ticket storage ticket,
        SignedOrder calldata order,
        Fill calldata fill,
        TicketSums memory sums
    ) private returns (uint256 fee) {
        int256 position = ticket.position;
        int256 traded = order.side == Side.Buy ? int256(uint256(fill.quantity)) : -int256(uint256(fill.quantity));
        int256 newPosition = position + traded;
        if (Margin.magnitude(newPosition) >= uint256(Margin.POSITION_LIMIT)) {
            revert IClearingHouse.PositionOutOfRange(newPosition);
        }
        bool reducing = Margin.reduces(position, newPosition);
        if (ticket.reduceOnly && !reducing) {
            revert IClearingHouse.NotReducing(order.ticketId, position, newPosition);
        }
        int256 cash = int256(ticket.cash) - traded * fill.price;
        uint256 halfWidth = reducing ? market.maintenanceMargin : market.initialMargin;
        int256 equity = Margin.equity(cash, newPosition, market.centre, halfWidth);
        fee = uint256(market.fillFee) * fill.quantity;
        // A trader must always be able to reduce: the fee takes what there is above maintenance.
        if (reducing && equity >= 0 && fee > uint256(equity)) fee = uint256(equity);
        equity -= int256(fee);
        if (equity < 0) revert IClearingHouse.TicketBelowMargin(order.ticketId, equity);
        cash -= int256(fee);
        if (cash != int120(cash)) revert IClearingHouse.AmountOutOfRange(cash);

        sums.cash += int128(cash - ticket.cash);
        sums.net += int64(traded);
        sums.gross = sums.gross - uint64(Margin.magnitude(position)) + uint64(Margin.magnitude(newPosition));
        ticket.cash = int120(cash);
        ticket.position = int32(newPosition);
    }
}
