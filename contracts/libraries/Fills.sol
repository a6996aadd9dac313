// SPDX-License-Identifier: GPL-3.0-only
pragma solidity 0.8.37;

import {IClearingHouse} from "../interfaces/IClearingHouse.sol";
import {State} from "./ClearingState.sol";
import {Margin} from "./Margin.sol";
import {SettlementPrice} from "./SettlementPrice.sol";
import {Signatures} from "./Signatures.sol";
import {
    Epoch,
    EpochMarket,
    Fill,
    OrderState,
    Phase,
    Side,
    SignedOrder,
    Ticket,
    TicketSums,
    TimeInForce
} from "./Types.sol";

// Settles matched orders between tickets.
library Fills {
    uint64 private constant MAX_SEQ_STEP = 1 << 32;

    // What all fills of a batch share, read once and written back once. `market` and `sums` are those of `slot`.
    struct Session {
        uint32 epoch;
        uint64 earliest;
        uint64 latest;
        // Execution time of auction fills; 0, which no fill has, where there is no auction.
        uint64 auctionTime;
        uint64 lastSeq;
        uint32 lastN;
        uint256 fees;
        uint256 slot;
        FillTerms market;
        TicketSums sums;
    }

    // What a fill needs to know of its market: less than there is, and each word costs.
    struct FillTerms {
        int88 centre;
        uint80 priceLimit;
        uint80 maintenanceMargin;
        uint80 initialMargin;
        uint80 tick;
        uint80 fillFee;
        int88 auctionPrice;
        bool auctioned;
    }

    uint256 private constant NO_SLOT = type(uint256).max;
    uint32 private constant MAX_QUANTITY = uint32(type(int32).max);

    // Checks and applies the fills of a batch in order; returns the hash under which they are kept.
    function settle(
        State storage s,
        bytes32 domainSeparator,
        SignedOrder[] calldata orders,
        Fill[] calldata fills
    ) internal returns (bytes32) {
        if (fills.length == 0) return _hashOf(orders, fills);
        if (s.phase != Phase.Trading) revert IClearingHouse.FillsOutsideTrading();
        Session memory session = _begin(s);
        for (uint256 i = 0; i < orders.length; i++) _checkOrder(s, session, domainSeparator, orders[i]);
        for (uint256 i = 0; i < fills.length; i++) _fill(s, session, orders, fills, i);
        _end(s, session);
        return _hashOf(orders, fills);
    }

    // keccak256 of the hashes of both lists, each list as its ABI words without the length. Straight from calldata: to
    // encode them again would cost more than all checks of a fill.
    function _hashOf(SignedOrder[] calldata orders, Fill[] calldata fills) private pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            let size := mul(orders.length, 0x160)
            calldatacopy(free, orders.offset, size)
            mstore(0x00, keccak256(free, size))
            size := mul(fills.length, 0x100)
            calldatacopy(free, fills.offset, size)
            mstore(0x20, keccak256(free, size))
            hash := keccak256(0x00, 0x40)
        }
    }

    function _begin(State storage s) private view returns (Session memory session) {
        session.epoch = s.epoch;
        session.lastSeq = s.lastSeq;
        session.lastN = s.lastN;
        session.slot = NO_SLOT;
        Epoch storage epoch = s.epochs[session.epoch];
        uint64 callAuction = s.terms.callAuction;
        session.earliest = epoch.openedAt + callAuction;
        if (callAuction > 0) session.auctionTime = session.earliest;
        if (s.lastExecTime > session.earliest) session.earliest = s.lastExecTime;
        session.latest = epoch.closingTime;
        if (block.timestamp < session.latest) session.latest = uint64(block.timestamp);
    }

    function _end(State storage s, Session memory session) private {
        s.lastSeq = session.lastSeq;
        s.lastN = session.lastN;
        s.lastExecTime = session.earliest;
        s.fees += session.fees;
        _enterMarket(s, session, NO_SLOT);
    }

    // Puts the sums of the present market away and takes up another.
    function _enterMarket(State storage s, Session memory session, uint256 slot) private {
        if (session.slot != NO_SLOT) s.ticketSums[session.slot] = session.sums;
        session.slot = slot;
        if (slot == NO_SLOT) return;
        EpochMarket storage market = s.markets[session.epoch][slot];
        session.market = FillTerms(
            market.centre,
            market.priceLimit,
            market.maintenanceMargin,
            market.initialMargin,
            market.tick,
            market.fillFee,
            market.auctionPrice,
            market.auctioned
        );
        session.sums = s.ticketSums[slot];
    }

    function _checkOrder(
        State storage s,
        Session memory session,
        bytes32 domainSeparator,
        SignedOrder calldata order
    ) private view {
        Ticket memory ticket = s.tickets[order.ticketId];
        if (ticket.epoch == 0) revert IClearingHouse.UnknownTicket(order.ticketId);
        if (ticket.epoch != session.epoch || ticket.openedInBatch >= s.lastBatch) {
            revert IClearingHouse.TicketNotTradable(order.ticketId, ticket.epoch, ticket.openedInBatch);
        }
        if (order.clientId == 0) revert IClearingHouse.ZeroClientId(order.ticketId);
        if (order.quantity > MAX_QUANTITY) revert IClearingHouse.QuantityOutOfRange(order.quantity);
        Signatures.requireOrder(domainSeparator, ticket.sessionKey, order);
    }

    function _fill(
        State storage s,
        Session memory session,
        SignedOrder[] calldata orders,
        Fill[] calldata fills,
        uint256 i
    ) private {
        Fill calldata fill = fills[i];
        SignedOrder calldata maker = orders[fill.maker];
        SignedOrder calldata taker = orders[fill.taker];
        _advance(session, fill);
        if (maker.ticketId == taker.ticketId) revert IClearingHouse.SameTicket(maker.ticketId);
        Ticket memory makerTicket = s.tickets[maker.ticketId];
        Ticket memory takerTicket = s.tickets[taker.ticketId];
        if (makerTicket.slot != takerTicket.slot) {
            revert IClearingHouse.DifferentMarkets(makerTicket.slot, takerTicket.slot);
        }
        if (makerTicket.slot != session.slot) _enterMarket(s, session, makerTicket.slot);
        _checkPair(maker, taker);
        // `earliest` is this fill's execution time by now.
        if (session.earliest == session.auctionTime) _checkAuction(s, session, maker, taker, fill.price);
        else _checkMakerPrice(maker, taker, fill.price);
        _checkLimits(session.market, fill.price);
        _use(s, makerTicket, maker, fill);
        uint256 takerFilled = _use(s, takerTicket, taker, fill);
        _checkImmediate(taker, takerFilled, fills, i);

        uint256 makerFee = _trade(session, makerTicket, maker, fill);
        uint256 takerFee = _trade(session, takerTicket, taker, fill);
        s.tickets[maker.ticketId] = makerTicket;
        s.tickets[taker.ticketId] = takerTicket;
        session.fees += makerFee + takerFee;
        SettlementPrice.record(s.volumes[session.epoch][session.slot], fill.execTime, fill.price, fill.quantity);
        emit IClearingHouse.Filled(
            maker.ticketId,
            taker.ticketId,
            fill.seq,
            fill.n,
            fill.execTime,
            makerTicket.slot,
            taker.side == Side.Buy,
            fill.price,
            fill.quantity,
            makerFee,
            takerFee
        );
    }

    // (seq, n) strictly increases over all batches; execution times do not fall and lie inside the trading day.
    function _advance(Session memory session, Fill calldata fill) private pure {
        (uint64 lastSeq, uint32 lastN) = (session.lastSeq, session.lastN);
        if (fill.seq < lastSeq || (fill.seq == lastSeq && fill.n <= lastN)) {
            revert IClearingHouse.FillOutOfOrder(fill.seq, fill.n, lastSeq, lastN);
        }
        // A bad operator must not be able to use the numbers up.
        if (fill.seq - lastSeq > MAX_SEQ_STEP) revert IClearingHouse.SeqTooFar(fill.seq, lastSeq);
        if (fill.makerPrioritySeq > fill.seq) {
            revert IClearingHouse.PriorityAfterFill(fill.makerPrioritySeq, fill.seq);
        }
        if (fill.execTime < session.earliest || fill.execTime > session.latest) {
            revert IClearingHouse.ExecTimeOutOfRange(fill.execTime, session.earliest, session.latest);
        }
        session.lastSeq = fill.seq;
        session.lastN = fill.n;
        session.earliest = fill.execTime;
    }

    // An immediate order trades in one run of fills, with one sequence number; fill-or-kill trades all of it there.
    function _checkImmediate(
        SignedOrder calldata taker,
        uint256 filled,
        Fill[] calldata fills,
        uint256 i
    ) private pure {
        if (taker.timeInForce == TimeInForce.GoodTillCancelled) return;
        Fill calldata fill = fills[i];
        bool starts = i == 0 || fills[i - 1].taker != fill.taker || fills[i - 1].seq != fill.seq;
        if (starts && filled != fill.quantity) revert IClearingHouse.NotImmediate(taker.ticketId, taker.clientId);
        bool ends = i + 1 == fills.length || fills[i + 1].taker != fill.taker || fills[i + 1].seq != fill.seq;
        bool unfilled = taker.timeInForce == TimeInForce.FillOrKill && filled != taker.quantity;
        if (ends && unfilled) {
            revert IClearingHouse.FillOrKillUnfilled(taker.ticketId, taker.clientId, filled, taker.quantity);
        }
    }

    function _checkPair(SignedOrder calldata maker, SignedOrder calldata taker) private pure {
        if (maker.side == taker.side) revert IClearingHouse.SameSide();
        if (maker.timeInForce != TimeInForce.GoodTillCancelled) {
            revert IClearingHouse.MakerCannotRest(maker.ticketId);
        }
        if (taker.postOnly) revert IClearingHouse.PostOnlyTakes(taker.ticketId);
    }

    function _checkMakerPrice(SignedOrder calldata maker, SignedOrder calldata taker, int88 price) private pure {
        (int88 buyPrice, int88 sellPrice) = maker.side == Side.Buy
            ? (maker.limitPrice, taker.limitPrice)
            : (taker.limitPrice, maker.limitPrice);
        if (buyPrice < sellPrice) revert IClearingHouse.NotCrossing(buyPrice, sellPrice);
        if (price != maker.limitPrice) revert IClearingHouse.NotMakerPrice(price, maker.limitPrice);
    }

    function _checkLimits(FillTerms memory market, int88 price) private pure {
        int256 down = int256(market.centre) - int256(uint256(market.priceLimit));
        int256 up = int256(market.centre) + int256(uint256(market.priceLimit));
        if (price < down || price > up) revert IClearingHouse.OffLimits(price, down, up);
        if (price % int256(uint256(market.tick)) != 0) revert IClearingHouse.OffTick(price, market.tick);
    }

    // In the auction both orders rested, and all trade at the price of the market's first auction fill of the epoch.
    function _checkAuction(
        State storage s,
        Session memory session,
        SignedOrder calldata maker,
        SignedOrder calldata taker,
        int88 price
    ) private {
        if (maker.postOnly) revert IClearingHouse.NotForAuction(maker.ticketId);
        if (taker.timeInForce != TimeInForce.GoodTillCancelled) revert IClearingHouse.NotForAuction(taker.ticketId);
        _requireWithinLimit(maker, price);
        _requireWithinLimit(taker, price);
        FillTerms memory market = session.market;
        if (market.auctioned) {
            if (price != market.auctionPrice) revert IClearingHouse.OtherAuctionPrice(price, market.auctionPrice);
            return;
        }
        (market.auctioned, market.auctionPrice) = (true, price);
        EpochMarket storage kept = s.markets[session.epoch][session.slot];
        (kept.auctioned, kept.auctionPrice) = (true, price);
    }

    function _requireWithinLimit(SignedOrder calldata order, int88 price) private pure {
        bool worse = order.side == Side.Buy ? price > order.limitPrice : price < order.limitPrice;
        if (worse) revert IClearingHouse.BeyondOrder(order.ticketId, price, order.limitPrice);
    }

    // Consumes the order's quantity; returns how much of it is filled. The first order that fills on a ticket is remembered
    // beside its cash, later ones in a map: one order a ticket is the rule, and this saves it a fresh storage word.
    function _use(
        State storage s,
        Ticket memory ticket,
        SignedOrder calldata order,
        Fill calldata fill
    ) private returns (uint256) {
        if (fill.execTime > order.expiry) {
            revert IClearingHouse.OrderExpired(order.ticketId, order.expiry, fill.execTime);
        }
        if (fill.quantity == 0 || fill.quantity > MAX_QUANTITY) {
            revert IClearingHouse.QuantityOutOfRange(fill.quantity);
        }
        if (ticket.clientId == 0) ticket.clientId = order.clientId;
        if (ticket.clientId == order.clientId) {
            (ticket.filled, ticket.revision) = _consume(ticket.filled, ticket.revision, order, fill.quantity);
            return ticket.filled;
        }
        OrderState storage state = s.laterOrders[order.ticketId][order.clientId];
        (state.filled, state.revision) = _consume(state.filled, state.revision, order, fill.quantity);
        return state.filled;
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
        Session memory session,
        Ticket memory ticket,
        SignedOrder calldata order,
        Fill calldata fill
    ) private pure returns (uint256 fee) {
        (FillTerms memory market, TicketSums memory sums) = (session.market, session.sums);
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
