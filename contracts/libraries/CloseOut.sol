// SPDX-License-Identifier: GPL-3.0-only
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {IClearingHouse} from "../interfaces/IClearingHouse.sol";
import {State, StateMath} from "./ClearingState.sol";
import {Margin} from "./Margin.sol";
import {Signatures} from "./Signatures.sol";
import {AuctionBid, EpochMarket, MARKETS, Phase, Ticket, TicketSums} from "./Types.sol";

// Positions that nobody answers for any more: booked when a day opens, and sold in part A of the next window, where no
// matching goes on that a sale could disturb. Linked, not inlined, for its size.
library CloseOut {
    using StateMath for State;
    using StateMath for EpochMarket;

    // Tickets left open are closed at the default price from their running sums: no loop over tickets.
    function bookLeftOver(State storage s, uint8 slot) public {
        EpochMarket storage market = s.markets[s.epoch][slot];
        TicketSums memory sums = s.ticketSums[slot];
        if (sums.cash != 0 || sums.gross != 0) {
            int256 atSettlement = int256(sums.net) * market.settlementPrice;
            int256 fees = int256(uint256(sums.gross) * market.feeAtDefault());
            int256 claims = int256(sums.cash) + atSettlement - fees;
            // Margin keeps every claim payable; should that ever fail, the account bears it and the cycle goes on.
            _book(s, slot, fees - atSettlement + (claims < 0 ? claims : int256(0)), sums.net);
            if (claims < 0) claims = 0;
            s.claims += uint256(claims);
            delete s.ticketSums[slot];
            emit IClearingHouse.LeftOverTickets(s.epoch, slot, uint256(claims), sums.net, sums.gross);
        }
        if (market.expired) _expire(s, market, slot);
    }

    // A contract that ends becomes cash everywhere; what the notes do at renewal the turnstile does here.
    function _expire(State storage s, EpochMarket storage market, uint8 slot) private {
        s.poolCash += int256(s.poolPosition[slot]) * market.settlementPrice;
        s.poolPosition[slot] = 0;
        int64 position = s.closeOutPosition[slot];
        _book(s, slot, int256(position) * market.settlementPrice, -position);
    }

    // Cash and contracts that the close-out account receives in a market.
    function _book(State storage s, uint8 slot, int256 cash, int64 contracts) private {
        int64 position = s.closeOutPosition[slot] + contracts;
        s.closeOutPosition[slot] = position;
        s.closeOutCash[slot] = position == 0 ? int256(0) : s.closeOutCash[slot] + cash;
        s.closeOutAccount += cash;
    }

    // ---------------------------------------------------------------- auction

    // What is for sale, and its price now: it starts at the settlement price and gives way over part A, by as much as the
    // drop-outs paid for leaving.
    function auctionPrice(State storage s, uint8 slot) public view returns (int64 position, int88 price) {
        if (slot >= MARKETS) revert IClearingHouse.SlotOutOfRange(slot);
        EpochMarket storage market = s.markets[s.epoch][slot];
        position = s.closeOutPosition[slot];
        if (s.phase != Phase.Window || s.inPartB() || !market.listed || market.expired) return (0, 0);
        uint256 elapsed = block.timestamp - s.epochs[s.epoch].closedAt;
        if (elapsed > s.terms.windowA) elapsed = s.terms.windowA;
        uint256 concession = (uint256(market.closeOutFee) * elapsed) / s.terms.windowA;
        concession -= concession % market.tick;
        int256 shift = position > 0 ? -int256(concession) : int256(concession);
        price = int88(market.settlementPrice + shift);
    }

    // Moves what the bid asks for, as far as there is any, into its ticket at the price of this moment. The ticket must
    // stand the initial band of the coming day with it.
    function take(State storage s, bytes32 domainSeparator, AuctionBid calldata bid) public {
        Ticket storage ticket = s.tickets[bid.ticketId];
        if (ticket.epoch == 0) revert IClearingHouse.UnknownTicket(bid.ticketId);
        if (ticket.epoch != s.epoch) revert IClearingHouse.TicketNotTradable(bid.ticketId, ticket.epoch, 0);
        _useSignature(s, domainSeparator, ticket.sessionKey, bid);
        (int64 available, int88 price) = auctionPrice(s, ticket.slot);
        int256 taken = _quantityOf(bid, available);
        bool tooDear = taken > 0 ? price > bid.limitPrice : price < bid.limitPrice;
        if (tooDear) revert IClearingHouse.BeyondOrder(bid.ticketId, price, bid.limitPrice);

        (int256 cash, int256 position) = (ticket.cash - taken * price, ticket.position + taken);
        _checkTaker(s, ticket, bid.ticketId, cash, position);
        TicketSums storage sums = s.ticketSums[ticket.slot];
        sums.cash += int128(cash - ticket.cash);
        sums.net += int64(taken);
        sums.gross = sums.gross - uint64(Margin.magnitude(ticket.position)) + uint64(Margin.magnitude(position));
        (ticket.cash, ticket.position) = (int120(cash), int32(position));
        _book(s, ticket.slot, taken * price, -int64(taken));
        emit IClearingHouse.AbandonedTaken(s.epoch, ticket.slot, bid.ticketId, int32(taken), price);
    }

    // A bid counts once, whoever sends it.
    function _useSignature(
        State storage s,
        bytes32 domainSeparator,
        address sessionKey,
        AuctionBid calldata bid
    ) private {
        bytes32 digest = Signatures.bidDigest(domainSeparator, bid);
        if (s.usedBids[digest]) revert IClearingHouse.BidUsed(bid.ticketId);
        s.usedBids[digest] = true;
        address signer = ECDSA.recover(digest, bid.r, bid.vs);
        if (signer != sessionKey) revert IClearingHouse.WrongSigner(signer, sessionKey);
    }

    function _quantityOf(AuctionBid calldata bid, int64 available) private pure returns (int256) {
        bool sameSide = available > 0 == bid.quantity > 0;
        if (available == 0 || bid.quantity == 0 || !sameSide) {
            revert IClearingHouse.NothingToTake(bid.ticketId, bid.quantity, available);
        }
        bool all = Margin.magnitude(bid.quantity) >= Margin.magnitude(available);
        return all ? int256(available) : int256(bid.quantity);
    }

    function _checkTaker(
        State storage s,
        Ticket storage ticket,
        bytes32 ticketId,
        int256 cash,
        int256 position
    ) private view {
        if (Margin.magnitude(position) >= uint256(Margin.POSITION_LIMIT)) {
            revert IClearingHouse.PositionOutOfRange(position);
        }
        if (cash != int120(cash)) revert IClearingHouse.AmountOutOfRange(cash);
        EpochMarket storage next = s.markets[s.epoch + 1][ticket.slot];
        bool mustReduce = ticket.reduceOnly || next.closingOnly;
        if (mustReduce && !Margin.reduces(ticket.position, position)) {
            revert IClearingHouse.NotReducing(ticketId, ticket.position, position);
        }
        int256 equity = Margin.equity(cash, position, next.centre, next.initialMargin);
        if (equity < 0) revert IClearingHouse.TicketBelowMargin(ticketId, equity);
    }
}
