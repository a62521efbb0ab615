"""Explain and the codec: the same figures, in words and without loss."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from enum import Enum

import pytest

from aggregator.errors import NotFound
from aggregator.margin.codec import canonical, decode, digest, encode
from aggregator.margin.engine import assess
from aggregator.margin.explain import ExplainLine, explain, figures, from_json, to_json
from aggregator.margin.explain import digest as report_digest
from aggregator.margin.parameters import Parameters
from aggregator.margin.report import MarginReport
from aggregator.portfolio.portfolio import Portfolio, Side
from chains.types import Cut
from tests.unit.pure_world import ALICE, A, C, as_of, holding, market, portfolio, transit

POSITION = f"{A}:aave_v3:{ALICE}"
PARAMETERS = Parameters(model="spot_grid")


def report(age: int = 0) -> MarginReport:
    held = (
        holding("ETH", "2.5", place="aave_v3"), holding("USDC", 3000, place="aave_v3", side=Side.DEBT), holding("USDC", 900, C),
        transit(5),
    )  # fmt: skip
    return assess(portfolio(*held), market(age=age), PARAMETERS)


def test_figures__one_health_factor_per_position() -> None:
    assert figures(report()) == (
        "net_liquidation_value", "initial_margin", "maintenance_margin", "close_out_target", "available_margin", "excess_liquidity",
        "requirement_alone", "capital_saved", f"health_factor:{POSITION}",
    )  # fmt: skip


@pytest.mark.parametrize("figure", ["net_liquidation_value", "initial_margin", "maintenance_margin", "close_out_target",
                                    "available_margin", "excess_liquidity", "requirement_alone"])  # fmt: skip
def test_explain__figure__is_the_sum_of_its_lines(figure: str) -> None:
    told = explain(report(), figure)
    assert told.sentence and told.value == sum(line.value for line in told.lines if line.value is not None)


def test_explain__net_liquidation_value__quantity_price_age_and_block() -> None:
    told = explain(report(), "net_liquidation_value")
    assert ExplainLine(
        f"ETH on {A}, aave_v3 asset", Decimal("5000.000000"), "2.5 ETH at 2000 USD, 0 s old; block 10, final"
    ) in told.lines  # fmt: skip


def test_explain__capital_saved__stressed_less_initial_margin() -> None:
    told = explain(report(), "capital_saved")
    amounts = [line.value for line in told.lines if line.label != "coverage"]
    assert told.value == sum(v for v in amounts if v is not None)


def test_explain__health_factor__quotes_the_protocol() -> None:
    told = explain(report(), f"health_factor:{POSITION}")
    assert told.value == Decimal("1.375")
    assert [line.label for line in told.lines] == ["collateral", "debt", "move to liquidation"]
    alone = assess(portfolio(holding("ETH", 1, place="aave_v3")), market(), PARAMETERS)
    assert explain(alone, f"health_factor:{POSITION}").value is None


def test_explain__listed_failure__stands_beside_every_number() -> None:
    told = explain(report(age=601), "initial_margin")
    assert any(line.label == "price_stale" and line.value is None for line in told.lines)


def test_explain__missing_price__said_in_words() -> None:
    bare = assess(portfolio(holding("ETH", 1)), market(without=[(int(c), "eth_usd") for c in range(A, C + 1)]), PARAMETERS)
    assert explain(bare, "net_liquidation_value").lines[0].why == "1 ETH no price; block 10, final"


def test_explain__unknown_figure__names_those_there_are() -> None:
    with pytest.raises(NotFound, match="figure 'equity' is not on the report of 'alice'; use one of net_liquidation_value"):
        explain(report(), "equity")


def test_codec__report__decimal_strings_and_back() -> None:
    found = report()
    body = to_json(found)
    assert body["risk"]["net_liquidation_value"] == "2905.000000" and body["state"] == found.state.value
    assert from_json(body) == found
    assert report_digest(found) == report_digest(report()) == digest(found) != report_digest(report(age=1))


def test_codec__inputs__read_back_so_that_a_report_can_be_replayed() -> None:
    p, m = portfolio(holding("ETH", 1)), market()
    assert decode(Portfolio, encode(p)) == p
    assert decode(type(m), encode(m)).id == m.id
    assert decode(Parameters, encode(PARAMETERS)).id == PARAMETERS.id
    assert decode(Cut, encode(as_of().cut)) == as_of().cut


@pytest.mark.parametrize(
    ("change", "word"), [({"extra": 1}, r"unknown fields \['extra'\]"), ({"client": ...}, r"missing fields \['client'\]")]
)
def test_codec__other_fields__refused_by_name(change: dict[str, object], word: str) -> None:
    body = to_json(report())
    for name, value in change.items():
        if value is ...:
            del body[name]
        else:
            body[name] = value
    with pytest.raises(ValueError, match=word):
        from_json(body)


def test_codec__type_without_a_form__refused() -> None:
    with pytest.raises(TypeError, match="codec_has_no_form_for: object"):
        encode(object())


class Colour(Enum):
    RED = 1


@dataclasses.dataclass(frozen=True)
class Pair:
    both: tuple[int, str]
    some: dict[str, float]
    colour: Colour


def test_codec__fixed_tuples_mappings_and_enums__read_back() -> None:
    pair = Pair((1, "x"), {"b": 0.1, "a": 2.0}, Colour.RED)
    assert canonical(pair) == '{"both":[1,"x"],"colour":1,"some":{"a":2.0,"b":0.1}}'
    assert decode(Pair, encode(pair)) == pair
