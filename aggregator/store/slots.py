"""Slots in the database: nonces, the bytes signed for them, what became of them; and with them the status of the action they serve.

Implements chains.slots.Slots. Invariants: a nonce is given out under the lock of its lane's row, so that there are no gaps and no
doubles (I2, I5); one action has one slot for ever (I1); attempts are only added (I4); a slot that ended never changes (I6). Each
change writes the action's status and the event log in the same transaction, and no transaction waits for a network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from sqlalchemy import Connection, Row, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from aggregator.errors import Broken
from aggregator.store.db import Store
from aggregator.store.event_log import NewEvent, append
from aggregator.store.tables import actions, attempts, lanes, slots
from chains.errors import ForeignNonce
from chains.slots import Attempt, Slot, SlotState
from chains.types import Address, BlockRef, ChainId, Hash

CALL, NO_OP = "call", "no-op"
RESTRICT: Final = "restrict:"
OPEN_STATES = tuple(s.value for s in SlotState if s.live() and s is not SlotState.PLANNED)
_LAST = text(
    "select max(nonce) from slots where deployment = :deployment and chain_id = :chain_id and sender = :sender"
)
_SENT = text(
    """
    update attempts set first_sent_at = clock_timestamp()
    where deployment = :deployment and chain_id = :chain_id and sender = :sender and nonce = :nonce and first_sent_at is null
    """
)


# Who signed also sends: settling may look a moment later.
_LATER = text(
    """
    update actions set next_check_at = clock_timestamp() + interval '400 milliseconds'
    where deployment = :deployment and action_id = :action_id
    """
)


class SlotMissing(Broken):
    """An attempt or mark names a nonce that nobody reserved."""


@dataclass(frozen=True, slots=True)
class _Turn:
    """What a change of a slot means for its action: new status, time columns to fill, kind of the event."""

    status: str
    kind: str
    times: tuple[str, ...] = ()
    body: dict[str, Any] = field(default_factory=dict)


class PgSlots:
    """Slots of one deployment. Safe to share between threads and processes. `lease_epoch` fences the lanes it writes."""

    def __init__(self, store: Store, lease_epoch: int = 0) -> None:
        self._store = store
        self._epoch = lease_epoch

    def find(self, chain_id: ChainId, sender: Address, action_id: str) -> Slot | None:
        """The action's slot, or None."""
        where = (slots.c.deployment == self._store.deployment, slots.c.chain_id == chain_id, slots.c.sender == sender)
        with self._store.transaction() as conn:
            row = conn.execute(select(slots).where(*where, slots.c.action_id == action_id)).one_or_none()
            return _slot(row) if row is not None else None

    def of_action(self, action_id: str) -> Slot | None:
        """The slot of an action (or restriction), whoever sends it, or None."""
        with self._store.transaction() as conn:
            where = (slots.c.deployment == self._store.deployment, slots.c.action_id == action_id)
            row = conn.execute(select(slots).where(*where)).one_or_none()
            return _slot(row) if row is not None else None

    def age_s(self, slot: Slot) -> float:
        """Seconds since the slot last changed, by the database's clock: how long its newest bytes have waited at a node."""
        age = text("extract(epoch from clock_timestamp() - updated_at)")
        with self._store.transaction() as conn:
            found = conn.execute(select(age).select_from(slots).where(*_at(slots, self._store.deployment, slot))).scalar()
            return float(found) if found is not None else 0.0

    def last_nonce(self, chain_id: int, sender: str) -> int | None:
        """The highest nonce ever reserved of a sender, None when there is none."""
        with self._store.transaction() as conn:
            given = {"deployment": self._store.deployment, "chain_id": chain_id, "sender": sender}
            last = conn.execute(_LAST, given).scalar()
            return None if last is None else int(last)

    def reserve(self, chain_id: ChainId, sender: Address, action_id: str, first_nonce: int, deadline: int) -> Slot:
        """As chains.slots.Slots.reserve. A lane that is quarantined gives no nonce: ForeignNonce with its reason."""
        with self._store.transaction() as conn:
            lane = self._lane(conn, chain_id, sender)
            known = self._known(conn, chain_id, sender, action_id)
            if known is not None:
                return known
            if lane.state != "open":
                raise ForeignNonce(f"network {chain_id}: lane of {sender} is quarantined: {lane.reason}")
            given = {"deployment": self._store.deployment, "chain_id": chain_id, "sender": sender}
            last = conn.execute(_LAST, given).scalar()
            nonce = first_nonce if last is None else int(last) + 1
            if first_nonce > nonce:
                raise ForeignNonce(f"network {chain_id}: sender {sender} is at nonce {first_nonce}, our slots end at {nonce - 1}")
            row = {"nonce": nonce, "action_id": action_id, "deadline": deadline, "state": SlotState.RESERVED.value}
            conn.execute(insert(slots).values(**given, **row, lease_epoch=self._epoch))
            return Slot(chain_id, sender, nonce, action_id, deadline, SlotState.RESERVED)

    def attempts(self, slot: Slot) -> Sequence[Attempt]:
        """All attempts of the slot, by number."""
        with self._store.transaction() as conn:
            rows = conn.execute(select(attempts).where(*_at(attempts, self._store.deployment, slot)).order_by(attempts.c.number))
            return tuple(_attempt(row) for row in rows)

    def record(self, attempt: Attempt) -> Attempt:
        """As chains.slots.Slots.record. The first call signed for an action turns it to 'dispatched': its bytes may be anywhere."""
        with self._store.transaction() as conn:
            slot = self._locked(conn, attempt)
            where = _at(attempts, self._store.deployment, slot)
            row = conn.execute(select(attempts).where(*where, attempts.c.number == attempt.number)).one_or_none()
            if row is not None:
                return _attempt(row)
            purpose = NO_OP if attempt.cancels else CALL
            conn.execute(insert(attempts).values(
                deployment=self._store.deployment, tx_hash=attempt.tx_hash, chain_id=slot.chain_id, sender=slot.sender,
                nonce=slot.nonce, number=attempt.number, raw=attempt.raw, max_fee=attempt.max_fee,
                priority_fee=attempt.priority_fee, purpose=purpose, head=attempt.head))  # fmt: skip
            state = SlotState.CANCELLING if attempt.cancels else SlotState.SIGNED
            if slot.state.live():
                self._write(conn, slot, state, None, None)
            conn.execute(_LATER, {"deployment": self._store.deployment, "action_id": slot.action_id})
            body = {"tx_hash": attempt.tx_hash, "purpose": purpose, "attempt": str(attempt.number)}
            news = self._turn(conn, slot, _Turn("dispatched", "action.signed", ("signed_at",), body))
            append(conn, self._store.deployment, news)
            return attempt

    def mark(self, slot: Slot, state: SlotState, *, tx_hash: Hash | None = None, block: BlockRef | None = None) -> Slot:
        """As chains.slots.Slots.mark. The same state again is no news. FINAL_OK confirms the action; what any other end means for
        it is for settle to find out (store.actions.conclude), because anybody may have executed it."""
        with self._store.transaction() as conn:
            now = self._locked(conn, slot)
            if not now.state.live() or (now.state, now.tx_hash, now.block) == (state, tx_hash, block):
                return now
            self._write(conn, now, state, tx_hash, block)
            news: list[NewEvent] = []
            if state in (SlotState.PENDING, SlotState.CANCELLING):
                conn.execute(_SENT, _key(self._store.deployment, now))
            turn = _turn_of(now, state, tx_hash, block)
            if turn is not None:
                news += self._turn(conn, now, turn)
            if state is SlotState.FOREIGN:
                news += _quarantined(conn, self._store.deployment, now.chain_id, now.sender, f"nonce {now.nonce} is not ours")
            append(conn, self._store.deployment, news)
            return replace(now, state=state, tx_hash=tx_hash, block=block)

    def quarantine(self, chain_id: int, sender: str, reason: str) -> None:
        """Stop a lane: it gives no nonce until a person has looked. Told once."""
        with self._store.transaction() as conn:
            append(conn, self._store.deployment, _quarantined(conn, self._store.deployment, chain_id, sender, reason))

    def _lane(self, conn: Connection, chain_id: int, sender: str) -> Any:
        """The lane's row, locked until commit: who reserves next waits."""
        given = {"deployment": self._store.deployment, "chain_id": chain_id, "sender": sender}
        conn.execute(upsert(lanes).values(**given, lease_epoch=self._epoch).on_conflict_do_nothing())
        where = (lanes.c.deployment == self._store.deployment, lanes.c.chain_id == chain_id, lanes.c.sender == sender)
        return conn.execute(select(lanes.c.state, lanes.c.reason).where(*where).with_for_update()).one()

    def _known(self, conn: Connection, chain_id: ChainId, sender: Address, action_id: str) -> Slot | None:
        row = conn.execute(
            select(slots).where(slots.c.deployment == self._store.deployment, slots.c.action_id == action_id)
        ).one_or_none()
        if row is not None and (row.chain_id, row.sender) != (chain_id, sender):
            raise ForeignNonce(f"action {action_id} has a slot of {row.sender} on network {row.chain_id}: restore its gas_key")
        return _slot(row) if row is not None else None

    def _locked(self, conn: Connection, where: Slot | Attempt) -> Slot:
        row = conn.execute(select(slots).where(*_at(slots, self._store.deployment, where)).with_for_update()).one_or_none()
        if row is None:
            raise SlotMissing(f"slot_missing: nonce {where.nonce} of {where.sender} on network {where.chain_id} was never reserved")
        return _slot(row)

    def _write(self, conn: Connection, slot: Slot, state: SlotState, tx_hash: Hash | None, block: BlockRef | None) -> None:
        conn.execute(update(slots).where(*_at(slots, self._store.deployment, slot)).values(
            state=state.value, final_hash=tx_hash, final_block_hash=block.hash if block else None,
            final_block_number=block.number if block else None, final_block_parent=block.parent_hash if block else None,
            final_block_timestamp=block.timestamp if block else None, updated_at=text("clock_timestamp()")))  # fmt: skip

    def _turn(self, conn: Connection, slot: Slot, turn: _Turn) -> list[NewEvent]:
        """The action's new status and its event. A restriction's slot speaks for no action; an action that ended stays ended."""
        if slot.action_id.startswith(RESTRICT):
            return []
        values: dict[str, Any] = {"status": turn.status}
        values |= {name: text(f"coalesce({name}, clock_timestamp())") for name in turn.times}
        row = conn.execute(
            update(actions).values(**values)
            .where(actions.c.deployment == self._store.deployment, actions.c.action_id == slot.action_id,
                   actions.c.status.in_(("planned", "dispatched", "mined")))
            .returning(actions.c.client, actions.c.kind)
        ).one_or_none()  # fmt: skip
        if row is None:
            return []
        body = {"kind": row.kind, "sender": slot.sender, "nonce": str(slot.nonce), **turn.body}
        return [NewEvent(turn.kind, slot.chain_id, row.client, slot.action_id, body)]


def _turn_of(slot: Slot, state: SlotState, tx_hash: Hash | None, block: BlockRef | None) -> _Turn | None:
    """What a new state of a slot tells of its action; None when it is no news or settle has to find out more."""
    body: dict[str, Any] = {"tx_hash": tx_hash or ""}
    if block is not None:
        body |= {"number": str(block.number), "hash": block.hash}
    if state is SlotState.PENDING:
        return _Turn("dispatched", "action.dispatched", (), {"again": True} if slot.state is SlotState.MINED else {})
    if state is SlotState.MINED:
        return _Turn("mined", "action.mined", ("mined_at",), body)
    if state is SlotState.FINAL_OK:
        return _Turn("confirmed", "action.confirmed", ("mined_at", "finished_at"), body)
    return None


def _quarantined(conn: Connection, deployment: str, chain_id: int, sender: str, reason: str) -> list[NewEvent]:
    """Stops a lane inside the caller's transaction and returns its event; nothing when it was stopped before."""
    made = upsert(lanes).values(deployment=deployment, chain_id=chain_id, sender=sender, state="quarantined", reason=reason)
    changed = conn.execute(made.on_conflict_do_update(
        index_elements=["deployment", "chain_id", "sender"], set_={"state": "quarantined", "reason": reason},
        where=lanes.c.state == "open").returning(lanes.c.sender)).first()  # fmt: skip
    return [NewEvent("lane.quarantined", chain_id, "", sender, {"reason": reason})] if changed is not None else []


def _key(deployment: str, where: Slot | Attempt) -> dict[str, Any]:
    return {"deployment": deployment, "chain_id": where.chain_id, "sender": where.sender, "nonce": where.nonce}


def _at(table: Any, deployment: str, where: Slot | Attempt) -> tuple[Any, ...]:
    return tuple(table.c[name] == value for name, value in _key(deployment, where).items())


def _slot(row: Row[Any]) -> Slot:
    block = None
    if row.final_block_hash is not None:
        block = BlockRef(ChainId(row.chain_id), row.final_block_number, Hash(row.final_block_hash), Hash(row.final_block_parent),
                         row.final_block_timestamp)  # fmt: skip
    tx_hash, state = Hash(row.final_hash) if row.final_hash is not None else None, SlotState(row.state)
    return Slot(ChainId(row.chain_id), Address(row.sender), row.nonce, row.action_id, row.deadline, state, tx_hash, block)


def _attempt(row: Row[Any]) -> Attempt:
    return Attempt(ChainId(row.chain_id), Address(row.sender), row.nonce, row.number, Hash(row.tx_hash), bytes(row.raw),
                   int(row.max_fee), int(row.priority_fee), row.purpose == NO_OP, row.head)  # fmt: skip
