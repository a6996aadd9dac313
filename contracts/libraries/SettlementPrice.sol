// SPDX-License-Identifier: GPL-3.0-only
pragma solidity 0.8.37;

import {EpochMarket, MinuteVolume} from "./Types.sol";

// The price of the day, from settled fills by execution time (spec SET-1 to SET-6).
library SettlementPrice {
    // Adds a fill to its minute. Execution times never fall, so minutes are appended in order.
    function record(MinuteVolume[] storage volumes, uint64 execTime, int88 price, uint32 quantity) internal {
        uint32 minute = uint32(execTime / 60);
        int160 value = int160(price) * int160(uint160(quantity));
        uint256 length = volumes.length;
        if (length == 0) {
            volumes.push(MinuteVolume(minute, quantity, value));
            return;
        }
        MinuteVolume memory last = volumes[length - 1];
        MinuteVolume memory entry = MinuteVolume(minute, last.volume + quantity, last.value + value);
        if (last.minute == minute) volumes[length - 1] = entry;
        else volumes.push(entry);
    }

    // Tier and price before rounding to limits: 1 the settlement window, 2 the last minimum volume, 3 yesterday's.
    function tierPrice(
        EpochMarket storage market,
        MinuteVolume[] storage volumes,
        uint64 windowStart
    ) internal view returns (uint8 tier, int256 price) {
        uint256 length = volumes.length;
        if (length == 0) return (3, market.centre);
        uint64 total = volumes[length - 1].volume;
        if (total < market.minimumVolume) return (3, market.centre);
        int256 tick = int256(uint256(market.tick));

        uint256 first = _firstFrom(volumes, uint32((windowStart + 59) / 60));
        if (length - first >= market.minimumMinutes) {
            (uint64 volume, int256 value) = _since(volumes, first);
            if (volume >= market.minimumVolume) return (1, roundToTick(value, volume, tick, market.centre));
        }
        (uint64 tailVolume, int256 tailValue) = _since(volumes, _lastWithTail(volumes, market.minimumVolume));
        return (2, roundToTick(tailValue, tailVolume, tick, market.centre));
    }

    // Nearest tick to value / volume; half-way goes toward the previous settlement price.
    function roundToTick(int256 value, uint256 volume, int256 tick, int256 previous) internal pure returns (int256) {
        int256 divisor = int256(volume) * tick;
        int256 ticks = floorDiv(value, divisor);
        int256 twiceRest = 2 * (value - ticks * divisor);
        if (twiceRest > divisor || (twiceRest == divisor && previous > ticks * tick)) ticks++;
        return ticks * tick;
    }

    // Solidity truncates toward zero; prices may be negative.
    function floorDiv(int256 a, int256 b) internal pure returns (int256 quotient) {
        quotient = a / b;
        if (a % b != 0 && a < 0 != b < 0) quotient--;
    }

    function clamp(int256 price, int256 down, int256 up) internal pure returns (int256) {
        return
            price < down
                ? down
                : price > up
                    ? up
                    : price;
    }

    // Volume and value of the fills from `time` on, by whole minutes that begin there or later.
    function since(MinuteVolume[] storage volumes, uint64 time) internal view returns (uint64 volume, int256 value) {
        uint256 first = _firstFrom(volumes, uint32((time + 59) / 60));
        if (first < volumes.length) return _since(volumes, first);
    }

    // Index of the first minute not before `minute`; the length if there is none.
    function _firstFrom(MinuteVolume[] storage volumes, uint32 minute) private view returns (uint256 low) {
        uint256 high = volumes.length;
        while (low < high) {
            uint256 middle = (low + high) / 2;
            if (volumes[middle].minute < minute) low = middle + 1;
            else high = middle;
        }
    }

    // Index of the latest minute from which on at least `minimum` contracts traded. The total is not below it.
    function _lastWithTail(MinuteVolume[] storage volumes, uint64 minimum) private view returns (uint256 low) {
        uint256 high = volumes.length - 1;
        uint64 total = volumes[high].volume;
        while (low < high) {
            uint256 middle = (low + high + 1) / 2;
            if (total - volumes[middle - 1].volume >= minimum) low = middle;
            else high = middle - 1;
        }
    }

    function _since(MinuteVolume[] storage volumes, uint256 first) private view returns (uint64 volume, int256 value) {
        MinuteVolume memory last = volumes[volumes.length - 1];
        if (first == 0) return (last.volume, last.value);
        MinuteVolume memory before = volumes[first - 1];
        return (last.volume - before.volume, last.value - before.value);
    }
}
