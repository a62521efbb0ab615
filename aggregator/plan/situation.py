"""Situation: everything the planner may look at for one client, as of one cut. Pure and frozen.

A hypothesis is stated in ledger transfers, the same that a step reserves: `after` nets and assesses the books with them counted as
done. What a step promises and what was computed for it are therefore one thing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aggregator.ledger.accounts import LedgerAccount
from aggregator.ledger.transfers import Transfer
from aggregator.margin.engine import assess
from aggregator.margin.parameters import Parameters
from aggregator.margin.report import MarginReport
from aggregator.market.prices import Snapshot
from aggregator.plan.limits import Limits
from aggregator.plan.mandate import Mandate
from aggregator.plan.steps import Step
from aggregator.portfolio.interest import InterestState, compounded_index, line_index, linear_index
from aggregator.portfolio.netting import net
from aggregator.portfolio.portfolio import AsOf, Portfolio, View
from aggregator.units import RAY

if TYPE_CHECKING:
    from chains.networks.network import Network


@dataclass(frozen=True, slots=True)
class LineState:
    """What one network's credit line can still lend to this account: idle cash and the room under its limits, atoms."""

    cash_atoms: int
    room_atoms: int

    @property
    def available_atoms(self) -> int:
        return max(0, min(self.cash_atoms, self.room_atoms))


NO_LINE = LineState(0, 0)


@dataclass(frozen=True, slots=True)
class Book:
    """One view of the client: signed balances, the portfolio they net to, its report."""

    balances: Mapping[LedgerAccount, int]
    portfolio: Portfolio
    report: MarginReport


@dataclass(frozen=True, slots=True)
class Situation:
    """One client as of one cut.

    books: HEAD, PROJECTED, OPTIMISTIC by view. cautious: the books whose worse report is the cautious view (finalised and head,
    less reservations). close_out: the close-out gate is open. interest: by ledger asset key. finalised: posted balances.
    quarantined: keys of ledger accounts. lines: by chain id. live_needs: needs with a live action. sequences: next number of a need
    on chain, 1 where absent. failures: (failed steps in a row, block time of the last) by need. bridge_fees: wei by (source,
    destination); a pair that is absent cannot be quoted and is not used. bridge_delay_s: by bridge name, for the reasons.
    halted: networks that are stopped or not seen lately; nothing is planned there.
    """

    client: str
    client_state: str
    mandate: Mandate
    as_of: AsOf
    books: Mapping[View, Book]
    cautious: tuple[Book, ...]
    close_out: bool
    market: Snapshot
    parameters: Parameters
    networks: Mapping[int, Network]
    safes: tuple[tuple[int, str], ...]
    interest: Mapping[str, InterestState]
    finalised: Mapping[LedgerAccount, int]
    quarantined: frozenset[str]
    custody_intact: bool
    lines: Mapping[int, LineState]
    live_needs: frozenset[str]
    sequences: Mapping[str, int]
    failures: Mapping[str, tuple[int, int]]
    bridge_fees: Mapping[tuple[int, int], int]
    bridge_delay_s: Mapping[str, int]
    limits: Limits
    halted: frozenset[int] = frozenset()

    def safe(self, chain_id: int) -> str | None:
        """Address of the client's prime account on one network."""
        return dict(self.safes).get(chain_id)

    def block_time(self, chain_id: int) -> int | None:
        """Block time of the network at the cut."""
        return next((b.timestamp for c, b in self.as_of.cut.blocks.items() if c == chain_id), None)

    def after(self, view: View, transfers: Iterable[Transfer]) -> MarginReport:
        """Report of a view with these transfers counted as done."""
        return self._after(view, self.books[view].balances, transfers)

    def cautious_after(self, transfers: Sequence[Transfer]) -> tuple[MarginReport, ...]:
        """Reports of the cautious books with these transfers counted as done."""
        return tuple(self._after(book.portfolio.view, book.balances, transfers) for book in self.cautious)

    def _after(self, view: View, balances: Mapping[LedgerAccount, int], transfers: Iterable[Transfer]) -> MarginReport:
        changed = dict(balances)
        for t in transfers:
            changed[t.debit] = changed.get(t.debit, 0) + t.atoms
            changed[t.credit] = changed.get(t.credit, 0) - t.atoms
        portfolio = net(
            self.client, view, changed, self.interest, self.networks, self.as_of, self.safes, self.quarantined,
            self.custody_intact, self.finalised,
        )  # fmt: skip
        return assess(portfolio, self.market, self.parameters)

    def index(self, account: LedgerAccount) -> int:
        """Interest index (ray) of a share account at the cut; one for tokens that bear none."""
        state = self.interest.get(account.asset)
        if state is None:
            return RAY
        elapsed = (self.block_time(account.chain_id) or state.updated_at) - state.updated_at
        if account.kind.value == "financing":
            return line_index(state.index, state.rate, elapsed)
        grow = compounded_index if account.kind.value == "debt" else linear_index
        return grow(state.index, state.rate, elapsed)

    def free(self, account: LedgerAccount, taken: Sequence[Step], *, cautious: bool = False) -> int:
        """Atoms of a wallet that a step may spend: there at the head, not promised to live steps or to steps of this plan.

        With `cautious` also final, and not promised to an open ticket. A quarantined wallet is not spent.
        """
        if account.key() in self.quarantined:
            return 0
        books = [self.books[View.HEAD], self.books[View.PROJECTED], *(self.cautious if cautious else ())]
        least = min(book.balances.get(account, 0) for book in books)
        return max(0, least - spent(account, taken))

    def line_room(self, chain_id: int, taken: Sequence[Step], *, paid_back: bool = False) -> int:
        """Atoms that a step may draw from the credit line. An account on its way out gets no credit; a suspended one only what the
        same transaction pays back."""
        if self.client_state not in ("open", "suspended") or (self.client_state == "suspended" and not paid_back):
            return 0
        drawn = sum(s.draw_atoms for s in taken if s.chain_id == chain_id)
        return max(0, self.lines.get(chain_id, NO_LINE).available_atoms - drawn)


def spent(account: LedgerAccount, steps: Sequence[Step]) -> int:
    """Atoms that these steps take out of an account, gross."""
    return sum(t.atoms for s in steps for t in s.effects if t.credit == account)
