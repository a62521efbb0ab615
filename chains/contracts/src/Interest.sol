// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

/// Debts as shares of one growing index. Whoever holds the events IndexUpdated, Drawn, Repaid and BadDebt has every number here:
/// index(t) = index + index * rate * (t - time) / YEAR / RAY, rounded down once; debt = scaled * index / RAY, rounded up.
abstract contract Interest {
    struct Rates {
        uint128 base; // RAY per year, at no utilisation
        uint128 slope; // RAY per year, added up to the kink
        uint128 steep; // RAY per year, added beyond the kink
        uint96 kink; // RAY, share of the pool that is lent
        uint16 reserveBps; // share of interest that goes to the penalty fund
    }

    uint256 internal constant RAY = 1e27;
    uint256 internal constant YEAR = 365 days;
    uint256 internal constant MAX_RATE = 10 * RAY; // so that the index cannot overflow in any reasonable time

    uint256 public index = RAY;
    uint256 public rate; // RAY per year, valid from `time`
    uint256 public time;
    uint256 public totalScaled;
    mapping(address safe => uint256) public scaledOf;
    Rates public rates;

    event IndexUpdated(uint256 index, uint256 rate, uint256 time);
    event RatesSet(uint256 base, uint256 slope, uint256 steep, uint256 kink, uint256 reserveBps);

    error RateTooHigh();

    constructor() {
        time = block.timestamp;
    }

    function currentIndex() public view returns (uint256) {
        return index + index * rate * (block.timestamp - time) / (YEAR * RAY);
    }

    /// What the account owes now, in atoms.
    function debtOf(address safe) public view returns (uint256) {
        return Math.mulDiv(scaledOf[safe], currentIndex(), RAY, Math.Rounding.Ceil);
    }

    /// What all accounts owe now, in atoms, rounded down: it is an asset of the lenders.
    function totalDebt() public view returns (uint256) {
        return Math.mulDiv(totalScaled, currentIndex(), RAY);
    }

    /// Brings the index to now. Returns the interest earned since the last time, in atoms.
    function _accrue() internal returns (uint256 interest) {
        uint256 now_ = currentIndex();
        interest = Math.mulDiv(totalScaled, now_, RAY) - Math.mulDiv(totalScaled, index, RAY);
        (index, time) = (now_, block.timestamp);
    }

    /// Ends each change of cash or debt: the new rate holds from now on.
    function _reprice(uint256 cash) internal {
        uint256 debt = Math.mulDiv(totalScaled, index, RAY);
        rate = rateAt(debt == 0 ? 0 : Math.mulDiv(debt, RAY, debt + cash));
        emit IndexUpdated(index, rate, block.timestamp);
    }

    /// Yearly rate at a utilisation, both in RAY.
    function rateAt(uint256 utilisation) public view returns (uint256) {
        Rates memory r = rates;
        if (utilisation <= r.kink) {
            return r.kink == 0 ? r.base : uint256(r.base) + Math.mulDiv(r.slope, utilisation, r.kink);
        }
        return uint256(r.base) + r.slope + Math.mulDiv(r.steep, utilisation - r.kink, RAY - r.kink);
    }

    function _setRates(Rates calldata r) internal {
        if (uint256(r.base) + r.slope + r.steep > MAX_RATE || r.kink > RAY || r.reserveBps > 10_000) revert RateTooHigh();
        rates = r;
        emit RatesSet(r.base, r.slope, r.steep, r.kink, r.reserveBps);
    }

    function _addDebt(address safe, uint256 atoms) internal returns (uint256 scaled) {
        scaled = Math.mulDiv(atoms, RAY, index, Math.Rounding.Ceil);
        scaledOf[safe] += scaled;
        totalScaled += scaled;
    }

    /// Takes at most the debt. Returns the atoms that were owed and are paid, and the scaled debt that is gone.
    function _takeDebt(address safe, uint256 atoms) internal returns (uint256 paid, uint256 scaled) {
        uint256 owed = Math.mulDiv(scaledOf[safe], index, RAY, Math.Rounding.Ceil);
        if (atoms >= owed) (paid, scaled) = (owed, scaledOf[safe]);
        else (paid, scaled) = (atoms, Math.mulDiv(atoms, RAY, index));
        scaledOf[safe] -= scaled;
        totalScaled -= scaled;
    }
}
