"""The Present page: which slides, in what order and in whose words, kept for the next visit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fake_home
import pytest
from conftest import OpenPage, checked, words
from streamlit.testing.v1 import AppTest

from braindash.config import Home
from braindash.runs.presenting import arrangement_path
from braindash.ui import present_view


def boxes(page: AppTest) -> dict[str, bool]:
    return {b.label: bool(b.value) for b in page.checkbox}


def kept(home: Home, run_id: str) -> list[dict[str, Any]]:
    rows = json.loads(arrangement_path(home, run_id).read_text(encoding="utf-8"))["slides"]
    assert isinstance(rows, list)
    return rows


def test_without_results_the_page_says_how_to_get_some(open_page: OpenPage) -> None:
    assert "No results yet" in words(open_page("present"))


def test_every_slide_is_offered_and_one_is_shown(home: Home, open_page: OpenPage) -> None:
    run_id = fake_home.add_done(home)
    page = open_page("present", run=run_id, slide="curves")
    labels = list(boxes(page))
    assert labels[0].startswith("1\\. What did brain\\-tuning change")
    assert all(boxes(page).values())
    assert f"{len(labels)} of {len(labels)} slides chosen" in words(page)
    assert page.text_input(key=f"deck_title_{run_id}_curves").value == (
        "Late language rose by 0.075 of the noise ceiling at layer 4"
    )
    assert [b.label for b in page.get("download_button")] == ["HTML", "PowerPoint", "PDF", "BibTeX"]
    assert not arrangement_path(home, run_id).exists(), "looking changes nothing"


def test_changes_are_kept_for_the_next_visit(home: Home, open_page: OpenPage) -> None:
    run_id = fake_home.add_done(home)
    page = open_page("present", run=run_id, slide="controls")
    first = [b.key for b in page.checkbox]
    page.text_input(key=f"deck_title_{run_id}_controls").set_value("  My own\n title ").run()
    checked(page)
    page.checkbox(key=f"deck_shown_{run_id}_curves").set_value(False).run()
    checked(page)
    page.button(key="move_up").click().run()
    checked(page)
    rows = kept(home, run_id)
    assert [r["key"] for r in rows][:4] == ["answer", "curves", "controls", "changes"]
    assert rows[1] == {"key": "curves", "shown": False}
    assert rows[2] == {"key": "controls", "shown": True, "title": "My own title"}

    again = open_page("present", run=run_id, slide="controls")
    assert again.text_input(key=f"deck_title_{run_id}_controls").value == "My own title"
    assert again.checkbox(key=f"deck_shown_{run_id}_curves").value is False
    assert any("My own title" in label for label in boxes(again))
    assert f"{len(first) - 1} of {len(first)} slides chosen" in words(again)

    again.button(key="reset_slide").click().run()
    assert "title" not in kept(home, run_id)[2]
    again.button(key="reset_deck").click().run()
    checked(again)
    assert [b.key for b in again.checkbox] == first
    assert all(boxes(again).values())


def test_without_a_chosen_slide_nothing_can_be_presented(home: Home, open_page: OpenPage) -> None:
    run_id = fake_home.add_done(home)
    page = open_page("present", run=run_id)
    rows = [{"key": b.key.removeprefix(f"deck_shown_{run_id}_"), "shown": False} for b in page.checkbox if b.key]
    path = arrangement_path(home, run_id)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"slides": rows}), encoding="utf-8")
    page = open_page("present", run=run_id)
    assert "No slide is chosen" in words(page)
    assert page.button(key="present_deck").disabled
    assert all(b.proto.disabled for b in page.get("download_button") if b.label != "BibTeX")


def test_a_home_that_cannot_be_written_keeps_changes_for_the_visit(
    home: Home, open_page: OpenPage, tmp_path: Path
) -> None:
    run_id = fake_home.add_done(home)
    (home.path / "decks").write_text("a file where a folder should be", encoding="utf-8")
    page = open_page("present", run=run_id, slide="curves")
    page.checkbox(key=f"deck_shown_{run_id}_curves").set_value(False).run()
    checked(page)
    assert "for this visit only" in words(page)
    assert page.checkbox(key=f"deck_shown_{run_id}_curves").value is False
    page.run()
    assert page.checkbox(key=f"deck_shown_{run_id}_curves").value is False


@pytest.mark.parametrize("name", fake_home.HOSTILE.values(), ids=fake_home.HOSTILE)
def test_hostile_names_are_shown_as_text(home: Home, open_page: OpenPage, name: str) -> None:
    run_id = fake_home.add_done(home, name=name)
    page = open_page("present", run=run_id)
    page.text_input(key=f"deck_title_{run_id}_answer").set_value(name).run()
    checked(page)
    for box in page.checkbox:
        assert "<img" not in box.label.replace("\\<", "")
        assert "**bold**" not in box.label
    html = present_view.deck_file(
        str(home.runs / run_id), (), (present_view.Arranged("answer", title=name),), "html"
    ).decode()
    assert "<img src=x" not in html
    assert "<b>" not in html


@pytest.mark.parametrize("run", ["../../etc", "gone", "%00"])
def test_unknown_runs_and_slides_are_told(home: Home, open_page: OpenPage, run: str) -> None:
    fake_home.add_done(home)
    page = open_page("present", run=run, slide="nothing")
    assert "names something that is not here" in words(page)


def test_damaged_results_are_told(home: Home, open_page: OpenPage) -> None:
    run_id = fake_home.add_done(home)
    (home.runs / run_id / "records.json").write_text('{"encoding": [{"model": "x"}]}', encoding="utf-8")
    page = open_page("present", run=run_id)
    assert page.error or page.info or "No results yet" in words(page)
