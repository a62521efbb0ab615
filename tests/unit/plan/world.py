"""A small world for planner tests: the shipped local networks, one client, prices and balances in whole units, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cache
from itertools import permutations

from aggregator.ledger.accounts import LedgerAccount
from aggregator.ledger.balances import deltas
from aggregator.ledger.transfers import Group, Origin
from aggregator.margin.engine import assess, close_out_gate
from aggregator.margin.parameters import Parameters
from aggregator.market.prices import Price, Snapshot
from aggregator.plan import effects as fx
from aggregator.plan.limits import Limits
from aggregator.plan.mandate import Mandate
from aggregator.plan.situation import Book, LineState, Situation
from aggregator.plan.steps import Plan
from aggregator.portfolio.interest import InterestState
from aggregator.portfolio.netting import net
from aggregator.portfolio.portfolio import AsOf, View
from aggregator.units import RAY
from chains.networks.network import Network, load_many
from chains.types import BlockRef, ChainId, Cut, Hash

A, B, C = 71001, 71002, 71003
CLIENT = "alpha"
NOW = 1_800_000_000
USDC, WETH = 10**6, 10**18
WIDE = Mandate((A, B, C), ("aave_v3", "uniswap_v3"), ("hyperlane",), 100, True)


FUNDED = LineState(5_000_000 * USDC, 2_000_000 * USDC)


@cache
def networks() -> Mapping[int, Network]:
    return {int(c): n for c, n in load_many((A, B, C)).items()}


def safe(chain_id: int) -> str:
    return "0x" + f"{chain_id:x}".rjust(40, "a")


def cut(number: int = 100, now: int = NOW) -> Cut:
    def block(c: int) -> BlockRef:
        return BlockRef(ChainId(c), number, Hash(f"0x{c * 1000 + number:064x}"), Hash("0x" + "00" * 32), now)

    return Cut({ChainId(c): block(c) for c in (A, B, C)})


def wallet(chain_id: int, token: str) -> LedgerAccount:
    return fx.wallet(CLIENT, chain_id, networks()[chain_id].tokens[token].address)


def supplied(chain_id: int, token: str) -> LedgerAccount:
    reserve = fx.reserve_named(networks()[chain_id], token)
    assert reserve is not None
    return fx.collateral(CLIENT, chain_id, reserve)


def owed(chain_id: int, token: str) -> LedgerAccount:
    reserve = fx.reserve_named(networks()[chain_id], token)
    assert reserve is not None
    return fx.debt(CLIENT, chain_id, reserve)


def financed(chain_id: int) -> LedgerAccount:
    own = networks()[chain_id].protocols.isthmus
    assert own is not None
    return fx.financing(CLIENT, chain_id, own.credit_line)


def travelling() -> LedgerAccount:
    return fx.in_transit(CLIENT, "hyperlane", "0x" + "11" * 32, "USDC", 6)


@dataclass(frozen=True)
class World:
    """Balances count in every view unless a view has its own. `eth`: the same price on every network unless `stale` names it."""

    balances: Mapping[LedgerAccount, int]
    eth: Decimal = Decimal(2000)
    own_views: Mapping[View, Mapping[LedgerAccount, int]] = field(default_factory=dict)
    stale: frozenset[int] = frozenset()
    lines: Mapping[int, LineState] = field(default_factory=lambda: dict.fromkeys((A, B, C), FUNDED))
    mandate: Mandate = WIDE
    client_state: str = "open"
    live_needs: frozenset[str] = frozenset()
    sequences: Mapping[str, int] = field(default_factory=dict)
    failures: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    quarantined: frozenset[str] = frozenset()
    parameters: Parameters = field(default_factory=Parameters)
    limits: Limits = field(default_factory=Limits)
    index: int = RAY
    number: int = 100
    elapsed: int = 0

    def snapshot(self) -> Snapshot:
        prices = {}
        for c in (A, B, C):
            now = NOW + self.elapsed
            told = now - 10_000 if c in self.stale else now
            prices[c, "eth_usd"] = Price(c, "eth_usd", "ETH", self.eth, told, now, 600, self.number)
            prices[c, "usdc_usd"] = Price(c, "usdc_usd", "USDC", Decimal(1), told, now, 600, self.number)
        return Snapshot(prices)

    def interest(self) -> dict[str, InterestState]:
        found: dict[str, InterestState] = {}
        for c, network in networks().items():
            keys = [r.a_token for r in network.protocols.aave_v3.reserves] if network.protocols.aave_v3 else []
            keys += [r.variable_debt_token for r in network.protocols.aave_v3.reserves] if network.protocols.aave_v3 else []
            keys += [network.protocols.isthmus.credit_line] if network.protocols.isthmus else []
            found |= {f"{c}:{k}": InterestState(c, "aave_v3", f"{c}:{k}", self.index, 0, NOW) for k in keys}
        return found

    def situation(self) -> Situation:
        market, as_of = self.snapshot(), AsOf(cut(self.number, NOW + self.elapsed), self.snapshot().id, self.parameters.id)
        safes = tuple((c, safe(c)) for c in (A, B, C))
        interest = self.interest()

        def book(view: View) -> Book:
            balances = self.own_views.get(view, self.balances)
            portfolio = net(CLIENT, view, balances, interest, networks(), as_of, safes, self.quarantined)
            return Book(balances, portfolio, assess(portfolio, market, self.parameters))

        books = {view: book(view) for view in (View.HEAD, View.PROJECTED, View.OPTIMISTIC)}
        return Situation(
            client=CLIENT, client_state=self.client_state, mandate=self.mandate, as_of=as_of, books=books,
            cautious=(book(View.FINALISED), book(View.HEAD)),
            close_out=close_out_gate(books[View.HEAD].report, books[View.OPTIMISTIC].report), market=market,
            parameters=self.parameters, networks=networks(), safes=safes, interest=interest, finalised=self.balances,
            quarantined=self.quarantined, custody_intact=True, lines=self.lines, live_needs=self.live_needs,
            sequences=self.sequences, failures=self.failures, bridge_fees=dict.fromkeys(permutations((A, B, C), 2), 0),
            bridge_delay_s={"hyperlane": 12}, limits=self.limits,
        )  # fmt: skip

    def after(self, found: Plan) -> World:
        """The world with the plan's steps counted as done in the projected view, and their needs live."""
        balances = dict(self.own_views.get(View.PROJECTED, self.balances))
        for i, step in enumerate(found.steps):
            group = Group(f"action:{i}", Origin.ACTION, step.chain_id, -1, "", "", 0, step.effects)
            for account, atoms in deltas(group).items():
                balances[account] = balances.get(account, 0) + atoms
        return replace(self, own_views={**self.own_views, View.PROJECTED: balances})

    def mined(self, found: Plan) -> World:
        """The world with the plan's steps done in every view."""
        done = self.after(found).own_views[View.PROJECTED]
        return replace(self, balances=done, own_views={}, number=self.number + 1)


def levered(chain_id: int = A, weth: float = 100.0, debt: float = 140_000.0, elsewhere: float = 0.0) -> dict[LedgerAccount, int]:
    """`weth` supplied and `debt` USDC borrowed on one network, `elsewhere` USDC in the wallet on C."""
    found = {supplied(chain_id, "weth"): int(weth * 1e6) * 10**12, owed(chain_id, "usdc"): -int(debt * USDC)}
    if elsewhere:
        found[wallet(C, "usdc")] = int(elsewhere * USDC)
    return {a: n for a, n in found.items() if n}
