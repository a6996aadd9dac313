// SPDX-License-Identifier: GPL-3.0-only
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

// A token that misbehaves as told: keeps a fee, refuses a recipient by revert or by `false`, or calls back while paying.
contract HostileToken is ERC20("Hostile", "BAD") {
    uint256 public feePercent;
    address public refused;
    bool public returnsFalse;
    address public target;
    bytes public callback;
    bool public callbackSucceeded;
    bytes public callbackResult;

    function faucet(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function takeFee(uint256 percent) external {
        feePercent = percent;
    }

    function refuse(address to, bool byFalse) external {
        refused = to;
        returnsFalse = byFalse;
    }

    function callBack(address target_, bytes calldata callback_) external {
        target = target_;
        callback = callback_;
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        if (to == refused) {
            require(returnsFalse, "refused");
            return false;
        }
        return super.transfer(to, amount);
    }

    function _update(address from, address to, uint256 amount) internal override {
        uint256 fee = from == address(0) ? 0 : (amount * feePercent) / 100;
        super._update(from, to, amount - fee);
        if (fee > 0) super._update(from, address(this), fee);
        if (target != address(0) && from != address(0)) {
            (callbackSucceeded, callbackResult) = target.call(callback);
        }
    }
}
