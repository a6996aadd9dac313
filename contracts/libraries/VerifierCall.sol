// SPDX-License-Identifier: GPL-3.0-only
pragma solidity 0.8.37;

import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {BatchVerifier} from "./BatchVerifier.sol";
import {Proof} from "./Proof.sol";

// A call of BatchVerifier.verify whose signals are written where the call carries them. The compiler would lay them out
// in memory first and copy them word by word into the call: two thousand gas a proof.
library VerifierCall {
    // What verify is called with: selector and ABI words, the signals last.
    struct Call {
        bytes data;
        uint256 firstSignal;
    }

    uint256 private constant PROOF_SIZE = 0x100;
    uint256 private constant SIGNALS_SIZE = 0x320;
    // Batch number and the places of both lists, then the length of the first.
    uint256 private constant HEAD_SIZE = 0x60;

    // Room for `count` statements, all zero as yet.
    function begin(
        uint256 batchNumber,
        Proof[] calldata proofs,
        uint256 count
    ) internal pure returns (Call memory call) {
        uint256 proofsSize = proofs.length * PROOF_SIZE;
        uint256 signalsAt = HEAD_SIZE + 0x20 + proofsSize;
        uint256 size = 4 + signalsAt + 0x20 + count * SIGNALS_SIZE;
        bytes memory data = new bytes(size);
        bytes4 selector = BatchVerifier.verify.selector;
        uint256 firstSignal;
        assembly ("memory-safe") {
            mstore(add(data, 0x20), selector)
            let words := add(data, 0x24)
            mstore(words, batchNumber)
            mstore(add(words, 0x20), HEAD_SIZE)
            mstore(add(words, 0x40), signalsAt)
            mstore(add(words, 0x60), proofs.length)
            calldatacopy(add(words, 0x80), proofs.offset, proofsSize)
            mstore(add(words, signalsAt), count)
            firstSignal := add(add(words, signalsAt), 0x20)
        }
        return Call(data, firstSignal);
    }

    // The signals of one statement. Writing them is writing the call. The caller's duty: `index` is below the count.
    function signalsOf(Call memory call, uint256 index) internal pure returns (uint256[25] memory signals) {
        uint256 firstSignal = call.firstSignal;
        assembly ("memory-safe") {
            signals := add(firstSignal, mul(index, SIGNALS_SIZE))
        }
    }

    // As the compiler calls a linked library: a refusal is passed on as it came, and an address without code refuses.
    function send(Call memory call) internal {
        Address.functionDelegateCall(address(BatchVerifier), call.data);
    }
}
