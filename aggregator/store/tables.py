"""Tables: the journal of the networks, the ledger, reports, actions, and the one numbered event log.

Laws kept by constraints: a raw log is never deleted (orphaned blocks are marked); a transfer is never changed; a group leaves
`pending` once; one live action per need; one action or no-op per (chain, sender, nonce); bytes of an attempt are append-only.
Every key carries the deployment, so that several share one database.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
ATOMS = Numeric(80, 0)
SCHEMA = "0002"  # the newest revision in migrations/


def _created() -> Column[object]:
    return Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now())


def _deployment() -> Column[str]:
    return Column("deployment", Text, nullable=False)


# ---- networks: cursor, blocks, raw logs ------------------------------------------------------------------------------
cursors = Table(
    "cursors", metadata, _deployment(), Column("chain_id", BigInteger, nullable=False),
    Column("head_number", BigInteger, nullable=False), Column("head_hash", Text, nullable=False),
    Column("head_timestamp", BigInteger, nullable=False),
    Column("finalised_number", BigInteger, nullable=False), Column("finalised_hash", Text, nullable=False),
    Column("finalised_timestamp", BigInteger, nullable=False),
    Column("state", Text, nullable=False, server_default="following"),  # following | stopped
    Column("state_reason", Text, nullable=False, server_default=""),
    Column("book_version", BigInteger, nullable=False, server_default="0"),  # rises when a safe enters the posting book
    # The finalised block whose native coin balances are booked; '' before the first.
    Column("trued_up_hash", Text, nullable=False, server_default=""),
    Column("seen_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("deployment", "chain_id"),
)  # fmt: skip

blocks = Table(
    "blocks", metadata, _deployment(), Column("chain_id", BigInteger, nullable=False),
    Column("number", BigInteger, nullable=False), Column("hash", Text, nullable=False),
    Column("parent_hash", Text, nullable=False),
    Column("timestamp", BigInteger, nullable=False), Column("incarnation", Integer, nullable=False),
    Column("digest", Text, nullable=False),  # of the watched logs: a replay with other logs is recognised
    Column("orphaned", Boolean, nullable=False, server_default=text("false")), _created(),
    PrimaryKeyConstraint("deployment", "chain_id", "number", "hash"),
    Index("uq_blocks_canonical", "deployment", "chain_id", "number", unique=True, postgresql_where=text("not orphaned")),
)  # fmt: skip

raw_logs = Table(
    "raw_logs", metadata, _deployment(), Column("chain_id", BigInteger, nullable=False),
    Column("block_number", BigInteger, nullable=False), Column("block_hash", Text, nullable=False),
    Column("log_index", Integer, nullable=False), Column("tx_hash", Text, nullable=False),
    Column("tx_index", Integer, nullable=False),
    Column("address", Text, nullable=False), Column("topics", LargeBinary, nullable=False),
    Column("data", LargeBinary, nullable=False),
    PrimaryKeyConstraint("deployment", "chain_id", "block_number", "block_hash", "log_index"),
    postgresql_partition_by="LIST (chain_id)",
)  # fmt: skip

leases = Table(
    "leases", metadata, _deployment(), Column("name", Text, nullable=False), Column("holder", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False), Column("expires_at", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("deployment", "name"),
)  # fmt: skip

# ---- ledger -----------------------------------------------------------------------------------------------------------
ledger_accounts = Table(
    "ledger_accounts", metadata, Column("id", BigInteger, Identity(), primary_key=True), _deployment(),
    Column("key", Text, nullable=False), Column("client", Text, nullable=False),
    Column("chain_id", BigInteger, nullable=False),
    Column("place", Text, nullable=False), Column("kind", Text, nullable=False), Column("asset", Text, nullable=False),
    UniqueConstraint("deployment", "key"), Index(None, "deployment", "client"),
)  # fmt: skip

groups = Table(
    "groups", metadata, _deployment(), Column("key", Text, nullable=False), Column("origin", Text, nullable=False),
    Column("chain_id", BigInteger, nullable=False), Column("block_number", BigInteger, nullable=False),
    Column("block_hash", Text, nullable=False), Column("tx_hash", Text, nullable=False),
    Column("incarnation", Integer, nullable=False),
    Column("state", Text, nullable=False, server_default="pending"), Column("expires_at", BigInteger, nullable=False),
    Column("digest", Text, nullable=False), _created(),
    PrimaryKeyConstraint("deployment", "key"),
    CheckConstraint("state in ('pending', 'posted', 'voided', 'expired')", name="state"),
    Index("ix_groups_pending", "deployment", "chain_id", "block_number", postgresql_where=text("state = 'pending'")),
)  # fmt: skip

transfers = Table(
    "transfers", metadata, Column("id", BigInteger, Identity(), primary_key=True), _deployment(),
    Column("group_key", Text, nullable=False), Column("log_index", Integer, nullable=False),
    Column("leg", Integer, nullable=False),
    Column("debit_id", BigInteger, nullable=False), Column("credit_id", BigInteger, nullable=False),
    Column("atoms", ATOMS, nullable=False), Column("reason", Text, nullable=False),
    UniqueConstraint("deployment", "group_key", "log_index", "leg"),
    CheckConstraint("atoms > 0", name="atoms_positive"),
    CheckConstraint("debit_id <> credit_id", name="accounts_different"),
    ForeignKeyConstraint(["deployment", "group_key"], ["groups.deployment", "groups.key"]),
    ForeignKeyConstraint(["debit_id"], ["ledger_accounts.id"]),
    ForeignKeyConstraint(["credit_id"], ["ledger_accounts.id"]),
)  # fmt: skip

# posted: groups of origin chain that are final. pending: of origin chain, still pending. Signed debits minus credits.
balances = Table(
    "balances", metadata, Column("account_id", BigInteger, primary_key=True), Column("posted", ATOMS, nullable=False),
    Column("pending", ATOMS, nullable=False), Column("version", BigInteger, nullable=False),
    ForeignKeyConstraint(["account_id"], ["ledger_accounts.id"]),
)  # fmt: skip

# ---- what networks said besides quantities; canonical while `orphaned` is false -----------------------------------------
prices = Table(
    "prices", metadata, _deployment(), Column("chain_id", BigInteger, nullable=False),
    Column("feed", Text, nullable=False),
    Column("block_number", BigInteger, nullable=False), Column("block_hash", Text, nullable=False),
    Column("log_index", Integer, nullable=False),
    Column("incarnation", Integer, nullable=False), Column("answer", ATOMS, nullable=False),
    Column("round_id", ATOMS, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("orphaned", Boolean, nullable=False, server_default=text("false")),
    PrimaryKeyConstraint("deployment", "chain_id", "feed", "block_number", "block_hash", "log_index"),
)  # fmt: skip

interest = Table(
    "interest", metadata, _deployment(), Column("chain_id", BigInteger, nullable=False),
    Column("place", Text, nullable=False),
    Column("asset", Text, nullable=False), Column("block_number", BigInteger, nullable=False),
    Column("block_hash", Text, nullable=False),
    Column("log_index", Integer, nullable=False), Column("index_ray", ATOMS, nullable=False),
    Column("rate_ray", ATOMS, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("orphaned", Boolean, nullable=False, server_default=text("false")),
    PrimaryKeyConstraint("deployment", "chain_id", "place", "asset", "block_number", "block_hash", "log_index"),
)  # fmt: skip

# every decoded event as JSON with its place: what the explain, page and reports quote; 'subject' is a safe or other address.
chain_events = Table(
    "chain_events", metadata, _deployment(), Column("chain_id", BigInteger, nullable=False),
    Column("block_number", BigInteger, nullable=False), Column("block_hash", Text, nullable=False),
    Column("log_index", Integer, nullable=False),
    Column("part", Integer, nullable=False), Column("tx_hash", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False), Column("body", JSONB, nullable=False),
    Column("orphaned", Boolean, nullable=False, server_default=text("false")),
    PrimaryKeyConstraint("deployment", "chain_id", "block_number", "block_hash", "log_index", "part"),
    Index(None, "deployment", "kind", "subject"),
)  # fmt: skip

# ---- clients -----------------------------------------------------------------------------------------------------------
clients = Table(
    "clients", metadata, _deployment(), Column("client", Text, nullable=False), Column("tenant", Text, nullable=False),
    Column("title", Text, nullable=False), Column("state", Text, nullable=False),  # open | suspended | exiting | closed
    Column("mandate", JSONB, nullable=False), Column("mandate_version", Integer, nullable=False),
    Column("mandate_signature", Text, nullable=False), _created(), PrimaryKeyConstraint("deployment", "client"),
)  # fmt: skip

safes = Table(
    "safes", metadata, _deployment(), Column("chain_id", BigInteger, nullable=False),
    Column("address", Text, nullable=False),
    Column("client", Text, nullable=False), Column("linked_block", BigInteger, nullable=False),
    Column("custody_intact", Boolean, nullable=False), Column("custody_reason", Text, nullable=False), _created(),
    # in_book: its history is posted and new logs count. custody_due: what custody rests on may have changed since it was read.
    Column("in_book", Boolean, nullable=False, server_default=text("false")),
    Column("custody_due", Boolean, nullable=False, server_default=text("true")),
    PrimaryKeyConstraint("deployment", "chain_id", "address"),
    ForeignKeyConstraint(["deployment", "client"], ["clients.deployment", "clients.client"]),
    Index(None, "deployment", "client"),
)  # fmt: skip

quarantine = Table(
    "quarantine", metadata, _deployment(), Column("account_key", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("block_number", BigInteger, nullable=False), Column("block_hash", Text, nullable=False), _created(),
    PrimaryKeyConstraint("deployment", "account_key"),
)  # fmt: skip

tickets = Table(
    "tickets", metadata, _deployment(), Column("ticket_id", Text, nullable=False),
    Column("client", Text, nullable=False),
    Column("chain_id", BigInteger, nullable=False), Column("safe", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("terms", JSONB, nullable=False), Column("nonce", BigInteger, nullable=False),
    Column("expiry", BigInteger, nullable=False),
    Column("as_of", JSONB, nullable=False), Column("signatures", Text, nullable=False),
    Column("idempotency_key", Text, nullable=False),
    Column("actor", Text, nullable=False), Column("state", Text, nullable=False), _created(),  # open | used | lapsed
    PrimaryKeyConstraint("deployment", "ticket_id"), UniqueConstraint("deployment", "client", "idempotency_key"),
)  # fmt: skip

# the first answer to every request that moves value, so that a repeated Idempotency-Key repeats it
requests = Table(
    "requests", metadata, _deployment(), Column("client", Text, nullable=False), Column("idempotency_key", Text, nullable=False),
    Column("digest", Text, nullable=False), Column("status", Integer, nullable=False, server_default="0"),  # 0: still running
    Column("answer", JSONB, nullable=False, server_default=text("'{}'::jsonb")), _created(),
    PrimaryKeyConstraint("deployment", "client", "idempotency_key"),
)  # fmt: skip

# ---- market snapshots, parameter sets, reports ----------------------------------------------------------------------------
market_snapshots = Table(
    "market_snapshots", metadata, _deployment(), Column("id", Text, nullable=False),
    Column("body", JSONB, nullable=False), _created(),
    PrimaryKeyConstraint("deployment", "id"),
)  # fmt: skip

parameter_sets = Table(
    "parameter_sets", metadata, _deployment(), Column("id", Text, nullable=False),
    Column("body", JSONB, nullable=False),
    Column("active_from", DateTime(timezone=True), nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("deployment", "id"),
)  # fmt: skip

# inputs (portfolio per view) and digest, so that `verify` recomputes the report bit for bit; body is the head view's report.
reports = Table(
    "reports", metadata, Column("id", BigInteger, Identity(), primary_key=True), _deployment(),
    Column("client", Text, nullable=False),
    Column("epoch", Text, nullable=False), Column("cut", JSONB, nullable=False),
    Column("market_id", Text, nullable=False),
    Column("parameters_id", Text, nullable=False), Column("code_version", Text, nullable=False),
    Column("inputs", JSONB, nullable=False),
    Column("body", JSONB, nullable=False), Column("digest", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("net_liquidation_value", Numeric(40, 6), nullable=False),
    Column("initial_margin", Numeric(40, 6), nullable=False),
    Column("maintenance_margin", Numeric(40, 6), nullable=False), _created(),
    UniqueConstraint("deployment", "client", "epoch"),
    Index(None, "deployment", "client", "id"),
)  # fmt: skip

# ---- actions, slots, attempts -----------------------------------------------------------------------------------------------
ACTION_LIVE = "status in ('planned', 'dispatched', 'mined')"
actions = Table(
    "actions", metadata, _deployment(), Column("action_id", Text, nullable=False),
    Column("client", Text, nullable=False),
    Column("kind", Text, nullable=False), Column("chain_id", BigInteger, nullable=False),
    Column("safe", Text, nullable=False),
    Column("need_key", Text, nullable=False), Column("sequence", BigInteger, nullable=False),
    Column("decision_epoch", Text, nullable=False),
    Column("body", JSONB, nullable=False),  # the Step: calls, terms, post-condition, reason
    Column("deadline", BigInteger, nullable=False), Column("as_of_s", BigInteger, nullable=False),
    Column("effect_usd", Numeric(40, 6), nullable=False), Column("cost_usd", Numeric(40, 6), nullable=False),
    Column("status", Text, nullable=False, server_default="planned"),  # planned dispatched mined confirmed reverted expired refused
    Column("status_reason", Text, nullable=False, server_default=""), Column("actor", Text, nullable=False),
    Column("idempotency_key", Text, nullable=False),
    Column("next_check_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("planned_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("signed_at", DateTime(timezone=True)), Column("mined_at", DateTime(timezone=True)),
    Column("finished_at", DateTime(timezone=True)),
    Column("price_seen_at", DateTime(timezone=True)),
    PrimaryKeyConstraint("deployment", "action_id"), UniqueConstraint("deployment", "idempotency_key"),
    Index("uq_actions_live_need", "deployment", "need_key", unique=True, postgresql_where=text(ACTION_LIVE)),
    Index("ix_actions_due", "deployment", "next_check_at", postgresql_where=text(ACTION_LIVE)),
)  # fmt: skip

# One nonce lane per (network, sender): its row is locked while a nonce is reserved; quarantined when bytes we never signed used it.
lanes = Table(
    "lanes", metadata, _deployment(), Column("chain_id", BigInteger, nullable=False),
    Column("sender", Text, nullable=False), Column("lease_epoch", BigInteger, nullable=False, server_default="0"),
    Column("state", Text, nullable=False, server_default="open"),  # open | quarantined
    Column("reason", Text, nullable=False, server_default=""),
    PrimaryKeyConstraint("deployment", "chain_id", "sender"),
)  # fmt: skip

# action_id: of an action, or 'restrict:<action id>' for the restriction that goes before it. deadline: block time of the network.
slots = Table(
    "slots", metadata, _deployment(), Column("chain_id", BigInteger, nullable=False),
    Column("sender", Text, nullable=False),
    Column("nonce", BigInteger, nullable=False), Column("action_id", Text, nullable=False),
    Column("deadline", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("lease_epoch", BigInteger, nullable=False, server_default="0"), Column("final_hash", Text),
    Column("final_block_hash", Text), Column("final_block_number", BigInteger),
    Column("final_block_parent", Text), Column("final_block_timestamp", BigInteger),
    Column("next_check_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("deployment", "chain_id", "sender", "nonce"), UniqueConstraint("deployment", "action_id"),
    ForeignKeyConstraint(["deployment", "chain_id", "sender"], ["lanes.deployment", "lanes.chain_id", "lanes.sender"]),
    CheckConstraint("state in ('reserved', 'signed', 'pending', 'mined', 'cancelling', "
                    "'final_ok', 'final_revert', 'expired', 'foreign')", name="state"),
    Index("ix_slots_open", "deployment", "next_check_at",
          postgresql_where=text("state in ('reserved', 'signed', 'pending', 'mined', 'cancelling')")),
)  # fmt: skip

# number counts a slot's attempts from 0; purpose: call | no-op; head: the block it was signed at.
attempts = Table(
    "attempts", metadata, _deployment(), Column("tx_hash", Text, nullable=False),
    Column("chain_id", BigInteger, nullable=False),
    Column("sender", Text, nullable=False), Column("nonce", BigInteger, nullable=False),
    Column("number", Integer, nullable=False), Column("raw", LargeBinary, nullable=False),
    Column("max_fee", ATOMS, nullable=False), Column("priority_fee", ATOMS, nullable=False),
    Column("purpose", Text, nullable=False), Column("head", BigInteger, nullable=False),
    Column("first_sent_at", DateTime(timezone=True)), _created(), PrimaryKeyConstraint("deployment", "tx_hash"),
    UniqueConstraint("deployment", "chain_id", "sender", "nonce", "number"),
    ForeignKeyConstraint(["deployment", "chain_id", "sender", "nonce"],
                         ["slots.deployment", "slots.chain_id", "slots.sender", "slots.nonce"]),
)  # fmt: skip

# ---- the one numbered event log; appended under one advisory lock so that numbers become visible in order ---------------------
event_log = Table(
    "event_log", metadata, Column("seq", BigInteger, Identity(), primary_key=True), _deployment(),
    Column("kind", Text, nullable=False),
    Column("chain_id", BigInteger, nullable=False), Column("client", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("body", JSONB, nullable=False), Column("actor", Text, nullable=False), _created(),
    Index(None, "deployment", "kind", "seq"), Index(None, "deployment", "client", "seq"),
)  # fmt: skip

reconciliations = Table(
    "reconciliations", metadata, Column("id", BigInteger, Identity(), primary_key=True), _deployment(),
    Column("cut", JSONB, nullable=False), Column("accounts_checked", Integer, nullable=False),
    Column("holdings_checked", Integer, nullable=False),
    Column("drift", JSONB, nullable=False), _created(),
)  # fmt: skip

api_keys = Table(
    "api_keys", metadata, _deployment(), Column("key_id", Text, nullable=False),
    Column("secret_digest", Text, nullable=False),
    Column("client", Text, nullable=False), Column("scopes", Text, nullable=False),
    Column("expires_at", DateTime(timezone=True)),
    Column("revoked_at", DateTime(timezone=True)), _created(), PrimaryKeyConstraint("deployment", "key_id"),
)  # fmt: skip
