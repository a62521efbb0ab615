"""A demo that stays up, and the commands that a person types beside it."""

from __future__ import annotations

import json
import tomllib
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_hash.auto import keccak

from chains.networks.network import FOLDER, load
from tests.story import running

pytestmark = pytest.mark.chain


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("state")
    with running.demo(folder, "--shock", "0"):
        yield folder


def answer(state: Path, *words: str) -> Any:
    done = running.isthmus(state, *words, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_commands__while_demo_is_up__answer_from_its_database(state: Path) -> None:
    accounts = answer(state, "margin")
    assert {a["account"] for a in accounts} == {"marlow", "tern"}
    holdings = answer(state, "portfolio", "marlow")
    assert {h["chain_id"] for h in holdings} == {71001, 71002, 71003}
    why = answer(state, "explain", "marlow", "initial_margin")
    assert why["lines"] and float(why["value"]) > 0
    assert all(v["differing"] == [] for v in answer(state, "verify"))
    assert answer(state, "actions") == []


def test_commands__tables__for_people(state: Path) -> None:
    shown = (
        ["margin"],
        ["margin", "tern"],
        ["portfolio", "tern"],
        ["explain", "tern", "net_liquidation_value"],
        ["config", "show"],
    )
    for words in shown:
        done = running.isthmus(state, *words)
        assert done.returncode == 0 and len(done.stdout.splitlines()) > 4, done.stderr


def test_doctor__while_demo_is_up__finds_nothing_broken(state: Path) -> None:
    checks = answer(state, "doctor")
    assert {c["state"] for c in checks} <= {"ok", "warning"}
    assert sum("rules" in c["name"] for c in checks) == 3


def test_explain__unknown_account__names_the_known(state: Path) -> None:
    done = running.isthmus(state, "explain", "nobody", "initial_margin")
    assert done.returncode == 2 and "marlow" in done.stderr


def test_reconcile__wrong_balance_planted_in_token__exit_1_and_named(state: Path) -> None:
    assert answer(state, "reconcile")["drift"] == []
    settings = tomllib.loads((state / "isthmus" / "demo.toml").read_text())
    url = dict(entry.split("=", 1) for entry in settings["rpc"].split(","))["71003"]
    network = load(FOLDER / "71003.toml")
    usdc = network.tokens["usdc"].address
    safe = safe_of(state, "marlow", 71003)
    slot = "0x" + keccak(bytes(12) + bytes.fromhex(safe[2:]) + bytes(32)).hex()
    call(url, "anvil_setStorageAt", [usdc, slot, "0x" + (12345).to_bytes(32, "big").hex()])
    call(url, "anvil_mine", ["0x8"])
    done = running.isthmus(state, "reconcile", "--json")
    assert done.returncode == 1, done.stdout + done.stderr
    (drift,) = json.loads(done.stdout)["drift"]
    assert drift["client"] == "marlow" and usdc in drift["account"] and int(drift["network_atoms"]) == 12345


def safe_of(state: Path, client: str, chain_id: int) -> str:
    """The client's Safe on one network, from the account API, with a key made by the command line."""
    key = answer(state, "key", "--scopes", "read")["key"]
    log = (state / "demo.log").read_text()
    url = next(word for word in log.split() if word.startswith("http://"))
    request = urllib.request.Request(f"{url}/v1/accounts/{client}/portfolio", headers={"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request) as response:
        body = json.load(response)
    return str(next(s["address"] for s in body["safes"] if s["chain_id"] == chain_id))


def call(url: str, method: str, params: list[Any]) -> Any:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    request = urllib.request.Request(url, body, {"content-type": "application/json"})
    with urllib.request.urlopen(request) as response:
        found = json.load(response)
    assert "error" not in found, found
    return found["result"]
