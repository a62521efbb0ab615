"""Balances: the fold of groups, and the views of what is still uncertain. Pure.

A balance is debits minus credits. Laws: per asset all balances sum to zero; folding a group twice changes nothing; voiding a
pending group restores every balance exactly; posting moves pending to posted.

Views of one client's quantities (a group counts as a whole or not at all):
- FINALISED: posted groups. HEAD: and all pending groups of networks. PROJECTED: and our own live actions, as if done.
- OPTIMISTIC: posted, and every pending group that does not merely take from the client. A group that only takes (its assets fall or
  its debts rise, nothing else) is left out; one that gives and takes (repay, supply, swap, bridge) counts whole.
- cautious is two views, FINALISED and HEAD, each less the reservations that do not merely give (`cautious_balances`); the engine
  reports on both and keeps the worse.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from aggregator.errors import LedgerBroken
from aggregator.ledger.accounts import Kind, LedgerAccount
from aggregator.ledger.transfers import Group, GroupState, Origin

OWNED = frozenset({Kind.POSITION, Kind.IN_TRANSIT, Kind.DEBT, Kind.FINANCING})


class View(StrEnum):
    """How pending groups count. FINALISED: not at all. HEAD: all from networks. CAUTIOUS: the worse of the two, less open tickets
    and reservations. PROJECTED: head, own live steps counted as done. OPTIMISTIC: finalised, plus what helps the client; the
    close-out gate needs a breach here too."""

    FINALISED = "finalised"
    HEAD = "head"
    CAUTIOUS = "cautious"
    PROJECTED = "projected"
    OPTIMISTIC = "optimistic"


class Effect(StrEnum):
    """What a group does to one client's quantities; debts stand negative, so repaying gives."""

    NONE = "none"
    GIVES = "gives"
    TAKES = "takes"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Balance:
    """Signed atoms: of posted groups, and of pending groups of every origin."""

    posted: int = 0
    pending: int = 0

    @property
    def total(self) -> int:
        return self.posted + self.pending


@dataclass(frozen=True, slots=True)
class Balances:
    """Every account's balance, and the groups it was folded from (key -> group, state)."""

    accounts: Mapping[LedgerAccount, Balance] = field(default_factory=dict)
    groups: Mapping[str, tuple[Group, GroupState]] = field(default_factory=dict)

    def of(self, account: LedgerAccount) -> Balance:
        return self.accounts.get(account, Balance())

    def posted(self) -> dict[LedgerAccount, int]:
        """Posted atoms of every account that has any."""
        return {a: b.posted for a, b in self.accounts.items() if b.posted}


def deltas(group: Group) -> dict[LedgerAccount, int]:
    """Net signed atoms per account of one group; accounts that end where they began are left out."""
    found: dict[LedgerAccount, int] = {}
    for t in group.transfers:
        found[t.debit] = found.get(t.debit, 0) + t.atoms
        found[t.credit] = found.get(t.credit, 0) - t.atoms
    return {a: n for a, n in found.items() if n}


def fold(entries: Iterable[tuple[Group, GroupState]]) -> Balances:
    """Balances of all groups in their states. A group given again in a later state moves on; raises as `apply` does."""
    accounts: dict[LedgerAccount, Balance] = {}
    groups: dict[str, tuple[Group, GroupState]] = {}
    for group, state in entries:
        _apply(accounts, groups, group, state)
    return Balances(accounts, groups)


def apply(balances: Balances, group: Group, state: GroupState) -> Balances:
    """Balances after `group` is in `state`. The same again changes nothing.

    Raises LedgerBroken when the key was seen with other content, or when a group would leave a state that is final.
    """
    accounts, groups = dict(balances.accounts), dict(balances.groups)
    _apply(accounts, groups, group, state)
    return Balances(accounts, groups)


def _apply(
    accounts: dict[LedgerAccount, Balance], groups: dict[str, tuple[Group, GroupState]], group: Group, state: GroupState
) -> None:
    known = groups.get(group.key)
    before = None if known is None else known[1]
    if known is not None and known[0] != group:
        raise LedgerBroken(f"group_returned_with_other_content: {group.key}")
    if before is state:
        return
    if before is not None and before is not GroupState.PENDING:
        raise LedgerBroken(f"group_left_final_state: {group.key} is {before.value}, cannot become {state.value}")
    groups[group.key] = (group, state)
    for account, atoms in deltas(group).items():
        old = accounts.get(account, Balance())
        posted = old.posted + (atoms if state is GroupState.POSTED else 0)
        pending = old.pending + (atoms if state is GroupState.PENDING else 0) - (atoms if before is not None else 0)
        accounts[account] = Balance(posted, pending)


def effect(group: Group, client: str) -> Effect:
    """Whether a group gives to or takes from one client, by quantity alone: no price decides what counts."""
    return _effect(n for a, n in deltas(group).items() if a.client == client and a.kind in OWNED)


def _effect(changes: Iterable[int]) -> Effect:
    gives = takes = False
    for n in changes:
        gives, takes = gives or n > 0, takes or n < 0
    if gives and takes:
        return Effect.BOTH
    return Effect.GIVES if gives else Effect.TAKES if takes else Effect.NONE


def view_balances(
    posted: Mapping[LedgerAccount, int],
    pending: Sequence[Group],
    reserved: Sequence[Group],
    view: View,
    at_head: Collection[str] = (),
) -> dict[LedgerAccount, int]:
    """Signed atoms per account in one view.

    posted: of final groups. pending: live groups of networks. reserved: live actions and tickets. at_head: keys of reserved groups
    whose own transaction already stands in `pending` or `posted`; they are not counted a second time.
    In OPTIMISTIC the outside world's accounts are left as posted. Raises ValueError for CAUTIOUS, which is two views.
    """
    if view is View.CAUTIOUS:
        raise ValueError("cautious_is_two_views: call cautious_balances and keep the worse report (margin.engine.cautious)")
    result = dict(posted)
    if view is View.FINALISED:
        return result
    if view is View.OPTIMISTIC:
        _count(result, pending, Effect.TAKES)
        return result
    for group in pending:
        _add(result, deltas(group))
    if view is View.PROJECTED:
        for group in reserved:
            if group.origin is Origin.ACTION and group.key not in at_head:
                _add(result, deltas(group))
    return result


def cautious_balances(
    posted: Mapping[LedgerAccount, int], pending: Sequence[Group], reserved: Sequence[Group], at_head: Collection[str] = ()
) -> tuple[dict[LedgerAccount, int], dict[LedgerAccount, int]]:
    """(finalised, head), both less open tickets and reservations: a reservation that takes counts as done, one that only gives does
    not. `at_head` as in `view_balances`: such a reservation still counts at the finalised cut."""
    final, head = dict(posted), view_balances(posted, pending, (), View.HEAD)
    _count(final, reserved, Effect.GIVES)
    _count(head, [g for g in reserved if g.key not in at_head], Effect.GIVES)
    return final, head


def _count(result: dict[LedgerAccount, int], groups: Iterable[Group], without: Effect) -> None:
    """Adds the clients' legs of every group, but for clients to whom the group does only what `without` says."""
    for group in groups:
        of_client: dict[str, dict[LedgerAccount, int]] = {}
        for account, atoms in deltas(group).items():
            if account.client and account.kind in OWNED:
                of_client.setdefault(account.client, {})[account] = atoms
        for changes in of_client.values():
            if _effect(changes.values()) is not without:
                _add(result, changes)


def _add(result: dict[LedgerAccount, int], changes: Mapping[LedgerAccount, int]) -> None:
    for account, atoms in changes.items():
        result[account] = result.get(account, 0) + atoms
