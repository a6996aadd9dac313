// SPDX-License-Identifier: GPL-3.0-only
pragma solidity 0.8.37;

// Arithmetic of margin. A band of half-width w around a centre C values a long at C - w and a short at C + w.
library Margin {
    uint256 internal constant FIELD = 21888242871839275222246405745257275088548364400416034343698204186575808495617;
    int256 internal constant POSITION_LIMIT = 1 << 31;
    int256 internal constant AMOUNT_LIMIT = 1 << 120;

    // Equity at the worst price of the band: cash + p * C - |p| * w.
    function equity(int256 cash, int256 position, int256 centre, uint256 halfWidth) internal pure returns (int256) {
        return cash + position * centre - int256(magnitude(position) * halfWidth);
    }

    // A change that brings a position nearer to zero without crossing it.
    function reduces(int256 position, int256 newPosition) internal pure returns (bool) {
        return newPosition == 0 || (newPosition > 0 == position > 0 && magnitude(newPosition) < magnitude(position));
    }

    function magnitude(int256 x) internal pure returns (uint256) {
        return uint256(x < 0 ? -x : x);
    }

    // A signed number as the circuit sees it.
    function toField(int256 x) internal pure returns (uint256) {
        return x < 0 ? FIELD - uint256(-x) : uint256(x);
    }
}
