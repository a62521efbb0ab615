"""Settings: the only reader of the environment; frozen; every value knows where it came from.

Order: ISTHMUS_<NAME> in the environment, then the TOML file named by ISTHMUS_CONFIG (default ./isthmus.toml when it exists), then
the settings of a demo that is up on this machine, then the default. Secrets are masked wherever they are shown. Standard library
only, so that --help stays fast.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from aggregator.errors import ConfigInvalid

PREFIX = "ISTHMUS_"


def _setting(default: Any, about: str, *, secret: bool = False) -> Any:
    return field(default=default, metadata={"about": about, "secret": secret})


@dataclass(frozen=True)
class Settings:
    """All settings. Text lists are comma separated in the environment."""

    deployment: str = _setting("devnet", "name of this deployment; part of every key and action id")
    tenant: str = _setting("default", "tenant whose clients this process serves")
    database_url: str = _setting("", "SQLAlchemy URL of PostgreSQL (postgresql+psycopg://...)", secret=True)
    broker_url: str = _setting("", "Celery broker (redis://... or amqp://...)", secret=True)
    networks: tuple[int, ...] = _setting((71001, 71002, 71003), "chain ids to serve, one file each in chains/networks")
    rpc: tuple[str, ...] = _setting((), "endpoints as CHAIN_ID=URL, several per network; empty: those of its file")
    networks_folder: str = _setting("", "folder of network files; empty: the shipped one")
    api_host: str = _setting("127.0.0.1", "address the API listens on")
    api_port: int = _setting(8570, "port of the API; 0 takes a free one")
    poll_ms: int = _setting(100, "how often the index daemon asks for a new head")
    report_ms: int = _setting(5000, "how long an unchanged margin report may stand before a new one is stored")
    reconcile_ms: int = _setting(60000, "how often workers reconcile all holdings and verify a stored report")
    ticketer_keys: tuple[str, ...] = _setting((), "hex keys of the ticket signers of this process", secret=True)
    planner_keys: tuple[str, ...] = _setting((), "hex keys of the planner signers of this process", secret=True)
    gas_key: str = _setting("", "hex key that pays gas for dispatched actions; it has no other power", secret=True)
    planner: bool = _setting(True, "plan and dispatch; false only watches")
    sources: Mapping[str, str] = field(default_factory=dict, compare=False)

    def rpc_urls(self, chain_id: int, fallback: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Endpoints of a network: those set in `rpc`, else those of its file."""
        head = f"{chain_id}="
        return tuple(entry[len(head) :] for entry in self.rpc if entry.startswith(head)) or fallback


def demo_file() -> Path:
    """Where a running demo leaves its settings, so that commands in another terminal find it."""
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "isthmus" / "demo.toml"


def _running_demo() -> tuple[dict[str, Any], str]:
    """Settings of a demo whose process is alive, else nothing."""
    path = demo_file()
    try:
        table = tomllib.loads(path.read_text())
        os.kill(int(table.pop("pid")), 0)
    except (OSError, KeyError, ValueError):
        return {}, ""
    return table, f"running demo ({path})"


def _parsed(name: str, kind: str, raw: Any, source: str) -> Any:
    try:
        if kind.startswith("tuple"):
            parts = [str(p).strip() for p in (raw.split(",") if isinstance(raw, str) else raw)]
            return tuple(int(p) if "int" in kind else p for p in parts if p)
        if kind == "int":
            return int(str(raw))
        if kind == "bool":
            return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[str(raw).lower()]
        return str(raw)
    except (ValueError, KeyError) as error:
        raise ConfigInvalid(f"{name} = {raw!r} from {source} is not {kind}; set {PREFIX}{name.upper()} to a valid value") from error


def _file(env: Mapping[str, str]) -> tuple[dict[str, Any], str]:
    path = Path(env.get(PREFIX + "CONFIG", "isthmus.toml"))
    if not path.exists():
        if PREFIX + "CONFIG" in env:
            raise ConfigInvalid(f"ISTHMUS_CONFIG = {path} does not exist; create it or unset the variable")
        return {}, ""
    try:
        return tomllib.loads(path.read_text()), str(path)
    except tomllib.TOMLDecodeError as error:
        raise ConfigInvalid(f"{path}: not TOML: {error}") from error


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """Settings from environment, file and defaults. Raises ConfigInvalid naming the setting and the fix."""
    env = os.environ if environment is None else environment
    table, origin = _file(env)
    if not table and PREFIX + "DATABASE_URL" not in env and environment is None:
        table, origin = _running_demo()
    known = {f.name: f for f in fields(Settings) if f.name != "sources"}
    if unknown := sorted(set(table) - set(known)):
        raise ConfigInvalid(f"{origin}: unknown setting {unknown[0]!r}; known are {', '.join(known)}")
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for name, item in known.items():
        if PREFIX + name.upper() in env:
            raw: Any = env[PREFIX + name.upper()]
            sources[name] = f"environment {PREFIX}{name.upper()}"
        elif name in table:
            raw, sources[name] = table[name], origin
        else:
            sources[name] = "default"
            continue
        values[name] = _parsed(name, str(item.type), raw, sources[name])
    return Settings(**values, sources=sources)


def shown(settings: Settings) -> list[tuple[str, str, str, str]]:
    """(name, value with secrets masked, source, about) of every setting, for `config show`."""
    rows = []
    for item in fields(Settings):
        if item.name == "sources":
            continue
        value = getattr(settings, item.name)
        text = ",".join(str(v) for v in value) if isinstance(value, tuple) else str(value)
        if item.metadata["secret"] and text:
            text = "********"
        rows.append((item.name, text, settings.sources.get(item.name, "default"), item.metadata["about"]))
    return rows
