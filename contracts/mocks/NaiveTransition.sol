// SPDX-License-Identifier: GPL-3.0-only
pragma solidity 0.8.37;

import {PoseidonT3} from "poseidon-solidity/PoseidonT3.sol";
import {NoteTree} from "../libraries/NoteTree.sol";
import {Proof} from "../libraries/Proof.sol";
import {Action, OpenTicketFields, Ticket, TicketOpening} from "../libraries/Types.sol";
import {Groth16Verifier} from "./Groth16Verifier.sol";

// What the opening of a ticket costs when it is done in the straightforward way, for the benchmark: one transaction per
// transition, the verifier that snarkjs generates, and a tree into which notes are hashed one by one, with the same
// record of the ticket. It is given every signal, so it need not work out prices or a context: no more than the ground
// that any such contract has to cover.
contract NaiveTransition {
    event NoteAppended(uint256 index, uint256 leaf);
    event Transitioned(uint256 indexed nullifier, Action indexed action, uint256 newNote, uint256 cashDelta);
    event TicketOpened(
        bytes32 indexed ticketId,
        address indexed sessionKey,
        uint8 slot,
        int120 cash,
        int32 position,
        bool reduceOnly
    );

    error UnknownRoot(uint256 root);
    error Spent(uint256 nullifier);
    error InvalidProof();

    Groth16Verifier private immutable _verifier;
    mapping(uint256 root => bool) private _roots;
    mapping(uint256 nullifier => bool) private _spent;
    mapping(bytes32 ticketId => Ticket) private _tickets;
    mapping(uint256 level => uint256 node) private _filledSubtrees;
    uint256 private _nextIndex = 1;

    // Its own notes are never spent here: the proofs are about those under `root`.
    constructor(Groth16Verifier verifier, uint256 root) {
        _verifier = verifier;
        _roots[root] = true;
    }

    function openTicket(Proof calldata proof, uint256[25] calldata signals, bytes calldata fields) external {
        uint256 nullifier = signals[1];
        if (!_roots[signals[0]]) revert UnknownRoot(signals[0]);
        if (_spent[nullifier]) revert Spent(nullifier);
        if (!_verifier.verifyProof(proof.a, proof.b, proof.c, signals)) revert InvalidProof();
        _spent[nullifier] = true;
        _insert(signals[2]);
        emit Transitioned(nullifier, Action.OpenTicket, signals[2], signals[21]);

        OpenTicketFields memory f = abi.decode(fields, (OpenTicketFields));
        TicketOpening memory opening = f.tickets[0];
        bytes32 ticketId = keccak256(abi.encode(nullifier, 0));
        _tickets[ticketId] = Ticket({
            sessionKey: opening.sessionKey,
            epoch: 1,
            slot: f.slot,
            reduceOnly: opening.reduceOnly,
            openedInBatch: 1,
            cash: opening.cash,
            position: opening.position,
            clientId: 0,
            filled: 0,
            revision: 0
        });
        emit TicketOpened(ticketId, opening.sessionKey, f.slot, opening.cash, opening.position, opening.reduceOnly);
    }

    function _insert(uint256 leaf) private {
        uint256[21] memory zeros = NoteTree.zeros();
        uint256 index = _nextIndex++;
        emit NoteAppended(index, leaf);
        uint256 node = leaf;
        for (uint256 level = 0; level < NoteTree.DEPTH; level++) {
            if ((index >> level) & 1 == 0) {
                _filledSubtrees[level] = node;
                node = PoseidonT3.hash([node, zeros[level]]);
            } else {
                node = PoseidonT3.hash([_filledSubtrees[level], node]);
            }
        }
        _roots[node] = true;
    }
}
