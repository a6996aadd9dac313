// SPDX-License-Identifier: GPL-3.0-only
pragma solidity 0.8.37;

import {MarketTerms} from "../libraries/Types.sol";

/// @title Published terms of the markets and the operator's address
/// @notice Governance schedules; nothing takes effect before the delay is over, and the clearing house reads terms at
/// the close of an epoch and the operator at its opening only (spec GOV-1 to GOV-5).
interface IMarketRegistry {
    event MarketScheduled(uint8 indexed slot, MarketTerms terms, uint64 effectiveAt);
    event OperatorScheduled(address indexed operator, uint64 effectiveAt);

    error SlotOutOfRange(uint256 slot);
    error TickZero();
    error NotWholeTicks(uint256 amount, uint256 tick);
    error PriceNotWholeTicks(int256 price, uint256 tick);
    error MarginsOutOfOrder(
        uint256 expandedLimit,
        uint256 closeOutFee,
        uint256 maintenanceMargin,
        uint256 initialMargin
    );
    error ExpandedBelowLimit(uint256 expandedLimit, uint256 priceLimit);
    error CloseOutFeeBelowLimit(uint256 closeOutFee, uint256 expandedLimit);
    error StepTooLarge(uint256 runningCloseOutFee, uint256 newExpandedLimit, uint256 newInitialMargin);
    error FeedIncomplete(address priceFeed, uint64 feedMultiplier, uint32 feedMaxAge);
    error SameContractOtherFeed(bytes32 contractId, address priceFeed);
    error FillFeeTooHigh(uint256 fillFee, uint256 closeOutFee);
    error VolumeZero();
    error AlreadyExpired(uint64 lastTradingTime);
    error SameContractOtherTick(bytes32 contractId);
    error SameContractOtherEnd(bytes32 contractId, uint64 lastTradingTime);
    error PriceOutOfRange(int256 price);
    error ZeroOperator();

    /// @notice Publishes the terms of a slot from now + delay on. A slot without terms has a zero contractId.
    /// @dev Terms of a running contract may change by one step only: expandedLimit' <= closeOutFee <= initial', so that
    /// dropping out at a day's end is never a free option and the default price stays payable.
    function scheduleMarket(uint8 slot, MarketTerms calldata terms) external;

    /// @notice Names another operator from now + delay on.
    function scheduleOperator(address operator) external;

    /// @notice Terms in force for a slot.
    function termsOf(uint8 slot) external view returns (MarketTerms memory);

    /// @notice Seconds between scheduling and effect; longer than a whole cycle of the clearing house.
    function delay() external view returns (uint48);

    /// @notice Operator in force.
    function operator() external view returns (address);
}
