// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

struct Call {
    address to;
    uint256 value;
    bytes data;
}

/// Signed by the planner quorum, submitted by anyone: the gas key has no power.
struct Action {
    bytes32 deployment;
    address safe;
    bytes32 actionId;
    bytes32 needKey;
    uint64 sequence;
    uint256 draw;
    Call[] calls;
    uint64 deadline;
    uint64 asOf;
    address postTarget;
    bytes postCall;
    uint8 postWord;
    uint256 postMin;
}

/// The Safe itself must submit it: the owners' threshold and the engine's quorum both sign.
/// `nonce` is the nonce of the Safe transaction that carries it; `basis` is the hash of the engine's AsOf and parameters.
struct Withdrawal {
    bytes32 deployment;
    address safe;
    address token;
    uint256 amount;
    address recipient;
    uint256 nonce;
    uint64 expiry;
    uint64 asOf;
    bytes32 basis;
}

struct Trade {
    bytes32 deployment;
    address safe;
    address to;
    uint256 value;
    bytes data;
    uint256 nonce;
    uint64 expiry;
    uint64 asOf;
    bytes32 basis;
}

struct Restriction {
    bytes32 deployment;
    address safe;
    uint64 until;
    uint64 asOf;
}

struct Objection {
    bytes32 deployment;
    address safe;
    uint64 asOf;
    bytes32 reason;
}

/// EIP-712 struct hashes.
library TermsHash {
    bytes32 private constant CALL = keccak256("Call(address to,uint256 value,bytes data)");
    bytes32 private constant ACTION = keccak256(
        "Action(bytes32 deployment,address safe,bytes32 actionId,bytes32 needKey,uint64 sequence,uint256 draw,"
        "Call[] calls,uint64 deadline,uint64 asOf,address postTarget,bytes postCall,uint8 postWord,uint256 postMin)"
        "Call(address to,uint256 value,bytes data)"
    );
    bytes32 private constant WITHDRAWAL = keccak256(
        "Withdrawal(bytes32 deployment,address safe,address token,uint256 amount,address recipient,uint256 nonce,"
        "uint64 expiry,uint64 asOf,bytes32 basis)"
    );
    bytes32 private constant TRADE = keccak256(
        "Trade(bytes32 deployment,address safe,address to,uint256 value,bytes data,uint256 nonce,uint64 expiry,"
        "uint64 asOf,bytes32 basis)"
    );
    bytes32 private constant RESTRICTION =
        keccak256("Restriction(bytes32 deployment,address safe,uint64 until,uint64 asOf)");
    bytes32 private constant OBJECTION =
        keccak256("Objection(bytes32 deployment,address safe,uint64 asOf,bytes32 reason)");
    bytes32 private constant EXIT = keccak256("Exit(bytes32 deployment,address safe,uint256 round)");

    function hash(Action calldata a) internal pure returns (bytes32) {
        bytes32[] memory calls = new bytes32[](a.calls.length);
        for (uint256 i; i < calls.length; ++i) {
            Call calldata c = a.calls[i];
            calls[i] = keccak256(abi.encode(CALL, c.to, c.value, keccak256(c.data)));
        }
        return keccak256(
            abi.encode(
                ACTION,
                a.deployment,
                a.safe,
                a.actionId,
                a.needKey,
                a.sequence,
                a.draw,
                keccak256(abi.encodePacked(calls)),
                a.deadline,
                a.asOf,
                a.postTarget,
                keccak256(a.postCall),
                a.postWord,
                a.postMin
            )
        );
    }

    function hash(Withdrawal calldata w) internal pure returns (bytes32) {
        return keccak256(abi.encode(WITHDRAWAL, w));
    }

    function hash(Trade calldata t) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                TRADE, t.deployment, t.safe, t.to, t.value, keccak256(t.data), t.nonce, t.expiry, t.asOf, t.basis
            )
        );
    }

    function hash(Restriction calldata r) internal pure returns (bytes32) {
        return keccak256(abi.encode(RESTRICTION, r));
    }

    function hash(Objection calldata o) internal pure returns (bytes32) {
        return keccak256(abi.encode(OBJECTION, o));
    }

    function exitHash(bytes32 deployment, address safe, uint256 round) internal pure returns (bytes32) {
        return keccak256(abi.encode(EXIT, deployment, safe, round));
    }
}
