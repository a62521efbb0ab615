"""Registration is an explicit tuple: every file of a plug-in folder is in it."""

from __future__ import annotations

import importlib
import tomllib
from types import ModuleType

import pytest

from aggregator.version import VERSION
from tests.architecture import source

FOLDERS = [
    ("chains.protocols", "PROTOCOLS"),
    ("aggregator.margin.models", "MODELS"),
    ("aggregator.plan.strategies", "STRATEGIES"),
    ("aggregator.api.routes", "ROUTES"),
]


def names(members: object) -> set[str]:
    """Module names of what a registration tuple holds: modules themselves, or functions and objects defined in them."""
    found = set()
    for member in members if isinstance(members, tuple) else ():
        found.add(member.__name__ if isinstance(member, ModuleType) else getattr(member, "__module__", type(member).__module__))
    return found


@pytest.mark.parametrize(("package", "attribute"), FOLDERS)
def test_registration__every_file__is_registered(package: str, attribute: str) -> None:
    folder = source.ROOT / package.replace(".", "/")
    files = {f"{package}.{p.stem}" for p in folder.glob("*.py") if p.stem != "__init__" and not p.stem.startswith("_")}
    registered = names(getattr(importlib.import_module(package), attribute))
    assert files <= registered, f"add to {attribute}: {sorted(files - registered)}"


def test_version__project_file_and_code__are_equal() -> None:
    told = tomllib.loads((source.ROOT / "pyproject.toml").read_text())
    assert told["project"]["version"] == VERSION
