"""Health: how every network is followed and which daemons run. Public, and without anything about clients."""

from __future__ import annotations

from aggregator.api import schemas as sc
from aggregator.api.operation import Call, Nothing, Operation
from aggregator.store import views
from aggregator.store.view_rows import NetworkRow
from aggregator.version import VERSION

SILENT_S = 15.0


async def health(call: Call[Nothing, Nothing, Nothing]) -> sc.HealthBody:
    """Networks with head, finality and lag; daemons by their leases."""

    services = call.services
    rows, held, seq = await services.read(views.health, services.store)
    followed = {row.chain_id: row for row in rows}
    networks = [network(chain_id, known.title, followed.get(chain_id), known.finality.lag_limit_ms / 1000)
                for chain_id, known in services.networks.items()]  # fmt: skip
    daemons = [
        sc.DaemonHealth(name=lease.name, holder=lease.holder, epoch=lease.epoch, state="running" if lease.left_s > 0 else "silent",
                        lease_ends_in_ms=int(lease.left_s * 1000))
        for lease in held
    ]  # fmt: skip
    good = all(n.state == "following" for n in networks) and all(d.state == "running" for d in daemons)
    return sc.HealthBody(state="ok" if good else "degraded", deployment=services.store.deployment, version=VERSION,
                         networks=networks, daemons=daemons, last_seq=seq)  # fmt: skip


def network(chain_id: int, title: str, row: NetworkRow | None, limit_s: float) -> sc.NetworkHealth:
    """One network's health. limit_s: from what silence on it counts as silent."""
    if row is None:
        return sc.NetworkHealth(chain_id=chain_id, name=title, head=None, head_hash=None, head_timestamp=None, finalised=None,
                                finality_lag_s=None, lag_ms=None, state="never_followed",
                                reason="no index daemon has begun")  # fmt: skip
    silent = row.seen_s > max(limit_s, SILENT_S)
    reason = row.reason or (f"nothing new for {row.seen_s:.0f} s" if silent else "")
    return sc.NetworkHealth(
        chain_id=chain_id, name=title, head=row.head_number, head_hash=row.head_hash, head_timestamp=row.head_timestamp,
        finalised=row.finalised_number, finality_lag_s=max(0, row.head_timestamp - row.finalised_timestamp),
        lag_ms=max(0, int(row.seen_s * 1000)),
        state="stopped" if row.state == "stopped" else "silent" if silent else "following", reason=reason,
    )  # fmt: skip


OPERATIONS = (
    Operation("GET", "/v1/health", "getHealth", "Networks and daemons", health, sc.HealthBody, scope=None, tags=("health",)),
)
