"""Laws of the ledger: sums are zero, replay is idempotent, the order of networks is irrelevant, a void restores, posting moves."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.ledger.accounts import Kind, LedgerAccount
from aggregator.ledger.balances import OWNED, Balances, Effect, View, apply, cautious_balances, effect, fold, view_balances
from aggregator.ledger.posting import post
from aggregator.ledger.transfers import Group, GroupState, Origin, Transfer
from chains import events as ev
from chains.types import ChainId, EventRef
from tests.unit.pure_world import (
    ALICE,
    BOB,
    BOOK,
    CHAINS,
    HYP,
    LENDER,
    LINE,
    POOL,
    ROUTE,
    STRANGER,
    USDC,
    WETH,
    A,
    B,
    C,
    hash_of,
)

PEOPLE = (ALICE, BOB, STRANGER, LENDER, LINE)
VENUE = (ev.Supplied, ev.Withdrawn, ev.Borrowed, ev.Repaid)
Raw = tuple[int, int, int, int, int, int]
raw = st.tuples(
    st.integers(0, 10), st.integers(0, 4), st.integers(0, 4), st.integers(0, 10**24), st.integers(0, 10**24), st.integers(0, 2)
)


def event(ref: EventRef, told: Raw) -> ev.Event:
    """Any event that can stand at this place, from six numbers."""
    kind, i, j, atoms, shares, k = told
    one, two, message, other = PEOPLE[i], PEOPLE[j], f"m{k}", CHAINS[k]
    if kind < 4 and ref.chain_id != C:
        return VENUE[kind](ref, "aave_v3", POOL, (WETH, USDC)[k % 2], one, shares, atoms)
    made: dict[int, ev.Event] = {
        4: ev.Sent(ref, "hyperlane", ROUTE, USDC, one, other, two, atoms, message),
        5: ev.Received(ref, "hyperlane", ROUTE, USDC, other, one, atoms, message),
        6: ev.LineDrawn(ref, LINE, one, atoms, shares),
        7: ev.LineRepaid(ref, LINE, one, two, atoms, shares),
        8: ev.LineFunded(ref, LINE, one, atoms if k else -atoms, shares),
        9: ev.PricePublished(ref, one, atoms, k, k),
    }
    return made.get(kind, ev.Moved(ref, (USDC, WETH, HYP)[k], one, two, atoms))


@st.composite
def histories(draw: st.DrawFn) -> dict[int, list[ev.Event]]:
    """Per network, events in order; some share a transaction."""
    found: dict[int, list[ev.Event]] = {}
    for chain in (A, B, C):
        found[chain] = [
            event(EventRef(chain, i // 3, hash_of(f"{chain}/{i // 3}"), i, hash_of(f"{chain}-{i // 2}-{i // 3}")), told)
            for i, told in enumerate(draw(st.lists(raw, max_size=6)))
        ]
    return found


def everything(history: dict[int, list[ev.Event]]) -> list[ev.Event]:
    return [e for chain in sorted(history) for e in history[chain]]


def sums(accounts: Iterable[tuple[LedgerAccount, int]]) -> set[int]:
    total: dict[str, int] = {}
    for account, n in accounts:
        total[account.asset] = total.get(account.asset, 0) + n
    return set(total.values()) - {0}


states = st.sampled_from(list(GroupState))


@settings(max_examples=150, deadline=None)
@given(histories(), st.data())
def test_fold__any_history_in_any_states__every_asset_sums_to_zero(history: dict[int, list[ev.Event]], data: st.DataObject) -> None:
    entries = [(g, data.draw(states)) for g in post(everything(history), BOOK)]
    balances = fold(entries)
    assert not sums((a, b.posted) for a, b in balances.accounts.items())
    assert not sums((a, b.pending) for a, b in balances.accounts.items())
    live = [g for g, s in entries if s is GroupState.PENDING]
    for view in (View.FINALISED, View.HEAD, View.PROJECTED):
        assert not sums(view_balances(balances.posted(), live, (), view).items())


@settings(max_examples=150, deadline=None)
@given(histories(), st.randoms(use_true_random=False))
def test_post__any_interleaving_of_networks__same_groups(history: dict[int, list[ev.Event]], random: object) -> None:
    queues = {c: list(events) for c, events in history.items() if events}
    mixed = []
    while queues:
        chain = random.choice(sorted(queues))  # type: ignore[attr-defined] # hypothesis' seeded Random
        mixed.append(queues[chain].pop(0))
        if not queues[chain]:
            del queues[chain]
    assert post(mixed, BOOK) == post(everything(history), BOOK)
    apart = [g for events in history.values() for g in post(events, BOOK)]
    final = GroupState.POSTED
    assert fold([(g, final) for g in apart]).accounts == fold([(g, final) for g in post(mixed, BOOK)]).accounts


@settings(max_examples=100, deadline=None)
@given(histories(), st.data())
def test_fold__replay__changes_nothing(history: dict[int, list[ev.Event]], data: st.DataObject) -> None:
    entries = [(g, data.draw(states)) for g in post(everything(history), BOOK)]
    again = [(g, s) for g, s in zip(post(everything(history), BOOK), (s for _, s in entries), strict=True)]
    assert fold([*entries, *again]) == fold(entries)


@settings(max_examples=100, deadline=None)
@given(histories())
def test_apply__void_of_pending__restores_every_balance(history: dict[int, list[ev.Event]]) -> None:
    balances = Balances()
    for group in post(everything(history), BOOK):
        before = {a: (b.posted, b.pending) for a, b in balances.accounts.items() if b.posted or b.pending}
        pending = apply(balances, group, GroupState.PENDING)
        voided = apply(pending, group, GroupState.VOIDED)
        assert {a: (b.posted, b.pending) for a, b in voided.accounts.items() if b.posted or b.pending} == before
        posted = apply(pending, group, GroupState.POSTED)
        assert {a: b.total for a, b in posted.accounts.items()} == {a: b.total for a, b in pending.accounts.items()}
        assert all(posted.of(a).pending == balances.of(a).pending for a in posted.accounts)
        balances = posted


@settings(max_examples=100, deadline=None)
@given(histories())
def test_post__keys_and_legs__unique(history: dict[int, list[ev.Event]]) -> None:
    groups = post(everything(history), BOOK)
    assert len({g.key for g in groups}) == len(groups)
    for group in groups:
        places = [(t.log_index, t.leg) for t in group.transfers]
        assert places == sorted(set(places))


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 10**18), st.permutations(["send", "deliver"]))
def test_post__bridge__client_total_never_changes_once_both_are_in(size: int, order: list[str]) -> None:
    def ref(chain: int) -> EventRef:
        return EventRef(ChainId(chain), 1, hash_of(f"{chain}"), 0, hash_of(f"t{chain}"))

    sent = ev.Sent(ref(C), "hyperlane", ROUTE, USDC, ALICE, A, ALICE, size, "m")
    received = ev.Received(ref(A), "hyperlane", ROUTE, HYP, C, ALICE, size, "m")
    groups = [post([sent if what == "send" else received], BOOK)[0] for what in order]
    balances = fold([(g, GroupState.PENDING) for g in groups])
    assert all(b.total == 0 for a, b in balances.accounts.items() if a.kind is Kind.IN_TRANSIT)


OWN = [LedgerAccount("alice", 1, place, kind, asset) for place, kind, asset in (
    ("wallet", Kind.POSITION, "1:usdc"), ("aave_v3", Kind.POSITION, "1:aweth"), ("aave_v3", Kind.DEBT, "1:dusdc"),
    ("credit_line", Kind.FINANCING, "1:line"))]  # fmt: skip


@st.composite
def groups(draw: st.DrawFn, origin: Origin) -> list[Group]:
    found = []
    for i in range(draw(st.integers(0, 4))):
        legs = []
        for j, account in enumerate(OWN):
            n = draw(st.sampled_from([0, 0, 5, -5, 3]))
            outside = LedgerAccount("", 1, "outside", Kind.EXTERNAL, account.asset)
            if n:
                legs.append(Transfer(j, 0, account if n > 0 else outside, outside if n > 0 else account, abs(n), "x"))
        if legs:
            found.append(Group(f"{origin.value}:{i}", origin, 1, 1, "", "", 1, tuple(legs)))
    return found


@settings(max_examples=200, deadline=None)
@given(groups(Origin.CHAIN), groups(Origin.TICKET))
def test_views__optimistic_never_below_head_less_mixed__cautious_never_gains(pending: list[Group], tickets: list[Group]) -> None:
    posted = dict.fromkeys(OWN, 100)
    optimistic = view_balances(posted, pending, tickets, View.OPTIMISTIC)
    head = view_balances(posted, pending, tickets, View.HEAD)
    assert all(optimistic[a] >= head[a] for a in OWN)
    final_less, head_less = cautious_balances(posted, pending, tickets)
    for group in tickets:
        assert effect(group, "alice") is not Effect.NONE
    only_gifts = [g for g in tickets if effect(g, "alice") is Effect.GIVES]
    assert cautious_balances(posted, pending, only_gifts)[1] == head
    one_by_one = dict(posted)
    for group in tickets:
        one_by_one = cautious_balances(one_by_one, (), [group])[0]
    assert one_by_one == final_less
    for first, second in pairwise([final_less, head_less]):
        assert set(first) >= set(OWN) and all(a.kind in OWNED for a in second if a.client)
