"""Reading: accounts, portfolio, margin, explain, actions, events, health, and what every figure carries with it."""

from __future__ import annotations

from decimal import Decimal

from aggregator.margin.explain import explain, from_json
from aggregator.store import reports, views
from tests.api.book import digest
from tests.api.conftest import Api


async def test_accounts__desk__sees_all_with_three_numbers(api: Api) -> None:
    answer = await api.get("/v1/accounts")
    found = {a["account"]: a for a in answer.json["accounts"]}
    assert {name: a["margin_state"] for name, a in found.items()} == {
        "marlow": "ok", "kestrel": "call", "tern": "close_out", "salt": "insolvent"}  # fmt: skip
    numbers = found["marlow"]["numbers"]
    available = Decimal(numbers["net_liquidation_value_usd"]) - Decimal(numbers["initial_margin_usd"])
    assert available == Decimal(numbers["available_margin_usd"])
    assert [b["chain_id"] for b in found["marlow"]["as_of"]["blocks"]] == [71001, 71002, 71003]


async def test_accounts__client_key__sees_its_own_only(api: Api) -> None:
    answer = await api.get("/v1/accounts", key="marlow")
    assert [a["account"] for a in answer.json["accounts"]] == ["marlow"]


async def test_portfolio__values__sum_to_net_liquidation_value(api: Api) -> None:
    answer = await api.get("/v1/accounts/marlow/portfolio")
    values = [Decimal(h["market_value_usd"]) for h in answer.json["holdings"]]
    assert sum(values) == Decimal(answer.json["net_liquidation_value_usd"])
    assert {h["state"] for h in answer.json["holdings"]} == {"final", "pending", "in_transit"}
    weth = next(h for h in answer.json["holdings"] if h["asset"] == "ETH")
    assert (weth["quantity_atoms"], Decimal(weth["quantity"])) == (str(100 * 10**18), Decimal(100))
    assert len(answer.json["safes"]) == 3 and answer.json["as_of"]["blocks"][0]["finality"] == "pending"


async def test_margin__lines__sum_to_the_requirements(api: Api) -> None:
    margin = (await api.get("/v1/accounts/tern/margin")).json
    lines = margin["lines"]
    assert sum(Decimal(line["initial_usd"]) for line in lines) == Decimal(margin["numbers"]["initial_margin_usd"])
    assert margin["state"] == "close_out" and margin["venues"][0]["health_factor_as_reported"].startswith("1.")
    assert all(isinstance(line["maintenance_usd"], str) for line in lines)


async def test_margin__at_an_earlier_event__gives_the_report_of_that_time(api: Api) -> None:
    first = (await api.get("/v1/accounts/marlow/margin")).json
    seq = (await api.get("/v1/health")).json["last_seq"]
    api.book.step(eth="1990")
    later = (await api.get("/v1/accounts/marlow/margin")).json
    replayed = (await api.get(f"/v1/accounts/marlow/margin?at={seq}")).json
    assert later["report_id"] > first["report_id"] and replayed["report_id"] == first["report_id"]
    assert (await api.get("/v1/accounts/marlow/margin?at=0")).code == "not-found"
    api.book.step(eth="2000")


async def test_margin__other_views__are_computed_from_the_stored_inputs(api: Api) -> None:
    shown = (await api.get("/v1/accounts/marlow/margin?view=head")).json
    stored = reports.latest(api.book.store, "marlow")
    assert stored is not None and shown["numbers"]["initial_margin_usd"] == f"{stored.risk.initial_margin:f}"
    missing = await api.get("/v1/accounts/marlow/margin?view=projected")
    assert missing.code == "not-found" and "head" in missing.json["detail"]


async def test_explain__every_figure__has_the_words_of_the_engine(api: Api) -> None:
    row = views.accounts(api.book.store, "marlow")[0].report
    assert row is not None
    report = from_json(dict(row.body))
    for figure in ("initial_margin", f"health_factor:{report.venues[0].position}"):
        answer = await api.get(f"/v1/accounts/marlow/explain/{figure}")
        wanted = explain(report, figure)
        assert answer.json["sentence"] == wanted.sentence
        assert [line["why"] for line in answer.json["lines"]] == [line.why for line in wanted.lines]
    assert (await api.get("/v1/accounts/marlow/explain/beauty")).code == "not-found"


async def test_actions__pages__come_newest_first_and_end(api: Api) -> None:
    first = (await api.get("/v1/accounts/marlow/actions?limit=1")).json
    assert first["actions"][0]["kind"] == "top_up" and first["actions"][0]["slot"]["tx_hashes"] == [digest("tx", 0)]
    cursor = first["next"].replace("+", "%2B")
    second = (await api.get(f"/v1/accounts/marlow/actions?limit=1&cursor={cursor}")).json
    assert [a["kind"] for a in second["actions"]] == ["rebalance"]
    last = (await api.get(f"/v1/accounts/marlow/actions?limit=1&cursor={second['next'].replace('+', '%2B')}")).json
    assert last == {"actions": [], "next": None}


async def test_action__of_another_client__is_not_found(api: Api) -> None:
    action_id = digest("marlow", "top_up")
    assert (await api.get(f"/v1/actions/{action_id}")).json["account"] == "marlow"
    assert (await api.get(f"/v1/actions/{action_id}", key="marlow")).status == 200
    assert (await api.get(f"/v1/actions/{action_id}", key="tern")).code == "not-found"


async def test_events__after__goes_on_where_the_page_ended(api: Api) -> None:
    page = (await api.get("/v1/accounts/tern/events?limit=1")).json
    rest = (await api.get(f"/v1/accounts/tern/events?after={page['last_seq']}")).json
    assert page["events"][0]["kind"] == "client.opened"
    assert all(e["seq"] > page["last_seq"] and e["account"] == "tern" for e in rest["events"])


async def test_health__public__tells_networks_and_no_clients(api: Api) -> None:
    answer = await api.get("/v1/health", key="")
    assert answer.status == 200 and [n["chain_id"] for n in answer.json["networks"]] == [71001, 71002, 71003]
    assert {n["state"] for n in answer.json["networks"]} == {"following"}
    assert "marlow" not in str(answer.json)
    api.book.follow(stopped="nodes disagree on block 7012")
    stopped = (await api.get("/v1/health", key="")).json
    assert stopped["state"] == "degraded" and stopped["networks"][2]["reason"].startswith("nodes disagree")
    api.book.follow()
