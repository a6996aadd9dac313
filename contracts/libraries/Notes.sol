// SPDX-License-Identifier: GPL-3.0-only
pragma solidity 0.8.37;

import {PoseidonT4} from "poseidon-solidity/PoseidonT4.sol";
import {Bn254} from "./Bn254.sol";

// The one note that the contracts compute themselves: an account without cash and positions.
library Notes {
    error OwnerKeyNotCanonical(uint256 ownerKey);

    // Poseidon of nine zeros: cash and eight positions of an empty account.
    uint256 internal constant EMPTY_INNER = 0x01c4da168cbfb5014e1dc256d82ba808033c11cc3bd113ef0a44ad86b2075728;

    // The note of an empty account, blinding 0. Owner keys that are not canonical are refused: two of them would name
    // one account, and no proof could ever show the larger one.
    function zeroNote(uint256 ownerKey) internal pure returns (uint256) {
        if (ownerKey >= Bn254.R) revert OwnerKeyNotCanonical(ownerKey);
        return PoseidonT4.hash([ownerKey, 0, EMPTY_INNER]);
    }
}
