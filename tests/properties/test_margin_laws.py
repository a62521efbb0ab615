"""Laws of consolidated margin, for every model: ordering, exact sums, more collateral never hurts, order is irrelevant."""

from __future__ import annotations

import dataclasses
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.margin.codec import decode, encode
from aggregator.margin.engine import assess
from aggregator.margin.explain import digest, explain, figures, from_json, to_json
from aggregator.margin.kernel import FITS, MAX_FACTOR, PPB, Table, stressed, stressed_arrays, stressed_reference
from aggregator.margin.models import MODELS, name_of
from aggregator.margin.parameters import Parameters
from aggregator.margin.report import MarginReport, State
from aggregator.market.prices import Price, Snapshot
from aggregator.portfolio.portfolio import Holding, HoldingState, Portfolio, Side
from tests.unit.pure_world import CHAINS, NOW, A, B, C, holding, market, portfolio, transit

STATES = [*[HoldingState.FINAL] * 5, HoldingState.PENDING, HoldingState.QUARANTINED]
share = st.floats(0, 0.6).map(lambda x: round(x, 4))


@st.composite
def parameters(draw: st.DrawFn) -> Parameters:
    return Parameters(
        range_down_up={"ETH": (draw(share), draw(share)), "USDC": (draw(share) / 10, draw(share) / 10)},
        maintenance_share=draw(st.floats(0, 1)), theta=draw(st.floats(0, 1)),
        finality_pending=draw(st.sampled_from([0.0, 0.3, 1.0])),
        liquidity={"ETH": draw(share), "USDC": draw(share) / 10}, wrapper={"hyperlane": draw(share)},
        transit={"hyperlane": draw(share)}, oracle_band={"ETH": draw(share), "USDC": draw(share)},
        model=name_of(draw(st.sampled_from(MODELS))),
    )  # fmt: skip


@st.composite
def markets(draw: st.DrawFn) -> Snapshot:
    """Some feeds fresh, some stale, some broken, some missing."""
    prices = {}
    for c in CHAINS:
        for feed, asset, typical in (("eth_usd", "ETH", 2000), ("usdc_usd", "USDC", 1)):
            how = draw(st.sampled_from(["fresh"] * 6 + ["stale", "broken", "missing"]))
            value = Decimal(typical) * (1 + Decimal(draw(st.integers(-3000, 3000))) / 10_000)
            if how == "broken":
                value = draw(st.sampled_from([Decimal("NaN"), Decimal("Infinity"), Decimal(0), Decimal(-1)]))
            if how != "missing":
                age = 601 if how == "stale" else draw(st.integers(0, 600))
                prices[(int(c), feed)] = Price(int(c), feed, asset, value, NOW - age, NOW, 600, 10)
    return Snapshot(prices)


@st.composite
def holdings(draw: st.DrawFn) -> Holding:
    if draw(st.integers(0, 9)) == 0:
        message, way = draw(st.sampled_from(["m1", "m2"])), draw(st.sampled_from(list(Side)))
        return transit(1, message, way).with_atoms(draw(st.integers(0, 10**13)))
    asset, side = draw(st.sampled_from(["ETH", "USDC"])), draw(st.sampled_from([Side.ASSET, Side.ASSET, Side.DEBT]))
    synthetic = asset == "USDC" and side is Side.ASSET and draw(st.booleans())
    place = "wallet" if synthetic else draw(st.sampled_from(["wallet", "aave_v3", "credit_line"]))
    base = holding(
        asset, 1, draw(st.sampled_from([A, B, C])), side, place, "synthetic" if synthetic else "wrapped",
        "hyperlane" if synthetic else "", draw(st.sampled_from(STATES)),
    )  # fmt: skip
    return base.with_atoms(draw(st.integers(0, 10 ** (base.decimals + draw(st.integers(-3, 5))))))


portfolios = st.builds(
    lambda hs, custody: portfolio(*hs, custody_intact=custody),
    st.lists(holdings(), max_size=8),
    st.sampled_from([True] * 5 + [False]),
)


@settings(max_examples=200, deadline=None)
@given(portfolios, markets(), parameters())
def test_assess__any_account__ordered_and_summed_exactly(p: Portfolio, m: Snapshot, q: Parameters) -> None:
    found = assess(p, m, q)
    risk = found.risk
    assert 0 <= risk.maintenance_margin <= risk.close_out_target <= risk.initial_margin
    assert sum(line.initial for line in found.lines) == risk.initial_margin
    assert sum(line.maintenance for line in found.lines) == risk.maintenance_margin
    assert all(line.initial >= 0 and line.maintenance >= 0 and line.why for line in found.lines)
    assert sum(v.market_value_usd for v in found.values) == risk.net_liquidation_value
    assert len({line.name for line in found.lines}) == len(found.lines)
    assert _consistent(found)


def _consistent(found: MarginReport) -> bool:
    risk = found.risk
    if found.state is State.OK:
        return risk.available_margin >= 0
    if found.state is State.CALL:
        deferred = any(f.name == "close_out_deferred" for f in found.failures)
        return deferred or risk.available_margin < 0 <= risk.excess_liquidity
    return risk.excess_liquidity < 0 or risk.net_liquidation_value <= 0


@settings(max_examples=300, deadline=None)
@given(portfolios, markets(), parameters(), holdings(), st.data())
def test_assess__more_of_an_asset__never_lowers_what_is_available(
    p: Portfolio, m: Snapshot, q: Parameters, extra: Holding, data: st.DataObject
) -> None:
    assets = [h for h in p.holdings if h.side is Side.ASSET]
    known = bool(assets) and data.draw(st.booleans())
    grown = data.draw(st.sampled_from(assets)) if known else dataclasses.replace(extra, side=Side.ASSET)
    step = data.draw(st.sampled_from([1, 2, 999, 10**6, 10**12, 10**18]) | st.integers(1, 10**22))
    after = dataclasses.replace(p, holdings=(*p.holdings, grown.with_atoms(min(step, 10 ** (grown.decimals + 5)))))
    one, two = assess(p, m, q).risk, assess(after, m, q).risk
    assert two.available_margin >= one.available_margin
    assert two.excess_liquidity >= one.excess_liquidity
    assert two.net_liquidation_value - two.close_out_target >= one.net_liquidation_value - one.close_out_target


@settings(max_examples=200, deadline=None)
@given(portfolios, markets(), parameters(), st.data())
def test_assess__order_split_merge__change_no_bit(p: Portfolio, m: Snapshot, q: Parameters, data: st.DataObject) -> None:
    pieces: list[Holding] = []
    for h in p.holdings:
        cut = data.draw(st.integers(0, h.atoms))
        pieces += [h.with_atoms(cut), h.with_atoms(h.atoms - cut)]
    mixed = dataclasses.replace(p, holdings=tuple(data.draw(st.permutations(pieces))))
    assert digest(assess(mixed, m, q)) == digest(assess(p, m, q))


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 10**22), st.integers(0, 10**13), st.data(), parameters())
def test_assess__hedge_on_another_network__never_raises_the_requirement(
    eth: int, cash: int, data: st.DataObject, q: Parameters
) -> None:
    q = dataclasses.replace(q, model="spot_grid")
    long, money = holding("ETH", 1, A).with_atoms(eth), holding("USDC", 1, C).with_atoms(cash)
    hedge = holding("ETH", 1, B, side=Side.DEBT, place="aave_v3").with_atoms(data.draw(st.integers(0, eth)))
    bare, hedged = assess(portfolio(long, money), market(), q).risk, assess(portfolio(long, money, hedge), market(), q).risk
    tolerance = Decimal("0.00001")
    assert hedged.initial_margin <= bare.initial_margin + tolerance
    assert hedged.maintenance_margin <= bare.maintenance_margin + tolerance


@settings(max_examples=150, deadline=None)
@given(portfolios, parameters(), st.sampled_from(["eth_usd", "usdc_usd"]))
def test_assess__older_price__never_raises_what_is_available(p: Portfolio, q: Parameters, feed: str) -> None:
    fresh = market()
    old = Snapshot({k: dataclasses.replace(v, updated_at=NOW - 601) if k[1] == feed else v for k, v in fresh.prices.items()})
    one, two = assess(p, fresh, q).risk, assess(p, old, q).risk
    assert two.available_margin <= one.available_margin and two.excess_liquidity <= one.excess_liquidity


@settings(max_examples=150, deadline=None)
@given(portfolios, markets(), parameters())
def test_report__json__reads_back_and_every_figure_explains_itself(p: Portfolio, m: Snapshot, q: Parameters) -> None:
    found = assess(p, m, q)
    assert from_json(to_json(found)) == found
    assert digest(from_json(to_json(found))) == digest(assess(decode(Portfolio, encode(p)), m, decode(Parameters, encode(q))))
    for figure in figures(found):
        told = explain(found, figure)
        if figure.endswith("_margin") and figure != "available_margin":
            assert sum(line.value for line in told.lines if line.value is not None) == told.value


factors = st.integers(0, MAX_FACTOR)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_kernel__arrays_and_reference__agree_to_the_bit(data: st.DataObject) -> None:
    assets = data.draw(st.integers(1, 4))
    rows = data.draw(st.lists(st.tuples(st.integers(0, assets - 1), st.integers(-FITS, FITS)), min_size=1, max_size=8))
    total = sum(abs(v) for _, v in rows)
    rows = [(a, v * FITS // max(FITS, total)) for a, v in rows]
    columns = st.lists(factors, min_size=assets, max_size=assets).map(tuple)
    scenarios = data.draw(st.lists(columns, min_size=1, max_size=6))
    concession = data.draw(st.lists(st.integers(0, PPB), min_size=assets, max_size=assets))
    table = Table(tuple(map(str, range(len(scenarios)))), tuple(map(str, range(assets))), tuple(scenarios), tuple(concession))
    assert stressed_arrays(rows, table) == stressed_reference(rows, table) == stressed(rows, table)


def test_kernel__beyond_64_bits__reference_takes_over() -> None:
    table = Table(("s",), ("ETH",), ((PPB // 2,),), (0,))
    assert stressed([(0, 10**30)], table) == [5 * 10**29]
    assert stressed([], table) == [0]
