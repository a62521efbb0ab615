"""The risk models, one file each, registered here and nowhere else. Pure.

A model's name is the name of its file; its one function is `assess`.
"""

from __future__ import annotations

from aggregator.errors import ConfigInvalid
from aggregator.margin.models import haircut, spot_grid
from aggregator.margin.outcome import ModelFunction

MODELS: tuple[ModelFunction, ...] = (spot_grid.assess, haircut.assess)


def name_of(model: ModelFunction) -> str:
    """Name of a registered model."""
    return model.__module__.rpartition(".")[2]


def model(name: str) -> ModelFunction:
    """Registered model by name. Raises ConfigInvalid naming those that exist."""
    for found in MODELS:
        if name_of(found) == name:
            return found
    raise ConfigInvalid(f"parameters.model = {name!r} is not a model; use one of {[name_of(m) for m in MODELS]}")
