"""Actions in the database: plan and reservation in one transaction, one live action per need, an end that ends what it reserved."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import insert, text, update

from aggregator.errors import LeaseHeld, NotFound
from aggregator.plan.steps import action_id
from aggregator.portfolio.portfolio import View
from aggregator.store import actions, leases, reports
from aggregator.store.actions import conclude, due, load
from aggregator.store.db import Store
from aggregator.store.event_log import after
from aggregator.store.leases import Lease
from aggregator.store.needs import load_needs
from aggregator.store.tables import chain_events
from aggregator.store.tables import reports as reports_table
from tests.store import actions_kit as kit
from tests.store.actions_kit import WEAK, save, the_step
from tests.unit.plan.world import CLIENT, A, B

assess_lease = kit.assess_lease


def scalar(store: Store, query: str, **given: Any) -> Any:
    with store.transaction() as conn:
        return conn.execute(text(query), {"deployment": store.deployment, **given}).scalar()


def group_state(store: Store, name: str) -> str:
    return str(scalar(store, "select state from groups where deployment = :deployment and key = :key", key=f"action:{name}"))


def kinds(store: Store) -> list[str]:
    return [e.kind for e in after(store, 0)]


def test_save__plan_with_a_step__action_reservation_report_and_events_together(store: Store, assess_lease: Lease) -> None:
    ((name, chain_id),) = save(store, assess_lease)
    assert chain_id == A and name == action_id(store.deployment, the_step())
    stored = load(store, name)
    assert stored.live and stored.step == the_step()
    assert group_state(store, name) == "pending"
    assert kinds(store)[-2:] == ["margin.assessed", "action.planned"]
    with store.transaction() as conn:
        assert actions.reserved(conn, store.deployment, CLIENT) == frozenset({f"action:{name}"})


def test_save__same_plan_again__changes_nothing(store: Store, assess_lease: Lease) -> None:
    save(store, assess_lease)
    before = kinds(store)
    name = action_id(store.deployment, the_step())
    assert save(store, assess_lease, counted=frozenset({f"action:{name}"})) == ()
    assert kinds(store) == before


def test_save__new_epoch_while_the_need_is_live__left_out(store: Store, assess_lease: Lease) -> None:
    ((name, _),) = save(store, assess_lease)
    later = replace(WEAK, number=101)
    assert action_id(store.deployment, the_step(later)) != name
    assert save(store, assess_lease, later, frozenset({f"action:{name}"})) == ()
    assert scalar(store, "select count(*) from actions where deployment = :deployment") == 1


def test_save__reservations_changed_meanwhile__steps_are_dropped(store: Store, assess_lease: Lease) -> None:
    assert save(store, assess_lease, counted=frozenset({"ticket:unknown"})) == ()
    assert "margin.assessed" in kinds(store) and "action.planned" not in kinds(store)


def test_save__lease_lost__nothing_is_written(store: Store, assess_lease: Lease) -> None:
    with store.transaction() as conn:
        conn.execute(text("update leases set expires_at = now() - interval '1 h' where deployment = :d"), {"d": store.deployment})
    leases.acquire(store, "assess", "other", 60)
    with pytest.raises(LeaseHeld):
        save(store, assess_lease)
    assert scalar(store, "select count(*) from actions where deployment = :deployment") == 0


@pytest.mark.parametrize("status", ["reverted", "expired", "refused"])
def test_conclude__failed__need_is_free_and_reservation_void(store: Store, assess_lease: Lease, status: str) -> None:
    ((name, _),) = save(store, assess_lease)
    assert the_step().need_key in load_needs(store).live
    assert conclude(store, name, status, "because")
    assert not conclude(store, name, "confirmed", "too late")
    assert group_state(store, name) == "voided"
    assert (load(store, name).status, load(store, name).status_reason) == (status, "because")
    needs = load_needs(store)
    assert needs.live == frozenset() and needs.failures[the_step().need_key] == (1, the_step().as_of_s) and not needs.drawn
    assert f"action.{status}" in kinds(store) and "transfer.voided" in kinds(store)
    assert len(save(store, assess_lease, replace(WEAK, number=101))) == 1, "the next epoch may serve the need again"


def test_conclude__confirmed__reservation_is_left_to_the_journal(store: Store, assess_lease: Lease) -> None:
    ((name, _),) = save(store, assess_lease)
    assert load_needs(store).drawn == {(A, the_step().safe): the_step().draw_atoms}
    assert conclude(store, name, "confirmed", "")
    assert group_state(store, name) == "pending"
    assert not load_needs(store).failures


def test_conclude__unknown_status__refused(store: Store) -> None:
    with pytest.raises(ValueError, match="ends no action"):
        conclude(store, "0x", "planned", "")


def test_load__unknown__not_found(store: Store) -> None:
    with pytest.raises(NotFound, match="no action 0xdead"):
        load(store, "0xdead")


def test_due__many_scanners__each_row_is_claimed_once(store: Store, assess_lease: Lease) -> None:
    ((name, _),) = save(store, assess_lease)
    with ThreadPoolExecutor(4) as pool:
        found = [d for part in pool.map(lambda _: due(store, A, 60.0), range(4)) for d in part]
    assert [(d.task, d.action_id, d.overdue) for d in found] == [("dispatch", name, False)]
    assert due(store, A, 60.0) == () == due(store, B, 60.0)


def test_needs__sequences__follow_what_the_network_told(store: Store) -> None:
    row = {"deployment": store.deployment, "chain_id": A, "block_number": 5, "block_hash": "0x5", "log_index": 1, "part": 0,
           "tx_hash": "0x1", "kind": "ActionDone", "subject": "0xsafe", "body": {"need_key": "0xneed", "sequence": "3"},
           "orphaned": False}  # fmt: skip
    with store.transaction() as conn:
        orphan = {**row, "log_index": 2, "body": {"need_key": "0xneed", "sequence": "4"}, "orphaned": True}
        conn.execute(insert(chain_events), [row, orphan])
    assert load_needs(store).sequences == {"0xneed": 4}


def test_reports__stored__come_out_again_bit_for_bit(store: Store, assess_lease: Lease) -> None:
    save(store, assess_lease)
    (report_id,) = reports.newest_ids(store)
    found = reports.verify(store, report_id)
    assert found.equal and found.client == CLIENT
    latest = reports.latest(store, CLIENT)
    assert latest is not None and latest.risk == WEAK.situation().books[View.HEAD].report.risk


def test_reports__changed_row__is_told(store: Store, assess_lease: Lease) -> None:
    save(store, assess_lease)
    (report_id,) = reports.newest_ids(store)
    with store.transaction() as conn:
        conn.execute(update(reports_table).where(reports_table.c.id == report_id).values(digest="0" * 64))
    found = reports.verify(store, report_id)
    assert found.differing == ("row",)
    reports.tell_difference(store, found)
    assert kinds(store)[-1] == "report.differs"
