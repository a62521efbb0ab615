"""Vendored files are what their manifest says, and pages name no other host."""

from __future__ import annotations

import hashlib
import json
import re

from aggregator.api.rendering import WEB

STATIC = WEB / "static"
MANIFEST = json.loads((STATIC / "manifest.json").read_text())


def test_manifest__every_file__is_listed_and_unchanged() -> None:
    vendored = {entry["path"]: entry for entry in MANIFEST["files"]}
    found = {p.relative_to(STATIC).as_posix() for p in STATIC.rglob("*") if p.is_file()} - {"manifest.json"}
    assert found == set(vendored) | set(MANIFEST["own"])
    for path, entry in vendored.items():
        assert hashlib.sha256((STATIC / path).read_bytes()).hexdigest() == entry["sha256"], path
        assert entry["licence"] and entry["version"] and entry["name"]


def test_pages__sources__name_no_other_host_and_nothing_inline() -> None:
    for path in [*(WEB / "templates").rglob("*.html"), *(STATIC / name for name in MANIFEST["own"])]:
        text = path.read_text()
        assert not re.search(r"https?://|[\"'(]//\w", text), path
        assert not re.search(r"\sstyle=|\son\w+=|<style|<script(?! src=)", text), path
