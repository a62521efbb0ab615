"""Dispatch and settle against a real network: one effect per need, refusals before a nonce, ends told from what is final."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from aggregator.errors import ConfigInvalid, NotFound
from aggregator.plan import effects as fx
from aggregator.store.actions import load
from aggregator.store.db import Store
from aggregator.store.event_log import after
from aggregator.tasks import chain_state
from aggregator.tasks.dispatch import action_call, dispatch_action
from aggregator.tasks.runtime import Runtime
from aggregator.tasks.settle import settle_action
from chains.actions import Approve
from chains.signer import LocalSigner, TxFields, sign_transaction
from chains.slots import Attempt, SlotState
from chains.types import Address, ChainId
from tests.chain.custody_calls import USDC
from tests.tasks import kit

pytestmark = pytest.mark.chain


def debt(stage: kit.Stage) -> int:
    reserve = fx.reserve_named(stage.world.network, "usdc")
    assert reserve is not None
    return stage.world.balance(reserve.variable_debt_token, stage.world.safe)


def test_dispatch__planned_action__one_slot_one_effect_confirmed_when_final(store: Store, stage: kit.Stage) -> None:
    wanted = kit.step(stage)
    name, before = kit.plan_action(store, wanted), debt(stage)
    with kit.runtime(store, stage.url) as made:
        made.run(dispatch_action(made, name))
        found = made.run(kit.settled(made, name))
        slot = made.slots.of_action(name)
    assert found.status == "confirmed" and stage.served(wanted.need_key) == 1
    assert slot is not None and slot.state is SlotState.FINAL_OK
    assert before - debt(stage) >= 999 * USDC
    told = [e.kind for e in after(store, 0) if e.subject == name]
    assert [k for k in told if k != "action.dispatched"] == ["action.planned", "action.signed", "action.mined", "action.confirmed"]


def test_dispatch__told_many_times_at_once__one_nonce_and_the_same_bytes(store: Store, stage: kit.Stage) -> None:
    wanted = kit.step(stage)
    name = kit.plan_action(store, wanted)
    with kit.runtime(store, stage.url) as one, kit.runtime(store, stage.url) as two:

        async def many(made: Runtime) -> None:
            await asyncio.gather(*(dispatch_action(made, name) for _ in range(4)))

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda made: made.run(many(made)), (one, two)))
        slot = one.slots.of_action(name)
        assert slot is not None and len(one.slots.attempts(slot)) == 1
        one.run(kit.settled(one, name))
        one.run(dispatch_action(one, name))
    assert stage.served(wanted.need_key) == 1


def test_dispatch__wrong_sequence__refused_by_name_before_a_nonce_is_taken(store: Store, stage: kit.Stage) -> None:
    name = kit.plan_action(store, kit.step(stage, sequence=2))
    with kit.runtime(store, stage.url) as made:
        made.run(dispatch_action(made, name))
        assert made.slots.of_action(name) is None
    found = load(store, name)
    assert found.status == "refused" and "WrongSequence" in found.status_reason
    assert "transfer.voided" in [e.kind for e in after(store, 0)]


def test_dispatch__deadline_behind_the_head__expired(store: Store, stage: kit.Stage) -> None:
    now = stage.world.now()
    name = kit.plan_action(store, kit.step(stage, deadline=now - 1))
    with kit.runtime(store, stage.url) as made:
        made.run(dispatch_action(made, name))
    assert load(store, name).status == "expired"


def test_dispatch__spender_nobody_listed__refused_with_the_rule(store: Store, stage: kit.Stage) -> None:
    stranger = Approve(stage.world.usdc, Address("0x" + "77" * 20), USDC)
    name = kit.plan_action(store, kit.step(stage, actions=(stranger,), draw_atoms=0))
    with kit.runtime(store, stage.url) as made:
        made.run(dispatch_action(made, name))
    assert load(store, name).status_reason == "The network would refuse it: BadArgument(0, 2)."


def test_dispatch__too_few_planner_keys__config_invalid_naming_the_setting(store: Store, stage: kit.Stage) -> None:
    name = kit.plan_action(store, kit.step(stage))
    with kit.runtime(store, stage.url, planner_keys=()) as made, pytest.raises(ConfigInvalid, match="planner_keys"):
        made.run(dispatch_action(made, name))
    assert load(store, name).live


def test_dispatch__unknown_action__not_found(store: Store, stage: kit.Stage) -> None:
    with kit.runtime(store, stage.url) as made, pytest.raises(NotFound):
        made.run(dispatch_action(made, "0x00"))


def test_dispatch__somebody_else_executed_it__confirmed_when_that_is_final(store: Store, stage: kit.Stage) -> None:
    wanted = kit.step(stage)
    name = kit.plan_action(store, wanted)
    with kit.runtime(store, stage.url) as made:
        call = made.run(action_call(made, name, wanted))
        stage.world.send(call.to, call.data)

        async def again() -> str:
            for _ in range(200):
                await dispatch_action(made, name)
                if not load(store, name).live:
                    break
                await asyncio.sleep(0.1)
            return load(store, name).status_reason

        assert made.run(again()) == "It was executed by another sender."
        assert made.slots.of_action(name) is None
    assert load(store, name).status == "confirmed" and stage.served(wanted.need_key) == 1


def test_dispatch__close_out__owner_is_restricted_first_in_the_same_lane(store: Store, stage: kit.Stage) -> None:
    name = kit.plan_action(store, kit.step(stage, restrict_owner=True, kind="close_out"))
    with kit.runtime(store, stage.url) as made:
        made.run(dispatch_action(made, name))
        held, slot = made.slots.of_action(f"restrict:{name}"), made.slots.of_action(name)
        assert held is not None and slot is not None and slot.nonce == held.nonce + 1
        assert made.run(kit.settled(made, name)).status == "confirmed"
        ended = made.run(settle_action(made, f"restrict:{name}"))
        assert ended is not None and ended.state is SlotState.FINAL_OK
        until = made.run(chain_state.restricted_until(made, stage.chain_id, stage.world.safe))
        assert until > stage.world.now()
        again = kit.plan_action(store, kit.step(stage, restrict_owner=True, kind="close_out"))
        made.run(dispatch_action(made, again))
        assert made.slots.of_action(f"restrict:{again}") is None, "it is restricted for hours to come"
        made.run(kit.settled(made, again))


def test_settle__mined_revert__reverted_with_its_reason_only_when_final(store: Store, stage: kit.Stage) -> None:
    wanted = kit.step(stage)
    name = kit.plan_action(store, wanted)
    with kit.runtime(store, stage.url) as made:
        gas = made.gas()
        nonce = int(stage.world.rpc("eth_getTransactionCount", gas.address, "latest"), 16)
        slot = made.slots.reserve(ChainId(stage.chain_id), gas.address, name, nonce, wanted.deadline)
        call = made.run(action_call(made, name, replace(wanted, sequence=9)))
        fields = TxFields(ChainId(stage.chain_id), slot.nonce, 10**9, 10**11, 3_000_000, call.to, 0, call.data)
        raw, tx_hash = sign_transaction(LocalSigner(made.settings.gas_key), fields)
        made.slots.record(Attempt(slot.chain_id, slot.sender, slot.nonce, 0, tx_hash, raw, 10**11, 10**9, False, 0))
        seen: list[str] = []

        async def follow() -> None:
            for _ in range(300):
                await settle_action(made, name)
                seen.append(load(store, name).status)
                if seen[-1] not in ("planned", "dispatched", "mined"):
                    return
                await asyncio.sleep(0.05)

        made.run(follow())
    found = load(store, name)
    assert found.status == "reverted" and "WrongSequence" in found.status_reason
    assert "mined" in seen, "a revert waits as long as a success"


def test_settle__reorganised_away__same_bytes_are_mined_again(store: Store, stage: kit.Stage) -> None:
    wanted = kit.step(stage)
    name = kit.plan_action(store, wanted)
    with kit.runtime(store, stage.url) as made:
        made.run(dispatch_action(made, name))

        async def mined() -> None:
            while True:
                slot = await settle_action(made, name)
                if slot is not None and slot.state is SlotState.MINED:
                    return
                await asyncio.sleep(0.02)

        made.run(mined())
        stage.world.rpc("anvil_reorg", 3, [])
        assert made.run(kit.settled(made, name)).status == "confirmed"
        slot = made.slots.of_action(name)
        assert slot is not None and len(made.slots.attempts(slot)) == 1
    assert stage.served(wanted.need_key) == 1


def test_dispatch__reserved_and_then_too_late__a_no_op_uses_the_nonce_and_it_expires(store: Store, stage: kit.Stage) -> None:
    wanted = kit.step(stage, deadline=stage.world.now() + 1)
    name = kit.plan_action(store, wanted)
    with kit.runtime(store, stage.url) as made:
        gas = made.gas()
        nonce = int(stage.world.rpc("eth_getTransactionCount", gas.address, "latest"), 16)
        made.slots.reserve(ChainId(stage.chain_id), gas.address, name, nonce, wanted.deadline)
        kit.until("the deadline", lambda: stage.world.now() > wanted.deadline)
        made.run(dispatch_action(made, name))
        assert made.run(kit.settled(made, name)).status == "expired"
        slot = made.slots.of_action(name)
        assert slot is not None and slot.state is SlotState.EXPIRED
        assert [a.cancels for a in made.slots.attempts(slot)] == [True]
    assert stage.served(wanted.need_key) == 0


def test_check_lane__nonce_used_by_strangers__quarantined_and_nothing_more_is_sent(store: Store, stage: kit.Stage) -> None:
    first, second = kit.plan_action(store, kit.step(stage)), kit.plan_action(store, kit.step(stage))
    with kit.runtime(store, stage.url) as made:
        made.run(dispatch_action(made, first))
        made.run(kit.settled(made, first))
        assert made.run(chain_state.check_lane(made, stage.chain_id)) is None
        stage.world.send(stage.world.stranger, b"", sender=stage.world.impersonate(kit.gas_address()))
        reason = made.run(chain_state.check_lane(made, stage.chain_id))
        assert reason is not None and "our slots end at" in reason
        made.run(dispatch_action(made, second))
    assert load(store, second).status == "planned" and "quarantined" in load(store, second).status_reason
    assert "lane.quarantined" in [e.kind for e in after(store, 0)]
