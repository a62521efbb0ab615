"""Sizes: how much to repay, supply, sell. Pure arithmetic without opinions about when.

All divisions round so that the aim is met: amounts that cure go up, amounts that are promised to us go down.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, localcontext

from aggregator.units import BPS, RAY, atoms_down, atoms_up, decimal_of

WAD = 10**18


def repay_to_health(debt_usd: Decimal, health: Decimal, target: Decimal) -> Decimal:
    """USD of debt to repay so that a position of that health factor reaches `target`.

    With threshold-weighted collateral W = health * debt: W / (debt - x) = target. Zero when it is there already.
    """
    return max(Decimal(0), debt_usd - health * debt_usd / target)


def supply_to_health(debt_usd: Decimal, health: Decimal, target: Decimal, threshold_bps: int) -> Decimal:
    """USD of collateral with that liquidation threshold to add so that the position reaches `target`; zero when it is there.

    Raises ValueError for a threshold of zero: such collateral does not help.
    """
    if threshold_bps <= 0:
        raise ValueError("threshold_bps must be positive: collateral without a threshold cannot lift a health factor")
    return max(Decimal(0), (target - health) * debt_usd * BPS / threshold_bps)


def usd_of(atoms: int, decimals: int, price: Decimal) -> Decimal:
    """Exact USD value of `atoms`."""
    with localcontext() as context:
        context.prec = 80
        return decimal_of(atoms, decimals) * price


def atoms_worth_up(usd: Decimal, decimals: int, price: Decimal) -> int:
    """Fewest atoms worth at least `usd`. Raises ZeroDivisionError (decimal) for a price of zero."""
    with localcontext() as context:
        context.prec = 80
        context.rounding = ROUND_CEILING
        quantity = usd / price
    return atoms_up(quantity, decimals)


def atoms_worth_down(usd: Decimal, decimals: int, price: Decimal) -> int:
    """Most atoms worth at most `usd`."""
    with localcontext() as context:
        context.prec = 80
        context.rounding = ROUND_FLOOR
        quantity = usd / price
    return atoms_down(quantity, decimals)


def less_bps(atoms: int, bps: int) -> int:
    """`atoms` less `bps`, rounded up: for minimums that others must meet."""
    return -(-atoms * (BPS - bps) // BPS)


def plus_bps(atoms: int, bps: int) -> int:
    """`atoms` plus `bps`, rounded up."""
    return -(-atoms * (BPS + bps) // BPS)


def shares_of(atoms: int, index_ray: int) -> int:
    """Scaled shares of `atoms` at an index, half up as the venues round; at least 1 for at least one atom."""
    return max(1, (atoms * RAY + index_ray // 2) // index_ray) if atoms > 0 else 0


def wad(value: Decimal) -> int:
    """A ratio as an integer with 18 places, rounded down."""
    return int((value * WAD).to_integral_value(ROUND_FLOOR))


def smallest(limit: int, step: int, enough: Callable[[int], bool]) -> int | None:
    """Smallest multiple of `step` (or `limit` itself) in 1..limit that is enough, by bisection; None when even `limit` is not.

    `enough` must be monotone: once true, true for everything larger. The answer is at most one step above the true threshold.
    """
    if limit <= 0 or not enough(limit):
        return None
    step = max(1, step)
    low, high = 0, -(-limit // step)  # In steps: `high` is enough, `low` is not.
    while high - low > 1:
        middle = (low + high) // 2
        if enough(min(limit, middle * step)):
            high = middle
        else:
            low = middle
    return min(limit, high * step)
