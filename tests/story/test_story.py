"""The demo's story as a user runs it: exit code, report, and what it promises."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.story import running

pytestmark = pytest.mark.chain
ACCOUNT_FIELDS = {"name", "net_liquidation_value_usd", "initial_margin_usd", "maintenance_margin_usd", "state", "capital_saved_usd"}
ACTION_FIELDS = {"action_id", "kind", "chain_id", "tx_hash", "block_hash", "status", "executed_on_chain", "effect_usd"}


def told(tmp_path: Path, *words: str) -> dict[str, Any]:
    file = tmp_path / "report.json"
    done = running.isthmus(tmp_path, "demo", "--once", "--json", str(file), *words, timeout_s=240)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def test_story__default_shock__keeps_every_promise(tmp_path: Path) -> None:
    found = told(tmp_path, "--seed", "7")
    assert found["seed"] == 7
    assert len({n["chain_id"] for n in found["networks"]}) == 3
    assert all(n["finalized"] <= n["head"] for n in found["networks"])
    assert all(set(s) >= ACCOUNT_FIELDS for a in found["accounts"] for s in a["stages"])
    assert all(set(a) >= ACTION_FIELDS for a in found["actions"])
    assert {a["kind"] for a in found["actions"]} >= {"top_up", "rebalance", "close_out"}
    assert all(a["executed_on_chain"] == 1 and a["status"] == "confirmed" for a in found["actions"])
    assert {f["kind"] for f in found["faults"]} == {"worker_killed", "reorganisation"}
    assert all(f["recovered"] for f in found["faults"])
    assert found["reconcile"]["accounts_checked"] == 2 and not found["reconcile"]["drift"]
    assert set(found["timings_ms"]) == {"price_to_plan", "price_to_signed", "price_to_mined"}
    assert all(c["holds"] for c in found["checks"])


def test_story__calm_day__gives_no_action(tmp_path: Path) -> None:
    found = told(tmp_path, "--shock", "0")
    assert found["actions"] == [] and found["faults"] == []


def test_story__mild_fall__only_top_ups_and_what_repays_them(tmp_path: Path) -> None:
    found = told(tmp_path, "--shock", "0.12", "--seed", "3")
    assert {a["kind"] for a in found["actions"]} <= {"top_up", "rebalance"} and found["actions"]
    assert {a["stages"][-1]["state"] for a in found["accounts"]} <= {"ok", "call"}


def test_story__without_planner__the_bot_liquidates(tmp_path: Path) -> None:
    found = told(tmp_path, "--without", "planner")
    assert found["actions"] == []
    assert float(found["saving"]["net_liquidation_value_lost_usd"]) > 0
    assert found["saving"]["liquidations"]


def test_story__parent_killed__leaves_no_process_and_no_folder(tmp_path: Path) -> None:
    with running.demo(tmp_path, "--once", until="with two tickets") as (process, _):
        below = running.descendants(process.pid)
        folder = Path(
            next(line for line in below.values() if "postgres" in line and " -D " in line).split(" -D ")[1].split()[0]
        ).parent
        assert len(below) > 10 and folder.exists()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and (folder.exists() or any(Path(f"/proc/{pid}").exists() for pid in below)):
            time.sleep(0.1)
        assert not folder.exists()
        assert [line for pid, line in below.items() if Path(f"/proc/{pid}").exists()] == []


def test_story__anvil_killed_in_the_middle__named_error(tmp_path: Path) -> None:
    with running.demo(tmp_path, "--once", until="with two tickets") as (process, log):
        pid = next(p for p, line in running.descendants(process.pid).items() if "--chain-id 71001" in line)
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        assert process.poll() == 3, log.read_text()[-2000:]
        assert "ChildDied" in log.read_text() and "71001" in log.read_text()
