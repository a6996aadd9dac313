// SPDX-License-Identifier: GPL-3.0-only
pragma solidity 0.8.37;

import {IClearingHouse} from "../interfaces/IClearingHouse.sol";
import {Margin} from "./Margin.sol";
import {NoteTree} from "./NoteTree.sol";
import {
    ClearingTerms,
    Credit,
    Epoch,
    EpochMarket,
    MARKETS,
    MinuteVolume,
    OrderState,
    Phase,
    Seat,
    Stake,
    Ticket,
    TicketSums
} from "./Types.sol";

// Number of the first sleepers' tree; the tree of epoch e has number e. When a sleepers' tree is full the next number
// begins another, and the roots of all of them are kept under the first.
uint256 constant SLEEPERS = 1 << 32;

// A payout ratio of one.
uint64 constant WHOLE = 1e18;

// Everything the clearing house remembers, in one struct so that linked libraries can work on it.
struct State {
    ClearingTerms terms;
    // where the day stands
    uint32 epoch;
    Phase phase;
    uint48 lastBatch;
    uint64 lastSeq;
    uint32 lastN;
    uint64 lastExecTime;
    uint64 lastBatchTime;
    uint64 lastBatchBlock;
    // frozen at the opening of an epoch
    address operator;
    // public buckets; poolCash and poolPosition are the turnstile of the shielded accounts
    int256 poolCash;
    uint256 claims;
    uint256 credits;
    uint256 bonds;
    uint256 fees;
    uint256 owed;
    // Stands for all abandoned positions: what their holders paid for leaving, and what the positions cost since.
    int256 closeOutAccount;
    uint256 operatorStake;
    uint256 guarantyFund;
    // Share of a withdrawal that is paid, in WHOLE.
    uint64 payoutRatio;
    int64[8] poolPosition;
    int64[8] closeOutPosition;
    // What the position of a market brought and cost the close-out account since it last had none.
    int256[8] closeOutCash;
    TicketSums[8] ticketSums;
    // records
    uint256 creditCount;
    uint256 sleepersGeneration;
    mapping(uint32 epoch => Epoch) epochs;
    mapping(uint32 epoch => EpochMarket[8]) markets;
    mapping(uint32 epoch => mapping(uint256 slot => MinuteVolume[])) volumes;
    mapping(uint256 tree => NoteTree.Tree) trees;
    mapping(uint256 tree => uint256 root) newestRoot;
    mapping(uint256 tree => mapping(uint256 root => bool)) roots;
    mapping(uint256 nullifier => bool) spent;
    mapping(uint256 ownerKey => Seat) seats;
    mapping(uint256 creditId => Credit) creditOf;
    mapping(bytes32 ticketId => Ticket) tickets;
    mapping(bytes32 ticketId => mapping(uint64 clientId => OrderState)) laterOrders;
    mapping(address to => uint256) owedTo;
    mapping(uint48 batchNumber => bytes32) fillsHash;
    mapping(uint48 batchNumber => bytes32) logHead;
    mapping(address operator => Stake) stakes;
    mapping(bytes32 digest => bool) usedBids;
}

library StateMath {
    // Pool cash plus the pool's worst value: inside the limits in Trading, at the settlement prices in the Window.
    function poolCover(State storage s) internal view returns (int256 cover) {
        cover = s.poolCash;
        int64[8] memory positions = s.poolPosition;
        for (uint256 slot = 0; slot < MARKETS; slot++) {
            int256 position = positions[slot];
            if (position == 0) continue;
            EpochMarket storage market = s.markets[s.epoch][slot];
            cover =
                s.phase == Phase.Trading
                    ? Margin.equity(cover, position, market.centre, market.priceLimit)
                    : cover + position * market.settlementPrice;
        }
    }

    // The second part of the window begins when part A has had its seconds and its blocks, so that a halt of the chain does
    // not cut it off.
    function inPartB(State storage s) internal view returns (bool) {
        Epoch storage epoch = s.epochs[s.epoch];
        return
            block.timestamp >= uint256(epoch.closedAt) + s.terms.windowA &&
            block.number >= uint256(epoch.closedBlock) + s.terms.windowBlocks;
    }

    // Stamps the block from which on part B's blocks count.
    function markRenewals(State storage s) internal {
        Epoch storage epoch = s.epochs[s.epoch];
        if (s.phase != Phase.Window || epoch.renewalsBlock != 0 || !inPartB(s)) return;
        epoch.renewalsBlock = uint64(block.number);
        emit IClearingHouse.RenewalsBegun(s.epoch, block.number);
    }

    // Half-width at which a position of `market` is closed by default: nothing where the contract expired.
    function feeAtDefault(EpochMarket storage market) internal view returns (uint256) {
        return market.expired ? 0 : market.closeOutFee;
    }
}
