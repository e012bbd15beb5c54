"""A browser that has just come gets a page's title before the rest: once a session, and nothing stands above it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fake_home
import pytest
from conftest import PAGES

from braindash.config import Home
from braindash.ui import heading


@pytest.mark.parametrize("filled", [False, True])
@pytest.mark.parametrize("name", PAGES)
def test_the_title_is_the_first_thing_of_every_page(
    home: Home, open_page: Any, tmp_path: Path, name: str, filled: bool
) -> None:
    if filled:
        fake_home.add_table_study(home, tmp_path / "mini")
        fake_home.add_done(home)
    page = open_page(name)
    assert [page.main[0].type, len(page.title)] == ["title", 1]


def test_only_the_first_page_of_a_session_waits(home: Home, open_page: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(heading, "FIRST", 0.06)
    monkeypatch.setattr(heading, "sleep", waited.append)
    page = open_page("glossary")
    assert waited == [0.06]
    page.run()
    assert waited == [0.06]
