// SPDX-License-Identifier: GPL-3.0-only
pragma solidity 0.8.37;

// Words shared by every contract. Prices, margins and fees are collateral base units per contract, positions signed
// whole contracts (|p| < 2^31). Units and rules: spec/.

uint256 constant MARKETS = 8;
// Longer in value than any cash: a note with a position cannot pass a valuation at -/+ BIG, a flat one always does.
uint256 constant BIG = 1 << 128;

enum Phase {
    Trading,
    Window
}

// Entering actions first: a batch applies them before its fills, the others after.
enum Action {
    Fund,
    OpenTicket,
    Wake,
    Rejoin,
    CloseTicket,
    ClaimTicket,
    Withdraw,
    Renew,
    Sleep,
    Exit,
    CloseSeat
}

// Why a proven transition had no effect.
enum Skip {
    None,
    NullifierSpent,
    CreditUnavailable,
    TicketUnavailable,
    SeatUnavailable,
    PoolShort,
    TreeFull
}

enum Side {
    Buy,
    Sell
}

enum TimeInForce {
    GoodTillCancelled,
    ImmediateOrCancel,
    FillOrKill
}

enum SeatStatus {
    None,
    Active,
    Asleep,
    Closed
}

// A change of one shielded account. `fields` is the ABI encoding of the struct below that belongs to `action`.
struct Transition {
    Action action;
    uint256 root;
    uint256 nullifier;
    uint256 newNote;
    uint256 seat;
    bytes fields;
    bytes signature;
}

// The public change of a note that a transition's proof was verified with.
struct Delta {
    int256 cashDelta;
    uint256 slot;
    int256 positionDelta;
}

struct FundFields {
    uint256 creditId;
    uint128 amount;
    uint128 relayFee;
}

struct TicketOpening {
    address sessionKey;
    int120 cash;
    int32 position;
    bool reduceOnly;
}

struct OpenTicketFields {
    uint8 slot;
    uint128 relayFee;
    TicketOpening[] tickets;
}

struct CloseTicketFields {
    bytes32 ticketId;
    uint8 slot;
    int120 cash;
    int32 position;
    uint128 relayFee;
}

struct ClaimTicketFields {
    bytes32 ticketId;
    uint128 claim;
    uint128 relayFee;
}

struct WithdrawFields {
    address to;
    uint128 amount;
    uint128 relayFee;
}

// Of Renew and Sleep.
struct SeatFields {
    uint128 relayFee;
}

struct RejoinFields {
    uint32 defaultEpoch;
    bool flat;
}

struct ExitFields {
    uint32 defaultEpoch;
    bool flat;
    address to;
    uint128 equity;
}

struct CloseSeatFields {
    bool asleep;
    address to;
    uint128 relayFee;
}

// An EIP-712 message of a ticket's session key; (r, vs) is its compact signature.
struct SignedOrder {
    bytes32 ticketId;
    uint64 clientId;
    uint8 revision;
    Side side;
    int88 limitPrice;
    uint32 quantity;
    TimeInForce timeInForce;
    bool postOnly;
    uint64 expiry;
    bytes32 r;
    bytes32 vs;
}

// `maker` and `taker` index the orders of the same batch.
struct Fill {
    uint16 maker;
    uint16 taker;
    uint32 quantity;
    int88 price;
    uint64 seq;
    uint32 n;
    uint64 makerPrioritySeq;
    uint64 execTime;
}

// Orders that rested through the settlement window in one market, on each side sorted by (ticketId, clientId).
struct RestingQuote {
    uint8 slot;
    SignedOrder[] bids;
    SignedOrder[] asks;
}

// The ticket's offer to take over contracts that drop-outs left behind: it buys for `quantity` above zero, up to
// `limitPrice`. An EIP-712 message of the ticket's session key.
struct AuctionBid {
    bytes32 ticketId;
    int32 quantity;
    int88 limitPrice;
    bytes32 r;
    bytes32 vs;
}

// Terms of a contract as governance publishes them. `expandedLimit` holds on the day after one that settled at its limit.
// `priceCollar` binds incoming orders, at the exchange only. A feed's answer of 1.0 stands for `feedMultiplier` base units
// per contract; without a feed `priceFeed` is 0.
struct MarketTerms {
    bytes32 contractId;
    int88 listingPrice;
    uint80 tick;
    uint80 priceLimit;
    uint80 expandedLimit;
    uint80 maintenanceMargin;
    uint80 initialMargin;
    uint80 closeOutFee;
    uint80 fillFee;
    uint32 minimumVolume;
    uint16 minimumMinutes;
    uint64 lastTradingTime;
    uint80 priceCollar;
    address priceFeed;
    uint64 feedMultiplier;
    uint32 feedMaxAge;
}

// Terms of the clearing house itself, fixed for its life. Times in seconds; `callAuction` from the opening of an epoch to
// its call auction, 0 where there is none; `lockTime` at a limit lets a day end `lockNotice` later, never where it is 0.
// What a batch with fills reads stands in one word.
struct ClearingTerms {
    uint128 seatBond;
    uint128 lateFee;
    uint128 relayFee;
    uint32 tradingTime;
    uint32 settleGrace;
    uint32 settlementWindow;
    uint32 callAuction;
    uint32 windowA;
    uint32 windowB;
    uint32 windowBlocks;
    uint32 refundDelay;
    uint32 flatGraceEpochs;
    uint32 lockTime;
    uint32 lockNotice;
    uint128 reporterReward;
}

// One market in one epoch, frozen when the epoch before closes; `settlementPrice`, `expired` and `tornUp` when it closes
// itself. `priceLimit` is the limit in force, `dailyLimit` that of a usual day. `auctionPrice` counts once `auctioned`:
// zero is a price like any other. A market that is torn up counts as expired for all who hold it.
struct EpochMarket {
    bytes32 contractId;
    int88 centre;
    uint80 priceLimit;
    uint80 maintenanceMargin;
    bool listed;
    uint80 initialMargin;
    uint80 closeOutFee;
    uint80 tick;
    uint16 minimumMinutes;
    uint80 fillFee;
    uint32 minimumVolume;
    int88 settlementPrice;
    bool expired;
    bool closingOnly;
    uint64 lastTradingTime;
    int88 auctionPrice;
    bool auctioned;
    bool tornUp;
    uint80 expandedLimit;
    uint80 dailyLimit;
    address priceFeed;
    uint80 priceCollar;
    uint64 feedMultiplier;
    uint32 feedMaxAge;
}

struct Epoch {
    uint64 openedAt;
    uint64 closingTime;
    uint64 closedAt;
    uint64 closedBlock;
    uint32 liveSeats;
    uint32 openTickets;
    uint48 firstBatchInWindow;
    // Block in which part B of the window was first seen to have begun; 0 before.
    uint64 renewalsBlock;
    bool movedUp;
    bytes32 quotesHash;
}

// Layers of the waterfall, in the order in which they pay.
enum WaterfallLayer {
    Defaulter,
    OperatorStake,
    GuarantyFund
}

// What an operator put up to stand in for defaults; it may be taken back in the Trading of epoch `withdrawableIn` only.
struct Stake {
    uint128 amount;
    uint32 withdrawableIn;
}

// A payment that a transition leaves to be made.
struct Payout {
    address to;
    uint256 amount;
}

struct Seat {
    SeatStatus status;
    uint32 lastEpoch;
    uint128 bond;
}

struct Credit {
    address key;
    uint64 refundableAt;
    bool spent;
    address depositor;
    uint128 amount;
}

// First word: what never changes. Second: cash, position and the first order that filled on the ticket.
struct Ticket {
    address sessionKey;
    uint32 epoch;
    uint8 slot;
    bool reduceOnly;
    uint48 openedInBatch;
    int120 cash;
    int32 position;
    uint64 clientId;
    uint32 filled;
    uint8 revision;
}

struct OrderState {
    uint32 filled;
    uint8 revision;
}

// Running sums of the open tickets of one market.
struct TicketSums {
    int128 cash;
    int64 net;
    uint64 gross;
}

// Cumulative volume and value (sum of price * quantity) of an epoch's fills up to and including `minute` (unix time / 60).
struct MinuteVolume {
    uint32 minute;
    uint64 volume;
    int160 value;
}
