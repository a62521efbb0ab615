"""Top-up: a venue position nears its own liquidation although the account as a whole is sound. Pure.

Paid at once from where the position stands: the account's free USDC first, then the network's credit line. Debt is repaid as far
as it is USDC, the rest is supplied as collateral. All is one transaction, and the venue's own health factor is checked at its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from aggregator.errors import MandateForbids
from aggregator.margin.report import VenueView
from aggregator.plan import effects as fx
from aggregator.plan.proposal import Draft, Proposal, joined, money, number, refuse, step
from aggregator.plan.situation import Situation
from aggregator.plan.sizing import atoms_worth_up, repay_to_health, shares_of, supply_to_health
from aggregator.plan.steps import Step
from aggregator.plan.venue import Priced, dollar, health_at_least, priced
from aggregator.portfolio.portfolio import Side, View
from chains.actions import AnyAction, Approve, Repay, Supply
from chains.networks.network import AaveReserve, AaveV3, Network
from chains.types import Address

KIND = "top_up"


@dataclass(frozen=True, slots=True)
class Cure:
    """Atoms of USDC: debt to repay and collateral to supply; `own` of them from the account, `draw` from the credit line."""

    repay: int
    supply: int
    own: int
    draw: int


def propose(situation: Situation, taken: Sequence[Step]) -> Proposal:
    """One step per venue position below the warning health factor, in order of urgency."""
    report = situation.books[View.PROJECTED].report
    warning = Decimal(str(situation.parameters.warning_health_factor))
    weak = [(v.health_factor, v) for v in report.venues if v.health_factor is not None and v.health_factor < warning]
    found: list[Proposal] = []
    for _, view in sorted(weak, key=lambda pair: (pair[0], pair[1].position)):
        if report.risk.excess_liquidity <= 0:
            why = f"The account as a whole is not sound: excess liquidity is {money(report.risk.excess_liquidity)}."
            found.append(refuse(situation, KIND, view.position, why))
            continue
        try:
            found.append(_one(situation, [*taken, *joined(found).steps], view))
        except MandateForbids as error:
            found.append(refuse(situation, KIND, view.position, f"The mandate forbids it: {error}."))
    return joined(found)


def _one(situation: Situation, taken: Sequence[Step], view: VenueView) -> Proposal:
    network = situation.networks[view.chain_id]
    venue, name = network.protocols.aave_v3, dollar(network)
    if view.place != fx.AAVE or venue is None or name is None:
        return refuse(situation, KIND, view.position, f"No rule tops up a position at {view.place} on network {view.chain_id}.")
    situation.mandate.require(network=view.chain_id, venue=view.place)
    usdc, reserve = priced(situation, view.chain_id, name, stale_too=True), fx.reserve_named(network, name)
    if usdc is None or reserve is None:
        why = f"{name} on network {view.chain_id} has no price or no reserve at {view.place}."
        return refuse(situation, KIND, view.position, why)
    own = situation.free(fx.wallet(situation.client, view.chain_id, usdc.info.address), taken)
    cure = _cure(situation, view, usdc, reserve, own, situation.line_room(view.chain_id, taken))
    if cure.repay + cure.supply == 0:
        why = f"Health factor {_health(view)} is too low, but the account has no free USDC here and the credit line no room."
        return refuse(situation, KIND, view.position, why)
    return step(situation, _draft(situation, network, venue, reserve, usdc, view, cure))


def _cure(situation: Situation, view: VenueView, usdc: Priced, reserve: AaveReserve, own: int, room: int) -> Cure:
    """How much to repay and supply to reach the target, cut to what can be paid: repaying comes first."""
    target = Decimal(str(situation.parameters.target_health_factor))
    health = view.health_factor or Decimal(0)
    owed = _owed(situation, view, reserve)
    repay = min(owed, atoms_worth_up(repay_to_health(view.debt_usd, health, target), usdc.info.decimals, usdc.price) + 1)
    left = view.debt_usd - usdc.usd(repay)
    supply = 0
    if left > 0 and reserve.liquidation_threshold_bps > 0:
        now = health * view.debt_usd / left
        missing = supply_to_health(left, now, target, reserve.liquidation_threshold_bps)
        supply = atoms_worth_up(missing, usdc.info.decimals, usdc.price)
    payable = own + room
    repay = min(repay, payable)
    supply = min(supply, payable - repay)
    from_own = min(own, repay + supply)
    return Cure(repay, supply, from_own, repay + supply - from_own)


def _owed(situation: Situation, view: VenueView, reserve: AaveReserve) -> int:
    key = f"{view.chain_id}:{reserve.variable_debt_token}"
    holdings = situation.books[View.PROJECTED].portfolio.holdings
    return sum(h.atoms for h in holdings if h.token == key and h.side is Side.DEBT)


def _draft(
    situation: Situation, network: Network, venue: AaveV3, reserve: AaveReserve, usdc: Priced, view: VenueView, cure: Cure
) -> Draft:
    safe = Address(situation.safe(view.chain_id) or "")
    token, total = usdc.info.address, cure.repay + cure.supply
    actions: list[AnyAction] = [Approve(token, venue.pool, total)]
    if cure.repay:
        actions.append(Repay(fx.AAVE, safe, token, cure.repay))
    if cure.supply:
        actions.append(Supply(fx.AAVE, safe, token, cure.supply))
    client, chain_id = situation.client, view.chain_id
    owed, supplied = fx.debt(client, chain_id, reserve), fx.collateral(client, chain_id, reserve)
    line = network.protocols.isthmus
    changes: list[fx.Change] = [
        (fx.wallet(client, chain_id, token), -cure.own, "own USDC used for a top-up"),
        (owed, shares_of(cure.repay, situation.index(owed)), "debt repaid by a top-up"),
        (supplied, shares_of(cure.supply, situation.index(supplied)), "collateral supplied by a top-up"),
    ]
    if line is not None and cure.draw:
        owing = fx.financing(client, chain_id, line.credit_line)
        changes.append((owing, -shares_of(cure.draw, situation.index(owing)), "credit line drawn for a top-up"))
    after, why = _after(situation, view, usdc, reserve, cure)
    return Draft(
        kind=KIND, chain_id=chain_id, position=view.position, actions=tuple(actions), effects=fx.effects(changes),
        reason=why, effect_usd=usdc.usd(total), cost_usd=Decimal(0), draw_atoms=cure.draw,
        post=health_at_least(network, safe, _least(situation, view, after)),
    )  # fmt: skip


def _after(
    situation: Situation, view: VenueView, usdc: Priced, reserve: AaveReserve, cure: Cure
) -> tuple[Decimal | None, str]:
    """(health factor that the step leaves, None without debt; the step's reason)."""
    health = view.health_factor or Decimal(0)
    weighted = health * view.debt_usd + usdc.usd(cure.supply) * reserve.liquidation_threshold_bps / 10_000
    left = view.debt_usd - usdc.usd(cure.repay)
    after = weighted / left if left > 0 else None
    excess = situation.books[View.PROJECTED].report.risk.excess_liquidity
    paid = f"{money(usdc.usd(cure.own))} of its own and {money(usdc.usd(cure.draw))} drawn from the credit line"
    return after, (
        f"The position {view.position} has health factor {_health(view)}, below the warning level "
        f"{situation.parameters.warning_health_factor}, while the account has excess liquidity of {money(excess)}: "
        f"{money(usdc.usd(cure.repay))} of debt repaid and {money(usdc.usd(cure.supply))} supplied, {paid}, "
        f"bring it to {'no debt' if after is None else number(after)}."
    )


def _least(situation: Situation, view: VenueView, after: Decimal | None) -> Decimal:
    """Half way between what the step promises and where it must not fail: a small fall of the price meanwhile does not stop it."""
    target = Decimal(str(situation.parameters.target_health_factor))
    reached = target if after is None else min(after, target)
    warning = Decimal(str(situation.parameters.warning_health_factor))
    floor = warning if reached > warning else (view.health_factor or Decimal(0))
    return (reached + floor) / 2


def _health(view: VenueView) -> str:
    return "none" if view.health_factor is None else number(view.health_factor)
