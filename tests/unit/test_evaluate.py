"""Evaluating a run: every model on the same stories, leaks refused, exclusions counted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mini_study import write_mini_study
from tiny_models import save_tiny

from braindash.config import Home, TuneConfig
from braindash.errors import BraindashError, LeakageError
from braindash.runs.evaluate import choose_regions, evaluate_run, find_candidates
from braindash.runs.record import Run, RunStore
from braindash.runs.results import open_results


def tuned_run(home: Home, model: Path, **changes: Any) -> Run:
    from braindash.speech import open_model
    from braindash.studies import open_study
    from braindash.tuning import tune

    config = TuneConfig.model_validate(
        {"study": "mini", "model": str(model), "precision": "fp32", "optimiser": {"epochs": 1}} | changes
    )
    run = RunStore(home).create(config)
    tune(
        open_study("mini", home),
        open_model(str(model), home),
        config,
        run.path,
        progress=lambda row: None,
        should_stop=lambda: False,
    )
    run.update_status(state="done", tuned=True)
    return run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, Run, Run]:
    from braindash.studies.library import add_study

    folder = tmp_path_factory.mktemp("evaluate")
    home = Home(folder / "home")
    add_study(home, "table", write_mini_study(folder / "mini", subjects=2, n_trs=62))
    model = save_tiny("wav2vec2", folder / "tiny")
    return home, tuned_run(home, model), tuned_run(home, model, control="block-permuted")


def test_a_run_is_evaluated_with_its_control(runs: tuple[Home, Run, Run]) -> None:
    _, run, control = runs
    told: list[tuple[float, str]] = []
    records = evaluate_run(run, progress=lambda f, what: told.append((f, what)))
    assert records["models"] == ["pretrained", "brain_tuned", "block_permuted"]
    assert records["provenance"]["runs"] == {"brain_tuned": run.id, "block_permuted": control.id}
    assert [f for f, _ in told] == sorted(f for f, _ in told)
    assert told[-1][0] == 1.0
    # the constant and the NaN target are counted, for each subject
    assert {e["not finite or constant"] for e in records["excluded"].values()} == {2}
    loud = next(
        r
        for r in records["encoding"]
        if (r["model"], r["subject"], r["roi"], r["layer"]) == ("pretrained", "all", "loud", 0)
    )
    quiet = next(
        r
        for r in records["encoding"]
        if (r["model"], r["subject"], r["roi"], r["layer"]) == ("pretrained", "all", "quiet", 0)
    )
    assert loud["r"] > 0.3  # loudness is in the first layer even of random weights
    assert abs(quiet["r"]) < 0.2
    assert quiet["n_targets"] == 12  # 8 a subject less the two excluded

    data = open_results(run.path)["encoding"]
    shown = data["r"].sel(model="pretrained", layer=0)
    mine = (data["roi"] == "loud").values
    assert loud["r"] == pytest.approx(float(np.nanmean(shown.values[mine])), abs=1e-5)


def test_groups_of_ones_own_are_evaluated_and_a_changed_group_breaks_no_run(runs: tuple[Home, Run, Run]) -> None:
    from braindash.runs.own_regions import recorded_groups
    from braindash.runs.partitioning import partition_run
    from braindash.runs.rsa import rsa_run
    from braindash.settings import OwnRegion, Settings, settings_path, write_settings

    home, _, run = runs
    own = {
        "both": OwnRegion(members=("loud", "quiet"), title="Loud and quiet"),
        "elsewhere": OwnRegion(members=("STSda",)),
        "loud": OwnRegion(members=("quiet",)),
    }
    try:
        write_settings(home, Settings(regions=own))
        records = evaluate_run(run)
        of = {
            (r["roi"]): r["n_targets"] for r in records["encoding"] if (r["model"], r["subject"], r["layer"]) ==
            ("pretrained", "sub-01", 0)
        }  # fmt: skip
        assert of["both"] == of["loud"] + of["quiet"]
        assert "elsewhere" not in of, "the study has no target there"
        assert records["summary"]["region_titles"]["both"] == "Loud and quiet"
        assert records["provenance"]["regions"] == {"both": ["loud", "quiet"]}
        assert recorded_groups(records) == {"both"}
        assert any("group loud of the settings was left out" in c for c in records["caveats"])
        assert "both" in open_results(run.path)["regions"]["roi"].values
        analyses = rsa_run(run, n_permutations=20, n_boot=20), partition_run(run, spaces=["spectral"])
        for document in analyses:
            assert "both" in {row["roi"] for row in document["rows"]}
            assert document["region_titles"]["both"] == "Loud and quiet"
            assert document["regions"] == {"both": ["loud", "quiet"]}

        settings_path(home).write_text("regions: {", encoding="utf-8")  # half-written, by hand
        assert records["encoding"] == run.records()["encoding"], "what was evaluated stays as it is"
        again = evaluate_run(run)
        assert "both" not in {r["roi"] for r in again["encoding"]}
        assert any("one's own were left out" in c for c in again["caveats"])
    finally:
        settings_path(home).unlink()


def test_a_control_alone_is_compared_with_the_pretrained_model(runs: tuple[Home, Run, Run]) -> None:
    _, _, control = runs
    assert [c.name for c in find_candidates(control, control.home)] == ["pretrained", "block_permuted"]


def test_a_run_without_a_model_is_refused(runs: tuple[Home, Run, Run]) -> None:
    home, run, _ = runs
    empty = RunStore(home).create(run.config)
    with pytest.raises(BraindashError, match="no tuned model"):
        evaluate_run(empty)
    RunStore(home).delete(empty.id)


def test_a_model_that_saw_a_test_story_is_refused_by_name(runs: tuple[Home, Run, Run]) -> None:
    _, run, _ = runs
    path = run.model_dir / "braindash_model.json"
    before = path.read_text(encoding="utf-8")
    about = json.loads(before)
    about["stories"]["tune"].append("five")
    try:
        path.write_text(json.dumps(about), encoding="utf-8")
        with pytest.raises(LeakageError, match="five"):
            evaluate_run(run)
    finally:
        path.write_text(before, encoding="utf-8")


def test_regions_are_named_groups_and_the_studys_own() -> None:
    parcels = ["A1"] * 3 + ["STSda"] * 6 + ["mine"] * 6 + [""] * 5 + [f"p{i}" for i in range(30)]
    targets = pd.DataFrame({"roi": parcels, "hemi": ["L"] * len(parcels)})
    masks = choose_regions(targets)
    assert {"cortex", "left", "primary_auditory", "late_language", "STSda", "mine"} <= set(masks)
    assert "right" not in masks
    assert "p3" not in masks  # one target, in a study of many regions
    assert masks["primary_auditory"].sum() == 3


def test_a_recording_is_known_under_any_name(runs: tuple[Home, Run, Run], tmp_path: Path) -> None:
    """The same audio as another study, with a tuned story as its test: refused."""
    import yaml

    from braindash.runs.leaks import refuse_leaks, stories_seen
    from braindash.studies.library import add_study

    home, run, _ = runs
    folder = write_mini_study(tmp_path / "other", subjects=2, n_trs=62)
    spec = yaml.safe_load((folder / "study.yaml").read_text())
    spec["id"] = "other"
    for story in spec["stories"]:
        story["name"] = f"renamed-{story['name']}"
        story["split"] = {"one": "test", "five": "tune"}.get(story["name"].removeprefix("renamed-"), story["split"])
    (folder / "study.yaml").write_text(yaml.safe_dump(spec))
    other = add_study(home, "table", folder)
    assert [s.study for s in stories_seen(run.id, home)] == ["mini"]
    with pytest.raises(LeakageError, match="renamed-one"):
        refuse_leaks(other, [run.id], home)
    refuse_leaks(other, ["whisper-tiny.en"], home)  # has seen nothing


def test_every_finished_matching_control_takes_part_in_order(runs: tuple[Home, Run, Run]) -> None:
    home, run, block = runs
    model = Path(run.config.model)
    others = {c: tuned_run(home, model, control=c) for c in ("random-model", "head-only")}
    unfinished = RunStore(home).create(run.config.model_copy(update={"control": "story-permuted"}))
    other_seed = RunStore(home).create(run.config.model_copy(update={"control": "story-permuted", "seed": 1}))
    shutil.copytree(block.model_dir, other_seed.model_dir)
    other_seed.update_status(state="done", tuned=True)
    try:
        found = find_candidates(run, home)
        assert [(c.name, c.ref) for c in found] == [
            ("pretrained", run.config.model),
            ("brain_tuned", run.id),
            ("block_permuted", block.id),
            ("random_model", others["random-model"].id),
            ("head_only", others["head-only"].id),
        ]
        quick = run.config.encoding.model_copy(update={"n_permutations": 0, "n_boot": 100})
        records = evaluate_run(run, config=quick)
        names = ["pretrained", "brain_tuned", "block_permuted", "random_model", "head_only"]
        assert records["models"] == names
        assert [c["model"] for c in records["controls"]] == names[2:]
        assert all(c["explanation"] and c["title"] for c in records["controls"])
        weights = records["provenance"]["weights"]
        assert weights["head_only"] == weights["pretrained"]
        assert len(set(weights.values())) == len(weights) - 1

        at: dict[str, dict[tuple[Any, ...], float]] = {name: {} for name in names}
        for r in records["encoding"]:
            at[r["model"]][r["subject"], r["roi"], r["layer"]] = r["r"]
        assert at["head_only"] == at["pretrained"]  # to the last digit: the same features
        assert at["random_model"] != at["pretrained"]
        for d in records["differences"]:
            if d["model"] == "head_only":
                assert d["delta_r"] == d["ci_low"] == d["ci_high"] == 0.0
        assert {a["against"] for a in records["against_controls"]} == set(names[2:])
        for a in records["against_controls"]:
            key = (a["subject"], a["roi"], a["layer"])
            assert a["delta_r"] == pytest.approx(at["brain_tuned"][key] - at[a["against"]][key], abs=1e-6)
            assert not np.isfinite(a["ci_low"]) or a["ci_low"] <= a["delta_r"] <= a["ci_high"]

        shutil.rmtree(others["random-model"].model_dir)
        assert "random_model" not in [c.name for c in find_candidates(run, home)]
    finally:
        for extra in (*others.values(), unfinished, other_seed):
            RunStore(home).delete(extra.id)


def test_a_head_only_control_says_that_nothing_could_change(runs: tuple[Home, Run, Run]) -> None:
    home, run, _ = runs
    alone = tuned_run(home, Path(run.config.model), control="head-only")
    try:
        records = evaluate_run(alone)
        assert records["models"] == ["pretrained", "head_only"]
        assert any("read-out alone" in c for c in records["caveats"])
        assert records["summary"]["verdict"] in ("no change shown", "cannot tell")
        assert "the control whose read-out alone was tuned" in records["summary"]["answer"][0]
    finally:
        RunStore(home).delete(alone.id)


def test_a_control_that_cannot_be_made_is_a_problem_before_anything_is_read(runs: tuple[Home, Run, Run]) -> None:
    from braindash.jobs.preflight import preflight

    home, run, _ = runs
    refused = preflight(run.config.model_copy(update={"control": "stimulus-only"}), home, timed=False)
    assert any("pretraining head" in p.what and "facebook/wav2vec2-base" in p.remedy for p in refused.problems)
    fine = preflight(run.config.model_copy(update={"control": "story-permuted"}), home, timed=False)
    assert not fine.problems
    assert any(n.startswith("A control. Tuned in the same way, with blocks") for n in fine.notes)
