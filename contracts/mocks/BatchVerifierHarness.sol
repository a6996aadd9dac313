// SPDX-License-Identifier: GPL-3.0-only
pragma solidity 0.8.37;

import {BatchVerifier} from "../libraries/BatchVerifier.sol";
import {Bn254} from "../libraries/Bn254.sol";
import {Proof} from "../libraries/Proof.sol";
import {VerifyingKey} from "../libraries/VerifyingKey.sol";

// Shows the batch verifier as the clearing house sees it, and its parts one by one.
contract BatchVerifierHarness {
    event Verified(uint256 gasUsed);

    function verify(uint256 batchNumber, Proof[] calldata proofs, uint256[25][] memory signals) external view {
        BatchVerifier.verify(batchNumber, proofs, signals);
    }

    // As a transaction, with the gas of the verification alone.
    function measure(uint256 batchNumber, Proof[] calldata proofs, uint256[25][] memory signals) external {
        uint256 before = gasleft();
        BatchVerifier.verify(batchNumber, proofs, signals);
        emit Verified(before - gasleft());
    }

    function seedOf(
        uint256 batchNumber,
        Proof[] calldata proofs,
        uint256[25][] calldata signals
    ) external view returns (bytes32) {
        return BatchVerifier.seedOf(batchNumber, proofs, signals);
    }

    function challenge(bytes32 seed, uint256 index) external pure returns (uint256) {
        return BatchVerifier.challenge(seed, index);
    }

    function nonZero(uint256 scalar) external pure returns (uint256) {
        return BatchVerifier.nonZero(scalar);
    }

    function verifyingKeyHash() external pure returns (bytes32) {
        return VerifyingKey.HASH;
    }

    function ecAdd(uint256 x1, uint256 y1, uint256 x2, uint256 y2) external view returns (bool, uint256, uint256) {
        return Bn254.add(x1, y1, x2, y2);
    }

    function ecMul(uint256 x, uint256 y, uint256 scalar) external view returns (bool, uint256, uint256) {
        return Bn254.mul(x, y, scalar);
    }

    function ecPairing(uint256[] memory pairs) external view returns (bool, uint256) {
        return Bn254.pairing(pairs);
    }
}
