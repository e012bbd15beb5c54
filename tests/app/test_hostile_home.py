"""The home changes under the pages' feet: gone, back, another's deletions, a full disk, one that may only be read."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import fake_home
import pytest
from conftest import words
from hostile_home import PAGES, add_whole, looked_at, open_any

from braindash.config import Home
from braindash.runs.record import RunStore
from braindash.studies.library import remove_study
from braindash.ui import readers

RESULTS = ("home", "cortex", "explorer", "encoding", "probes", "rsa", "compare", "runs", "present")


@pytest.fixture
def run_id(home: Home, tmp_path: Path) -> str:
    fake_home.add_table_study(home, tmp_path / "mini")
    return add_whole(home, "stays and goes")


def test_a_home_that_goes_and_comes_back(home: Home, run_id: str, tmp_path: Path) -> None:
    opened = {page: open_any(page, run=run_id, runs=run_id) for page in PAGES}
    shutil.move(home.path, tmp_path / "away")
    for page, app in opened.items():
        looked_at(app.run(), f"{page}, without its home")
        assert not home.path.exists(), page  # looking makes nothing
    shutil.move(tmp_path / "away", home.path)
    for page in ("home", "probes", "rsa", "runs", "present"):
        app = looked_at(opened[page].run(), f"{page}, with its home again")
        assert "stays and goes" in words(app) + str(
            [s.value for s in app.selectbox] + [s.options for s in app.selectbox]
        )


def test_a_run_deleted_by_another_while_it_is_shown(home: Home, run_id: str) -> None:
    other = add_whole(home, "the other")
    opened = {page: open_any(page, run=other, runs=other) for page in RESULTS}
    RunStore(home).delete(other)
    for page, app in opened.items():
        looked_at(app.run(), f"{page}, its run deleted")
    for page in RESULTS:  # links to it
        open_any(page, run=other, runs=other)


def test_a_run_deleted_between_the_list_and_the_look(home: Home, run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = readers.run_rows()
    monkeypatch.setattr(readers, "run_rows", lambda: rows)
    RunStore(home).delete(run_id)
    for page in ("home", "encoding", "probes", "rsa", "present"):
        app = open_any(page, run=run_id, runs=run_id)
        assert app.error or app.warning or app.info or app.markdown, page


def test_a_study_that_is_removed_changed_or_loses_its_sound(home: Home, run_id: str, tmp_path: Path) -> None:
    pages = (*RESULTS, "study", "tune")
    opened = {page: open_any(page, run=run_id, study="mini") for page in pages}
    for file in (tmp_path / "mini").glob("*.wav"):
        file.unlink()
    for page, app in opened.items():
        looked_at(app.run(), f"{page}, no sound")
    spec = tmp_path / "mini" / "study.yaml"
    spec.write_text(spec.read_text(encoding="utf-8").replace("s5", "another"), encoding="utf-8")
    for page, app in opened.items():
        looked_at(app.run(), f"{page}, another study.yaml")
    remove_study(home, "mini")
    for page, app in opened.items():
        looked_at(app.run(), f"{page}, study removed")
    strange = [fake_home.add_done(home, "strange", study=name) for name in ("../../etc", "x" * 300, "a\x00b")]
    for i, page in enumerate(pages):
        open_any(page, run=strange[i % len(strange)])


@pytest.mark.parametrize("problem", [errno.ENOSPC, errno.EROFS, errno.EIO], ids=["full", "read-only", "broken"])
def test_a_home_that_cannot_be_written(home: Home, run_id: str, problem: int, monkeypatch: pytest.MonkeyPatch) -> None:
    present, runs = open_any("present", run=run_id), open_any("runs", run=run_id)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(problem, os.strerror(problem))

    monkeypatch.setattr(os, "fsync", refuse)  # the last step of every file that must survive
    monkeypatch.setattr(Path, "mkdir", refuse)
    looked_at(present.checkbox[0].uncheck().run(), "deck")
    assert "hold for this visit only" in words(present)
    star = next(t for t in runs.toggle if t.key.startswith("marks_star"))
    looked_at(star.set_value(True).run(), "star")
    assert any(os.strerror(problem) in e.value.replace("\\", "") for e in runs.error), words(runs)
    bookmark = open_any("encoding", run=run_id)
    looked_at(bookmark.button(key="bookmark").click().run(), "bookmark")
    looked_at(bookmark.button(key="bookmark_keep").click().run(), "bookmark kept")
    assert any(os.strerror(problem) in e.value.replace("\\", "") for e in bookmark.error), words(bookmark)
    assert not (home.path / "decks").exists()


def test_folders_of_runs_that_are_none(home: Home, run_id: str) -> None:
    runs = home.runs
    (runs / "20260101-000000-lora-mini-loop").symlink_to(runs / "20260101-000000-lora-mini-loop")
    (runs / "20260101-000000-lora-mini-gone").symlink_to(runs / "nothing")
    os.mkfifo(runs / "20260101-000000-lora-mini-pipe")
    (runs / "20260101-000000-lora-mini-file").write_text("not a folder", encoding="utf-8")
    newer = runs / "20260101-000000-lora-mini-newr"
    shutil.copytree(runs / run_id, newer)
    status = json.loads((newer / "status.json").read_text(encoding="utf-8"))
    (newer / "status.json").write_text(json.dumps(status | {"braindash": 2}), encoding="utf-8")
    app = open_any("runs", run=newer.name)
    assert "written by a newer braindash" in words(app)
    assert "1 folder cannot be read" in words(app)
    for page in RESULTS:
        open_any(page, run=newer.name, runs=newer.name)


def test_a_file_where_the_folder_of_runs_should_be(home: Home) -> None:
    home.path.mkdir()
    home.runs.write_text("not a folder", encoding="utf-8")
    home.studies.write_text("not a folder", encoding="utf-8")
    for page in PAGES:
        open_any(page)
    assert any("cannot be listed" in e.value for e in open_any("home").error)


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def test_nothing_that_pages_read_makes_them_wait(home: Home, run_id: str) -> None:
    """A pipe in place of every file of a run, and of what the home keeps beside it."""
    for folder in (home.runs / run_id, home.studies):
        for file in [f for f in folder.iterdir() if f.is_file()]:
            kept = file.read_bytes()
            file.unlink()
            _pipe(file)
            for page in _pages_of(file.name):
                open_any(page, run=run_id, study="mini")
            file.unlink()
            file.write_bytes(kept)
    for kept_by in ("marks", "decks", "bookmarks", "checks"):
        (home.path / kept_by).mkdir(exist_ok=True)
        _pipe(home.path / kept_by / f"{run_id}.json")
    for page in ("runs", "present", "compare"):
        open_any(page, run=run_id, runs=run_id)


def _pages_of(name: str) -> tuple[str, ...]:
    one = {"metrics.jsonl": "runs", "log.txt": "runs", "probing.json": "probes", "probing.nc": "probes"}
    one |= {"rsa.json": "rsa", "rsa.nc": "rsa", "partition.json": "encoding", "hierarchy.json": "home"}
    return (one[name], "present") if name in one else ("home", "runs", "study")
