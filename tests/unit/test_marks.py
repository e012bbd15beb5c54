"""What people write on runs: whole or not at all, two writers lose nothing, and a bad disk is said in words."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest

from braindash.config import Home, TuneConfig
from braindash.errors import BraindashError
from braindash.runs import marks as marks_module
from braindash.runs.marks import Marks, change_marks, marks_path, read_marks
from braindash.runs.record import RunStore
from braindash.runs.searching import all_tags, find_runs, marks_of


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def new_run(home: Home, name: str = "", **more: object) -> str:
    settings: dict[str, object] = {"study": "mini", "model": "m", "name": name, **more}
    return RunStore(home).create(TuneConfig(**settings)).id  # type: ignore[arg-type]


def test_a_run_has_no_marks_until_somebody_writes_some(home: Home) -> None:
    run_id = new_run(home)
    assert read_marks(home, run_id) == Marks()
    assert not (home.path / "marks").exists()
    change_marks(home, run_id, starred=True, add=["good", "for the talk"], note="line one\nline two")
    expected = Marks(("good", "for the talk"), "line one\nline two", True)
    assert read_marks(home, run_id) == expected
    assert json.loads(marks_path(home, run_id).read_text(encoding="utf-8"))["braindash"] == 1
    change_marks(home, run_id, remove=["GOOD", "never there"])
    assert read_marks(home, run_id).tags == ("for the talk",)
    assert read_marks(home, run_id).starred  # the rest stays as it is
    change_marks(home, run_id, starred=False, remove=["for the talk"], note="")
    assert not marks_path(home, run_id).exists()


def test_the_same_tag_twice_is_one_tag(home: Home) -> None:
    run_id = new_run(home)
    change_marks(home, run_id, add=["Best", "best", " BEST "])
    assert read_marks(home, run_id).tags == ("Best",)
    assert read_marks(home, run_id).has_tag("bEsT")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"add": ["x" * 41]}, "41 characters"),
        ({"add": ["a,b"]}, "comma"),
        ({"add": ["\x00 \n"]}, "empty"),
        ({"add": [f"t{i}" for i in range(31)]}, "at most 30"),
        ({"note": "x" * 4001}, "4,001"),
    ],
)
def test_limits_are_told_and_nothing_is_written(home: Home, change: dict[str, object], said: str) -> None:
    run_id = new_run(home)
    with pytest.raises(BraindashError, match=said):
        change_marks(home, run_id, **change)  # type: ignore[arg-type]
    assert read_marks(home, run_id) == Marks()


def test_what_is_not_text_is_left_out_and_what_is_stays(home: Home) -> None:
    run_id = new_run(home)
    hostile = "<b>👩‍🔬 naïve\x1b[31m \u202egnp.exe \ud800 **bold**"
    change_marks(home, run_id, add=[hostile[:30]], note=hostile)
    note = read_marks(home, run_id).note
    assert note == "<b>👩‍🔬 naïve[31m gnp.exe  **bold**"
    assert read_marks(home, run_id).tags[0].startswith("<b>👩‍🔬 naïve")


def test_marks_of_no_run_and_of_no_id_are_refused(home: Home) -> None:
    new_run(home)
    for bad in ("nobody", "../../etc/passwd", "..", ""):
        with pytest.raises(BraindashError, match="There is no run"):
            change_marks(home, bad, starred=True)
    assert not (home.path / "marks").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot be read"),
        ("[]", "damaged"),
        ('{"braindash": 9, "tags": []}', "newer braindash"),
        ('{"tags": [7, ""]}', "damaged"),
        ('{"tags": 3}', "damaged"),
    ],
)
def test_a_file_that_is_not_understood_is_told_and_never_written_over(home: Home, text: str, said: str) -> None:
    run_id = new_run(home)
    path = marks_path(home, run_id)
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    assert said in read_marks(home, run_id).problem
    with pytest.raises(BraindashError, match=said):
        change_marks(home, run_id, starred=True)
    assert path.read_text(encoding="utf-8") == text


def test_two_processes_that_write_at_once_lose_nothing(home: Home) -> None:
    run_id = new_run(home)
    code = (
        "import sys; from pathlib import Path; from braindash.config import Home; "
        "from braindash.runs.marks import change_marks\n"
        "home, run, who = Home(Path(sys.argv[1])), sys.argv[2], sys.argv[3]\n"
        "sys.stdin.readline()\n"  # both begin together
        "for i in range(12): change_marks(home, run, add=[f'{who}{i}'], starred=i % 2 == 0)\n"
    )
    command = [sys.executable, "-c", code, str(home.path), run_id]
    writers = [subprocess.Popen([*command, who], stdin=subprocess.PIPE) for who in "ab"]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write(b"\n")
        writer.stdin.close()
    assert [writer.wait(60) for writer in writers] == [0, 0]
    assert set(read_marks(home, run_id).tags) == {f"{who}{i}" for who in "ab" for i in range(12)}
    assert [p.name for p in (home.path / "marks").glob("*.tmp")] == []


def test_a_note_that_was_changed_meanwhile_is_not_written_over(home: Home) -> None:
    run_id = new_run(home)
    change_marks(home, run_id, note="first")
    change_marks(home, run_id, note="hers", note_was="first")
    with pytest.raises(BraindashError, match="someone else meanwhile"):
        change_marks(home, run_id, note="his", note_was="first")
    assert read_marks(home, run_id).note == "hers"
    change_marks(home, run_id, note="hers", note_was="first")  # both wrote the same
    assert change_marks(home, run_id, note="both", note_was="hers").note == "both"


@pytest.mark.parametrize(
    ("number", "said"),
    [(errno.EROFS, "may not be written"), (errno.ENOSPC, "disk is full"), (errno.ESTALE, "could not be written")],
)
def test_a_disk_that_cannot_be_written_is_said_in_words(
    home: Home, number: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = new_run(home)
    change_marks(home, run_id, note="kept")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, "no")

    with monkeypatch.context() as broken:
        broken.setattr(marks_module, "atomic_write", refuse)
        with pytest.raises(BraindashError, match=said):
            change_marks(home, run_id, starred=True)
    with monkeypatch.context() as broken:
        broken.setattr(Path, "mkdir", refuse)
        with pytest.raises(BraindashError, match=said):
            change_marks(home, run_id, starred=True)
    assert read_marks(home, run_id) == Marks(note="kept")


def test_a_home_that_is_gone_is_not_made_anew(home: Home) -> None:
    run_id = new_run(home)
    home.path.rename(home.path.with_name("elsewhere"))
    with pytest.raises(BraindashError, match="There is no run"):
        change_marks(home, run_id, starred=True)
    assert not home.path.exists()


def test_deleting_a_run_takes_its_marks_along(home: Home) -> None:
    run_id, other = new_run(home), new_run(home)
    for one in (run_id, other):
        change_marks(home, one, starred=True)
    store = RunStore(home)
    store.get(run_id).update_status(state="stopped")
    store.delete(run_id)
    assert [p.name for p in (home.path / "marks").iterdir() if run_id in p.name] == []
    assert read_marks(home, other).starred


def test_search_wants_every_word_wherever_it_stands(home: Home) -> None:
    first = new_run(home, "Rank sweep", loss="spatial")
    second = new_run(home, "other", study="lebel")
    change_marks(home, first, add=["for SfN"], note="late language rose")
    change_marks(home, second, starred=True)
    rows = RunStore(home).list()
    marks = marks_of(home, rows)
    assert set(marks) == {first, second}

    def ids(**asked: object) -> set[str]:
        return {row.id for row in find_runs(rows, marks, **asked)}  # type: ignore[arg-type]

    assert ids() == {first, second}
    assert ids(text="SWEEP spatial sfn rose") == {first}
    assert ids(text="sweep lebel") == set()
    assert ids(text=second) == {second}
    assert ids(tags=["FOR sfn"]) == {first}
    assert ids(starred=True) == ids(studies=["lebel"]) == {second}
    assert ids(states=["queued"], models=["m"]) == {first, second}
    assert ids(states=["done"]) == ids(models=["n"]) == set()
    assert all_tags(marks) == ["for SfN"]
