"""The errors a newcomer makes: each ends with a name, the field and the fix, and nothing else."""

from __future__ import annotations

from pathlib import Path

from aggregator.settings import load
from chains.networks.network import FOLDER
from tests.story.running import isthmus


def test_margin__no_database__names_setting_and_fix(tmp_path: Path) -> None:
    done = isthmus(tmp_path, "margin")
    assert done.returncode == 2
    assert "database_url" in done.stderr and "ISTHMUS_DATABASE_URL" in done.stderr and "Traceback" not in done.stderr


def test_margin__unreachable_database__retryable_and_named(tmp_path: Path) -> None:
    done = isthmus(tmp_path, "margin", ISTHMUS_DATABASE_URL="postgresql+psycopg://nobody:secret@127.0.0.1:1/none")
    assert done.returncode == 4, done.stderr
    assert "127.0.0.1:1" in done.stderr and "secret" not in done.stderr and "Traceback" not in done.stderr


def test_doctor__wrong_network_file__names_file_and_field(tmp_path: Path) -> None:
    text = (FOLDER / "71001.toml").read_text().replace("block_time_ms", "block_time_seconds")
    (tmp_path / "71001.toml").write_text(text)
    done = isthmus(tmp_path, "doctor", ISTHMUS_NETWORKS_FOLDER=str(tmp_path), ISTHMUS_NETWORKS="71001")
    assert done.returncode == 1
    found = " ".join(done.stdout.split())
    assert "71001.toml" in found and "block_time_ms" in found and "block_time_seconds" in found


def test_doctor__no_endpoint_answers__broken_with_fix(tmp_path: Path) -> None:
    done = isthmus(tmp_path, "doctor", "--json", ISTHMUS_NETWORKS="71001", ISTHMUS_RPC="71001=http://127.0.0.1:1")
    assert done.returncode == 1 and "ISTHMUS_RPC" in done.stdout


def test_demo__shock_too_large__refused_by_name(tmp_path: Path) -> None:
    done = isthmus(tmp_path, "demo", "--once", "--shock", "0.9")
    assert done.returncode == 2 and "--shock 0.9" in done.stderr


def test_command__unknown_argument__refused(tmp_path: Path) -> None:
    done = isthmus(tmp_path, "margin", "--wrong")
    assert done.returncode == 2 and "--wrong" in done.stderr


def test_config__environment__wins_and_tells_source(tmp_path: Path) -> None:
    done = isthmus(tmp_path, "config", "show", "--json", ISTHMUS_POLL_MS="77", ISTHMUS_GAS_KEY="0x" + "11" * 32)
    assert '"77"' in done.stdout and "environment ISTHMUS_POLL_MS" in done.stdout
    assert "1111" not in done.stdout


def test_settings__network_list__parsed() -> None:
    assert load({"ISTHMUS_NETWORKS": "1, 2", "ISTHMUS_RPC": "1=http://a,1=http://b"}).rpc_urls(1) == ("http://a", "http://b")
