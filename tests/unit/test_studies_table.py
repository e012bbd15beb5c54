"""Bring your own: the YAML, the files it names, segments, repeats, regions and ceilings."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml

from braindash.errors import BraindashError, LeakageError, NotDownloadedError
from braindash.studies import check_study
from braindash.studies.table import TableStudy, init_table, open_table
from braindash.studies.table_spec import TableSpec, read_spec

NAMES = ["a1", "stg", "ifg"]
TR = 1.5
LJSPEECH = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "speech" / "ljspeech"
N_ROWS = 20  # of 30 s
PARTS = {"s1": "tune", "s2": "tune", "s3": "validation", "s4": "test"}


def values(story: str, subject: str, repeat: int = 0) -> np.ndarray:
    seed = [int(story[1:]), int(subject[-2:]), repeat]
    return np.random.default_rng(seed).standard_normal((N_ROWS, 3)).astype(np.float32)


def as_csv(file: Path, data: np.ndarray, names: list[str] = NAMES, sep: str = ",") -> None:
    table = pd.DataFrame(data, columns=names)
    table.insert(0, "TR", range(len(data)))
    table.to_csv(file, sep=sep, index=False)


def write(folder: Path, spec: dict[str, Any]) -> Path:
    (folder / "study.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
    return folder


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two subjects, four stories of 30 s; every format; repeats of the test story."""
    folder = tmp_path_factory.mktemp("mini")
    stories: list[dict[str, Any]] = []
    for i, (name, part) in enumerate(PARTS.items()):
        rng = np.random.default_rng(i)
        soundfile.write(folder / f"{name}.wav", rng.uniform(-0.1, 0.1, (8_000 * 30, 2)), 8_000)
        stories.append({"name": name, "split": part, "audio": f"{name}.wav", "responses": {}})
    as_csv(folder / "sub-01_s1.csv", values("s1", "sub-01"))
    as_csv(folder / "sub-01_s2.tsv", values("s2", "sub-01"), sep="\t")
    np.save(folder / "sub-01_s3.npy", values("s3", "sub-01").astype(np.float64))
    for r in (1, 2, 3):
        as_csv(folder / f"sub-01_s4_{r}.csv", values("s4", "sub-01", r))
    with h5py.File(folder / "sub-02.hf5", "w") as f:
        for name in ("s1", "s2", "s4"):
            f[f"bold/{name}"] = values(name, "sub-02").astype(np.float64)
    pd.DataFrame(values("s3", "sub-02"), columns=NAMES).assign(TR=1).to_parquet(folder / "sub-02_s3.parquet")
    for story, file in zip(
        stories,
        ["sub-01_s1.csv", "sub-01_s2.tsv", "sub-01_s3.npy", [f"sub-01_s4_{r}.csv" for r in (1, 2, 3)]],
        strict=True,
    ):
        story["responses"]["sub-01"] = file
        name = story["name"]
        story["responses"]["sub-02"] = "sub-02_s3.parquet" if name == "s3" else f"sub-02.hf5:bold/{name}"
    (folder / "targets.csv").write_text(
        "name,roi,hemi,noise_ceiling,x,y,z\na1,A1,L,0.9,1,2,3\nstg,A5,rh,0.25,1,2,3\nifg,44,left,,1,2,3\n"
    )
    (folder / "s1.tsv").write_text('word\tonset\toffset\n"hello\t1.0\t1.5\nnull\t2\t2.5\n')
    (folder / "s2.TextGrid").write_text(
        'File type = "ooTextFile"\n"TextGrid"\n0\n30\n<exists>\n2\n"IntervalTier"\n"Words"\n0\n30\n2\n0\n1\n""\n'
        '1\n2\n"there"\n"IntervalTier"\n"PHONES"\n0\n30\n1\n1\n2\n"DH"\n'
    )
    stories[0]["words"] = "s1.tsv"
    stories[1]["textgrid"] = "s2.TextGrid"
    spec = {
        "braindash": 1,
        "kind": "table",
        "id": "mini",
        "title": "A small study",
        "tr": TR,
        "targets": "targets.csv",
        "ignore_columns": ["TR"],
        "caveats": ["Noise, not brains."],
        "stories": stories,
    }
    return write(folder, spec)


@pytest.fixture
def folder(pristine: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "mini"))


Edit = Callable[[dict[str, Any]], None]


def edited(folder: Path, edit: Edit) -> Path:
    spec = yaml.safe_load((folder / "study.yaml").read_text())
    edit(spec)
    return write(folder, spec)


def errors(study: TableStudy) -> list[str]:
    return [f.what for f in study.check() if f.level == "error"]


# ---- what is read


def test_every_format_reads_the_same_values(pristine: Path) -> None:
    study = open_table(pristine)
    assert study.subjects == ("sub-01", "sub-02")
    for name in ("s1", "s2", "s3"):
        for subject in study.subjects:
            y = study.read_responses(name, subject)
            assert y.dtype == np.float32
            np.testing.assert_array_equal(y, values(name, subject))
    np.testing.assert_array_equal(study.read_responses("s4", "sub-02"), values("s4", "sub-02"))
    assert study.read_repeats("s4", "sub-02") is None


def test_a_list_of_files_is_repeats(pristine: Path) -> None:
    study = open_table(pristine)
    repeats = study.read_repeats("s4", "sub-01")
    assert repeats is not None
    expected = np.stack([values("s4", "sub-01", r) for r in (1, 2, 3)])
    np.testing.assert_array_equal(repeats, expected)
    np.testing.assert_allclose(study.read_responses("s4", "sub-01"), expected.mean(axis=0), atol=1e-6)
    assert study.n_repeats("s4", "sub-01") == 3


def test_times_split_targets_and_annotations(pristine: Path) -> None:
    study = open_table(pristine)
    np.testing.assert_allclose(study.row_times("s1", "sub-01"), 0.75 + 1.5 * np.arange(20))  # first_row: tr / 2
    assert study.split.tune == ("s1", "s2")
    assert (study.split.validation, study.split.test) == (("s3",), ("s4",))
    targets = study.targets("sub-01")
    assert targets["name"].tolist() == NAMES
    assert targets["hemi"].tolist() == ["L", "R", "L"]
    assert targets["roi"].tolist() == ["A1", "A5", "44"]
    np.testing.assert_array_equal(targets["noise_ceiling"], [0.9, 0.25, np.nan])
    assert study.cortex("sub-01") is None
    assert study.caveats == ("Noise, not brains.",)
    words = study.story("s1").words
    assert words is not None
    assert words.to_numpy().tolist() == [['"hello', 1.0, 1.5], ["null", 2.0, 2.5]]
    phones = study.story("s2").phones
    assert phones is not None
    assert phones.to_numpy().tolist() == [["DH", 1.0, 2.0]]
    assert study.story("s3").words is None
    assert len(study.audio("s1")) == 30 * 16_000


def test_report(pristine: Path) -> None:
    report = check_study(open_table(pristine))
    assert report.ok
    assert [r.ceiling for r in report.subjects] == ["given", "given"]
    assert [(s.name, s.part, s.words) for s in report.stories][:2] == [("s1", "tune", True), ("s2", "tune", True)]
    assert report.stories[0].n_rows == {"sub-01": 20, "sub-02": 20}
    assert (report.stories[0].first_row_s, report.stories[0].last_row_s) == (0.75, 29.25)
    lines = report.lines()
    assert any("Noise, not brains." in line for line in lines)
    assert type(report).model_validate_json(report.model_dump_json()) == report


def test_ceilings_from_repeats_when_none_are_given(folder: Path) -> None:
    (folder / "targets.csv").write_text("name\na1\nstg\nifg\n")
    report = check_study(open_table(folder))
    assert [r.ceiling for r in report.subjects] == ["from 3 repeats", "none"]


def test_opening_reads_no_responses(pristine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("opened too early")

    monkeypatch.setattr("pandas.read_csv", refuse)
    monkeypatch.setattr("h5py.File", refuse)
    monkeypatch.setattr("soundfile.read", refuse)
    assert open_table(pristine).subjects == ("sub-01", "sub-02")


def test_a_choice_of_subjects_and_stories(pristine: Path) -> None:
    study = open_table(pristine, "other", subjects=("sub-02",), stories=("s1", "s4"))
    assert study.id == "other"
    assert study.subjects == ("sub-02",)
    assert list(study.stories) == ["s1", "s4"]
    with pytest.raises(BraindashError, match=r"no subject 'sub-2'.*Did you mean sub-02"):
        open_table(pristine, subjects=("sub-2",))
    with pytest.raises(BraindashError, match="no story 's9'"):
        open_table(pristine, stories=("s9",))
    with pytest.raises(BraindashError, match="no settings beside its study"):
        open_table(pristine, config={"tr": 2})


def test_a_subject_that_did_not_hear_a_story(folder: Path) -> None:
    study = open_table(edited(folder, lambda s: s["stories"][1]["responses"].pop("sub-02")))
    assert study.heard("sub-02") == ("s1", "s3", "s4")
    assert check_study(study).ok
    with pytest.raises(BraindashError, match="'sub-02' of study 'mini' has no responses to story 's2'"):
        study.read_responses("s2", "sub-02")


# ---- the YAML


def text_with(folder: Path, old: str, new: str) -> int:
    """Replace a piece of the YAML; return the line (from 1) at which it stands."""
    file = folder / "study.yaml"
    text = file.read_text()
    assert text.count(old) >= 1, text
    file.write_text(text.replace(old, new, 1))
    return text[: text.index(old)].count("\n") + 1


@pytest.mark.parametrize(
    ("old", "new", "key", "message"),
    [
        ("tr: 1.5", "tr: -2", "tr", r"greater than 0 \(got -2\)"),
        ("tr: 1.5", "tr: .nan", "tr", r"got nan"),
        ("tr: 1.5", "TR: 1.5", "TR", r"unknown key\. Did you mean tr"),
        ("kind: table", "kind: tabel", "kind", r"'table' \(got 'tabel'\)"),
        ("braindash: 1", "braindash: 2", "braindash", r"got 2"),
        ("id: mini", "id: my study", "id", r"letters, digits, - and _"),
        ("split: validation", "split: valid", r"stories\[2\]\.split", r"'validation' or 'test' \(got 'valid'\)"),
        ("audio: s3.wav", "audoi: s3.wav", r"stories\[2\]\.audoi", r"unknown key\. Did you mean audio"),
        ("sub-01: sub-01_s3.npy", "1: sub-01_s3.npy", r"stories\[2\]\.responses\.1", r"is read as 1, a number"),
        ("name: s3", "name: 3", r"stories\[2\]\.name", r"is read as 3, a number or yes/no; put it into quotes"),
        ("sub-01_s3.npy", "sub-01_s3.mat", r"stories\[2\]\.responses\.sub-01", r"'sub-01_s3\.mat' is none of \.csv"),
        ("sub-02.hf5:bold/s1", "sub-02.hf5", r"stories\[0\]\.responses\.sub-02", r"needs its dataset"),
        ("name: s4", "name: s3", r"stories\[3\]\.name", r"'s3' is already used in line"),
        (
            "words: s1.tsv",
            "words: s1.tsv\n  start: 5\n  stop: 4",
            r"stories\[0\]",
            r"stop \(4 s\) must lie after start",
        ),
        ("words: s1.tsv", "words: s1.tsv\n  audio: s2.wav", r"stories\[0\]\.audio", r"given twice, first in line"),
    ],
)
def test_mistakes_name_line_and_key(folder: Path, old: str, new: str, key: str, message: str) -> None:
    line = text_with(folder, old, new)
    with pytest.raises(BraindashError) as caught:
        open_table(folder)
    at = rf"line (\d+), key {key}: .*{message}"
    import re

    found = re.search(at, caught.value.what)
    assert found, caught.value.what
    # a story's own mistake is reported at its first line, others where they stand
    assert 0 <= line - int(found[1]) <= (7 if key == r"stories\[0\]" else 0) or "twice" in message


def test_a_missing_key_is_named(folder: Path) -> None:
    text_with(folder, "tr: 1.5\n", "")
    with pytest.raises(BraindashError, match=r"line 1, key tr: is missing"):
        open_table(folder)


def test_several_mistakes_are_reported_at_once(folder: Path) -> None:
    text_with(folder, "tr: 1.5", "tr: fast")
    text_with(folder, "split: test", "split: tset")
    with pytest.raises(BraindashError, match=r"key tr: .*; study\.yaml, line \d+, key stories\[3\]\.split"):
        open_table(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"is empty \(0 bytes\)"),
        ("- a\n- b\n", "is empty or no mapping"),
        ("braindash: 1\n  kind: [table\n", r"line 2: not valid YAML"),
        ("a: &x [*x]\n", "anchor that contains itself|not valid YAML"),
    ],
)
def test_what_is_no_study_file(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "study.yaml").write_text(content)
    with pytest.raises(BraindashError, match=message):
        open_table(tmp_path)


def test_a_folder_without_a_study_file(tmp_path: Path) -> None:
    with pytest.raises(BraindashError, match=r"has no study\.yaml") as caught:
        open_table(tmp_path)
    assert "--init" in caught.value.remedy


def test_the_example_is_valid_and_never_overwrites(tmp_path: Path) -> None:
    file = init_table(tmp_path / "My study!")
    spec = read_spec(file, TableSpec)
    assert spec.id == "My-study-"
    assert {s.split for s in spec.stories} == {"tune", "validation", "test"}
    for key in type(spec).model_fields:
        assert f"{key}:" in file.read_text() or key == "tiers", key
    with pytest.raises(BraindashError, match="exists already"):
        init_table(tmp_path / "My study!")
    with pytest.raises(BraindashError, match=r"There is no audio file .*story-1\.wav"):
        open_table(file.parent)


# ---- the files


def test_missing_and_unfetched_files_are_told_apart(folder: Path) -> None:
    (folder / "sub-01_s3.npy").unlink()
    with pytest.raises(BraindashError, match=r"There is no response file .*sub-01_s3\.npy"):
        open_table(folder)
    (folder / "sub-01_s3.npy").write_text("/annex/objects/MD5E-s1--a.npy\n")
    with pytest.raises(NotDownloadedError, match="not downloaded"):
        open_table(folder)


def test_rows_that_do_not_fit_the_audio(folder: Path) -> None:
    np.save(folder / "sub-01_s3.npy", np.random.default_rng(0).standard_normal((22, 3)))
    assert errors(open_table(folder)) == []  # two TRs beyond the end are allowed
    np.save(folder / "sub-01_s3.npy", np.random.default_rng(0).standard_normal((23, 3)))
    found = errors(open_table(folder))
    assert len(found) == 1
    assert "Story 's3', subject 'sub-01': 23 rows every 1.5 s are centred from 0.75 to 33.75 s" in found[0]
    assert "2.5 TR after the audio ends (0 to 30.00 s; 2 TR are allowed)" in found[0]
    study = open_table(edited(folder, lambda s: s.update(first_row=-6.0)))
    assert any("4.0 TR before the audio starts" in e for e in errors(study))


def test_first_row_of_a_story_overrides_the_study(folder: Path) -> None:
    def edit(spec: dict[str, Any]) -> None:
        spec["first_row"] = 1.0
        spec["stories"][1]["first_row"] = 0.25

    study = open_table(edited(folder, edit))
    assert study.row_times("s1", "sub-01")[0] == 1.0
    assert study.row_times("s2", "sub-01")[0] == 0.25


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["stg", "a1", "ifg"], r"target column 1 is 'stg', where 'a1' is expected"),
        (["a1", "stg", "mfg"], r"target column 3 is 'mfg', where 'ifg' is expected"),
        (["a1", "a1", "ifg"], r"more than one column called 'a1'"),
        (["1", "2", "3"], r"target column 1 is '1'"),
    ],
)
def test_columns_must_agree(folder: Path, names: list[str], message: str) -> None:
    as_csv(folder / "sub-01_s1.csv", values("s1", "sub-01"), names)
    study = open_table(folder)
    assert any(pd.Series([e]).str.contains(message).item() for e in errors(study)), errors(study)
    with pytest.raises(BraindashError, match=message):
        study.read_responses("s1", "sub-01")


def test_columns_must_agree_between_files_without_a_targets_table(folder: Path) -> None:
    as_csv(folder / "sub-01_s4_2.csv", values("s4", "sub-01"), ["stg", "a1", "ifg"])
    study = open_table(edited(folder, lambda s: s.pop("targets")))
    assert study.targets("sub-01")["name"].tolist() == NAMES
    assert any("sub-01_s4_2.csv: target column 1 is 'stg', where 'a1' is expected" in e for e in errors(study))


def test_repeats_must_have_the_same_rows(folder: Path) -> None:
    as_csv(folder / "sub-01_s4_2.csv", values("s4", "sub-01")[:-1])
    assert any("has 19 rows, but" in e and "a repeat of the same story" in e for e in errors(open_table(folder)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1,2,3\n4,5,6\n", r"line 1: there is no header"),
        ("TR,a1,stg,ifg\n0,1,oops,3\n", r"column 'stg' is not numeric \('oops' in line 2\)"),
        ("TR\n0\n", r"no column that is a target"),
        ("TR,a1,stg,ifg\n0,1,2,3,4\n", r"cannot be read as text"),
        ("TR,a1,stg,ifg\n", r"is empty: 0 rows"),
    ],
)
def test_csv_files_that_are_not_time_series(folder: Path, content: str, message: str) -> None:
    lines = content.splitlines()
    if len(lines) == 2 and lines[0].startswith("TR,"):
        content = "\n".join([lines[0], lines[1], *["0,1,2,3"] * 19]) + "\n"
    (folder / "sub-01_s1.csv").write_text(content)
    found = errors(open_table(folder))
    assert any(pd.Series([e]).str.contains(message).item() for e in found), found


def test_arrays_that_are_not_time_series(folder: Path) -> None:
    np.save(folder / "sub-01_s3.npy", np.zeros((2, 20, 3)))
    assert any("shape (2, 20, 3)" in e and "list several files for repeats" in e for e in errors(open_table(folder)))
    np.save(folder / "sub-01_s3.npy", np.full((20, 3), {"a": 1}), allow_pickle=True)
    assert any("cannot be read as npy" in e for e in errors(open_table(folder)))
    np.save(folder / "sub-01_s3.npy", np.zeros((20, 4)))
    assert any("has 4 targets; subject 'sub-01' has 3 (a1, stg, ifg)" in e for e in errors(open_table(folder)))
    text_with(folder, "sub-02.hf5:bold/s1", "sub-02.hf5:bold/s7")
    study = open_table(folder)
    with pytest.raises(BraindashError, match=r"no dataset 'bold/s7'.*bold/s1"):
        study.read_responses("s1", "sub-02")


def test_nan_and_constant_targets_are_counted_and_kept(folder: Path) -> None:
    data = values("s1", "sub-01").copy()
    data[3, 0] = np.nan
    data[:, 2] = 7.0
    as_csv(folder / "sub-01_s1.csv", data)
    study = open_table(folder)
    assert np.isnan(study.read_responses("s1", "sub-01")[3, 0])
    report = check_study(study)
    assert report.ok
    assert (report.subjects[0].n_excluded_nan, report.subjects[0].n_excluded_constant) == (1, 1)
    np.testing.assert_array_equal(study.usable("sub-01"), [False, True, False])
    np.testing.assert_array_equal(study.usable("sub-02"), [True, True, True])
    as_csv(folder / "sub-01_s1.csv", np.full_like(data, np.nan))
    assert any("none of its 3 targets can be used" in e for e in errors(open_table(folder)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name,roi\na1,x\nstg,y\n", "has 3 targets; subject 'sub-01' has 2"),
        ("target\na1\n", "no column 'name'"),
        ("name,region\na1,x\n", "unknown column 'region'"),
        ("name\na1\na1\nifg\n", "line 3: the name 'a1' is given twice"),
        ("name,hemi\na1,up\n", "line 2: hemi is 'up'"),
        ("name,noise_ceiling\na1,0.5\nstg,1.5\n", "line 3: noise_ceiling is '1.5', not a correlation"),
        ("name,x\na1,left\n", "line 2: x is 'left', not a number"),
    ],
)
def test_targets_table(folder: Path, content: str, message: str) -> None:
    (folder / "targets.csv").write_text(content)
    assert any(message in e for e in errors(open_table(folder))), errors(open_table(folder))


def test_annotations_that_do_not_fit(folder: Path) -> None:
    (folder / "s1.tsv").write_text("word\tonset\toffset\nhi\t1\t2\nlate\t40\t41\n")
    assert any("'s1': its last word ends at 41.0 s, but its audio at 30.0 s" in e for e in errors(open_table(folder)))
    (folder / "s1.tsv").write_text("word\tonset\toffset\nhi\t2\t1\n")
    assert any("line 2: the word 'hi' ends before it begins" in e for e in errors(open_table(folder)))
    (folder / "s1.tsv").write_text("word\tstart\nhi\t2\n")
    assert any("no column onset, offset" in e for e in errors(open_table(folder)))


def test_split_without_a_part(folder: Path) -> None:
    study = open_table(edited(folder, lambda s: s["stories"][3].update(split="tune")))
    assert any("There is no test story" in e for e in errors(study))
    study = open_table(edited(folder, lambda s: s["stories"][2].update(split="tune")))
    assert any(f.level == "warning" and "no validation story" in f.what for f in study.check())


def test_silent_audio_is_an_error(folder: Path) -> None:
    soundfile.write(folder / "s2.wav", np.zeros(8_000 * 30), 8_000)
    assert any("s2.wav is silent" in e for e in errors(open_table(folder)))


# ---- one recording, several stories


def segmented(folder: Path, starts: list[tuple[str, float | None, float | None]]) -> Path:
    """A study of one 200-s recording; the responses are the row's number, so that rows can be told apart."""
    folder.mkdir(exist_ok=True)
    if not (folder / "long.flac").exists():
        soundfile.write(folder / "long.flac", np.random.default_rng(0).uniform(-0.1, 0.1, 16_000 * 200), 16_000)
    rng = np.random.default_rng(1)
    np.save(folder / "r.npy", np.stack([np.arange(97.0), rng.standard_normal(97)], axis=1))
    words = "".join(f"w{i}\t{i * 10}\t{i * 10 + 9}\n" for i in range(20))
    (folder / "words.tsv").write_text("word\tonset\toffset\n" + words)
    stories = []
    for i, (part, start, stop) in enumerate(starts):
        story: dict[str, Any] = {"name": f"s{i}", "split": part, "audio": "long.flac", "words": "words.tsv"}
        story |= {k: v for k, v in (("start", start), ("stop", stop)) if v is not None}
        stories.append(story | {"responses": {"p1": "r.npy"}})
    spec = {"braindash": 1, "kind": "table", "id": "cut", "tr": 2.0, "first_row": 5.0, "stories": stories}
    return write(folder, spec)


GOOD = [("tune", None, 61.0), ("validation", 71.0, 121.0), ("test", 131.0, None)]


def test_rows_times_audio_and_words_of_segments(tmp_path: Path) -> None:
    study = open_table(segmented(tmp_path, GOOD))
    # rows are centred at 5, 7, 9 … s; the one centred at 61 s is not before 61, the one at 71 s is in
    assert study.read_responses("s0", "p1")[:, 0].tolist() == list(range(28))
    assert study.read_responses("s1", "p1")[:, 0].tolist() == list(range(33, 58))
    assert study.read_responses("s2", "p1")[:, 0].tolist() == list(range(63, 97))
    np.testing.assert_allclose(study.row_times("s0", "p1"), 5 + 2 * np.arange(28))
    np.testing.assert_allclose(study.row_times("s1", "p1"), 2 * np.arange(25.0))
    np.testing.assert_allclose(study.row_times("s2", "p1")[[0, -1]], [0, 66])
    whole, _ = soundfile.read(tmp_path / "long.flac", dtype="float32")
    np.testing.assert_array_equal(study.audio("s1"), whole[71 * 16_000 : 121 * 16_000])
    np.testing.assert_array_equal(study.audio("s2"), whole[131 * 16_000 :])
    assert [study.story(s).duration for s in study.stories] == [61, 50, 69]
    words = study.story("s1").words
    assert words is not None
    assert words["text"].tolist() == ["w7", "w8", "w9", "w10", "w11"]
    assert words["onset"].tolist() == [0.0, 9.0, 19.0, 29.0, 39.0]  # w7 starts before the cut and is clipped to it
    assert words["offset"].iloc[-1] == 48.0
    assert check_study(study).ok
    left = next(f for f in study.check() if "lie in no segment" in f.what)
    assert left.n == 97 - 28 - 25 - 34


@pytest.mark.parametrize(
    ("starts", "level", "message"),
    [
        ([("tune", 0, 70), ("validation", 80, 120), ("test", 119, 200)], "error", "share 1.0 s of the same audio"),
        ([("tune", 0, 70), ("validation", 80, 120), ("test", None, None)], "error", "what one part is tested on"),
        ([("tune", 0, 70), ("validation", 80, 120), ("test", 124, 200)], "warning", "are 4.0 s apart"),
        ([("tune", 0, 70), ("validation", 70, 120), ("test", 130, 200)], "warning", "are 0.0 s apart"),
    ],
)
def test_segments_that_leak(tmp_path: Path, starts: list[Any], level: str, message: str) -> None:
    found = [f for f in open_table(segmented(tmp_path, starts)).check() if message in f.what]
    assert found
    assert {f.level for f in found} == {level}
    assert "s1" in found[0].what or "s2" in found[0].what


def test_adjoining_segments_of_one_part_and_good_gaps_are_fine(tmp_path: Path) -> None:
    starts = [("tune", 0, 40), ("tune", 40, 80), ("validation", 90, 130), ("test", 140, 200)]
    assert not [f for f in open_table(segmented(tmp_path, starts)).check() if f.level in ("error", "warning")]


def test_a_copy_of_the_audio_under_another_name_leaks_too(folder: Path) -> None:
    shutil.copy(folder / "s1.wav", folder / "s4.wav")
    assert any("'s1' (tune) and 's4' (test) share 30.0 s of the same audio" in e for e in errors(open_table(folder)))


def test_segments_outside_the_audio_or_without_rows(tmp_path: Path) -> None:
    with pytest.raises(BraindashError, match=r"segment 150 to 300 s of .*200\.00 s long"):
        open_table(segmented(tmp_path, [("tune", 150, 300)]))
    study = open_table(segmented(tmp_path, [("tune", 0, 8), *GOOD[1:]]))
    assert any("'s0', subject 'p1': 2 response rows fall in its 8.0 s" in e for e in errors(study))
    study = open_table(segmented(tmp_path, [("tune", 0, 20), *GOOD[1:]]))
    assert [f.what for f in study.check() if f.level == "warning" and "8 response rows are few" in f.what]


def test_a_story_in_two_parts_is_refused() -> None:
    from braindash.studies import Split

    with pytest.raises(LeakageError):
        Split(("a",), (), ("a",))


# ---- the cortex


def surface(folder: Path, space: Any, n: int, targets: str = "") -> TableStudy:
    segmented(folder, GOOD)
    np.save(folder / "r.npy", np.random.default_rng(0).standard_normal((97, n)).astype(np.float32))

    def edit(spec: dict[str, Any]) -> None:
        spec["cortex"] = space
        if targets:
            (folder / "t.csv").write_text(targets)
            spec["targets"] = "t.csv"

    return open_table(edited(folder, edit))


def test_fs_lr_without_medial_wall_has_its_regions(tmp_path: Path) -> None:
    study = surface(tmp_path, "fs_LR-32k", 59_412)
    cortex = study.cortex("p1")
    assert cortex is not None
    assert len(cortex.index) == 64_984
    shown = np.flatnonzero(cortex.index >= 0)
    np.testing.assert_array_equal(cortex.index[shown], np.arange(59_412))
    targets = study.targets("p1")
    assert (targets["hemi"] == "L").sum() == 29_696
    assert set(targets["hemi"]) == {"L", "R"}
    assert targets["roi"].nunique() == 180
    assert {"A1", "A5", "44", "55b"} <= set(targets["roi"])
    assert shown[(targets["hemi"] == "R").to_numpy()].min() >= 32_492


def test_vertices_by_number_and_wrong_sizes(tmp_path: Path) -> None:
    study = surface(tmp_path, "fsaverage5", 2, "name,vertex\na,20483\nb,7\n")
    cortex = study.cortex("p1")
    assert cortex is not None
    assert len(cortex.index) == 20_484
    assert (cortex.index[20_483], cortex.index[7], (cortex.index >= 0).sum()) == (0, 1, 2)
    assert any(
        "2 targets do not fit cortex fsaverage5" in e
        for e in errors(surface(tmp_path, "fsaverage5", 2, "name\na\nb\n"))
    )
    beyond = surface(tmp_path, "fsaverage5", 2, "name,vertex\na,20484\nb,7\n")
    assert any("'a' is at vertex 20484, but fsaverage5 has 20484" in e for e in errors(beyond))


def test_pycortex_masks(tmp_path: Path) -> None:
    from lebel_fixture import write_mask

    write_mask(tmp_path / "db" / "S1" / "transforms" / "auto", 2)
    space = {"pycortex": "db", "subject": {"p1": "S1"}, "transform": "auto"}
    cortex = surface(tmp_path, space, 2).cortex("p1")
    assert cortex is not None
    assert (cortex.space, cortex.subject, cortex.transform) == ("pycortex", "S1", "auto")
    assert cortex.filestore == str(tmp_path / "db")
    assert any("has 2 voxels, but S1 has 3 targets" in e for e in errors(surface(tmp_path, space, 3)))
    missing = space | {"transform": "other"}
    assert any("no pycortex mask" in e for e in errors(surface(tmp_path, missing, 2)))


def test_every_key_is_documented_and_the_examples_are_valid(tmp_path: Path) -> None:
    import re

    from braindash.studies.table_spec import ElectrodesSpec, StorySpec

    text = (Path(__file__).resolve().parents[2] / "docs" / "data-contract.md").read_text()
    for key in (*TableSpec.model_fields, *ElectrodesSpec.model_fields, *StorySpec.model_fields):
        assert re.search(rf"^\| (`\w+`, )*`{key}`", text, re.MULTILINE), key
    whole = [e for e in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if e.startswith("braindash:")]
    assert whole
    for example in whole:
        (tmp_path / "study.yaml").write_text(example)
        kind = ElectrodesSpec if "kind: electrodes" in example else TableSpec
        assert read_spec(tmp_path / "study.yaml", kind).id == "mini"


@pytest.mark.skipif(not LJSPEECH.is_dir(), reason="the public-domain clips are not here")
def test_recorded_clips_go_through(tmp_path: Path) -> None:
    stories = []
    for clip, part in (("LJ050-0276", "tune"), ("LJ050-0277", "validation"), ("LJ050-0278", "test")):
        n = int(soundfile.info(LJSPEECH / f"{clip}.wav").duration / 0.25)
        np.save(tmp_path / f"{clip}.npy", np.random.default_rng(n).standard_normal((n, 4)))
        files = {"audio": str(LJSPEECH / f"{clip}.wav"), "textgrid": str(LJSPEECH / f"{clip}.TextGrid")}
        stories.append({"name": clip, "split": part, **files, "responses": {"e1": f"{clip}.npy"}})
    spec = {"braindash": 1, "kind": "table", "id": "clips", "signal": "electrodes", "tr": 0.25, "stories": stories}
    study = open_table(write(tmp_path, spec))
    report = check_study(study)
    assert report.ok, report.lines()
    assert study.signal == "electrodes"
    assert all(s.words for s in report.stories)
    for story in study.stories.values():
        assert story.words is not None
        assert len(story.words) >= 5
        assert story.words["offset"].max() <= story.duration + 0.1


def test_fingerprint_follows_the_response_files(folder: Path) -> None:
    before = open_table(folder).fingerprint()
    assert open_table(folder).fingerprint() == before
    as_csv(folder / "sub-01_s1.csv", values("s2", "sub-01"))
    assert open_table(folder).fingerprint() != before
