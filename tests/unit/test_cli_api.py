"""Tuning and evaluating from Python, with real workers on a tiny study."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mini_study import write_mini_study
from tiny_models import save_tiny

import braindash as bd
from braindash.errors import BraindashError
from braindash.jobs.command import command_for
from braindash.runs.record import RunStore
from braindash.studies.library import add_study


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BRAINDASH_HOME", str(tmp_path / "home"))
    add_study(None, "table", write_mini_study(tmp_path / "mini"))
    save_tiny("wav2vec2", tmp_path / "w2v")
    return tmp_path


def test_the_python_way_from_study_to_result(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    study, model = bd.open_study("mini"), bd.open_model("./w2v")
    run = bd.tune(
        study, model, recipe="lora", loss="mse", seed=3, lora={"rank": 2}, optimiser={"epochs": 1}, device="cpu"
    )
    assert run.config.model == str(folder / "w2v")  # the folder, not its bare name
    assert (run.config.seed, run.config.lora.rank) == (3, 2)
    assert run.provenance["command"] == command_for(run.config)
    status = run.wait(300)
    assert status.state == "done", run.log_tail()
    assert {row["kind"] for row in run.metrics} == {"log", "step", "epoch"}
    facts = run.provenance
    assert facts["weights"]["hash"] == model.weights_hash
    assert facts["split"]["test"] == ["five", "six"]
    assert facts["libraries"]["torch"]
    result = bd.evaluate(run.id)
    r = result["encoding"]["r"]
    assert set(r.dims) == {"model", "layer", "target"}
    assert list(r["model"].values) == ["pretrained", "brain_tuned"]
    assert r.sizes["layer"] == model.n_layers + 1
    assert np.isfinite(r.sel(target=~np.isnan(r).all(("model", "layer")))).all()
    tuned = bd.open_model(run.id)
    assert tuned.ref == run.id


def test_mistakes_leave_no_run(folder: Path) -> None:
    home = bd.Home.resolve()
    for settings, word in (
        ({"recipe": "loora"}, "loora"),
        ({"rois": ("laud",)}, "laud"),
        ({"lora": {"rnk": 1}}, "rnk"),
        ({"subjects": ("sub-77",)}, "sub-77"),
        ({"layer": 40}, "40"),
    ):
        with pytest.raises(BraindashError, match=word):
            bd.tune("mini", str(folder / "w2v"), **settings)
    with pytest.raises(BraindashError, match="mini"):
        bd.tune("minni", str(folder / "w2v"))
    with pytest.raises(BraindashError, match="There is no run"):
        bd.evaluate("20260101-000000-nothing")
    assert RunStore(home).list() == []
