// SPDX-License-Identifier: GPL-3.0-only
pragma solidity 0.8.37;

// A price feed that answers what it is told, or misbehaves as told.
contract PriceFeed {
    enum Manner {
        Answers,
        Reverts,
        ReturnsLittle,
        ReturnsMuch,
        BurnsGas,
        ReturnsDirt
    }

    uint80 private _round;
    int256 private _answer;
    uint256 private _updatedAt;
    uint80 private _answeredIn;
    uint8 private _decimals = 8;
    Manner private _manner;

    // A new round. `updatedAt` may lie anywhere: zero is a round that is not complete.
    function publish(int256 answer, uint256 updatedAt) external {
        _round++;
        (_answer, _updatedAt, _answeredIn) = (answer, updatedAt, _round);
    }

    // A new round that still has the answer of the one before.
    function carryOver() external {
        _round++;
    }

    function setDecimals(uint8 decimals_) external {
        _decimals = decimals_;
    }

    function behave(Manner manner) external {
        _manner = manner;
    }

    function decimals() external view returns (uint8) {
        _misbehave();
        return _decimals;
    }

    function latestRoundData() external view returns (uint80, int256, uint256, uint256, uint80) {
        _misbehave();
        return (_round, _answer, _updatedAt, _updatedAt, _answeredIn);
    }

    function _misbehave() private view {
        Manner manner = _manner;
        if (manner == Manner.Answers) return;
        require(manner != Manner.Reverts, "refused");
        assembly {
            switch manner
            case 2 {
                return(0, 31)
            }
            case 3 {
                return(0, 1000000)
            }
            case 5 {
                // Words beyond the range of every type but the widest.
                for {
                    let i := 0
                } lt(i, 160) {
                    i := add(i, 32)
                } {
                    mstore(i, not(i))
                }
                return(0, 160)
            }
            default {
                invalid()
            }
        }
    }
}
