"""kill -9 at any moment of training or of writing a checkpoint leaves a run that goes on as if nothing had been."""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import save_tiny
from tuning_study import SmallStudy

from braindash.config import TuneConfig
from braindash.speech.base import SpeechModel
from braindash.speech.loading import open_model
from braindash.tuning import checkpoints, loop, tune
from braindash.tuning.position import Keeper

CONFIG = {
    "study": "small",
    "model": "tiny",
    "precision": "fp32",
    "window": {"context": 4, "stride": 4},
    "head": {"rank": 3},
    "lora": {"dropout": 0.1},
    "optimiser": {"epochs": 3, "warmup_steps": 1},
    "checkpoint_steps": 1,
}

WORKER = """
import json, sys, time
from pathlib import Path
from braindash.config import TuneConfig
from braindash.speech.loading import open_model
from braindash.tuning import tune
from tuning_study import SmallStudy

def progress(row):
    print(json.dumps(row), flush=True)
    if row["kind"] == "step" and row["step"] >= int(sys.argv[4]):
        time.sleep(60)  # the parent kills us here

model = open_model(sys.argv[1])
config = TuneConfig.model_validate(json.loads(sys.argv[3]))
tune(SmallStudy(), model, config, Path(sys.argv[2]), progress=progress, should_stop=lambda: False)
"""


def finish(base: Path, workspace: Path, resume: bool) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    config = TuneConfig.model_validate(CONFIG)
    tune(
        SmallStudy(),
        open_model(str(base)),
        config,
        workspace,
        progress=rows.append,
        should_stop=lambda: False,
        resume=resume,
    )
    return rows


def test_a_killed_process_is_resumed_to_the_same_model(tmp_path: Path) -> None:
    base = save_tiny("whisper", tmp_path / "base")
    tests = Path(__file__).resolve().parents[1]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tests.parent), str(tests)]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", WORKER, str(base), str(tmp_path / "run"), json.dumps(CONFIG), "5"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    before = []
    for line in process.stdout:
        before.append(json.loads(line))
        if before[-1].get("step") == 5:
            break
    process.kill()
    assert process.wait() == -signal.SIGKILL, process.communicate()[1]
    process.communicate()

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the process that was killed
    try:
        after = finish(base, tmp_path / "run", resume=True)
        whole = finish(base, tmp_path / "whole", resume=False)
    finally:
        torch.set_num_threads(threads)
    mark = next(r for r in after if "resumed_from_step" in r)
    assert (mark["resumed_from_step"], mark["resumed_from_epoch"]) == (4, 2)
    kept = [r for r in before if r["kind"] == "step" and r["step"] <= 4] + [r for r in after if r["kind"] == "step"]
    expected = [r for r in whole if r["kind"] == "step"]
    assert [(r["step"], r["loss"], r["lr"]) for r in kept] == [(r["step"], r["loss"], r["lr"]) for r in expected]
    for path in (tmp_path / "whole" / "model").iterdir():
        assert path.read_bytes() == (tmp_path / "run" / "model" / path.name).read_bytes()


def die_at(call: int) -> list[str]:
    """Make this process SIGKILL itself just before its ``call``-th operation on a file or folder; return their names.

    Counted are what Python's audit hooks see, every fsync, and every write of a checkpoint's file, cut in half.
    """
    seen: list[str] = []
    folder = str(Path.cwd())

    def tick(name: str) -> None:
        seen.append(name)
        if len(seen) == call:
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"}:
            path = arguments[0]
            if isinstance(path, str | os.PathLike) and str(Path(path).absolute()).startswith(folder):
                tick(event)

    sync, write = os.fsync, checkpoints.write_synced

    def counted_sync(handle: int) -> None:
        tick("fsync")
        sync(handle)

    def torn_write(path: Path, data: bytes) -> None:
        path.write_bytes(data[: len(data) // 2])
        tick("write")
        write(path, data)

    sys.addaudithook(hook)
    os.fsync = counted_sync
    checkpoints.write_synced = torn_write
    return seen


STAGES = {"open", "write", "fsync", "os.rename", "os.remove", "os.mkdir", "os.rmdir"}


def put(folder: Path, step: int) -> None:
    tensors = {"w": torch.full((100,), float(step))}
    checkpoints.write_checkpoint(folder, f"step-{step:07d}-0001", tensors, {"step": step, "best_checkpoint": None})


def in_child(work: Callable[[], None]) -> bool:
    """Do some work in a forked process; return whether it was killed."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_killed_at_any_file_operation_a_whole_checkpoint_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folders alone, with every operation, and with what the next session makes of what is left."""
    newest = []
    for call in range(1, 100):
        folder = tmp_path / str(call)
        put(folder, 1)
        put(folder, 2)
        monkeypatch.chdir(folder)

        def work(call: int = call, folder: Path = folder) -> None:
            seen = die_at(call)
            put(folder, 3)
            checkpoints.remove_old(folder, keep=1)
            (tmp_path / "stages").write_text(" ".join(seen))

        died = in_child(work)
        found = checkpoints.read_newest(folder, pytest.fail)  # nothing damaged is ever in sight
        assert found is not None
        assert torch.equal(found.tensors["w"], torch.full((100,), float(found.state["step"])))
        newest.append(found.state["step"])
        put(folder, 4)  # the next session writes on and clears up
        checkpoints.remove_old(folder, keep=1)
        assert [p.name for p in folder.iterdir()] == ["step-0000004-0001"]
        if not died:
            break
    else:
        pytest.fail("the child never finished")
    assert set((tmp_path / "stages").read_text().split()) == STAGES
    assert newest == sorted(newest)
    assert set(newest) == {2, 3}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_run_killed_at_any_file_operation_comes_to_the_same_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One run; where its first epoch is kept and its checkpoint written, a child for every operation dies in it.

    Every child works in a copy of the run's folder, and what it leaves is resumed.
    """
    base = save_tiny("whisper", tmp_path / "base")
    settings = {**CONFIG, "window": {"context": 2, "stride": 2}, "keep_checkpoints": 1}
    config = TuneConfig.model_validate({**settings, "optimiser": {"epochs": 2, "warmup_steps": 1}})
    run = Path("run")  # relative: a child that changes its working directory works on its copy
    (tmp_path / "whole").mkdir()
    monkeypatch.chdir(tmp_path / "whole")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    model = open_model(str(base))
    killed = []
    real_write, real_save = loop.write_checkpoint, Keeper.save

    def work(call: int) -> None:
        os.chdir(tmp_path / str(call))
        seen = die_at(call)

        def save_and_leave(keeper: Keeper) -> None:
            real_save(keeper)
            (tmp_path / "stages").write_text(" ".join(seen))
            os._exit(0)

        Keeper.save = save_and_leave  # type: ignore[method-assign]

    def write(folder: Path, name: str, *content: Any) -> Path:
        if name == "best-0001":
            for call in range(1, 100):
                shutil.copytree(tmp_path / "whole", tmp_path / str(call))
                child = os.fork()
                if child == 0:
                    work(call)
                    break  # and goes on with the run
                _, status = os.waitpid(child, 0)
                if not os.WIFSIGNALED(status):
                    break
                killed.append(call)
        return real_write(folder, name, *content)

    monkeypatch.setattr(loop, "write_checkpoint", write)
    gc.freeze()
    try:
        go(model, config, run)
        expected = {p.name: p.read_bytes() for p in (run / "model").iterdir()}
        monkeypatch.setattr(loop, "write_checkpoint", real_write)
        names = (tmp_path / "stages").read_text().split()
        assert len(killed) == len(names)
        assert set(names) == STAGES
        for call in killed:
            monkeypatch.chdir(tmp_path / str(call))
            assert checkpoints.read_newest(run / "checkpoints", pytest.fail) is not None
            go(model, config, run, resume=True)
            what = f"killed before operation {call}, {names[call - 1]}"
            assert {p.name: p.read_bytes() for p in (run / "model").iterdir()} == expected, what
            assert not [p for p in (run / "checkpoints").iterdir() if p.name.startswith(".")], what
    finally:
        gc.unfreeze()
        torch.set_num_threads(threads)


def go(model: SpeechModel, config: TuneConfig, workspace: Path, resume: bool = False) -> None:
    study = SmallStudy(n_tune=2, seconds=4.0, n_targets={"a": 4})
    tune(study, model, config, workspace, progress=lambda row: None, should_stop=lambda: False, resume=resume)


def test_a_reader_never_sees_a_checkpoint_being_written(tmp_path: Path) -> None:
    """Names appear only when whole: a reader that looks all the time finds every one it sees intact."""
    child = os.fork()
    if child == 0:
        try:
            for step in range(1, 40):
                put(tmp_path, step)
                checkpoints.remove_old(tmp_path, keep=2)
        finally:
            os._exit(0)
    seen = set()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = checkpoints.newest(tmp_path)
        if found is not None:
            try:
                seen.add(checkpoints.read_checkpoint(found).state["step"])
            except checkpoints.DamagedError:
                assert not found.exists(), "a checkpoint under its final name was not whole"
        if os.waitpid(child, os.WNOHANG)[0]:
            break
    assert len(seen) > 1
