"""Posting the history of a safe that is linked late, from our own raw logs, without asking a network.

When a safe enters the book, transactions that are posted already may concern it too: a transfer from another client's safe, a
bridge send on another network. What such a transaction lacks is the difference between its posting with the new book and with the
old one; it goes into a group of its own, keyed '<group key of the transaction>:<safe chain>:<safe>'. Legs that the new book no
longer has are booked the other way round. The group has the block, hash and state of its transaction, so finality and reorgs treat
it like any other.

Invariants: history and entry into the book commit together, under the cursors of all networks, so that a log is posted by exactly
one of the two; a safe that is in the book already changes nothing; afterwards balances are those of a book that always held it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, text

from aggregator.errors import NotFound
from aggregator.ledger.book import AddressBook, book_of
from aggregator.ledger.posting import post
from aggregator.ledger.transfers import Group, GroupState, Transfer
from aggregator.store import event_log
from aggregator.store.db import Store
from aggregator.store.journal_adopt import BOOK_LOCK
from aggregator.store.journal_ends import exits
from aggregator.store.journal_groups import insert_groups, placed_of, told
from aggregator.store.journal_lock import Books, safes_in_book
from aggregator.store.journal_rows import WORD, insert_events
from chains import protocols
from chains.events import AnyEvent
from chains.networks.network import Network
from chains.types import Address, ChainId, EventRef, Hash, Log

_SAFE = text(
    "select client, in_book from safes where deployment = :deployment and chain_id = :chain_id and address = :safe for update"
)
_CURSORS = text("select chain_id, finalised_number from cursors where deployment = :deployment order by chain_id for update")
_ENTER = text("update safes set in_book = true where deployment = :deployment and chain_id = :chain_id and address = :safe")
_NEXT_BOOK = text(
    "update cursors set book_version = (select max(book_version) + 1 from cursors where deployment = :deployment)"
    " where deployment = :deployment"
)
# All canonical logs of every transaction in which some log names the safe: as emitter, in a topic or in the data.
_LOGS = text(
    """
    with named as (
      select distinct block_hash, tx_hash from raw_logs
      where deployment = :deployment and chain_id = :chain_id
        and (address = :safe or position(cast(:raw as bytea) in topics) > 0 or position(cast(:raw as bytea) in data) > 0)
    )
    select l.block_number, l.block_hash, l.log_index, l.tx_hash, l.tx_index, l.address, l.topics, l.data, b.incarnation
    from raw_logs l join named n using (block_hash, tx_hash)
    join blocks b on b.deployment = l.deployment and b.chain_id = l.chain_id and b.number = l.block_number and b.hash = l.block_hash
    where l.deployment = :deployment and l.chain_id = :chain_id and not b.orphaned
    order by l.block_number, l.log_index
    """
)


def post_history(store: Store, books: Books, chain_id: int, safe: Address) -> list[Group]:
    """Put a linked safe into the posting book and post what its past lacks, on every network. Returns the new groups.

    Raises NotFound when the safe is linked to no client.
    """
    deployment = store.deployment
    given = {"deployment": deployment, "chain_id": chain_id, "safe": safe}
    with store.transaction() as conn:
        conn.execute(BOOK_LOCK)
        cursors = {int(r.chain_id): int(r.finalised_number) for r in conn.execute(_CURSORS, {"deployment": deployment})}
        row = conn.execute(_SAFE, given).one_or_none()
        if row is None:
            raise NotFound(f"safe {safe} on network {chain_id} is linked to no client; link it first")
        if row.in_book:
            return []
        before = safes_in_book(conn, deployment)
        old, new = (book_of(books.networks, known) for known in (before, {**before, (chain_id, safe): row.client}))
        added: list[Group] = []
        for at, final in cursors.items():
            if at in books.networks:
                added += _lacking(conn, deployment, books.networks[at], (chain_id, safe), old, new, final)
        conn.execute(_ENTER, given)
        conn.execute(_NEXT_BOOK, given)
        news = exits(conn, deployment, chain_id, [row.client])
        pending = [g for g in added if g.block_number > cursors[g.chain_id]]
        posted = [g for g in added if g.block_number <= cursors[g.chain_id]]
        news += told(conn, deployment, "transfer.pending", placed_of(pending))
        news += told(conn, deployment, "transfer.posted", placed_of(posted))
        event_log.append(conn, deployment, news)
    return added


def _lacking(
    conn: Connection, deployment: str, network: Network, place: tuple[int, Address], old: AddressBook, new: AddressBook, final: int
) -> list[Group]:
    """Write, on one network, what transactions naming the safe lack under the new book."""
    logs, incarnations = _logs(conn, deployment, network.chain_id, place[1])
    events = list(decoded(network, logs))
    insert_events(conn, deployment, events, new)
    groups = differences(events, old, new, incarnations, f":{place[0]}:{place[1]}")
    found = insert_groups(conn, deployment, [g for g in groups if g.block_number <= final], GroupState.POSTED)
    return found + insert_groups(conn, deployment, [g for g in groups if g.block_number > final])


def decoded(network: Network, logs: Sequence[Log]) -> Iterator[AnyEvent]:
    """Events of logs of several blocks: decoders take one block at a time."""
    start = 0
    for end in range(1, len(logs) + 1):
        if end == len(logs) or logs[end].ref.block_hash != logs[start].ref.block_hash:
            yield from protocols.decode(network, logs[start:end])
            start = end


def differences(
    events: Sequence[AnyEvent], old: AddressBook, new: AddressBook, incarnations: dict[tuple[int, str], int], suffix: str
) -> list[Group]:
    """Groups that, added to the posting with the old book, give the posting with the new one. Pure."""
    was = {g.key: g for g in post(events, old, incarnations)}
    found: list[Group] = []
    now = {g.key: g for g in post(events, new, incarnations)}
    for key in {**now, **was}:
        group = now.get(key) or was[key]
        transfers = _difference(was.get(key), now.get(key))
        if transfers:
            found.append(replace(group, key=key + suffix, transfers=transfers))
    return found


def _difference(was: Group | None, now: Group | None) -> tuple[Transfer, ...]:
    have, want = _legs(was), _legs(now)
    numbers: Counter[int] = Counter()
    found: list[Transfer] = []
    for leg, undo in [*((leg, True) for leg in (have - want).elements()), *((leg, False) for leg in (want - have).elements())]:
        debit, credit = (leg.credit, leg.debit) if undo else (leg.debit, leg.credit)
        reason = f"undone: {leg.reason}" if undo else leg.reason
        found.append(Transfer(leg.log_index, numbers[leg.log_index], debit, credit, leg.atoms, reason))
        numbers[leg.log_index] += 1
    return tuple(found)


def _legs(group: Group | None) -> Counter[Transfer]:
    """The group's transfers without their numbers, which shift when the book grows."""
    return Counter(replace(t, leg=0) for t in (group.transfers if group is not None else ()))


def _logs(conn: Connection, deployment: str, chain_id: ChainId, safe: Address) -> tuple[list[Log], dict[tuple[int, str], int]]:
    given = {"deployment": deployment, "chain_id": chain_id, "safe": safe, "raw": bytes.fromhex(safe[2:])}
    rows = conn.execute(_LOGS, given).all()
    return [_log(chain_id, r) for r in rows], {(int(chain_id), str(r.block_hash)): int(r.incarnation) for r in rows}


def _log(chain_id: ChainId, r: Any) -> Log:
    ref = EventRef(chain_id, r.block_number, Hash(r.block_hash), r.log_index, Hash(r.tx_hash))
    topics = bytes(r.topics)
    return Log(ref, Address(r.address), tuple(topics[i : i + WORD] for i in range(0, len(topics), WORD)), bytes(r.data), r.tx_index)


