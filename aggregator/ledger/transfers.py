"""Transfers and groups: what the ledger is made of.

A transfer moves a positive quantity of one asset from its credit account to its debit account. The legs of one transaction (or of
one planned action or ticket) form a group, which is pending, then posted, voided or expired as a whole; it never goes back.
A transfer's identity holds the block's hash and incarnation (how often that block has been adopted), so that a fork A, B, A
finds its events again, and a replay within one incarnation is recognised.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from aggregator.ledger.accounts import LedgerAccount


class GroupState(StrEnum):
    """Life of a group. PENDING goes to exactly one of the others."""

    PENDING = "pending"
    POSTED = "posted"
    VOIDED = "voided"
    EXPIRED = "expired"


class Origin(StrEnum):
    """Where a group comes from: a log of a network, a planned action (reservation), a ticket (reservation)."""

    CHAIN = "chain"
    ACTION = "action"
    TICKET = "ticket"


@dataclass(frozen=True, slots=True)
class Transfer:
    """One leg. `log_index` is that of the log it was posted from, or the leg's number for actions and tickets; `leg` tells apart
    several legs of one log; `reason` is the event or step in words."""

    log_index: int
    leg: int
    debit: LedgerAccount
    credit: LedgerAccount
    atoms: int
    reason: str

    def __post_init__(self) -> None:
        if self.atoms <= 0:
            raise ValueError(f"transfer_atoms_must_be_positive: {self.atoms} ({self.reason})")
        if self.debit.asset != self.credit.asset:
            raise ValueError(f"transfer_accounts_must_share_asset: {self.debit.asset} != {self.credit.asset}")
        if self.debit == self.credit:
            raise ValueError(f"transfer_accounts_must_be_different: {self.debit.key()}")


@dataclass(frozen=True, slots=True)
class Group:
    """The legs of one transaction, counted together or not at all.

    key: 'chain:<chain_id>:<block_hash>:<tx_hash>:<incarnation>' | 'action:<action_id>' | 'ticket:<ticket_id>'.
    chain_id, block_number, block_hash: where it stands (block_number -1 and '' for actions and tickets).
    expires_at: block time on `chain_id` after which a reservation may lapse (0 for chain groups).
    """

    key: str
    origin: Origin
    chain_id: int
    block_number: int
    block_hash: str
    tx_hash: str
    incarnation: int
    transfers: tuple[Transfer, ...]
    expires_at: int = 0


def chain_group_key(chain_id: int, block_hash: str, tx_hash: str, incarnation: int) -> str:
    """Natural key of a transaction's group."""
    return f"chain:{chain_id}:{block_hash}:{tx_hash}:{incarnation}"
