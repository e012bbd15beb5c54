"""The last barrier: what no page foresaw is a plain message, and its traceback is in a file."""

from __future__ import annotations

from pathlib import Path

import fake_home
import pytest
from streamlit.testing.v1 import AppTest

from braindash.config import Home
from braindash.errors import BraindashError
from braindash.ui import barrier, live, readers

ROOT = Path(__file__).resolve().parents[2]
SECRET = "secret-of-the-traceback"


def open_unchecked(path: str) -> AppTest:
    page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    page.switch_page(path)
    return page.run()


def fail(*_: object) -> None:
    raise ZeroDivisionError(SECRET)


def test_what_nobody_foresaw_is_said_and_kept(home: Home, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_home.add_done(home)
    monkeypatch.setattr(readers, "run_rows", fail)
    seen = []
    for _ in range(3):
        page = open_unchecked("pages/results/overview.py")
        assert not page.exception
        assert barrier.WHAT in page.error[0].value
        assert SECRET not in page.error[0].value
        seen.append({file.name for file in kept.iterdir()})
    assert seen[0] == seen[2]  # once, however often the page is loaded
    assert any(name in page.error[0].value.replace("\\", "") for name in seen[2])
    for file in kept.iterdir():
        assert SECRET in file.read_text(encoding="utf-8")
        assert file.stat().st_mode & 0o077 == 0


def test_a_fragment_has_the_barrier_too(home: Home, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_home.add_in_state(home, "running")
    monkeypatch.setattr(live, "_progress", fail)
    page = open_unchecked("pages/experiments/runs.py")
    assert not page.exception
    assert [barrier.WHAT in e.value for e in page.error] == [True]
    assert page.button(key="stop")  # the rest of the page is there


def test_a_mistake_that_a_page_forgot_to_catch_is_told_in_its_own_words(
    home: Home, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise BraindashError("The disk is <b>gone</b>.", "Put it back.")

    monkeypatch.setattr(readers, "run_rows", refuse)
    page = open_unchecked("pages/results/overview.py")
    assert page.error[0].value == "The disk is \\<b\\>gone\\<\\/b\\>\\. Put it back\\."
    assert not list(kept.iterdir())


def test_a_link_laid_where_the_traceback_goes_is_not_followed(kept: Path, tmp_path: Path) -> None:
    error = ZeroDivisionError(SECRET)
    path = barrier.keep(error)
    path.unlink()
    target = tmp_path / "of-somebody-else"
    path.symlink_to(target)
    assert barrier.keep(error) == path
    assert not target.exists()
