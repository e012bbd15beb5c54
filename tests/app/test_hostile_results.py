"""Results of single targets: damaged, written anew while pages are open, and while a run is still writing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import fake_home
import numpy as np
import pytest
from hostile_home import add_whole, open_any

from braindash.config import Home
from braindash.errors import BraindashError
from braindash.runs.record import RunStore
from braindash.runs.results import read_records, write_results
from braindash.ui import readers

TESTS = Path(__file__).resolve().parents[1]
WRITER = """
import sys, time
sys.path[:0] = [sys.argv[3], sys.argv[3] + "/app"]
import fake_home
from pathlib import Path
from braindash.config import Home
from braindash.runs.record import RunStore
from braindash.runs.results import write_results

run = RunStore(Home(Path(sys.argv[1]))).get(sys.argv[2])
models = ("pretrained", "brain_tuned", "block_permuted")
for i in range(10**6):
    records = fake_home.records(run.id, models=models)
    for row in records["encoding"]:
        row["r"] = row["r_norm"] = float(i % 7) / 10
    data = fake_home.arrays(("sub-01", "sub-02"), models, 40, seed=i)
    data["r"][:] = i
    write_results(run.path, {"encoding": data}, records)
    run.append_metrics({"kind": "step", "step": i + 100, "epoch": 1, "loss": 1.0, "lr": 1e-3, "seconds": 1.0})
    run.update_status(step=i, n_steps=10**6, message=f"at {i}")
    print(i, flush=True)
"""


def block(run_id: str, home: Home, measure: str = "r") -> np.ndarray:
    return readers.target_values(RunStore(home).get(run_id), "brain_tuned", 4, "sub-01", measure)


def test_maps_are_read_again_when_a_run_was_evaluated_again(home: Home) -> None:
    run_id = fake_home.add_done(home)
    run = RunStore(home).get(run_id)
    before = block(run_id, home)
    data = fake_home.arrays(("sub-01", "sub-02"), ("pretrained", "brain_tuned"), 40)
    write_results(run.path, {"encoding": data + 1}, read_records(run.path) or {})
    np.testing.assert_allclose(block(run_id, home), before + 1, rtol=1e-5)


@pytest.mark.parametrize("damage", ["noise", "cut", "missing", "folder", "pipe", "no array", "no group"])
def test_a_damaged_store_is_a_message(home: Home, damage: str) -> None:
    run_id = fake_home.add_done(home)
    group = home.runs / run_id / "results.zarr" / "encoding"
    chunk = next(f for f in sorted((group / "r").iterdir()) if not f.name.startswith("."))
    if damage == "no array":
        (group / "r" / ".zarray").write_text("{", encoding="utf-8")
    elif damage == "no group":
        (group / ".zgroup").unlink()
    else:
        raw = chunk.read_bytes()
        chunk.unlink()
        if damage == "pipe":
            os.mkfifo(chunk)
        elif damage == "folder":
            chunk.mkdir()
        elif damage != "missing":
            chunk.write_bytes(raw[:7] if damage == "cut" else bytes(range(256)) * 8)
    with pytest.raises(BraindashError, match=r"cannot be read|no r of single targets|no results"):
        block(run_id, home)
    for page in ("home", "encoding", "present"):
        open_any(page, run=run_id)


def test_pages_read_while_a_run_writes(home: Home) -> None:
    run_id = add_whole(home, "writes")
    run = RunStore(home).get(run_id)
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(home.path), run_id, str(TESTS)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    try:
        writer.stdout.readline()
        end, said, whole = time.monotonic() + 8, 0, 0
        while time.monotonic() < end or not whole:
            for page in ("home", "encoding", "runs"):
                open_any(page, run=run_id)
            records = read_records(run.path)
            assert records is not None
            assert len({row["r"] for row in records["encoding"]}) == 1  # all of one version
            for _ in range(20):
                try:
                    values = block(run_id, home)
                except BraindashError:
                    said += 1
                else:
                    whole += 1
                    assert len(set(values)) == 1  # never two versions in one map
                    assert values[0] == int(values[0])
            assert writer.poll() is None
    finally:
        writer.kill()
        writer.wait()
    assert whole
