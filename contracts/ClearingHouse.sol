// SPDX-License-Identifier: GPL-3.0-only
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {IClearingHouse} from "./interfaces/IClearingHouse.sol";
import {IMarketRegistry} from "./interfaces/IMarketRegistry.sol";
import {ClearingCycle} from "./libraries/ClearingCycle.sol";
import {SLEEPERS, State, StateMath} from "./libraries/ClearingState.sol";
import {Statements} from "./libraries/Statements.sol";
import {Effects} from "./libraries/Effects.sol";
import {Fills} from "./libraries/Fills.sol";
import {NoteTree} from "./libraries/NoteTree.sol";
import {Notes} from "./libraries/Notes.sol";
import {Proof} from "./libraries/Proof.sol";
import {
    Action,
    ClearingTerms,
    Credit,
    Delta,
    Epoch,
    EpochMarket,
    Fill,
    MARKETS,
    MinuteVolume,
    OrderState,
    Phase,
    RestingQuote,
    Seat,
    SeatStatus,
    SignedOrder,
    Skip,
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
    uint256 private constant TREE_CAPACITY = 1 << 20;
    // Leaves kept free, per live seat and per open ticket, for getting out.
    uint256 private constant RESERVED_LEAVES = 4;

    IERC20 public immutable token;
    IMarketRegistry public immutable registry;
    State private s;

    constructor(IERC20 token_, IMarketRegistry registry_, ClearingTerms memory terms) EIP712("Hedgerow", "1") {
        bool sound = terms.seatBond > 0 &&
            terms.seatBond < 1 << 96 &&
            terms.relayFee <= terms.seatBond &&
            terms.lateFee <= terms.seatBond &&
            terms.settlementWindow > 0 &&
            terms.settlementWindow <= terms.tradingTime &&
            terms.windowA > 0 &&
            terms.windowB > 0;
        if (!sound) revert InvalidTerms();
        token = token_;
        registry = registry_;
        s.terms = terms;
        ClearingCycle.start(s, registry_);
    }

    // ---------------------------------------------------------------- traders

    function deposit(uint128 amount, address key) external nonReentrant returns (uint256 creditId) {
        if (amount == 0) revert ZeroAmount();
        if (key == address(0)) revert ZeroRecipient();
        creditId = ++s.creditCount;
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
        if (s.seats[ownerKey].status != SeatStatus.None) revert OwnerKeyUsed(ownerKey);
        uint32 epoch = s.phase == Phase.Trading ? s.epoch : s.epoch + 1;
        s.seats[ownerKey] = Seat(SeatStatus.Active, epoch, s.terms.seatBond);
        s.epochs[epoch].liveSeats++;
        s.bonds += s.terms.seatBond;
        uint256[] memory note = new uint256[](1);
        note[0] = Notes.zeroNote(ownerKey);
        _append(epoch, note, 1, true);
        emit SeatOpened(ownerKey, epoch, s.terms.seatBond);
        _pull(s.terms.seatBond);
    }

    function submitTransitions(Transition[] calldata transitions, Proof[] calldata proofs) external nonReentrant {
        // A direct call gets a batch number no batch ever has, so that challenges stay apart.
        Delta[] memory deltas = Statements.verified(s, 0, transitions, proofs, false);
        Effects.Outcome memory outcome = Effects.newOutcome(transitions.length);
        for (uint256 i = 0; i < transitions.length; i++) {
            Skip skip = Effects.applyProven(s, transitions[i], deltas[i], _domainSeparatorV4(), outcome);
            if (skip != Skip.None) revert NotApplied(skip);
        }
        _finish(outcome);
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
        if (msg.sender != registry.operator()) revert NotOperator(msg.sender);
        if (expectedBatchNumber != s.lastBatch + 1) revert WrongBatchNumber(expectedBatchNumber, s.lastBatch + 1);
        s.lastBatch = expectedBatchNumber;
        Delta[] memory deltas = Statements.verified(s, expectedBatchNumber, transitions, proofs, true);
        Effects.Outcome memory outcome = Effects.newOutcome(transitions.length);
        uint256 i = 0;
        for (; i < transitions.length && transitions[i].action <= Action.Rejoin; i++) {
            Effects.applyProven(s, transitions[i], deltas[i], _domainSeparatorV4(), outcome);
        }
        bytes32 fillsHash = Fills.settle(s, _domainSeparatorV4(), orders, fills);
        for (; i < transitions.length; i++) {
            if (transitions[i].action <= Action.Rejoin) revert EnteringAfterLeaving(i);
            Effects.applyProven(s, transitions[i], deltas[i], _domainSeparatorV4(), outcome);
        }
        s.fillsHash[expectedBatchNumber] = fillsHash;
        s.logHead[expectedBatchNumber] = logHead;
        emit BatchSubmitted(expectedBatchNumber, s.epoch, fillsHash, logHead);
        _finish(outcome);
    }

    function collectFees(address to) external nonReentrant {
        if (msg.sender != registry.operator()) revert NotOperator(msg.sender);
        if (to == address(0)) revert ZeroRecipient();
        uint256 amount = s.fees;
        if (amount == 0) revert ZeroAmount();
        s.fees = 0;
        _pay(to, amount);
    }

    // ---------------------------------------------------------------- clearing cycle

    function closeEpoch(RestingQuote[] calldata quotes) external nonReentrant {
        ClearingCycle.close(s, registry, _domainSeparatorV4(), quotes, msg.sender == registry.operator());
    }

    function openEpoch() external nonReentrant {
        ClearingCycle.open(s);
    }

    function forfeitBond(uint256 ownerKey) external nonReentrant {
        Seat storage seat = s.seats[ownerKey];
        bool late = seat.status == SeatStatus.Active && s.epoch > seat.lastEpoch + s.terms.flatGraceEpochs;
        if (!late || seat.lastEpoch >= s.epoch || seat.bond == 0) revert NothingToForfeit(ownerKey);
        Effects.forfeit(s, ownerKey);
    }

    function contributeToFund(uint128 amount) external nonReentrant {
        if (amount == 0) revert ZeroAmount();
        s.guarantyFund += int256(uint256(amount));
        emit FundContributed(msg.sender, amount);
        _pull(amount);
    }

    // ---------------------------------------------------------------- shared steps

    // Inserts the notes of a list of transitions, then moves tokens.
    function _finish(Effects.Outcome memory outcome) private {
        _append(s.epoch, outcome.current, outcome.currentCount, outcome.entering);
        _append(s.epoch + 1, outcome.next, outcome.nextCount, false);
        _append(SLEEPERS, outcome.sleepers, outcome.sleepersCount, false);
        if (outcome.bondDue > 0) _pull(outcome.bondDue);
        for (uint256 i = 0; i < outcome.payoutCount; i++) _pay(outcome.payouts[i].to, outcome.payouts[i].amount);
    }

    function _append(uint256 tree, uint256[] memory leaves, uint256 count, bool entering) private {
        if (count == 0) return;
        assembly ("memory-safe") {
            mstore(leaves, count)
        }
        (uint256 root, uint256 startIndex) = NoteTree.append(s.trees[tree], leaves);
        if (entering && tree != SLEEPERS) {
            Epoch storage epoch = s.epochs[uint32(tree)];
            uint256 limit = TREE_CAPACITY - RESERVED_LEAVES * (uint256(epoch.liveSeats) + epoch.openTickets);
            if (startIndex + count > limit) revert TreeReserved(startIndex + count, limit);
        }
        s.newestRoot[tree] = root;
        // The next epoch's roots count from its opening on.
        if (tree != uint256(s.epoch) + 1) s.roots[tree][root] = true;
        emit NotesAppended(tree, startIndex, leaves);
    }

    // A plain token brings exactly what it says.
    function _pull(uint256 amount) private {
        uint256 before = token.balanceOf(address(this));
        token.safeTransferFrom(msg.sender, address(this), amount);
        uint256 balance = token.balanceOf(address(this));
        if (balance - before != amount) revert UnsupportedToken(amount, balance - before);
        if (balance >= DEPOSIT_LIMIT) revert DepositTooLarge(balance, DEPOSIT_LIMIT);
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
        return Buckets(s.poolCash, ticketCash, s.claims, s.credits, s.bonds, s.fees, s.owed, s.guarantyFund);
    }

    function openPositions() external view returns (int64[8] memory, TicketSums[8] memory, int64[8] memory) {
        return (s.poolPosition, s.ticketSums, s.fundPosition);
    }

    function poolCover() external view returns (int256) {
        return s.poolCover();
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
