"""RSA of a run: a planted geometry is found in its layer, counts are stated, mistakes change nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
import yaml
from mini_study import write_mini_study
from tiny_models import save_tiny

import braindash.cli as cli
from braindash.config import Home, TuneConfig
from braindash.errors import BraindashError
from braindash.features.spans import pool_spans
from braindash.runs.record import Run, RunStore
from braindash.runs.rsa import RSA, read_rdms, read_rsa, rsa_run
from braindash.runs.rsa_conditions import choose_conditions, mel_patterns, repeat_patterns, response_patterns
from braindash.runs.rsa_display import MOST_BYTES, RDMS, write_rdms
from braindash.runs.rsa_regions import Regions, Settings, score_regions
from braindash.runs.rsa_rows import Scored, cells, layer_rows, space_rows, subject_rows
from braindash.runs.rsa_spaces import choose_spaces

N_TRS, TR, DELAY = 60, 2.0, 5.0
PLANTED = 3  # the layer whose geometry the region "early" has (a tiny model's layers are all much alike)
WORDS = ("sun", "rain", "wind")


def plant(folder: Path, model_folder: Path) -> None:
    """Let 12 targets follow the layer 5 s later, give every story words, and leave the other targets be."""
    from braindash.speech import open_model

    model = open_model(str(model_folder))
    rng = np.random.default_rng(1)
    mixing = rng.standard_normal((model.width, 12))
    spec = yaml.safe_load((folder / "study.yaml").read_text())
    times = TR / 2 + TR * np.arange(N_TRS)
    for story in spec["stories"]:
        audio, _ = sf.read(folder / story["audio"], dtype="float32")
        heard = np.clip(np.stack([times - DELAY - TR / 2, times - DELAY + TR / 2], axis=1), 0, None)
        states, _ = pool_spans(model, audio, heard, [PLANTED])
        drive = (states[0] - states[0].mean(0)) / states[0].std(0) @ mixing
        for file in story["responses"].values():
            y = pd.read_csv(folder / file)
            noise = rng.standard_normal(drive.shape)
            planted = pd.DataFrame(drive + 1.0 * noise, columns=[f"early{i}" for i in range(12)])
            other = pd.DataFrame(rng.standard_normal(drive.shape), columns=[f"other{i}" for i in range(12)])
            pd.concat([y, planted, other], axis=1).to_csv(folder / file, index=False)
        onsets = np.sort(rng.uniform(1, N_TRS * TR - 20, 90))
        words = pd.DataFrame({"word": rng.choice([f"{w}{k}" for w in WORDS for k in range(6)], 90), "onset": onsets})
        words.assign(offset=onsets + 0.3).to_csv(folder / f"{story['name']}.tsv", sep="\t", index=False)
        story["words"] = f"{story['name']}.tsv"
    targets = pd.read_csv(folder / "targets.csv")
    more = pd.DataFrame({"name": [f"early{i}" for i in range(12)], "roi": "early", "hemi": "L", "noise_ceiling": 0.8})
    none = more.assign(name=[f"other{i}" for i in range(12)], roi="other")
    pd.concat([targets, more, none]).to_csv(folder / "targets.csv", index=False)
    (folder / "study.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    from braindash.speech import open_model
    from braindash.studies import open_study
    from braindash.studies.library import add_study
    from braindash.tuning import tune

    folder = tmp_path_factory.mktemp("rsa")
    home = Home(folder / "home")
    model = save_tiny("wav2vec2", folder / "tiny")
    plant(write_mini_study(folder / "mini", subjects=2, n_trs=N_TRS), model)
    add_study(home, "table", folder / "mini")
    config = TuneConfig.model_validate(
        {"study": "mini", "model": str(model), "precision": "fp32", "optimiser": {"epochs": 1, "lr": 0.03}}
    )
    run = RunStore(home).create(config)
    tune(
        open_study("mini", home), open_model(str(model), home), config, run.path,
        progress=lambda row: None, should_stop=lambda: False,
    )  # fmt: skip
    run.update_status(state="done", tuned=True)
    return run


@pytest.fixture(scope="module")
def document(run: Run) -> dict:
    return rsa_run(run, unit="tr", rois=["early", "other", "loud"], n_permutations=199, n_boot=200)


@contextmanager
def files_kept(run: Run) -> Iterator[None]:
    """Put back what the fixture wrote."""
    kept = {name: (run.path / name).read_bytes() for name in (RSA, RDMS)}
    yield
    for name, content in kept.items():
        (run.path / name).write_bytes(content)


def rows_of(document: dict, **wanted: object) -> pd.DataFrame:
    table = pd.DataFrame(document["rows"])
    for key, value in wanted.items():
        table = table[table[key] == value]
    return table


def test_a_planted_geometry_is_found_and_noise_is_not(document: dict) -> None:
    for subject in ("sub-01", "sub-02", "all"):
        own = rows_of(document, model="pretrained", roi="early", subject=subject, layer=PLANTED).iloc[0]
        noise = rows_of(document, model="pretrained", roi="other", subject=subject, layer=PLANTED).iloc[0]
        assert own["similarity"] > 0.2
        assert own["ci_low"] > 0
        assert own["partial"] > 0.1  # more than the spectrum of the sound
        assert abs(noise["similarity"]) < 0.1
        assert own["ceiling_low"] > noise["ceiling_low"]
        if subject != "all":
            assert own["p"] <= 0.01
            assert own["q"] <= 0.05
            assert noise["p"] > 0.02
            assert own["n_targets"] == 12
    assert document["n_conditions"] == len(document["conditions"]) < 2 * N_TRS
    assert document["left_out"] > 0  # the last seconds of each story have no response
    assert "Left out, with fewer than 10 usable targets in a subject: loud." in document["caveats"]


def test_changes_are_zero_below_the_tuned_blocks_and_not_above(document: dict) -> None:
    table = pd.DataFrame(document["differences"])
    assert set(table["model"]) == {"brain_tuned"}
    assert (table[table["layer"] == 0]["delta"].abs() < 1e-9).all()
    assert (table[table["layer"] == 3]["delta"].abs() > 0).any()
    assert (table["ci_low"] <= table["delta"]).all()
    assert (table["delta"] <= table["ci_high"]).all()


def test_layers_below_the_tuned_blocks_are_the_same_by_cka(document: dict) -> None:
    cka = document["cka"]
    matrix = np.array(cka["matrix"], dtype=float)
    where = {(m, k): i for i, (m, k) in enumerate(zip(cka["model"], cka["layer"], strict=True))}
    assert matrix[where["pretrained", 0], where["brain_tuned", 0]] == pytest.approx(1.0, abs=1e-4)
    assert matrix[where["pretrained", 3], where["brain_tuned", 3]] < 1
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-5)


def test_what_is_written_is_read_back(run: Run, document: dict) -> None:
    found = read_rsa(run.path)
    assert found is not None
    assert found["rows"][0]["similarity"] == pytest.approx(document["rows"][0]["similarity"])
    assert np.isnan([r["p"] for r in found["rows"] if r["subject"] == "all"]).all()
    raw = json.loads((run.path / RSA).read_text())
    assert None in [r["p"] for r in raw["rows"]]


def test_responses_are_taken_when_they_come(run: Run) -> None:
    from braindash.studies import open_study

    study = open_study("mini", run.home)
    conditions = choose_conditions(study, ["sub-01"], "segment", 6.0, DELAY)
    values, usable = response_patterns(study, "sub-01", conditions)
    story = conditions.stories[0]
    Y = study.read_responses(story, "sub-01").astype(float)
    times = study.row_times(story, "sub-01")
    k = 4
    start, stop = conditions.spans[k]
    inside = (times >= start + DELAY) & (times < stop + DELAY)
    assert inside.sum() == 3
    wanted = ((Y - Y.mean(0)) / np.where(Y.std(0) > 0, Y.std(0), 1))[inside].mean(0)
    np.testing.assert_allclose(values[k][usable], wanted[usable], atol=1e-9)
    assert not usable[12]
    assert not usable[13]
    mel = mel_patterns(study, conditions)
    assert mel.shape == (len(conditions.labels), 40)


def test_words_are_the_mean_of_their_occurrences(run: Run, document: dict) -> None:
    from braindash.studies import open_study

    study = open_study("mini", run.home)
    conditions = choose_conditions(study, ["sub-01"], "word", 6.0, DELAY)
    assert set(conditions.labels) <= {f"{w}{k}" for w in WORDS for k in range(6)}
    assert (conditions.counts() >= 2).all()
    assert conditions.groups is None
    with files_kept(run):
        words = rsa_run(run, unit="word", rois=["early"], n_permutations=99, n_boot=100)
    assert words["settings"]["exclude"] == 0
    assert "slow" in " ".join(words["caveats"])
    assert "word_rate" in {e["space"] for e in words["spaces_left_out"]}  # one word is one word


def test_spaces_are_counted_by_onset_and_compared(run: Run, document: dict, tmp_path: Path) -> None:
    from braindash.studies import open_study

    study = open_study("mini", run.home)
    conditions = choose_conditions(study, ["sub-01"], "segment", 6.0, DELAY)
    vectors = {f"{w}{k}": np.random.default_rng(9 * i + k).standard_normal(5).tolist()
               for i, w in enumerate(WORDS) for k in range(5)}  # fmt: skip
    (tmp_path / "v.json").write_text(json.dumps(vectors))
    found = choose_spaces(study, conditions, mel_patterns(study, conditions), "correlation", tmp_path / "v.json")
    assert list(found.patterns) == ["spectral", "word_rate", "meaning"]
    assert found.metrics == {"spectral": "correlation", "word_rate": "euclidean", "meaning": "correlation"}
    assert {e["space"] for e in found.left_out} == {"articulatory", "phones"}
    assert "has no phones" in found.left_out[0]["why"]
    rate, meaning = np.zeros(len(conditions.labels)), np.zeros((len(conditions.labels), 5))
    for k, (start, stop) in enumerate(conditions.spans):
        words = study.story(conditions.stories[conditions.story[k]]).words
        inside = words[(words["onset"] >= start) & (words["onset"] < stop)]
        rate[k] = len(inside)
        meaning[k] = sum((np.array(vectors.get(str(w), [0.0] * 5)) for w in inside["text"]), np.zeros(5))
    z = (rate - rate.mean()) / rate.std()
    np.testing.assert_allclose(found.patterns["word_rate"].rdm(), (z[:, None] - z[None]) ** 2, atol=2e-5)
    z = (meaning - meaning.mean(0)) / meaning.std(0)
    np.testing.assert_allclose(found.patterns["meaning"].rdm(), 1 - np.corrcoef(z), atol=2e-5)

    assert {r["space"] for r in document["spaces"]} == {"spectral", "word_rate"}
    assert {r["subject"] for r in document["spaces"]} == {"sub-01", "sub-02", "all"}
    assert all(r["ci_low"] <= r["similarity"] <= r["ci_high"] for r in document["spaces"])
    assert "There are no word vectors." in {e["why"] for e in document["spaces_left_out"]}
    own = {(r["model"], r["layer"]): r["similarity"] for r in document["layer_spaces"] if r["space"] == "spectral"}
    assert own["pretrained", 0] == pytest.approx(own["brain_tuned", 0], abs=1e-6)


def test_what_a_layer_shares_with_a_region_through_sound_is_not_beyond_sound() -> None:
    from braindash import rsa

    rng = np.random.default_rng(4)
    n = 90
    sound, meaning = rng.standard_normal((n, 20)), rng.standard_normal((n, 20))

    def mixed(*parts: np.ndarray) -> rsa.Patterns:
        values = np.concatenate(parts, axis=1)
        return rsa.prepare(values + 0.5 * rng.standard_normal(values.shape))

    items = [mixed(sound), mixed(sound, meaning), rsa.prepare(sound), rsa.prepare(meaning)]
    own = Regions({"auditory": mixed(sound), "language": mixed(meaning)}, {"auditory": 30, "language": 30}, ["tiny"])
    every = rsa.correlations([*items, *own.patterns.values()])
    settings = Settings("spearman", 0, 3, None, 199, 100, 0)
    scored = {"s": score_regions(own, items, 2, ["spectral", "meaning"], every, [4, 5], settings)}
    rows, _ = layer_rows([("pretrained", 0), ("pretrained", 1)], scored, {}, n, 3)
    by = {(r["layer"], r["roi"]): r for r in rows}
    assert by[0, "auditory"]["similarity"] > 0.4
    assert abs(by[0, "auditory"]["partial"]) < 0.1
    assert by[0, "auditory"]["partial_ci_low"] < 0 < by[0, "auditory"]["partial_ci_high"]
    assert by[1, "language"]["partial"] > 0.25
    assert by[1, "language"]["partial_ci_low"] > 0
    found = {(r["space"], r["roi"]): r for r in space_rows(["spectral", "meaning"], 2, scored, n, 3)}
    for space, roi in (("spectral", "auditory"), ("meaning", "language")):
        assert found[space, roi]["similarity"] > 0.4
        assert found[space, roi]["q"] <= 0.01
    for space, roi in (("meaning", "auditory"), ("spectral", "language")):
        assert abs(found[space, roi]["similarity"]) < 0.15
        assert found[space, roi]["p"] > 0.02


def test_rdms_for_display_are_those_compared(run: Run, document: dict) -> None:
    from scipy.spatial.distance import squareform

    from braindash import rsa
    from braindash.runs.rsa_spaces import standardised
    from braindash.speech import open_model
    from braindash.studies import open_study

    rdms = read_rdms(run.path)
    assert rdms is not None
    assert list(rdms["label"].values) == document["conditions"]
    assert rdms.attrs["written"] > 0
    assert rdms["layer_rdm"].dims == ("model", "layer", "pair")
    assert set(rdms["roi"].values) == {"early", "other"}
    study = open_study("mini", run.home)
    conditions = choose_conditions(study, ["sub-01", "sub-02"], "tr", 6.0, DELAY)
    np.testing.assert_allclose(rdms["start"], conditions.spans[:, 0])
    model = open_model(run.config.model, run.home)
    states = [
        pool_spans(model, study.audio(s), conditions.spans[conditions.of_story(s)], [2])[0][0]
        for s in conditions.stories
    ]
    wanted = squareform(rsa.prepare(standardised(np.concatenate(states))).rdm(), checks=False)
    shown = rdms["layer_rdm"].sel(model="pretrained", layer=2).values
    np.testing.assert_allclose(shown, wanted, atol=2e-4)  # steps of a 65,534th of the range
    responses, _ = response_patterns(study, "sub-02", conditions)
    early = [i for i, name in enumerate(study.targets("sub-02")["name"]) if name.startswith("early")]
    wanted = squareform(rsa.prepare(standardised(responses[:, early])).rdm(), checks=False)
    np.testing.assert_allclose(rdms["region_rdm"].sel(subject="sub-02", roi="early"), wanted, atol=2e-4)
    assert len(document["mds"]) == 2 * 4 + 2 * 2
    assert 0 <= document["mds_stress"] < 1
    spots = {(r["model"], r["layer"]): (r["x"], r["y"]) for r in document["mds"] if r["what"] == "layer"}
    assert spots["pretrained", 0] == pytest.approx(spots["brain_tuned", 0], abs=1e-3)


def test_many_conditions_are_thinned_and_the_file_stays_small(tmp_path: Path) -> None:
    from braindash import rsa
    from braindash.runs.rsa_conditions import Conditions

    n, rng = 900, np.random.default_rng(0)
    spans = np.stack([np.arange(n) * 2.0, np.arange(n) * 2.0 + 2], axis=1)
    conditions = Conditions("tr", [f"c{i}" for i in range(n)], ["s"], np.zeros(n, int), spans, np.arange(n), 5.0,
                            np.zeros(n, int), 0, n)  # fmt: skip
    layers = {("pretrained", k): rsa.prepare(rng.standard_normal((n, 8))) for k in range(3)}
    regions = {("a", "x"): layers["pretrained", 0], ("b", "y"): layers["pretrained", 1]}
    assert write_rdms(tmp_path, layers, regions, conditions, {"unit": "tr"}) == 300
    rdms = read_rdms(tmp_path)
    assert rdms is not None
    shown = rdms["condition"].values
    assert shown[0] == 0
    assert shown[-1] == n - 1
    assert set(np.diff(shown)) == {3, 4} or set(np.diff(shown)) == {3}
    i, j = np.triu_indices(300, 1)
    wanted = layers["pretrained", 2].rdm()[np.ix_(shown, shown)][i, j]
    np.testing.assert_allclose(rdms["layer_rdm"][0, 2], wanted, atol=1e-4)
    assert np.isnan(rdms["region_rdm"].sel(subject="a", roi="y")).all()
    many = {("pretrained", k): layers["pretrained", 0] for k in range(600)}
    assert write_rdms(tmp_path, many, regions, conditions, {}) < 150
    assert (tmp_path / RDMS).stat().st_size < 1.1 * MOST_BYTES
    (tmp_path / RDMS).write_bytes(b"CDF\x01 and then nothing")
    with pytest.raises(BraindashError, match="braindash rsa"):
        read_rdms(tmp_path)


@pytest.mark.parametrize("compare", ["kendall", "whitened", "whitened_cosine"])
def test_other_comparisons_find_the_planted_layer_too(run: Run, document: dict, compare: str) -> None:
    with files_kept(run):
        document = rsa_run(run, unit="segment", rois=["early"], layers=[0, PLANTED], subjects=["sub-01"],
                           compare=compare, n_permutations=49, n_boot=20)  # fmt: skip
    row = next(r for r in document["rows"] if r["model"] == "pretrained" and r["layer"] == PLANTED)
    assert row["p"] <= 0.06
    assert document["compare"] == compare
    assert "there is 1." in document["group_note"]
    assert document["group_note"] in document["caveats"]
    assert np.isnan(row["ceiling_low"])


def test_crossnobis_needs_repeats_and_takes_them(run: Run, tmp_path: Path) -> None:
    from braindash import rsa
    from braindash.studies import open_study

    with pytest.raises(BraindashError, match=r"there are 2 test stories, each with one response"):
        rsa_run(run, unit="tr", metric="crossnobis")
    study = open_study("mini", run.home)
    rng = np.random.default_rng(5)
    single = {s: study.read_responses(s, "sub-01") for s in study.stories}

    def repeats(story: str, subject: str) -> np.ndarray | None:
        return None if story == "five" else np.stack([single[story] + noise for noise in noises[story]])

    noises = {s: rng.standard_normal((3, *single[s].shape)).astype(np.float32) for s in single}
    study.read_repeats = repeats  # type: ignore[method-assign]
    study.n_repeats = lambda story, subject: 1 if story == "five" else 3  # type: ignore[method-assign]
    conditions = choose_conditions(study, ["sub-01"], "tr", 6.0, DELAY, repeated=True)
    assert conditions.stories == ["six"]
    values, usable = repeat_patterns(study, "sub-01", conditions)
    assert values.shape == (3, len(conditions.labels), len(usable))
    times, (start, stop) = study.row_times("six", "sub-01"), conditions.spans[7] + DELAY
    row = int(np.flatnonzero((times >= start) & (times < stop))[0])
    R = np.asarray(repeats("six", "sub-01"), dtype=float)
    wanted = (R[1] - R[1].mean(0)) / np.where(R.mean(0).std(0) > 0, R.mean(0).std(0), 1)
    np.testing.assert_allclose(values[1, 7][usable], wanted[row][usable], atol=1e-6)
    # noise alone: squared distances are large, cross-validated ones are 0 on average
    only = rng.standard_normal((3, 40, 25))
    assert abs(rsa.crossnobis(only).mean()) < 0.05
    assert rsa.prepare(only.mean(0), "euclidean").mean() > 0.5


def test_crossnobis_of_a_run_uses_the_repeated_stories(
    run: Run, document: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    from braindash.studies.table import TableStudy

    rng = np.random.default_rng(6)

    def repeats(self: TableStudy, story: str, subject: str) -> np.ndarray | None:
        if story == "five":
            return None
        mean = self.read_responses(story, subject)
        noise = rng.standard_normal((2, *mean.shape)).astype(np.float32)
        return np.stack([mean, mean]) + noise - noise.mean(0)

    monkeypatch.setattr(TableStudy, "read_repeats", repeats)
    monkeypatch.setattr(TableStudy, "n_repeats", lambda self, story, subject: 1 if story == "five" else 2)
    with files_kept(run):
        document = rsa_run(
            run, unit="tr", metric="crossnobis", rois=["early", "other"], block=5, n_permutations=99, n_boot=50
        )
    assert document["stories"] == ["six"]
    said = " ".join(document["caveats"])
    assert "cross-validated over 2 repeats, with the identity for the noise covariance" in said
    assert "Without repeats, so left out: five." in said
    rows = rows_of(document, model="pretrained", layer=PLANTED, subject="all").set_index("roi")["similarity"]
    assert rows["early"] > rows["other"] + 0.1


def test_subjects_are_tested_where_there_are_enough() -> None:
    def rows_for(n: int) -> tuple[list[dict], list[dict]]:
        rng = np.random.default_rng(0)
        scored = {
            f"s{i}": Scored({"roi": 10}, [], np.zeros((1, 3)), np.array([[0.3], [0.4]]), np.full((2, 1), 0.01),
                            rng.normal(0.3, 0.05, (50, 2, 1)), np.zeros((2, 1)), np.zeros((50, 2, 1)))
            for i in range(n)
        }  # fmt: skip
        assert len(cells(scored)) == n + (n > 1)
        return layer_rows([("pretrained", 4), ("brain_tuned", 4)], scored, {}, 60, 3)

    for n, tested, said in ((4, 0, "needs 5, and there are 4"), (5, 2, "needs 6, and there are 5"), (6, 3, "")):
        rows, changes = rows_for(n)
        group, note = subject_rows(rows, changes)
        assert len(group) == tested
        assert said in note
        assert bool(note) == (n < 6)
    assert {r["measure"] for r in group} == {"similarity", "delta"}
    assert min(r["p"] for r in group) == pytest.approx(1 / 64)


def test_the_verb_prints_a_table_and_mistakes_exit_with_two(
    run: Run, document: dict, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BRAINDASH_HOME", str(run.home.path))
    command = ["rsa", run.id, "--rois", "early", "--unit", "tr", "--permutations", "99"]
    with pytest.raises(SystemExit) as ended:
        cli.main(command)
    assert ended.value.code in (0, None)
    said = capsys.readouterr().out
    assert "beyond sound" in said
    assert "Sound spectrum" in said
    assert "Left out: meaning, because There are no word vectors." in said
    assert "early" in said
    before = (run.path / RSA).read_bytes()
    for more, cause in (
        (["--unit", "wrod"], "word"),
        (["--metric", "corelation"], "correlation"),
        (["--metric", "crossnobis"], "Crossnobis needs test stories that every subject heard twice"),
        (["--compare", "kendal"], "kendall"),
        (["--rois", "quiet"], "No region of 'sub-01' has 10 usable targets"),
        (["--seconds", "30", "--unit", "segment"], "are needed"),
        (["--block", "50"], "whole blocks"),
    ):
        with pytest.raises(SystemExit) as ended:
            cli.main([*command, *more])
        assert ended.value.code == 2
        assert cause in capsys.readouterr().err
    assert (run.path / RSA).read_bytes() == before


def test_a_file_that_cannot_be_read_is_said(run: Run, tmp_path: Path) -> None:
    assert read_rsa(tmp_path) is None
    (tmp_path / RSA).write_text("{")
    with pytest.raises(BraindashError, match="braindash rsa"):
        read_rsa(tmp_path)
