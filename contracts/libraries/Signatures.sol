// SPDX-License-Identifier: GPL-3.0-only
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {IClearingHouse} from "../interfaces/IClearingHouse.sol";
import {AuctionBid, SignedOrder, Transition} from "./Types.sol";

// EIP-712 messages of session and credit keys.
library Signatures {
    bytes32 internal constant ORDER_TYPEHASH = keccak256(
        "Order(bytes32 ticketId,uint64 clientId,uint8 revision,uint8 side,int88 limitPrice,uint32 quantity,uint8 timeInForce,bool postOnly,uint64 expiry)"
    );
    bytes32 internal constant RELEASE_TYPEHASH = keccak256(
        "Release(bytes32 id,uint256 nullifier,uint256 newNote,int256 cash,int256 position)"
    );
    bytes32 internal constant BID_TYPEHASH = keccak256("AuctionBid(bytes32 ticketId,int32 quantity,int88 limitPrice)");

    function bidDigest(bytes32 domainSeparator, AuctionBid calldata bid) internal pure returns (bytes32) {
        return
            MessageHashUtils.toTypedDataHash(
                domainSeparator,
                keccak256(abi.encode(BID_TYPEHASH, bid.ticketId, bid.quantity, bid.limitPrice))
            );
    }

    function orderDigest(bytes32 domainSeparator, SignedOrder calldata order) internal pure returns (bytes32) {
        return
            MessageHashUtils.toTypedDataHash(
                domainSeparator,
                keccak256(
                    abi.encode(
                        ORDER_TYPEHASH,
                        order.ticketId,
                        order.clientId,
                        order.revision,
                        order.side,
                        order.limitPrice,
                        order.quantity,
                        order.timeInForce,
                        order.postOnly,
                        order.expiry
                    )
                )
            );
    }

    function requireOrder(bytes32 domainSeparator, address sessionKey, SignedOrder calldata order) internal pure {
        address signer = ECDSA.recover(orderDigest(domainSeparator, order), order.r, order.vs);
        if (signer != sessionKey) revert IClearingHouse.WrongSigner(signer, sessionKey);
    }

    // The key of a ticket or credit releases it into one new note only: the message names nullifier and note.
    function requireRelease(
        bytes32 domainSeparator,
        address key,
        Transition calldata t,
        bytes32 id,
        int256 cash,
        int256 position
    ) internal pure {
        bytes32 digest = MessageHashUtils.toTypedDataHash(
            domainSeparator,
            keccak256(abi.encode(RELEASE_TYPEHASH, id, t.nullifier, t.newNote, cash, position))
        );
        address signer = ECDSA.recover(digest, t.signature);
        if (signer != key) revert IClearingHouse.WrongSigner(signer, key);
    }
}
