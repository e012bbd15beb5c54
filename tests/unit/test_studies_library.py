"""Adding, listing, opening and removing studies: nothing half-written, closest names offered."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile
import yaml

from braindash.errors import BraindashError
from braindash.studies import KINDS, add_study, check_study, list_studies, open_study, register_kind, remove_study
from braindash.studies.registry import opener

ROOT = Path(__file__).resolve().parents[2]
ALICE = ROOT.parent / "shared" / "data" / "alice"


def make_study(folder: Path, id: str = "mini") -> Path:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    stories = []
    for name, part in (("a", "tune"), ("b", "validation"), ("c", "test")):
        soundfile.write(folder / f"{name}.wav", rng.uniform(-0.1, 0.1, 16_000 * 24), 16_000)
        np.save(folder / f"{name}.npy", rng.standard_normal((12, 2)))
        stories.append({"name": name, "split": part, "audio": f"{name}.wav", "responses": {"p1": f"{name}.npy"}})
    spec = {"braindash": 1, "kind": "table", "id": id, "tr": 2.0, "stories": stories}
    (folder / "study.yaml").write_text(yaml.safe_dump(spec))
    return folder


def files(home: Path) -> list[str]:
    return sorted(p.name for p in home.rglob("*"))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def test_added_studies_are_listed_opened_and_removed(tmp_path: Path, home: Path) -> None:
    source = make_study(tmp_path / "mini")
    added = add_study(home, "table", source)
    assert added.id == "mini"
    assert files(home) == ["mini.json", "studies"]
    assert json.loads((home / "studies" / "mini.json").read_text())["path"] == str(source)
    study = open_study("mini", home)
    assert (study.id, study.kind, list(study.stories)) == ("mini", "table", ["a", "b", "c"])
    assert [(e.id, e.kind, e.problem) for e in list_studies(home)] == [("mini", "table", "")]
    remove_study(home, "mini")
    assert list_studies(home) == []
    assert (source / "study.yaml").exists()


def test_the_home_is_found_in_the_environment(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRAINDASH_HOME", str(home))
    add_study(None, "table", make_study(tmp_path / "mini"), id="other")
    assert open_study("other").id == "other"


def test_a_study_with_an_error_leaves_nothing_behind(tmp_path: Path, home: Path) -> None:
    source = make_study(tmp_path / "mini")
    np.save(source / "b.npy", np.random.default_rng(0).standard_normal((30, 2)))
    np.save(source / "c.npy", np.zeros((12, 3)))
    with pytest.raises(BraindashError) as caught:
        add_study(home, "table", source)
    assert "Story 'b', subject 'p1': 30 rows" in caught.value.what
    assert "has 3 targets" in caught.value.what  # every error is named at once
    assert files(home) == []


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(BraindashError, match="No space left on device"):
        add_study(home, "table", make_study(tmp_path / "mini"))
    assert files(home) == ["studies"]


def test_a_taken_id_is_refused_unless_it_is_the_same_study(tmp_path: Path, home: Path) -> None:
    first = make_study(tmp_path / "one")
    add_study(home, "table", first)
    with pytest.raises(BraindashError, match=r"'mini' is taken by the study at .*one"):
        add_study(home, "table", make_study(tmp_path / "two"))
    add_study(home, "table", first, stories=["a", "c"])
    assert list(open_study("mini", home).stories) == ["a", "c"]
    add_study(home, "table", tmp_path / "two", id="mini-2")
    assert [e.id for e in list_studies(home)] == ["mini", "mini-2"]


@pytest.mark.parametrize("id", ["my study", "../x", "a/b", "", "é", "a.b", "x" * 101])
def test_bad_ids_are_refused(tmp_path: Path, home: Path, id: str) -> None:
    source = make_study(tmp_path / "mini")
    with pytest.raises(BraindashError, match=r"is not a study id|has 101 characters"):
        add_study(home, "table", source, id=id)
    with pytest.raises(BraindashError, match=r"is not a study id|has 101 characters"):
        open_study(id, home)


def test_unknown_names_are_offered_the_closest(tmp_path: Path, home: Path) -> None:
    add_study(home, "table", make_study(tmp_path / "mini"))
    with pytest.raises(BraindashError, match=r"no study 'mni'.*Did you mean mini"):
        open_study("mni", home)
    with pytest.raises(BraindashError, match=r"no study record 'mni'.*Did you mean mini"):
        remove_study(home, "mni")
    with pytest.raises(BraindashError, match=r"no study kind 'tables'.*Did you mean table"):
        add_study(home, "tables", tmp_path / "mini")
    with pytest.raises(BraindashError, match="'demo' is kept"):
        add_study(home, "table", tmp_path / "mini", id="demo")


def test_damaged_records_and_moved_data_do_not_break_the_list(tmp_path: Path, home: Path) -> None:
    source = make_study(tmp_path / "mini")
    add_study(home, "table", source)
    (home / "studies" / "bad.json").write_text('{"id": "bad"')
    source.rename(tmp_path / "elsewhere")
    problems = {e.id: e.problem for e in list_studies(home)}
    assert "cannot be read" in problems["bad"]
    assert problems["mini"].startswith("nothing at")
    with pytest.raises(BraindashError, match="no longer at"):
        open_study("mini", home)
    with pytest.raises(BraindashError, match="cannot be read"):
        open_study("bad", home)


def test_kinds_are_imported_when_first_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    module = ModuleType("a_kind_of_its_own")
    module.open_it = lambda path, id, **rest: (path, id)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "a_kind_of_its_own", module)
    monkeypatch.setitem(KINDS, "own", "a_kind_of_its_own:open_it")
    assert opener("own")(tmp_path, "x") == (tmp_path, "x")
    for name, reference in (("Own", "a:b"), ("own2", "no function"), ("table", "another:one")):
        with pytest.raises(ValueError, match=f"study kind '{name}'"):
            register_kind(name, reference)
    assert {"table", "lebel2023", "demo"} <= set(KINDS)


def test_the_demo_needs_no_record(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    module = ModuleType("fake_demo")
    module.open_demo = lambda path, id, **rest: seen.append((path, id))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fake_demo", module)
    monkeypatch.setitem(KINDS, "demo", "fake_demo:open_demo")
    open_study("demo", home)
    assert seen == [(home.resolve() / "studies" / "demo", "demo")]
    assert list_studies(home) == []
    (home / "studies" / "demo").mkdir(parents=True)
    assert [e.id for e in list_studies(home)] == ["demo"]


@pytest.mark.skipif(not ALICE.is_dir(), reason="the Alice data are not here")
def test_alice_becomes_a_table_study(tmp_path: Path, home: Path) -> None:
    location = ROOT / "examples" / "alice" / "make_study.py"
    spec = importlib.util.spec_from_file_location("make_alice", location)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.main([str(ALICE), str(tmp_path / "alice")]) == (tmp_path / "alice" / "study.yaml").resolve()
    study = add_study(home, "table", tmp_path / "alice")
    report = check_study(study)
    assert report.ok
    assert not [f for f in report.findings if f.level == "warning"]
    assert len(report.subjects) == 10
    assert all(r.n_targets == 7 and not r.n_excluded_nan and not r.n_excluded_constant for r in report.subjects)
    assert "not what the listeners heard" in report.caveats[0]
    assert [len(study.stories_of(part)) for part in ("tune", "validation", "test")] == [3, 1, 1]
    # row 0 of the file is the volume of 8 to 10 s; the second story starts at 180 s, so its first row is row 86
    raw = np.genfromtxt(next((ALICE / "yeo7").glob("sub-03*.csv")), delimiter=",", skip_header=1)[:, 1:]
    y = study.read_responses("alice-2", "sub-03")
    np.testing.assert_allclose(y, raw[86 : 86 + 75], rtol=1e-6)
    np.testing.assert_allclose(study.row_times("alice-2", "sub-03") + 180, 9 + 2 * np.arange(86, 161))
    for name in study.stories:
        words = study.story(name).words
        assert words is not None
        # the re-timed reading speaks where the annotation says so: louder within words than between phrases
        audio = study.audio(name)
        spoken = np.zeros(len(audio), dtype=bool)
        for onset, offset in words[["onset", "offset"]].to_numpy():
            spoken[int(onset * 16_000) : int(offset * 16_000)] = True
        assert np.abs(audio[spoken]).mean() > 4 * np.abs(audio[~spoken]).mean(), name
