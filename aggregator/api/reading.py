"""From stored rows to what the API gives: ages in block time, the cut behind every figure, decimals as they are."""

from __future__ import annotations

from collections.abc import Mapping

from aggregator.api import schemas as sc
from aggregator.margin.explain import from_json
from aggregator.margin.report import MarginReport, Risk
from aggregator.store.view_rows import AccountRow, ActionRow, NetworkRow, ReportRow
from aggregator.units import decimal_of

Followed = Mapping[int, NetworkRow]


def report_of(row: ReportRow) -> MarginReport:
    """The stored report as the engine made it."""
    return from_json(dict(row.body))


def as_of(report: MarginReport, row: ReportRow, followed: Followed) -> sc.AsOfBody:
    """What the report was computed from, with ages by each network's newest block."""
    blocks = []
    for chain_id, block in sorted(report.as_of.cut.blocks.items()):
        network = followed.get(chain_id)
        final = network is not None and block.number <= network.finalised_number
        age = None if network is None else max(0, network.head_timestamp - block.timestamp)
        blocks.append(sc.BlockAt(chain_id=chain_id, number=block.number, hash=block.hash, timestamp=block.timestamp, age_s=age,
                                 finality="final" if final else "pending"))  # fmt: skip
    return sc.AsOfBody(blocks=blocks, market_id=report.as_of.market_id, parameters_id=report.as_of.parameters_id, epoch=row.epoch,
                       code_version=row.code_version)  # fmt: skip


def numbers(risk: Risk) -> sc.ThreeNumbers:
    """The three numbers and what follows from them."""
    return sc.ThreeNumbers(
        net_liquidation_value_usd=risk.net_liquidation_value, initial_margin_usd=risk.initial_margin,
        maintenance_margin_usd=risk.maintenance_margin, close_out_target_usd=risk.close_out_target,
        available_margin_usd=risk.available_margin, excess_liquidity_usd=risk.excess_liquidity, shortfall_usd=risk.shortfall,
    )  # fmt: skip


def account(row: AccountRow, followed: Followed) -> sc.AccountBody:
    """One account in one line."""
    report = report_of(row.report) if row.report is not None else None
    known = report is not None and row.report is not None
    return sc.AccountBody(
        account=row.client, title=row.title, client_state=row.state, margin_state=report.state.value if report else None,
        numbers=numbers(report.risk) if report else None,
        as_of=as_of(report, row.report, followed) if known and report and row.report else None,
    )  # fmt: skip


def portfolio(row: AccountRow, stored: ReportRow, followed: Followed) -> sc.PortfolioBody:
    """What the account holds and owes, as of its report."""
    report = report_of(stored)
    holdings = [
        sc.HoldingBody(
            label=v.label, chain_id=v.chain_id, place=v.place, asset=v.asset, side=v.side, quantity=decimal_of(v.atoms, v.decimals),
            quantity_atoms=v.atoms, decimals=v.decimals, price_usd=v.price, price_age_s=v.price_age_s,
            market_value_usd=v.market_value_usd, state=v.state, block_number=v.block_number,
        )
        for v in report.values
    ]  # fmt: skip
    linked = [sc.SafeBody(chain_id=s.chain_id, address=s.address, custody_intact=s.custody_intact, custody_reason=s.custody_reason)
              for s in row.safes]  # fmt: skip
    return sc.PortfolioBody(account=row.client, state=report.state.value, holdings=holdings, safes=linked,
                            net_liquidation_value_usd=report.risk.net_liquidation_value,
                            as_of=as_of(report, stored, followed))  # fmt: skip


def margin(client: str, stored: ReportRow, followed: Followed, other: MarginReport | None = None) -> sc.MarginBody:
    """The whole margin report; `other`: the same report in another view."""
    r = other or report_of(stored)
    return sc.MarginBody(
        account=client, report_id=stored.id, view=r.view.value, model=r.model, state=r.state.value, numbers=numbers(r.risk),
        lines=[sc.LineBody(name=x.name, initial_usd=x.initial, maintenance_usd=x.maintenance, why=x.why) for x in r.lines],
        scenarios=[sc.ScenarioBody(name=s.name, pnl_initial_usd=s.pnl_initial, pnl_maintenance_usd=s.pnl_maintenance)
                   for s in r.scenarios],
        binding=r.binding,
        venues=[sc.VenueBody(position=v.position, chain_id=v.chain_id, place=v.place, collateral_usd=v.collateral_usd,
                             debt_usd=v.debt_usd, health_factor_as_reported=v.health_factor, requirement_usd=v.requirement_usd,
                             stressed_requirement_usd=v.stressed_requirement_usd, move_to_liquidation_pct=v.move_to_liquidation_pct)
                for v in r.venues],
        requirement_alone_usd=r.requirement_alone_usd, capital_saved_usd=r.capital_saved_usd, coverage=r.coverage,
        margin_ratio=r.margin_ratio, failures=[sc.FailureBody(name=f.name, subject=f.subject, effect=f.effect) for f in r.failures],
        assessed_at=stored.created_at, as_of=as_of(r, stored, followed),
    )  # fmt: skip


def action(row: ActionRow) -> sc.ActionBody:
    """One action with its slot."""
    slot = None
    if row.slot is not None:
        slot = sc.SlotBody(
            sender=row.slot.sender, nonce=row.slot.nonce, state=row.slot.state, tx_hashes=list(row.slot.tx_hashes),
            final_hash=row.slot.final_hash, final_block_number=row.slot.final_block_number,
            final_block_hash=row.slot.final_block_hash,
        )  # fmt: skip
    return sc.ActionBody(
        action_id=row.action_id, account=row.client, kind=row.kind, chain_id=row.chain_id, safe=row.safe, need_key=row.need_key,
        sequence=row.sequence, status=row.status, status_reason=row.status_reason, reason=str(row.body.get("reason", "")),
        effect_usd=row.effect_usd, cost_usd=row.cost_usd, deadline=row.deadline, as_of_timestamp=row.as_of_s,
        decision_epoch=row.decision_epoch, planned_at=row.planned_at, finished_at=row.finished_at, slot=slot,
    )  # fmt: skip
