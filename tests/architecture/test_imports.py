"""The import table of the architecture, as a test that blocks."""

from __future__ import annotations

import sys

import pytest

from tests.architecture import source

ROW = ("units", "ledger", "market", "portfolio", "forecast", "margin", "plan", "governance")
SHELL = ("store", "daemons", "tasks", "api", "monitor", "local", "cli")
FREE = ("errors", "clock", "settings", "bootstrap", "__main__")
PURE_CHAINS = (
    "chains.types",
    "chains.events",
    "chains.actions",
    "chains.errors",
    "chains.abi",
    "chains.protocols",
    "chains.networks",
    "chains.contracts",
)
PURE_LIBRARIES = {"numpy", "numba", "scipy", "pydantic", "eth_abi", "eth_hash", "eth_utils"}
APART = {"daemons": ("tasks", "api"), "tasks": ("daemons", "api"), "api": ("daemons", "tasks")}


def room(module: str) -> str:
    return module.split(".")[1] if module.count(".") else ""


@pytest.mark.parametrize("path", source.files(), ids=lambda p: source.module_of(p))
def test_imports__every_file__follows_the_table(path: source.Path) -> None:
    module = source.module_of(path)
    names = source.imports(path)
    if source.under(module, "chains"):
        assert not [n for n in names if source.under(n, "aggregator")], "chains does not know the broker"
        return
    here = room(module)
    for name in names:
        if not source.under(name, "aggregator") or not room(name):
            continue
        there = room(name)
        if here in ROW and there in ROW:
            assert ROW.index(there) <= ROW.index(here), f"{module} imports rightwards: {name}"
        if here in ROW:
            assert there not in SHELL, f"{module} is pure and imports shell: {name}"
        assert there not in APART.get(here, ()), f"{module}: daemons, tasks and api never import each other: {name}"


@pytest.mark.parametrize("path", [p for p in source.files() if room(source.module_of(p)) in ROW], ids=lambda p: source.module_of(p))
def test_imports__pure_rooms__touch_no_io(path: source.Path) -> None:
    for name in source.imports(path):
        top = name.split(".")[0]
        if top == "aggregator":
            continue
        if top == "chains":
            assert source.under(name, *PURE_CHAINS) or name == "chains", f"{path}: not a pure module of chains: {name}"
            continue
        assert top in PURE_LIBRARIES or top in sys.stdlib_module_names, f"{path}: a pure room may not import {name}"
        assert top not in {"socket", "asyncio", "subprocess", "os", "time", "random", "threading"}, f"{path}: {name} is I/O or time"


def test_imports__bootstrap__standard_library_only() -> None:
    for name in (
        "aggregator/__main__.py",
        "aggregator/bootstrap.py",
        "aggregator/cli/__init__.py",
        "aggregator/cli/parser.py",
        "aggregator/version.py",
        "aggregator/errors.py",
        "aggregator/settings.py",
        "chains/devnet/artifacts.py",
    ):
        for found in source.imports(source.ROOT / name):
            top = found.split(".")[0]
            assert top in sys.stdlib_module_names or top in {"aggregator", "chains"}, f"{name} imports {found}"
