// SPDX-License-Identifier: GPL-3.0-only
pragma solidity 0.8.37;

import {IClearingHouse} from "../interfaces/IClearingHouse.sol";
import {State, StateMath, WHOLE} from "./ClearingState.sol";
import {Margin} from "./Margin.sol";
import {EpochMarket, MARKETS, Phase, Stake, WaterfallLayer} from "./Types.sol";

// Who pays when a default costs more than the defaulter left: first what all drop-outs left behind, then the operator's
// stake, then the guaranty fund; then the markets at fault are torn up; and what is missing even then is shared by all who
// take money out. Linked, not inlined, for its size.
library Waterfall {
    using StateMath for State;

    // What is missing, at the worst prices that may come (pool in Trading) or as it is (close-out account).
    struct Need {
        uint256 account;
        uint256 pool;
    }

    // ---------------------------------------------------------------- at the close

    // Tears up the markets behind a loss that no layer can pay: all positions there end at the day's settlement price, so
    // that nothing more can be lost on them.
    function tearUp(State storage s) public {
        Need memory need = _needAtPrices(s);
        if (need.account + need.pool <= _layers(s)) return;
        for (uint8 slot = 0; slot < MARKETS; slot++) {
            EpochMarket storage market = s.markets[s.epoch][slot];
            bool atFault = (need.account > 0 && _costs(s, slot)) || (need.pool > 0 && s.poolPosition[slot] != 0);
            if (!market.listed || market.expired || !atFault) continue;
            market.expired = true;
            market.tornUp = true;
            emit IClearingHouse.TornUp(s.epoch, slot, market.settlementPrice);
        }
        // Nobody may leave at par in the window with what the others will miss.
        _publishRatio(s, need.account + need.pool - _layers(s));
    }

    // ---------------------------------------------------------------- at the opening

    // Fills the holes as far as the layers reach, and publishes at which ratio payments are made from now on.
    function cover(State storage s, address operator) public {
        int256 poolCover = s.poolCover();
        Need memory need = Need(_missing(_accountValue(s)), _missing(poolCover));
        if (need.account + need.pool > 0) {
            uint256 surplus = need.pool == 0 ? 0 : _surplus(s);
            s.closeOutAccount -= int256(_pay(s, need, WaterfallLayer.Defaulter, surplus, false));

            Stake storage stake = s.stakes[operator];
            uint256 paid = _pay(s, need, WaterfallLayer.OperatorStake, stake.amount, true);
            stake.amount -= uint128(paid);
            s.operatorStake -= paid;

            s.guarantyFund -= _pay(s, need, WaterfallLayer.GuarantyFund, s.guarantyFund, true);
        }
        need = _needAtPrices(s);
        _publishRatio(s, need.account + need.pool);
    }

    // One layer's share: the close-out account first, which is owed for certain, then the pool.
    function _pay(
        State storage s,
        Need memory need,
        WaterfallLayer layer,
        uint256 available,
        bool accountToo
    ) private returns (uint256) {
        uint256 wanted = need.account + need.pool;
        if (wanted == 0) return 0;
        uint256 toAccount;
        if (accountToo) {
            toAccount = available < need.account ? available : need.account;
            s.closeOutAccount += int256(toAccount);
            need.account -= toAccount;
            available -= toAccount;
        }
        uint256 toPool = available < need.pool ? available : need.pool;
        s.poolCash += int256(toPool);
        need.pool -= toPool;
        emit IClearingHouse.WaterfallStep(s.epoch, layer, wanted, toAccount, toPool);
        return toAccount + toPool;
    }

    // ---------------------------------------------------------------- payout ratio

    // What is paid of an amount at the ratio of the day, and what of the rest the close-out account needs; what it does not
    // need stays where it was (spec FND-8).
    function shareOf(State storage s, uint256 amount) public view returns (uint256 paid, uint256 toAccount) {
        if (s.payoutRatio == WHOLE) return (amount, 0);
        paid = (amount * s.payoutRatio) / WHOLE;
        uint256 wanted = _missing(_accountValue(s));
        toAccount = amount - paid < wanted ? amount - paid : wanted;
    }

    // The fees that the operator takes out. They share a loss like everything that is earned here, else an operator could
    // trade with itself until its own account is gone in fees.
    function takeFees(State storage s) public returns (uint256 paid) {
        uint256 amount = s.fees;
        uint256 toAccount;
        (paid, toAccount) = shareOf(s, amount);
        s.fees = 0;
        s.closeOutAccount += int256(toAccount);
        s.poolCash += int256(amount - paid - toAccount);
    }

    // Every payment at the same ratio leaves the ratio of the rest as it is: nobody gains by being first.
    function _publishRatio(State storage s, uint256 shortage) private {
        uint64 ratio = WHOLE;
        if (shortage > 0) {
            uint256 base = _promised(s);
            ratio = base <= shortage ? 0 : uint64(((base - shortage) * WHOLE) / base);
        }
        if (ratio == s.payoutRatio) return;
        s.payoutRatio = ratio;
        emit IClearingHouse.PayoutRatio(s.epoch, ratio);
    }

    // What all accounts and tickets are worth at settlement prices, with the claims of those left over and the fees. Of
    // accounts whose pool is below zero nothing is known but that none of them is.
    function _promised(State storage s) private view returns (uint256) {
        int256 pool = _poolValue(s);
        int256 value = (pool > 0 ? pool : int256(0)) + int256(s.claims + s.fees);
        for (uint256 slot = 0; slot < MARKETS; slot++) {
            value += s.ticketSums[slot].cash + int256(s.ticketSums[slot].net) * _price(s, slot);
        }
        return value > 0 ? uint256(value) : 0;
    }

    // ---------------------------------------------------------------- sums

    function _layers(State storage s) private view returns (uint256) {
        return s.stakes[s.operator].amount + s.guarantyFund;
    }

    // What the close-out account has over counts for the pool: the layer before all others.
    function _needAtPrices(State storage s) private view returns (Need memory) {
        (int256 account, int256 pool) = (_accountValue(s), _poolValue(s));
        return account < 0 ? Need(uint256(-account), _missing(pool)) : Need(0, _missing(pool + account));
    }

    // Whether a position lost more than those who left it paid for leaving: else whoever abandons a single contract while
    // money is missing could have any market torn up.
    function _costs(State storage s, uint8 slot) private view returns (bool) {
        int256 position = s.closeOutPosition[slot];
        return position != 0 && s.closeOutCash[slot] + position * _price(s, slot) < 0;
    }

    function _accountValue(State storage s) private view returns (int256 value) {
        value = s.closeOutAccount;
        for (uint256 slot = 0; slot < MARKETS; slot++) value += int256(s.closeOutPosition[slot]) * _price(s, slot);
    }

    function _poolValue(State storage s) private view returns (int256 value) {
        value = s.poolCash;
        for (uint256 slot = 0; slot < MARKETS; slot++) value += int256(s.poolPosition[slot]) * _price(s, slot);
    }

    // What the close-out account can spare even if its positions move by the whole limit of the day.
    function _surplus(State storage s) private view returns (uint256) {
        int256 worst = s.closeOutAccount;
        for (uint256 slot = 0; slot < MARKETS; slot++) {
            EpochMarket storage market = s.markets[s.epoch][slot];
            worst = Margin.equity(worst, s.closeOutPosition[slot], market.centre, market.priceLimit);
        }
        return worst > 0 ? uint256(worst) : 0;
    }

    // The last settlement price, whichever epoch it is kept in.
    function _price(State storage s, uint256 slot) private view returns (int256) {
        EpochMarket storage market = s.markets[s.epoch][slot];
        return s.phase == Phase.Trading ? market.centre : market.settlementPrice;
    }

    function _missing(int256 value) private pure returns (uint256) {
        return value < 0 ? uint256(-value) : 0;
    }
}
