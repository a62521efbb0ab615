"""Units: atoms, dollars, ratios, and the only rounding.

Atoms are Python integers. Dollars in the ledger's neighbourhood are `Decimal`; inside risk kernels they are float64 and come out
through `usd_up` / `usd_down`, which never round in the client's favour.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, localcontext

RAY = 10**27
BPS = 10_000
USD_PLACES = Decimal("0.000001")


def decimal_of(atoms: int, decimals: int) -> Decimal:
    """Exact quantity of `atoms` of a token with `decimals` places."""
    with localcontext() as context:
        context.prec = 80
        return Decimal(atoms).scaleb(-decimals)


def atoms_down(quantity: Decimal, decimals: int) -> int:
    """Largest number of atoms not above `quantity`."""
    with localcontext() as context:
        context.prec = 80
        return int(quantity.scaleb(decimals).to_integral_value(ROUND_FLOOR))


def atoms_up(quantity: Decimal, decimals: int) -> int:
    """Smallest number of atoms not below `quantity`."""
    with localcontext() as context:
        context.prec = 80
        return int(quantity.scaleb(decimals).to_integral_value(ROUND_CEILING))


def usd_down(value: float | Decimal) -> Decimal:
    """Dollars rounded toward minus infinity at six places: for values, available amounts and everything the client may use."""
    return _quantised(value, ROUND_FLOOR)


def usd_up(value: float | Decimal) -> Decimal:
    """Dollars rounded toward plus infinity at six places: for requirements, debts and asked amounts."""
    return _quantised(value, ROUND_CEILING)


def _quantised(value: float | Decimal, mode: str) -> Decimal:
    with localcontext() as context:
        context.prec = 80
        rounded = Decimal(value).quantize(USD_PLACES, rounding=mode)
    return rounded if rounded else Decimal("0.000000")


def places_down(value: Decimal, places: int) -> Decimal:
    """`value` rounded toward minus infinity at `places`: what the client has, for people to read."""
    return _at(value, places, ROUND_FLOOR)


def places_up(value: Decimal, places: int) -> Decimal:
    """`value` rounded toward plus infinity at `places`: what is required, owed or asked, for people to read."""
    return _at(value, places, ROUND_CEILING)


def _at(value: Decimal, places: int, mode: str) -> Decimal:
    with localcontext() as context:
        context.prec = 80
        return value.quantize(Decimal(1).scaleb(-places), rounding=mode)


def ratio_down(above: int, below: int, places: int = 6) -> Decimal:
    """`above / below` rounded toward minus infinity at `places`. Raises ZeroDivisionError for below = 0."""
    return decimal_of(above * 10**places // below, places)


def plain(value: Decimal) -> str:
    """Decimal string without exponent, as the API prints it."""
    return format(value, "f")


def ray_mul(a: int, b: int) -> int:
    """Aave's half-up ray multiplication (WadRayMath.rayMul)."""
    return (a * b + RAY // 2) // RAY


def ray_div(a: int, b: int) -> int:
    """Aave's half-up ray division (WadRayMath.rayDiv). Raises ZeroDivisionError for b = 0."""
    return (a * RAY + b // 2) // b
