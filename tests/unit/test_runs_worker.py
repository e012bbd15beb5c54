"""The worker, with stand-ins for the tuning engine and the evaluation: states, stopping, failing, queueing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from braindash.config import Home, TuneConfig
from braindash.errors import BraindashError, RunStateError
from braindash.jobs import launch as launching
from braindash.jobs.queue import DeviceQueue
from braindash.jobs.reporting import Reporter
from braindash.jobs.worker import Stopped, Worker, explain
from braindash.runs.record import RunStore
from braindash.runs.run import Run
from braindash.studies.base import Finding, Split, Story, Study

N_STEPS = 6


class Small(Study):
    """Two stories, one subject, three targets."""

    id, kind, title, tr, subjects = "small", "table", "Small", 2.0, ("s1",)

    def __init__(self, folder: Path) -> None:
        audio = folder / "a.wav"
        audio.write_bytes(b"RIFF")
        self.stories = {n: Story(n, p, audio, 20.0) for n, p in (("a", "tune"), ("b", "test"))}  # type: ignore[arg-type]

    @property
    def split(self) -> Split:
        return Split(("a",), (), ("b",))

    def row_times(self, story: str, subject: str) -> np.ndarray:
        return np.arange(10) * 2.0 + 1

    def read_responses(self, story: str, subject: str) -> np.ndarray:
        return np.random.default_rng(len(story)).normal(size=(10, 3)).astype(np.float32)

    def read_repeats(self, story: str, subject: str) -> np.ndarray | None:
        return None

    def targets(self, subject: str) -> pd.DataFrame:
        return pd.DataFrame({"name": list("xyz"), "hemi": "", "roi": ""})

    def check(self) -> list[Finding]:
        return []


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    import braindash.speech.loading
    import braindash.studies.library

    study = Small(tmp_path)
    model = SimpleNamespace(id="tiny", weights_hash="abc", source="here", licence="none")
    monkeypatch.setattr(braindash.studies.library, "open_study", lambda *_: study)
    monkeypatch.setattr(braindash.speech.loading, "open_model", lambda *_: model)
    return RunStore(Home(tmp_path / "home")).create(TuneConfig(study="small", model="tiny", device="cpu"))


def engine(after_step: Callable[[int], None] = lambda step: None) -> Callable[..., Any]:
    """Return a stand-in for the engine: counts steps, keeps its place in a file, stops when asked."""

    def tune(study: Study, model: Any, config: TuneConfig, workspace: Path, **calls: Any) -> Any:
        place = workspace / "checkpoints" / "step-place"
        first = int(place.read_text()) if calls["resume"] else 0
        place.parent.mkdir(exist_ok=True)
        if first:
            calls["progress"]({"kind": "log", "text": "Resumed.", "resumed_from_step": first, "resumed_from_epoch": 1})
        else:
            calls["progress"]({"kind": "epoch", "epoch": 0, "validation_r": 0.0})
        for step in range(first + 1, N_STEPS + 1):
            calls["progress"]({"kind": "step", "step": step, "n_steps": N_STEPS, "epoch": 1, "loss": 0.5})
            if step % 2 == 0:
                place.write_text(str(step))
            after_step(step)
            if calls["should_stop"]():
                place.write_text(str(step))
                return SimpleNamespace(stopped=True)
        calls["progress"]({"kind": "epoch", "epoch": 1, "validation_r": 0.1})
        return SimpleNamespace(stopped=False)

    return tune


def evaluation(run: Run, progress: Callable[..., None], parts: tuple[str, ...]) -> None:
    progress(0.5, "half way")
    (run.path / "evaluated").touch()


def test_a_run_goes_through_its_stages_to_done(run: Run) -> None:
    seen = []
    status = Worker(run, engine(lambda step: seen.append(run.status.stage)), evaluation).work()
    assert status.state == "done"
    assert set(seen) == {"tuning"}
    assert (status.step, status.n_steps, status.fraction, status.tuned) == (6, 6, 1.0, True)
    assert status.started is not None
    assert status.ended is not None
    assert status.ended >= status.started >= status.created
    assert [r["step"] for r in run.metrics if r["kind"] == "step"] == [1, 2, 3, 4, 5, 6]
    assert (run.path / "evaluated").exists()
    facts = run.provenance
    assert facts["weights"]["hash"] == "abc"
    assert facts["split"] == {"tune": ["a"], "validation": [], "test": ["b"]}
    assert len(facts["data"]["responses"]) == 32
    with pytest.raises(RunStateError, match="is done and cannot be resumed"):
        launching.resume(run)


def test_asked_to_stop_it_stops_after_the_step_and_resumes_from_there(run: Run) -> None:
    stopped = Worker(run, engine(lambda step: run.stop_path.touch() if step == 2 else None), evaluation).work()
    assert (stopped.state, stopped.tuned) == ("stopped", False)
    assert not (run.path / "evaluated").exists()
    run.update_status(state="queued", queued=time.time())
    done = Worker(run, engine(), evaluation).work()
    assert done.state == "done"
    assert [r["step"] for r in run.metrics if r["kind"] == "step"] == [1, 2, 3, 4, 5, 6]


def test_sigterm_while_tuning_lets_the_engine_write_its_checkpoint(run: Run) -> None:
    status = Worker(run, engine(lambda step: os.kill(os.getpid(), signal.SIGTERM) if step == 3 else None)).work()
    assert status.state == "stopped"
    assert (run.checkpoints_dir / "step-place").read_text() == "3"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_sigterm_while_evaluating_ends_it_at_once_and_resuming_only_evaluates(run: Run) -> None:
    def interrupted(run: Run, progress: Callable[..., None], parts: tuple[str, ...]) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
        raise AssertionError("SIGTERM was not heard")

    status = Worker(run, engine(), interrupted).work()
    assert (status.state, status.tuned, status.stage) == ("stopped", True, "evaluating")
    run.update_status(state="queued", queued=time.time())

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("tuned again")

    assert Worker(run, never, evaluation).work().state == "done"


def test_a_mistake_of_the_user_fails_with_cause_and_remedy(run: Run) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise BraindashError("There is no region 'x'.", "Did you mean y?")

    status = Worker(run, refuse).work()
    assert status.state == "failed"
    assert status.error is not None
    assert status.error.model_dump() == {"what": "There is no region 'x'.", "remedy": "Did you mean y?", "kind": "user"}


@pytest.mark.parametrize(
    ("error", "word", "kind"),
    [
        (ValueError("bad\nnumber"), "ValueError: bad number", "defect"),
        (OSError(28, "No space left on device"), "disk is full", "user"),
        (MemoryError(), "not enough memory", "user"),
        (KeyError(), "KeyError", "defect"),
    ],
)
def test_any_other_error_fails_with_one_line(run: Run, error: Exception, word: str, kind: str) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    status = Worker(run, fail).work()
    assert status.state == "failed"
    assert status.error is not None
    assert word in status.error.what
    assert "\n" not in status.error.what
    assert status.error.kind == kind


def test_cuda_out_of_memory_is_recognised_by_name() -> None:
    from torch import OutOfMemoryError

    assert "memory" in explain(OutOfMemoryError("CUDA out of memory. Tried 2 GiB"))["error"].what


def test_steps_after_the_last_checkpoint_are_told_once(run: Run) -> None:
    def crash(step: int) -> None:
        if step == 5:  # the last checkpoint is of step 4
            raise ValueError("crash")

    assert Worker(run, engine(crash)).work().state == "failed"
    run.update_status(state="queued", queued=time.time())
    assert Worker(run, engine(), evaluation).work().state == "done"
    assert [r["step"] for r in run.metrics if r["kind"] == "step"] == [1, 2, 3, 4, 5, 6]


def test_a_try_without_a_checkpoint_leaves_no_steps_behind(run: Run) -> None:
    def crash(step: int) -> None:
        raise ValueError("crash")

    assert Worker(run, engine(crash)).work().state == "failed"
    run.update_status(state="queued", queued=time.time())
    assert Worker(run, engine(), evaluation).work().state == "done"
    assert [r["step"] for r in run.metrics if r["kind"] == "step"] == [1, 2, 3, 4, 5, 6]


def test_two_workers_never_work_on_one_run(run: Run) -> None:
    def second(step: int) -> None:
        if step == 1:
            code = f"from braindash.jobs.worker import main; raise SystemExit(main([{str(run.path)!r}]))"
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=_source())
            assert done.returncode == 2
            assert "has a worker already" in done.stderr

    assert Worker(run, engine(second), evaluation).work().state == "done"


def _source() -> Path:
    return Path(__file__).resolve().parents[2]


def test_the_second_job_waits_for_the_first_and_says_so(tmp_path: Path) -> None:
    home = Home(tmp_path)
    order: list[str] = []
    said: list[str] = []
    begun = threading.Event()

    def job(name: str, hold: float) -> None:
        with DeviceQueue(home, "cpu").turn(name, waiting=said.append, pause=lambda s: time.sleep(0.02)):
            order.append(name)
            begun.set()
            time.sleep(hold)
            order.append(name)

    first = threading.Thread(target=job, args=("first", 0.4))
    first.start()
    begun.wait(10)
    others = [threading.Thread(target=job, args=(f"job{i}", 0.0)) for i in range(3)]
    for other in others:
        other.start()
        time.sleep(0.03)
    for thread in [first, *others]:
        thread.join()
    assert order == ["first", "first", "job0", "job0", "job1", "job1", "job2", "job2"]
    assert said[0] == "Waits for cpu: first has it."
    assert any("1 more before this run" in s for s in said)
    assert not list((tmp_path / "locks").glob("*.line/*"))


def test_another_device_does_not_wait(tmp_path: Path) -> None:
    said: list[str] = []
    with (
        DeviceQueue(Home(tmp_path), "cuda:0").turn("a", waiting=said.append),
        DeviceQueue(Home(tmp_path), "cuda:1").turn("b", waiting=said.append),
    ):
        assert said == []


def test_a_killed_job_frees_the_device(tmp_path: Path) -> None:
    code = (
        "import sys, time; from braindash.config import Home; from braindash.jobs.queue import DeviceQueue\n"
        "from pathlib import Path\n"
        f"with DeviceQueue(Home(Path({str(tmp_path)!r})), 'cpu').turn('dead', waiting=print):\n"
        "    print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=_source())
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    said: list[str] = []

    def kill_then_wait(seconds: float) -> None:
        holder.kill()
        holder.wait()

    with DeviceQueue(Home(tmp_path), "cpu").turn("next", waiting=said.append, pause=kill_then_wait):
        pass
    holder.stdout.close()
    assert said == ["Waits for cpu: dead has it."]


def test_a_run_asked_to_stop_while_it_waits_stops(run: Run) -> None:
    with DeviceQueue(run.home, "cpu").turn("other", waiting=print):
        timer = threading.Timer(0.3, run.stop_path.touch)
        timer.start()
        assert Worker(run, engine(), evaluation).work().state == "stopped"
        assert run.metrics == []


def test_stopping_what_has_no_worker(run: Run) -> None:
    assert launching.stop(run).state == "stopped"
    with pytest.raises(RunStateError, match="is stopped and cannot be stopped"):
        launching.stop(run)


def test_a_launched_run_is_not_launched_twice(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import time; time.sleep(30)"
    started: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def sleeper(*_: Any, **options: Any) -> subprocess.Popen[bytes]:
        started.append(real([sys.executable, "-c", code], **options))
        return started[-1]

    monkeypatch.setattr(launching.subprocess, "Popen", sleeper)
    launching.launch(run)
    try:
        assert run.status.state == "queued"
        assert run.status.pid == started[0].pid
        assert os.getsid(started[0].pid) == started[0].pid
        for again in (launching.launch, launching.resume):
            with pytest.raises(RunStateError):
                again(run)
        assert len(started) == 1
        launching.stop(run, now=True)
        assert started[0].wait(10) == -signal.SIGTERM
    finally:
        started[0].kill()
    assert run.status.state == "interrupted"  # this stand-in could not say that it stopped


def test_the_heartbeat_goes_on_while_the_worker_computes(run: Run) -> None:
    with Reporter(run, period=0.02) as report:
        report.stage("tuning")
        before = run.status.heartbeat
        report.row({"kind": "step", "step": 1, "n_steps": 4})
        time.sleep(0.02)
        report.row({"kind": "step", "step": 2, "n_steps": 4})
        deadline = time.monotonic() + 10
        while (status := run.read_status()).step != 2 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert status.heartbeat is not None
    assert before is not None
    assert status.heartbeat > before
    assert status.fraction == 0.5
    assert status.eta_s is not None
    assert 0.02 < status.eta_s < 5


def test_a_stop_during_evaluation_is_heard_between_its_steps(run: Run) -> None:
    def slow(run: Run, progress: Callable[..., None], parts: tuple[str, ...]) -> None:
        run.stop_path.touch()
        with pytest.raises(Stopped):
            progress(0.5, "half")
        raise Stopped

    assert Worker(run, engine(), slow).work().state == "stopped"


LONG = """
import os, signal, sys, time
from pathlib import Path
from braindash.jobs import worker
from braindash.runs.run import Run

def tune(study, model, config, workspace, **calls):
    calls["progress"]({"kind": "step", "step": 1, "n_steps": 9, "epoch": 1, "loss": 0.5})
    print("in a step", flush=True)
    time.sleep(600)  # does not end by itself

worker.LEAVE_SECONDS = 0.3
worker.Worker._tuning = lambda self, report, device: self._long(report)

def long(self, report):
    self._patient = True
    tune(None, None, None, None, progress=report.row)

worker.Worker._long = long
sys.exit(worker.main([sys.argv[1]]))
"""


def test_a_step_that_takes_too_long_is_left_in_time_and_the_run_says_stopped(run: Run) -> None:
    """One SIGTERM is enough also where the step under way outlasts what a scheduler grants."""
    process = subprocess.Popen([sys.executable, "-c", LONG, str(run.path)], stdout=subprocess.PIPE, cwd=_source())
    assert process.stdout is not None
    assert process.stdout.readline() == b"in a step\n"
    assert run.status.state == "running"
    process.terminate()
    assert process.wait(60) == 0
    process.stdout.close()
    status = run.read_status()
    assert status.state == "stopped"
    assert status.ended is not None
    with DeviceQueue(run.home, "cpu").turn("next", waiting=lambda text: pytest.fail(text)):
        pass  # the device is free


def test_a_second_sigterm_ends_it_at_once(run: Run) -> None:
    def deaf(study: Study, model: Any, config: TuneConfig, workspace: Path, **calls: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        assert calls["should_stop"]()
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        except Exception:
            pytest.fail("being stopped was taken for a failure")
        raise AssertionError("the second SIGTERM was not heard")

    assert Worker(run, deaf).work().state == "stopped"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_the_last_words_have_their_room_on_a_full_disk(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where not even the status can be written any more, what was set aside for it is given up."""
    from braindash.runs import run as run_module

    reserve, write = run.path / ".reserve", run_module.atomic_write

    def full(step: int) -> None:
        def refuse(path: Path, text: str) -> None:
            if reserve.exists():
                raise BraindashError("The disk is full.", "Free some space.")
            write(path, text)

        monkeypatch.setattr(run_module, "atomic_write", refuse)
        raise OSError(28, "No space left on device")

    status = Worker(run, engine(full)).work()
    assert status.state == "failed"
    assert status.error is not None
    assert "disk is full" in status.error.what
    assert not reserve.exists()


def test_a_run_says_what_follows_its_encoding(run: Run) -> None:
    asked: list[tuple[str, ...]] = []

    def asks(run: Run, progress: Callable[..., None], parts: tuple[str, ...]) -> None:
        asked.append(parts)

    Worker(run, engine(), asks).work()
    alone = RunStore(run.home).create(run.config.model_copy(update={"analyses": ()}))
    Worker(alone, engine(), asks).work()
    assert asked == [("encode", "probe", "rsa"), ("encode",)]
