// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {TICKETS} from "./Callers.sol";
import {Keys} from "./Keys.sol";
import {ISafe} from "./Safe.sol";
import {Objection, TermsHash} from "./Terms.sol";

/// The client's right to leave, with or without the operator. Nobody can change this code or stop its clock.
abstract contract Exits is Keys {
    using TermsHash for Objection;

    /// What the guard asks at every transaction, in one slot.
    struct Standing {
        uint64 exitRequestedAt;
        uint64 exitAt; // 0: no exit under way
        uint64 restrictedUntil;
        uint64 exitRound;
    }

    uint256 public constant EXIT_DELAY = 7 days;
    uint256 public constant OBJECTION_DELAY = 3 days;
    uint256 public constant EXIT_LIMIT = 30 days;

    mapping(address safe => Standing) public standings;

    event ExitRequested(address indexed safe, uint256 exitAt);
    event ExitObjected(address indexed safe, uint256 exitAt, bytes32 reason);
    event ExitCancelled(address indexed safe);
    event Released(address indexed safe);

    error ExitPending();
    error NoExit();
    error Exited();
    error NotExited();
    error CallFailed();

    function requestExit() external {
        _requestExit(msg.sender);
    }

    /// The same without passing the guard, should the guard itself be broken: the owners sign
    /// Exit(deployment, safe, round) with the current round. An owner that is a contract is asked about the preimage,
    /// which Safe 1.4.1 compares with the hash.
    function requestExitSigned(address safe, bytes calldata ownerSignatures) external {
        bytes memory preimage = _exitPreimage(safe);
        ISafe(safe).checkSignatures(keccak256(preimage), preimage, ownerSignatures);
        _requestExit(safe);
    }

    /// Only while it is pending: an account that has left never comes back.
    function cancelExit() external {
        _pending(msg.sender);
        standings[msg.sender].exitAt = 0;
        emit ExitCancelled(msg.sender);
    }

    /// The engine may hold an account that still owes, but only by saying so again every few days, and never past EXIT_LIMIT:
    /// by then it must have closed out with execute(), which works all the while.
    function objectToExit(Objection calldata o, bytes calldata signatures) external {
        _pending(o.safe);
        _ours(o.deployment);
        _fresh(type(uint64).max, o.asOf);
        _signed(TICKETS, o.hash(), signatures);
        Standing storage s = standings[o.safe];
        uint256 until = block.timestamp + OBJECTION_DELAY;
        uint256 limit = s.exitRequestedAt + EXIT_LIMIT;
        if (until > limit) until = limit;
        if (until > s.exitAt) s.exitAt = uint64(until);
        emit ExitObjected(o.safe, s.exitAt, o.reason);
    }

    /// Last resort after the delay: takes a broken guard off without passing through it.
    function release(address safe) external {
        if (!isExited(safe)) revert NotExited();
        _run(safe, safe, 0, abi.encodeCall(ISafe.setGuard, (address(0))));
        emit Released(safe);
    }

    function isExited(address safe) public view returns (bool) {
        uint256 time = standings[safe].exitAt;
        return time != 0 && block.timestamp >= time;
    }

    function exitRequestedAt(address safe) external view returns (uint256) {
        return standings[safe].exitRequestedAt;
    }

    function exitAt(address safe) external view returns (uint256) {
        return standings[safe].exitAt;
    }

    /// What the owners sign for requestExitSigned.
    function exitDigest(address safe) public view returns (bytes32) {
        return keccak256(_exitPreimage(safe));
    }

    function _exitPreimage(address safe) private view returns (bytes memory) {
        bytes32 structHash = TermsHash.exitHash(deployment, safe, standings[safe].exitRound);
        return abi.encodePacked(hex"1901", _domainSeparatorV4(), structHash);
    }

    function _requestExit(address safe) private {
        Standing storage s = standings[safe];
        if (s.exitAt != 0) revert ExitPending();
        (s.exitRequestedAt, s.exitAt) = (uint64(block.timestamp), uint64(block.timestamp + EXIT_DELAY));
        s.exitRound++;
        emit ExitRequested(safe, s.exitAt);
    }

    function _pending(address safe) private view {
        if (standings[safe].exitAt == 0) revert NoExit();
        if (isExited(safe)) revert Exited();
    }

    /// Calls as the Safe. A failure inside undoes everything, with the venue's own reason.
    function _run(address safe, address to, uint256 value, bytes memory data) internal returns (bytes memory out) {
        bool ok;
        (ok, out) = ISafe(safe).execTransactionFromModuleReturnData(to, value, data, 0);
        if (ok) return out;
        if (out.length == 0) revert CallFailed();
        assembly ("memory-safe") {
            revert(add(out, 32), mload(out))
        }
    }
}
