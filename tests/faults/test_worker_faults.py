"""Real workers in real processes: killed, stopped, queued, launched by something that dies."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mini_study import write_mini_study
from tiny_models import save_tiny

from braindash.config import Home, TuneConfig, validate
from braindash.jobs.launch import launch, resume, stop
from braindash.runs.record import RunStore
from braindash.runs.run import Run
from braindash.studies.library import add_study

SOURCE = Path(__file__).resolve().parents[2]
PATIENCE = 300.0  # seconds; a start alone takes five on a quiet machine, far more on a busy one


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    folder = tmp_path_factory.mktemp("faults")
    add_study(Home(folder / "home"), "table", write_mini_study(folder / "mini"))
    save_tiny("wav2vec2", folder / "w2v")
    return Home(folder / "home")


def make(home: Home, **changes: Any) -> Run:
    settings = {
        "study": "mini",
        "model": str(home.path.parent / "w2v"),
        "device": "cpu",
        "precision": "fp32",
        "evaluate": False,
        "checkpoint_steps": 2,
        "optimiser": {"epochs": 6},
        **changes,
    }
    return RunStore(home).create(validate(TuneConfig, settings))


def until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> float:
    """Wait for a condition; return the seconds it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"waited {seconds:g} s for {what}"
        time.sleep(0.02)
    return time.monotonic() - began


def steps(run: Run) -> list[int]:
    return [row["step"] for row in run.metrics if row["kind"] == "step"]


def losses(run: Run) -> list[float]:
    return [row["loss"] for row in run.metrics if row["kind"] == "step"]


def at_step(run: Run, step: int) -> Callable[[], bool]:
    return lambda: max(steps(run), default=0) >= step or not run.status.active


def kill(run: Run) -> None:
    pid = run.status.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


def test_killed_it_says_interrupted_and_resumes_to_the_same_end(home: Home) -> None:
    """A run that was killed comes to the very numbers of one that was not."""
    from safetensors.numpy import load_file

    whole, killed = make(home), make(home)
    launch(whole)
    launch(killed)
    until(at_step(killed, 7), "step 7")
    assert killed.status.state == "running", killed.log_tail()
    kill(killed)
    until(lambda: killed.status.state == "interrupted", "interrupted", 15)
    assert json.loads((killed.path / "status.json").read_text())["state"] == "interrupted"
    resume(killed)
    assert killed.status.state == "queued"
    assert killed.wait(PATIENCE).state == "done", killed.log_tail()
    assert whole.status.state == "done", whole.log_tail()
    assert steps(killed) == steps(whole) == list(range(1, 19))
    assert losses(killed) == losses(whole)
    assert sum("Resumed from step" in row.get("text", "") for row in killed.metrics) == 1
    for file in whole.model_dir.glob("*.safetensors"):
        expected, found = load_file(file), load_file(killed.model_dir / file.name)
        assert expected.keys() == found.keys()
        assert all((expected[k] == found[k]).all() for k in expected), file.name


def test_sigterm_writes_a_checkpoint_and_says_stopped(home: Home) -> None:
    run = make(home, checkpoint_steps=1000)
    launch(run)
    until(at_step(run, 2), "step 2")
    status = stop(run, now=True)
    assert status.state == "stopping"
    assert run.wait(PATIENCE).state == "stopped", run.log_tail()
    done = steps(run)
    assert 2 <= len(done) < 18
    resume(run)
    assert run.wait(PATIENCE).state == "done", run.log_tail()
    assert steps(run) == list(range(1, 19))
    resumed = [row for row in run.metrics if row.get("resumed_from_step") is not None]
    assert [row["resumed_from_step"] for row in resumed] == [done[-1]]  # nothing that was done was lost


def test_the_worker_outlives_its_launcher_and_the_next_waits_for_it(home: Home) -> None:
    """Launched from a process whose whole group is then killed, as a closed terminal would."""
    first, second = make(home), make(home, optimiser={"epochs": 1})
    code = (
        "import sys, time\nfrom braindash.runs.run import Run\nfrom braindash.jobs.launch import launch\n"
        "launch(Run(sys.argv[1]))\nprint('launched', flush=True)\ntime.sleep(600)"
    )
    launcher = subprocess.Popen(
        [sys.executable, "-c", code, str(first.path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=SOURCE,
        start_new_session=True,
    )
    assert launcher.stdout is not None
    assert launcher.stdout.readline() == "launched\n"
    os.killpg(launcher.pid, signal.SIGKILL)
    launcher.wait()
    launcher.stdout.close()
    until(lambda: first.status.state == "running" or not first.status.active, "the first to run")
    launch(second)
    until(lambda: "Waits for cpu" in second.status.message or not first.status.active, "the second to wait")
    assert second.status.state == "queued"
    assert first.id in second.status.message
    assert first.wait(PATIENCE).state == "done", first.log_tail()
    assert second.wait(PATIENCE).state == "done", second.log_tail()
    assert (second.status.started or 0) >= (first.status.ended or 0)


def test_killed_while_evaluating_it_only_evaluates_again(home: Home) -> None:
    run = make(home, evaluate=True, optimiser={"epochs": 1})
    launch(run)
    until(lambda: run.status.stage == "evaluating" or not run.status.active, "the evaluation")
    kill(run)
    until(lambda: run.status.state == "interrupted", "interrupted", 15)
    assert run.status.tuned
    before = run.metrics
    resume(run)
    assert run.wait(PATIENCE).state == "done", run.log_tail()
    assert run.metrics == before
    records = run.records()
    assert records is not None
    assert records["run"] == run.id
    row = RunStore(home).row(run.id)
    assert (row.state, row.has_results) == ("done", True)


def test_what_the_user_must_mend_is_said_in_the_run(home: Home) -> None:
    run = make(home, rois=("laud",))
    launch(run)
    status = run.wait(PATIENCE)
    assert status.state == "failed"
    assert status.error is not None
    assert status.error.kind == "user"
    assert "laud" in status.error.what
    assert "loud" in status.error.what + status.error.remedy
    assert "Traceback" not in run.log_tail()


def test_a_worker_that_cannot_even_start_is_not_left_queued(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    run = make(home)
    launch(run)
    until(lambda: run.status.state == "interrupted", "interrupted", 15)


@pytest.mark.parametrize("seed", range(3))
def test_killed_while_writing_the_files_stay_whole(home: Home, tmp_path: Path, seed: int) -> None:
    """A process that does nothing but write is killed at random moments."""
    run = make(home)
    code = (
        "import sys\nfrom braindash.runs.run import Run\nrun = Run(sys.argv[1])\nprint('go', flush=True)\n"
        "for i in range(10**9):\n"
        "    run.append_metrics({'kind': 'step', 'step': i, 'pad': 'x' * (i * 37 % 3000)})\n"
        "    run.update_status(step=i, message='y' * (i * 61 % 3000))\n"
    )
    rng = random.Random(seed)
    for _ in range(4):
        writer = subprocess.Popen([sys.executable, "-c", code, str(run.path)], stdout=subprocess.PIPE, cwd=SOURCE)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(rng.uniform(0.005, 0.15))
        writer.kill()
        writer.wait()
        writer.stdout.close()
        assert run.read_status().state == "queued"
        run.append_metrics({"kind": "step", "step": -1})
        rows = run.metrics
        assert rows[-1]["step"] == -1
        assert all(len(row.get("pad", "")) == row["step"] * 37 % 3000 for row in rows if row["step"] >= 0)
