"""Legs of a close-out: what can be reduced, and what reducing it by a size takes. Pure.

A size is in atoms of the token that is sold. A *funded* leg repays first, with own USDC or a draw that the same transaction pays
back, so the position is never weaker than before. A *lean* leg has nobody to lend it a dollar: it withdraws, swaps and repays
within the health the position has left. A *wallet* leg sells what lies in the account. Swaps expect the oracle's value less the
asset's liquidity concession, and accept no less than that value minus the act bound.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from aggregator.ledger.accounts import LedgerAccount
from aggregator.plan import effects as fx
from aggregator.plan.proposal import Proposal, number, refuse
from aggregator.plan.situation import Situation
from aggregator.plan.sizing import atoms_worth_down, less_bps, plus_bps, shares_of
from aggregator.plan.steps import Step
from aggregator.plan.venue import UNISWAP, Priced, dollar, lending_view, pool_of, priced
from aggregator.portfolio.netting import LINE_ASSET
from aggregator.portfolio.portfolio import Side, View
from aggregator.units import BPS
from chains.actions import AnyAction, Approve, Repay, RepayLine, Swap, Withdraw
from chains.networks.network import AaveReserve, Network, UniswapPool
from chains.types import Address


@dataclass(frozen=True, slots=True)
class Cut:
    """One size of a leg. `words` says what is done; `sold_usd` at the oracle's price; `cost_usd`: expected loss of the swap."""

    actions: tuple[AnyAction, ...]
    changes: tuple[fx.Change, ...]
    draw_atoms: int
    sold_usd: Decimal
    cost_usd: Decimal
    words: str


@dataclass(frozen=True, slots=True)
class Leg:
    """Something to reduce. `venue_position` is '' for tokens in the wallet; `limit` the largest size; `at` what a size takes."""

    chain_id: int
    position: str
    venue_position: str
    limit: int
    at: Callable[[int], Cut]


@dataclass(frozen=True, slots=True)
class Trade:
    """A swap on one network, from one priced token to another, for one account."""

    situation: Situation
    network: Network
    safe: Address
    sell: Priced
    buy: Priced
    pool: UniswapPool

    def worth(self, atoms: int) -> int:
        """Atoms of `buy` worth as much as `atoms` of `sell` by the oracle, rounded down."""
        return atoms_worth_down(self.sell.usd(atoms), self.buy.info.decimals, self.buy.price)

    def least(self, atoms: int) -> int:
        """The minimum that the swap accepts, one atom above the bound for the contract's own rounding."""
        return less_bps(self.worth(atoms), self.situation.parameters.act_bound_bps) + 1

    def concession(self) -> Decimal:
        """Share of the value that the swap is expected to lose, pool fee included, never above the act bound."""
        bound = Decimal(self.situation.parameters.act_bound_bps) / BPS
        risky = self.sell if self.sell.info.asset != LINE_ASSET else self.buy
        told = self.situation.parameters.liquidity.get(risky.info.asset)
        return bound if told is None else min(bound, Decimal(str(told)) + Decimal(self.pool.fee) / 1_000_000)

    def expected(self, atoms: int) -> int:
        return max(self.least(atoms), int(self.worth(atoms) * (1 - self.concession())))

    def cost(self, atoms: int) -> Decimal:
        return self.sell.usd(atoms) * self.concession()

    def calls(self, atoms: int) -> tuple[AnyAction, ...]:
        sold, bought = self.sell.info.address, self.buy.info.address
        router = self.network.protocols.uniswap_v3
        assert router is not None, "a pool was found, so the network has the protocol"
        swap = Swap(UNISWAP, self.safe, sold, bought, self.pool.fee, atoms, self.least(atoms))
        return (Approve(sold, router.router, atoms), swap)

    def most_for(self, atoms: int) -> int:
        """Most of `sell` whose minimum proceeds stay within `atoms` of `buy`."""
        usd = self.buy.usd(max(0, atoms - 1)) * BPS / (BPS - self.situation.parameters.act_bound_bps)
        return atoms_worth_down(usd, self.sell.info.decimals, self.sell.price)

    def words(self, atoms: int) -> str:
        places = self.sell.info.decimals
        return f"{number(Decimal(atoms).scaleb(-places))} {self.sell.name} sold for at least " + self.buys(self.least(atoms))

    def buys(self, atoms: int) -> str:
        return f"{number(Decimal(atoms).scaleb(-self.buy.info.decimals), 2)} {self.buy.name}"


def legs(situation: Situation, taken: Sequence[Step]) -> tuple[list[Leg], list[Proposal]]:
    """Everything that could be reduced now, and refusals for what cannot."""
    found: list[Leg] = []
    refused: list[Proposal] = []
    for chain_id, safe in situation.safes:
        network = situation.networks.get(chain_id)
        usdc = dollar(network) if network is not None else None
        if network is None or usdc is None:
            continue
        for name in network.tokens:
            if network.tokens[name].asset != LINE_ASSET and _held(situation, network, name):
                leg = _legs_of(situation, network, Address(safe), name, usdc, taken)
                found += leg
                if not leg:
                    refused.append(_no_leg(situation, chain_id, name, usdc))
    return found, refused


def _no_leg(situation: Situation, chain_id: int, name: str, usdc: str) -> Proposal:
    stale = [n for n in (name, usdc) if priced(situation, chain_id, n) is None]
    why = f"No leg may trade without a fresh price: {', '.join(stale)}." if stale else (
        "The position has no health left to withdraw from, and neither own USDC nor the credit line can pay first."
    )  # fmt: skip
    return refuse(situation, "close_out", f"{chain_id}:{name}", why)


def _held(situation: Situation, network: Network, name: str) -> bool:
    reserve = fx.reserve_named(network, name)
    keys = {f"{network.chain_id}:{network.tokens[name].address}"}
    keys |= {f"{network.chain_id}:{reserve.a_token}", f"{network.chain_id}:{reserve.variable_debt_token}"} if reserve else set()
    return any(h.token in keys and h.atoms > 0 for h in situation.books[View.PROJECTED].portfolio.holdings)


def _legs_of(
    situation: Situation, network: Network, safe: Address, name: str, usdc: str, taken: Sequence[Step]
) -> list[Leg]:
    risky, dollars = priced(situation, network.chain_id, name), priced(situation, network.chain_id, usdc)
    pool = pool_of(network, name, usdc)
    if risky is None or dollars is None or pool is None:
        return []
    sell, buy = Trade(situation, network, safe, risky, dollars, pool), Trade(situation, network, safe, dollars, risky, pool)
    lent, owing = fx.reserve_named(network, name), fx.reserve_named(network, usdc)
    found = [_wallet_leg(sell, taken)]
    if lent is not None and owing is not None:
        funded, lean = _funded_leg(sell, lent, owing, taken), _lean_leg(sell, lent, owing)
        found.append(max(funded, lean, key=lambda leg: leg.limit))
        found.append(_lean_leg(buy, owing, lent))
    return [leg for leg in found if leg.limit > 0]


def _capped(trade: Trade, limit: int) -> int:
    """No larger than one step may be, and nothing when it would be dust."""
    limit = min(limit, atoms_worth_down(trade.situation.limits.step_cap_usd, trade.sell.info.decimals, trade.sell.price))
    return limit if trade.sell.usd(max(0, limit)) >= trade.situation.limits.dust_usd else 0


def _position(trade: Trade, place: str) -> str:
    return f"{trade.network.chain_id}:{place}:{trade.safe}"


def _wallet_leg(trade: Trade, taken: Sequence[Step]) -> Leg:
    chain_id, client = trade.network.chain_id, trade.situation.client
    source, into = (fx.wallet(client, chain_id, t.info.address) for t in (trade.sell, trade.buy))

    def at(size: int) -> Cut:
        changes = ((source, -size, "sold in a close-out"), (into, trade.expected(size), "bought in a close-out"))
        return Cut(trade.calls(size), changes, 0, trade.sell.usd(size), trade.cost(size), trade.words(size))

    limit = _capped(trade, trade.situation.free(source, taken))
    return Leg(chain_id, f"{_position(trade, 'wallet')}:{trade.sell.name}", "", limit, at)


def _atoms(trade: Trade, account: LedgerAccount, side: Side) -> int:
    holdings = trade.situation.books[View.PROJECTED].portfolio.holdings
    return sum(h.atoms for h in holdings if h.token == account.asset and h.side is side and h.chain_id == account.chain_id)


def _shares(situation: Situation, account: LedgerAccount, atoms: int) -> int:
    """Shares of `atoms`, at most those the account has or owes."""
    standing = abs(situation.books[View.PROJECTED].balances.get(account, 0))
    return min(standing, shares_of(atoms, situation.index(account)))


def _funded_leg(trade: Trade, lent: AaveReserve, owing: AaveReserve, taken: Sequence[Step]) -> Leg:
    """Repay, withdraw, swap, return what was drawn. Sells collateral, repays USDC debt."""
    situation, chain_id, client = trade.situation, trade.network.chain_id, trade.situation.client
    supplied, owed = fx.collateral(client, chain_id, lent), fx.debt(client, chain_id, owing)
    cash = fx.wallet(client, chain_id, trade.buy.info.address)
    debt, free = _atoms(trade, owed, Side.DEBT), situation.free(cash, taken)
    payable = free + situation.line_room(chain_id, taken, paid_back=True)
    in_full = plus_bps(debt, situation.limits.repay_cushion_bps)
    limit = _atoms(trade, supplied, Side.ASSET)
    if payable < in_full:
        limit = min(limit, trade.most_for(min(payable, debt)))

    def at(size: int) -> Cut:
        repaid = min(debt, trade.least(size)) if debt else 0
        paid = in_full if repaid == debt and debt else repaid
        own = min(free, paid)
        draw = paid - own
        pool = trade.network.protocols.aave_v3
        assert pool is not None, "a reserve was found, so the network has the protocol"
        actions: tuple[AnyAction, ...] = ()
        if paid:
            actions = (Approve(trade.buy.info.address, pool.pool, paid), Repay(fx.AAVE, trade.safe, trade.buy.info.address, paid))
        actions += (Withdraw(fx.AAVE, trade.safe, trade.sell.info.address, size), *trade.calls(size))
        if draw and trade.network.protocols.isthmus is not None:
            line = trade.network.protocols.isthmus.credit_line
            actions += (Approve(trade.buy.info.address, line, draw), RepayLine(trade.safe, draw))
        changes = (
            (supplied, -_shares(situation, supplied, size), "withdrawn in a close-out"),
            (owed, _shares(situation, owed, repaid), "repaid in a close-out"),
            (cash, -min(own, repaid), "own USDC that paid first in a close-out"),
            (cash, trade.expected(size) - (repaid - min(own, repaid)), "left over by a close-out"),
        )
        words = f"{trade.buys(repaid)} of debt repaid ({trade.buys(draw)} of it lent and paid back at once), {trade.words(size)}"
        return Cut(actions, changes, draw, trade.sell.usd(size), trade.cost(size), words)

    venue = _position(trade, fx.AAVE)
    return Leg(chain_id, f"{venue}:{trade.sell.name}", venue, _capped(trade, limit), at)


def _lean_leg(trade: Trade, lent: AaveReserve, owing: AaveReserve) -> Leg:
    """Withdraw, swap, repay, within the health that is left. Sells collateral, repays debt in the token bought."""
    situation, chain_id, client = trade.situation, trade.network.chain_id, trade.situation.client
    supplied, owed = fx.collateral(client, chain_id, lent), fx.debt(client, chain_id, owing)
    venue = _position(trade, fx.AAVE)
    debt = _atoms(trade, owed, Side.DEBT)
    view = lending_view(situation.books[View.PROJECTED].report, venue)
    health = view.health_factor if view is not None else None
    limit = 0
    if view is not None and health is not None and debt:
        room = (health - situation.limits.minimum_health) * view.debt_usd * BPS / max(1, lent.liquidation_threshold_bps)
        most = atoms_worth_down(max(Decimal(0), room), trade.sell.info.decimals, trade.sell.price)
        limit = min(_atoms(trade, supplied, Side.ASSET), most, trade.most_for(debt))

    def at(size: int) -> Cut:
        repaid = min(debt, trade.least(size))
        pool = trade.network.protocols.aave_v3
        assert pool is not None, "a reserve was found, so the network has the protocol"
        bought = trade.buy.info.address
        actions = (Withdraw(fx.AAVE, trade.safe, trade.sell.info.address, size), *trade.calls(size),
                   Approve(bought, pool.pool, repaid), Repay(fx.AAVE, trade.safe, bought, repaid))  # fmt: skip
        changes = (
            (supplied, -_shares(situation, supplied, size), "withdrawn in a close-out"),
            (owed, _shares(situation, owed, repaid), "repaid in a close-out"),
            (fx.wallet(client, chain_id, bought), trade.expected(size) - repaid, "left over by a close-out"),
        )
        words = f"{trade.words(size)}, {trade.buys(repaid)} of debt repaid with it"
        return Cut(actions, changes, 0, trade.sell.usd(size), trade.cost(size), words)

    return Leg(chain_id, f"{venue}:{trade.sell.name}", venue, _capped(trade, limit), at)
