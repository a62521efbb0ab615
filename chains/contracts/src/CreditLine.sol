// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Interest} from "./Interest.sol";
import {RuleBook} from "./RuleBook.sol";

/// Lenders' local inventory. Only MarginModule draws, to prime accounts, and it sees to it that what is drawn reaches a venue;
/// anyone may repay. cash + debt = what lenders own + the penalty fund; the backstop lies apart and is never lent.
/// Balances are counted here and never read from the token, so a donation changes nothing; together with virtual shares this
/// leaves the first lender nothing to inflate.
contract CreditLine is Interest, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    uint256 public constant VIRTUAL_SHARES = 1e6;

    IERC20 public immutable asset;
    address public immutable module;
    RuleBook public immutable book; // the stewards are those of the rule book

    uint256 public cash; // idle, of lenders and penalty fund
    uint256 public penaltyFund; // first to bear a loss: a claim on cash and debt
    uint256 public backstop; // second to bear a loss: cash held apart
    uint256 public totalShares;
    uint256 public totalLimit;
    mapping(address lender => uint256) public sharesOf;
    mapping(address safe => uint256) private limits; // limit + 1; 0: that of address zero

    event Funded(address indexed lender, uint256 atoms, uint256 shares);
    event Defunded(address indexed lender, uint256 atoms, uint256 shares);
    event Drawn(address indexed safe, uint256 atoms, uint256 scaled, uint256 index);
    event Repaid(address indexed safe, address indexed payer, uint256 atoms, uint256 scaled, uint256 index);
    event BadDebt(address indexed safe, uint256 atoms, uint256 fromPenalty, uint256 fromBackstop, uint256 fromLenders);
    event PenaltyPaid(address indexed payer, uint256 atoms);
    event BackstopPaid(address indexed payer, uint256 atoms);
    event BackstopTaken(address indexed to, uint256 atoms);
    event LimitSet(address indexed safe, uint256 atoms);
    event TotalLimitSet(uint256 atoms);

    error NotPermitted();
    error NoCash(uint256 cash);
    error NoShares(uint256 shares);
    error OverLimit(uint256 debt, uint256 limit);

    constructor(IERC20 asset_, address module_, RuleBook book_) {
        (asset, module, book) = (asset_, module_, book_);
    }

    modifier only(address who) {
        if (msg.sender != who) revert NotPermitted();
        _;
    }

    /// Every change of cash or debt happens at the index of now, and sets the rate of later.
    modifier accruing() {
        uint256 interest = _accrue();
        penaltyFund += interest * rates.reserveBps / 10_000;
        _;
        _reprice(cash);
    }

    // ---- lenders ------------------------------------------------------------------------------------------------------

    /// What the lenders own now, in atoms.
    function totalAssets() public view returns (uint256) {
        uint256 debt = totalDebt();
        uint256 interest = debt - Math.mulDiv(totalScaled, index, RAY);
        uint256 fund = penaltyFund + interest * rates.reserveBps / 10_000;
        return cash + debt > fund ? cash + debt - fund : 0;
    }

    function sharesFor(uint256 atoms) public view returns (uint256) {
        return Math.mulDiv(atoms, totalShares + VIRTUAL_SHARES, totalAssets() + 1);
    }

    function atomsFor(uint256 shares) public view returns (uint256) {
        return Math.mulDiv(shares, totalAssets() + 1, totalShares + VIRTUAL_SHARES);
    }

    function deposit(uint256 atoms) external nonReentrant accruing returns (uint256 shares) {
        shares = sharesFor(atoms);
        if (shares == 0) revert NoShares(0);
        sharesOf[msg.sender] += shares;
        totalShares += shares;
        cash += atoms;
        asset.safeTransferFrom(msg.sender, address(this), atoms);
        emit Funded(msg.sender, atoms, shares);
    }

    /// Pays from idle cash only; what is lent has to come back first.
    function withdraw(uint256 shares) external nonReentrant accruing returns (uint256 atoms) {
        if (shares > sharesOf[msg.sender]) revert NoShares(sharesOf[msg.sender]);
        atoms = atomsFor(shares);
        if (atoms > cash) revert NoCash(cash);
        sharesOf[msg.sender] -= shares;
        totalShares -= shares;
        cash -= atoms;
        asset.safeTransfer(msg.sender, atoms);
        emit Defunded(msg.sender, atoms, shares);
    }

    // ---- accounts -----------------------------------------------------------------------------------------------------

    function draw(address safe, uint256 atoms) external only(module) nonReentrant accruing {
        if (atoms > cash) revert NoCash(cash);
        uint256 scaled = _addDebt(safe, atoms);
        (uint256 debt, uint256 limit) = (debtOf(safe), limitOf(safe));
        if (debt > limit) revert OverLimit(debt, limit);
        if (totalDebt() > totalLimit) revert OverLimit(totalDebt(), totalLimit);
        cash -= atoms;
        asset.safeTransfer(safe, atoms);
        emit Drawn(safe, atoms, scaled, index);
    }

    /// Pays at most what the account owes; 2^256 - 1 pays all of it. Nothing owed: nothing paid.
    function repay(address account, uint256 atoms) external nonReentrant accruing returns (uint256 paid) {
        uint256 scaled;
        (paid, scaled) = _takeDebt(account, atoms);
        if (paid == 0) return 0;
        cash += paid;
        asset.safeTransferFrom(msg.sender, address(this), paid);
        emit Repaid(account, msg.sender, paid, scaled, index);
    }

    // ---- losses -------------------------------------------------------------------------------------------------------

    function payPenalty(uint256 atoms) external nonReentrant accruing {
        penaltyFund += atoms;
        cash += atoms;
        asset.safeTransferFrom(msg.sender, address(this), atoms);
        emit PenaltyPaid(msg.sender, atoms);
    }

    function payBackstop(uint256 atoms) external nonReentrant {
        backstop += atoms;
        asset.safeTransferFrom(msg.sender, address(this), atoms);
        emit BackstopPaid(msg.sender, atoms);
    }

    function takeBackstop(address to, uint256 atoms) external only(book.plannerLock()) nonReentrant {
        if (atoms > backstop) revert NoCash(backstop);
        backstop -= atoms;
        asset.safeTransfer(to, atoms);
        emit BackstopTaken(to, atoms);
    }

    /// Books what an account will never pay: the penalty fund bears it first, then the backstop, then lenders pro rata.
    function writeOff(address safe) external only(book.plannerLock()) nonReentrant accruing {
        (uint256 loss,) = _takeDebt(safe, type(uint256).max);
        uint256 fromPenalty = Math.min(loss, penaltyFund);
        uint256 fromBackstop = Math.min(loss - fromPenalty, backstop);
        penaltyFund -= fromPenalty;
        backstop -= fromBackstop;
        cash += fromBackstop;
        emit BadDebt(safe, loss, fromPenalty, fromBackstop, loss - fromPenalty - fromBackstop);
    }

    // ---- limits and rates ---------------------------------------------------------------------------------------------

    function limitOf(address safe) public view returns (uint256) {
        uint256 own = limits[safe];
        if (own == 0) own = limits[address(0)];
        return own == 0 ? 0 : own - 1;
    }

    /// Address zero sets the limit of every account that has none of its own. The guardian may lower a limit at once.
    function setLimit(address safe, uint256 atoms) external {
        _mayLimit(limitOf(safe), atoms);
        limits[safe] = atoms + 1;
        emit LimitSet(safe, atoms);
    }

    function setTotalLimit(uint256 atoms) external {
        _mayLimit(totalLimit, atoms);
        totalLimit = atoms;
        emit TotalLimitSet(atoms);
    }

    function setRates(Rates calldata r) external only(book.ownerLock()) accruing {
        _setRates(r);
    }

    function _mayLimit(uint256 before, uint256 atoms) private view {
        if (msg.sender != book.ownerLock() && (msg.sender != book.guardian() || atoms >= before)) revert NotPermitted();
    }
}
