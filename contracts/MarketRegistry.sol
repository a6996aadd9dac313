// SPDX-License-Identifier: GPL-3.0-only
pragma solidity 0.8.37;

import {AccessControlDefaultAdminRules} from "@openzeppelin/contracts/access/extensions/AccessControlDefaultAdminRules.sol";
import {IMarketRegistry} from "./interfaces/IMarketRegistry.sol";
import {MARKETS, MarketTerms} from "./libraries/Types.sol";

// What governance may decide, and nothing else: the clearing house itself has no owner.
contract MarketRegistry is IMarketRegistry, AccessControlDefaultAdminRules {
    struct Entry {
        MarketTerms running;
        MarketTerms scheduled;
        uint64 effectiveAt;
    }

    // Prices and margins stay below half the circuit's range, so that every price of a band fits it.
    int256 private constant PRICE_RANGE = 1 << 78;

    uint48 public immutable delay;
    Entry[8] private _entries;
    address private _operator;
    address private _scheduledOperator;
    uint64 private _operatorEffectiveAt;

    // The first terms and the first operator hold at once: nobody can have traded before the deployment.
    constructor(
        uint48 delay_,
        address owner_,
        address operator_,
        MarketTerms[] memory markets
    ) AccessControlDefaultAdminRules(delay_, owner_) {
        if (operator_ == address(0)) revert ZeroOperator();
        if (markets.length > MARKETS) revert SlotOutOfRange(markets.length);
        delay = delay_;
        _operator = operator_;
        for (uint256 slot = 0; slot < markets.length; slot++) {
            if (markets[slot].contractId == 0) continue;
            _check(markets[slot]);
            _checkNew(markets[slot]);
            _entries[slot].running = markets[slot];
        }
    }

    function scheduleMarket(uint8 slot, MarketTerms calldata terms) external onlyRole(DEFAULT_ADMIN_ROLE) {
        if (slot >= MARKETS) revert SlotOutOfRange(slot);
        _check(terms);
        MarketTerms memory running = termsOf(slot);
        if (running.contractId == terms.contractId) {
            if (running.tick != terms.tick) revert SameContractOtherTick(terms.contractId);
            if (running.priceFeed != terms.priceFeed || running.feedMultiplier != terms.feedMultiplier) {
                revert SameContractOtherFeed(terms.contractId, running.priceFeed);
            }
            if (running.lastTradingTime != terms.lastTradingTime) {
                revert SameContractOtherEnd(terms.contractId, running.lastTradingTime);
            }
            if (terms.expandedLimit > running.closeOutFee || terms.initialMargin < running.closeOutFee) {
                revert StepTooLarge(running.closeOutFee, terms.expandedLimit, terms.initialMargin);
            }
        } else {
            _checkNew(terms);
        }
        Entry storage entry = _entries[slot];
        entry.running = running;
        entry.scheduled = terms;
        entry.effectiveAt = uint64(block.timestamp) + delay;
        emit MarketScheduled(slot, terms, entry.effectiveAt);
    }

    function scheduleOperator(address operator_) external onlyRole(DEFAULT_ADMIN_ROLE) {
        if (operator_ == address(0)) revert ZeroOperator();
        _operator = operator();
        _scheduledOperator = operator_;
        _operatorEffectiveAt = uint64(block.timestamp) + delay;
        emit OperatorScheduled(operator_, _operatorEffectiveAt);
    }

    function termsOf(uint8 slot) public view returns (MarketTerms memory) {
        Entry storage entry = _entries[slot];
        bool inForce = entry.effectiveAt != 0 && block.timestamp >= entry.effectiveAt;
        return inForce ? entry.scheduled : entry.running;
    }

    function operator() public view returns (address) {
        bool inForce = _operatorEffectiveAt != 0 && block.timestamp >= _operatorEffectiveAt;
        return inForce ? _scheduledOperator : _operator;
    }

    function _check(MarketTerms memory terms) private pure {
        if (terms.tick == 0) revert TickZero();
        if (terms.listingPrice % int256(uint256(terms.tick)) != 0) {
            revert PriceNotWholeTicks(terms.listingPrice, terms.tick);
        }
        int256 listing = terms.listingPrice;
        if (listing <= -PRICE_RANGE || listing >= PRICE_RANGE) revert PriceOutOfRange(listing);
        _checkTicks(terms.priceLimit, terms.tick);
        _checkTicks(terms.expandedLimit, terms.tick);
        _checkTicks(terms.priceCollar, terms.tick);
        _checkTicks(terms.maintenanceMargin, terms.tick);
        _checkTicks(terms.initialMargin, terms.tick);
        _checkTicks(terms.closeOutFee, terms.tick);
        if (terms.expandedLimit < terms.priceLimit) revert ExpandedBelowLimit(terms.expandedLimit, terms.priceLimit);
        if (terms.closeOutFee < terms.expandedLimit) {
            revert CloseOutFeeBelowLimit(terms.closeOutFee, terms.expandedLimit);
        }
        if (terms.initialMargin >= uint256(PRICE_RANGE)) revert PriceOutOfRange(int256(uint256(terms.initialMargin)));
        if (
            uint256(terms.expandedLimit) + terms.closeOutFee > terms.maintenanceMargin ||
            terms.maintenanceMargin > terms.initialMargin
        ) {
            revert MarginsOutOfOrder(
                terms.expandedLimit,
                terms.closeOutFee,
                terms.maintenanceMargin,
                terms.initialMargin
            );
        }
        // So that a fill can never cost a resting order of the other side its margin (spec ORD-6).
        if (terms.fillFee > terms.closeOutFee) revert FillFeeTooHigh(terms.fillFee, terms.closeOutFee);
        if (terms.minimumVolume == 0 || terms.minimumMinutes == 0) revert VolumeZero();
        bool hasFeed = terms.priceFeed != address(0);
        if (hasFeed != (terms.feedMultiplier > 0) || hasFeed != (terms.feedMaxAge > 0)) {
            revert FeedIncomplete(terms.priceFeed, terms.feedMultiplier, terms.feedMaxAge);
        }
    }

    function _checkNew(MarketTerms memory terms) private view {
        if (terms.lastTradingTime <= block.timestamp) revert AlreadyExpired(terms.lastTradingTime);
    }

    function _checkTicks(uint256 amount, uint256 tick) private pure {
        if (amount % tick != 0) revert NotWholeTicks(amount, tick);
    }
}
