"""kill -9 at any moment of training or of writing a checkpoint leaves a run that goes on as if nothing had been."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import save_tiny
from tuning_study import SmallStudy

from braindash.config import TuneConfig
from braindash.speech.loading import open_model
from braindash.tuning import checkpoints, tune

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


def killed_at(call: int, folder: Path) -> bool:
    """Write a second checkpoint in a child that dies at its ``call``-th file operation; return whether it died."""
    child = os.fork()
    if child == 0:
        count = 0

        def counting(function: Any) -> Any:
            def wrapped(*args: Any, **kwargs: Any) -> Any:
                nonlocal count
                count += 1
                if count == call:
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*args, **kwargs)

            return wrapped

        try:
            checkpoints.write_synced = counting(checkpoints.write_synced)
            os.fsync = counting(os.fsync)
            Path.rename = counting(Path.rename)  # type: ignore[method-assign]
            Path.mkdir = counting(Path.mkdir)  # type: ignore[method-assign]
            os.unlink = counting(os.unlink)
            os.rmdir = counting(os.rmdir)
            put(folder, 3)
            checkpoints.remove_old(folder, keep=1)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def put(folder: Path, step: int) -> None:
    tensors = {"w": torch.full((100,), float(step))}
    checkpoints.write_checkpoint(folder, f"step-{step:07d}-0001", tensors, {"step": step, "best_checkpoint": None})


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_killed_at_any_file_operation_a_whole_checkpoint_is_left(tmp_path: Path) -> None:
    newest = []
    for call in range(1, 100):
        folder = tmp_path / str(call)
        put(folder, 1)
        put(folder, 2)
        died = killed_at(call, folder)
        found = checkpoints.read_newest(folder, lambda text: pytest.fail(text))  # nothing damaged is ever in sight
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
    assert call > 12
    assert newest == sorted(newest)
    assert set(newest) == {2, 3}


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
