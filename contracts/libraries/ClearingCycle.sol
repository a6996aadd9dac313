// SPDX-License-Identifier: GPL-3.0-only
pragma solidity 0.8.37;

import {IClearingHouse} from "../interfaces/IClearingHouse.sol";
import {IMarketRegistry} from "../interfaces/IMarketRegistry.sol";
import {State, StateMath, WHOLE} from "./ClearingState.sol";
import {CloseOut} from "./CloseOut.sol";
import {FinalPrice} from "./FinalPrice.sol";
import {Margin} from "./Margin.sol";
import {SettlementPrice} from "./SettlementPrice.sol";
import {Signatures} from "./Signatures.sol";
import {Waterfall} from "./Waterfall.sol";
import {
    Epoch,
    EpochMarket,
    MARKETS,
    MarketTerms,
    MinuteVolume,
    OrderState,
    Phase,
    RestingQuote,
    Side,
    SignedOrder,
    Ticket,
    TimeInForce
} from "./Types.sol";

// The clearing cycle: Trading -> close -> Window -> open -> Trading. Linked, not inlined, for its size.
library ClearingCycle {
    using StateMath for State;
    // Days of one contract whose mean settles it at its end.
    uint32 private constant FINAL_DAYS = 3;
    // Half the circuit's range of prices: a band around a settlement price fits it.
    int256 private constant PRICE_RANGE = 1 << 79;

    // Opens the first epoch with the registry's terms.
    function start(State storage s, IMarketRegistry registry) public {
        s.epoch = 1;
        s.payoutRatio = WHOLE;
        for (uint8 slot = 0; slot < MARKETS; slot++) _list(s, 1, slot, registry.termsOf(slot));
        _beginTrading(s, registry);
    }

    // Prices the day and freezes the next epoch's limits and bands around it.
    function close(
        State storage s,
        IMarketRegistry registry,
        bytes32 domainSeparator,
        RestingQuote[] calldata quotes,
        bool byOperator
    ) public {
        if (s.phase != Phase.Trading) revert IClearingHouse.NotInPhase(Phase.Trading);
        Epoch storage epoch = s.epochs[s.epoch];
        uint256 earliest = epoch.closingTime + (byOperator ? 0 : s.terms.settleGrace);
        if (block.timestamp < earliest) revert IClearingHouse.TooEarly(earliest, block.timestamp);
        if (!byOperator && quotes.length > 0) revert IClearingHouse.QuotesOnlyByOperator();

        (int256[8] memory bids, int256[8] memory asks) = _restingQuotes(s, domainSeparator, quotes);
        for (uint8 slot = 0; slot < MARKETS; slot++) {
            EpochMarket storage market = s.markets[s.epoch][slot];
            if (market.listed) _settle(s, market, slot, bids[slot], asks[slot]);
        }
        epoch.quotesHash = keccak256(abi.encode(quotes));
        epoch.closedAt = uint64(block.timestamp);
        epoch.closedBlock = uint64(block.number);
        s.phase = Phase.Window;
        Waterfall.tearUp(s);
        int88[8] memory prices;
        uint8 expiring;
        for (uint8 slot = 0; slot < MARKETS; slot++) {
            EpochMarket storage market = s.markets[s.epoch][slot];
            prices[slot] = market.settlementPrice;
            if (market.expired) expiring |= uint8(1 << slot);
            _rollOver(s, slot, registry.termsOf(slot));
        }
        emit IClearingHouse.EpochClosed(s.epoch, prices, expiring);
    }

    // Stamps the beginning of part B, if nobody did yet. The blocks that traders get there count from the stamp, so that a
    // chain that stood still costs nobody a bond.
    function beginRenewals(State storage s) public {
        if (s.phase != Phase.Window) revert IClearingHouse.NotInPhase(Phase.Window);
        Epoch storage epoch = s.epochs[s.epoch];
        uint256 earliest = uint256(epoch.closedAt) + s.terms.windowA;
        if (block.timestamp < earliest) revert IClearingHouse.TooEarly(earliest, block.timestamp);
        uint256 earliestBlock = uint256(epoch.closedBlock) + s.terms.windowBlocks;
        if (block.number < earliestBlock) revert IClearingHouse.BlocksMissing(earliestBlock, block.number);
        s.markRenewals();
    }

    // Lets a day end early on which a market does nothing but wait at its limit, so that margin is called now.
    function closeEarly(State storage s, uint8 slot) public {
        if (s.phase != Phase.Trading) revert IClearingHouse.NotInPhase(Phase.Trading);
        if (slot >= MARKETS) revert IClearingHouse.SlotOutOfRange(slot);
        Epoch storage epoch = s.epochs[s.epoch];
        uint64 lockTime = s.terms.lockTime;
        uint64 closingTime = uint64(block.timestamp) + s.terms.lockNotice;
        if (lockTime == 0 || epoch.movedUp || closingTime >= epoch.closingTime) {
            revert IClearingHouse.NotMovable(s.epoch, epoch.closingTime);
        }
        uint256 earliest = uint256(epoch.openedAt) + s.terms.callAuction + lockTime;
        if (block.timestamp < earliest) revert IClearingHouse.TooEarly(earliest, block.timestamp);
        EpochMarket storage market = s.markets[s.epoch][slot];
        if (!market.listed) revert IClearingHouse.MarketNotListed(slot);
        (uint256 volume, int256 value) = SettlementPrice.since(
            s.volumes[s.epoch][slot],
            uint64(block.timestamp) - lockTime
        );
        (int256 down, int256 up) = _reachable(market);
        // No fill is beyond a limit: only if all are at it their mean is.
        bool locked = value == int256(volume) * up || value == int256(volume) * down;
        if (volume < market.minimumVolume || !locked) revert IClearingHouse.NotLocked(slot, volume, value);
        epoch.closingTime = closingTime;
        epoch.movedUp = true;
        emit IClearingHouse.ClosingMovedUp(s.epoch, slot, closingTime);
    }

    // Ends the window: books what was left over, covers a gap of the pool and begins the next trading day.
    function open(State storage s, IMarketRegistry registry) public {
        if (s.phase != Phase.Window) revert IClearingHouse.NotInPhase(Phase.Window);
        Epoch storage epoch = s.epochs[s.epoch];
        uint256 earliest = uint256(epoch.closedAt) + s.terms.windowA + s.terms.windowB;
        if (block.timestamp < earliest) revert IClearingHouse.TooEarly(earliest, block.timestamp);
        if (epoch.renewalsBlock == 0) revert IClearingHouse.RenewalsNotBegun();
        uint256 earliestBlock = uint256(epoch.renewalsBlock) + s.terms.windowBlocks;
        if (block.number < earliestBlock) revert IClearingHouse.BlocksMissing(earliestBlock, block.number);

        for (uint8 slot = 0; slot < MARKETS; slot++) {
            if (s.markets[s.epoch][slot].listed) CloseOut.bookLeftOver(s, slot);
        }
        address operator = s.operator;
        s.epoch++;
        _beginTrading(s, registry);
        Waterfall.cover(s, operator);
    }

    function _beginTrading(State storage s, IMarketRegistry registry) private {
        s.operator = registry.operator();
        Epoch storage epoch = s.epochs[s.epoch];
        epoch.openedAt = uint64(block.timestamp);
        epoch.closingTime = uint64(block.timestamp) + s.terms.tradingTime;
        s.phase = Phase.Trading;
        // Roots from before this moment stay unknown: a first action proven under one would hide among few.
        uint256 root = s.newestRoot[s.epoch];
        if (root != 0) s.roots[s.epoch][root] = true;
        emit IClearingHouse.EpochOpened(s.epoch, epoch.closingTime, root);
    }

    // ---------------------------------------------------------------- close

    function _settle(State storage s, EpochMarket storage market, uint8 slot, int256 bid, int256 ask) private {
        MinuteVolume[] storage volumes = s.volumes[s.epoch][slot];
        uint64 windowStart = s.epochs[s.epoch].closingTime - s.terms.settlementWindow;
        (int256 down, int256 up) = _reachable(market);
        bid = SettlementPrice.clamp(bid, down, up);
        ask = SettlementPrice.clamp(ask, down, up);
        if (bid > ask) (bid, ask) = (down, up);

        (uint8 tier, int256 price) = SettlementPrice.tierPrice(market, volumes, windowStart);
        if (tier > 1) price = SettlementPrice.clamp(price, bid, ask);
        price = SettlementPrice.clamp(price, down, up);
        market.settlementPrice = int88(price);
        emit IClearingHouse.SettlementPriced(s.epoch, slot, tier, int88(bid), int88(ask), int88(price));
        if (market.lastTradingTime <= s.epochs[s.epoch].closingTime) _settleFinally(s, market, slot, down, up);
    }

    // Prices that the day can settle at: inside its limits and inside the circuit's range, whole ticks.
    function _reachable(EpochMarket storage market) private view returns (int256 down, int256 up) {
        int256 tick = int256(uint256(market.tick));
        int256 last = PRICE_RANGE - (PRICE_RANGE % tick);
        down = SettlementPrice.clamp(int256(market.centre) - int256(uint256(market.priceLimit)), -last, last);
        up = SettlementPrice.clamp(int256(market.centre) + int256(uint256(market.priceLimit)), -last, last);
    }

    // At the end of a contract its feed's price counts; without one the mean of its last daily prices, once it has so many:
    // one day's price is too cheap to move. A price that the limits cut off does not end it.
    function _settleFinally(State storage s, EpochMarket storage market, uint8 slot, int256 down, int256 up) private {
        int256 sum;
        uint256 count;
        for (uint32 back = 0; back < FINAL_DAYS && back < s.epoch; back++) {
            EpochMarket storage day = s.markets[s.epoch - back][slot];
            if (day.contractId != market.contractId) break;
            sum += day.settlementPrice;
            count++;
        }
        (bool fed, int256 price) = FinalPrice.fromFeed(market);
        if (!fed) {
            if (count < FINAL_DAYS) return;
            price = SettlementPrice.roundToTick(sum, count, int256(uint256(market.tick)), market.centre);
        }
        market.expired = price >= down && price <= up;
        market.settlementPrice = int88(SettlementPrice.clamp(price, down, up));
        emit IClearingHouse.FinalPriced(s.epoch, slot, fed, market.settlementPrice, market.expired);
    }

    // The attested best prices at which the minimum volume rested; a side without attestation is open.
    function _restingQuotes(
        State storage s,
        bytes32 domainSeparator,
        RestingQuote[] calldata quotes
    ) private view returns (int256[8] memory bids, int256[8] memory asks) {
        for (uint256 slot = 0; slot < MARKETS; slot++) (bids[slot], asks[slot]) = (type(int88).min, type(int88).max);
        for (uint256 i = 0; i < quotes.length; i++) {
            uint8 slot = quotes[i].slot;
            if (slot >= MARKETS) revert IClearingHouse.SlotOutOfRange(slot);
            if (i > 0 && slot <= quotes[i - 1].slot) revert IClearingHouse.QuoteSlotsNotSorted(slot);
            if (quotes[i].bids.length > 0) bids[slot] = _worst(s, domainSeparator, slot, Side.Buy, quotes[i].bids);
            if (quotes[i].asks.length > 0) asks[slot] = _worst(s, domainSeparator, slot, Side.Sell, quotes[i].asks);
        }
    }

    function _worst(
        State storage s,
        bytes32 domainSeparator,
        uint8 slot,
        Side side,
        SignedOrder[] calldata orders
    ) private view returns (int256 worst) {
        EpochMarket storage market = s.markets[s.epoch][slot];
        uint256 volume;
        int256 cash;
        int256 position;
        worst = orders[0].limitPrice;
        for (uint256 i = 0; i < orders.length; i++) {
            SignedOrder calldata order = orders[i];
            if (i > 0 && !_sortedBefore(orders[i - 1], order)) {
                revert IClearingHouse.QuoteNotSorted(order.ticketId, order.clientId);
            }
            Ticket storage ticket = s.tickets[order.ticketId];
            if (!_couldRest(s, market, ticket, order, slot, side)) revert IClearingHouse.QuoteMismatch(order.ticketId);
            Signatures.requireOrder(domainSeparator, ticket.sessionKey, order);
            uint256 remaining = _remaining(s, ticket, order);
            volume += remaining;
            if (i == 0 || orders[i - 1].ticketId != order.ticketId) (cash, position) = (ticket.cash, ticket.position);
            int256 traded = side == Side.Buy ? int256(remaining) : -int256(remaining);
            (cash, position) = (cash - traded * order.limitPrice, position + traded);
            if (remaining > 0) _requirePayable(market, ticket, order.ticketId, cash, position);
            bool lower = order.limitPrice < worst;
            if (lower == (side == Side.Buy)) worst = order.limitPrice;
        }
        if (volume < market.minimumVolume) return side == Side.Buy ? type(int88).min : type(int88).max;
    }

    // An order that nobody could have traded with proves nothing about the market.
    function _couldRest(
        State storage s,
        EpochMarket storage market,
        Ticket storage ticket,
        SignedOrder calldata order,
        uint8 slot,
        Side side
    ) private view returns (bool) {
        Epoch storage epoch = s.epochs[s.epoch];
        bool early = epoch.firstBatchInWindow == 0 || ticket.openedInBatch < epoch.firstBatchInWindow;
        int256 distance = int256(order.limitPrice) - market.centre;
        return
            early &&
            ticket.epoch == s.epoch &&
            ticket.slot == slot &&
            order.side == side &&
            order.clientId != 0 &&
            order.quantity <= uint32(type(int32).max) &&
            order.timeInForce == TimeInForce.GoodTillCancelled &&
            order.expiry >= epoch.closingTime &&
            Margin.magnitude(distance) <= market.priceLimit &&
            order.limitPrice % int256(uint256(market.tick)) == 0;
    }

    function _requirePayable(
        EpochMarket storage market,
        Ticket storage ticket,
        bytes32 ticketId,
        int256 cash,
        int256 position
    ) private view {
        bool reducing = Margin.reduces(ticket.position, position);
        uint256 halfWidth = reducing ? market.maintenanceMargin : market.initialMargin;
        bool allowed = reducing || !ticket.reduceOnly;
        if (!allowed || Margin.equity(cash, position, market.centre, halfWidth) < 0) {
            revert IClearingHouse.QuoteMismatch(ticketId);
        }
    }

    function _sortedBefore(SignedOrder calldata a, SignedOrder calldata b) private pure returns (bool) {
        return a.ticketId < b.ticketId || (a.ticketId == b.ticketId && a.clientId < b.clientId);
    }

    function _remaining(
        State storage s,
        Ticket storage ticket,
        SignedOrder calldata order
    ) private view returns (uint256) {
        OrderState memory state =
            ticket.clientId == order.clientId
                ? OrderState(ticket.filled, ticket.revision)
                : s.laterOrders[order.ticketId][order.clientId];
        bool live = order.revision >= state.revision && order.quantity > state.filled;
        return live ? order.quantity - state.filled : 0;
    }

    // Carries a contract into the next epoch around its settlement price, or lists a new one in a free slot.
    function _rollOver(State storage s, uint8 slot, MarketTerms memory terms) private {
        EpochMarket storage market = s.markets[s.epoch][slot];
        if (!market.listed || (market.expired && !market.tornUp)) {
            if (terms.contractId != market.contractId && terms.lastTradingTime > block.timestamp) {
                _list(s, s.epoch + 1, slot, terms);
            }
            return;
        }
        EpochMarket storage next = s.markets[s.epoch + 1][slot];
        if (_mayFollow(market, terms)) {
            _list(s, s.epoch + 1, slot, terms);
        } else {
            next.contractId = market.contractId;
            next.listed = true;
            next.dailyLimit = market.dailyLimit;
            next.expandedLimit = market.expandedLimit;
            next.maintenanceMargin = market.maintenanceMargin;
            next.initialMargin = market.initialMargin;
            next.closeOutFee = market.closeOutFee;
            next.tick = market.tick;
            next.fillFee = market.fillFee;
            next.minimumVolume = market.minimumVolume;
            next.minimumMinutes = market.minimumMinutes;
            next.lastTradingTime = market.lastTradingTime;
            next.priceFeed = market.priceFeed;
            next.priceCollar = market.priceCollar;
            next.feedMultiplier = market.feedMultiplier;
            next.feedMaxAge = market.feedMaxAge;
        }
        next.centre = market.settlementPrice;
        bool atLimit = Margin.magnitude(int256(next.centre) - market.centre) >= market.priceLimit;
        next.priceLimit = atLimit ? next.expandedLimit : next.dailyLimit;
        next.closingOnly = market.lastTradingTime <= s.epochs[s.epoch].closingTime;
    }

    // New terms of a running contract take effect only if, measured by those it really runs on, dropping out at the day's
    // end stays no free option. The registry checks the same against what was published; a late cycle may differ.
    function _mayFollow(EpochMarket storage market, MarketTerms memory terms) private view returns (bool) {
        return
            terms.contractId == market.contractId &&
            terms.tick == market.tick &&
            terms.lastTradingTime == market.lastTradingTime &&
            terms.priceFeed == market.priceFeed &&
            terms.feedMultiplier == market.feedMultiplier &&
            terms.expandedLimit <= market.closeOutFee &&
            terms.initialMargin >= market.closeOutFee;
    }

    function _list(State storage s, uint32 epoch, uint8 slot, MarketTerms memory terms) private {
        if (terms.contractId == 0) return;
        s.markets[epoch][slot] = EpochMarket({
            contractId: terms.contractId,
            centre: terms.listingPrice,
            priceLimit: terms.priceLimit,
            maintenanceMargin: terms.maintenanceMargin,
            listed: true,
            initialMargin: terms.initialMargin,
            closeOutFee: terms.closeOutFee,
            tick: terms.tick,
            minimumMinutes: terms.minimumMinutes,
            fillFee: terms.fillFee,
            minimumVolume: terms.minimumVolume,
            settlementPrice: 0,
            expired: false,
            closingOnly: false,
            lastTradingTime: terms.lastTradingTime,
            auctionPrice: 0,
            auctioned: false,
            tornUp: false,
            expandedLimit: terms.expandedLimit,
            dailyLimit: terms.priceLimit,
            priceFeed: terms.priceFeed,
            priceCollar: terms.priceCollar,
            feedMultiplier: terms.feedMultiplier,
            feedMaxAge: terms.feedMaxAge
        });
    }
}
