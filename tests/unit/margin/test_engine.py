"""The engine by example: state, gates, exact sums, listed failures."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from typing import Any

import pytest

from aggregator.errors import ConfigInvalid
from aggregator.margin.engine import assess, cautious, close_out_gate
from aggregator.margin.models import MODELS, name_of
from aggregator.margin.parameters import Parameters
from aggregator.margin.report import MarginReport, State
from aggregator.market.prices import Snapshot
from aggregator.portfolio.portfolio import Holding, HoldingState, Portfolio, Side, View
from tests.unit.pure_world import A, B, C, as_of, holding, market, portfolio, transit

DEBT = Side.DEBT
PLAIN = Parameters(
    range_down_up={"ETH": (0.18, 0.18), "USDC": (0.005, 0.002)}, maintenance_share=0.75, theta=0.25,
    liquidity={"ETH": 0.005, "USDC": 0.0005}, wrapper={"hyperlane": 0.01}, transit={"hyperlane": 0.0006},
    oracle_band={"ETH": 0.062, "USDC": 0.005},
)  # fmt: skip
ONLY_MARKET = dataclasses.replace(
    PLAIN, range_down_up={"ETH": (0.18, 0.18), "USDC": (0.0, 0.0)}, liquidity={"ETH": 0.0, "USDC": 0.0}
)


def report(*holdings: Holding, at: Snapshot | None = None, parameters: Parameters = PLAIN, custody: bool = True) -> MarginReport:
    return assess(portfolio(*holdings, custody_intact=custody), at or market(), parameters)


def lines(found: MarginReport) -> dict[str, tuple[Any, Any]]:
    return {line.name: (line.initial, line.maintenance) for line in found.lines}


def names(found: MarginReport) -> set[str]:
    return {f.name for f in found.failures}


def test_assess__empty_account__ok_with_zeros() -> None:
    found = report()
    assert (found.state, found.risk.net_liquidation_value, found.risk.initial_margin) == (State.OK, 0, 0)
    assert (found.coverage, found.margin_ratio, found.lines, found.venues, found.binding) == (None, None, (), (), "at rest")


def test_assess__one_long__worst_move_of_its_range() -> None:
    found = report(holding("ETH", 10), parameters=ONLY_MARKET)
    assert found.risk.net_liquidation_value == 20_000
    assert (found.risk.initial_margin, found.risk.maintenance_margin) == (3600, 2700)
    assert (found.risk.close_out_target, found.risk.available_margin, found.risk.excess_liquidity) == (2925, 16_400, 17_300)
    assert found.binding == "prices -100% of range"


def test_assess__hedge_on_another_network__offsets() -> None:
    long, hedge = holding("ETH", 10, A), holding("ETH", 10, B, side=DEBT, place="aave_v3")
    cash = holding("USDC", 30_000, C)
    assert report(long, hedge, cash, parameters=ONLY_MARKET).risk.initial_margin == 0
    assert report(long, cash, parameters=ONLY_MARKET).risk.initial_margin == 3600


def test_assess__short__worst_move_is_up() -> None:
    found = report(holding("ETH", 10, side=DEBT, place="aave_v3"), holding("USDC", 30_000), parameters=ONLY_MARKET)
    assert (found.risk.initial_margin, found.binding) == (3600, "prices +100% of range")


def test_assess__lines__sum_exactly_and_each_risk_in_one() -> None:
    found = report(
        holding("ETH", "1.234567", A), holding("USDC", "3000.000001", B, wrapper="synthetic", bridge="hyperlane"), transit("17.5"),
        holding("USDC", "123.456789", A, side=DEBT, place="credit_line"),
    )  # fmt: skip
    assert set(lines(found)) == {"market", "stable", "liquidity", "wrapper", "transit"}
    assert sum(i for i, _ in lines(found).values()) == found.risk.initial_margin
    assert sum(m for _, m in lines(found).values()) == found.risk.maintenance_margin
    assert sum(v.market_value_usd for v in found.values) == found.risk.net_liquidation_value
    assert lines(found)["wrapper"] == (Decimal("30.000001"), Decimal("30.000001"))
    assert lines(found)["transit"] == (Decimal("0.0105"), Decimal("0.0105"))


@pytest.mark.parametrize(("debt", "state"), [("16000", "ok"), ("16500", "call"), ("17000", "call"), ("17290", "close_out"),
                                             ("20000", "insolvent"), ("30000", "insolvent")])  # fmt: skip
def test_assess__growing_debt__each_state_in_turn(debt: str, state: str) -> None:
    found = report(holding("ETH", 10), holding("USDC", debt, side=DEBT, place="credit_line"), parameters=PLAIN)
    assert found.state.value == state


def test_assess__ratios__rounded_down_and_null_when_not_positive() -> None:
    good = report(holding("ETH", 10), holding("USDC", 10_000, side=DEBT, place="credit_line"), parameters=ONLY_MARKET)
    assert (good.coverage, good.margin_ratio) == (Decimal("2.777777"), Decimal("3.703703"))
    bad = report(holding("ETH", 1), holding("USDC", 10_000, side=DEBT, place="credit_line"))
    assert (bad.coverage, bad.margin_ratio) == (None, None)


def test_assess__stale_price__zero_for_initial_last_good_for_maintenance() -> None:
    found = report(holding("ETH", 10), at=market(age=601), parameters=ONLY_MARKET)
    assert names(found) == {"price_stale"}
    assert found.risk.net_liquidation_value == 20_000
    assert lines(found)["oracle"] == (20_000, 1240)
    assert found.risk.available_margin == 0


def test_assess__stale_debt__pays_the_age_band() -> None:
    found = report(holding("USDC", 100, C), holding("ETH", "0.01", side=DEBT, place="aave_v3"), at=market(age=601))
    assert lines(found)["oracle"][0] == 100 + Decimal("1.24")


def test_assess__breach_at_one_end_of_the_band__called_not_closed_out() -> None:
    holdings = (holding("ETH", 10), holding("USDC", 17_000, side=DEBT, place="credit_line"))
    assert report(*holdings).state is State.CALL
    stale = report(*holdings, at=market(age=601))
    assert stale.risk.excess_liquidity < 0
    assert (stale.state, "close_out_deferred" in names(stale)) == (State.CALL, True)


def test_assess__breach_at_both_ends_of_the_band__closed_out() -> None:
    found = report(holding("ETH", 10), holding("USDC", 19_900, side=DEBT, place="credit_line"), at=market(age=601))
    assert found.state is State.CLOSE_OUT


def test_assess__asset_without_any_price__zero_and_deferred() -> None:
    nowhere = market(without=[(int(c), "eth_usd") for c in (A, B, C)])
    found = report(holding("ETH", 10), holding("USDC", 100, side=DEBT, place="credit_line"), at=nowhere)
    assert found.risk.net_liquidation_value == -100
    assert names(found) == {"price_missing", "close_out_deferred"}
    assert found.state is State.CALL


def test_assess__debt_without_any_price__nothing_may_be_withdrawn() -> None:
    nowhere = market(without=[(int(c), "eth_usd") for c in (A, B, C)])
    found = report(holding("USDC", 1000), holding("ETH", 1, side=DEBT, place="aave_v3"), at=nowhere)
    assert found.risk.available_margin == 0
    assert sum(i for i, _ in lines(found).values()) == found.risk.initial_margin
    assert names(found) == {"price_missing"}


@pytest.mark.parametrize("broken", ["NaN", "Infinity", "0", "-1"])
def test_assess__broken_price__named_and_conservative(broken: str) -> None:
    found = report(holding("ETH", 10), holding("USDC", 100), at=market(eth=broken))
    assert names(found) == {"price_invalid"}
    assert found.risk.net_liquidation_value == 100


def test_assess__own_feed_missing__other_network_is_last_good_but_zero_for_initial() -> None:
    found = report(holding("ETH", 1, A), at=market(without=[(int(A), "eth_usd")]))
    assert found.risk.net_liquidation_value == 2000 and found.risk.available_margin == 0
    assert names(found) == {"price_missing"}


def test_assess__absurd_quantity__asset_zero_debt_capped_and_listed() -> None:
    asset = report(holding("ETH", 10**30))
    assert (names(asset), asset.risk.net_liquidation_value) == ({"quantity_absurd"}, 0)
    debt = report(holding("ETH", 10**30, side=DEBT, place="aave_v3"))
    assert (names(debt), debt.risk.net_liquidation_value, debt.state) == ({"quantity_absurd"}, -(10**15), State.INSOLVENT)


def test_assess__asset_without_range__counts_nothing() -> None:
    doge = dataclasses.replace(holding("ETH", 5), asset="DOGE")
    found = report(doge)
    assert lines(found) == {"eligibility": (10_000, 10_000)}
    owed = report(dataclasses.replace(doge, side=DEBT), holding("USDC", 30_000))
    assert lines(owed)["eligibility"] == (10_000, 10_000)


def test_assess__custody_broken__zero_for_initial_only() -> None:
    found = report(holding("ETH", 5), custody=False, parameters=ONLY_MARKET)
    assert lines(found) == {"market": (0, 1350), "custody": (10_000, 0)}
    assert names(found) == {"custody_not_intact"} and found.risk.available_margin == 0


def test_assess__quarantined__zero_for_initial_only() -> None:
    found = report(holding("ETH", 5, state=HoldingState.QUARANTINED), parameters=ONLY_MARKET)
    assert lines(found) == {"market": (0, 1350), "quarantine": (10_000, 0)}


def test_assess__pending_credit__stated_share_withheld() -> None:
    pending = holding("USDC", 1000, C, state=HoldingState.PENDING)
    assert "finality" not in lines(report(pending))
    assert lines(report(pending, parameters=dataclasses.replace(PLAIN, finality_pending=0.5)))["finality"] == (500, 500)


def test_assess__bridge_nobody_parametrised__counts_nothing() -> None:
    found = report(holding("USDC", 1000, B, wrapper="synthetic", bridge="unheard"), parameters=ONLY_MARKET)
    assert lines(found) == {"wrapper": (1000, 1000)}


def test_assess__in_transit_below_zero__a_debt_at_par() -> None:
    found = report(holding("USDC", 1000, A), transit(1000, side=DEBT))
    assert found.risk.net_liquidation_value == 0


def test_assess__initial_below_maintenance__raised_to_it() -> None:
    inverted = dataclasses.replace(ONLY_MARKET, maintenance_share=2.0)
    found = report(holding("ETH", 10), parameters=inverted)
    assert found.risk.initial_margin == found.risk.close_out_target == found.risk.maintenance_margin == 7200
    assert lines(found) == {"market": (7200, 7200)}


def test_assess__haircut_model__factors_of_the_venue_then_of_the_parameters() -> None:
    chosen = dataclasses.replace(PLAIN, model="haircut", haircut_ltv_threshold={"ETH": (0.5, 0.6)})
    found = report(holding("ETH", 10, place="aave_v3"), holding("ETH", 1), holding("USDC", 100), parameters=chosen)
    assert lines(found) == {"haircut": (4000 + 1000 + 100, 3500 + 800 + 100)}
    assert found.model == "haircut" and found.scenarios == ()


def test_assess__unknown_model__refused_by_name() -> None:
    with pytest.raises(ConfigInvalid, match=r"'span' is not a model; use one of \['spot_grid', 'haircut'\]"):
        report(parameters=dataclasses.replace(PLAIN, model="span"))


def test_models__names__those_of_their_files() -> None:
    assert [name_of(m) for m in MODELS] == ["spot_grid", "haircut"]


def test_assess__negative_atoms__refused() -> None:
    with pytest.raises(ValueError, match="holding_atoms_must_not_be_negative"):
        report(holding("ETH", 1).with_atoms(-1))


def test_cautious__two_views__the_worse() -> None:
    rich, poor = report(holding("USDC", 100)), report(holding("USDC", 50))
    for pair in ((rich, poor), (poor, rich)):
        found = cautious(*pair)
        assert (found.view, found.risk) == (View.CAUTIOUS, poor.risk)


def test_close_out_gate__needs_both() -> None:
    sound = report(holding("USDC", 100))
    breached = report(holding("ETH", 10), holding("USDC", 18_000, side=DEBT, place="credit_line"))
    assert [close_out_gate(a, b) for a in (sound, breached) for b in (sound, breached)] == [False, False, False, True]


def test_assess__what_if__same_function_on_a_changed_portfolio() -> None:
    base = portfolio(holding("ETH", 10))
    changed: Portfolio = dataclasses.replace(base, holdings=(*base.holdings, holding("ETH", 5)))
    assert assess(changed, market(), PLAIN) == assess(portfolio(holding("ETH", 15)), market(), PLAIN)


def test_risk__shortfall__what_is_missing_to_maintenance() -> None:
    breached = report(holding("ETH", 10), holding("USDC", 18_000, side=DEBT, place="credit_line"))
    assert breached.risk.shortfall == -breached.risk.excess_liquidity > 0
    assert report(holding("USDC", 1)).risk.shortfall == 0


def test_as_of__key__changes_with_each_of_the_three() -> None:
    base = portfolio().as_of
    others = [dataclasses.replace(base, market_id="m2"), dataclasses.replace(base, parameters_id="p2"), as_of(number=11)]
    assert len({a.key() for a in (base, *others)}) == 4
