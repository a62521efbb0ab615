"""Clients, market snapshots, reports, actions with their slots and attempts, reconciliations, API keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ATOMS = sa.Numeric(80, 0)
USD = sa.Numeric(40, 6)


def _deployment() -> sa.Column[str]:
    return sa.Column("deployment", sa.Text(), nullable=False)


def _created() -> sa.Column[object]:
    return sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)


def upgrade() -> None:
    _actions()
    _access()
    _clients()
    _lanes()
    _reports()
    _attempts()


def _actions() -> None:
    op.create_table(
        "actions", _deployment(), sa.Column("action_id", sa.Text(), nullable=False),
        sa.Column("client", sa.Text(), nullable=False), sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("chain_id", sa.BigInteger(), nullable=False), sa.Column("safe", sa.Text(), nullable=False),
        sa.Column("need_key", sa.Text(), nullable=False), sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("decision_epoch", sa.Text(), nullable=False), sa.Column("body", JSONB(), nullable=False),
        sa.Column("deadline", sa.BigInteger(), nullable=False), sa.Column("as_of_s", sa.BigInteger(), nullable=False),
        sa.Column("effect_usd", USD, nullable=False), sa.Column("cost_usd", USD, nullable=False),
        sa.Column("status", sa.Text(), server_default="planned", nullable=False),
        sa.Column("status_reason", sa.Text(), server_default="", nullable=False), sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("next_check_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("planned_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("signed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("mined_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("price_seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("deployment", "action_id", name="pk_actions"),
        sa.UniqueConstraint("deployment", "idempotency_key", name="uq_actions_deployment_idempotency_key"),
    )  # fmt: skip
    op.create_index(
        "ix_actions_due", "actions", ["deployment", "next_check_at"],
        postgresql_where=sa.text("status in ('planned', 'dispatched', 'mined')"),
    )  # fmt: skip
    op.create_index(
        "uq_actions_live_need", "actions", ["deployment", "need_key"], unique=True,
        postgresql_where=sa.text("status in ('planned', 'dispatched', 'mined')"),
    )  # fmt: skip


def _access() -> None:
    op.create_table(
        "api_keys", _deployment(), sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("secret_digest", sa.Text(), nullable=False), sa.Column("client", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False), sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True), _created(),
        sa.PrimaryKeyConstraint("deployment", "key_id", name="pk_api_keys"),
    )  # fmt: skip
    op.create_table(
        "requests", _deployment(), sa.Column("client", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False), sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer(), server_default="0", nullable=False),
        sa.Column("answer", JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False), _created(),
        sa.PrimaryKeyConstraint("deployment", "client", "idempotency_key", name="pk_requests"),
    )  # fmt: skip
    op.create_table(
        "tickets", _deployment(), sa.Column("ticket_id", sa.Text(), nullable=False),
        sa.Column("client", sa.Text(), nullable=False), sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("safe", sa.Text(), nullable=False), sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("terms", JSONB(), nullable=False), sa.Column("nonce", sa.BigInteger(), nullable=False),
        sa.Column("expiry", sa.BigInteger(), nullable=False), sa.Column("as_of", JSONB(), nullable=False),
        sa.Column("signatures", sa.Text(), nullable=False), sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False), sa.Column("state", sa.Text(), nullable=False), _created(),
        sa.PrimaryKeyConstraint("deployment", "ticket_id", name="pk_tickets"),
        sa.UniqueConstraint("deployment", "client", "idempotency_key", name="uq_tickets_deployment_client_idempotency_key"),
    )  # fmt: skip


def _clients() -> None:
    op.create_table(
        "clients", _deployment(), sa.Column("client", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False), sa.Column("title", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False), sa.Column("mandate", JSONB(), nullable=False),
        sa.Column("mandate_version", sa.Integer(), nullable=False), sa.Column("mandate_signature", sa.Text(), nullable=False),
        _created(),
        sa.PrimaryKeyConstraint("deployment", "client", name="pk_clients"),
    )  # fmt: skip
    op.create_table(
        "quarantine", _deployment(), sa.Column("account_key", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False), sa.Column("block_number", sa.BigInteger(), nullable=False),
        sa.Column("block_hash", sa.Text(), nullable=False), _created(),
        sa.PrimaryKeyConstraint("deployment", "account_key", name="pk_quarantine"),
    )  # fmt: skip
    op.create_table(
        "safes", _deployment(), sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False), sa.Column("client", sa.Text(), nullable=False),
        sa.Column("linked_block", sa.BigInteger(), nullable=False), sa.Column("custody_intact", sa.Boolean(), nullable=False),
        sa.Column("custody_reason", sa.Text(), nullable=False), _created(),
        sa.Column("in_book", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("custody_due", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.ForeignKeyConstraint(
            ["deployment", "client"], ["clients.deployment", "clients.client"], name="fk_safes_deployment_client",
        ),
        sa.PrimaryKeyConstraint("deployment", "chain_id", "address", name="pk_safes"),
    )  # fmt: skip
    op.create_index("ix_safes_deployment_client", "safes", ["deployment", "client"])


def _lanes() -> None:
    op.create_table(
        "lanes", _deployment(), sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("lease_epoch", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("state", sa.Text(), server_default="open", nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("deployment", "chain_id", "sender", name="pk_lanes"),
    )  # fmt: skip
    op.create_table(
        "slots", _deployment(), sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False), sa.Column("nonce", sa.BigInteger(), nullable=False),
        sa.Column("action_id", sa.Text(), nullable=False), sa.Column("deadline", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("lease_epoch", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("final_hash", sa.Text(), nullable=True), sa.Column("final_block_hash", sa.Text(), nullable=True),
        sa.Column("final_block_number", sa.BigInteger(), nullable=True),
        sa.Column("final_block_parent", sa.Text(), nullable=True),
        sa.Column("final_block_timestamp", sa.BigInteger(), nullable=True),
        sa.Column("next_check_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "state in ('reserved', 'signed', 'pending', 'mined', 'cancelling', 'final_ok', 'final_revert', "
            "'expired', 'foreign')",
            name=op.f("ck_slots_state"),
        ),
        sa.ForeignKeyConstraint(
            ["deployment", "chain_id", "sender"], ["lanes.deployment", "lanes.chain_id", "lanes.sender"],
            name="fk_slots_deployment_chain_id_sender",
        ),
        sa.PrimaryKeyConstraint("deployment", "chain_id", "sender", "nonce", name="pk_slots"),
        sa.UniqueConstraint("deployment", "action_id", name="uq_slots_deployment_action_id"),
    )  # fmt: skip
    op.create_index(
        "ix_slots_open", "slots", ["deployment", "next_check_at"],
        postgresql_where=sa.text("state in ('reserved', 'signed', 'pending', 'mined', 'cancelling')"),
    )  # fmt: skip


def _reports() -> None:
    op.create_table(
        "market_snapshots", _deployment(), sa.Column("id", sa.Text(), nullable=False),
        sa.Column("body", JSONB(), nullable=False), _created(),
        sa.PrimaryKeyConstraint("deployment", "id", name="pk_market_snapshots"),
    )  # fmt: skip
    op.create_table(
        "parameter_sets", _deployment(), sa.Column("id", sa.Text(), nullable=False), sa.Column("body", JSONB(), nullable=False),
        sa.Column("active_from", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("deployment", "id", name="pk_parameter_sets"),
    )  # fmt: skip
    op.create_table(
        "reconciliations", sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False), _deployment(),
        sa.Column("cut", JSONB(), nullable=False), sa.Column("accounts_checked", sa.Integer(), nullable=False),
        sa.Column("holdings_checked", sa.Integer(), nullable=False), sa.Column("drift", JSONB(), nullable=False), _created(),
        sa.PrimaryKeyConstraint("id", name="pk_reconciliations"),
    )  # fmt: skip
    op.create_table(
        "reports", sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False), _deployment(),
        sa.Column("client", sa.Text(), nullable=False), sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("cut", JSONB(), nullable=False), sa.Column("market_id", sa.Text(), nullable=False),
        sa.Column("parameters_id", sa.Text(), nullable=False), sa.Column("code_version", sa.Text(), nullable=False),
        sa.Column("inputs", JSONB(), nullable=False), sa.Column("body", JSONB(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False), sa.Column("state", sa.Text(), nullable=False),
        sa.Column("net_liquidation_value", USD, nullable=False), sa.Column("initial_margin", USD, nullable=False),
        sa.Column("maintenance_margin", USD, nullable=False), _created(),
        sa.PrimaryKeyConstraint("id", name="pk_reports"),
        sa.UniqueConstraint("deployment", "client", "epoch", name="uq_reports_deployment_client_epoch"),
    )  # fmt: skip
    op.create_index("ix_reports_deployment_client_id", "reports", ["deployment", "client", "id"])


def _attempts() -> None:
    op.create_table(
        "attempts", _deployment(), sa.Column("tx_hash", sa.Text(), nullable=False),
        sa.Column("chain_id", sa.BigInteger(), nullable=False), sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("nonce", sa.BigInteger(), nullable=False), sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False), sa.Column("max_fee", ATOMS, nullable=False),
        sa.Column("priority_fee", ATOMS, nullable=False), sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("head", sa.BigInteger(), nullable=False),
        sa.Column("first_sent_at", sa.DateTime(timezone=True), nullable=True), _created(),
        sa.ForeignKeyConstraint(
            ["deployment", "chain_id", "sender", "nonce"],
            ["slots.deployment", "slots.chain_id", "slots.sender", "slots.nonce"],
            name="fk_attempts_deployment_chain_id_sender_nonce",
        ),
        sa.PrimaryKeyConstraint("deployment", "tx_hash", name="pk_attempts"),
        sa.UniqueConstraint(
            "deployment", "chain_id", "sender", "nonce", "number", name="uq_attempts_deployment_chain_id_sender_nonce_number",
        ),
    )  # fmt: skip


def downgrade() -> None:
    for table in (
        "attempts", "slots", "safes", "tickets", "requests", "reports", "reconciliations", "quarantine", "parameter_sets",
        "market_snapshots", "lanes", "clients", "api_keys", "actions",
    ):  # fmt: skip
        op.drop_table(table)
