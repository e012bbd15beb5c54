"""Groups of runs: grids, seeds, controls, the line on one machine, and choosing by validation."""

from __future__ import annotations

import itertools
import json
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
import pytest

from braindash.config import Home, TuneConfig
from braindash.errors import BraindashError, RunStateError
from braindash.jobs import groups
from braindash.jobs.line import Line, start_line
from braindash.jobs.matched import claim_evaluation
from braindash.jobs.reporting import Reporter
from braindash.jobs.worker import Worker
from braindash.runs.groups import TestDifference, by_group, group_rows, label, read_group, summarise, test_difference
from braindash.runs.liveness import identity
from braindash.runs.record import RunRow, RunStore
from braindash.runs.run import Run

BASE = TuneConfig(study="mini", model="m", seed=7)
HOSTILE = {
    "html": "<img src=x onerror=\"alert('x')\">",
    "emoji": "🧠 lr → 3e-4 実験",
    "long": "y" * 100,
    "shell": "a; rm -rf ~ $(x) `y` --home /",
    "path": "../../etc/passwd",
}


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(Home(tmp_path / "home"))


# --- grids ---------------------------------------------------------------------------------------


def test_a_grid_is_every_combination_with_every_seed_in_order() -> None:
    configs = groups.expand(BASE, {"rank": [4, 8], "lr": ["1e-4", 3e-4]}, seeds=2)
    got = [(c.lora.rank, c.optimiser.lr, c.seed) for c in configs]
    assert got == [(r, lr, s) for r in (4, 8) for lr in (1e-4, 3e-4) for s in (7, 8)]
    assert configs[0].name == "rank 4, lr 0.0001, seed 7"
    assert all(c.control == "none" and c.evaluate for c in configs)


def test_controls_come_before_their_run_and_match_it() -> None:
    configs = groups.expand(BASE, {"rank": [4, 8]}, seeds=2, controls=["head-only", "block-permuted"])
    assert len(configs) == 2 * 2 * 3
    for at in range(0, len(configs), 3):
        *controls, real = configs[at : at + 3]
        assert [c.control for c in controls] == ["head-only", "block-permuted"]
        assert real.control == "none"
        assert {c.matching_key() for c in controls} == {real.matching_key()}
        assert real.evaluate
        assert not any(c.evaluate for c in controls)
    assert len({c.matching_key() for c in configs}) == 4


def test_nothing_to_vary_is_the_run_itself() -> None:
    assert groups.expand(BASE) == [BASE]


def test_values_are_read_as_yaml() -> None:
    texts = ["rank=4, 8", "lora.targets=[q, v],null", "gradient_checkpointing=on,off", "pairs=true,false", "lr=1e-4"]
    grid = groups.parse_grid(texts)
    assert grid["rank"] == [4, 8]
    assert grid["lora.targets"] == [["q", "v"], None]
    assert grid["gradient_checkpointing"] == ["on", "off"]
    assert grid["pairs"] == [True, False]
    configs = groups.expand(BASE, grid)
    assert len(configs) == 16
    assert {c.optimiser.lr for c in configs} == {1e-4}
    assert groups.split_values("'a,b',[1,[2,3]],{x: 1, y: 2},") == ["'a,b'", "[1,[2,3]]", "{x: 1, y: 2}"]


@pytest.mark.parametrize(
    ("name", "recipe", "key"),
    [
        ("rank", "lora", "lora.rank"),
        ("head.rank", "lora", "head.rank"),
        ("first_block", "lora", "lora.first_block"),
        ("first_block", "full", "full.first_block"),
        ("weight_decay", "lora", "optimiser.weight_decay"),
        ("loss", "lora", "loss"),
        ("encoding.window.context", "lora", "encoding.window.context"),
    ],
)
def test_short_names(name: str, recipe: str, key: str) -> None:
    assert groups.dotted_key(name, recipe) == key


@pytest.mark.parametrize(
    ("grid", "seeds", "words"),
    [
        ({"rnak": [4]}, 1, ["'rnak'", "rank"]),
        ({"lora.rnak": [4]}, 1, ["lora.rnak", "lora.rank"]),
        ({"context": [8]}, 1, ["'context'", "window.context"]),  # two settings end so
        ({"seed": [1, 2]}, 1, ["seed", "--seeds"]),
        ({"control": ["head-only"]}, 1, ["--controls"]),
        ({"rank": [4, "many"]}, 1, ["rank", "'many'"]),
        ({"rank": [4, 4.0]}, 1, ["twice"]),
        ({"rank": [4], "lora.rank": [8]}, 1, ["lora.rank", "twice"]),
        ({"rank": []}, 1, ["no value"]),
        ({"window.stride": [99]}, 1, ["stride (99 s) must not exceed context"]),
        ({}, 0, ["seeds is 0"]),
    ],
)
def test_a_wrong_grid_is_named(grid: dict[str, list[Any]], seeds: int, words: list[str]) -> None:
    with pytest.raises(BraindashError) as caught:
        groups.expand(BASE, grid, seeds)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("text", ["rank", "=4", "rank=", "rank=,"])
def test_what_is_no_grid_is_named(text: str) -> None:
    with pytest.raises(BraindashError, match="not NAME=VALUE"):
        groups.parse_grid([text])
    with pytest.raises(BraindashError, match="rank twice"):
        groups.parse_grid(["rank=4", "rank=8"])


def test_controls_are_checked() -> None:
    with pytest.raises(BraindashError, match="Did you mean block-permuted"):
        groups.expand(BASE, controls=["block-permutd"])
    with pytest.raises(BraindashError, match="itself a control"):
        groups.expand(BASE.model_copy(update={"control": "head-only"}), controls=["head-only"])
    with pytest.raises(BraindashError, match="evaluate is false"):
        groups.expand(BASE.model_copy(update={"evaluate": False}), controls=["head-only"])


def test_a_long_name_gives_way_to_what_varies() -> None:
    long = BASE.model_copy(update={"name": "n" * 300})
    for config in groups.expand(long, {"rank": [4, 8]}):
        assert config.name.startswith("nnn")
        assert config.name.endswith(f": rank {config.lora.rank}")


def test_group_names_are_readable_and_never_taken() -> None:
    configs = groups.expand(BASE, {"rank": [4, 8], "optimiser.weight_decay": [0, 1]}, seeds=2)
    name = groups.group_name(configs, [])
    assert name.startswith("rank-weight-decay-2")
    assert groups.group_name(configs, [name, f"{name}-2"]) == f"{name}-3"
    assert groups.group_name(groups.expand(BASE, seeds=3), []).startswith("seeds-")
    assert groups.group_name(groups.expand(BASE, controls=["head-only"]), []).startswith("controls-")
    long = groups.group_name(configs, ["y" * 100], "y" * 300)
    assert long == "y" * 98 + "-2"


# --- launching -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(HOSTILE))
def test_a_group_of_any_name_is_launched_and_found(store: RunStore, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    launched: list[Run] = []
    monkeypatch.setattr("braindash.jobs.launch.launch_many", lambda runs, executor: launched.extend(runs))
    configs = groups.expand(BASE, {"rank": [4, 8]})
    group = groups.launch_group(store, configs, name=HOSTILE[kind])
    assert group.id == HOSTILE[kind]
    assert [r.config.lora.rank for r in launched] == [4, 8]
    assert [r.id for r in group.rows] == [r.id for r in launched]
    assert {r.config.group for r in launched} == {group.id}
    assert read_group(store, group.id).varied == ("lora.rank",)
    again = groups.launch_group(store, configs, name=HOSTILE[kind])
    assert again.id == HOSTILE[kind][:98] + "-2"
    assert len(store.list()) == 4


def test_all_runs_are_made_or_none(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    real = RunStore.create

    def full(self: RunStore, config: TuneConfig, **more: Any) -> Run:
        if config.lora.rank == 8:
            raise BraindashError("The disk is full.", "Free some space.")
        return real(self, config, **more)

    monkeypatch.setattr(RunStore, "create", full)
    with pytest.raises(BraindashError, match="disk is full"):
        groups.launch_group(store, groups.expand(BASE, {"rank": [4, 8]}))
    assert store.list() == []


def test_an_unknown_group_offers_the_nearest(store: RunStore) -> None:
    store.create(BASE.model_copy(update={"group": "rank-1"}))
    with pytest.raises(BraindashError, match="Did you mean rank-1"):
        read_group(store, "rnak-1")


def test_stopping_and_deleting_a_group(store: RunStore) -> None:
    runs = [store.create(BASE.model_copy(update={"group": "g"})) for _ in range(3)]
    runs[0].update_status(state="done", **identity())
    runs[1].update_status(state="running", **identity())
    rows = group_rows(store, "g")
    with pytest.raises(RunStateError, match="2 of the 3"):
        groups.delete_group(store, rows)
    assert groups.stop_group(store, rows) == [runs[1].id, runs[2].id]
    assert runs[1].stop_path.exists()
    assert runs[2].status.state == "stopped"  # had no process: it is stopped at once
    runs[1].update_status(state="stopped")
    assert len(groups.delete_group(store, group_rows(store, "g"))) == 3
    assert store.list() == []


# --- the line ------------------------------------------------------------------------------------


def in_line(store: RunStore, n: int, pid: int | None = None) -> list[Run]:
    runs = [store.create(BASE.model_copy(update={"group": "g", "name": str(i)})) for i in range(n)]
    for run in runs:
        run.update_status(state="queued", **identity(pid))
    return runs


@pytest.fixture
def works(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Let the line start a small program of the test's in place of the worker."""

    def use(program: str) -> None:
        file = tmp_path / "worker.py"
        file.write_text(f"import sys, time\nfrom braindash.runs.run import Run\nrun = Run(sys.argv[1])\n{program}\n")
        monkeypatch.setattr("braindash.jobs.processes.command", lambda n, path: [sys.executable, str(file), str(path)])
        monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
        monkeypatch.setattr("braindash.jobs.line.POLL_SECONDS", 0.02)

    return use


def test_the_line_works_one_run_after_the_other(store: RunStore, works: Callable[[str], None]) -> None:
    works("run.update_status(state='done', started=time.time(), ended=time.time())")
    runs = in_line(store, 3)
    Line(runs).work()
    ends = [run.read_status() for run in runs]
    assert [s.state for s in ends] == ["done"] * 3
    assert all((a.ended or 0) <= (b.started or 0) for a, b in itertools.pairwise(ends))


def test_one_that_waits_can_be_stopped_while_another_works(store: RunStore, works: Callable[[str], None]) -> None:
    works("while not (run.path / 'go').exists():\n    time.sleep(0.02)\nrun.update_status(state='done')")
    runs = in_line(store, 3)
    line = Line(runs)
    thread = threading.Thread(target=line.work, daemon=True)
    thread.start()
    from braindash.jobs.launch import stop

    assert stop(runs[1]).state == "stopping"
    assert runs[1].wait(30).state == "stopped"  # at once, not when its turn comes
    assert runs[0].status.state == "queued"
    for run in (runs[0], runs[2]):
        (run.path / "go").touch()
    thread.join(60)
    assert [r.status.state for r in runs] == ["done", "stopped", "done"]


def test_a_worker_that_dies_at_once_is_told_and_the_line_goes_on(store: RunStore, works: Callable[[str], None]) -> None:
    works("if run.config.name == '0':\n    sys.exit(3)\nrun.update_status(state='done')")
    runs = in_line(store, 2)
    Line(runs).work()
    assert [r.status.state for r in runs] == ["interrupted", "done"]
    assert "code 3" in runs[0].status.message


def test_runs_that_were_deleted_or_launched_anew_are_left_alone(store: RunStore, works: Callable[[str], None]) -> None:
    works("run.update_status(state='done')")
    runs = in_line(store, 3)
    runs[0].update_status(state="stopped", pid=None)
    store.delete(runs[0].id)
    other = subprocess.Popen(["sleep", "60"])
    try:
        runs[1].update_status(**identity(other.pid))
        Line(runs).work()
    finally:
        other.kill()
        other.wait()
    assert runs[1].read_status().state == "queued"
    assert runs[2].read_status().state == "done"


def test_a_killed_line_leaves_interrupted_runs(store: RunStore) -> None:
    """The real process, ended before the first run is through: none is left queued for ever."""
    runs = [store.create(BASE.model_copy(update={"study": "nowhere"})) for _ in range(3)]
    start_line(runs)
    status = runs[2].status
    assert (status.state, status.message) == ("queued", "Waits in line.")
    assert status.pid
    with pytest.raises(RunStateError, match="launched already"):
        start_line(runs[2:])
    os.kill(status.pid, signal.SIGKILL)
    end = time.monotonic() + 60
    while runs[2].status.state == "queued" and time.monotonic() < end:
        time.sleep(0.05)
    assert runs[2].status.state == "interrupted"
    runs[0].wait(120)


# --- matched sets --------------------------------------------------------------------------------


def matched(store: RunStore, *controls: str) -> tuple[Run, list[Run]]:
    """A real run, done and evaluated without its controls, and the controls, queued."""
    configs = groups.expand(BASE.model_copy(update={"group": "g"}), controls=controls)
    runs = [store.create(c) for c in configs]
    for run in runs:
        run.model_dir.mkdir()
        (run.model_dir / "braindash_model.json").write_text("{}")
        run.update_status(**identity())
    real = runs[-1]
    evaluated(real, progress=None, parts=("encode",))
    real.update_status(state="done", tuned=True)
    return real, runs[:-1]


def evaluated(run: Run, progress: Any, parts: tuple[str, ...]) -> None:
    """A stand-in for the evaluation: writes which models were there."""
    from braindash.runs.evaluate import find_candidates

    found = find_candidates(run, run.home)
    made_of = {"models": [c.name for c in found], "provenance": {"runs": {c.name: c.ref for c in found[1:]}}}
    (run.path / "records.json").write_text(json.dumps({"braindash": 1, **made_of}))


def test_the_last_of_a_matched_set_to_end_has_the_real_run_evaluated(store: RunStore) -> None:
    real, (a, b) = matched(store, "block-permuted", "head-only")
    a.update_status(state="done")
    assert claim_evaluation(a) is None  # b still waits, and will ask when it ends
    b.update_status(state="failed")
    claimed = claim_evaluation(b)
    assert claimed == real
    assert real.read_status().state == "queued"
    assert claim_evaluation(a) is None  # it is taken
    status = Worker(real, tune=None, evaluate=evaluated).work()
    assert status.state == "done"
    records = real.records()
    assert records is not None
    assert records["models"] == ["pretrained", "brain_tuned", "block_permuted"]  # not the one that failed
    assert claim_evaluation(b) is None  # nothing is missing any more


def test_a_control_that_is_resumed_later_joins_the_results(
    store: RunStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Through the worker itself: the control ends, the real run is evaluated again, and it goes no further."""
    real, (control,) = matched(store, "block-permuted")
    monkeypatch.setattr(Worker, "_tuning", lambda self, report, device: self.run.update_status(tuned=True))
    asked: list[str] = []

    def evaluate(run: Run, progress: Any, parts: tuple[str, ...]) -> None:
        asked.append(run.id)
        evaluated(run, progress, parts)

    control.update_status(state="queued")
    Worker(control, tune=lambda *a, **k: SimpleNamespace(stopped=False), evaluate=evaluate).work()
    assert asked == [real.id]
    assert (real.read_status().state, control.read_status().state) == ("done", "done")
    records = real.records()
    assert records is not None
    assert "block_permuted" in records["models"]


def test_runs_without_a_group_or_controls_are_not_evaluated_again(store: RunStore) -> None:
    run = store.create(BASE)
    run.update_status(state="done", tuned=True)
    assert claim_evaluation(run) is None
    real, _ = matched(store)
    assert claim_evaluation(real) is None


@pytest.mark.parametrize(("keep", "kept"), [("best", 0.3), ("last", 0.2)])
def test_the_status_holds_the_score_of_the_epoch_that_is_kept(store: RunStore, keep: str, kept: float) -> None:
    run = store.create(BASE.model_copy(update={"keep": keep}))
    with Reporter(run) as report:
        for epoch, r, best in ((0, 0.1, False), (1, 0.3, True), (2, 0.2, False)):
            report.row({"kind": "epoch", "epoch": epoch, "validation_r": r, "best": best})
        report.flush(state="done")
    row = store.row(run.id)
    assert (row.pretrained_r, row.validation_r) == (0.1, kept)


# --- choosing ------------------------------------------------------------------------------------


def rows_of(configs: list[TuneConfig], scores: list[float | None]) -> tuple[list[RunRow], dict[str, TuneConfig]]:
    rows = [
        RunRow(
            f"run-{i:02d}", "done" if r is not None else "running", control=c.control, created=float(i), group="g",
            seed=c.seed, validation_r=r, pretrained_r=0.1,
        )
        for i, (c, r) in enumerate(zip(configs, scores, strict=True))
    ]  # fmt: skip
    return rows, {row.id: c for row, c in zip(rows, configs, strict=True)}


def test_the_best_setting_is_by_validation_and_never_by_test() -> None:
    configs = groups.expand(BASE, {"rank": [4, 8]}, seeds=3)
    scores = [0.20, 0.22, 0.21, 0.24, 0.10, 0.30]
    rows, by_id = rows_of(configs, scores)
    tests = {r.id: TestDifference("cortex", 4, 0.9 if i < 3 else -0.9, True) for i, r in enumerate(rows)}
    found = summarise("g", rows, by_id, tests)
    four, eight = found.outcomes
    assert four.values == {"lora.rank": 4}
    assert four.validation.mean == pytest.approx(np.mean(scores[:3]))
    assert four.validation.sd == pytest.approx(np.std(scores[:3], ddof=1))
    assert eight.validation.sd == pytest.approx(np.std(scores[3:], ddof=1))
    assert found.best is eight  # .2133 against .21, however the test stories look
    assert four.test.mean == pytest.approx(0.9)
    assert found.test_of == "cortex, layer 4, r / ceiling"
    assert (four.before, found.n_seeds) == (pytest.approx(0.1), 3)


def test_a_control_is_never_the_best_and_is_no_setting_of_its_own_seeds() -> None:
    configs = groups.expand(BASE, {"rank": [4, 8]}, seeds=2, controls=["block-permuted"])
    rows, by_id = rows_of(configs, [0.9 if c.control != "none" else 0.1 + 0.01 * c.lora.rank for c in configs])
    found = summarise("g", rows, by_id)
    assert [(o.control, len(o.rows)) for o in found.outcomes] == [("none", 2)] * 2 + [("block-permuted", 2)] * 2
    assert found.best is not None
    assert found.best.values == {"lora.rank": 8}


def test_a_setting_with_a_seed_to_come_is_best_only_while_no_other_is_whole() -> None:
    configs = groups.expand(BASE, {"rank": [4, 8]}, seeds=2)
    rows, by_id = rows_of(configs, [0.2, 0.2, 0.9, None])
    assert summarise("g", rows, by_id).outcomes[0].best
    rows, by_id = rows_of(configs, [0.2, None, 0.9, None])
    assert summarise("g", rows, by_id).outcomes[1].best
    rows, by_id = rows_of(configs, [None] * 4)
    assert summarise("g", rows, by_id).best is None


def test_a_member_that_cannot_be_read_is_told() -> None:
    configs = groups.expand(BASE, {"rank": [4, 8]})
    rows, by_id = rows_of(configs, [0.2, 0.3])
    del by_id["run-01"]
    found = summarise("g", rows, by_id)
    assert found.unread == ("run-01",)
    assert len(found.outcomes) == 1


def test_the_row_that_the_summary_rests_on() -> None:
    def row(model: str, roi: str, layer: int, norm: float | None) -> dict[str, Any]:
        return {"model": model, "subject": "all", "roi": roi, "layer": layer, "delta_r": 0.01, "delta_r_norm": norm}

    said = {"model": "brain_tuned", "subject": "all", "region": "cortex", "layer": 2}
    rows = [
        row("head_only", "cortex", 2, 0.5),
        row("brain_tuned", "cortex", 1, 0.4),
        row("brain_tuned", "cortex", 2, 0.3),
    ]
    assert test_difference({"summary": said, "differences": rows}) == TestDifference("cortex", 2, 0.3, True)
    rows[2]["delta_r_norm"] = None
    assert test_difference({"summary": said, "differences": rows}) == TestDifference("cortex", 2, 0.01, False)
    assert test_difference({"summary": {}, "differences": []}) is None


def test_label_and_grouping() -> None:
    assert label({"lora.rank": 8, "optimiser.lr": 3e-4, "lora.first_block": None, "pairs": True, "rois": ()}) == (
        "rank 8, lr 0.0003, first_block default, pairs yes, rois all"
    )
    rows, _ = rows_of([BASE, BASE], [0.1, 0.2])
    loose = RunRow("alone", "done")
    assert by_group([loose, *reversed(rows)]) == {"g": rows}
