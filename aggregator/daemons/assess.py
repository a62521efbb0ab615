"""The assess daemon: hops 4 to 6. Woken by the event log and by a timer, it nets, assesses and plans every client, and saves.

One leased process per deployment; a round is: load the world in one snapshot, pure calls, save in one transaction that proves the
lease. Nothing is kept between rounds but what may be lost: what was last saved, to tell news from repetition.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from aggregator import clock
from aggregator.daemons.outside import Outside
from aggregator.daemons.views import Surroundings, assessed, situation_of
from aggregator.errors import Broken, LeaseHeld, Retryable
from aggregator.margin.parameters import Parameters
from aggregator.margin.report import MarginReport
from aggregator.plan.limits import Limits
from aggregator.plan.planner import plan
from aggregator.plan.steps import Plan, Refusal
from aggregator.plan.strategies import close_out
from aggregator.portfolio.portfolio import View
from aggregator.settings import Settings
from aggregator.store import event_log, leases
from aggregator.store.actions import Decision, save_assessment
from aggregator.store.db import Store
from aggregator.store.event_log import Listener, LoggedEvent
from aggregator.store.leases import Lease
from aggregator.store.needs import load_needs
from aggregator.store.world import ClientState, World, load_world
from chains.networks.network import FOLDER, Network, load_many
from chains.rpc import Rpc
from chains.types import ChainId

LOG = logging.getLogger(__name__)
LEASE, LEASE_S, RENEW_S = "assess", 4.0, 1.0
TIMER_S, BLOCKS_S, RETRY_S = 1.0, 0.25, 0.5
OWN_KINDS = frozenset({"margin.assessed", "action.planned", "action.signed", "action.dispatched"})
QUIET_KINDS = frozenset({"block.adopted", "chain.finalised"})
PRICE = "price.published"
MATERIAL_USD, MATERIAL_SHARE = Decimal(1), Decimal("0.0001")
Ring = Callable[[int, str], None]


async def run(settings: Settings, stop: asyncio.Event, ring: Ring | None = None) -> None:
    """Assess until `stop`. `ring` may tell dispatch workers of a new action at once; workers find it without, too.

    Raises ConfigInvalid for a wrong setting or network file. Trouble that may pass is waited out.
    """
    store = await asyncio.to_thread(Store.connect, settings.database_url, settings.deployment)
    folder = Path(settings.networks_folder) if settings.networks_folder else FOLDER
    networks = load_many(settings.networks, folder)
    rpcs = {int(c): Rpc(n.chain_id, settings.rpc_urls(c, n.rpc_urls), timeout_s=5.0) for c, n in networks.items()}
    outside = Outside({int(c): n for c, n in networks.items()}, rpcs)
    asking = asyncio.create_task(outside.run())
    assessor = Assessor(store, networks, outside, planner=settings.planner, ring=ring, report_ms=settings.report_ms)
    try:
        while not stop.is_set():
            try:
                await _leased(store, assessor, stop)
            except LeaseHeld as error:
                LOG.info("waiting for the lease: %s", error)
                await _pause(stop, 1.0)
            except Retryable as error:
                LOG.warning("assess waits: %s", error)
                await _pause(stop, RETRY_S)
    finally:
        asking.cancel()
        await asyncio.gather(asking, *(rpc.close() for rpc in rpcs.values()), return_exceptions=True)
        store.close()


async def _leased(store: Store, assessor: Assessor, stop: asyncio.Event) -> None:
    """Rounds under one lease, given back at the end."""
    holder = f"{socket.gethostname()}:{os.getpid()}:{os.urandom(3).hex()}"
    lease = await asyncio.to_thread(leases.acquire, store, LEASE, holder, LEASE_S)
    LOG.info("assessing with epoch %s", lease.epoch)
    listener, renewed = Listener(store), clock.ticks_ms()
    try:
        while not stop.is_set():
            if clock.ticks_ms() - renewed > RENEW_S * 1000:
                await asyncio.to_thread(leases.renew, store, lease, LEASE_S)
                renewed = clock.ticks_ms()
            await asyncio.to_thread(assessor.turn, lease)
            await asyncio.to_thread(listener.wait, assessor.patience_s())
    finally:
        listener.close()
        await asyncio.to_thread(leases.release, store, lease)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return


@dataclass
class Memory:
    """What was last saved of one client, to tell news from repetition."""

    report: MarginReport | None = None
    saved_ms: float = 0.0
    refusals: frozenset[str] = frozenset()


@dataclass
class Assessor:
    """One process's rounds. `turn` looks whether a round is due and makes it."""

    store: Store
    networks: Mapping[ChainId, Network]
    outside: Outside
    planner: bool = True
    ring: Ring | None = None
    report_ms: int = 5000
    parameters: Parameters = field(default_factory=Parameters)
    limits: Limits = field(default_factory=Limits)
    seq: int = 0
    price_seen_at: datetime | None = None
    round_ms: float = 0.0
    started_ms: float = -1e12
    memory: dict[str, Memory] = field(default_factory=dict)

    def patience_s(self) -> float:
        """How long to wait for news: blocks without news are looked at together, everything at least once a second."""
        return max(0.0, min(TIMER_S, BLOCKS_S) - (clock.ticks_ms() - self.started_ms) / 1000)

    def turn(self, lease: Lease) -> bool:
        """A round if something happened that may change a decision, or time is up. Returns whether there was one."""
        news = event_log.after(self.store, self.seq, limit=1000)
        waited = (clock.ticks_ms() - self.started_ms) / 1000
        kinds = {e.kind for e in news} - OWN_KINDS
        if not (kinds - QUIET_KINDS) and not (kinds and waited >= BLOCKS_S) and waited < TIMER_S:
            if news and not kinds:
                self.seq = news[-1].seq
            return False
        self._note_prices(news)
        self.round(lease)
        return True

    def round(self, lease: Lease) -> tuple[tuple[str, int], ...]:
        """Load, assess, plan, save; returns new actions as (id, chain id). Raises Retryable, LeaseHeld."""
        self.started_ms = clock.ticks_ms()
        world = load_world(self.store, self.networks)
        needs = load_needs(self.store)
        self.outside.watch = _safes(world)
        around = Surroundings(self.networks, self.parameters, self.limits, needs, dict(self.outside.fees), self._halted(world))
        drawn = dict(needs.drawn)
        decisions = [d for client in world.clients.values() if (d := self._client(world, client, around, drawn)) is not None]
        made = save_assessment(self.store, lease, decisions, world.market, self.parameters, self.price_seen_at) if decisions else ()
        self.seq = world.seq
        self._remember(decisions)
        self._ring(made)
        self.round_ms = clock.ticks_ms() - self.started_ms
        return made

    def _client(
        self, world: World, client: ClientState, around: Surroundings, drawn: dict[tuple[int, str], int]
    ) -> Decision | None:
        """The client's decision; None when there is nothing new to save. What it draws is no longer there for the next client.

        One broken account does not stop the others.
        """
        if client.state == "closed" or not client.safes or not world.cut_head.blocks:
            return None
        try:
            lines = self.outside.line_states(client.places, drawn)
            situation = situation_of(world, client, around, lines)
            found = plan(situation) if self.planner else Plan(client.client)
        except Broken as error:
            LOG.error("client %s is not assessed: %s", client.client, error)
            return None
        except Exception:  # the daemon's boundary: a fault that one account shows must not leave the others unwatched
            LOG.exception("client %s is not assessed", client.client)
            return None
        for step in found.steps:
            if step.draw_atoms and step.kind != close_out.KIND:
                drawn[step.chain_id, step.safe] = drawn.get((step.chain_id, step.safe), 0) + step.draw_atoms
        known = self.memory.setdefault(client.client, Memory())
        shown = situation.books[View.HEAD].report
        changed = known.report is None or material(known.report, shown) or bool(found.steps)
        if not changed and clock.ticks_ms() - known.saved_ms > self.report_ms:
            changed = True
        news = tuple(r for r in found.refusals if _topic(r) not in known.refusals)
        if not changed and not news:
            known.refusals = frozenset(_topic(r) for r in found.refusals)
            return None
        counted = frozenset(g.key for g in (*client.action_groups, *client.ticket_groups))
        return Decision(client.client, assessed(situation) if changed else None, found, counted, news)

    def _remember(self, decisions: list[Decision]) -> None:
        """Only after the save: what was not saved is news again."""
        for decision in decisions:
            known = self.memory[decision.client]
            known.refusals = frozenset(_topic(r) for r in decision.plan.refusals)
            if decision.assessed is not None:
                known.report, known.saved_ms = decision.assessed.head, clock.ticks_ms()

    def _ring(self, made: tuple[tuple[str, int], ...]) -> None:
        for name, chain_id in made:
            LOG.info("planned %s on network %s", name, chain_id)
            if self.ring is not None:
                try:
                    self.ring(chain_id, name)
                except OSError as error:
                    LOG.warning("the doorbell of %s is out of order: %s; workers find it by themselves", name, error)

    def _note_prices(self, news: list[LoggedEvent]) -> None:
        """When the oldest price of this batch was adopted: the start of the way from price to plan."""
        seen = [e.created_at for e in news if e.kind == PRICE]
        if seen:
            self.price_seen_at = min(seen)

    def _halted(self, world: World) -> frozenset[int]:
        """Networks that are stopped, or of which the index daemon has shown no sign of life within their lag limit."""
        now = clock.now()
        return frozenset(
            int(c) for c, network in self.networks.items()
            if (cursor := world.cursors.get(c)) is None or cursor.state != "following"
            or (now - cursor.seen_at).total_seconds() * 1000 > network.finality.lag_limit_ms
        )  # fmt: skip


def material(before: MarginReport, now: MarginReport) -> bool:
    """Whether a report is worth keeping: another state, other failures, or a number that moved by more than interest does."""
    if before.state is not now.state or {f.name for f in before.failures} != {f.name for f in now.failures}:
        return True
    pairs = [
        (getattr(before.risk, name), getattr(now.risk, name))
        for name in ("net_liquidation_value", "initial_margin", "maintenance_margin")
    ]
    return any(abs(a - b) > max(MATERIAL_USD, abs(a) * MATERIAL_SHARE) for a, b in pairs)


def _topic(refusal: Refusal) -> str:
    """A refusal without its numbers, so that the same refusal with the next price is no news."""
    return refusal.need + "|" + "".join(c for c in refusal.why if not c.isdigit())


def _safes(world: World) -> dict[int, frozenset[str]]:
    found: dict[int, set[str]] = {}
    for client in world.clients.values():
        for chain_id, safe in client.places:
            found.setdefault(chain_id, set()).add(safe)
    return {chain_id: frozenset(safes) for chain_id, safes in found.items()}

