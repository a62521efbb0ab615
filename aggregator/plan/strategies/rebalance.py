"""Rebalance: an account owes a credit line while it has dollars, here or elsewhere. Pure.

Where it owes, its USDC repays the line, and synthetic USDC that a bridge has delivered is swapped and repays in the same
transaction. What is still owed, and not already on its way, is sent from a network where free USDC lies. Nothing is sent that an
open ticket, a live step or the cautious view's initial margin needs. Net liquidation value changes by the cost alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from aggregator.errors import MandateForbids
from aggregator.ledger.accounts import Kind, LedgerAccount
from aggregator.ledger.transfers import Transfer
from aggregator.plan import effects as fx
from aggregator.plan.proposal import Draft, Proposal, affordable, joined, money, refuse, step
from aggregator.plan.situation import Situation
from aggregator.plan.sizing import less_bps, plus_bps, shares_of, usd_of
from aggregator.plan.steps import Step
from aggregator.plan.venue import UNISWAP, Priced, dollar, pool_of, priced
from aggregator.portfolio.netting import LINE_ASSET
from aggregator.portfolio.portfolio import Side, View
from aggregator.units import BPS, atoms_down, decimal_of
from chains.actions import AnyAction, Approve, Bridge, RepayLine, Swap
from chains.networks.network import HyperlaneRoute, Network, UniswapPool
from chains.types import Address

KIND = "rebalance"
BRIDGE = "hyperlane"


@dataclass(frozen=True, slots=True)
class Owed:
    """What the account owes one network's credit line: atoms at the head, less what live steps already repay."""

    network: Network
    usdc: Priced
    safe: Address
    account: LedgerAccount
    line: Address
    atoms: int


def propose(situation: Situation, taken: Sequence[Step]) -> Proposal:
    """Repayments where the account owes; sends for what is not covered and not on its way. An account in close-out rests."""
    if situation.close_out:
        return Proposal()
    found: list[Proposal] = []
    travelling = _travelling(situation)
    for owed in _owed(situation):
        position, planned = f"line:{owed.network.chain_id}", [*taken, *joined(found).steps]
        try:
            covered, proposal = _repay(situation, planned, owed)
            found.append(proposal)
            lacking = max(0, owed.atoms - covered - _unfinal(situation, planned, owed))
            on_its_way = min(lacking, atoms_down(travelling, owed.usdc.info.decimals))
            travelling -= decimal_of(on_its_way, owed.usdc.info.decimals)
            if owed.usdc.usd(lacking - on_its_way) > situation.limits.dust_usd:
                found.append(_send(situation, [*planned, *proposal.steps], owed, lacking - on_its_way))
        except MandateForbids as error:
            found.append(refuse(situation, KIND, position, f"The mandate forbids it: {error}."))
    return joined(found)


def _owed(situation: Situation) -> list[Owed]:
    """Debts to credit lines above dust, largest first. Only what is drawn at the head: a draw that is still under way may fail."""
    found = []
    for chain_id, safe in situation.safes:
        network = situation.networks.get(chain_id)
        own, name = (network.protocols.isthmus, dollar(network)) if network is not None else (None, None)
        usdc = priced(situation, chain_id, name, stale_too=True) if name is not None else None
        if network is None or own is None or usdc is None:
            continue
        account = fx.financing(situation.client, chain_id, own.credit_line)
        atoms = min(_debt(situation, view, account) for view in (View.HEAD, View.PROJECTED))
        if usdc.usd(atoms) > situation.limits.dust_usd:
            found.append(Owed(network, usdc, Address(safe), account, own.credit_line, atoms))
    return sorted(found, key=lambda o: (-o.usdc.usd(o.atoms), o.network.chain_id))


def _debt(situation: Situation, view: View, account: LedgerAccount) -> int:
    holdings = situation.books[view].portfolio.holdings
    return sum(h.atoms for h in holdings if h.token == account.asset and h.side is Side.DEBT)


def _travelling(situation: Situation) -> Decimal:
    """USDC, in whole units, that is in a bridge, live sends counted: it will be there to repay."""
    prefix = f"asset:{LINE_ASSET}:"
    return sum(
        (decimal_of(n, int(a.asset.removeprefix(prefix))) for a, n in situation.books[View.PROJECTED].balances.items()
         if a.kind is Kind.IN_TRANSIT and a.client == situation.client and a.asset.startswith(prefix) and n > 0),
        Decimal(0),
    )  # fmt: skip


def _unfinal(situation: Situation, taken: Sequence[Step], owed: Owed) -> int:
    """Dollars in the account where it owes that are there at the head and may not be used before they are final, atoms.

    They have left the bridge, so they travel no more; without them a delivery that waits for finality would be sent for twice.
    """
    tokens = [t for t in owed.network.tokens.values() if t.asset == LINE_ASSET and t.decimals == owed.usdc.info.decimals]
    accounts = [fx.wallet(situation.client, owed.network.chain_id, t.address) for t in tokens]
    balances = situation.books[View.PROJECTED].balances
    return sum(max(0, balances.get(a, 0) - situation.free(a, taken, cautious=True)) for a in accounts)


def _transit_places(situation: Situation) -> int:
    """Places in which the ledger keeps USDC in transit: the most that any of its tokens has."""
    return max(t.decimals for network in situation.networks.values() for t in network.tokens.values() if t.asset == LINE_ASSET)


# ---- repay where it is owed -------------------------------------------------------------------------------------------------


def _repay(situation: Situation, taken: Sequence[Step], owed: Owed) -> tuple[int, Proposal]:
    """(atoms of the debt that this covers, the step): own USDC, and synthetic USDC swapped in the same transaction."""
    chain_id, limits = owed.network.chain_id, situation.limits
    cash = fx.wallet(situation.client, chain_id, owed.usdc.info.address)
    own = situation.free(cash, taken, cautious=True)
    in_full = plus_bps(owed.atoms, limits.repay_cushion_bps)
    swap = _synthetic(situation, taken, owed, max(0, in_full - own)) if own < in_full else None
    got = swap.least if swap is not None else 0
    paid = min(in_full, own + got)
    covered = min(owed.atoms, paid)
    small = limits.dust_usd if covered == owed.atoms else limits.part_minimum_usd
    if owed.usdc.usd(covered) <= small:
        return 0, Proposal()
    situation.mandate.require(network=chain_id, venue=UNISWAP if swap is not None else None)
    cost = swap.cost_usd if swap is not None else Decimal(0)
    affordable(situation, cost, owed.usdc.usd(covered))
    actions: list[AnyAction] = list(swap.actions) if swap is not None else []
    actions += [Approve(owed.usdc.info.address, owed.line, paid), RepayLine(owed.safe, paid)]
    from_own = min(own, covered)
    shares = min(-situation.books[View.PROJECTED].balances.get(owed.account, 0), shares_of(covered, situation.index(owed.account)))
    changes: list[fx.Change] = [(owed.account, max(0, shares), "credit line repaid"), (cash, -from_own, "own USDC repays")]
    if swap is not None:
        changes.append((swap.account, -swap.atoms, "synthetic USDC swapped"))
        changes.append((cash, got - (covered - from_own), "left over by a swap"))
    how = f"{money(owed.usdc.usd(from_own))} of USDC that lies there" + (f" and {swap.words}" if swap is not None else "")
    reason = f"The account owes the credit line of network {chain_id} {money(owed.usdc.usd(owed.atoms))}: {how} repay it."
    draft = Draft(
        kind=KIND, chain_id=chain_id, position=f"line:{chain_id}", actions=tuple(actions),
        effects=fx.effects(changes), reason=reason, effect_usd=owed.usdc.usd(covered), cost_usd=cost,
    )  # fmt: skip
    proposal = step(situation, draft)
    return covered, proposal


@dataclass(frozen=True, slots=True)
class Swapping:
    """A swap of synthetic USDC: atoms sold, the least that comes back, what it is expected to cost, in words."""

    account: LedgerAccount
    atoms: int
    least: int
    actions: tuple[AnyAction, ...]
    cost_usd: Decimal
    words: str


def _synthetic(situation: Situation, taken: Sequence[Step], owed: Owed, wanted: int) -> Swapping | None:
    """Enough synthetic USDC to get `wanted` atoms, as far as there is any; None for dust, or without pool or fresh price."""
    network, limits = owed.network, situation.limits
    for name, token in network.tokens.items():
        if token.asset != LINE_ASSET or token.kind != "synthetic":
            continue
        pool, told = pool_of(network, name, owed.usdc.name), priced(situation, network.chain_id, name)
        account = fx.wallet(situation.client, network.chain_id, token.address)
        atoms = min(situation.free(account, taken, cautious=True), plus_bps(wanted, limits.stable_tolerance_bps) + 1)
        if pool is None or told is None or token.decimals != owed.usdc.info.decimals or told.usd(atoms) <= limits.dust_usd:
            continue
        least = less_bps(atoms, limits.stable_tolerance_bps)
        return _swapping(situation, owed, told, pool, account, atoms, least)
    return None


def _swapping(
    situation: Situation, owed: Owed, told: Priced, pool: UniswapPool, account: LedgerAccount, atoms: int, least: int
) -> Swapping:
    router = owed.network.protocols.uniswap_v3
    assert router is not None, "a pool was found, so the network has the protocol"
    swap = Swap(UNISWAP, owed.safe, told.info.address, owed.usdc.info.address, pool.fee, atoms, least)
    fee = told.usd(atoms) * pool.fee / 1_000_000
    words = f"{money(told.usd(atoms))} of {told.name}, swapped for at least {money(owed.usdc.usd(least))},"
    return Swapping(account, atoms, least, (Approve(told.info.address, router.router, atoms), swap), fee, words)


# ---- send what is not there -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Source:
    """Free dollars on another network, and the route that carries them."""

    network: Network
    token: Priced
    route: HyperlaneRoute
    account: LedgerAccount
    atoms: int
    fee_wei: int


def _send(situation: Situation, taken: Sequence[Step], owed: Owed, lacking: int) -> Proposal:
    """One send from the network with the most free dollars, at most what is lacking plus the cushion."""
    to = owed.network.chain_id
    position = f"bridge:{to}"
    offered = _sources(situation, taken, to)
    if not offered:
        why = f"{money(owed.usdc.usd(lacking))} are owed on network {to}, and no other network has free USDC with a route to it."
        return refuse(situation, KIND, position, why)
    source = offered[0]
    situation.mandate.require(network=source.network.chain_id, bridge=BRIDGE)
    situation.mandate.require(network=to)
    if not situation.mandate.may_move_collateral:
        raise MandateForbids("mandate.may_move_collateral = false")
    wanted = plus_bps(lacking, situation.limits.bridge_cushion_bps)
    atoms = min(source.atoms, wanted)
    if source.token.usd(atoms) < situation.limits.bridge_minimum_usd:
        why = f"A send of {money(source.token.usd(atoms))} is below the minimum of {money(situation.limits.bridge_minimum_usd)}."
        return refuse(situation, KIND, position, why)
    cost = _fee_usd(situation, source) + source.token.usd(atoms) * situation.limits.stable_tolerance_bps / BPS
    affordable(situation, cost, source.token.usd(atoms))
    effects = _sent(situation, source, to, atoms)
    risky = _too_risky(situation, effects)
    if risky is not None:
        return refuse(situation, KIND, position, risky)
    return step(situation, _draft(situation, owed, source, atoms, cost, effects, position))


def _sources(situation: Situation, taken: Sequence[Step], to: int) -> list[Source]:
    """Networks with a route to `to` and free dollars of the route's token; native dollars before synthetic, most first."""
    found = []
    for chain_id, _ in situation.safes:
        network = situation.networks.get(chain_id)
        if network is None or chain_id == to or network.protocols.hyperlane is None:
            continue
        fee = situation.bridge_fees.get((chain_id, to))
        for route in network.protocols.hyperlane.routes:
            token = priced(situation, chain_id, route.token, stale_too=True)
            if fee is None or token is None or to not in route.destinations or token.info.asset != LINE_ASSET:
                continue
            account = fx.wallet(situation.client, chain_id, token.info.address)
            atoms = situation.free(account, taken, cautious=True)
            if atoms > 0:
                found.append(Source(network, token, route, account, atoms, fee))
    return sorted(found, key=lambda s: (s.token.info.kind != "native", -s.atoms, s.network.chain_id))


def _sent(situation: Situation, source: Source, to: int, atoms: int) -> tuple[Transfer, ...]:
    """Leaves the wallet, stands in transit under the need's name until the network tells the message id."""
    places = _transit_places(situation)
    carried = fx.in_transit(situation.client, BRIDGE, f"planned-{source.network.chain_id}-{to}", LINE_ASSET, places)
    there = atoms * 10 ** (places - source.token.info.decimals)
    return fx.effects([(source.account, -atoms, "sent over a bridge"), (carried, there, "in transit")])


def _fee_usd(situation: Situation, source: Source) -> Decimal:
    native = source.network.native
    price = situation.market.get(source.network.chain_id, native.feed)
    return usd_of(source.fee_wei, native.decimals, price.value) if price is not None else Decimal(0)


def _too_risky(situation: Situation, effects: Sequence[Transfer]) -> str | None:
    """Why the send may not go: the cautious view would lose initial margin, or an account already called would lack more of it."""
    for before, after in zip(situation.cautious, situation.cautious_after(effects), strict=True):
        left, had = after.risk.available_margin, before.report.risk.available_margin
        if left < 0 and (after.risk.excess_liquidity <= 0 or left < min(Decimal(0), had) - situation.limits.call_slack_usd):
            return f"The send would leave available margin at {money(left)} in the cautious view (now {money(had)})."
    return None


def _draft(
    situation: Situation, owed: Owed, source: Source, atoms: int, cost: Decimal, effects: tuple[Transfer, ...], position: str
) -> Draft:
    chain_id, to = source.network.chain_id, owed.network.chain_id
    safe = Address(situation.safe(chain_id) or "")
    route, delay = source.route.router, situation.bridge_delay_s.get(BRIDGE)
    actions: list[AnyAction] = [] if route == source.token.info.address else [Approve(source.token.info.address, route, atoms)]
    actions.append(Bridge(BRIDGE, safe, route, to, owed.safe, atoms, source.fee_wei))
    arrival = f" It usually takes {delay} s." if delay is not None else ""
    reason = (
        f"The account owes the credit line of network {to} {money(owed.usdc.usd(owed.atoms))} and has "
        f"{money(source.token.usd(source.atoms))} free on network {chain_id}: {money(source.token.usd(atoms))} go over {BRIDGE} to "
        f"its own account there to repay it, at a cost of about {money(cost)}.{arrival}"
    )
    return Draft(
        kind=KIND, chain_id=chain_id, position=position, actions=tuple(actions), effects=effects, reason=reason,
        effect_usd=source.token.usd(atoms), cost_usd=cost,
    )  # fmt: skip
