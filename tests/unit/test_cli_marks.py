"""``braindash runs mark``, ``runs diff``, and finding runs by what is written on them."""

from __future__ import annotations

import json
from typing import Any

import pytest

import braindash.cli as cli
from braindash.config import Home, TuneConfig
from braindash.runs.marks import Marks, read_marks
from braindash.runs.record import RunStore


@pytest.fixture
def home(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Home:
    place = Home(tmp_path / "home")
    monkeypatch.setenv("BRAINDASH_HOME", str(place.path))
    return place


@pytest.fixture
def runs(home: Home) -> list[str]:
    store = RunStore(home)
    return [
        store.create(TuneConfig(study="mini", model="m", name=name, group="sweep", lora={"rank": rank})).id
        for name, rank in (("first", 4), ("second", 16))
    ]


def say(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = cli.run(list(arguments))
    said = capsys.readouterr()
    return code, said.out, said.err


def test_marks_are_written_shown_and_taken_away(
    home: Home, runs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = say(capsys, "runs", "mark", *runs, "--star", "--tag", "for SfN", "--tag", "b", "--note", "a\nb")
    assert code == 0
    assert out.count("★") == 2
    assert read_marks(home, runs[1]) == Marks(("for SfN", "b"), "a\nb", True)
    code, out, _ = say(capsys, "runs", "mark", runs[0], "--untag", "B", "--no-star", "--note", "", "--json")
    assert json.loads(out)["runs"] == [{"run": runs[0], "starred": False, "tags": ["for SfN"], "note": ""}]
    assert "★, for SfN, b" in say(capsys, "runs", "show", runs[1])[1]
    assert json.loads(say(capsys, "runs", "show", runs[1], "--json")[1])["marks"]["note"] == "a\nb"
    assert say(capsys, "runs", "mark", runs[0])[1] == f"{runs[0]}  for SfN\n"  # only shown
    code, out, err = say(capsys, "runs", "mark", runs[0], "nobody", "--star")
    assert (code, out) == (2, "")
    assert "There is no run 'nobody'" in err
    assert not read_marks(home, runs[0]).starred  # nothing is done by halves
    assert say(capsys, "runs", "mark", *runs, "--tag", "x" * 41)[0] == 2


def test_the_list_finds_runs_by_tag_star_and_words(runs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    say(capsys, "runs", "mark", runs[0], "--tag", "Good", "--note", "late language rose")
    say(capsys, "runs", "mark", runs[1], "--star")
    assert "group of 2 runs" in say(capsys, "runs", "list")[1]
    found = {
        asked: {r["id"] for r in json.loads(say(capsys, "runs", "list", *asked, "--json")[1])["runs"]}
        for asked in ((), ("--tag", "good"), ("--starred",), ("--search", "ROSE first"), ("--search", "nothing"))
    }
    assert list(found.values()) == [set(runs), {runs[0]}, {runs[1]}, {runs[0]}, set()]
    out = say(capsys, "runs", "list", "--tag", "good")[1]
    assert runs[0] in out
    assert "Good" in out
    assert runs[1] not in out
    assert "None of the 2 runs fits." in say(capsys, "runs", "list", "--search", "nothing")[1]


def test_only_settings_that_differ_are_shown(runs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = say(capsys, "runs", "diff", *runs)
    lines = out.splitlines()
    assert code == 0
    assert lines[1].split() == ["lora.rank", "4", "16"]
    assert len(lines) == 3
    assert lines[2].endswith("settings agree.")
    data = json.loads(say(capsys, "runs", "diff", *runs, "--json")[1])
    assert data["differences"] == [{"setting": "lora.rank", "values": [4, 16]}]
    assert data["agreeing"]["lora.alpha"] == 16.0
    assert "Name two runs" in say(capsys, "runs", "diff", runs[0])[2]
