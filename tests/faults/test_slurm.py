"""Runs as jobs of a real Slurm: queued, preempted, requeued, cancelled, resumed, to the very same numbers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from mini_study import write_mini_study
from slurm_cluster import Cluster, cluster
from tiny_models import save_tiny

from braindash.config import ExecutorConfig, Home, TuneConfig, validate
from braindash.errors import BraindashError, RunStateError
from braindash.jobs.executors import read_placement
from braindash.jobs.launch import launch, launch_many, resume, stop
from braindash.runs.cluster import job_book
from braindash.runs.record import RunStore
from braindash.runs.run import Run
from braindash.studies.library import add_study

PATIENCE = 300.0  # seconds; far more than is needed, for busy machines
SLURM = ExecutorConfig(executor="slurm", time=30, cpus=1, memory_gb=1)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Sums depend on the number of threads in their last digits: the same for all processes, here and in jobs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Iterator[Cluster]:
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
    slurm.ask("scontrol", "requeue", status.job)
    until(lambda: run.read_status().state == "queued", "handing back", slurm, run)
    assert run.status.state == "queued"
    assert list(run.checkpoints_dir.glob("step-*"))
    assert run.wait(PATIENCE).state == "done", run.log_tail()
    assert run.status.job == status.job  # the very same job
    resumed = [row["resumed_from_step"] for row in run.metrics if row.get("resumed_from_step") is not None]
    assert len(resumed) == 1
    assert resumed[0] >= 3
    assert_same(run, whole)


def test_a_group_is_an_array_that_is_preempted_stopped_and_resumed(home: Home, slurm: Cluster, whole: Run) -> None:
    runs = [make(home) for _ in range(3)]
    launch_many(runs, SLURM.model_copy(update={"parallel": 2}))
    assert len({run.status.job.partition("_")[0] for run in runs}) == 1
    assert all(run.status.state == "queued" for run in runs)
    until(lambda: at_step(runs[0], 2)() and at_step(runs[1], 2)(), "two runs at step 2", slurm, runs[0])
    waiting = runs[2].status
    assert waiting.state == "queued"
    assert "JobArrayTaskLimit" in waiting.message
    assert stop(runs[2]).state == "stopped"
    assert runs[2].status.state == "stopped"

    slurm.ask("sbatch", "--parsable", "-p", "urgent", "-c", "4", "-o", "/dev/null", "--wrap", "sleep 2")
    for run in runs[:2]:
        until(lambda run=run: run.read_status().state == "queued", "preemption", slurm, run)  # type: ignore[misc]
        assert list(run.checkpoints_dir.glob("step-*"))
    before = steps(runs[0])
    until(lambda: len(steps(runs[0])) > len(before), "going on", slurm, runs[0])
    asked = stop(runs[0])
    assert asked.state == "stopping"
    assert runs[0].wait(PATIENCE).state == "stopped", runs[0].log_tail()
    done = steps(runs[0])

    launch_many([runs[0], runs[2]], SLURM)
    for run in runs:
        assert run.wait(PATIENCE).state == "done", run.log_tail()
        assert_same(run, whole)
    resumed = [row["resumed_from_step"] for row in runs[0].metrics if row.get("resumed_from_step") is not None]
    assert resumed[-1] == done[-1]  # nothing that was done was lost


def test_a_job_that_is_cancelled_or_killed_is_interrupted_and_resumes(home: Home, slurm: Cluster, whole: Run) -> None:
    run = make(home)
    launch(run, executor=SLURM)
    until(at_step(run, 3), "step 3", slurm, run)
    first = run.status.job
    slurm.ask("scancel", first)  # by somebody else: not asked for here, and it will not come back by itself
    until(lambda: run.status.state == "interrupted", "interrupted", slurm, run)
    assert "CANCELLED" in run.status.message
    done = steps(run)[-1]
    newest = max(int(p.name.split("-")[1]) for p in run.checkpoints_dir.glob("step-*"))
    assert newest == done  # written when SIGTERM came

    resume(run)  # without saying where: as before
    assert read_placement(run).executor == SLURM
    until(lambda: steps(run)[-1] >= done + 2, "going on", slurm, run)
    assert losses(run) == losses(whole)[: len(losses(run))]
    job = run.status.job
    assert job not in ("", first)
    slurm.ask("scancel", "--signal=KILL", "--full", job)  # as when its node dies: no last words
    until(lambda: slurm.ask("squeue", "-h", "-j", job, "-t", "RUNNING,COMPLETING") == "", "Slurm's knowing", slurm)
    assert until(lambda: run.status.state == "interrupted", "interrupted", slurm, run) < 15
    assert f"Slurm job {job}" in run.status.message


def test_what_waits_stays_queued_while_slurm_does_not_answer(home: Home, slurm: Cluster) -> None:
    run = make(home, epochs=1)
    slurm.ask("scontrol", "update", f"nodename={slurm.host}", "state=drain", "reason=test")
    try:
        launch(run, executor=SLURM)
        status = run.status
        assert status.state == "queued"
        assert f"Slurm job {status.job} waits" in status.message
        with pytest.raises(RunStateError, match="launched already"):
            launch(run, executor=SLURM)
        slurm.pause_controller()
        try:
            job_book().forget()
            paused = run.status
        finally:
            slurm.continue_controller()
        assert paused.state == "queued"
        assert "cannot be asked now" in paused.message
        job_book().forget()
        assert stop(run).state == "stopped"
        assert slurm.ask("squeue", "-h", "-j", status.job) == ""
    finally:
        slurm.ask("scontrol", "update", f"nodename={slurm.host}", "state=resume")


@pytest.mark.parametrize(
    ("changes", "what", "remedy"),
    [
        ({"partition": "nope"}, "[Ii]nvalid partition.*'nope'", "main, urgent"),
        ({"memory_gb": 1e5}, "[Mm]emory|configuration is not available", "memory"),
        ({"gpus": 3}, "configuration is not available", "fewer GPUs"),
    ],
)
def test_what_slurm_refuses_is_said_in_its_words(
    home: Home, slurm: Cluster, changes: dict[str, Any], what: str, remedy: str
) -> None:
    run = make(home)
    with pytest.raises(BraindashError, match=what) as caught:
        launch(run, executor=SLURM.model_copy(update=changes))
    assert remedy in caught.value.remedy
    assert run.status.state == "interrupted"
    assert "Not submitted" in run.status.message


def test_several_processes_in_a_job_and_a_signal_before_the_limit(home: Home, slurm: Cluster) -> None:
    """Two processes share a job with a GPU; SIGUSR2, which Slurm sends before the time limit, has it start again."""
    run = make(home, epochs=2, stories_per_step=2)
    launch(run, executor=SLURM.model_copy(update={"processes": 2, "cpus": 2, "gpus": 1}))
    until(at_step(run, 1), "step 1", slurm, run)
    job = run.status.job
    assert [p.name for p in (home.path / "locks").glob(f"*slurm-{job}.lock")]
    slurm.ask("scancel", "--signal=USR2", job)
    until(lambda: run.status.state == "queued", "requeueing", slurm, run)
    done = steps(run)[-1]
    assert run.wait(PATIENCE).state == "done", f"{run.status}{run.log_tail()}{slurm.logs()}"
    assert run.status.job == job
    assert [r["resumed_from_step"] for r in run.metrics if r.get("resumed_from_step") is not None] == [done]
    assert steps(run) == list(range(1, 1 + max(steps(run))))


def test_an_evaluation_in_parts_equals_that_of_one_process(home: Home, slurm: Cluster, whole: Run) -> None:
    import numpy as np

    from braindash.cli import run as braindash
    from braindash.runs.evaluate import evaluate_run
    from braindash.runs.parts import FitStore
    from braindash.runs.results import open_results

    FitStore(home).prune()
    evaluate_run(whole)
    expected = open_results(whole.path)["encoding"].to_dataset().load()
    FitStore(home).prune()
    before = len(list((home.path / "fits").rglob("*.npz")))
    assert before == 0
    options = ["--executor", "slurm", "--cpus", "1", "--memory", "1", "--time", "30"]
    assert braindash(["evaluate", whole.id, *options, "--home", str(home.path)]) == 0
    found = open_results(whole.path)["encoding"].to_dataset().load()
    assert len(list((home.path / "fits").rglob("*.npz"))) == 8
    for name in expected.data_vars:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-6, rtol=1e-6, err_msg=str(name))
