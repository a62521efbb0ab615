"""The credit line's arithmetic once more, in Python's integers: what the contract must do to the atom."""

from __future__ import annotations

from dataclasses import dataclass, field

RAY = 10**27
YEAR = 365 * 86_400
VIRTUAL = 10**6


@dataclass
class LineModel:
    """State of one line; every operation takes the time of its block. Rates are (base, slope, steep, kink, reserve bps)."""

    rates: tuple[int, int, int, int, int]
    index: int
    rate: int
    time: int
    cash: int
    penalty: int
    backstop: int
    shares: dict[str, int] = field(default_factory=dict)
    scaled: dict[str, int] = field(default_factory=dict)

    def index_at(self, time: int) -> int:
        return self.index + self.index * self.rate * (time - self.time) // (YEAR * RAY)

    def debt(self, safe: str, time: int) -> int:
        return -(-self.scaled.get(safe, 0) * self.index_at(time) // RAY)

    def total(self) -> int:
        """Debt at the stored index, rounded down."""
        return sum(self.scaled.values()) * self.index // RAY

    def assets(self) -> int:
        return max(0, self.cash + self.total() - self.penalty)

    def accrue(self, time: int) -> None:
        before = self.total()
        self.index, self.time = self.index_at(time), time
        self.penalty += (self.total() - before) * self.rates[4] // 10_000

    def reprice(self) -> None:
        base, slope, steep, kink, _ = self.rates
        debt = self.total()
        used = 0 if debt == 0 else debt * RAY // (debt + self.cash)
        if used <= kink:
            self.rate = base + slope * used // kink
        else:
            self.rate = base + slope + steep * (used - kink) // (RAY - kink)

    def deposit(self, lender: str, atoms: int, time: int) -> int:
        self.accrue(time)
        made = atoms * (sum(self.shares.values()) + VIRTUAL) // (self.assets() + 1)
        self.shares[lender] = self.shares.get(lender, 0) + made
        self.cash += atoms
        self.reprice()
        return made

    def worth(self, shares: int) -> int:
        return shares * (self.assets() + 1) // (sum(self.shares.values()) + VIRTUAL)

    def withdraw(self, lender: str, shares: int, time: int) -> int:
        self.accrue(time)
        paid = self.worth(shares)
        self.shares[lender] -= shares
        self.cash -= paid
        self.reprice()
        return paid

    def draw(self, safe: str, atoms: int, time: int) -> None:
        self.accrue(time)
        self.scaled[safe] = self.scaled.get(safe, 0) - (-atoms * RAY // self.index)
        self.cash -= atoms
        self.reprice()

    def repay(self, safe: str, atoms: int, time: int) -> int:
        self.accrue(time)
        owed = self.debt(safe, time)
        paid, gone = (owed, self.scaled.get(safe, 0)) if atoms >= owed else (atoms, atoms * RAY // self.index)
        self.scaled[safe] = self.scaled.get(safe, 0) - gone
        self.cash += paid
        self.reprice()
        return paid

    def write_off(self, safe: str, time: int) -> tuple[int, int, int, int]:
        """(loss, from penalty fund, from backstop, from lenders)."""
        self.accrue(time)
        loss = self.debt(safe, time)
        self.scaled[safe] = 0
        first = min(loss, self.penalty)
        second = min(loss - first, self.backstop)
        self.penalty -= first
        self.backstop -= second
        self.cash += second
        self.reprice()
        return loss, first, second, loss - first - second
