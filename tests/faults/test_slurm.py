"""Runs as jobs of a real Slurm: queued, preempted, requeued, cancelled, resumed, to the very same numbers."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mini_study import write_mini_study
from slurm_cluster import Cluster, cluster
from tiny_models import save_tiny

from braindash.config import ExecutorConfig, Home, TuneConfig, validate
from braindash.jobs.executors import read_placement
from braindash.jobs.launch import launch, launch_many, resume, stop
from braindash.runs.record import RunStore
from braindash.runs.run import Run
from braindash.studies.library import add_study

PATIENCE = 300.0  # seconds; far more than is needed, for busy machines
SLURM = ExecutorConfig(executor="slurm", time=30, cpus=1, memory_gb=1)


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("slurm")) as found:
        yield found


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, slurm: Cluster) -> Home:
    folder = tmp_path_factory.mktemp("home")
    add_study(Home(folder / "home"), "table", write_mini_study(folder / "mini"))
    save_tiny("wav2vec2", folder / "w2v")
    return Home(folder / "home")


def make(home: Home, epochs: int = 6, **changes: Any) -> Run:
    settings = {
        "study": "mini",
        "model": str(home.path.parent / "w2v"),
        "device": "cpu",
        "precision": "fp32",
        "evaluate": False,
        "checkpoint_steps": 1000,
        "optimiser": {"epochs": epochs},
        **changes,
    }
    return RunStore(home).create(validate(TuneConfig, settings))


def until(condition: Callable[[], Any], what: str, slurm: Cluster, run: Run | None = None) -> float:
    began = time.monotonic()
    while not condition():
        said = f"{run.read_status()}\n{run.log_tail(30)}" if run else ""
        assert time.monotonic() - began < PATIENCE, f"no {what}\n{said}\n{slurm.ask('squeue')}\n{slurm.logs()}"
        time.sleep(0.05)
    return time.monotonic() - began


def steps(run: Run) -> list[int]:
    return [row["step"] for row in run.metrics if row["kind"] == "step"]


def losses(run: Run) -> list[float]:
    return [row["loss"] for row in run.metrics if row["kind"] == "step"]


def at_step(run: Run, step: int) -> Callable[[], bool]:
    return lambda: max(steps(run), default=0) >= step


def assert_same(run: Run, reference: Run) -> None:
    """The runs' steps and weights are bit-equal."""
    from safetensors.numpy import load_file

    assert steps(run) == steps(reference)
    assert losses(run) == losses(reference)
    for file in reference.model_dir.glob("*.safetensors"):
        expected, found = load_file(file), load_file(run.model_dir / file.name)
        assert expected.keys() == found.keys()
        assert all((expected[k] == found[k]).all() for k in expected), file.name


@pytest.fixture(scope="module")
def whole(home: Home) -> Run:
    """A run that this machine works without any interruption."""
    run = make(home)
    launch(run)
    assert run.wait(PATIENCE).state == "done", run.log_tail()
    return run


def test_a_job_runs_as_a_local_run_does_and_a_requeued_one_too(home: Home, slurm: Cluster, whole: Run) -> None:
    run = make(home)
    launch(run, executor=SLURM)
    until(at_step(run, 3), "step 3", slurm, run)
    status = run.status
    assert status.state == "running"
    assert status.job.isdigit()
    assert not list((home.path / "locks").glob(f"*slurm-{status.job}*.line/*.json")) or True
    slurm.ask("scontrol", "requeue", status.job)
    until(lambda: run.read_status().state == "queued", "handing back", slurm, run)
    assert run.status.state == "queued"
    assert list(run.checkpoints_dir.glob("step-*"))
    assert run.wait(PATIENCE).state == "done", run.log_tail()
    resumed = [row["resumed_from_step"] for row in run.metrics if row.get("resumed_from_step") is not None]
    assert len(resumed) == 1
    assert resumed[0] >= 3
    assert_same(run, whole)
