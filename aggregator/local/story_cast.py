"""Who plays in the demo and with how much: drawn from the seed, each choice by its own name. Pure.

The sizes keep two promises for any seed. A first fall brings both clients' lending positions near liquidation, but not over it;
the whole fall leaves the first client sound as a whole and the second below maintenance margin.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

A, B, C = 71001, 71002, 71003
ETH_USD = 2000.0
FULL_FALL = 0.24  # from here on both clients' positions come as near as the story's faults and close-out need
FIRST_LEG = 0.48  # share of the whole fall that comes first
LIQUIDATION_THRESHOLD = {A: 0.825, B: 0.79}


@dataclass(frozen=True, slots=True)
class ClientCast:
    """One client: where it supplies ETH, how much it borrows against it, and its cash per network, in whole units."""

    client: str
    title: str
    role: str
    venue_chain: int
    weth: float
    health_factor: float
    cash: dict[int, float]
    may_move_collateral: bool

    @property
    def borrowed_usdc(self) -> float:
        """Debt that gives the drawn health factor at the opening price."""
        return self.weth * ETH_USD * LIQUIDATION_THRESHOLD[self.venue_chain] / self.health_factor


@dataclass(frozen=True, slots=True)
class Cast:
    """The whole play: clients, the two prices after the falls, what lenders pay in, and the order in which clients arrive."""

    seed: int
    shock: float
    clients: tuple[ClientCast, ...]
    first_price: float
    last_price: float
    lenders_usdc: float
    arrival: tuple[int, ...]

    @property
    def mild(self) -> bool:
        """A fall too small for the story's faults and close-out: it comes in small steps instead."""
        return not self.calm and self.shock < FULL_FALL

    @property
    def calm(self) -> bool:
        return self.last_price >= ETH_USD


def draw(seed: int, shock: float) -> Cast:
    """The cast of one seed. `shock` is the whole fall as a fraction of the opening price (0 to 0.25)."""

    def between(name: str, low: float, high: float, digits: int = 4) -> float:
        return round(random.Random(f"{seed}:{name}").uniform(low, high), digits)

    marlow_weth = between("marlow.weth", 80, 120, 1)
    tern_weth = between("tern.weth", 250, 350, 1)
    marlow = ClientCast(
        "marlow",
        "Marlow Capital",
        "client-1",
        A,
        marlow_weth,
        between("marlow.health_factor", 1.16, 1.172),
        {C: round(marlow_weth * ETH_USD * between("marlow.cash", 0.30, 0.33)), B: round(marlow_weth * 4)},
        True,
    )
    tern = ClientCast(
        "tern",
        "Tern Street Partners",
        "client-2",
        B,
        tern_weth,
        between("tern.health_factor", 1.165, 1.18),
        {C: round(tern_weth * ETH_USD * 0.005), A: round(tern_weth * 2)},
        False,
    )
    fall = shock * between("fall", 0.985, 1.0)
    order = [0, 1]
    random.Random(f"{seed}:arrival").shuffle(order)
    return Cast(
        seed,
        shock,
        (marlow, tern),
        round(ETH_USD * (1 - fall * FIRST_LEG), 2),
        round(ETH_USD * (1 - fall), 2),
        between("lenders", 1_500_000, 2_500_000, 0),
        tuple(order),
    )
