// SPDX-License-Identifier: GPL-3.0-only
pragma solidity 0.8.37;

import {Margin} from "../../contracts/libraries/Margin.sol";
import {SettlementPrice} from "../../contracts/libraries/SettlementPrice.sol";

// Properties of the pure libraries, over any input that the clearing house can give them.
contract ArithmeticTest {
    // spec NUM-9: the quotient is the floor.
    function testFuzz_floorDivIsTheFloor(int200 a, int120 b) external pure {
        if (b == 0) return;
        int256 quotient = SettlementPrice.floorDiv(a, b);
        int256 rest = int256(a) - quotient * b;
        assert(b > 0 ? rest >= 0 && rest < b : rest <= 0 && rest > b);
    }

    // spec SET-6: a whole number of ticks, nearest to the average, and half a tick goes toward the previous price.
    function testFuzz_roundToTickIsNearest(int160 value, uint64 volume, uint80 tick, int88 previous) external pure {
        if (volume == 0 || tick == 0) return;
        int256 step = int256(uint256(tick));
        int256 contracts = int256(uint256(volume));
        int256 price = SettlementPrice.roundToTick(value, volume, step, previous);
        assert(price % step == 0);
        // Twice the distance from the average, in value; a whole tick at most.
        int256 twice = 2 * (price * contracts - value);
        int256 whole = step * contracts;
        assert(twice <= whole && twice >= -whole);
        if (twice == whole) assert(previous > price - step);
        if (twice == -whole) assert(previous <= price);
    }

    // Rounding never turns two prices round.
    function testFuzz_roundToTickKeepsOrder(
        int120 value,
        uint64 more,
        uint32 volume,
        uint64 tick,
        int88 previous
    ) external pure {
        if (volume == 0 || tick == 0) return;
        int256 low = SettlementPrice.roundToTick(value, volume, int256(uint256(tick)), previous);
        int256 high = SettlementPrice.roundToTick(
            int256(value) + int256(uint256(more)),
            volume,
            int256(uint256(tick)),
            previous
        );
        assert(low <= high);
    }

    // spec TKT-5: nearer to zero, on the same side.
    function testFuzz_reducesMeansNearerZero(int32 position, int32 next) external pure {
        bool between =
            next == 0 || (position > 0 && next > 0 && next < position) || (position < 0 && next < 0 && next > position);
        assert(Margin.reduces(position, next) == between);
    }

    // spec TKT-10: inside its maintenance band a ticket passes any reducing fill inside the price limits.
    function testFuzz_reducingNeverFails(
        int32 position,
        uint32 sold,
        int80 centre,
        uint72 limit,
        uint72 beyond,
        uint72 away,
        bool up,
        uint80 excess
    ) external pure {
        if (position == 0 || position == type(int32).min || sold == 0) return;
        uint256 size = Margin.magnitude(position);
        int256 quantity = int256(uint256(sold) % size) + 1;
        uint256 maintenance = uint256(limit) + beyond;
        int256 offset = limit == 0 ? int256(0) : int256(uint256(away) % (uint256(limit) + 1));
        int256 price = up ? centre + offset : centre - offset;
        // Exactly at the band, or above.
        int256 cash = int256(uint256(excess)) - Margin.equity(0, position, centre, maintenance);
        int256 traded = position > 0 ? -quantity : quantity;
        int256 next = position + traded;
        assert(Margin.reduces(position, next));
        assert(Margin.equity(cash - traded * price, next, centre, maintenance) >= 0);
    }

    // spec NUM-2: the field element of x and that of -x add up to zero.
    function testFuzz_toFieldIsSigned(int200 x) external pure {
        if (x == 0 || x == type(int200).min) return;
        assert(Margin.toField(x) + Margin.toField(-x) == Margin.FIELD);
    }
}
