// SPDX-License-Identifier: GPL-3.0-only
pragma solidity 0.8.37;

import {Bn254} from "./Bn254.sol";
import {Proof} from "./Proof.sol";
import {VerifyingKey} from "./VerifyingKey.sol";

// All Groth16 proofs of a batch in one pairing product. With scalars rho_i nobody could foresee,
//
//   prod e(rho_i A_i, B_i) * e(-(sum rho_i) alpha, beta) * e(-sum rho_i X_i, gamma) * e(-sum rho_i C_i, delta) == 1
//
// holds only if every proof holds by itself (but for a chance of n / 2^128). X_i = IC_0 + sum_j signal_ij IC_j.
library BatchVerifier {
    error ProofCountMismatch(uint256 proofs, uint256 statements);
    error SignalNotCanonical(uint256 index, uint256 signal, uint256 value);
    error PointAtInfinity(uint256 index);
    error PointNotOnCurve(uint256 index);
    error PrecompileFailed(address precompile);
    error InvalidProof(uint256 batchNumber);

    bytes32 internal constant DOMAIN = keccak256("Hedgerow batch of transition proofs, version 1");

    // The statements are a universal claim: without any, there is nothing to prove and the pairing is not asked (a
    // product of nothing would say 1 anyway). What matters is the first line: no statement goes without its own proof.
    function verify(uint256 batchNumber, Proof[] calldata proofs, uint256[25][] calldata signals) public view {
        uint256 n = proofs.length;
        if (n != signals.length) revert ProofCountMismatch(n, signals.length);
        if (n == 0) return;

        bytes32 seed = seedOf(batchNumber, proofs, signals);
        uint256[] memory rhos = new uint256[](n);
        uint256 rhoSum = 0;
        for (uint256 i = 0; i < n; ++i) {
            rhos[i] = challenge(seed, i);
            rhoSum += rhos[i];
        }

        uint256[] memory pairs = new uint256[](Bn254.PAIR_WORDS * (n + 3));
        (uint256 x, uint256 y) = _mul(VerifyingKey.ALPHA_X, VerifyingKey.ALPHA_Y, rhoSum);
        _setPair(pairs, n, x, Bn254.negate(y), VerifyingKey.beta());
        (x, y) = _weighedInputs(rhoSum, _weighedSignals(rhos, signals));
        _setPair(pairs, n + 1, x, Bn254.negate(y), VerifyingKey.gamma());
        (x, y) = _weighedProofs(pairs, rhos, proofs);
        _setPair(pairs, n + 2, x, Bn254.negate(y), VerifyingKey.delta());

        (bool ok, uint256 product) = Bn254.pairing(pairs);
        if (!ok) revert PrecompileFailed(Bn254.PAIRING);
        if (product != 1) revert InvalidProof(batchNumber);
    }

    // The scalars must depend on everything a forger could choose, signals included: whoever knows them before fixing
    // the signals can let the error of one proof cancel that of another.
    function seedOf(
        uint256 batchNumber,
        Proof[] calldata proofs,
        uint256[25][] calldata signals
    ) internal view returns (bytes32) {
        (bytes32 proofsHash, bytes32 signalsHash) = _hashesOf(proofs, signals);
        return
            keccak256(
                abi.encode(
                    DOMAIN,
                    block.chainid,
                    address(this),
                    batchNumber,
                    VerifyingKey.HASH,
                    proofs.length,
                    proofsHash,
                    signalsHash
                )
            );
    }

    // Of the words of all proofs and of all signals, straight from calldata: both are lists of words of fixed length.
    function _hashesOf(
        Proof[] calldata proofs,
        uint256[25][] calldata signals
    ) private pure returns (bytes32 proofsHash, bytes32 signalsHash) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            let size := mul(proofs.length, 0x100)
            calldatacopy(free, proofs.offset, size)
            proofsHash := keccak256(free, size)
            size := mul(signals.length, 0x320)
            calldatacopy(free, signals.offset, size)
            signalsHash := keccak256(free, size)
        }
    }

    // rho_i. The first is 1: only the ratios matter.
    function challenge(bytes32 seed, uint256 index) internal pure returns (uint256) {
        return index == 0 ? 1 : nonZero(uint128(uint256(keccak256(abi.encode(seed, index)))));
    }

    // A proof weighed with zero would not be checked at all.
    function nonZero(uint256 scalar) internal pure returns (uint256) {
        return scalar == 0 ? 1 : scalar;
    }

    // sum_i rho_i signal_ij for each j. The curve does not tell a signal from signal + R, but the contracts would: a
    // second name for a spent nullifier. In assembly because it is done 25 times per proof: bounds checks and memory
    // traffic alone would cost more than all the arithmetic.
    function _weighedSignals(
        uint256[] memory rhos,
        uint256[25][] calldata signals
    ) private pure returns (uint256[25] memory sums) {
        uint256 r = Bn254.R;
        bool refused = false;
        assembly ("memory-safe") {
            let firstRho := add(rhos, 0x20)
            let endOfRhos := add(firstRho, shl(5, mload(rhos)))
            for {
                let offset := 0
            } lt(offset, 0x320) {
                offset := add(offset, 0x20)
            } {
                let sum := 0
                let signal := add(signals.offset, offset)
                for {
                    let rho := firstRho
                } lt(rho, endOfRhos) {
                    rho := add(rho, 0x20)
                } {
                    let value := calldataload(signal)
                    refused := or(refused, iszero(lt(value, r)))
                    sum := addmod(sum, mulmod(mload(rho), value, r), r)
                    signal := add(signal, 0x320)
                }
                mstore(add(sums, offset), sum)
            }
        }
        if (refused) _revertSignal(signals);
    }

    function _revertSignal(uint256[25][] calldata signals) private pure {
        for (uint256 i = 0; i < signals.length; ++i) {
            for (uint256 j = 0; j < 25; ++j) {
                if (signals[i][j] >= Bn254.R) revert SignalNotCanonical(i, j, signals[i][j]);
            }
        }
    }

    // sum_i rho_i X_i, from the sums of the signals: at most 26 multiplications, however many proofs. Neighbours with the
    // same sum share one, since slots without a contract all have one price.
    function _weighedInputs(uint256 rhoSum, uint256[25] memory sums) private view returns (uint256 x, uint256 y) {
        uint256[52] memory ic = VerifyingKey.ic();
        (x, y) = _mul(ic[0], ic[1], rhoSum);
        uint256 j = 0;
        while (j < 25) {
            uint256 sum = sums[j];
            (uint256 termX, uint256 termY) = (ic[2 * j + 2], ic[2 * j + 3]);
            for (j++; j < 25 && sums[j] == sum; j++) (termX, termY) = _add(termX, termY, ic[2 * j + 2], ic[2 * j + 3]);
            // settleMask, slot and positionDelta are often zero in all statements of a batch.
            if (sum == 0) continue;
            (termX, termY) = _mul(termX, termY, sum);
            (x, y) = _add(x, y, termX, termY);
        }
    }

    // Fills in the pair (rho_i A_i, B_i) of each proof and returns sum_i rho_i C_i. A and C are checked to be on the
    // curve by the multiplication (the cofactor of G1 is 1). B goes to the pairing as it came: that is where curve and
    // subgroup of G2 are checked. An honest proof is never at infinity, so such points are refused at once rather than
    // reasoned about.
    function _weighedProofs(
        uint256[] memory pairs,
        uint256[] memory rhos,
        Proof[] calldata proofs
    ) private view returns (uint256 x, uint256 y) {
        for (uint256 i = 0; i < proofs.length; ++i) {
            uint256[2] calldata a = proofs[i].a;
            uint256[2][2] calldata b = proofs[i].b;
            uint256[2] calldata c = proofs[i].c;
            if ((a[0] | a[1]) == 0 || (c[0] | c[1]) == 0 || (b[0][0] | b[0][1] | b[1][0] | b[1][1]) == 0) {
                revert PointAtInfinity(i);
            }

            (bool okA, uint256 aX, uint256 aY) = Bn254.mul(a[0], a[1], rhos[i]);
            (bool okC, uint256 cX, uint256 cY) = Bn254.mul(c[0], c[1], rhos[i]);
            if (!okA || !okC) revert PointNotOnCurve(i);
            assembly ("memory-safe") {
                let pair := add(add(pairs, 0x20), mul(i, 0xc0))
                mstore(pair, aX)
                mstore(add(pair, 0x20), aY)
                calldatacopy(add(pair, 0x40), b, 0x80)
            }
            (x, y) = _add(x, y, cX, cY);
        }
    }

    function _setPair(uint256[] memory pairs, uint256 index, uint256 x, uint256 y, uint256[4] memory g2) private pure {
        uint256 word = index * Bn254.PAIR_WORDS;
        pairs[word] = x;
        pairs[word + 1] = y;
        for (uint256 k = 0; k < 4; ++k) pairs[word + 2 + k] = g2[k];
    }

    function _mul(uint256 x1, uint256 y1, uint256 scalar) private view returns (uint256 x, uint256 y) {
        bool ok;
        (ok, x, y) = Bn254.mul(x1, y1, scalar);
        if (!ok) revert PrecompileFailed(address(7));
    }

    function _add(uint256 x1, uint256 y1, uint256 x2, uint256 y2) private view returns (uint256 x, uint256 y) {
        bool ok;
        (ok, x, y) = Bn254.add(x1, y1, x2, y2);
        if (!ok) revert PrecompileFailed(address(6));
    }
}
