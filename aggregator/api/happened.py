"""Events as a person reads them: a word for the kind, a sentence from the row's body. Unknown kinds are shown by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from aggregator.api import figures as f
from aggregator.store.event_log import LoggedEvent

# too many to read one by one: each block, price, leg of the ledger, assessment, and the small steps of an action on its way
QUIET: Final = ("block.adopted", "chain.finalised", "price.published", "transfer.pending", "transfer.posted", "transfer.voided",
                "margin.assessed", "action.signed", "action.dispatched", "action.mined")  # fmt: skip
WORDS: Final[Mapping[str, str]] = {
    "network.stopped": "Stopped", "network.resumed": "Resumed", "chain.rewound": "Reorg", "reconcile.done": "Reconciled",
    "reconcile.drift": "Drift", "client.opened": "Client opened", "client.suspended": "Suspended", "client.resumed": "Resumed",
    "client.exiting": "Exit", "mandate.changed": "Mandate", "custody.changed": "Custody", "safe.opened": "Safe",
    "ticket.issued": "Ticket", "ticket.used": "Ticket used", "ticket.lapsed": "Ticket lapsed", "ticket.refused": "Refused",
}  # fmt: skip
BAD: Final = frozenset({"network.stopped", "reconcile.drift", "action.reverted", "action.refused", "action.expired"})


@dataclass(frozen=True, slots=True)
class Happening:
    """One event in words. `account` and `network` are links of their own where they are set."""

    seq: int
    word: str
    text: str
    account: str
    chain_id: int
    bad: bool
    at: datetime


def told(event: LoggedEvent) -> Happening:
    """The event in words."""
    group, _, what = event.kind.partition(".")
    body = event.body
    if group == "action":
        word = f"{f.words(str(body.get('kind', 'action'))).capitalize()} {what}"
        text = str(body.get("why") or body.get("reason") or "")
    else:
        word = WORDS.get(event.kind, f.words(event.kind.replace(".", " ")).capitalize())
        text = _sentence(event.kind, body, event.subject)
    return Happening(event.seq, word, text, event.client, event.chain_id, event.kind in BAD, event.created_at)


def _sentence(kind: str, body: Mapping[str, Any], subject: str) -> str:
    if kind == "chain.rewound":
        orphaned = body.get("orphaned", [])
        groups = sum(len(b.get("groups", [])) for b in orphaned)
        return f"{len(orphaned)} blocks deep, {groups} ledger groups voided; back to {_count(body.get('to', {}).get('number'))}"
    if kind == "reconcile.done":
        return f"{body.get('holdings_checked', '?')} holdings of {body.get('accounts_checked', '?')} accounts, drift {_drift(body)}"
    if kind == "ticket.issued":
        terms = body.get("terms", {})
        return f"{body.get('kind', '')} at Safe nonce {body.get('nonce', terms.get('nonce', '?'))}"
    if kind == "ticket.refused":
        return str(body.get("why", body.get("code", "")))
    if kind == "custody.changed":
        return f"{f.words(str(body.get('what', '')))} {body.get('reason', '')}".strip()
    if kind == "mandate.changed":
        return f"version {body.get('version', '?')} signed by an owner"
    if kind == "client.opened":
        return str(body.get("title", subject))
    return str(body.get("reason") or body.get("why") or "")


def _drift(body: Mapping[str, Any]) -> str:
    found = body.get("drift", 0)
    return str(len(found) if isinstance(found, list) else found)


def _count(value: Any) -> str:
    try:
        return f.written(Decimal(str(value)))
    except (InvalidOperation, TypeError):
        return f.UNKNOWN
