"""One client's books for a ticket decision, made from the store's one-moment world."""

from __future__ import annotations

from aggregator.api.problems import Problem
from aggregator.api.services import Services
from aggregator.margin.parameters import Parameters
from aggregator.plan.tickets import Standing
from aggregator.portfolio.portfolio import AsOf
from aggregator.store.world import World, load_world
from chains.types import Cut


async def standing_of(services: Services, client: str) -> Standing:
    """The client as of now. Raises Problem `not-found` for an unknown client, Retryable when the database is away."""
    return of_world(await services.read(load_world, services.store, services.networks), services, client)


def of_world(world: World, services: Services, client: str) -> Standing:
    """The client as of that moment. A reservation whose transaction is on the network has left the world already."""
    state = world.clients.get(client)
    if state is None:
        raise Problem("not-found", f"no account {client!r}; GET /v1/accounts lists those of this key")
    parameters = Parameters()
    finalised = Cut({**world.cut_head.blocks, **world.cut_final.blocks})
    return Standing(
        client=client, client_state=state.state, as_of=AsOf(world.cut_head, world.market.id, parameters.id),
        as_of_final=AsOf(finalised, world.market.id, parameters.id), posted=state.posted, pending=state.chain_groups,
        reserved=(*state.action_groups, *state.ticket_groups), at_head=frozenset(), interest=world.interest,
        interest_final={**world.interest, **world.interest_final}, networks={int(c): n for c, n in services.networks.items()},
        safes=state.places, quarantined=world.quarantined, custody_intact=state.custody_intact, market=world.market,
        parameters=parameters,
    )  # fmt: skip
