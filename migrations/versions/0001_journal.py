"""The journal of the networks, the ledger and the event log; what is append-only is kept so by triggers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ATOMS = sa.Numeric(80, 0)

FUNCTIONS = ("isthmus_refuse", "isthmus_keep", "isthmus_group")
APPEND_ONLY = ("raw_logs", "transfers", "event_log")
# Facts that a reorg may mark and a return may unmark; nothing of them is ever deleted.
MARKED = ("blocks", "prices", "interest", "chain_events")
REFUSE = """
create function isthmus_refuse() returns trigger language plpgsql as $$
begin
  raise exception 'append_only: % on % is refused; correct a fact by a new one', tg_op, tg_table_name;
end $$
"""
KEEP = """
create function isthmus_keep() returns trigger language plpgsql as $$
declare marks text[] := array['orphaned', 'incarnation', 'digest', 'kind', 'subject', 'body'];
begin
  if to_jsonb(old) - marks is distinct from to_jsonb(new) - marks then
    raise exception 'append_only: update of % may only mark it', tg_table_name;
  end if;
  return new;
end $$
"""
GROUP = """
create function isthmus_group() returns trigger language plpgsql as $$
begin
  if to_jsonb(old) - 'state' is distinct from to_jsonb(new) - 'state' then
    raise exception 'append_only: a group changes only its state: %', old.key;
  end if;
  if old.state not in ('pending', new.state)
    and not (old.state = 'voided' and new.state = 'pending' and old.origin in ('action', 'ticket')) then
    raise exception 'group_left_final_state: % is %, cannot become %', old.key, old.state, new.state;
  end if;
  return new;
end $$
"""


def _deployment() -> sa.Column[str]:
    return sa.Column("deployment", sa.Text(), nullable=False)


def _created() -> sa.Column[object]:
    return sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)


def upgrade() -> None:
    _networks()
    _said()
    _log()
    _ledger()
    _guard()


def _networks() -> None:
    op.create_table(
        "blocks", _deployment(), sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False), sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("parent_hash", sa.Text(), nullable=False), sa.Column("timestamp", sa.BigInteger(), nullable=False),
        sa.Column("incarnation", sa.Integer(), nullable=False), sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("orphaned", sa.Boolean(), server_default=sa.text("false"), nullable=False), _created(),
        sa.PrimaryKeyConstraint("deployment", "chain_id", "number", "hash", name="pk_blocks"),
    )  # fmt: skip
    op.create_index(
        "uq_blocks_canonical", "blocks", ["deployment", "chain_id", "number"], unique=True,
        postgresql_where=sa.text("not orphaned"),
    )  # fmt: skip
    op.create_table(
        "cursors", _deployment(), sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("head_number", sa.BigInteger(), nullable=False), sa.Column("head_hash", sa.Text(), nullable=False),
        sa.Column("head_timestamp", sa.BigInteger(), nullable=False),
        sa.Column("finalised_number", sa.BigInteger(), nullable=False), sa.Column("finalised_hash", sa.Text(), nullable=False),
        sa.Column("finalised_timestamp", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), server_default="following", nullable=False),
        sa.Column("state_reason", sa.Text(), server_default="", nullable=False),
        sa.Column("book_version", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("trued_up_hash", sa.Text(), server_default="", nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("deployment", "chain_id", name="pk_cursors"),
    )  # fmt: skip
    op.create_table(
        "raw_logs", _deployment(), sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("block_number", sa.BigInteger(), nullable=False), sa.Column("block_hash", sa.Text(), nullable=False),
        sa.Column("log_index", sa.Integer(), nullable=False), sa.Column("tx_hash", sa.Text(), nullable=False),
        sa.Column("tx_index", sa.Integer(), nullable=False), sa.Column("address", sa.Text(), nullable=False),
        sa.Column("topics", sa.LargeBinary(), nullable=False), sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("deployment", "chain_id", "block_number", "block_hash", "log_index", name="pk_raw_logs"),
        postgresql_partition_by="LIST (chain_id)",
    )  # fmt: skip


def _said() -> None:
    op.create_table(
        "chain_events", _deployment(), sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("block_number", sa.BigInteger(), nullable=False), sa.Column("block_hash", sa.Text(), nullable=False),
        sa.Column("log_index", sa.Integer(), nullable=False), sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("tx_hash", sa.Text(), nullable=False), sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False), sa.Column("body", JSONB(), nullable=False),
        sa.Column("orphaned", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.PrimaryKeyConstraint(
            "deployment", "chain_id", "block_number", "block_hash", "log_index", "part", name="pk_chain_events",
        ),
    )  # fmt: skip
    op.create_index("ix_chain_events_deployment_kind_subject", "chain_events", ["deployment", "kind", "subject"])
    op.create_table(
        "interest", _deployment(), sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False), sa.Column("asset", sa.Text(), nullable=False),
        sa.Column("block_number", sa.BigInteger(), nullable=False), sa.Column("block_hash", sa.Text(), nullable=False),
        sa.Column("log_index", sa.Integer(), nullable=False), sa.Column("index_ray", ATOMS, nullable=False),
        sa.Column("rate_ray", ATOMS, nullable=False), sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("orphaned", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.PrimaryKeyConstraint(
            "deployment", "chain_id", "place", "asset", "block_number", "block_hash", "log_index", name="pk_interest",
        ),
    )  # fmt: skip
    op.create_table(
        "prices", _deployment(), sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("feed", sa.Text(), nullable=False), sa.Column("block_number", sa.BigInteger(), nullable=False),
        sa.Column("block_hash", sa.Text(), nullable=False), sa.Column("log_index", sa.Integer(), nullable=False),
        sa.Column("incarnation", sa.Integer(), nullable=False), sa.Column("answer", ATOMS, nullable=False),
        sa.Column("round_id", ATOMS, nullable=False), sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("orphaned", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.PrimaryKeyConstraint("deployment", "chain_id", "feed", "block_number", "block_hash", "log_index", name="pk_prices"),
    )  # fmt: skip


def _log() -> None:
    op.create_table(
        "event_log", sa.Column("seq", sa.BigInteger(), sa.Identity(), nullable=False), _deployment(),
        sa.Column("kind", sa.Text(), nullable=False), sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("client", sa.Text(), nullable=False), sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("body", JSONB(), nullable=False), sa.Column("actor", sa.Text(), nullable=False), _created(),
        sa.PrimaryKeyConstraint("seq", name="pk_event_log"),
    )  # fmt: skip
    op.create_index("ix_event_log_deployment_client_seq", "event_log", ["deployment", "client", "seq"])
    op.create_index("ix_event_log_deployment_kind_seq", "event_log", ["deployment", "kind", "seq"])
    op.create_table(
        "leases", _deployment(), sa.Column("name", sa.Text(), nullable=False), sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("deployment", "name", name="pk_leases"),
    )  # fmt: skip


def _ledger() -> None:
    op.create_table(
        "groups", _deployment(), sa.Column("key", sa.Text(), nullable=False), sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("chain_id", sa.BigInteger(), nullable=False), sa.Column("block_number", sa.BigInteger(), nullable=False),
        sa.Column("block_hash", sa.Text(), nullable=False), sa.Column("tx_hash", sa.Text(), nullable=False),
        sa.Column("incarnation", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False), sa.Column("digest", sa.Text(), nullable=False), _created(),
        sa.CheckConstraint("state in ('pending', 'posted', 'voided', 'expired')", name=op.f("ck_groups_state")),
        sa.PrimaryKeyConstraint("deployment", "key", name="pk_groups"),
    )  # fmt: skip
    op.create_index(
        "ix_groups_pending", "groups", ["deployment", "chain_id", "block_number"],
        postgresql_where=sa.text("state = 'pending'"),
    )  # fmt: skip
    op.create_table(
        "ledger_accounts", sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False), _deployment(),
        sa.Column("key", sa.Text(), nullable=False), sa.Column("client", sa.Text(), nullable=False),
        sa.Column("chain_id", sa.BigInteger(), nullable=False), sa.Column("place", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False), sa.Column("asset", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ledger_accounts"),
        sa.UniqueConstraint("deployment", "key", name="uq_ledger_accounts_deployment_key"),
    )  # fmt: skip
    op.create_index("ix_ledger_accounts_deployment_client", "ledger_accounts", ["deployment", "client"])
    op.create_table(
        "balances", sa.Column("account_id", sa.BigInteger(), nullable=False), sa.Column("posted", ATOMS, nullable=False),
        sa.Column("pending", ATOMS, nullable=False), sa.Column("version", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["ledger_accounts.id"], name="fk_balances_account_id"),
        sa.PrimaryKeyConstraint("account_id", name="pk_balances"),
    )  # fmt: skip
    op.create_table(
        "transfers", sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False), _deployment(),
        sa.Column("group_key", sa.Text(), nullable=False), sa.Column("log_index", sa.Integer(), nullable=False),
        sa.Column("leg", sa.Integer(), nullable=False), sa.Column("debit_id", sa.BigInteger(), nullable=False),
        sa.Column("credit_id", sa.BigInteger(), nullable=False), sa.Column("atoms", ATOMS, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.CheckConstraint("atoms > 0", name=op.f("ck_transfers_atoms_positive")),
        sa.CheckConstraint("debit_id <> credit_id", name=op.f("ck_transfers_accounts_different")),
        sa.ForeignKeyConstraint(["credit_id"], ["ledger_accounts.id"], name="fk_transfers_credit_id"),
        sa.ForeignKeyConstraint(["debit_id"], ["ledger_accounts.id"], name="fk_transfers_debit_id"),
        sa.ForeignKeyConstraint(
            ["deployment", "group_key"], ["groups.deployment", "groups.key"], name="fk_transfers_deployment_group_key",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_transfers"),
        sa.UniqueConstraint(
            "deployment", "group_key", "log_index", "leg", name="uq_transfers_deployment_group_key_log_index_leg",
        ),
    )  # fmt: skip


def _guard() -> None:
    for statement in (REFUSE, KEEP, GROUP):
        op.execute(statement)
    for table in APPEND_ONLY:
        op.execute(f"create trigger {table}_rows before update or delete on {table} for each row execute function isthmus_refuse()")
    for table in MARKED:
        op.execute(f"create trigger {table}_marks before update on {table} for each row execute function isthmus_keep()")
    op.execute("create trigger groups_state before update on groups for each row execute function isthmus_group()")
    for table in (*MARKED, "groups"):
        op.execute(f"create trigger {table}_rows before delete on {table} for each row execute function isthmus_refuse()")
    for table in (*APPEND_ONLY, *MARKED, "groups"):
        op.execute(f"create trigger {table}_whole before truncate on {table} execute function isthmus_refuse()")


def downgrade() -> None:
    for table in (
        "transfers", "balances", "raw_logs", "prices", "ledger_accounts", "leases", "interest", "groups", "event_log",
        "cursors", "chain_events", "blocks",
    ):  # fmt: skip
        op.drop_table(table)
    for name in FUNCTIONS:
        op.execute(f"drop function {name}()")
