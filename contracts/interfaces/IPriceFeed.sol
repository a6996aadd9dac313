// SPDX-License-Identifier: GPL-3.0-only
pragma solidity 0.8.37;

/// @title A price from outside, in the form that most feeds have
interface IPriceFeed {
    /// @notice Digits behind the point of `answer`.
    function decimals() external view returns (uint8);

    /// @notice The newest answer, and when it was given (unix seconds).
    function latestRoundData()
        external
        view
        returns (uint80 roundId, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredInRound);
}
