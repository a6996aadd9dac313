// SPDX-License-Identifier: GPL-3.0-only
pragma solidity 0.8.37;

import {Proof} from "../libraries/Proof.sol";
import {
    Action,
    AuctionBid,
    ClearingTerms,
    Credit,
    Epoch,
    EpochMarket,
    Fill,
    MinuteVolume,
    Phase,
    RestingQuote,
    Seat,
    SignedOrder,
    Skip,
    Stake,
    Ticket,
    TicketSums,
    Transition,
    WaterfallLayer
} from "../libraries/Types.sol";

/// @title Clearing house of a futures exchange whose accounts are shielded
/// @notice Traders keep cash and positions in notes of a Merkle tree and prove, on each change, that they can pay at
/// the worst price reachable before their next proof. Public sub-accounts (tickets) are funded from notes and traded
/// on. Rule numbers refer to spec/.
/// @dev Every amount is in collateral base units, every time in seconds, every position in whole contracts.
interface IClearingHouse {
    /// @notice Every public bucket, in collateral base units. Their sum is the token balance, but for
    /// tokens that somebody sent without a call (spec CON-1).
    struct Buckets {
        int256 poolCash;
        int256 ticketCash;
        uint256 claims;
        uint256 credits;
        uint256 bonds;
        uint256 fees;
        uint256 owed;
        int256 closeOutAccount;
        uint256 operatorStake;
        uint256 guarantyFund;
    }

    // ---------------------------------------------------------------- events

    /// @notice Notes were inserted as one subtree; a zero leaf is a transition that was skipped.
    event NotesAppended(uint256 indexed tree, uint256 startIndex, uint256[] leaves);
    /// @notice A transition took effect. `epoch` is the epoch it was made in.
    event Transitioned(
        uint256 indexed nullifier,
        Action indexed action,
        uint32 epoch,
        uint256 newNote,
        uint256 seat,
        int256 cashDelta,
        uint256 slot,
        int256 positionDelta
    );
    /// @notice A proven transition had no effect because the chain had moved on.
    event TransitionSkipped(uint256 indexed nullifier, Action indexed action, Skip reason);
    event SeatOpened(uint256 indexed ownerKey, uint32 epoch, uint128 bond);
    /// @notice `amount` went to the close-out account, `reward` to whoever reported the seat.
    event BondForfeited(uint256 indexed ownerKey, uint128 amount, uint128 reward);
    event CreditOpened(uint256 indexed creditId, address indexed key, address indexed depositor, uint128 amount);
    event CreditSpent(uint256 indexed creditId);
    event CreditRefundRequested(uint256 indexed creditId, uint64 refundableAt);
    event CreditRefunded(uint256 indexed creditId, address indexed depositor, uint128 amount);
    event TicketOpened(
        bytes32 indexed ticketId,
        address indexed sessionKey,
        uint32 epoch,
        uint8 slot,
        int120 cash,
        int32 position,
        bool reduceOnly
    );
    event TicketClosed(bytes32 indexed ticketId, int120 cash, int32 position);
    /// @notice A ticket left over from `epoch` was claimed at its default price.
    event TicketClaimed(bytes32 indexed ticketId, uint32 epoch, uint128 claim);
    event Filled(
        bytes32 indexed makerTicket,
        bytes32 indexed takerTicket,
        uint64 seq,
        uint32 n,
        uint64 execTime,
        uint8 slot,
        bool takerBuys,
        int88 price,
        uint32 quantity,
        uint256 makerFee,
        uint256 takerFee
    );
    event BatchSubmitted(uint48 indexed batchNumber, uint32 epoch, bytes32 fillsHash, bytes32 logHead);
    event EpochClosed(uint32 indexed epoch, int88[8] settlementPrice, uint8 expiring);
    event SettlementPriced(uint32 indexed epoch, uint8 indexed slot, uint8 tier, int88 bid, int88 ask, int88 price);
    event LeftOverTickets(uint32 indexed epoch, uint8 indexed slot, uint256 claims, int64 net, uint64 gross);
    /// @notice A contract reached its end: at a feed's price or the mean of its last days. Cut off by the limits it goes on.
    event FinalPriced(uint32 indexed epoch, uint8 indexed slot, bool fromFeed, int88 price, bool expired);
    event ClosingMovedUp(uint32 indexed epoch, uint8 indexed slot, uint64 closingTime);
    event RenewalsBegun(uint32 indexed epoch, uint256 blockNumber);
    /// @notice A ticket took over contracts that drop-outs left: it bought for `quantity` above zero.
    event AbandonedTaken(
        uint32 indexed epoch,
        uint8 indexed slot,
        bytes32 indexed ticketId,
        int32 quantity,
        int88 price
    );
    /// @notice At the opening of `epoch` `need` was missing, and this layer paid so much into the close-out account and
    /// into the pool.
    event WaterfallStep(
        uint32 indexed epoch,
        WaterfallLayer indexed layer,
        uint256 need,
        uint256 toAccount,
        uint256 toPool
    );
    /// @notice No layer can pay a loss: all positions of the market end at `price` in the window of `epoch`.
    event TornUp(uint32 indexed epoch, uint8 indexed slot, int88 price);
    /// @notice From now on this share of a withdrawal is paid; 1e18 is all of it.
    event PayoutRatio(uint32 indexed epoch, uint64 ratio);
    event Staked(address indexed operator, uint128 amount);
    event UnstakeRequested(address indexed operator, uint32 withdrawableIn);
    event Unstaked(address indexed operator, uint128 amount);
    event EpochOpened(uint32 indexed epoch, uint64 closingTime, uint256 root);
    event Paid(address indexed to, uint256 amount);
    /// @notice A payment failed and waits in `owed(to)`.
    event Owed(address indexed to, uint256 amount);
    event FundContributed(address indexed from, uint256 amount);

    // ---------------------------------------------------------------- errors

    error ZeroAmount();
    error DepositTooLarge(uint256 balance, uint256 limit);
    error UnsupportedToken(uint256 expected, uint256 received);
    error InvalidTerms();
    error NotOperator(address caller);
    error WrongBatchNumber(uint48 expected, uint48 current);
    error WrongPhase(Action action, Phase phase, bool windowPartB);
    error RelayedOnly(Action action);
    error DirectOnly(Action action);
    error EnteringAfterLeaving(uint256 index);
    error WrongRelayFee(uint256 given, uint256 required);
    error UnknownRoot(uint256 tree, uint256 root);
    error SlotOutOfRange(uint256 slot);
    error MarketNotListed(uint256 slot);
    error AmountOutOfRange(int256 amount);
    error PositionOutOfRange(int256 position);
    error SeatRequired(Action action);
    error SeatNotAllowed(Action action);
    error ZeroOwnerKey();
    error OwnerKeyUsed(uint256 ownerKey);
    error NotInDefault(uint256 ownerKey, uint32 defaultEpoch, uint32 epoch);
    error NewNoteNotEmpty(uint256 newNote, uint256 zeroNote);
    error BadRecipient(address to);
    error WrongSigner(address signer, address required);
    error TicketCount(uint256 count);
    error TicketInsolvent(uint256 index, int256 equity);
    error TicketOverfunded(uint256 index, int256 equity);
    error NotCarried(uint256 index, int256 position);
    error ZeroSessionKey();
    error ClosingOnly(uint256 slot);
    error TreeReserved(uint256 nextIndex);
    error NotApplied(Skip reason);

    error UnknownTicket(bytes32 ticketId);
    error TicketNotTradable(bytes32 ticketId, uint32 ticketEpoch, uint48 openedInBatch);
    error SameTicket(bytes32 ticketId);
    error SameSide();
    error DifferentMarkets(uint8 makerSlot, uint8 takerSlot);
    error NotCrossing(int88 buyPrice, int88 sellPrice);
    error NotMakerPrice(int88 price, int88 makerPrice);
    error BeyondOrder(bytes32 ticketId, int88 price, int88 limitPrice);
    error OtherAuctionPrice(int88 price, int88 auctionPrice);
    error NotForAuction(bytes32 ticketId);
    error OffLimits(int88 price, int256 down, int256 up);
    error OffTick(int88 price, uint80 tick);
    error QuantityOutOfRange(uint32 quantity);
    error Overfilled(bytes32 ticketId, uint64 clientId, uint256 filled, uint32 quantity);
    error Superseded(bytes32 ticketId, uint64 clientId, uint8 revision, uint8 newest);
    error ZeroClientId(bytes32 ticketId);
    error OrderExpired(bytes32 ticketId, uint64 expiry, uint64 execTime);
    error MakerCannotRest(bytes32 ticketId);
    error PostOnlyTakes(bytes32 ticketId);
    error NotImmediate(bytes32 ticketId, uint64 clientId);
    error FillOrKillUnfilled(bytes32 ticketId, uint64 clientId, uint256 filled, uint32 quantity);
    error SeqTooFar(uint64 seq, uint64 lastSeq);
    error FillOutOfOrder(uint64 seq, uint32 n, uint64 lastSeq, uint32 lastN);
    error ExecTimeOutOfRange(uint64 execTime, uint64 earliest, uint64 latest);
    error PriorityAfterFill(uint64 makerPrioritySeq, uint64 seq);
    error TicketBelowMargin(bytes32 ticketId, int256 equity);
    error NotReducing(bytes32 ticketId, int256 position, int256 newPosition);
    error FillsOutsideTrading();

    error TooEarly(uint256 earliest, uint256 time);
    error BlocksMissing(uint256 earliest, uint256 blockNumber);
    error RenewalsNotBegun();
    error NotMovable(uint32 epoch, uint64 closingTime);
    error NotLocked(uint8 slot, uint256 volume, int256 value);
    error GasTooLow(uint256 gasLeft, uint256 required);
    error BidUsed(bytes32 ticketId);
    error NothingToTake(bytes32 ticketId, int32 quantity, int64 available);
    error NothingStaked(address operator);
    error NotUnstakable(address operator, uint32 withdrawableIn, uint32 epoch);
    error NotInPhase(Phase phase);
    error QuotesOnlyByOperator();
    error QuoteSlotsNotSorted(uint8 slot);
    error QuoteNotSorted(bytes32 ticketId, uint64 clientId);
    error QuoteMismatch(bytes32 ticketId);
    error CreditNotOpen(uint256 creditId);
    error NotDepositor(uint256 creditId, address caller);
    error NothingOwed(address to);
    error NothingToForfeit(uint256 ownerKey);

    // ---------------------------------------------------------------- traders

    /// @notice Takes `amount` as a credit that the holder of `key` can absorb into any account with a fund transition.
    /// @param amount Collateral base units, not zero; the contract's balance stays below 2^119.
    /// @param key Address of the credit key, derived from the trader's spending key.
    /// @return creditId Name of the credit, to be named in the fund transition.
    function deposit(uint128 amount, address key) external returns (uint256 creditId);

    /// @notice Asks for an unspent credit back; refundCredit pays it after the refund delay.
    function requestCreditRefund(uint256 creditId) external;

    /// @notice Pays an unspent credit back to its depositor, once its delay is over.
    function refundCredit(uint256 creditId) external;

    /// @notice Opens a seat: takes the bond from the caller and appends the empty note of `ownerKey`.
    /// @param ownerKey H(TAG_OWNER, sk); usable once, ever.
    function openSeat(uint256 ownerKey) external;

    /// @notice Submits transitions directly, without relay fee: all of the settlement window's, and in Trading those
    /// that cannot race a batch (wake, rejoin, exit, and closing a sleeping seat).
    /// @dev Skips as a batch does, and reverts with NotApplied if nothing took effect: a copied transition that was sent
    /// first must not spoil the others.
    function submitTransitions(Transition[] calldata transitions, Proof[] calldata proofs) external;

    /// @notice Pays what an earlier failed payment left for `to`.
    function collectOwed(address to) external;

    // ---------------------------------------------------------------- operator

    /// @notice Verifies all proofs at once, then applies entering transitions, fills, and leaving transitions.
    /// @param expectedBatchNumber Must be the next number: fences a deposed leader and a double post.
    /// @param logHead Head of the operator's hash-chained log after this batch.
    function submitBatch(
        uint48 expectedBatchNumber,
        Transition[] calldata transitions,
        Proof[] calldata proofs,
        SignedOrder[] calldata orders,
        Fill[] calldata fills,
        bytes32 logHead
    ) external;

    /// @notice Pays the collected relay and fill fees.
    function collectFees(address to) external;

    // ---------------------------------------------------------------- clearing cycle

    /// @notice Ends Trading: the operator from closingTime, anybody from closingTime + settleGrace.
    /// @param quotes The operator's attestation of what rested through the settlement window (spec SET-4).
    function closeEpoch(RestingQuote[] calldata quotes) external;

    /// @notice Lets the day end lockNotice from now, if every fill of the last lockTime in this market, of at least its
    /// minimum volume, was at one of its limits. Anybody, once a day.
    function closeEarly(uint8 slot) external;

    /// @notice Notes that part B of the window has begun, from which on its blocks count. Anybody; the first transition
    /// of part B does it too.
    function beginRenewals() external;

    /// @notice In part A of the window sells contracts that drop-outs left to an open ticket, at the price of this moment
    /// (see auctionPrice). Anybody may send a bid, once.
    /// @dev Takes what is left of the bid's quantity. The ticket must stand the initial band of the next epoch then.
    function takeAbandoned(AuctionBid calldata bid) external;

    /// @notice Ends the settlement window after its seconds and its blocks have passed. Anybody.
    function openEpoch() external;

    /// @notice Moves the bond of a seat in default beyond the grace epochs to the close-out account. Anybody, for the
    /// reporter's reward.
    function forfeitBond(uint256 ownerKey) external;

    /// @notice Adds to the caller's stake, which stands for defaults while the caller is operator.
    function stake(uint128 amount) external;

    /// @notice Lets the caller's stake be taken back in the Trading of the epoch after the next, and only then.
    function requestUnstake() external;

    /// @notice Pays the caller's stake back.
    function unstake() external;

    /// @notice Adds the caller's tokens to the guaranty fund.
    function contributeToFund(uint128 amount) external;

    // ---------------------------------------------------------------- views

    function buckets() external view returns (Buckets memory);
    /// @notice Per market: net position of the pool, of the open tickets (with cash and gross) and of the close-out
    /// account.
    function openPositions()
        external
        view
        returns (int64[8] memory pool, TicketSums[8] memory tickets, int64[8] memory closeOut);
    /// @notice Pool cash plus the pool's worst value inside the price limits; negative means a hole (spec CON-3).
    function poolCover() external view returns (int256);
    /// @notice Share of a withdrawal or an exit's equity that is paid; 1e18 is all of it.
    function payoutRatio() external view returns (uint64);
    function stakeOf(address operator) external view returns (Stake memory);
    /// @notice In part A of the window: the close-out account's position in a market and the price at which it is sold
    /// at this moment. Nothing where there is no auction.
    function auctionPrice(uint8 slot) external view returns (int64 position, int88 price);
    /// @notice Net position of the seats that defaulted in an epoch. Their accounts are shielded: until a tally counts
    /// them it is never known.
    function netPositionOfDefaulters(uint32 epoch, uint8 slot) external view returns (bool known, int64 net);
    function clock()
        external
        view
        returns (uint32 epoch, Phase phase, uint48 nextBatchNumber, uint64 lastSeq, uint32 lastN);
    /// @notice The terms the clearing house was deployed with. The call auction of an epoch is at exactly
    /// openedAt + callAuction, and nothing trades before; with a callAuction of 0 there is none.
    function clearingTerms() external view returns (ClearingTerms memory);
    function epochOf(uint32 epoch) external view returns (Epoch memory);
    /// @notice Terms and prices of a market in an epoch; `auctionPrice` is that of its call auction, once `auctioned`.
    function marketOf(uint32 epoch, uint8 slot) external view returns (EpochMarket memory);
    function seatOf(uint256 ownerKey) external view returns (Seat memory);
    function creditOf(uint256 creditId) external view returns (Credit memory);
    function ticketOf(bytes32 ticketId) external view returns (Ticket memory);
    /// @notice Filled quantity and newest settled revision of an order.
    function orderOf(bytes32 ticketId, uint64 clientId) external view returns (uint32 filled, uint8 revision);
    function isSpent(uint256 nullifier) external view returns (bool);
    function isRoot(uint256 tree, uint256 root) external view returns (bool);
    function treeOf(uint256 tree) external view returns (uint256 nextIndex, uint256 root);
    function owedTo(address to) external view returns (uint256);
    function batchRecord(uint48 batchNumber) external view returns (bytes32 fillsHash, bytes32 logHead);
    function minuteVolumes(uint32 epoch, uint8 slot) external view returns (MinuteVolume[] memory);
}
