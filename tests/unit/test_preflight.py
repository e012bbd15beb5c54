"""What preflight says a run will cost, against what it then costs."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_models import save_tiny
from tuning_study import SmallStudy

from braindash.config import EncodingConfig, TuneConfig, WindowConfig
from braindash.encoding.encode import encode_subject
from braindash.features.windows import extract
from braindash.jobs import evaluation_cost
from braindash.jobs.preflight import Preflight
from braindash.speech.loading import open_model

# CPU seconds on one thread: what else the machine does hardly changes them.
SCRIPT = """
import json, sys, tempfile, time
time.perf_counter = time.process_time
from pathlib import Path
import accelerate, peft, torch, transformers
torch.set_num_threads(1)
from tuning_study import SmallStudy
from braindash.config import TuneConfig
from braindash.speech.loading import open_model
from braindash.tuning import tune
from braindash.tuning.estimate import estimate
from braindash.tuning.fast import keep_freed_memory
what, folder, settings = sys.argv[1:]
study = SmallStudy(seconds=160.0, tr=2.0, n_tune=2, n_targets={"a": 3000, "b": 2000})
model, config = open_model(folder), TuneConfig.model_validate_json(settings)
if what == "estimate":
    print(json.dumps(estimate(study, model, config)))
else:
    keep_freed_memory()
    began = time.process_time()
    with tempfile.TemporaryDirectory() as place:
        tune(study, model, config, Path(place), progress=lambda row: None, should_stop=lambda: False)
    # not ru_maxrss: a child begins with its parent's
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    memory = int(lines["VmHWM"].split()[0]) * 1024 / 1e9
    print(json.dumps({"seconds_total": time.process_time() - began, "memory_gb": memory}))
"""


def alone(what: str, folder: Path, config: TuneConfig) -> dict[str, Any]:
    """Run the script in a process of its own and return what it printed."""
    here = Path(__file__).parent.parent
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([str(here), str(here.parent)])
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, what, str(folder), config.model_dump_json()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("model")
    return save_tiny("wav2vec2", place, hidden_size=96, intermediate_size=384, conv_dim=(32,) * 7)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the largest memory of a process on Linux alone")
def test_memory_and_time_are_what_then_happens(folder: Path) -> None:
    config = TuneConfig.model_validate(
        {"study": "small", "model": "m", "precision": "fp32", "optimiser": {"epochs": 2}, "block_trs": 40}
    )
    said, was = alone("estimate", folder, config), alone("tune", folder, config)
    assert said["memory_gb"] == pytest.approx(was["memory_gb"], rel=0.25)
    # CPU time varies with what shares the core's caches; benchmarks/tuning.py measures how near it is
    assert was["seconds_total"] / 2 < said["seconds_total"] < 2 * was["seconds_total"]
    assert was["memory_gb"] > 0.6  # well above the interpreter and its libraries


def test_the_evaluation_costs_about_what_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Features and regressions of the pretrained model alone, done for real, times the two models."""
    import torch

    monkeypatch.setattr(time, "perf_counter", time.process_time)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        study = SmallStudy(seconds=160.0, tr=2.0, n_tune=3, n_targets={"a": 2500})
        model = open_model(str(folder))
        window = WindowConfig()
        encoding = EncodingConfig(window=window, n_permutations=100)
        config = TuneConfig(study="small", model="m", recipe="lora", encoding=encoding)
        said = evaluation_cost.evaluation_seconds(study, model, config)
        began = time.process_time()
        features = {s: extract(model, study.audio(s), study.row_times(s, "a"), 2.0, window) for s in study.stories}
        told = time.process_time() - began
        X = [np.tile(features[s][1], 4) for s in (*study.split.tune, *study.split.validation)]
        Y = [study.data[s, "a"] for s in (*study.split.tune, *study.split.validation)]
        held = {s: np.tile(features[s][1], 4) for s in study.split.test}
        seen = {s: study.data[s, "a"] for s in study.split.test}
        began = time.process_time()
        encode_subject({"pretrained": {0: (X, held)}}, Y, seen, study.targets("a"), encoding, subject="a")
        fit = time.process_time() - began
    finally:
        torch.set_num_threads(threads)
    # 3 blocks: 4 layers in both models; the upper half is tuned, so layers 0 and 1 are fitted once
    real = 2 * told + (2 * 4 - 2) * fit
    assert real / 5 < said < 5 * real  # the right order on a busy machine: nothing is counted twice or left out


def test_probes_and_rsa_are_counted_once_a_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = SmallStudy(seconds=60.0, tr=2.0, n_tune=3, n_targets={"a": 20})  # with one validation and one test story
    model = open_model(str(folder))
    ticks = itertools.count()
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(ticks)))  # everything that is timed takes a second
    said = evaluation_cost.analyses_seconds(study, model)
    passes = (3 * 5 * 60 + 2 * 60) / 12  # three models are probed, two compared by RSA; a window reads 12 s
    assert said == pytest.approx(passes + 3 * 4 * evaluation_cost.N_TASKS * evaluation_cost.DECOMPOSITIONS)
    assert evaluation_cost.analyses_seconds(study, model, ("rsa",)) == pytest.approx(2 * 60 / 12)
    assert evaluation_cost.analyses_seconds(study, model, ()) == 0


def test_tuning_time_evaluation_and_checkpointing_have_their_lines() -> None:
    found = Preflight(
        command="braindash tune",
        estimated_seconds=600.0,
        evaluation_seconds=180.0,
        checkpointing="Gradient checkpointing is off: a step's activations need 1 GB of 9 GB free.",
        memory_needed=2 * 10**9,
        memory_available=9 * 10**9,
    )
    lines = found.lines()
    assert any(line.startswith("time ") and line.endswith("to tune") for line in lines)
    assert any(line.startswith("then ") and line.endswith("to evaluate") for line in lines)
    at = next(k for k, line in enumerate(lines) if line.startswith("memory"))
    assert "Gradient checkpointing is off" in lines[at + 1]
    assert not any("evaluate" in line for line in Preflight(command="x", estimated_seconds=1.0).lines())
