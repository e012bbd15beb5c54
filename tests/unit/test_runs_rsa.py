"""RSA of a run: a planted geometry is found in its layer, counts are stated, mistakes change nothing."""

from __future__ import annotations

import json
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
from braindash.runs.rsa import RSA, read_rsa, rsa_run
from braindash.runs.rsa_conditions import choose_conditions, mel_patterns, response_patterns

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


def test_words_are_the_mean_of_their_occurrences(run: Run) -> None:
    from braindash.studies import open_study

    study = open_study("mini", run.home)
    conditions = choose_conditions(study, ["sub-01"], "word", 6.0, DELAY)
    assert set(conditions.labels) <= {f"{w}{k}" for w in WORDS for k in range(6)}
    assert (conditions.counts() >= 2).all()
    assert conditions.groups is None
    document = rsa_run(run, unit="word", rois=["early"], n_permutations=99, n_boot=100)
    assert document["settings"]["exclude"] == 0
    assert "slow" in " ".join(document["caveats"])


def test_the_verb_prints_a_table_and_mistakes_exit_with_two(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BRAINDASH_HOME", str(run.home.path))
    command = ["rsa", run.id, "--rois", "early", "--unit", "tr", "--permutations", "99"]
    with pytest.raises(SystemExit) as ended:
        cli.main(command)
    assert ended.value.code in (0, None)
    said = capsys.readouterr().out
    assert "beyond sound" in said
    assert "early" in said
    before = (run.path / RSA).read_bytes()
    for more, cause in (
        (["--unit", "wrod"], "word"),
        (["--metric", "corelation"], "correlation"),
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
