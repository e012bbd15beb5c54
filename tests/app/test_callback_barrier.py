"""What a button's callback meets is said by the page that is drawn next, in plain words, and once."""

from __future__ import annotations

from pathlib import Path

import fake_home
import pytest
from conftest import OpenPage, checked, words
from streamlit.testing.v1 import AppTest

from braindash.config import Home
from braindash.errors import BraindashError
from braindash.runs.marks import Marks, read_marks
from braindash.ui import barrier, marks_view, settings_view
from braindash.ui.tour import TAKEN

SECRET = "secret of the traceback"


def said(page: AppTest) -> str:
    assert not page.exception
    return page.error[0].value.replace("\\", "") if page.error else ""


def fails(error: Exception) -> object:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def test_a_run_that_cannot_be_told_to_stop_names_the_file(home: Home, open_page: OpenPage, kept: Path) -> None:
    """For real: the file that asks a run to stop is a link to where nothing is."""
    run_id = fake_home.add_in_state(home, "running")
    page = open_page("runs", run=run_id)
    stop = home.runs / run_id / "stop"
    stop.symlink_to(home.path / "gone" / "away")
    page.button(key="stop").click().run()
    assert said(page).startswith(f"{barrier.NOT_DONE} (No such file or directory) at {stop}. ")
    [file] = kept.iterdir()
    assert str(file) in said(page)
    assert "FileNotFoundError" in file.read_text(encoding="utf-8")
    assert barrier.NOT_DONE not in said(checked(page.run()))  # once
    assert "Stop" in [b.label for b in page.button] or "Stopping" in words(page)


@pytest.mark.usefixtures("kept")
def test_what_nobody_foresaw_in_a_change_is_said_without_its_text(
    home: Home, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = fake_home.add_done(home)
    page = open_page("compare", runs=run_id)
    with monkeypatch.context() as broken:
        broken.setattr(marks_view, "change_marks", fails(ZeroDivisionError(SECRET)))
        page.toggle(key=f"marks_star_{run_id}").set_value(True).run()
    assert said(page).startswith(f"{barrier.NOT_DONE}. {barrier.LOOK}")
    assert SECRET not in said(page)
    assert page.toggle(key=f"marks_star_{run_id}").value is False
    assert read_marks(home, run_id) == Marks()
    checked(page.toggle(key=f"marks_star_{run_id}").set_value(True).run())
    assert read_marks(home, run_id).starred
    assert not page.error


@pytest.mark.usefixtures("kept")
def test_what_was_typed_stays_where_a_save_met_an_error(
    home: Home, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = open_page("settings")
    monkeypatch.setattr(settings_view, "change", fails(OSError(5, "Input/output error", "/disk/<b>")))
    page.text_input(key="region_name").set_value("mine")
    page.text_area(key="region_members").set_value("STSda")
    page.button(key="save_region").click().run()
    assert said(page).startswith(f"{barrier.NOT_DONE} (Input/output error) at /disk/<b>. ")
    assert page.text_input(key="region_name").value == "mine"


def test_a_mistake_is_told_in_its_own_words_and_other_ends_of_a_run_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    state: dict[str, object] = {}
    monkeypatch.setattr(barrier.st, "session_state", state)
    told: list[BraindashError] = []
    monkeypatch.setattr(barrier.notices, "mistake", told.append)
    error = BraindashError("It is full.", "Empty it.")
    barrier.guarded_change(fails(error))()  # type: ignore[arg-type]
    assert told == []
    drawn: list[int] = []
    barrier.guarded(drawn.append)(1)
    assert (told, drawn, state) == ([error], [1], {})
    with pytest.raises(KeyboardInterrupt):
        barrier.guarded_change(fails(KeyboardInterrupt()))()  # type: ignore[arg-type]


def test_the_tour_ends_where_that_cannot_be_kept(home: Home, open_page: OpenPage) -> None:
    """For real: a folder lies where the file should be."""
    run_id = fake_home.add_done(home)
    page = open_page("overview", run=run_id, tour="1")
    (home.path / TAKEN).mkdir()
    checked(page.button(key="end_tour").click().run())
    assert not page.error
    assert not [b for b in page.button if b.key == "end_tour"]
