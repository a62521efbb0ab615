"""Journal text in, margin report text out."""

from __future__ import annotations

import pytest

from tests.golden.journal import FOLDER, render

JOURNALS = sorted((FOLDER / "journals").glob("*.txt"))


@pytest.mark.parametrize("path", JOURNALS, ids=lambda p: p.stem)
def test_report__journal__as_written(path: object) -> None:
    name = getattr(path, "name", "")
    expected = (FOLDER / "reports" / name).read_text()
    assert render((FOLDER / "journals" / name).read_text()) == expected


def test_reports__each__has_a_journal() -> None:
    assert {p.name for p in (FOLDER / "reports").glob("*.txt")} == {p.name for p in JOURNALS}
