"""The hierarchy of a run, from its folder: what is there is used, what is not is said, what changed is made again."""

from __future__ import annotations

import functools
import json
import math
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from mini_study import write_mini_study
from tiny_models import save_tiny

import braindash.cli as cli
from braindash.comparing.differences import region_rows
from braindash.comparing.region_samples import RegionSamples
from braindash.config import Home, TuneConfig
from braindash.errors import BraindashError
from braindash.runs.documents import write_document
from braindash.runs.evaluate import evaluate_run, evaluated_subjects
from braindash.runs.hierarchy import HIERARCHY, hierarchy_of, hierarchy_run, read_hierarchy
from braindash.runs.hierarchy_inputs import hears_sound, selected_regions
from braindash.runs.record import Run, RunStore
from braindash.runs.results import open_results, write_results
from braindash.runs.transfer import siblings, transfer_rows

MODELS = ("pretrained", "brain_tuned", "block_permuted")
LAYERS = np.arange(5)
TASKS = {  # level, centre before, what tuning adds
    "mfcc": ("acoustic", 0.5, 0.0), "mel": ("acoustic", 0.8, 0.0), "phone": ("phonetic", 2.2, 0.0),
    "phones_in_sentence": ("phonetic", 2.5, 1.5), "word": ("lexical", 1.5, 0.0), "word_meaning": ("semantic", 2.0, 1.6),
}  # fmt: skip


def new_run(home: Home, **config: Any) -> Run:
    run = RunStore(home).create(TuneConfig.model_validate({"study": "mini", "model": "m"} | config))
    run.update_status(state="done", tuned=True)
    return run


# --- made-up results with a planted answer --------------------------------------------------------


def subject_data(name: str, rng: np.random.Generator, gain: float) -> xr.Dataset:
    """Make responses whose language targets are predicted better with depth, the more so after tuning."""
    n_stories, n_trs, n_targets = 5, 80, 24
    signal = rng.standard_normal((n_stories, n_trs, n_targets))
    y = signal + 0.7 * rng.standard_normal(signal.shape)
    noise = rng.standard_normal(signal.shape)
    sound = np.arange(n_targets) < 8
    shape = (len(MODELS), len(LAYERS), n_stories, n_targets)
    yp, pp, yy = np.empty(shape), np.empty(shape), ((y - y.mean(1, keepdims=True)) ** 2).sum(1)
    for i, model in enumerate(MODELS):
        for layer in LAYERS:
            more = gain * max(0, layer - 2) if model == "brain_tuned" else 0.0
            strength = np.where(sound, 1.2 - 0.2 * layer, 0.4 + 0.15 * layer + more)
            p = strength * signal + noise
            a, b = y - y.mean(1, keepdims=True), p - p.mean(1, keepdims=True)
            yp[i, layer], pp[i, layer] = (a * b).sum(1), (b**2).sum(1)
    dims = ("model", "layer", "unit", "target")
    r = yp.sum(2) / np.sqrt(yy.sum(0) * pp.sum(2))
    return xr.Dataset(
        {
            "r": (("model", "layer", "target"), r), "yp": (dims, yp), "pp": (dims, pp), "yy": (("unit", "target"), yy),
            "r_story": (("model", "layer", "story", "target"), yp / np.sqrt(yy * pp)),
            "noise_ceiling": ("target", np.full(n_targets, 0.8)),
        },
        coords={
            "model": list(MODELS), "layer": LAYERS, "story": [f"s{i}" for i in range(n_stories)],
            "unit_story": ("unit", [f"s{i}" for i in range(n_stories)]),
            "roi": ("target", np.repeat(["A1", "PBelt", "A5", "44"], [4, 4, 8, 8])),
            "hemi": ("target", np.tile(["L", "R"], n_targets // 2)),
            "subject": ("target", np.full(n_targets, name)),
        },
        attrs={"subject": name},
    )  # fmt: skip


@functools.lru_cache
def results(
    subjects: tuple[str, ...], pool: tuple[str, ...], gain: float
) -> tuple[dict[str, xr.Dataset], dict[str, Any]]:
    """Return arrays and records, by the code that an evaluation runs."""
    from braindash.runs.evaluate import choose_regions

    rng = np.random.default_rng(0)
    data = [subject_data(s, rng, gain) for s in subjects]
    masks = [choose_regions(d[["roi", "hemi"]].to_dataframe()) for d in data]
    kept = RegionSamples(dict.fromkeys(r for m in masks for r in m))
    rows, differences, against = region_rows(data, masks, threshold=0.1, n_boot=100, seed=0, pool=pool, keep=kept)
    encoding = xr.concat([d.drop_vars(["yp", "pp", "yy", "unit_story"]) for d in data], "target")
    records = {"encoding": rows, "differences": differences, "against_controls": against}
    return {"encoding": encoding, "regions": kept.dataset()}, records


def evaluated(run: Run, subjects: tuple[str, ...] = ("a", "b"), gain: float = 0.3, samples: bool = True) -> Run:
    """Write an evaluation into a run's folder."""
    tuned_on = run.config.subjects or subjects
    groups, records = results(subjects, tuned_on, gain)
    about = {
        "run": run.id, "study": "mini", "models": list(MODELS), "layers": LAYERS.tolist(), "subjects": list(subjects),
        "tuned_on": list(tuned_on), "simulated": False, "caveats": ["Only a test."],
    }  # fmt: skip
    write_results(run.path, {k: v for k, v in groups.items() if samples or k != "regions"}, about | records)
    return run


def probed(run: Run, arrays: bool = True) -> None:
    """Write probes whose depths follow `TASKS`, with their resamples."""
    rng = np.random.default_rng(1)
    samples = np.empty((len(MODELS), len(LAYERS), len(TASKS), 200), np.float32)
    rows, differences = [], []
    for t, (task, (level, centre, more)) in enumerate(TASKS.items()):
        drawn = rng.multinomial(12, np.full(12, 1 / 12), size=200) / 12
        units = 0.02 * rng.standard_normal((len(LAYERS), 12))
        for m, model in enumerate(MODELS):
            at = centre + (more if model == "brain_tuned" else 0.0)
            score = 0.2 + 0.3 * np.exp(-0.5 * (LAYERS - at) ** 2)
            of_units = score[:, None] + units + 0.005 * rng.standard_normal(units.shape)
            samples[m, :, t] = of_units @ drawn.T
            for layer in LAYERS.tolist():
                rows.append({"model": model, "task": task, "title": task.title(), "level": level, "layer": layer,
                             "score": of_units[layer].mean(), "ci_low": None, "ci_high": None,
                             "chance": 0.1})  # fmt: skip
                if model == "brain_tuned" and more:
                    fell = {"delta": -0.05 - layer / 100, "ci_low": -0.1, "ci_high": -0.01, "q": 0.01}
                    rose = {"delta": 0.05, "ci_low": 0.01, "ci_high": 0.09, "q": 0.01}
                    differences.append({"model": model, "task": task, "layer": layer} | (fell if layer < 2 else rose))
    facts = [{"name": n, "title": n.title(), "level": level, "chance": 0.1, "n_units": 12, "names": None}
             for n, (level, *_) in TASKS.items()]  # fmt: skip
    document = {"braindash": 1, "run": run.id, "models": list(MODELS), "layers": LAYERS.tolist(), "tasks": facts,
                "rows": rows, "differences": differences, "folds": []}  # fmt: skip
    write_document(run.path / "probing.json", document)
    if arrays:
        data = xr.Dataset(
            {"samples": (("model", "layer", "task", "sample"), samples)},
            {"model": list(MODELS), "layer": LAYERS, "task": list(TASKS)},
        )
        data.to_netcdf(run.path / "probing.nc", engine="scipy")


def verdicts(document: dict[str, Any]) -> dict[str, str]:
    return {f["id"]: f["verdict"] for f in document["findings"]}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def test_a_planted_hierarchy_comes_out(home: Home) -> None:
    run = evaluated(new_run(home))
    probed(run)
    found = hierarchy_run(run)
    assert found["changed_layers"] == [0, 1, 2, 3, 4]  # probes were made up anew at every layer
    assert found["measure"] == "r_norm"

    def depth(table: str, **wanted: Any) -> dict[str, Any]:
        (row,) = [r for r in found[table] if all(r[k] == v for k, v in wanted.items())]
        return dict(row)

    for model in MODELS:
        assert depth("regions", model=model, subject="all", roi="primary_auditory")["peak_layer"] == 0
        assert depth("regions", model=model, subject="all", roi="late_language")["peak_layer"] == 4
        assert depth("probes", model=model, task="mfcc")["peak_layer"] in (0, 1)
    assert depth("probes", model="pretrained", task="word_meaning")["peak_layer"] == 2
    assert depth("probes", model="brain_tuned", task="word_meaning")["peak_layer"] == 4
    before, after = depth("order", model="pretrained"), depth("order", model="brain_tuned")
    assert before["n_tasks"] == 6
    assert before["levels"] == ["acoustic", "phonetic", "lexical", "semantic"]
    assert after["rho"] > before["rho"] + 0.1
    assert found["order_change"]["step_ci_low"] > 0
    regions = depth("region_order", model="pretrained")
    assert (regions["n_regions"], regions["levels"]) == (4, ["primary_auditory", "early_auditory", "late_language"])
    assert regions["rho"] > 0.7  # A1 and PBelt were made alike: .74 or .95
    steeper = depth("slope_change", model="brain_tuned", against="pretrained", subject="all", roi="late_language")
    assert steeper["ci_low"] > 0
    same = depth("slope_change", model="block_permuted", against="pretrained", subject="all", roi="late_language")
    assert same["delta"] == 0
    assert [r["layer"] for r in found["forgetting"] if r["what"] == "probe"] == [1, 1, 0, 0]  # the largest fall first
    assert found["forgetting_tested"]["probe"] == 10
    said = verdicts(found)
    assert said["1_late_language"] == said["1_rising_curve"] == said["1_primary_auditory"] == "supported"
    assert said["2_acoustic_early"] == said["2_phones_late"] == said["c_block_permuted"] == "supported"
    assert said["c_forgetting"] == "not_supported"
    assert said["3_low_level"] == said["4_transfer"] == "cannot_tell"


def test_without_a_planted_gain_none_is_found(home: Home) -> None:
    said = verdicts(hierarchy_run(evaluated(new_run(home), gain=0.0)))
    assert said["1_late_language"] == said["1_rising_curve"] == "not_supported"
    assert said["1_primary_auditory"] == "supported"


def test_what_is_missing_leaves_tables_empty(home: Home) -> None:
    run = new_run(home)
    nothing = hierarchy_run(run)
    assert all(nothing[k] == [] for k in ("probes", "regions", "order", "slopes", "forgetting", "transfer", "reliance"))
    assert set(verdicts(nothing).values()) == {"cannot_tell"}
    probed(run, arrays=False)
    points = hierarchy_of(run)
    assert points["probes"][0]["peak_layer"] == points["probes"][0]["peak_layer"]
    assert math.isnan(points["probes"][0]["peak_low"])
    assert verdicts(points)["2_acoustic_early"] == "cannot_tell"  # no interval, no verdict
    evaluated(run, samples=False)
    older = hierarchy_of(run)
    assert any("before resamples of regions were kept" in c for c in older["caveats"])
    assert verdicts(older)["1_rising_curve"] == "supported"


def test_it_is_made_again_only_when_something_changed(home: Home) -> None:
    run = evaluated(new_run(home))
    first = hierarchy_of(run)
    text = (run.path / HIERARCHY).read_text()
    assert json.loads(text)["findings"]
    again = hierarchy_of(run)
    assert again["written"] == first["written"]
    assert (run.path / HIERARCHY).read_text() == text
    whole = read_hierarchy(run.path)
    assert whole is not None
    assert repr(whole["regions"]) == repr(first["regions"])  # NaN, null and back
    assert again["order_change"] == {}
    time.sleep(0.01)
    probed(run)
    newer = hierarchy_of(run)
    assert newer["written"] > first["written"]
    assert newer["probes"]
    (run.path / HIERARCHY).write_text("{")
    with pytest.raises(BraindashError, match="cannot be read"):
        read_hierarchy(run.path)
    assert hierarchy_of(run)["probes"]  # damaged: made anew
    assert read_hierarchy(run.path) is not None


def test_a_folder_that_may_only_be_read_still_has_one(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    run = evaluated(new_run(home))

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise PermissionError(13, "Read-only file system")

    monkeypatch.setattr("braindash.runs.documents.atomic_write", refuse)
    assert verdicts(hierarchy_of(run))["1_late_language"] == "supported"
    assert not (run.path / HIERARCHY).exists()
    assert read_hierarchy(run.path) is None


@pytest.mark.parametrize("name", ["probing.json", "probing.nc", "partition.json", "results.zarr/.zattrs"])
def test_what_is_damaged_is_said_and_the_rest_is_used(home: Home, name: str) -> None:
    run = evaluated(new_run(home))
    probed(run)
    (run.path / name).write_text("{ damaged")
    found = hierarchy_of(run)
    assert any(run.id in c or name in c for c in found["caveats"]), found["caveats"]
    assert bool(found["regions"]) == (name != "results.zarr/.zattrs")
    assert verdicts(found)["1_late_language"] == "supported"  # by the rows, which are whole


def test_transfer_is_read_from_the_run_and_its_siblings(home: Home) -> None:
    first = evaluated(new_run(home, subjects=("a",)))
    second = evaluated(new_run(home, subjects=("b",)), subjects=("b",))
    evaluated(new_run(home, subjects=("b",), seed=1))  # differs in more than subjects
    evaluated(new_run(home, subjects=("b",), study="other"))
    new_run(home, subjects=("b",))  # not evaluated
    evaluated(new_run(home, subjects=("b",), control="block-permuted"))
    assert [r.id for r in siblings(first)] == [second.id]
    records = first.records()
    assert records is not None
    rows = transfer_rows(first, records, siblings(first))
    pairs = {(r["run"], tuple(r["tuned_on"]), r["evaluated_on"], r["same"]) for r in rows}
    assert pairs == {(first.id, ("a",), "a", True), (first.id, ("a",), "b", False), (second.id, ("b",), "b", True)}
    row = next(r for r in rows if r["evaluated_on"] == "b" and not r["same"] and r["roi"] == "late_language")
    assert set(row["gaps"]) == {"block_permuted"}
    document = hierarchy_of(first)
    assert verdicts(document)["4_transfer"] == "supported"
    assert {r["subject"] for r in document["regions"]} == {"a", "b"}  # tuned on one: no mean over subjects
    # where nobody else was evaluated there is nothing to tell
    assert transfer_rows(second, second.records() or {}, []) == []
    before = document["written"]
    time.sleep(0.01)
    os.utime(second.path / "records.json")
    assert hierarchy_of(first)["written"] > before


def test_settings_say_what_was_tuned_on() -> None:
    def config(**more: Any) -> TuneConfig:
        return TuneConfig.model_validate({"study": "s", "model": "m"} | more)

    heard = [hears_sound(config(**c)) for c in (
        {}, {"rois": ["late_language"]}, {"rois": ["early_auditory"]}, {"rois": ["R_A1_ROI"]}, {"rois": ["cortex"]},
        {"rois": ["AC"]}, {"rois": ["AC", "A1"]}, {"rois": ["44", "A5_left"]}, {"mask": "m.npy"}, {"hemi": "left"},
    )]  # fmt: skip
    assert heard == [True, False, True, True, True, None, True, False, None, True]
    regions = ("cortex", "left", "right", "late_language", "early_auditory", "primary_auditory", "ltc")
    assert selected_regions(config(hemi="right"), regions) == ("right", "left")
    assert selected_regions(config(rois=["early_auditory"]), regions) == ("early_auditory", "late_language")
    assert selected_regions(config(rois=["ltc"]), regions) == ("ltc", "early_auditory")  # shares parcels with the other
    assert selected_regions(config(), regions) == ("", "")
    assert selected_regions(config(rois=["AC"]), regions) == ("", "")
    assert selected_regions(config(hemi="left"), ("cortex",)) == ("", "")


def test_tuning_on_a_hemisphere_is_judged_by_both(home: Home) -> None:
    found = hierarchy_run(evaluated(new_run(home, hemi="left")))
    chosen = found["selection"]
    assert (chosen["inside"], chosen["outside"]) == ("left", "right")
    assert abs(chosen["delta"]) < 0.05  # both hemispheres gained alike in this data
    assert set(chosen["gaps"]) == {"block_permuted"}


def test_compare_says_it_all(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    run = evaluated(new_run(home))
    probed(run)
    assert cli.run(["--home", str(home.path), "compare", run.id]) == 0
    text = capsys.readouterr().out
    for said in ("Order of tasks from sound to meaning", "Order of regions", "Slope of late language", "Only a test.",
                 "fell (q < .05)", "supported", "What would tell more", f"braindash partition {run.id}"):  # fmt: skip
        assert said in text
    assert cli.run(["--home", str(home.path), "compare", run.id, "--json"]) == 0
    whole = json.loads(capsys.readouterr().out)["runs"][0]
    assert whole["hierarchy"]["findings"][0]["verdict"] == "supported"
    assert whole["probing"]
    assert cli.run(["--home", str(home.path), "compare", run.id, "--layer", "4"]) == 0
    assert "Order of" not in capsys.readouterr().out  # a part of the table was asked for


# --- a real evaluation ---------------------------------------------------------------------------


def test_subjects_who_were_not_tuned_on_are_evaluated_apart(tmp_path: Path) -> None:
    from braindash.speech import open_model
    from braindash.studies import open_study
    from braindash.studies.library import add_study
    from braindash.tuning import tune

    home = Home(tmp_path / "home")
    add_study(home, "table", write_mini_study(tmp_path / "mini", subjects=2))
    model = str(save_tiny("wav2vec2", tmp_path / "tiny"))
    config = TuneConfig.model_validate(
        {
            "study": "mini", "model": model, "precision": "fp32", "optimiser": {"epochs": 1}, "subjects": ["sub-01"],
            "encoding": {"n_boot": 100, "alphas": [1, 100, 10000], "n_permutations": 0},
        }
    )  # fmt: skip
    run = RunStore(home).create(config)
    tune(open_study("mini", home), open_model(model, home), config, run.path, progress=lambda row: None,
         should_stop=lambda: False)  # fmt: skip
    run.update_status(state="done", tuned=True)
    with pytest.raises(BraindashError, match="sub-09"):
        evaluate_run(run, subjects=["sub-09"])
    alone = evaluate_run(run)
    assert alone["subjects"] == alone["tuned_on"] == ["sub-01"]
    records = evaluate_run(run, subjects=["sub-02"])
    assert records["subjects"] == ["sub-01", "sub-02"]
    assert records["tuned_on"] == ["sub-01"]
    assert {r["subject"] for r in records["encoding"]} == {"sub-01", "sub-02"}  # a mean would mix the two
    assert any("sub-02 was not tuned on" in c for c in records["caveats"])
    mine = [r for r in records["differences"] if r["subject"] == "sub-01"]
    assert [r["delta_r"] for r in mine] == pytest.approx([r["delta_r"] for r in alone["differences"]])
    assert records["summary"]["subject"] == "sub-01"
    assert open_results(run.path)["regions"]["score"].dims == ("subject", "model", "layer", "roi", "sample")
    study = open_study("mini", home)
    assert evaluated_subjects(run, study) == ("sub-01", "sub-02")  # as last time
    assert evaluated_subjects(run, study, []) == ("sub-01",)
    found = hierarchy_of(run)
    assert {(tuple(r["tuned_on"]), r["evaluated_on"], r["same"]) for r in found["transfer"]} == {
        (("sub-01",), "sub-01", True),
        (("sub-01",), "sub-02", False),
    }
