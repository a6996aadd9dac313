// SPDX-License-Identifier: GPL-3.0-only
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Margin} from "../libraries/Margin.sol";
import {SettlementPrice} from "../libraries/SettlementPrice.sol";
import {Signatures} from "../libraries/Signatures.sol";
import {EpochMarket, MinuteVolume, SignedOrder, Transition} from "../libraries/Types.sol";

// The internal libraries in the open, to be compared with TypeScript.
contract ArithmeticHarness is EIP712("Hedgerow", "1") {
    struct PricedFill {
        uint64 execTime;
        int88 price;
        uint32 quantity;
    }

    EpochMarket private _market;
    MinuteVolume[] private _volumes;

    // Meant to be called, not sent: what it stores is gone afterwards.
    function tierPrice(
        EpochMarket calldata market,
        PricedFill[] calldata fills,
        uint64 windowStart
    ) external returns (uint8 tier, int256 price) {
        _market = market;
        delete _volumes;
        for (uint256 i = 0; i < fills.length; i++) {
            SettlementPrice.record(_volumes, fills[i].execTime, fills[i].price, fills[i].quantity);
        }
        return SettlementPrice.tierPrice(_market, _volumes, windowStart);
    }

    function roundToTick(int256 value, uint256 volume, int256 tick, int256 previous) external pure returns (int256) {
        return SettlementPrice.roundToTick(value, volume, tick, previous);
    }

    function floorDiv(int256 a, int256 b) external pure returns (int256) {
        return SettlementPrice.floorDiv(a, b);
    }

    function equity(int256 cash, int256 position, int256 centre, uint256 halfWidth) external pure returns (int256) {
        return Margin.equity(cash, position, centre, halfWidth);
    }

    function reduces(int256 position, int256 newPosition) external pure returns (bool) {
        return Margin.reduces(position, newPosition);
    }

    function toField(int256 x) external pure returns (uint256) {
        return Margin.toField(x);
    }

    function orderDigest(SignedOrder calldata order) external view returns (bytes32) {
        return Signatures.orderDigest(_domainSeparatorV4(), order);
    }

    function requireOrder(address sessionKey, SignedOrder calldata order) external view {
        Signatures.requireOrder(_domainSeparatorV4(), sessionKey, order);
    }

    function requireRelease(
        address key,
        Transition calldata t,
        bytes32 id,
        int256 cash,
        int256 position
    ) external view {
        Signatures.requireRelease(_domainSeparatorV4(), key, t, id, cash, position);
    }
}
