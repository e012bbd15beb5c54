"""A job of Slurm whose worker leaves in the middle of a step goes back into the line; a stopped one does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from braindash.config import ExecutorConfig, Home, TuneConfig
from braindash.jobs import slurm_task
from braindash.runs.record import RunStore
from braindash.runs.run import Run
from braindash.runs.status import State


class Left(BaseException):
    """What os._exit does in this test."""


@pytest.mark.parametrize(
    ("state", "code", "handed"),
    [("queued", slurm_task.HANDED_BACK, ["7"]), ("stopped", 0, [])],  # taken back by Slurm; stopped by its user
)
def test_a_job_left_in_the_middle_of_a_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: State, code: int, handed: list[str]
) -> None:
    run = RunStore(Home(tmp_path)).create(TuneConfig(study="small", model="tiny"))
    back: list[str] = []

    def work(run: Run, processes: int, leave: Callable[[], None]) -> int:
        run.update_status(state=state)  # the worker's last words
        leave()
        raise AssertionError("the process went on")

    def left(number: int) -> None:
        raise Left(number)

    placement = SimpleNamespace(ticket="t", executor=ExecutorConfig())
    monkeypatch.setattr(slurm_task, "read_placement", lambda run: placement)
    monkeypatch.setattr(slurm_task, "this_job", lambda: "7")
    monkeypatch.setattr(slurm_task, "claim", lambda run, job: True)
    monkeypatch.setattr(slurm_task, "_into_log", lambda run: None)
    monkeypatch.setattr(slurm_task, "hand_back", lambda run, job, *, at_limit: back.append(job))
    monkeypatch.setattr(slurm_task, "_work", work)
    monkeypatch.setattr(slurm_task.os, "_exit", left)
    with pytest.raises(Left) as caught:
        slurm_task.RunTask(str(run.path), "t")()
    assert caught.value.args == (code,)
    assert back == handed
