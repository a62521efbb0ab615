// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {PLANNERS, TICKETS} from "./Callers.sol";
import {LeakyBucket} from "./LeakyBucket.sol";
import {RuleBook} from "./RuleBook.sol";

/// Two disjoint key sets with their thresholds, the caps on what each may move, and the age of what they may sign.
/// The stewards are those of the rule book. Planner keys and caps pass plannerLock, ticket keys and caps ownerLock.
abstract contract Keys is EIP712 {
    using LeakyBucket for LeakyBucket.Bucket;

    uint256 public constant MAX_AGE = 15 minutes;
    uint256 public constant MAX_LEAD = 5 seconds; // the clock of a rollup may stand behind that of the network it was read from
    uint256 public constant WINDOW = 1 days;

    RuleBook public immutable book;
    bytes32 public immutable deployment;
    mapping(uint8 role => mapping(address key => bool)) public isKey;
    mapping(uint8 role => uint256) public threshold;
    mapping(uint8 role => mapping(address token => uint256)) public capPerSafe;
    mapping(uint8 role => mapping(address token => uint256)) public capForAll;
    mapping(bytes32 roleSafeToken => LeakyBucket.Bucket) public buckets;

    event KeysSet(uint8 indexed role, address[] on, address[] off, uint256 threshold);
    event KeyRevoked(uint8 indexed role, address key);
    event CapSet(uint8 indexed role, address indexed token, uint256 perSafe, uint256 forAll);

    error Expired();
    error Stale();
    error BadSignatures();
    error WrongDeployment();
    error NotPermitted();

    constructor(RuleBook book_, bytes32 deployment_) EIP712("Isthmus MarginModule", "1") {
        (book, deployment) = (book_, deployment_);
    }

    modifier only(address who) {
        if (msg.sender != who) revert NotPermitted();
        _;
    }

    function setKeys(uint8 role, address[] calldata on, address[] calldata off, uint256 need)
        external
        only(_lockOf(role))
    {
        uint8 other = role == PLANNERS ? TICKETS : PLANNERS;
        for (uint256 i; i < off.length; ++i) isKey[role][off[i]] = false;
        for (uint256 i; i < on.length; ++i) {
            if (isKey[other][on[i]]) revert NotPermitted();
            isKey[role][on[i]] = true;
        }
        threshold[role] = need;
        emit KeysSet(role, on, off, need);
    }

    function revokeKey(uint8 role, address key) external only(book.guardian()) {
        isKey[role][key] = false;
        emit KeyRevoked(role, key);
    }

    /// A token without a cap cannot move. The worst case is twice the cap within one window.
    function setCap(uint8 role, address token, uint256 perSafe, uint256 forAll) external only(_lockOf(role)) {
        if ((perSafe | forAll) > type(uint128).max) revert NotPermitted();
        (capPerSafe[role][token], capForAll[role][token]) = (perSafe, forAll);
        emit CapSet(role, token, perSafe, forAll);
    }

    /// The separator of the EIP-712 domain: name "Isthmus MarginModule", version "1", chain id, this contract.
    function domainSeparator() external view returns (bytes32) {
        return _domainSeparatorV4();
    }

    function _lockOf(uint8 role) private view returns (address) {
        return role == PLANNERS ? book.plannerLock() : book.ownerLock();
    }

    function _ours(bytes32 deployment_) internal view {
        if (deployment_ != deployment) revert WrongDeployment();
    }

    function _fresh(uint64 deadline, uint64 asOf) internal view {
        if (block.timestamp > deadline) revert Expired();
        if (asOf > block.timestamp + MAX_LEAD || block.timestamp > asOf + MAX_AGE) revert Stale();
    }

    /// Exactly the threshold's number of signatures, in ascending order of the signers.
    function _signed(uint8 role, bytes32 structHash, bytes calldata signatures) internal view {
        bytes32 digest = _hashTypedDataV4(structHash);
        uint256 need = threshold[role];
        if (need == 0 || signatures.length != 65 * need) revert BadSignatures();
        address last;
        for (uint256 i; i < need; ++i) {
            (address key, ECDSA.RecoverError e,) = ECDSA.tryRecover(digest, signatures[65 * i:65 * i + 65]);
            if (e != ECDSA.RecoverError.NoError || key <= last || !isKey[role][key]) revert BadSignatures();
            last = key;
        }
    }

    function _meter(uint8 role, address safe, address token, uint256 amount) internal {
        bytes32 one = keccak256(abi.encode(role, safe, token));
        bytes32 all = keccak256(abi.encode(role, address(0), token));
        buckets[one].fill(token, amount, capPerSafe[role][token], WINDOW);
        buckets[all].fill(token, amount, capForAll[role][token], WINDOW);
    }
}
