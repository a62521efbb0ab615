"""Posting: events become groups of transfers, one group per transaction, one case per event type (hop 3). Pure.

Laws: every transfer has two sides, so the balances of each asset sum to zero; the same event in the same incarnation of its block
always makes the same transfer under the same key; the order in which networks are read is irrelevant.

Who stands for whom: a client's safe is the client; a credit line's idle cash is 'line:<chain id>'; a lender's share of a credit
line is 'lender:<address>' with asset '<chain id>:<credit line>:shares'; everybody else is external.
In transit belongs to the client who will receive. A delivery finds the send's account by the message id, whichever came first; a
delivery without its known send leaves that account below zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import singledispatch

from aggregator.errors import LedgerBroken
from aggregator.ledger.accounts import Kind, LedgerAccount, external
from aggregator.ledger.book import AddressBook
from aggregator.ledger.transfers import Group, Origin, Transfer, chain_group_key
from aggregator.units import RAY
from chains import events as ev
from chains.types import Address

WALLET = "wallet"
CREDIT_LINE = "credit_line"
NARRATIVE = (
    ev.Liquidated, ev.PricePublished, ev.IndexUpdated, ev.Swapped,
    ev.AccountOpened, ev.ActionDone, ev.TicketUsed, ev.CustodyChanged,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Leg:
    """One booking before it has a number: `atoms` from credit to debit."""

    debit: LedgerAccount
    credit: LedgerAccount
    atoms: int
    reason: str


@dataclass(frozen=True, slots=True)
class Context:
    """What a posting rule may look at besides its event: the book, and the credit line indices told in the same transaction."""

    book: AddressBook
    line_index: Mapping[Address, int]


def post(
    events: Sequence[ev.Event], book: AddressBook, incarnations: Mapping[tuple[int, str], int] | None = None
) -> tuple[Group, ...]:
    """Groups of the transactions that change a quantity of a known client, lender or credit line, ordered by place.

    `incarnations`: (chain id, block hash) -> how often that block has been adopted; 1 where it is not named. All events of one
    transaction must come in one call. Raises LedgerBroken for an event type without a posting rule.
    """
    counts = incarnations or {}
    found: dict[tuple[int, int, str, str], list[ev.Event]] = {}
    for event in events:
        r = event.ref
        found.setdefault((r.chain_id, r.block_number, r.block_hash, r.tx_hash), []).append(event)
    groups: list[tuple[tuple[int, int, int], Group]] = []
    for (chain_id, number, block_hash, tx_hash), together in found.items():
        together.sort(key=lambda e: (e.ref.log_index, type(e).__name__))
        transfers = _transfers(together, book)
        if transfers:
            count = counts.get((chain_id, block_hash), 1)
            key = chain_group_key(chain_id, block_hash, tx_hash, count)
            group = Group(key, Origin.CHAIN, chain_id, number, block_hash, tx_hash, count, transfers)
            groups.append(((chain_id, number, together[0].ref.log_index), group))
    return tuple(g for _, g in sorted(groups, key=lambda pair: (pair[0], pair[1].key)))


def _transfers(together: Sequence[ev.Event], book: AddressBook) -> tuple[Transfer, ...]:
    lines = {e.market: e.debt_index for e in together if isinstance(e, ev.IndexUpdated) and e.venue == CREDIT_LINE}
    context = Context(book, lines)
    numbers: dict[int, int] = {}
    transfers: list[Transfer] = []
    for event in together:
        for leg in legs(event, context):
            if leg.atoms == 0 or leg.debit == leg.credit:
                continue
            index = event.ref.log_index
            number = numbers[index] = numbers.get(index, -1) + 1
            transfers.append(Transfer(index, number, leg.debit, leg.credit, leg.atoms, leg.reason))
    return tuple(transfers)


def owner(book: AddressBook, chain_id: int, where: Address, token: Address) -> LedgerAccount:
    """Ledger account that holds `token` for whoever stands at `where`: a client's wallet, a credit line's cash, or the outside."""
    asset = f"{chain_id}:{token}"
    client = book.client_of(chain_id, where)
    if client is not None:
        return LedgerAccount(client, chain_id, WALLET, Kind.POSITION, asset)
    if book.lines.get(chain_id) == where:
        return LedgerAccount(f"line:{chain_id}", chain_id, CREDIT_LINE, Kind.POSITION, asset)
    return external(asset)


def financing(client: str, chain_id: int, line: Address) -> LedgerAccount:
    """A client's debt to the credit line of one network, in scaled shares; stands negative."""
    return LedgerAccount(client, chain_id, CREDIT_LINE, Kind.FINANCING, f"{chain_id}:{line}")


def in_transit(client: str, bridge: str, message_id: str, asset: str, decimals: int) -> LedgerAccount:
    """What one bridge message carries to a client."""
    return LedgerAccount(client, 0, f"{bridge}:{message_id}", Kind.IN_TRANSIT, f"asset:{asset}:{decimals}")


@singledispatch
def legs(event: ev.Event, context: Context) -> Iterable[Leg]:
    """The bookings of one event. One registered case per event type; an unregistered type raises LedgerBroken."""
    raise LedgerBroken(f"event_without_posting_rule: {type(event).__name__}; add a case to ledger/posting.py")


def _nothing(event: ev.Event, context: Context) -> Iterable[Leg]:
    return ()


for _kind in NARRATIVE:
    legs.register(_kind, _nothing)


@legs.register(ev.Moved)
def _moved(event: ev.Moved, context: Context) -> Iterable[Leg]:
    chain_id = event.ref.chain_id
    if (chain_id, event.token) not in context.book.tokens:
        return
    debit = owner(context.book, chain_id, event.destination, event.token)
    credit = owner(context.book, chain_id, event.source, event.token)
    yield Leg(debit, credit, event.atoms, "moved")


@legs.register(ev.TruedUp)
def _trued_up(event: ev.TruedUp, context: Context) -> Iterable[Leg]:
    chain_id = event.ref.chain_id
    if (chain_id, event.token) not in context.book.tokens:
        return
    holder = owner(context.book, chain_id, event.holder, event.token)
    yield _signed(holder, event.delta, "trued up")


def _signed(account: LedgerAccount, atoms: int, reason: str) -> Leg:
    outside = external(account.asset)
    return Leg(account, outside, atoms, reason) if atoms >= 0 else Leg(outside, account, -atoms, reason)


def _venue(event: ev.Supplied | ev.Withdrawn | ev.Borrowed | ev.Repaid, context: Context, sign: int, reason: str) -> Iterable[Leg]:
    chain_id = event.ref.chain_id
    client = context.book.client_of(chain_id, event.holder)
    if client is None:
        return
    debt = isinstance(event, ev.Borrowed | ev.Repaid)
    share = context.book.share_token(chain_id, event.reserve, debt)
    kind = Kind.DEBT if debt else Kind.POSITION
    yield _signed(LedgerAccount(client, chain_id, event.venue, kind, f"{chain_id}:{share}"), sign * event.shares, reason)


@legs.register(ev.Supplied)
def _supplied(event: ev.Supplied, context: Context) -> Iterable[Leg]:
    return _venue(event, context, 1, "supplied")


@legs.register(ev.Withdrawn)
def _withdrawn(event: ev.Withdrawn, context: Context) -> Iterable[Leg]:
    return _venue(event, context, -1, "withdrawn")


@legs.register(ev.Borrowed)
def _borrowed(event: ev.Borrowed, context: Context) -> Iterable[Leg]:
    return _venue(event, context, -1, "borrowed")


@legs.register(ev.Repaid)
def _repaid(event: ev.Repaid, context: Context) -> Iterable[Leg]:
    return _venue(event, context, 1, "repaid")


@legs.register(ev.Sent)
def _sent(event: ev.Sent, context: Context) -> Iterable[Leg]:
    return _bridged(event, context, event.destination, 1, "sent")


@legs.register(ev.Received)
def _received(event: ev.Received, context: Context) -> Iterable[Leg]:
    return _bridged(event, context, event.ref.chain_id, -1, "received")


def _bridged(event: ev.Sent | ev.Received, context: Context, to: int, sign: int, reason: str) -> Iterable[Leg]:
    book = context.book
    client = book.client_of(to, event.recipient)
    token = book.tokens.get((event.ref.chain_id, event.token))
    if client is None or token is None:
        return
    decimals = book.canonical_decimals(token.asset)
    account = in_transit(client, event.bridge, event.message_id, token.asset, decimals)
    yield _signed(account, sign * event.atoms * 10 ** (decimals - token.decimals), reason)


@legs.register(ev.LineDrawn)
def _line_drawn(event: ev.LineDrawn, context: Context) -> Iterable[Leg]:
    client = context.book.client_of(event.ref.chain_id, event.safe)
    if client is not None:
        yield _signed(financing(client, event.ref.chain_id, event.line), -event.shares, "credit line drawn")


@legs.register(ev.LineRepaid)
def _line_repaid(event: ev.LineRepaid, context: Context) -> Iterable[Leg]:
    client = context.book.client_of(event.ref.chain_id, event.safe)
    if client is not None:
        yield _signed(financing(client, event.ref.chain_id, event.line), event.shares, "credit line repaid")


@legs.register(ev.LineFunded)
def _line_funded(event: ev.LineFunded, context: Context) -> Iterable[Leg]:
    chain_id = event.ref.chain_id
    asset = f"{chain_id}:{event.line}:shares"
    account = LedgerAccount(f"lender:{event.lender}", chain_id, CREDIT_LINE, Kind.POSITION, asset)
    into = event.atoms > 0
    yield _signed(account, abs(event.shares) if into else -abs(event.shares), "line funded" if into else "line defunded")


@legs.register(ev.BadDebtBooked)
def _bad_debt(event: ev.BadDebtBooked, context: Context) -> Iterable[Leg]:
    """The client's financing goes to zero, its bad debt account keeps the scaled shares that were lost (negative).

    The event tells atoms; the index told in the same transaction turns them back into shares without loss, as an index of at
    least one makes `atoms = ceil(shares * index)` injective.
    """
    client = context.book.client_of(event.ref.chain_id, event.safe)
    if client is None:
        return
    index = context.line_index.get(event.line)
    if index is None:
        raise LedgerBroken(f"bad_debt_without_index: {event.ref.tx_hash} tells no index of credit line {event.line}")
    debt = financing(client, event.ref.chain_id, event.line)
    lost = LedgerAccount(client, event.ref.chain_id, CREDIT_LINE, Kind.BAD_DEBT, debt.asset)
    yield Leg(debt, lost, event.atoms * RAY // index, "written off")
