"""Fixtures of the chain tests."""

from __future__ import annotations

from tests.chain.custody_world import stage, world

__all__ = ["stage", "world"]
