"""Models of what the API gives: accounts, portfolios, margin reports, actions, health. Names are those of the architecture's words.

Every figure stands in an answer that carries `as_of`: one block per network with its age in block time, the market snapshot and the
parameter set.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from aggregator.api.values import AtomsString, DecimalString

Usd = Annotated[DecimalString, Field(description="USD")]


class Output(BaseModel):
    """Base of everything the API gives."""

    model_config = ConfigDict(frozen=True, from_attributes=True, json_schema_serialization_defaults_required=True)


class BlockAt(Output):
    """One network's block of a cut."""

    chain_id: int
    number: int
    hash: str
    timestamp: int = Field(description="Block time, seconds since 1970")
    age_s: int | None = Field(description="Block seconds between this block and the newest one followed; null: not followed now")
    finality: Literal["final", "pending"]


class AsOfBody(Output):
    """What the figures were computed from."""

    blocks: list[BlockAt]
    market_id: str
    parameters_id: str
    epoch: str = Field(description="Hash of the three: equal epochs, equal figures")
    code_version: str


class ThreeNumbers(Output):
    """The three numbers and what follows from them."""

    net_liquidation_value_usd: Usd
    initial_margin_usd: Usd
    maintenance_margin_usd: Usd
    close_out_target_usd: Usd
    available_margin_usd: Usd
    excess_liquidity_usd: Usd
    shortfall_usd: Usd


class AccountBody(Output):
    """One margin account in one line. `numbers` is null before its first assessment."""

    account: str
    title: str
    client_state: str = Field(description="open, suspended, exiting or closed")
    margin_state: str | None = Field(description="ok, call, close_out or insolvent")
    numbers: ThreeNumbers | None
    as_of: AsOfBody | None


class AccountsPage(Output):
    """All accounts that the key sees."""

    accounts: list[AccountBody]


class HoldingBody(Output):
    """One line of the portfolio: signed value, assets positive, debts negative."""

    label: str
    chain_id: int
    place: str
    asset: str
    side: str
    quantity: DecimalString
    quantity_atoms: AtomsString
    decimals: int
    price_usd: DecimalString | None
    price_age_s: int | None
    market_value_usd: Usd
    state: str = Field(description="final, pending, in_transit or quarantined")
    block_number: int


class SafeBody(Output):
    """One prime account on one network."""

    chain_id: int
    address: str
    custody_intact: bool
    custody_reason: str


class PortfolioBody(Output):
    """What the account holds and owes. The values sum to net liquidation value."""

    account: str
    state: str
    net_liquidation_value_usd: Usd
    holdings: list[HoldingBody]
    safes: list[SafeBody]
    as_of: AsOfBody


class LineBody(Output):
    """One addend of the requirements."""

    name: str
    initial_usd: Usd
    maintenance_usd: Usd
    why: str


class ScenarioBody(Output):
    """Profit or loss of the whole account in one scenario, before the other lines."""

    name: str
    pnl_initial_usd: Usd
    pnl_maintenance_usd: Usd


class VenueBody(Output):
    """One venue position. `health_factor_as_reported` is the protocol's own number: quoted, never consolidated."""

    position: str
    chain_id: int
    place: str
    collateral_usd: Usd
    debt_usd: Usd
    health_factor_as_reported: DecimalString | None
    requirement_usd: Usd
    stressed_requirement_usd: Usd
    move_to_liquidation_pct: DecimalString | None


class FailureBody(Output):
    """Something the figures had to be made without, and what was assumed instead."""

    name: str
    subject: str
    effect: str


class MarginBody(Output):
    """A margin report: the three numbers, the lines they are made of, each venue's own view, listed failures."""

    account: str
    report_id: int
    view: str
    model: str
    state: str
    numbers: ThreeNumbers
    lines: list[LineBody]
    scenarios: list[ScenarioBody]
    binding: str
    venues: list[VenueBody]
    requirement_alone_usd: Usd
    capital_saved_usd: Usd
    coverage: DecimalString | None
    margin_ratio: DecimalString | None
    failures: list[FailureBody]
    assessed_at: datetime
    as_of: AsOfBody


class ExplainLineBody(Output):
    """One addend or input. `value` null: a remark."""

    label: str
    value: DecimalString | None
    why: str


class ExplainBody(Output):
    """The explanation of one figure, in the words of `isthmus explain`."""

    account: str
    figure: str
    value: DecimalString | None
    sentence: str
    lines: list[ExplainLineBody]
    as_of: AsOfBody


class SlotBody(Output):
    """The (sender, nonce) an action goes out under and the hashes it was sent as."""

    sender: str
    nonce: int
    state: str
    tx_hashes: list[str]
    final_hash: str | None
    final_block_number: int | None
    final_block_hash: str | None


class ActionBody(Output):
    """One planned action and how far it came."""

    action_id: str
    account: str
    kind: str
    chain_id: int
    safe: str
    need_key: str
    sequence: int
    status: str
    status_reason: str
    reason: str
    effect_usd: Usd
    cost_usd: Usd
    deadline: int = Field(description="Block time, seconds since 1970")
    as_of_timestamp: int = Field(description="Block time of the decision, seconds since 1970")
    decision_epoch: str
    planned_at: datetime
    finished_at: datetime | None
    slot: SlotBody | None


class ActionsPage(Output):
    """Newest first. `next` is the cursor of the following page."""

    actions: list[ActionBody]
    next: str | None


class EventBody(Output):
    """One row of the numbered event log."""

    seq: int
    kind: str
    chain_id: int
    account: str
    subject: str
    body: dict[str, Any]
    actor: str
    at: datetime


class EventsPage(Output):
    """Events in order. Ask again with `after` = the last seq."""

    events: list[EventBody]
    last_seq: int


class NetworkHealth(Output):
    """How one network is followed. `lag_ms`: since the index daemon last saw it; finality lag in block seconds."""

    chain_id: int
    name: str
    head: int | None
    head_hash: str | None
    head_timestamp: int | None
    finalised: int | None
    finality_lag_s: int | None
    lag_ms: int | None
    state: Literal["following", "silent", "stopped", "never_followed"]
    reason: str


class DaemonHealth(Output):
    """A daemon by its freshest lease."""

    name: str
    holder: str
    epoch: int
    state: Literal["running", "silent"]
    lease_ends_in_ms: int


class HealthBody(Output):
    """`ok` when every network is followed and nothing is silent."""

    state: Literal["ok", "degraded"]
    deployment: str
    version: str
    networks: list[NetworkHealth]
    daemons: list[DaemonHealth]
    last_seq: int
