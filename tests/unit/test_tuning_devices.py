"""Two processes that share a fine-tune: the result of one, stopping and failing together."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_models import save_tiny
from tuning_study import SmallStudy

from braindash.config import TuneConfig
from braindash.errors import BraindashError
from braindash.jobs.processes import launch
from braindash.speech.loading import open_model
from braindash.tuning import tune
from braindash.tuning.devices import Team, own_device

CONFIG: dict[str, Any] = {
    "study": "small",
    "model": "tiny",
    "precision": "fp32",
    "device": "cpu",
    "window": {"context": 4, "stride": 4},
    "head": {"rank": 3, "pooling": "attention", "refit": "epoch"},
    "lora": {"dropout": 0.1},
    "optimiser": {"epochs": 2, "warmup_steps": 1},
    "encoding": {"alphas": (1.0, 100.0), "delays": (1, 2)},
    "stories_per_step": 3,
    "checkpoint_steps": 1,
}
STUDY = {"n_tune": 5, "shift": {"sub-02": 0.2}}

# Every process works a list of acts, one fine-tune each, in which one of them may stop when asked the n-th
# time, fail with a mistake or a defect, or be killed.
WORKER = """
import json, os, signal, sys
from pathlib import Path
from braindash.config import TuneConfig
from braindash.errors import BraindashError
from braindash.speech.loading import open_model
from braindash.tuning import tune
from tuning_study import SmallStudy

base, folder, config, study, acts = sys.argv[1], Path(sys.argv[2]), *map(json.loads, sys.argv[3:6])
rank, failed = int(os.environ["RANK"]), False
for number, act in enumerate(acts):
    rows, asked = [], 0

    def should_stop():
        global asked
        asked += 1
        if act.get("rank") == rank and asked >= act["at"]:
            if act["do"] == "stop":
                return True
            if act["do"] == "mistake":
                raise BraindashError("The disk is full.", "Free some space.")
            if act["do"] == "defect":
                raise ZeroDivisionError("a defect")
            os.kill(os.getpid(), signal.SIGKILL)
        return False

    try:
        result = tune(SmallStudy(**study), open_model(base), TuneConfig.model_validate(config), folder / act["in"],
                      progress=rows.append, should_stop=should_stop, resume=act.get("resume", rank == 1))
        out = {"stopped": result.stopped, "best_epoch": result.best_epoch, "best_r": result.best_validation_r,
               "epochs": json.loads(result.epochs.to_json(orient="records"))}
    except Exception as error:
        out, failed = {"error": f"{type(error).__name__}: {error}"}, True
    (folder / f"said-{number}-{rank}.json").write_text(json.dumps({**out, "rows": rows}))
sys.exit(2 if failed else 0)
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny("whisper", tmp_path_factory.mktemp("tiny"))


Said = list[dict[str, Any]]  # by rank


def together(base: Path, folder: Path, acts: list[dict[str, Any]]) -> tuple[int, list[Said]]:
    """Let two processes work the acts; return the exit code and what each said in every act."""
    tests = Path(__file__).resolve().parents[1]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tests.parent), str(tests)]), "OMP_NUM_THREADS": "1"}
    arguments = [str(base), str(folder), *map(json.dumps, (CONFIG, STUDY, acts))]
    code = launch([[sys.executable, "-c", WORKER, *arguments]] * 2, environment, grace=120)
    paths = [[folder / f"said-{number}-{rank}.json" for rank in (0, 1)] for number in range(len(acts))]
    return code, [[json.loads(p.read_text()) if p.exists() else {} for p in pair] for pair in paths]


def alone(base: Path, workspace: Path, resume: bool = False) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    config = TuneConfig.model_validate(CONFIG)
    study = SmallStudy(**STUDY)  # type: ignore[arg-type]
    told: dict[str, Any] = {"progress": rows.append, "should_stop": lambda: False}
    tune(study, open_model(str(base)), config, workspace, resume=resume, **told)
    return rows


def of_kind(rows: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [{k: v for k, v in r.items() if k not in ("seconds", "busy")} for r in rows if r["kind"] == kind]


def weights(workspace: Path) -> dict[str, torch.Tensor]:
    found = {}
    for path in sorted((workspace / "model").glob("*.safetensors")):
        found |= {f"{path.name}/{k}": v for k, v in load_file(path).items()}
    return found


STOPS = [(1, 6), (0, 2)]  # (rank, the how manieth question it answers with yes)


@pytest.fixture(scope="module")
def both(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Said]]:
    """One pair of processes, one fine-tune after another: a whole one, stops and resumings, mistakes, a defect."""
    folder = tmp_path_factory.mktemp("both")
    acts: list[dict[str, Any]] = [{"in": "whole"}]
    for rank, at in STOPS:
        acts += [
            {"in": f"stop-{rank}-{at}", "rank": rank, "at": at, "do": "stop"},
            {"in": f"stop-{rank}-{at}", "resume": True},
        ]
    acts += [{"in": "half", "rank": 1, "at": 7, "do": "stop"}]
    acts += [{"in": "mistake", "rank": rank, "at": 6, "do": "mistake"} for rank in (0, 1)]
    acts += [{"in": "defect", "rank": 1, "at": 4, "do": "defect"}]
    code, said = together(base, folder, acts)
    assert code == 2  # of the acts that fail
    return folder, said


def test_two_processes_come_to_what_one_comes_to(base: Path, both: tuple[Path, list[Said]], tmp_path: Path) -> None:
    """Also with dropout, steps whose items do not divide evenly, learnt pooling and a head solved again."""
    folder, ((main, other), *_) = both
    expected = alone(base, tmp_path)
    got = weights(folder / "whole")
    for name, tensor in weights(tmp_path).items():
        assert torch.allclose(got[name], tensor, rtol=1e-3, atol=1e-5), name
    for kind in ("step", "epoch"):
        rows, theirs = of_kind(main["rows"], kind), of_kind(expected, kind)
        assert [r[kind] for r in rows] == [r[kind] for r in theirs]
        for a, b in zip(rows, theirs, strict=True):
            numbers = [k for k, v in b.items() if isinstance(v, float)]
            assert [a[k] for k in numbers] == pytest.approx([b[k] for k in numbers], rel=1e-3, abs=1e-5)
    assert other["rows"] == []
    assert {k: v for k, v in main.items() if k != "rows"} == {k: v for k, v in other.items() if k != "rows"}
    moved = load_file(tmp_path / "model" / "head.safetensors")["score.weight"]
    assert moved.abs().max() > 1e-5  # otherwise the learnt pooling was not compared
    assert not (folder / "whole" / "cache").exists()


@pytest.mark.parametrize("number", range(len(STOPS)))
def test_a_stop_asked_of_one_stops_both_and_resuming_repeats_every_bit(
    both: tuple[Path, list[Said]], number: int
) -> None:
    folder, ((expected, _), *said) = both
    first, again = said[2 * number], said[2 * number + 1]
    assert [s["stopped"] for s in first] == [True, True]
    assert len(of_kind(first[0]["rows"], "step")) < 4
    assert [s["stopped"] for s in again] == [False, False]
    for kind in ("step", "epoch"):
        assert of_kind(first[0]["rows"] + again[0]["rows"], kind) == of_kind(expected["rows"], kind)
    rank, at = STOPS[number]
    for path in (folder / "whole" / "model").glob("*.safetensors"):
        assert (folder / f"stop-{rank}-{at}" / "model" / path.name).read_bytes() == path.read_bytes()


def test_one_process_goes_on_with_what_two_began(base: Path, both: tuple[Path, list[Said]]) -> None:
    folder, said = both
    stopped = of_kind(said[1 + 2 * len(STOPS)][0]["rows"], "step")
    assert 0 < len(stopped) < 4
    rows = of_kind(alone(base, folder / "half", resume=True), "step")
    assert [r["step"] for r in stopped + rows] == [1, 2, 3, 4]
    got = weights(folder / "half")
    for name, tensor in weights(folder / "whole").items():
        assert torch.allclose(got[name], tensor, rtol=1e-3, atol=1e-5), name


@pytest.mark.parametrize("rank", [0, 1])
def test_a_mistake_in_one_is_told_to_the_other(both: tuple[Path, list[Said]], rank: int) -> None:
    said = both[1][2 + 2 * len(STOPS) + rank]
    assert said[rank]["error"] == "BraindashError: The disk is full. Free some space."
    expected = f"ElsewhereError: Process {rank} of 2 failed: The disk is full. Free some space."
    assert said[1 - rank]["error"] == expected


def test_a_defect_in_one_is_a_defect_in_the_other(both: tuple[Path, list[Said]]) -> None:
    said = both[1][-1]
    assert said[0]["error"] == "ElsewhereDefectError: Process 1 of 2 failed: ZeroDivisionError: a defect"


def test_one_that_is_killed_ends_the_other(base: Path, tmp_path: Path) -> None:
    code, [said] = together(base, tmp_path, [{"in": "killed", "rank": 1, "at": 6, "do": "kill"}])
    assert code == 137
    assert said[1] == {}
    assert "ended without a word" in said[0]["error"] or "lost contact" in said[0]["error"]


def test_a_team_of_one_does_everything_itself() -> None:
    team = Team()
    assert (team.main, team.agree(True), team.agree()) == (True, True, False)
    assert team.from_main(lambda: 3) == 3
    assert team.gather("x") == ["x"]
    p = torch.nn.Parameter(torch.ones(2))
    assert team.add_up([p], 0.5) == 0.5
    assert p.grad is None


def test_several_processes_cannot_share_a_named_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert own_device("cuda:1") == "cuda:1"
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert own_device("auto") == "cuda:1"
    assert own_device("cpu") == "cpu"
    with pytest.raises(BraindashError, match="Set device to auto"):
        own_device("cuda:1")


def test_variables_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch, base: Path, tmp_path: Path) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(BraindashError, match="MASTER_ADDR, MASTER_PORT is not set"):
        alone(base, tmp_path)
    assert np.array_equal([p.name for p in tmp_path.iterdir()], [])
