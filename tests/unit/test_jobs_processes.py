"""The launcher of several processes: exit codes, signals, and a run worked by two."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from mini_study import write_mini_study
from tiny_models import save_tiny

from braindash.config import Home, TuneConfig
from braindash.errors import BraindashError
from braindash.jobs.processes import command, launch, main
from braindash.runs.record import RunStore
from braindash.studies.library import add_study


def python(code: str) -> list[str]:
    return [sys.executable, "-S", "-c", code]


def test_one_process_is_the_worker_itself() -> None:
    assert command(1, Path("/r")) == [sys.executable, "-m", "braindash.jobs.worker", "/r"]
    assert command(3, Path("/r")) == [sys.executable, "-m", "braindash.jobs.processes", "3", "/r"]
    with pytest.raises(BraindashError, match="1 or more"):
        command(0, Path("/r"))


@pytest.mark.parametrize("arguments", [[], ["2"], ["0", "/r"], ["two", "/r"]])
def test_other_arguments_are_refused(arguments: list[str]) -> None:
    assert main(arguments) == 2


def test_every_process_knows_its_place(tmp_path: Path) -> None:
    keys = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR")
    write = (
        f"import os; out = open({str(tmp_path)!r} + '/' + os.environ['RANK'], 'w')\n"
        f"out.write(' '.join(os.environ[k] for k in {keys}))"
    )
    assert launch([python(write)] * 3, os.environ) == 0
    assert [(tmp_path / str(k)).read_text() for k in range(3)] == [f"{k} {k} 3 3 127.0.0.1" for k in range(3)]


@pytest.mark.parametrize(
    ("codes", "worst"),
    [((0, 0), 0), ((2, 0), 2), ((0, 1), 1), ((2, 1), 2)],
)
def test_the_worst_exit_code_is_returned(codes: tuple[int, ...], worst: int) -> None:
    assert launch([python(f"raise SystemExit({c})") for c in codes], os.environ) == worst


def test_a_process_that_outlives_a_failed_one_is_ended() -> None:
    began = time.monotonic()
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    assert launch([python("raise SystemExit(1)"), python(stubborn)], os.environ, grace=0.3) == 1
    assert time.monotonic() - began < 50
    # process 0 is through: what is left of the others is no failure
    assert launch([python("pass"), python(stubborn)], os.environ, grace=0.3) == 0


def test_a_signal_is_passed_on_to_all(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys, time\n"
        f"out = {str(tmp_path)!r} + '/' + os.environ['RANK']\n"
        "signal.signal(signal.SIGTERM, lambda *a: (open(out, 'w').write('asked'), sys.exit(0)))\n"
        "open(out + '-ready', 'w').close()\n"
        "time.sleep(60)"
    )

    def ask() -> None:
        while len(list(tmp_path.glob("*-ready"))) < 2:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    threading.Thread(target=ask, daemon=True).start()
    assert launch([python(code)] * 2, os.environ) == 0
    assert [(tmp_path / str(k)).read_text() for k in range(2)] == ["asked", "asked"]
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_run_is_worked_by_two_processes(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    add_study(home, "table", write_mini_study(tmp_path / "mini", n_trs=16))
    config = {
        "study": "mini",
        "model": str(save_tiny("whisper", tmp_path / "base")),
        "device": "cpu",
        "window": {"context": 8, "stride": 8},
        "head": {"rank": 3},
        "optimiser": {"epochs": 1},
        "encoding": {"alphas": (1.0, 100.0)},
        "stories_per_step": 2,
        "evaluate": False,
    }
    run = RunStore(home).create(TuneConfig.model_validate(config))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command(2, run.path), env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert run.status.state == "done"
    steps = [row["step"] for row in run.metrics if row["kind"] == "step"]
    assert steps == [1, 2]
    assert (run.model_dir / "head.safetensors").exists()
