"""A matched set as an array of a real Slurm: whatever the order, the results show the control."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from mini_study import write_mini_study
from slurm_cluster import cluster
from tiny_models import save_tiny

from braindash.config import ExecutorConfig, Home, TuneConfig, validate
from braindash.jobs.groups import expand, launch_group
from braindash.runs.groups import group_rows, is_live
from braindash.runs.record import RunStore
from braindash.studies.library import add_study

PATIENCE = 300.0  # seconds; far more than is needed, for busy machines


@pytest.mark.slow
def test_a_control_that_ends_after_its_run_joins_the_results(tmp_path: Path) -> None:
    with cluster(tmp_path / "slurm"):
        home = Home(tmp_path / "home")
        add_study(home, "table", write_mini_study(tmp_path / "mini", n_trs=20))
        save_tiny("wav2vec2", tmp_path / "w2v")
        settings = {
            "study": "mini",
            "model": str(tmp_path / "w2v"),
            "device": "cpu",
            "optimiser": {"epochs": 1},
            "encoding": {"n_boot": 100, "n_permutations": 0},
        }
        controlled = expand(validate(TuneConfig, settings), controls=["block-permuted"])
        one_at_a_time = ExecutorConfig(executor="slurm", time=30, cpus=1, memory_gb=1, parallel=1)
        group = launch_group(home, controlled[::-1], one_at_a_time)  # the real run first: the order that is not ours
        store = RunStore(home)
        real, control = (store.get(row.id) for row in group.rows)
        assert (real.config.control, control.config.control) == ("none", "block-permuted")
        end = time.monotonic() + PATIENCE
        seen_without = False
        while time.monotonic() < end:
            models = (real.records() or {}).get("models", [])
            seen_without = seen_without or models == ["pretrained", "brain_tuned"]
            if "block_permuted" in models and not is_live(group_rows(store, group.id)):
                break
            time.sleep(0.2)
        assert [r.state for r in group_rows(store, group.id)] == ["done", "done"], real.log_tail() + control.log_tail()
        assert seen_without
        assert "block_permuted" in (real.records() or {})["models"]
        assert "is evaluated again" in control.log_tail()
