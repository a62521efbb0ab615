"""Rows that the API and the pages read: what stands in the database, frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from aggregator.store.event_log import LoggedEvent


@dataclass(frozen=True, slots=True)
class ReportRow:
    """A stored margin report; `body` is margin.explain's JSON form."""

    id: int
    epoch: str
    code_version: str
    body: Mapping[str, Any]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class SafeRow:
    chain_id: int
    address: str
    custody_intact: bool
    custody_reason: str


@dataclass(frozen=True, slots=True)
class AccountRow:
    """A client with its Safes and its latest report, if it has been assessed."""

    client: str
    title: str
    state: str
    mandate: Mapping[str, Any]
    mandate_version: int
    safes: tuple[SafeRow, ...]
    report: ReportRow | None


@dataclass(frozen=True, slots=True)
class NetworkRow:
    """A followed network; `seen_s`: seconds since the index daemon last wrote, by the database's clock."""

    chain_id: int
    head_number: int
    head_hash: str
    head_timestamp: int
    finalised_number: int
    finalised_hash: str
    finalised_timestamp: int
    state: str
    reason: str
    seen_s: float


@dataclass(frozen=True, slots=True)
class LeaseRow:
    name: str
    holder: str
    epoch: int
    left_s: float


@dataclass(frozen=True, slots=True)
class SlotRow:
    sender: str
    nonce: int
    state: str
    tx_hashes: tuple[str, ...]
    final_hash: str | None
    final_block_number: int | None
    final_block_hash: str | None


@dataclass(frozen=True, slots=True)
class ActionRow:
    """An action with its slot; `place` orders pages: newest first."""

    action_id: str
    client: str
    kind: str
    chain_id: int
    safe: str
    need_key: str
    sequence: int
    status: str
    status_reason: str
    body: Mapping[str, Any]
    effect_usd: Decimal
    cost_usd: Decimal
    deadline: int
    as_of_s: int
    decision_epoch: str
    planned_at: datetime
    finished_at: datetime | None
    age_s: float
    slot: SlotRow | None


@dataclass(frozen=True, slots=True)
class Desk:
    """Everything the overview shows, as of one moment."""

    accounts: tuple[AccountRow, ...]
    networks: tuple[NetworkRow, ...]
    leases: tuple[LeaseRow, ...]
    actions: tuple[ActionRow, ...]
    events: tuple[LoggedEvent, ...]
    quarantined: tuple[tuple[str, str], ...]
    checked: Mapping[str, Any] = field(default_factory=dict)
    last_seq: int = 0
    now: datetime | None = None
