"""A small book of accounts for API and browser tests: written through the store's own tables, assessed by the real engine.

Four clients (one insolvent, one to close out, one called, one sound) over three networks, some actions, events, a cut per network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import delete, insert
from sqlalchemy.dialects.postgresql import insert as upsert

from aggregator.margin.engine import assess
from aggregator.margin.parameters import Parameters
from aggregator.market.prices import Price, Snapshot
from aggregator.portfolio.netting import terms_of
from aggregator.portfolio.portfolio import AsOf, Holding, HoldingState, Portfolio, Side, View
from aggregator.store import clients, event_log, reports
from aggregator.store.db import Store
from aggregator.store.event_log import NewEvent
from aggregator.store.tables import actions, attempts, blocks, cursors, lanes, safes, slots
from chains.networks.network import Network, load_many
from chains.types import BlockRef, ChainId, Cut, Hash

A, B, C = ChainId(71001), ChainId(71002), ChainId(71003)
T0 = 1_795_000_000
TITLES = {"marlow": "Marlow Capital", "tern": "Tern Street Partners", "kestrel": "Kestrel Basis", "salt": "Saltmarsh Trading"}


def digest(*parts: object) -> str:
    """0x hash of anything, for made-up hashes."""
    return "0x" + hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()


def safe_of(client: str) -> str:
    """The same Safe address on every network."""
    return "0x" + hashlib.sha256(f"safe|{client}".encode()).hexdigest()[:40]


def networks() -> dict[ChainId, Network]:
    """The three local networks."""
    return load_many((A, B, C))


def block(chain_id: ChainId, number: int) -> BlockRef:
    """A made-up block; its time follows from its number."""
    return BlockRef(chain_id, number, Hash(digest(chain_id, number)), Hash(digest(chain_id, number - 1)), T0 + number // 2)


@dataclass
class Book:
    """Writes the book; `height` and `eth` move with the test."""

    store: Store
    networks: Mapping[ChainId, Network] = field(default_factory=networks)
    height: int = 5_000
    eth: Decimal = Decimal(2000)

    def cut(self) -> Cut:
        return Cut({c: block(c, self.height + 1000 * i) for i, c in enumerate(self.networks)})

    def market(self) -> Snapshot:
        """Both feeds on every network."""
        made = {}
        for chain_id, at in self.cut().blocks.items():
            for feed, asset, value in (("eth_usd", "ETH", self.eth), ("usdc_usd", "USDC", Decimal(1))):
                told = (value, at.timestamp - 3, at.timestamp, 600, at.number)
                made[(int(chain_id), feed)] = Price(int(chain_id), feed, asset, *told)
        return Snapshot(made)

    def open(self, names: Sequence[str] = tuple(TITLES)) -> None:
        """Clients with a Safe on each network."""
        for name in names:
            clients.open_client(self.store, "default", name, TITLES[name], "test")
            with self.store.transaction() as conn:
                for chain_id in self.networks:
                    conn.execute(insert(safes).values(deployment=self.store.deployment, chain_id=chain_id, address=safe_of(name),
                                                      client=name, linked_block=1, custody_intact=True, custody_reason="",
                                                      in_book=True, custody_due=False))  # fmt: skip

    def follow(self, stopped: str = "") -> None:
        """Moves every network to its head; `stopped`: network C stands still for that reason."""
        with self.store.transaction() as conn:
            for chain_id, head in self.cut().blocks.items():
                final = block(chain_id, head.number - 12)
                reason = stopped if chain_id == C else ""
                for b in (head, final):
                    conn.execute(upsert(blocks).values(
                        deployment=self.store.deployment, chain_id=chain_id, number=b.number, hash=b.hash, digest="",
                        parent_hash=b.parent_hash, timestamp=b.timestamp, incarnation=1).on_conflict_do_nothing())
                conn.execute(delete(cursors).where(cursors.c.deployment == self.store.deployment, cursors.c.chain_id == chain_id))
                conn.execute(insert(cursors).values(
                    deployment=self.store.deployment, chain_id=chain_id, head_number=head.number, head_hash=head.hash,
                    head_timestamp=head.timestamp, finalised_number=final.number, finalised_hash=final.hash,
                    finalised_timestamp=final.timestamp, state="stopped" if reason else "following", state_reason=reason))
            event_log.append(conn, self.store.deployment, [
                NewEvent("block.adopted", int(c), body={"number": str(b.number)}) for c, b in self.cut().blocks.items()])

    def holdings(self, client: str) -> tuple[Holding, ...]:
        """marlow is sound, kestrel called, tern to be closed out, salt insolvent, at 2,000 USD per ETH."""
        weth, usdc = 10**18, 10**6
        sizes = {"marlow": (100, 146_000, 78_000, 18_400), "kestrel": (60, 98_500, 0, 0), "tern": (310, 470_000, 1_200, 71_000),
                 "salt": (20, 41_300, 0, 0)}
        coins, debt, cash, lent = sizes[client]
        return tuple(h for h in (
            self._venue(client, "weth", coins * weth, Side.ASSET), self._venue(client, "usdc", debt * usdc, Side.DEBT),
            self._cash(cash * usdc, HoldingState.FINAL, C), self._financing(client, lent * usdc),
            self._cash(1_500 * usdc, HoldingState.PENDING, B) if client == "marlow" else None,
            self._transit(25_000 * usdc) if client == "marlow" else None,
        ) if h is not None)  # fmt: skip

    def _venue(self, client: str, name: str, atoms: int, side: Side) -> Holding:
        chain = B if client == "tern" else A
        venue = self.networks[chain].protocols.aave_v3
        assert venue is not None
        reserve = next(r for r in venue.reserves if r.token == name)
        info = self.networks[chain].tokens[name]
        token = reserve.a_token if side is Side.ASSET else reserve.variable_debt_token
        return Holding(info.asset, f"{chain}:{token}", chain, "aave_v3", f"{chain}:aave_v3:{safe_of(client)}", side, atoms,
                       info.decimals, info.feed, info.kind, "", HoldingState.FINAL)  # fmt: skip

    def _cash(self, atoms: int, state: HoldingState, chain: ChainId) -> Holding | None:
        info = self.networks[chain].tokens["usdc"]
        if not atoms:
            return None
        return Holding("USDC", f"{chain}:{info.address}", chain, "wallet", "", Side.ASSET, atoms, 6, info.feed, info.kind, "",
                       state)  # fmt: skip

    def _financing(self, client: str, atoms: int) -> Holding | None:
        chain = B if client == "tern" else A
        own = self.networks[chain].protocols.isthmus
        if not atoms or own is None:
            return None
        return Holding("USDC", f"{chain}:{own.credit_line}", chain, "credit_line", f"{chain}:credit_line:{safe_of(client)}",
                       Side.DEBT, atoms, 6, "usdc_usd", "native", "", HoldingState.FINAL)  # fmt: skip

    def _transit(self, atoms: int) -> Holding:
        return Holding("USDC", "asset:USDC:6", 0, f"hyperlane:{digest('message')}", "", Side.ASSET, atoms, 6, "", "native",
                       "hyperlane", HoldingState.IN_TRANSIT)  # fmt: skip

    def assess(self, names: Sequence[str] = tuple(TITLES)) -> None:
        """A stored report per client, as the assess daemon writes them."""
        market, parameters = self.market(), Parameters()
        as_of = AsOf(self.cut(), market.id, parameters.id)
        made = []
        for name in names:
            places = tuple((int(c), safe_of(name)) for c in self.networks)
            terms = terms_of({int(c): n for c, n in self.networks.items()})
            portfolio = Portfolio(name, View.HEAD, as_of, self.holdings(name), places, terms)
            made.append(reports.Assessed(name, {"head": (portfolio, assess(portfolio, market, parameters))}))
        with self.store.transaction() as conn:
            reports.save_market(conn, self.store.deployment, market, parameters)
            reports.save(conn, self.store.deployment, made)
            event_log.append(conn, self.store.deployment, [
                NewEvent("margin.assessed", client=m.client, subject=m.client,
                         body={"state": m.head.state.value, "net_liquidation_value": f"{m.head.risk.net_liquidation_value:f}"})
                for m in made])

    def step(self, blocks_on: int = 2, eth: str | None = None) -> None:
        """The networks grow and everything is assessed again."""
        self.height += blocks_on
        self.eth = Decimal(eth) if eth else self.eth
        self.follow()
        self.assess()

    def act(self) -> None:
        """A mined top-up with a hash, a planned rebalance, and one that reverted."""
        rows = [("marlow", "top_up", A, "mined", "", 9, "Health factor 1.07 is below 1.08; the credit line repays 18,400 USDC."),
                ("marlow", "rebalance", C, "dispatched", "", 12, "Repays the credit line on Local network A."),
                ("tern", "close_out", B, "reverted", "WrongSequence", 40, "Net liquidation value is below the target.")]
        now = datetime.now(UTC)
        with self.store.transaction() as conn:
            for nonce, (client, kind, chain_id, status, why, ago, reason) in enumerate(rows):
                key = {"deployment": self.store.deployment, "action_id": digest(client, kind)}
                conn.execute(insert(actions).values(
                    **key, client=client, kind=kind, chain_id=chain_id, safe=safe_of(client), need_key=digest("need", client, kind),
                    sequence=1, decision_epoch=digest("epoch"), body={"reason": reason}, deadline=T0 + 4000, as_of_s=T0 + 2500,
                    effect_usd=Decimal("18400.25"), cost_usd=Decimal("3.10"), status=status, status_reason=why, actor="planner",
                    idempotency_key=digest("key", client, kind), planned_at=now - timedelta(seconds=ago)))
                lane = {"deployment": self.store.deployment, "chain_id": chain_id, "sender": safe_of("gas"), "nonce": nonce}
                conn.execute(upsert(lanes).values(**{k: v for k, v in lane.items() if k != "nonce"}).on_conflict_do_nothing())
                state = {"dispatched": "pending", "reverted": "final_revert"}.get(status, "mined")
                conn.execute(insert(slots).values(**lane, action_id=key["action_id"], deadline=T0 + 4000, state=state))
                conn.execute(insert(attempts).values(**lane, number=1, tx_hash=digest("tx", nonce), raw=b"\x02", max_fee=1,
                                                     priority_fee=1, purpose="send", head=5000))
                event_log.append(conn, self.store.deployment, [self._told(client, kind, chain_id, status, key["action_id"])])

    def _told(self, client: str, kind: str, chain_id: int, status: str, action_id: str) -> NewEvent:
        body: dict[str, Any] = {"kind": kind, "reason": "as planned"}
        return NewEvent(f"action.{status}", chain_id, client, action_id, body)

    def write(self) -> None:
        """The whole book."""
        self.open()
        self.follow()
        self.assess()
        self.act()


__all__ = ["A", "B", "Book", "C", "block", "blocks", "digest", "networks", "safe_of"]
