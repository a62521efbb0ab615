"""Mandates: typed, canonical, refused by the field's name."""

from __future__ import annotations

import json

import pytest

from aggregator.errors import MandateForbids
from aggregator.plan.mandate import Mandate, MandateInvalid, parse, parse_text

BODY = {"networks": [71002, 71001], "venues": ["aave_v3"], "bridges": [], "max_cost_bps": 50, "may_move_collateral": True}


def test_mandate__canonical_text__comes_back_and_does_not_depend_on_order() -> None:
    mandate = parse(BODY)
    assert parse_text(mandate.canonical()) == mandate
    assert parse({**BODY, "networks": [71001, 71002]}).digest == mandate.digest
    assert mandate.canonical() == json.dumps(json.loads(mandate.canonical()), sort_keys=True, separators=(",", ":"))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"networks": "71001"}, "networks"), ({"networks": [1, 1]}, "networks"), ({"networks": [True]}, "networks"),
        ({"venues": [1]}, "venues"), ({"max_cost_bps": 10_001}, "max_cost_bps"), ({"max_cost_bps": True}, "max_cost_bps"),
        ({"may_move_collateral": 1}, "may_move_collateral"), ({"speed": 1}, "speed"),
    ],
)  # fmt: skip
def test_mandate__wrong_field__named(change: dict[str, object], field: str) -> None:
    with pytest.raises(MandateInvalid, match=rf"mandate\.{field}"):
        parse({**BODY, **change})


@pytest.mark.parametrize("field", sorted(BODY))
def test_mandate__missing_field__named(field: str) -> None:
    with pytest.raises(MandateInvalid, match=field):
        parse({k: v for k, v in BODY.items() if k != field})


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_mandate__not_an_object__refused(text: str) -> None:
    with pytest.raises(MandateInvalid):
        parse_text(text)


def test_mandate__require__names_the_field_that_is_too_narrow() -> None:
    mandate = Mandate((1,), ("aave_v3",), ("hyperlane",), 10, True)
    mandate.require(network=1, venue="aave_v3", bridge="hyperlane")
    for field, asked in (("networks", {"network": 2}), ("venues", {"venue": "x"}), ("bridges", {"bridge": "x"})):
        with pytest.raises(MandateForbids, match=field):
            mandate.require(**asked)
