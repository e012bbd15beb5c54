"""Real workers in real processes: killed, stopped, queued, launched by something that dies."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mini_study import write_mini_study
from tiny_models import save_tiny

from braindash.config import Home, TuneConfig, validate
from braindash.jobs.launch import launch, resume, stop
from braindash.jobs.worker import work
from braindash.runs import liveness
from braindash.runs.record import RunStore
from braindash.runs.run import Run
from braindash.runs.status import State
from braindash.studies.library import add_study
from braindash.tuning.checkpoints import read_newest

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


LAST = 10**8  # a step that no writer reaches


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
        run.append_metrics({"kind": "step", "step": LAST})
        rows = run.metrics
        assert rows[-1]["step"] == LAST
        assert all(len(row.get("pad", "")) == row["step"] * 37 % 3000 for row in rows if row["step"] < LAST)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "braindash-test", str(place)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_fails_the_run_with_words_and_once_there_is_room_it_goes_on(home: Home, small_disk: Path) -> None:
    """A real disk, filled to the last byte while the run works on it."""
    base = home.path.parent
    disk = Home(small_disk / "home")
    add_study(disk, "table", base / "mini")
    settings = {"model": str(base / "w2v"), "checkpoint_steps": 1, "optimiser": {"epochs": 60}}
    run = make(disk, **settings)
    launch(run)
    until(at_step(run, 3), "step 3")
    assert run.status.state == "running", run.log_tail()
    ballast = small_disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    status = run.wait(PATIENCE)
    assert status.state == "failed", run.log_tail()
    assert status.error is not None
    assert status.error.kind == "user"
    assert "The disk is full" in status.error.what
    assert "space" in status.error.remedy
    done = read_newest(run.checkpoints_dir, pytest.fail)
    assert done is not None
    assert not list(run.checkpoints_dir.glob(".*"))  # nothing half-written
    assert all("kind" in row for row in run.metrics)
    ballast.unlink()
    resume(run)
    until(at_step(run, done.state["step"] + 2), "two more steps")
    stop(run)
    assert run.wait(PATIENCE).state == "stopped", run.log_tail()
    assert steps(run) == list(range(1, len(steps(run)) + 1))


def test_a_loss_that_explodes_fails_the_run_and_its_last_checkpoint_stays(home: Home) -> None:
    run = make(home, checkpoint_steps=1, optimiser={"lr": 1e25, "head_lr": 1e25, "warmup_steps": 0, "clip": 1e30})
    status = work(run)
    assert status.state == "failed"
    assert status.error is not None
    assert status.error.kind == "user"
    at = max(steps(run))
    assert f"step {at + 1}" in status.error.what
    assert "lr" in status.error.remedy
    kept = read_newest(run.checkpoints_dir, pytest.fail)
    assert kept is not None
    assert kept.state["step"] == at


def test_a_second_sigterm_ends_the_worker_at_once(home: Home) -> None:
    run = make(home, checkpoint_steps=2)
    launch(run)
    until(at_step(run, 5), "step 5")
    pid = run.status.pid
    assert pid is not None
    for _ in range(2):
        os.kill(pid, signal.SIGTERM)
    assert run.wait(PATIENCE).state == "stopped", run.log_tail()
    assert read_newest(run.checkpoints_dir, pytest.fail) is not None
    resume(run)
    assert run.wait(PATIENCE).state == "done", run.log_tail()
    assert steps(run) == list(range(1, 19))


ENDLESS = """
import sys, time
from braindash.jobs import worker
from braindash.tuning import loop, position

position.LONG_STEP = 0.2
worker.LEAVE_SECONDS = 8.0
real = loop.add_gradients

def endless(session, module, items, step):
    out = real(session, module, items, step)
    if step == 8:
        print("in step 8", flush=True)
        time.sleep(600)
    return out

loop.add_gradients = endless
sys.exit(worker.main([sys.argv[1]]))
"""


def test_sigterm_in_a_step_without_end_costs_that_step_alone(home: Home) -> None:
    """What a scheduler does to a run whose steps outlast its patience: no checkpoint was due, none is missing."""
    whole, run = make(home, checkpoint_steps=1000), make(home, checkpoint_steps=1000)
    launch(whole)
    assert whole.wait(PATIENCE).state == "done", whole.log_tail()
    worker = subprocess.Popen([sys.executable, "-c", ENDLESS, str(run.path)], stdout=subprocess.PIPE, cwd=SOURCE)
    assert worker.stdout is not None
    assert worker.stdout.readline() == b"in step 8\n"
    worker.terminate()
    assert worker.wait(60) == 0
    worker.stdout.close()
    assert run.read_status().state == "stopped"
    resume(run)
    assert run.wait(PATIENCE).state == "done", run.log_tail()
    assert [row["resumed_from_step"] for row in run.metrics if row.get("resumed_from_step") is not None] == [7]
    assert losses(run) == losses(whole)


@pytest.mark.parametrize("state", ["queued", "running", "stopping"])
@pytest.mark.parametrize("how", ["restart", "number used again"])
def test_whatever_it_said_last_a_worker_that_is_gone_is_not_believed(
    home: Home, monkeypatch: pytest.MonkeyPatch, state: State, how: str
) -> None:
    """After a restart of the machine, or with the worker's number given to another process: one look is enough."""
    run = make(home)
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        run.update_status(state=state, heartbeat=time.time(), **liveness.identity(other.pid))
        assert run.status.state == state
        if how == "restart":
            monkeypatch.setattr(liveness, "boot_id", lambda: "after the restart")
        else:
            earlier = liveness.start_mark(other.pid)
            assert earlier is not None
            run.update_status(pid_start=earlier - 1)
        assert run.status.state == "interrupted"
        assert run.read_status().state == "interrupted"  # and written, for whoever reads the file
    finally:
        other.kill()
        other.wait()


def test_a_worker_killed_before_its_first_word_is_not_left_queued(home: Home) -> None:
    run = make(home)
    launch(run)
    kill(run)  # it has not even imported
    until(lambda: run.status.state == "interrupted", "interrupted", 15)
    resume(run)
    until(at_step(run, 1), "step 1")
    stop(run)
    assert run.wait(PATIENCE).state == "stopped", run.log_tail()
