// SPDX-License-Identifier: GPL-3.0-only
pragma solidity 0.8.37;

import {IClearingHouse} from "../interfaces/IClearingHouse.sol";
import {IPriceFeed} from "../interfaces/IPriceFeed.sol";
import {SettlementPrice} from "./SettlementPrice.sol";
import {EpochMarket} from "./Types.sol";

// What an external feed says a contract is worth at its end. A feed that is late, broken or hostile says nothing: it must
// never be able to keep a day from closing.
library FinalPrice {
    // Gas that a call of the feed gets, and what must be left so that whoever closes the day cannot starve it on purpose.
    uint256 private constant FEED_GAS = 150_000;
    uint256 private constant GAS_NEEDED = 4 * FEED_GAS;
    int256 private constant ANSWER_LIMIT = 1 << 127;
    uint256 private constant MAX_DECIMALS = 30;

    // The feed's price in whole ticks, half-way toward `centre`. Fails where there is none, or none that is fresh.
    function fromFeed(EpochMarket storage market) internal view returns (bool given, int256 price) {
        address feed = market.priceFeed;
        if (feed.code.length == 0) return (false, 0);
        if (gasleft() < GAS_NEEDED) revert IClearingHouse.GasTooLow(gasleft(), GAS_NEEDED);
        (bool hasDecimals, uint256[5] memory decimals) = _ask(feed, abi.encodeCall(IPriceFeed.decimals, ()), 0x20);
        (bool hasRound, uint256[5] memory round) = _ask(feed, abi.encodeCall(IPriceFeed.latestRoundData, ()), 0xa0);
        if (!hasDecimals || !hasRound || decimals[0] > MAX_DECIMALS) return (false, 0);
        (int256 answer, uint256 updatedAt) = (int256(round[1]), round[3]);
        // A round that is not complete has the time 0.
        bool complete = updatedAt > 0 && updatedAt <= block.timestamp;
        bool fresh = complete && block.timestamp - updatedAt <= market.feedMaxAge;
        if (!fresh || answer <= -ANSWER_LIMIT || answer >= ANSWER_LIMIT) return (false, 0);
        int256 value = answer * int256(uint256(market.feedMultiplier));
        int256 tick = int256(uint256(market.tick));
        return (true, SettlementPrice.roundToTick(value, 10 ** decimals[0], tick, market.centre));
    }

    // By hand, because neither a revert, nor a short or an endless answer may harm the caller.
    function _ask(
        address feed,
        bytes memory question,
        uint256 size
    ) private view returns (bool answered, uint256[5] memory words) {
        assembly ("memory-safe") {
            answered := staticcall(FEED_GAS, feed, add(question, 0x20), mload(question), words, size)
            answered := and(answered, iszero(lt(returndatasize(), size)))
        }
    }
}
