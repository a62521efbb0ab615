"""From the store's world to one client's situation: the views are netted and assessed. Pure, one call per client and round."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aggregator.ledger.accounts import LedgerAccount
from aggregator.ledger.balances import cautious_balances, view_balances
from aggregator.margin.engine import assess, close_out_gate
from aggregator.margin.parameters import Parameters
from aggregator.margin.report import MarginReport
from aggregator.plan.limits import Limits
from aggregator.plan.mandate import Mandate, MandateInvalid, parse
from aggregator.plan.situation import Book, LineState, Situation
from aggregator.portfolio.interest import InterestState
from aggregator.portfolio.netting import net
from aggregator.portfolio.portfolio import AsOf, Portfolio, View
from aggregator.store.needs import Needs
from aggregator.store.reports import Assessed
from aggregator.store.world import ClientState, World
from chains.networks.network import Network
from chains.types import ChainId, Cut

NOTHING_ALLOWED = Mandate((), (), (), 0, False)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is the same for all clients of a round, beside the world. halted: networks that are stopped or were not seen lately."""

    networks: Mapping[ChainId, Network]
    parameters: Parameters
    limits: Limits
    needs: Needs
    bridge_fees: Mapping[tuple[int, int], int]
    halted: frozenset[int]


def situation_of(world: World, client: ClientState, around: Surroundings, lines: Mapping[int, LineState]) -> Situation:
    """The client's situation at the world's cuts. Raises LedgerBroken when its balances cannot be netted."""
    as_of = AsOf(world.cut_head, world.market.id, around.parameters.id)
    reserved = (*client.action_groups, *client.ticket_groups)
    maker = _Maker(world, client, around)
    books = {
        view: maker.book(view, view_balances(client.posted, client.chain_groups, reserved, view), world.cut_head, world.interest)
        for view in (View.HEAD, View.PROJECTED, View.OPTIMISTIC)
    }
    final, head = cautious_balances(client.posted, client.chain_groups, reserved)
    cautious = (
        maker.book(View.FINALISED, final, _complete(world.cut_final, world.cut_head), {**world.interest, **world.interest_final}),
        maker.book(View.HEAD, head, world.cut_head, world.interest),
    )
    return Situation(
        client=client.client, client_state=client.state, mandate=mandate_of(client), as_of=as_of, books=books, cautious=cautious,
        close_out=close_out_gate(books[View.HEAD].report, books[View.OPTIMISTIC].report), market=world.market,
        parameters=around.parameters, networks={int(c): n for c, n in around.networks.items()}, safes=client.places,
        interest=world.interest, finalised=client.posted, quarantined=world.quarantined, custody_intact=client.custody_intact,
        lines=lines, live_needs=around.needs.live, sequences=around.needs.sequences, failures=around.needs.failures,
        bridge_fees=around.bridge_fees, bridge_delay_s=_delays(around.networks), limits=around.limits, halted=around.halted,
    )  # fmt: skip


def assessed(situation: Situation) -> Assessed:
    """The reports of a situation as the store keeps them; the head view is the one shown."""
    views: dict[str, tuple[Portfolio, MarginReport]] = {
        view.value: (book.portfolio, book.report) for view, book in situation.books.items()
    }
    for name, book in zip(("cautious_final", "cautious_head"), situation.cautious, strict=True):
        views[name] = (book.portfolio, book.report)
    return Assessed(situation.client, views)


def mandate_of(client: ClientState) -> Mandate:
    """The client's mandate; what is not signed yet, or cannot be read, allows nothing."""
    try:
        return parse(client.mandate) if client.mandate_version else NOTHING_ALLOWED
    except MandateInvalid:
        return NOTHING_ALLOWED


@dataclass(frozen=True, slots=True)
class _Maker:
    world: World
    client: ClientState
    around: Surroundings

    def book(
        self, view: View, balances: Mapping[LedgerAccount, int], cut: Cut, interest: Mapping[str, InterestState]
    ) -> Book:
        networks: dict[int, Network] = {int(c): n for c, n in self.around.networks.items()}
        as_of = AsOf(cut, self.world.market.id, self.around.parameters.id)
        portfolio = net(
            self.client.client, view, balances, interest, networks, as_of, self.client.places, self.world.quarantined,
            self.client.custody_intact, self.client.posted,
        )  # fmt: skip
        return Book(balances, portfolio, assess(portfolio, self.world.market, self.around.parameters))


def _complete(cut: Cut, other: Cut) -> Cut:
    """`cut` with the other's block for a network that has none yet."""
    return Cut({**other.blocks, **cut.blocks})


def _delays(networks: Mapping[ChainId, Network]) -> dict[str, int]:
    """How long a bridge message usually takes: source finality, and a few blocks at both ends."""
    slowest = max((n.mpor.finality_ms + 4 * n.block_time_ms for n in networks.values() if n.protocols.hyperlane), default=0)
    return {"hyperlane": -(-slowest // 1000)} if slowest else {}
