"""Events: the closed union of what protocols tell us, in the broker's words (hop 2's answer).

Pure. Atoms are integers >= 0 in the token's own units; shares are scaled atoms (Aave scaled balance, credit line scaled debt):
a share balance times the index as of the block gives atoms. Each event carries its EventRef; two decoders never report the
same change of a quantity, so that posting books every quantity once.
"""

from __future__ import annotations

from dataclasses import dataclass

from chains.types import Address, EventRef


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events: where it stands."""

    ref: EventRef


@dataclass(frozen=True, slots=True)
class Moved(Event):
    """ERC-20 Transfer (zero source = mint, zero destination = burn). Also each deposit or payment of a client's tokens."""

    token: Address
    source: Address
    destination: Address
    atoms: int


@dataclass(frozen=True, slots=True)
class SharesMoved(Event):
    """Base of the four changes of a lending position. `market`: the pool; `reserve`: the underlying token; `shares`: scaled atoms
    by which the holder's supply or debt changed; `atoms`: what that was worth at the index of the moment."""

    venue: str
    market: Address
    reserve: Address
    holder: Address
    shares: int
    atoms: int


@dataclass(frozen=True, slots=True)
class Supplied(SharesMoved):
    """Supply shares of `holder` rose by `shares` (Aave: scaled aToken atoms)."""


@dataclass(frozen=True, slots=True)
class Withdrawn(SharesMoved):
    """Supply shares of `holder` fell by `shares`."""


@dataclass(frozen=True, slots=True)
class Borrowed(SharesMoved):
    """Debt shares of `holder` rose by `shares` (Aave: scaled variable debt)."""


@dataclass(frozen=True, slots=True)
class Repaid(SharesMoved):
    """Debt shares of `holder` fell by `shares`."""


@dataclass(frozen=True, slots=True)
class Liquidated(Event):
    """A protocol seized collateral of `holder`. Tells only: the quantities come as Withdrawn and Repaid of the same transaction."""

    venue: str
    market: Address
    holder: Address
    liquidator: Address
    collateral: Address
    debt: Address
    debt_atoms: int
    collateral_atoms: int


@dataclass(frozen=True, slots=True)
class IndexUpdated(Event):
    """Interest state of one reserve (or credit line) at this block: index in ray, yearly rates in ray."""

    venue: str
    market: Address
    reserve: Address
    supply_index: int
    debt_index: int
    supply_rate: int
    debt_rate: int


@dataclass(frozen=True, slots=True)
class PricePublished(Event):
    """A feed's aggregator answered: `answer` in feed decimals, `updated_at` in seconds of block time."""

    feed: Address
    answer: int
    round_id: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class Swapped(Event):
    """A pool traded (Uniswap v3): signed pool deltas, price after the trade, liquidity in range."""

    pool: Address
    amount0: int
    amount1: int
    sqrt_price_x96: int
    liquidity: int
    tick: int


@dataclass(frozen=True, slots=True)
class Sent(Event):
    """A bridge took `atoms` of `token` from `sender` for `recipient` on `destination`. The message id joins both ends."""

    bridge: str
    route: Address
    token: Address
    sender: Address
    destination: int
    recipient: Address
    atoms: int
    message_id: str


@dataclass(frozen=True, slots=True)
class Received(Event):
    """A bridge gave `atoms` of `token` to `recipient`, sent on `origin`."""

    bridge: str
    route: Address
    token: Address
    origin: int
    recipient: Address
    atoms: int
    message_id: str


@dataclass(frozen=True, slots=True)
class AccountOpened(Event):
    """AccountFactory bore a prime account (a Safe)."""

    safe: Address
    owners: tuple[Address, ...]
    threshold: int


@dataclass(frozen=True, slots=True)
class ActionDone(Event):
    """MarginModule executed a planner action."""

    safe: Address
    action_id: str
    need_key: str
    sequence: int
    draw_atoms: int


@dataclass(frozen=True, slots=True)
class TicketUsed(Event):
    """A withdrawal or (`kind` = 'trade', target in `recipient`) a trade ticket was used at `nonce`."""

    safe: Address
    kind: str
    token: Address
    recipient: Address
    atoms: int
    nonce: int


@dataclass(frozen=True, slots=True)
class CustodyChanged(Event):
    """Something that `custody_intact` rests on changed: a Safe's module, guard, handler, owners, or an exit step."""

    safe: Address
    what: str
    detail: str


@dataclass(frozen=True, slots=True)
class LineDrawn(Event):
    """The credit line lent `atoms` to `safe`; its scaled debt rose by `shares`."""

    line: Address
    safe: Address
    atoms: int
    shares: int


@dataclass(frozen=True, slots=True)
class LineRepaid(Event):
    """`atoms` of `safe`'s credit line debt were repaid by `payer`; its scaled debt fell by `shares`."""

    line: Address
    safe: Address
    payer: Address
    atoms: int
    shares: int


@dataclass(frozen=True, slots=True)
class LineFunded(Event):
    """A lender paid in (`atoms` > 0) or took out (`atoms` < 0); lender shares move alike."""

    line: Address
    lender: Address
    atoms: int
    shares: int


@dataclass(frozen=True, slots=True)
class BadDebtBooked(Event):
    """The credit line wrote off what `safe` could not pay, and who bore it."""

    line: Address
    safe: Address
    atoms: int
    from_penalty: int
    from_backstop: int
    from_lenders: int


@dataclass(frozen=True, slots=True)
class TruedUp(Event):
    """A quantity without logs (native coin) read at a finalised block: `delta` atoms, signed, to what the ledger held."""

    token: Address
    holder: Address
    delta: int


AnyEvent = (
    Moved | Supplied | Withdrawn | Borrowed | Repaid | Liquidated | IndexUpdated | PricePublished | Swapped | Sent | Received
    | AccountOpened | ActionDone | TicketUsed | CustodyChanged | LineDrawn | LineRepaid | LineFunded | BadDebtBooked | TruedUp
)  # fmt: skip
