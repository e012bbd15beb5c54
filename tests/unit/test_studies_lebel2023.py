"""The ds003020 tree: its timing, its files, and every trap they hold."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import lebel_fixture as fx
import numpy as np
import pandas as pd
import pytest

from braindash.errors import BraindashError, NotDownloadedError
from braindash.studies import add_study, check_study, open_study
from braindash.studies.lebel2023 import Lebel2023, open_lebel2023, row_times

META = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "ds003020_meta"


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fx.make_tree(tmp_path_factory.mktemp("ds003020"))


@pytest.fixture
def tree(pristine: Path, tmp_path: Path) -> Path:
    """A tree of one's own to damage; the audio is linked, not copied."""
    root = tmp_path / "ds003020"
    shutil.copytree(pristine, root, ignore=shutil.ignore_patterns("*.wav"))
    for wav in (pristine / "stimuli").glob("*.wav"):
        (root / "stimuli" / wav.name).symlink_to(wav)
    return root


def problems(study: Lebel2023, level: str) -> list[str]:
    return [f.what for f in study.check() if f.level == level]


def test_rows_are_where_the_lab_put_them() -> None:
    times = row_times(291)
    assert times[0] == pytest.approx(11.04725)
    assert np.diff(times) == pytest.approx(2.0045)
    # independently: simulate the lab's clock of 311 volumes, 5 short, sound at 10 s, features cut [10:-5]
    trigger = np.arange(311 - 5) * 2.0045
    np.testing.assert_allclose(times, (trigger - 10 + 2.0045 / 2)[10:-5])


def test_a_whole_tree(pristine: Path) -> None:
    study = open_lebel2023(pristine)
    assert study.id == study.kind == "lebel2023"
    assert study.subjects == ("UTS01", "UTS04", "UTS09")
    assert study.split.test == ("wheretheressmoke",)
    assert study.split.validation == ("souls",)
    assert study.split.tune == ("adollshouse", "hangtime", "legacy")
    assert "naked" not in study.stories
    y = study.read_responses("hangtime", "UTS04")
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, fx.responses("UTS04", "hangtime"), rtol=1e-6)
    assert len(study.row_times("hangtime", "UTS04")) == len(y) == 34 - 20
    repeats = study.read_repeats("wheretheressmoke", "UTS01")
    assert repeats is not None
    assert repeats.shape == (10, 13, 23)
    np.testing.assert_allclose(repeats.mean(axis=0), study.read_responses("wheretheressmoke", "UTS01"), atol=1e-5)
    assert study.read_repeats("souls", "UTS01") is None
    targets = study.targets("UTS01")
    assert list(targets.columns) == ["name", "hemi", "roi"]
    assert len(targets) == 23
    assert set(targets["roi"]) == {""}
    cortex = study.cortex("UTS01")
    assert cortex is not None
    assert (cortex.space, cortex.subject, cortex.transform) == ("pycortex", "UTS01", "UTS01_auto")
    np.testing.assert_array_equal(cortex.index, np.arange(23))
    assert study.cortex("UTS09") is None
    audio = study.audio("legacy")
    assert len(audio) == pytest.approx(fx.duration("legacy") * 16_000, abs=2)
    assert np.abs(audio[: 9 * 16_000]).max() < 1e-4 < np.abs(audio[12 * 16_000 :]).max()


def test_textgrids_of_every_format_and_overlapping_phones(pristine: Path) -> None:
    study = open_lebel2023(pristine)
    for story in study.stories.values():
        assert story.words is not None
        assert story.words.to_numpy().tolist() == [["ABOUT", 10.0, 11.0]]
        assert story.phones is not None
        assert story.phones["text"].tolist() == ["AH0", "B", "AW1"]
    phones = study.story("wheretheressmoke").phones
    assert phones is not None
    assert phones["offset"].iloc[0] > phones["onset"].iloc[1]


def test_opening_reads_no_responses_and_no_textgrid(pristine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("opened too early")

    monkeypatch.setattr(h5py, "File", refuse)
    monkeypatch.setattr("braindash.studies.lebel2023.from_textgrid", refuse)
    assert len(open_lebel2023(pristine).stories) == 5


def test_report_of_a_whole_tree(pristine: Path) -> None:
    report = check_study(open_lebel2023(pristine))
    assert report.ok
    by_subject = {r.subject: r for r in report.subjects}
    assert by_subject["UTS01"].ceiling == "from 10 repeats"
    assert by_subject["UTS04"].ceiling == "from 5 repeats"
    assert by_subject["UTS01"].cortex == "pycortex UTS01 UTS01_auto"
    assert by_subject["UTS09"].cortex == "none"
    assert by_subject["UTS04"].n_targets == 19
    assert by_subject["UTS04"].n_excluded_nan == by_subject["UTS04"].n_excluded_constant == 0
    rows = sum(n - 20 for s, n in fx.N_VOLUMES.items() if s != "naked")
    assert by_subject["UTS04"].hours == pytest.approx(rows * 2.0045 / 3600)
    story = next(s for s in report.stories if s.name == "hangtime")
    assert story.n_rows == {"UTS01": 14, "UTS04": 14, "UTS09": 14}
    assert story.words
    notes = [f.what for f in report.findings if f.level == "note"]
    assert any("UTS09" in n and "no pycortex transform" in n for n in notes)
    (unnamed,) = [n for n in notes if "UTS01" in n]
    assert "no region names where overlays.svg is not there (UTS01, UTS04)" in unnamed
    text = "\n".join(report.lines())
    assert "from 10 repeats" in text
    assert text.endswith("The study can be used.")


@pytest.mark.parametrize("unfetch", [fx.unfetch_link, fx.unfetch_pointer])
def test_unfetched_responses_are_named_and_not_heard(tree: Path, unfetch: Callable[[Path], None]) -> None:
    unfetch(fx.response_file(tree, "UTS01", "hangtime"))
    study = open_lebel2023(tree)
    assert "hangtime" not in study.heard("UTS01")
    assert "hangtime" in study.heard("UTS04")
    finding = next(f for f in study.check() if "not downloaded" in f.what)
    assert finding.level == "warning"
    assert "'UTS01': 1 response files are not downloaded (hangtime)" in finding.what
    assert "datalad get" in finding.remedy
    with pytest.raises(BraindashError, match="'UTS01' has no responses to story 'hangtime'"):
        study.read_responses("hangtime", "UTS01")


def test_a_subject_that_is_not_fetched_at_all(tree: Path) -> None:
    for story in fx.HEARD_BY_ALL:
        fx.unfetch_link(fx.response_file(tree, "UTS04", story))
    assert open_lebel2023(tree).subjects == ("UTS01", "UTS09")
    with pytest.raises(NotDownloadedError, match="None of the 5 response files of UTS04"):
        open_lebel2023(tree, subjects=("UTS04",))


def test_nothing_fetched(tree: Path) -> None:
    for subject in fx.N_VOXELS:
        for story in fx.HEARD_BY_ALL:
            fx.unfetch_link(fx.response_file(tree, subject, story))
    with pytest.raises(NotDownloadedError, match="No response file"):
        open_lebel2023(tree)


def test_unfetched_audio_leaves_the_story_out_and_says_so(tree: Path) -> None:
    wav = tree / "stimuli" / "hangtime.wav"
    fx.unfetch_link(wav)
    study = open_lebel2023(tree)
    assert "hangtime" not in study.stories
    assert any("'hangtime' is left out" in w and "not downloaded" in w for w in problems(study, "warning"))
    with pytest.raises(NotDownloadedError):
        open_lebel2023(tree, stories=("hangtime", "wheretheressmoke"))


def test_without_the_test_story_there_is_an_error(tree: Path) -> None:
    fx.unfetch_link(tree / "stimuli" / "wheretheressmoke.wav")
    study = open_lebel2023(tree)
    assert any("no test story" in e for e in problems(study, "error"))


def test_unfetched_textgrid_is_a_note(tree: Path) -> None:
    fx.unfetch_link(tree / "derivative" / "TextGrids" / "souls.TextGrid")
    study = open_lebel2023(tree)
    assert study.story("souls").words is None
    assert any("TextGrid of story 'souls' is not downloaded" in n for n in problems(study, "note"))


def test_a_story_that_a_subject_did_not_hear(tree: Path) -> None:
    fx.response_file(tree, "UTS04", "legacy").unlink()
    study = open_lebel2023(tree)
    assert "legacy" not in study.heard("UTS04")
    assert study.stories_of("tune", "UTS04") == ("adollshouse", "hangtime")
    assert any("'UTS04' has no responses to 1 of 5 stories (legacy)" in n for n in problems(study, "note"))
    report = check_study(study)
    assert report.ok
    assert next(s for s in report.stories if s.name == "legacy").n_rows == {"UTS01": 15, "UTS09": 15}


@pytest.mark.parametrize("n_rows", [13, 15])
def test_a_row_too_many_or_too_few(tree: Path, n_rows: int) -> None:
    data = fx.responses("UTS01", "hangtime", n_rows)
    fx.write_responses(fx.response_file(tree, "UTS01", "hangtime"), "UTS01", "hangtime", data)
    study = open_lebel2023(tree)
    errors = problems(study, "error")
    assert len(errors) == 1
    expected = f"Story 'hangtime', subject 'UTS01': {n_rows} rows, where respdict.json promises 14"
    assert errors[0].startswith(expected)
    with pytest.raises(BraindashError, match=r"respdict\.json promises 14"):
        study.read_responses("hangtime", "UTS01")


def test_nan_and_constant_voxels_are_counted_not_filled(tree: Path) -> None:
    data = fx.responses("UTS01", "souls")
    data[3, 4] = np.nan
    data[:, 7] = 2.5
    data[:, 4] = np.where(np.isnan(data[:, 4]), np.nan, 1.0)  # NaN and constant: counted once, as NaN
    data[0, 9] = np.inf
    fx.write_responses(fx.response_file(tree, "UTS01", "souls"), "UTS01", "souls", data)
    study = open_lebel2023(tree)
    assert np.isnan(study.read_responses("souls", "UTS01")[3, 4])
    report = check_study(study)
    assert report.ok
    row = report.subjects[0]
    assert (row.n_excluded_nan, row.n_excluded_constant) == (2, 1)
    assert np.flatnonzero(~study.usable("UTS01")).tolist() == [4, 7, 9]
    excluded = [f for f in report.findings if f.level == "excluded"]
    assert [f.n for f in excluded] == [2, 1]
    assert "2 of 23 targets" in excluded[0].what


def test_a_damaged_file_is_an_error_not_a_crash(tree: Path) -> None:
    fx.response_file(tree, "UTS09", "legacy").write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 5000)
    with h5py.File(fx.response_file(tree, "UTS09", "hangtime"), "w") as f:
        f["other"] = np.zeros((14, 21))
    study = open_lebel2023(tree)
    errors = problems(study, "error")
    assert any("legacy.hf5 is damaged or no HDF5 file" in e for e in errors)
    assert any("no 2-D dataset 'data' (only other)" in e for e in errors)
    assert not check_study(study).ok


def test_a_mask_of_another_size_is_an_error(tree: Path) -> None:
    folder = tree / "derivative/pycortex-db/UTS01/transforms/UTS01_auto"
    shutil.rmtree(folder)
    fx.write_mask(folder, 22)
    assert any("22 voxels, but UTS01 has 23 targets" in e for e in problems(open_lebel2023(tree), "error"))


def test_voxels_that_differ_between_stories(tree: Path) -> None:
    data = fx.responses("UTS01", "legacy")[:, :-1]
    fx.write_responses(fx.response_file(tree, "UTS01", "legacy"), "UTS01", "legacy", data)
    assert any("22 voxels, where its other stories have 23" in e for e in problems(open_lebel2023(tree), "error"))


def test_test_story_without_repeats_has_no_ceiling(tree: Path) -> None:
    with h5py.File(fx.response_file(tree, "UTS04", fx.TEST), "a") as f:
        del f["individual_repeats"]
    report = check_study(open_lebel2023(tree))
    assert next(r for r in report.subjects if r.subject == "UTS04").ceiling == "none"
    assert any("no individual_repeats" in f.what for f in report.findings)


def test_names_settings_and_places(tree: Path) -> None:
    with pytest.raises(BraindashError, match=r"no subject 'UTS1'.*Did you mean UTS01"):
        open_lebel2023(tree, subjects=("UTS1",))
    with pytest.raises(BraindashError, match=r"no story 'hangtimes'.*Did you mean hangtime"):
        open_lebel2023(tree, stories=("hangtimes",))
    with pytest.raises(BraindashError, match=r"no setting 'valid'.*validation"):
        open_lebel2023(tree, config={"valid": "souls"})
    with pytest.raises(BraindashError, match="both test and validation"):
        open_lebel2023(tree, config={"validation": ["wheretheressmoke"]})
    with pytest.raises(BraindashError, match="lies inside a ds003020 tree"):
        open_lebel2023(tree / "derivative")
    with pytest.raises(BraindashError, match="is not a ds003020 tree"):
        open_lebel2023(tree.parent / "nothing")
    study = open_lebel2023(tree, "mine", subjects=("UTS04",), config={"validation": "legacy"})
    assert study.id == "mine"
    assert study.subjects == ("UTS04",)
    assert study.split.validation == ("legacy",)
    assert "souls" in study.split.tune


def test_added_with_a_choice_it_opens_with_the_same(tree: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    chosen = ("souls", "hangtime", "wheretheressmoke")
    add_study(home, "lebel2023", tree, id="sub", subjects=["UTS04"], stories=chosen, config={"validation": ["souls"]})
    study = open_study("sub", home)
    assert set(study.stories) == set(chosen)
    assert study.subjects == ("UTS04",)
    before = study.fingerprint()
    fx.write_responses(
        fx.response_file(tree, "UTS04", "souls"),
        "UTS04",
        "souls",
        np.ones((12, fx.N_VOXELS["UTS04"]), dtype=np.float32),
    )
    assert open_study("sub", home).fingerprint() != before


def test_fixture_files_have_the_sizes_of_the_real_ones(pristine: Path) -> None:
    for subject, n in fx.N_VOXELS.items():
        for story in fx.HEARD_BY_ALL:
            if story != fx.TEST:
                size = fx.response_file(pristine, subject, story).stat().st_size
                assert size == 2048 + (fx.N_VOLUMES[story] - 20) * n * 8


@pytest.mark.skipif(not META.is_dir(), reason="the published metadata of ds003020 are not here")
def test_timing_fits_every_published_file() -> None:
    sizes = pd.read_csv(META / "manifest.tsv", sep="\t").set_index("path")["bytes"]
    volumes = json.loads((META / "respdict.json").read_text())
    assert len(volumes) == 84
    heard: dict[str, set[str]] = {}
    for story, n in volumes.items():
        last = row_times(n - 20)[-1]
        seconds = (sizes[f"stimuli/{story}.wav"] - 44) / (44_100 * 2)
        seconds = seconds / 2 if seconds / 2 > last else seconds  # stereo; some are mono
        assert 9 < seconds - last < 13, story
        for subject, n_voxels in (("UTS01", 81_126), ("UTS04", 109_469), ("UTS08", 97_023)):
            path = f"derivative/preprocessed_data/{subject}/{story}.hf5"
            if path in sizes and story != fx.TEST:
                assert sizes[path] == 2048 + (n - 20) * n_voxels * 8
    for path in sizes.index:
        if path.startswith("derivative/preprocessed_data/") and path.endswith(".hf5"):
            subject, name = path.split("/")[2:]
            heard.setdefault(subject, set()).add(name.removesuffix(".hf5"))
    common = set.intersection(*heard.values()) - {fx.TEST}
    assert len(heard) == 9
    assert len(common) == 24
    median = np.median([volumes[s] for s in common])
    assert "souls" in common
    assert abs(volumes["souls"] - median) == min(abs(volumes[s] - median) for s in common)
