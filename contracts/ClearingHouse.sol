// SPDX-License-Identifier: GPL-3.0-only
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {IClearingHouse} from "./interfaces/IClearingHouse.sol";
import {IMarketRegistry} from "./interfaces/IMarketRegistry.sol";
import {ClearingCycle} from "./libraries/ClearingCycle.sol";
import {State, StateMath} from "./libraries/ClearingState.sol";
import {CloseOut} from "./libraries/CloseOut.sol";
import {Statements} from "./libraries/Statements.sol";
import {Effects} from "./libraries/Effects.sol";
import {Fills} from "./libraries/Fills.sol";
import {NoteBook} from "./libraries/NoteBook.sol";
import {Notes} from "./libraries/Notes.sol";
import {Proof} from "./libraries/Proof.sol";
import {Waterfall} from "./libraries/Waterfall.sol";
import {
    AuctionBid,
    ClearingTerms,
    Credit,
    Delta,
    Epoch,
    EpochMarket,
    Fill,
    MARKETS,
    MinuteVolume,
    OrderState,
    Payout,
    Phase,
    RestingQuote,
    Seat,
    SeatStatus,
    SignedOrder,
    Stake,
    Ticket,
    TicketSums,
    Transition
} from "./libraries/Types.sol";

// The heart. Every entry point has one shape: check, apply, event, transfer. It has no owner and cannot be changed.
contract ClearingHouse is IClearingHouse, EIP712, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;
    using StateMath for State;

    // Keeps every sum far below the circuit's equity range (spec NUM-2).
    uint256 private constant DEPOSIT_LIMIT = 1 << 119;

    uint256 private constant MAX_GRACE_EPOCHS = 1000;

    IERC20 public immutable token;
    IMarketRegistry public immutable registry;
    State private s;

    constructor(IERC20 token_, IMarketRegistry registry_, ClearingTerms memory terms) EIP712("Hedgerow", "1") {
        bool sound =
            terms.seatBond > 0 &&
                terms.seatBond < 1 << 96 &&
                terms.relayFee <= terms.seatBond &&
                terms.lateFee <= terms.seatBond &&
                terms.reporterReward <= terms.seatBond / 10 &&
                terms.settlementWindow > 0 &&
                terms.settlementWindow <= terms.tradingTime &&
                (terms.callAuction == 0 || uint256(terms.callAuction) + terms.settlementWindow < terms.tradingTime) &&
                terms.windowA > 0 &&
                terms.windowB > 0 &&
                terms.windowBlocks > 0 &&
                (terms.lockTime == 0 ||
                    (terms.lockNotice >= terms.settlementWindow && terms.lockNotice < terms.tradingTime)) &&
                terms.flatGraceEpochs <= MAX_GRACE_EPOCHS &&
                // No change of terms can overtake a whole cycle.
                registry_.delay() > uint256(terms.tradingTime) + terms.settleGrace + terms.windowA + terms.windowB;
        if (!sound) revert InvalidTerms();
        token = token_;
        registry = registry_;
        s.terms = terms;
        ClearingCycle.start(s, registry_);
    }

    // ---------------------------------------------------------------- traders

    function deposit(uint128 amount, address key) external nonReentrant returns (uint256 creditId) {
        if (amount == 0) revert ZeroAmount();
        if (key == address(0)) revert BadRecipient(key);
        // A name, not a number: after a reorganisation it can only mean the same credit.
        creditId = uint256(keccak256(abi.encode(msg.sender, key, amount, ++s.creditCount)));
        s.creditOf[creditId] = Credit(key, 0, false, msg.sender, amount);
        s.credits += amount;
        emit CreditOpened(creditId, key, msg.sender, amount);
        _pull(amount);
    }

    function requestCreditRefund(uint256 creditId) external nonReentrant {
        Credit storage credit = s.creditOf[creditId];
        if (credit.amount == 0 || credit.spent) revert CreditNotOpen(creditId);
        if (credit.depositor != msg.sender) revert NotDepositor(creditId, msg.sender);
        credit.refundableAt = uint64(block.timestamp) + s.terms.refundDelay;
        emit CreditRefundRequested(creditId, credit.refundableAt);
    }

    function refundCredit(uint256 creditId) external nonReentrant {
        Credit storage credit = s.creditOf[creditId];
        if (credit.amount == 0 || credit.spent || credit.refundableAt == 0) revert CreditNotOpen(creditId);
        if (block.timestamp < credit.refundableAt) revert TooEarly(credit.refundableAt, block.timestamp);
        credit.spent = true;
        s.credits -= credit.amount;
        emit CreditRefunded(creditId, credit.depositor, credit.amount);
        _pay(credit.depositor, credit.amount);
    }

    function openSeat(uint256 ownerKey) external nonReentrant {
        if (ownerKey == 0) revert ZeroOwnerKey();
        if (s.seats[ownerKey].status != SeatStatus.None) revert OwnerKeyUsed(ownerKey);
        uint32 epoch = s.phase == Phase.Trading ? s.epoch : s.epoch + 1;
        s.seats[ownerKey] = Seat(SeatStatus.Active, epoch, s.terms.seatBond);
        s.epochs[epoch].liveSeats++;
        s.bonds += s.terms.seatBond;
        if (!NoteBook.hasRoom(s, epoch, 1)) revert TreeReserved(s.trees[epoch].nextIndex);
        uint256[] memory note = new uint256[](1);
        note[0] = Notes.zeroNote(ownerKey);
        NoteBook.append(s, epoch, note, 1);
        emit SeatOpened(ownerKey, epoch, s.terms.seatBond);
        _pull(s.terms.seatBond);
    }

    function submitTransitions(Transition[] calldata transitions, Proof[] calldata proofs) external nonReentrant {
        s.markRenewals();
        // Zero is no batch's number, so that the challenges of direct calls and batches stay apart.
        Delta[] memory deltas = Statements.verified(s, 0, transitions, proofs, false);
        (Payout[] memory payouts, uint256 bondDue) = Effects.settleDirect(s, _domainSeparatorV4(), transitions, deltas);
        if (bondDue > 0) _pull(bondDue);
        _payAll(payouts);
    }

    function collectOwed(address to) external nonReentrant {
        uint256 amount = s.owedTo[to];
        if (amount == 0) revert NothingOwed(to);
        s.owedTo[to] = 0;
        s.owed -= amount;
        emit Paid(to, amount);
        token.safeTransfer(to, amount);
    }

    // ---------------------------------------------------------------- operator

    function submitBatch(
        uint48 expectedBatchNumber,
        Transition[] calldata transitions,
        Proof[] calldata proofs,
        SignedOrder[] calldata orders,
        Fill[] calldata fills,
        bytes32 logHead
    ) external nonReentrant {
        if (msg.sender != s.operator) revert NotOperator(msg.sender);
        if (expectedBatchNumber != s.lastBatch + 1) revert WrongBatchNumber(expectedBatchNumber, s.lastBatch + 1);
        _stampBatch(expectedBatchNumber);
        s.markRenewals();
        Delta[] memory deltas = Statements.verified(s, expectedBatchNumber, transitions, proofs, true);
        (Payout[] memory payouts, bytes32 fillsHash) = Effects.settle(
            s,
            _domainSeparatorV4(),
            transitions,
            deltas,
            orders,
            fills
        );
        s.fillsHash[expectedBatchNumber] = fillsHash;
        s.logHead[expectedBatchNumber] = logHead;
        emit BatchSubmitted(expectedBatchNumber, s.epoch, fillsHash, logHead);
        _payAll(payouts);
    }

    function collectFees(address to) external nonReentrant {
        if (msg.sender != s.operator) revert NotOperator(msg.sender);
        if (to == address(0) || to == address(this)) revert BadRecipient(to);
        if (s.fees == 0) revert ZeroAmount();
        _pay(to, Waterfall.takeFees(s));
    }

    // ---------------------------------------------------------------- clearing cycle

    function closeEpoch(RestingQuote[] calldata quotes) external nonReentrant {
        ClearingCycle.close(s, registry, _domainSeparatorV4(), quotes, msg.sender == s.operator);
    }

    function closeEarly(uint8 slot) external nonReentrant {
        ClearingCycle.closeEarly(s, slot);
    }

    function beginRenewals() external nonReentrant {
        ClearingCycle.beginRenewals(s);
    }

    function takeAbandoned(AuctionBid calldata bid) external nonReentrant {
        CloseOut.take(s, _domainSeparatorV4(), bid);
    }

    function openEpoch() external nonReentrant {
        ClearingCycle.open(s, registry);
    }

    function forfeitBond(uint256 ownerKey) external nonReentrant {
        Seat storage seat = s.seats[ownerKey];
        bool late = seat.status == SeatStatus.Active && s.epoch > uint256(seat.lastEpoch) + s.terms.flatGraceEpochs;
        if (!late || seat.bond == 0) revert NothingToForfeit(ownerKey);
        uint128 reward = s.terms.reporterReward < seat.bond ? s.terms.reporterReward : seat.bond;
        Effects.forfeit(s, ownerKey, reward);
        _pay(msg.sender, reward);
    }

    function contributeToFund(uint128 amount) external nonReentrant {
        if (amount == 0) revert ZeroAmount();
        s.guarantyFund += amount;
        emit FundContributed(msg.sender, amount);
        _pull(amount);
    }

    function stake(uint128 amount) external nonReentrant {
        if (amount == 0) revert ZeroAmount();
        s.stakes[msg.sender].amount += amount;
        s.operatorStake += amount;
        emit Staked(msg.sender, amount);
        _pull(amount);
    }

    function requestUnstake() external nonReentrant {
        Stake storage own = s.stakes[msg.sender];
        if (own.amount == 0) revert NothingStaked(msg.sender);
        own.withdrawableIn = s.epoch + 2;
        emit UnstakeRequested(msg.sender, own.withdrawableIn);
    }

    function unstake() external nonReentrant {
        Stake storage own = s.stakes[msg.sender];
        uint128 amount = own.amount;
        if (amount == 0) revert NothingStaked(msg.sender);
        // One day only: a request that is kept in reserve would make the stake vanish the day it is needed.
        bool now_ = s.phase == Phase.Trading && s.epoch == own.withdrawableIn;
        if (!now_) revert NotUnstakable(msg.sender, own.withdrawableIn, s.epoch);
        delete s.stakes[msg.sender];
        s.operatorStake -= amount;
        emit Unstaked(msg.sender, amount);
        _pay(msg.sender, amount);
    }

    // ---------------------------------------------------------------- shared steps

    // Remembers when the batch came, and which was the first of the settlement window.
    function _stampBatch(uint48 batchNumber) private {
        s.lastBatch = batchNumber;
        s.lastBatchTime = uint64(block.timestamp);
        s.lastBatchBlock = uint64(block.number);
        Epoch storage epoch = s.epochs[s.epoch];
        bool inWindow = block.timestamp >= epoch.closingTime - s.terms.settlementWindow;
        if (inWindow && epoch.firstBatchInWindow == 0) epoch.firstBatchInWindow = batchNumber;
    }

    // A plain token brings exactly what it says.
    function _pull(uint256 amount) private {
        uint256 before = token.balanceOf(address(this));
        token.safeTransferFrom(msg.sender, address(this), amount);
        uint256 balance = token.balanceOf(address(this));
        if (balance - before != amount) revert UnsupportedToken(amount, balance - before);
        if (balance >= DEPOSIT_LIMIT) revert DepositTooLarge(balance, DEPOSIT_LIMIT);
    }

    function _payAll(Payout[] memory payouts) private {
        for (uint256 i = 0; i < payouts.length; i++) _pay(payouts[i].to, payouts[i].amount);
    }

    // A payment that fails is booked: one recipient must not be able to stop a batch.
    function _pay(address to, uint256 amount) private {
        if (amount == 0) return;
        if (token.trySafeTransfer(to, amount)) {
            emit Paid(to, amount);
        } else {
            s.owedTo[to] += amount;
            s.owed += amount;
            emit Owed(to, amount);
        }
    }

    // ---------------------------------------------------------------- views

    function buckets() external view returns (Buckets memory) {
        int256 ticketCash;
        for (uint256 slot = 0; slot < MARKETS; slot++) ticketCash += s.ticketSums[slot].cash;
        return
            Buckets(
                s.poolCash,
                ticketCash,
                s.claims,
                s.credits,
                s.bonds,
                s.fees,
                s.owed,
                s.closeOutAccount,
                s.operatorStake,
                s.guarantyFund
            );
    }

    function openPositions() external view returns (int64[8] memory, TicketSums[8] memory, int64[8] memory) {
        return (s.poolPosition, s.ticketSums, s.closeOutPosition);
    }

    function poolCover() external view returns (int256) {
        return s.poolCover();
    }

    function payoutRatio() external view returns (uint64) {
        return s.payoutRatio;
    }

    function stakeOf(address operator) external view returns (Stake memory) {
        return s.stakes[operator];
    }

    function auctionPrice(uint8 slot) external view returns (int64, int88) {
        return CloseOut.auctionPrice(s, slot);
    }

    function netPositionOfDefaulters(uint32, uint8) external pure returns (bool, int64) {
        return (false, 0);
    }

    function clock() external view returns (uint32, Phase, uint48, uint64, uint32) {
        return (s.epoch, s.phase, s.lastBatch + 1, s.lastSeq, s.lastN);
    }

    function clearingTerms() external view returns (ClearingTerms memory) {
        return s.terms;
    }

    function epochOf(uint32 epoch) external view returns (Epoch memory) {
        return s.epochs[epoch];
    }

    function marketOf(uint32 epoch, uint8 slot) external view returns (EpochMarket memory) {
        return s.markets[epoch][slot];
    }

    function seatOf(uint256 ownerKey) external view returns (Seat memory) {
        return s.seats[ownerKey];
    }

    function creditOf(uint256 creditId) external view returns (Credit memory) {
        return s.creditOf[creditId];
    }

    function ticketOf(bytes32 ticketId) external view returns (Ticket memory) {
        return s.tickets[ticketId];
    }

    function orderOf(bytes32 ticketId, uint64 clientId) external view returns (uint32, uint8) {
        Ticket storage ticket = s.tickets[ticketId];
        if (ticket.clientId == clientId) return (ticket.filled, ticket.revision);
        OrderState storage state = s.laterOrders[ticketId][clientId];
        return (state.filled, state.revision);
    }

    function isSpent(uint256 nullifier) external view returns (bool) {
        return s.spent[nullifier];
    }

    function isRoot(uint256 tree, uint256 root) external view returns (bool) {
        return s.roots[tree][root];
    }

    function treeOf(uint256 tree) external view returns (uint256, uint256) {
        return (s.trees[tree].nextIndex, s.newestRoot[tree]);
    }

    function owedTo(address to) external view returns (uint256) {
        return s.owedTo[to];
    }

    function batchRecord(uint48 batchNumber) external view returns (bytes32, bytes32) {
        return (s.fillsHash[batchNumber], s.logHead[batchNumber]);
    }

    function minuteVolumes(uint32 epoch, uint8 slot) external view returns (MinuteVolume[] memory) {
        return s.volumes[epoch][slot];
    }
}
