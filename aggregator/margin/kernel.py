"""Kernel: stressed values of one account in all scenarios at once, exact to the micro-dollar. Pure.

Rows are what remains of each holding (signed, debts negative), grouped by asset; factors are gross returns in parts per billion per
scenario and asset. A row in a scenario is floor(row * factor), an asset's net exposure then pays its price concession, and the
account's stressed value is the sum. Integers only: the same in every bit whatever the order of rows, the machine or the path taken.
`stressed` picks numpy where 64 bits hold the numbers without loss, else the reference; both say the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PPB = 10**9
FITS = 4 * 10**17  # micro-dollars; times a factor below MAX_FACTOR stays inside 63 bits
MAX_FACTOR = 9 * PPB

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Table:
    """Factors [scenario][asset] and price concession [asset], parts per billion; assets in a fixed order."""

    names: tuple[str, ...]
    assets: tuple[str, ...]
    factors: tuple[tuple[int, ...], ...]
    concession: tuple[int, ...]


def stressed(rows: Sequence[tuple[int, int]], table: Table) -> list[int]:
    """Stressed value of the account per scenario, micro-dollars. rows: (index of asset, signed micro-dollars)."""
    fits = sum(abs(v) for _, v in rows) <= FITS and max((max(r) for r in table.factors), default=0) <= MAX_FACTOR
    return stressed_arrays(rows, table) if fits and rows else stressed_reference(rows, table)


def stressed_reference(rows: Sequence[tuple[int, int]], table: Table) -> list[int]:
    """The readable one: Python integers of any size."""
    values = []
    for factors in table.factors:
        net = [0] * len(table.assets)
        for asset, value in rows:
            net[asset] += value * factors[asset] // PPB
        after = [n * (PPB - c if n >= 0 else PPB + c) // PPB for n, c in zip(net, table.concession, strict=True)]
        values.append(sum(after))
    return values


def stressed_arrays(rows: Sequence[tuple[int, int]], table: Table) -> list[int]:
    """The same with numpy; only for rows within FITS and factors within MAX_FACTOR."""
    index = np.array([a for a, _ in rows], dtype=np.int64)
    value = np.array([v for _, v in rows], dtype=np.int64)
    factors = np.array(table.factors, dtype=np.int64)
    moved = _scaled(value[np.newaxis, :], factors[:, index])
    member = (index[:, np.newaxis] == np.arange(len(table.assets))[np.newaxis, :]).astype(np.int64)
    net = moved @ member
    concession = np.array(table.concession, dtype=np.int64)
    after: Ints = _scaled(net, np.where(net >= 0, PPB - concession, PPB + concession))
    return [int(v) for v in after.sum(axis=1)]


def _scaled(value: Ints, parts: Ints) -> Ints:
    """floor(value * parts / 10^9) without a 128-bit product: the whole billions and the rest apart."""
    whole, rest = np.divmod(value, PPB)
    result: Ints = whole * parts + rest * parts // PPB
    return result
