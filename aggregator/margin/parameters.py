"""The margin parameters of the first models: typed, versioned by content. Pure."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field


def _ranges() -> dict[str, tuple[float, float]]:
    return {"ETH": (0.30, 0.30), "USDC": (0.005, 0.002)}


def _haircuts() -> dict[str, tuple[float, float]]:
    return {"ETH": (0.80, 0.825), "USDC": (0.77, 0.80)}


@dataclass(frozen=True, slots=True)
class Parameters:
    """Fractions of 1 unless named otherwise.

    range_down_up: per canonical asset, initial-margin move down and up (IM); maintenance uses `maintenance_share` of it.
    steps: grid points per side as fractions of the range. theta: close-out target = MM + theta (IM - MM).
    liquidity: price concession by asset; wrapper: by bridge name; finality_pending: share of a pending credit withheld
    (0: counted in full); oracle_band: extra per stale feed; transit: expected loss share of quantities in a bridge.
    stables: assets shocked against the dollar one at a time, all others move together. haircut_ltv_threshold: model `haircut`, by
    canonical asset, where the holding's venue states no terms of its own.
    warning/target health factors drive top-ups; act_bound_bps is the worst swap price accepted in a close-out.
    """

    range_down_up: dict[str, tuple[float, float]] = field(default_factory=_ranges)
    maintenance_share: float = 0.5
    steps: tuple[float, ...] = (1 / 3, 2 / 3, 1.0)
    theta: float = 0.25
    liquidity: dict[str, float] = field(default_factory=lambda: {"ETH": 0.005, "USDC": 0.0005})
    wrapper: dict[str, float] = field(default_factory=lambda: {"hyperlane": 0.01})
    transit: dict[str, float] = field(default_factory=lambda: {"hyperlane": 0.0006})
    oracle_band: dict[str, float] = field(default_factory=lambda: {"ETH": 0.062, "USDC": 0.005})
    warning_health_factor: float = 1.08
    target_health_factor: float = 1.20
    act_bound_bps: int = 100
    model: str = "spot_grid"
    finality_pending: float = 0.0
    stables: tuple[str, ...] = ("USDC",)
    haircut_ltv_threshold: dict[str, tuple[float, float]] = field(default_factory=_haircuts)

    @property
    def id(self) -> str:
        """Hash of the content: the parameter set's version."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()
