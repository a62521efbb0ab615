// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {CALLERS, PLANNER} from "./Callers.sol";
import {Feeds} from "./Feeds.sol";
import {Stewards} from "./Stewards.sol";

/// Which calls a prime account may make, and with which arguments. Everything absent is refused.
/// Only functions with static arguments can be listed: calldata must be exactly 4 + 32 * words bytes, so no offset trick, no
/// trailing payload and no dirty upper bits can change what the venue reads.
/// Whatever loosens what the planner may do (its rules, the sets and feeds they read) passes plannerLock, all else ownerLock.
contract RuleBook is Feeds {
    enum Kind {
        Self, // the word is the account
        Equal, // the word is arg
        InSet, // the word is a member of set arg
        Pinned, // the word is a recipient of the account; arg = 1 + word of the domain, or 0 on this network
        AtMost, // the word is not above arg
        AtLeast, // the word is not below arg
        FairSwap // arg packs words tokenIn, tokenOut, amountIn, minOut (8 bits each, lowest first) and basis points (16 bits)
    }

    struct Check {
        Kind kind;
        uint8 word;
        bytes32 arg;
    }

    struct Rule {
        uint8 callers; // bits of Callers.sol
        uint8 words; // number of argument words
        uint8 tokenWord; // argument that names the token that moves; 0xff: the target is the token
        uint8 amountWord; // argument that holds the amount; 0xff: nothing to meter
        uint128 maxValue; // native coin that may travel with the call
    }

    /// The rest of a rule is packed into the code of a data contract: two cold reads instead of two per check.
    struct Entry {
        address blob;
        uint8 callers;
    }

    uint256 public constant PIN_DELAY = 2 days;
    uint256 public constant BIRTH_WINDOW = 1 hours;
    uint256 private constant HEADER = 19; // words, tokenWord, amountWord, maxValue
    uint256 private constant CHECK = 34; // kind, word, arg
    uint8 private constant NONE = 0xff;

    address public factory;
    mapping(bytes32 key => Entry) private entries;
    mapping(bytes32 set => mapping(bytes32 member => bool)) public inSet;
    mapping(bytes32 set => bool) public readByPlanner;
    mapping(address safe => uint256) public bornAt;
    mapping(address safe => mapping(bytes32 recipient => uint256)) public pinnedFrom;
    mapping(address token => uint256) public turnoverCap; // what an owner alone may swap in a day

    event FactorySet(address factory);
    event RuleSet(address indexed target, bytes4 indexed selector, uint8 callers);
    event MemberSet(bytes32 indexed set, bytes32 indexed member, bool on);
    event TurnoverCapSet(address indexed token, uint256 cap);
    event PinRequested(address indexed safe, bytes32 recipient, uint256 from);
    event PinRemoved(address indexed safe, bytes32 recipient);

    error NotListed(address target, bytes4 selector);
    error WrongCaller(uint8 caller);
    error WrongLength(uint256 length);
    error TooMuchValue(uint256 value);
    error BadArgument(uint8 word, Kind kind);

    constructor(address ownerLock_, address plannerLock_, address guardian_)
        Stewards(ownerLock_, plannerLock_, guardian_)
    {}

    // ---- rules, sets, limits ------------------------------------------------------------------------------------------

    /// Once and for all: a second factory could admit accounts with recipients of its own choice.
    function setFactory(address factory_) external only(plannerLock) {
        if (factory != address(0)) revert NotPermitted();
        factory = factory_;
        emit FactorySet(factory_);
    }

    function setRule(address target, bytes4 selector, Rule calldata rule, Check[] calldata list) external {
        Entry storage entry = entries[keyOf(target, selector)];
        bool planner = (entry.callers | rule.callers) & PLANNER != 0;
        if (msg.sender != (planner ? plannerLock : ownerLock)) revert NotPermitted();
        _inside(rule.tokenWord, rule.words, true);
        _inside(rule.amountWord, rule.words, true);
        bytes memory packed = abi.encodePacked(rule.words, rule.tokenWord, rule.amountWord, rule.maxValue);
        for (uint256 i; i < list.length; ++i) {
            Check calldata c = list[i];
            _validate(c, rule.words);
            if (c.kind == Kind.InSet && rule.callers & PLANNER != 0) readByPlanner[c.arg] = true;
            packed = abi.encodePacked(packed, c.kind, c.word, c.arg);
        }
        (entry.blob, entry.callers) = (_store(packed), rule.callers);
        emit RuleSet(target, selector, rule.callers);
    }

    function strike(address target, bytes4 selector) external {
        if (!isSteward(msg.sender)) revert NotPermitted();
        entries[keyOf(target, selector)].callers = 0;
        emit RuleSet(target, selector, 0);
    }

    function setMember(bytes32 set, bytes32 member, bool on) external {
        if (on ? msg.sender != (readByPlanner[set] ? plannerLock : ownerLock) : !isSteward(msg.sender)) {
            revert NotPermitted();
        }
        inSet[set][member] = on;
        emit MemberSet(set, member, on);
    }

    function setTurnoverCap(address token, uint256 cap) external only(ownerLock) {
        if (cap > type(uint128).max) revert NotPermitted();
        turnoverCap[token] = cap;
        emit TurnoverCapSet(token, cap);
    }

    function keyOf(address target, bytes4 selector) public pure returns (bytes32) {
        return keccak256(abi.encode(target, selector));
    }

    /// The rule as it was set; callers = 0 where there is none or it was struck.
    function ruleOf(address target, bytes4 selector) external view returns (Rule memory rule, Check[] memory list) {
        Entry memory entry = entries[keyOf(target, selector)];
        if (entry.blob == address(0)) return (rule, list);
        bytes memory b = entry.blob.code;
        rule = Rule(entry.callers, uint8(b[1]), uint8(b[2]), uint8(b[3]), uint128(uint256(_load(b, 4)) >> 128));
        list = new Check[]((b.length - 1 - HEADER) / CHECK);
        for (uint256 i; i < list.length; ++i) {
            uint256 p = 1 + HEADER + CHECK * i;
            list[i] = Check(Kind(uint8(b[p])), uint8(b[p + 1]), _load(b, p + 2));
        }
    }

    // ---- accounts and their recipients ----------------------------------------------------------------------------------

    function isAccount(address safe) external view returns (bool) {
        return bornAt[safe] != 0;
    }

    /// Only accounts that the factory made are accounts. Recipients named here count at once.
    function admit(address safe, bytes32[] calldata pins) external only(factory) {
        if (bornAt[safe] != 0) revert NotPermitted();
        bornAt[safe] = block.timestamp;
        for (uint256 i; i < pins.length; ++i) _pin(safe, pins[i], block.timestamp);
    }

    /// A recipient of the calling account: an address here, or keccak256(domain, address) on another network. The delay gives
    /// client and guardian time to object; planner and ticket keys have no say. A newborn account holds nothing yet, so in its
    /// first hour there is no delay: it can name its siblings, whose addresses depend on one another, only after its birth.
    function requestPin(bytes32 recipient) external {
        uint256 born = bornAt[msg.sender];
        bool newborn = born != 0 && block.timestamp <= born + BIRTH_WINDOW;
        _pin(msg.sender, recipient, newborn ? block.timestamp : block.timestamp + PIN_DELAY);
    }

    function unpin(address safe, bytes32 recipient) external {
        if (msg.sender != safe && msg.sender != guardian) revert NotPermitted();
        delete pinnedFrom[safe][recipient];
        emit PinRemoved(safe, recipient);
    }

    function isPinned(address safe, bytes32 recipient) public view returns (bool) {
        uint256 from = pinnedFrom[safe][recipient];
        return from != 0 && from <= block.timestamp;
    }

    /// Asking again for a recipient that is on its way, or already there, does not put it off.
    function _pin(address safe, bytes32 recipient, uint256 from) private {
        uint256 before = pinnedFrom[safe][recipient];
        if (before != 0 && before <= from) from = before;
        pinnedFrom[safe][recipient] = from;
        emit PinRequested(safe, recipient, from);
    }

    // ---- the check ----------------------------------------------------------------------------------------------------

    /// Reverts with the broken rule, or returns which token moves, how much of it, and the bits of the rule.
    function check(address safe, uint8 caller, address to, uint256 value, bytes calldata data)
        external
        view
        returns (address token, uint256 amount, uint8 flags)
    {
        if (data.length < 4) revert NotListed(to, 0);
        bytes4 selector = bytes4(data[:4]);
        Entry memory entry = entries[keyOf(to, selector)];
        flags = entry.callers;
        if (flags & CALLERS == 0 || to == safe) revert NotListed(to, selector);
        if (flags & caller == 0) revert WrongCaller(caller);
        bytes memory b = entry.blob.code;
        if (data.length != 4 + 32 * uint256(uint8(b[1]))) revert WrongLength(data.length);
        if (value > uint256(_load(b, 4)) >> 128) revert TooMuchValue(value);
        for (uint256 p = 1 + HEADER; p < b.length; p += CHECK) {
            (Kind kind, uint8 word) = (Kind(uint8(b[p])), uint8(b[p + 1]));
            if (!_holds(safe, data, kind, word, _load(b, p + 2))) revert BadArgument(word, kind);
        }
        if (uint8(b[3]) != NONE) {
            amount = uint256(_word(data, uint8(b[3])));
            token = uint8(b[2]) == NONE ? to : address(uint160(uint256(_word(data, uint8(b[2])))));
        }
    }

    function _holds(address safe, bytes calldata data, Kind kind, uint8 wordAt, bytes32 arg) private view returns (bool) {
        if (kind == Kind.FairSwap) return _fair(data, uint256(arg));
        bytes32 word = _word(data, wordAt);
        if (kind == Kind.Self) return word == bytes32(uint256(uint160(safe)));
        if (kind == Kind.Equal) return word == arg;
        if (kind == Kind.InSet) return inSet[arg][word];
        if (kind == Kind.AtMost) return uint256(word) <= uint256(arg);
        if (kind == Kind.AtLeast) return uint256(word) >= uint256(arg);
        if (arg == 0) return isPinned(safe, word);
        return isPinned(safe, keccak256(abi.encode(_word(data, uint8(uint256(arg) - 1)), word)));
    }

    /// A swap may not promise itself less than the oracle value minus the tolerance; otherwise an owner trades against itself
    /// at a bad price and value leaves by a listed call.
    function _fair(bytes calldata data, uint256 arg) private view returns (bool) {
        uint256 amountIn = uint256(_word(data, uint8(arg >> 16)));
        uint256 minOut = uint256(_word(data, uint8(arg >> 24)));
        if ((amountIn | minOut) > type(uint128).max) return false;
        uint256 paid = valueOf(address(uint160(uint256(_word(data, uint8(arg))))), amountIn, Math.Rounding.Ceil);
        uint256 got = valueOf(address(uint160(uint256(_word(data, uint8(arg >> 8))))), minOut, Math.Rounding.Floor);
        return got * 10_000 >= paid * (10_000 - uint16(arg >> 32));
    }

    // ---- packing ------------------------------------------------------------------------------------------------------

    /// What a check reads must lie inside the calldata, whose length the rule fixes.
    function _validate(Check calldata c, uint8 words) private pure {
        if (c.kind == Kind.FairSwap) {
            uint256 arg = uint256(c.arg);
            for (uint256 i; i < 4; ++i) _inside(uint8(arg >> (8 * i)), words, false);
            if (uint16(arg >> 32) > 10_000) revert TooMuchValue(uint16(arg >> 32));
            return;
        }
        _inside(c.word, words, false);
        if (c.kind != Kind.Pinned || c.arg == 0) return;
        if (uint256(c.arg) > words) revert WrongLength(uint256(c.arg));
    }

    function _inside(uint8 word, uint8 words, bool orNone) private pure {
        if (word >= words && !(orNone && word == NONE)) revert WrongLength(word);
    }

    /// Writes the bytes as the code of a new contract, behind a STOP so that nobody can run them.
    function _store(bytes memory packed) private returns (address blob) {
        bytes memory code = abi.encodePacked(hex"600b5981380380925939f3", hex"00", packed);
        assembly ("memory-safe") {
            blob := create(0, add(code, 32), mload(code))
        }
        if (blob == address(0)) revert NotPermitted();
    }

    function _load(bytes memory b, uint256 offset) private pure returns (bytes32 word) {
        assembly ("memory-safe") {
            word := mload(add(add(b, 32), offset))
        }
    }

    function _word(bytes calldata data, uint8 i) private pure returns (bytes32) {
        uint256 start = 4 + 32 * uint256(i);
        return bytes32(data[start:start + 32]);
    }
}
