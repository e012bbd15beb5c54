"""Views in 3-D are written by a process of their own, once, and give way when room is needed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from cortex_samples import write_pycortex_subject

from braindash.config import Home
from braindash.cortex.viewer import ViewerMap
from braindash.runs import viewers
from braindash.runs.liveness import boot_id, start_mark
from braindash.runs.viewers import Building, Failed, ViewerStore, viewer_key
from braindash.studies.base import CortexMap


@pytest.fixture
def store(tmp_path: Path) -> ViewerStore:
    return ViewerStore(Home(tmp_path / "home"))


def asked(value: float = 0.5) -> tuple[list[ViewerMap], CortexMap]:
    index = np.array([0, 1, -1], dtype=np.int32)
    return [ViewerMap("A", np.array([value, 1], np.float32), "sequential", 0, 1, "r", "Layer 1")], CortexMap(
        "fsaverage5", index
    )


def wait(store: ViewerStore, key: str) -> Building | Failed | None:
    until = time.time() + 120
    while isinstance(state := store.state(key), Building) and time.time() < until:
        time.sleep(0.05)
    return state


def write(store: ViewerStore, key: str, size: int, age: float) -> Path:
    path = store.path(key)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_a_viewer_is_written_once_by_another_process(store: ViewerStore, tmp_path: Path) -> None:
    mask = write_pycortex_subject(tmp_path / "db")
    n = int(mask.sum())
    cortex_map = CortexMap("pycortex", np.arange(n, dtype=np.int32), str(tmp_path / "db"), "S1", "S1_auto")
    maps = [ViewerMap("A", np.arange(n, dtype=np.float32), "sequential", 0, n, "r")]
    key = store.start(maps, cortex_map)
    assert isinstance(store.state(key), Building)
    assert store.start(maps, cortex_map) == key  # a second reader waits for the same
    assert wait(store, key) is None
    path = store.find(key)
    assert path is not None
    assert "braindash_sequential" in path.read_text()
    assert not list(store.folder.glob("*.job"))
    made = path.stat().st_ino
    assert store.start(maps, cortex_map) == key
    assert store.state(key) is None
    assert path.stat().st_ino == made


def test_what_is_wrong_is_told_in_words(store: ViewerStore) -> None:
    key = store.start(*asked())  # two values, three points of 20,484
    state = wait(store, key)
    assert isinstance(state, Failed)
    assert "3 points" in state.what
    store.stop(key)
    assert store.state(key) is None


def test_a_process_that_ended_early_is_said_and_one_at_work_can_be_stopped(
    store: ViewerStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def sleeper(command: list[str], **options: object) -> subprocess.Popen[bytes]:
        process = real([sys.executable, "-c", "import time; time.sleep(60)"])
        began.append(process)
        named = {"pid": process.pid, "started": start_mark(process.pid), "boot": boot_id()}
        state = {"fraction": 0.4, "said": "Preparing", "began": time.time(), **named}
        (Path(command[-1]) / "state.json").write_text(json.dumps(state))
        return process

    monkeypatch.setattr(viewers.subprocess, "Popen", sleeper)
    key = store.start(*asked())
    state = store.state(key)
    assert isinstance(state, Building)
    assert (state.fraction, state.said) == (0.4, "Preparing")
    began[0].send_signal(signal.SIGKILL)
    began[0].wait()
    state = store.state(key)
    assert isinstance(state, Failed)
    assert "ended before it was done" in state.what
    monkeypatch.setattr(viewers, "MAX_SECONDS", 0)  # as when the kernel's alarm has ended it
    state = store.state(key)
    assert isinstance(state, Failed)
    assert "given up" in state.what
    monkeypatch.undo()
    monkeypatch.setattr(viewers.subprocess, "Popen", sleeper)
    assert store.start(*asked()) == key
    store.stop(key)
    assert began[1].wait(10) == -signal.SIGKILL
    assert store.state(key) is None


def test_another_number_word_or_place_is_another_viewer() -> None:
    maps, cortex_map = asked()
    key = viewer_key(maps, cortex_map)
    assert viewer_key(*asked()) == key
    assert viewer_key(asked(0.25)[0], cortex_map) != key
    assert viewer_key(maps, CortexMap("fsaverage5", np.array([1, 0, -1], dtype=np.int32))) != key
    (one,) = maps
    other = ViewerMap(one.name, one.values, one.cmap, one.low, one.high, one.unit, "Layer 2")
    assert viewer_key([other], cortex_map) != key


def test_those_used_longest_ago_go_first(store: ViewerStore) -> None:
    old, used, new = (write(store, k, 100, age) for k, age in (("a", 300), ("b", 400), ("c", 10)))
    assert store.find("b") == used  # looked at just now
    (store.folder / "dead.job").mkdir()
    os.utime(store.folder / "dead.job", (time.time() - 1000,) * 2)
    (store.folder / "fresh.job").mkdir()
    assert store.prune(250) == (1, 100)
    assert not old.exists()
    assert used.exists()
    assert new.exists()
    assert [p.name for p in store.folder.glob("*.job")] == ["fresh.job"]
    assert store.prune(0)[0] == 2
