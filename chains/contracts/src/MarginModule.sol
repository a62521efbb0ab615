// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {CALM, PLANNER, PLANNERS, SINK, TICKET, TICKETS, UNCAPPED} from "./Callers.sol";
import {Exits} from "./Exits.sol";
import {Keys} from "./Keys.sol";
import {RuleBook} from "./RuleBook.sol";
import {ISafe} from "./Safe.sol";
import {Action, Call, Restriction, TermsHash, Trade, Withdrawal} from "./Terms.sol";

interface ICreditLine {
    function asset() external view returns (address);
    function draw(address safe, uint256 atoms) external;
}

/// The only door through which value leaves a prime account, and the only hand the planner has in it.
/// Immutable code: keys and caps change behind the timelocks of the rule book, the exit cannot be changed by anybody.
contract MarginModule is Exits, ReentrancyGuardTransient {
    using TermsHash for Action;
    using TermsHash for Restriction;
    using TermsHash for Trade;
    using TermsHash for Withdrawal;

    struct Pause {
        uint64 until;
        uint64 againFrom;
    }

    uint256 public constant MAX_PLANNER_PAUSE = 6 hours; // it also stops close-out
    uint256 public constant MAX_TICKETS_PAUSE = 3 days;
    uint256 public constant MAX_RESTRICTION = 1 days;

    ICreditLine public line;
    Pause public plannerPause;
    Pause public ticketsPause;
    mapping(address safe => mapping(bytes32 actionId => bool)) public done;
    mapping(address safe => mapping(bytes32 needKey => uint64)) private served;
    mapping(bytes32 structHash => bool) public used; // tickets and restrictions

    event ActionDone(
        bytes32 indexed actionId, address indexed safe, bytes32 indexed needKey, uint64 sequence, uint256 draw
    );
    event Withdrawn(
        address indexed safe, address indexed token, uint256 amount, address recipient, uint256 nonce, bytes32 basis
    );
    event TradeDone(address indexed safe, address indexed to, bytes4 selector, uint256 nonce, bytes32 basis);
    event Restricted(address indexed safe, uint256 until);
    event PlannerPaused(uint256 until);
    event TicketsPaused(uint256 until);
    event LineSet(address line);

    error NotAnAccount(address safe);
    error NotTheAccount();
    error AlreadyDone(bytes32 id);
    error WrongSequence(uint64 expected);
    error WrongNonce(uint256 expected);
    error NotPinned(address recipient);
    error DrawNotSunk(uint256 sunk, uint256 draw);
    error PostConditionFailed(uint256 got, uint256 want);
    error IsPaused();
    error PausedLately(uint256 againFrom);
    error RestrictionTooLong();

    constructor(RuleBook book_, bytes32 deployment_) Keys(book_, deployment_) {}

    // ---- stewards -----------------------------------------------------------------------------------------------------

    function setLine(ICreditLine line_) external only(book.plannerLock()) {
        line = line_;
        emit LineSet(address(line_));
    }

    /// While it lasts, actions are admitted whose every call is CALM. It ends by itself, and cannot be renewed at once.
    function pausePlanner() external only(book.guardian()) {
        plannerPause = _pause(plannerPause, MAX_PLANNER_PAUSE);
        emit PlannerPaused(plannerPause.until);
    }

    /// Stops withdrawals and ticketed trades: value leaving and new risk. Never the owners' own trades, never the exit clock.
    function pauseTickets() external only(book.guardian()) {
        ticketsPause = _pause(ticketsPause, MAX_TICKETS_PAUSE);
        emit TicketsPaused(ticketsPause.until);
    }

    function liftPlannerPause() external only(book.plannerLock()) {
        plannerPause.until = 0;
        emit PlannerPaused(0);
    }

    function liftTicketsPause() external only(book.ownerLock()) {
        ticketsPause.until = 0;
        emit TicketsPaused(0);
    }

    function _pause(Pause memory p, uint256 length) private view returns (Pause memory) {
        if (block.timestamp < p.againFrom) revert PausedLately(p.againFrom);
        uint256 until = block.timestamp + length;
        return Pause(uint64(until), uint64(until + 2 * length));
    }

    // ---- planner ------------------------------------------------------------------------------------------------------

    /// The sequence that the next action for this need must carry; the first is 1.
    function next(address safe, bytes32 needKey) public view returns (uint64) {
        return served[safe][needKey] + 1;
    }

    /// All calls happen or none. A plan made from lost history carries a wrong sequence and reverts.
    function execute(Action calldata a, bytes calldata signatures) external nonReentrant {
        _known(a.safe, a.deployment);
        _fresh(a.deadline, a.asOf);
        if (done[a.safe][a.actionId]) revert AlreadyDone(a.actionId);
        uint64 expected = next(a.safe, a.needKey);
        if (a.sequence != expected) revert WrongSequence(expected);
        _signed(PLANNERS, a.hash(), signatures);
        done[a.safe][a.actionId] = true;
        served[a.safe][a.needKey] = expected;
        address drawn;
        if (a.draw != 0) {
            if (standings[a.safe].exitAt != 0) revert ExitPending();
            drawn = line.asset();
            line.draw(a.safe, a.draw);
        }
        uint256 sunk = _plan(a.safe, a.calls, drawn);
        if (sunk < a.draw) revert DrawNotSunk(sunk, a.draw);
        _post(a);
        emit ActionDone(a.actionId, a.safe, a.needKey, a.sequence, a.draw);
    }

    /// Returns how much of the drawn token the SINK calls really took: an argument may promise more than the venue takes.
    function _plan(address safe, Call[] calldata calls, address drawn) private returns (uint256 sunk) {
        bool paused = block.timestamp < plannerPause.until;
        for (uint256 i; i < calls.length; ++i) {
            Call calldata c = calls[i];
            uint8 flags = _checked(PLANNERS, PLANNER, safe, c.to, c.value, c.data);
            if (paused && flags & CALM == 0) revert IsPaused();
            if (drawn == address(0) || flags & SINK == 0) {
                _run(safe, c.to, c.value, c.data);
                continue;
            }
            uint256 before = IERC20(drawn).balanceOf(safe);
            _run(safe, c.to, c.value, c.data);
            uint256 rest = IERC20(drawn).balanceOf(safe);
            if (rest < before) sunk += before - rest;
        }
    }

    function _post(Action calldata a) private view {
        if (a.postTarget == address(0)) return;
        (bool ok, bytes memory out) = a.postTarget.staticcall(a.postCall);
        uint256 offset = 32 + 32 * uint256(a.postWord);
        if (!ok || out.length < offset) revert CallFailed();
        uint256 got;
        assembly ("memory-safe") {
            got := mload(add(out, offset))
        }
        if (got < a.postMin) revert PostConditionFailed(got, a.postMin);
    }

    /// Close-out: the owners of an account below maintenance may not trade against the planner. Renewed daily, or it lapses.
    function restrict(Restriction calldata r, bytes calldata signatures) external {
        _known(r.safe, r.deployment);
        _fresh(type(uint64).max, r.asOf);
        if (r.until > block.timestamp + MAX_RESTRICTION) revert RestrictionTooLong();
        bytes32 h = r.hash();
        _once(h);
        _signed(PLANNERS, h, signatures);
        standings[r.safe].restrictedUntil = r.until;
        emit Restricted(r.safe, r.until);
    }

    function restrictedUntil(address safe) external view returns (uint256) {
        return standings[safe].restrictedUntil;
    }

    /// For the guard: may the account do as it likes, and are its owners held back.
    function standing(address safe) external view returns (bool exited, bool restricted) {
        return (isExited(safe), standings[safe].restrictedUntil > block.timestamp);
    }

    // ---- tickets ------------------------------------------------------------------------------------------------------

    /// Called by the Safe (its owners signed). The ticket names the Safe's own nonce: any other owner transaction in between
    /// voids it.
    function withdraw(Withdrawal calldata w, bytes calldata signatures) external nonReentrant {
        _ticket(w.safe, w.deployment, w.nonce, w.expiry, w.asOf, w.hash(), signatures);
        if (!book.isPinned(w.safe, bytes32(uint256(uint160(w.recipient))))) revert NotPinned(w.recipient);
        _meter(TICKETS, w.safe, w.token, w.amount);
        if (w.token == address(0)) {
            _run(w.safe, w.recipient, w.amount, "");
        } else {
            bytes memory out = _run(w.safe, w.token, 0, abi.encodeCall(IERC20.transfer, (w.recipient, w.amount)));
            if (out.length == 0 ? w.token.code.length == 0 : !abi.decode(out, (bool))) revert CallFailed();
        }
        emit Withdrawn(w.safe, w.token, w.amount, w.recipient, w.nonce, w.basis);
    }

    /// A listed call that raises risk or sends value to another network: needs the engine's consent to these exact bytes.
    /// A requested exit freezes credit, so there are none from then on.
    function trade(Trade calldata t, bytes calldata signatures) external nonReentrant {
        _ticket(t.safe, t.deployment, t.nonce, t.expiry, t.asOf, t.hash(), signatures);
        if (standings[t.safe].exitAt != 0) revert ExitPending();
        _checked(TICKETS, TICKET, t.safe, t.to, t.value, t.data);
        _run(t.safe, t.to, t.value, t.data);
        emit TradeDone(t.safe, t.to, bytes4(t.data[:4]), t.nonce, t.basis);
    }

    function _ticket(
        address safe,
        bytes32 deployment_,
        uint256 nonce,
        uint64 expiry,
        uint64 asOf,
        bytes32 structHash,
        bytes calldata signatures
    ) private {
        if (msg.sender != safe) revert NotTheAccount();
        _known(safe, deployment_);
        if (block.timestamp < ticketsPause.until) revert IsPaused();
        _fresh(expiry, asOf);
        _once(structHash);
        uint256 current = ISafe(safe).nonce() - 1; // the Safe counts before it calls
        if (current != nonce) revert WrongNonce(current);
        _signed(TICKETS, structHash, signatures);
    }

    // ---- common -------------------------------------------------------------------------------------------------------

    function _known(address safe, bytes32 deployment_) private view {
        _ours(deployment_);
        if (!book.isAccount(safe)) revert NotAnAccount(safe);
        if (isExited(safe)) revert Exited();
    }

    function _once(bytes32 id) private {
        if (used[id]) revert AlreadyDone(id);
        used[id] = true;
    }

    function _checked(uint8 role, uint8 caller, address safe, address to, uint256 value, bytes calldata data)
        private
        returns (uint8 flags)
    {
        address token;
        uint256 amount;
        (token, amount, flags) = book.check(safe, caller, to, value, data);
        if (token != address(0) && flags & UNCAPPED == 0) _meter(role, safe, token, amount);
        if (value != 0) _meter(role, safe, address(0), value);
    }
}
