"""What is made of Slurm's words, without a Slurm: stand-ins for its programs print what it prints."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from braindash.config import EncodingConfig, ExecutorConfig, Home, TuneConfig
from braindash.errors import BraindashError, RunStateError
from braindash.jobs import slurm
from braindash.jobs.evaluation import EvaluationJobs, EvaluationTask, submit_evaluation, wait_for_evaluation
from braindash.jobs.executors import Placement, read_placement, write_placement
from braindash.jobs.launch import launch
from braindash.jobs.slurm_task import RunTask, claim, hand_back
from braindash.runs.cluster import JobBook, JobState, job_book
from braindash.runs.liveness import derived_state, identity
from braindash.runs.record import RunStore
from braindash.runs.run import Run
from braindash.runs.status import Status

Programs = Callable[..., Path]
FOREIGN = {"host": "another-machine", "boot_id": "x", "pid": 1, "pid_start": 1.0}


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """Put shell scripts in place of Slurm's programs; each also notes how it was called."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin:/bin")
    job_book.cache_clear()

    def write(**scripts: str) -> Path:
        for name, script in scripts.items():
            file = folder / name
            file.write_text(f'#!/bin/sh\necho "{name} $*" >> {tmp_path}/calls\n{script}\n')
            file.chmod(0o755)
        return tmp_path / "calls"

    write(sbatch="exit 1", srun="exit 1", scancel="exit 0", scontrol="exit 0", squeue="exit 0", sacct="exit 1")
    return write


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return RunStore(Home(tmp_path / "home")).create(TuneConfig(study="s", model="m"))


def test_the_book_asks_once_for_all_jobs(programs: Programs) -> None:
    calls = programs(squeue="printf '7_0|RUNNING|None\\n7_1|PENDING|JobArrayTaskLimit\\n8|COMPLETED|None\\n'")
    book = JobBook()
    assert book.ask("7_0") == JobState("RUNNING")
    assert book.ask("7_1") == JobState("PENDING", "JobArrayTaskLimit")
    assert len(calls.read_text().splitlines()) == 1
    eighth = book.ask("8")
    assert eighth is not None
    assert not eighth.active
    assert calls.read_text().splitlines()[-1].endswith("-j 7,8")
    ninth = book.ask("9")
    assert ninth is not None
    assert not ninth.active  # Slurm has forgotten it
    n = len(calls.read_text().splitlines())
    assert book.ask("7_0") == JobState("RUNNING")
    assert len(calls.read_text().splitlines()) == n


def test_slurm_that_knows_none_of_the_jobs_is_still_an_answer(programs: Programs) -> None:
    programs(squeue="echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    state = JobBook().ask("3")
    assert state is not None
    assert not state.active


def test_a_cluster_that_cannot_be_asked_is_left_alone_for_a_while(programs: Programs) -> None:
    calls = programs(squeue="echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1")
    book = JobBook()
    assert book.ask("3") is None
    assert "Unable to contact" in book.problem
    assert book.ask("4") is None
    assert len(calls.read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("state", "word", "silence", "expected"),
    [
        ("queued", "PENDING", None, "queued"),
        ("queued", "RUNNING", None, "queued"),
        ("queued", "CANCELLED", None, "interrupted"),
        ("queued", "", None, "queued"),  # cannot be asked: nobody has cancelled what waits
        ("running", "RUNNING", 30, "running"),
        ("running", "PENDING", 30, "queued"),  # requeued
        ("running", "PENDING", 1, "running"),  # it has just said something itself
        ("running", "NODE_FAIL", 10, "interrupted"),
        ("running", "", 30, "running"),
        ("running", "", 70, "interrupted"),
        ("stopping", "COMPLETING", 30, "stopping"),
        ("stopping", "CANCELLED", 30, "interrupted"),
        ("done", "NODE_FAIL", 30, "done"),
    ],
)
def test_states_of_jobs(programs: Programs, state: str, word: str, silence: float | None, expected: str) -> None:
    programs(squeue=f"echo '5|{word}|None'" if word else "exit 1")
    now = time.time()
    who = {"heartbeat": now - silence, **FOREIGN} if silence is not None else {}
    status = Status.model_validate({"state": state, "job": "5", "queued": now - 1000, **who})
    assert derived_state(status, now) == expected


@pytest.mark.parametrize(
    ("said", "what", "remedy"),
    [
        ("sbatch: error: invalid partition specified: x", "invalid partition specified: x", "main, urgent"),
        ("sbatch: error: Batch job submission failed: Invalid account or account/partition", "Invalid acc", "account"),
        ("sbatch: error: Unable to contact slurm controller (connect failure)", "Unable to contact", "try again"),
        ("sbatch: error: something new", "something new", "sinfo"),
    ],
)
def test_what_sbatch_refuses(programs: Programs, run: Run, said: str, what: str, remedy: str) -> None:
    programs(sbatch=f"echo '{said}' >&2; exit 1", sinfo="printf 'urgent\\nmain\\n'")
    with pytest.raises(BraindashError, match=what) as caught:
        launch(run, executor=ExecutorConfig(executor="slurm", partition="x"))
    assert remedy in caught.value.remedy
    assert "sbatch: error" not in caught.value.what
    assert run.status.state == "interrupted"


def test_without_slurm_it_says_what_to_install(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BraindashError, match="sbatch, srun, squeue not found") as caught:
        launch(run, executor=ExecutorConfig(executor="slurm"))
    assert "--executor local" in caught.value.remedy
    assert slurm.reachable() == (False, "Slurm is not installed (sbatch not found)")


def test_what_is_submitted(programs: Programs, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "1")  # as if submitted from inside a job: its size must not be taken over
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "5")
    calls = programs(
        sbatch='env | grep ^SLURM_ && exit 1; cp "$1" "$1.seen"; echo Submitted batch job 77',
        squeue="echo '77|PENDING|Resources'",
    )
    executor = ExecutorConfig(
        executor="slurm", partition="gpu", time=90, gpus=2, cpus=6, memory_gb=1.5, account="lab", processes=2
    )
    launch(run, executor=executor)
    assert "sbatch" in calls.read_text()
    script = next((run.path / "slurm").glob(".*.sh.seen")).read_text()
    for line in (
        "--partition=gpu", "--time=90", "--gpus-per-node=2", "--cpus-per-task=6", "--mem=1536M", "--account=lab",
        "--requeue", "--signal=USR2@540", "OMP_NUM_THREADS:-3",
    ):  # fmt: skip
        assert line in script, line
    status = run.status
    assert (status.state, status.job) == ("queued", "77")
    assert status.message == "Slurm job 77 waits (Resources)."
    assert read_placement(run).executor == executor
    assert os.environ["SLURM_JOB_ID"] == "1"


def test_only_the_last_submission_works_a_run(programs: Programs, run: Run) -> None:
    programs(squeue="echo '5|RUNNING|None'")
    write_placement(run, Placement(ticket="new"))
    before = run.read_status()
    saved = os.dup(1), os.dup(2)
    try:
        RunTask(str(run.path), "old")()
    finally:
        os.dup2(saved[0], 1)
        os.dup2(saved[1], 2)
    assert run.read_status() == before


def test_a_run_that_was_stopped_while_its_job_was_out_is_not_begun(programs: Programs, run: Run) -> None:
    programs(squeue="echo '5|RUNNING|None'")
    run.update_status(state="stopping", job="5", **FOREIGN)
    run.stop_path.touch()
    assert not claim(run, "5")
    assert run.read_status().state == "stopped"
    assert not run.stop_path.exists()
    run.update_status(state="running", job="5", heartbeat=time.time() - 30, **FOREIGN)
    assert claim(run, "5")  # killed without a word, and started again by Slurm
    assert run.read_status().state == "queued"
    assert run.read_status().pid == identity()["pid"]


def test_two_time_limits_at_the_same_point_are_a_failure(programs: Programs, run: Run) -> None:
    calls = programs(squeue="echo '5|RUNNING|None'")
    write_placement(run, Placement(executor=ExecutorConfig(executor="slurm", time=7)))

    def limit(**where: int | str) -> str:
        run.update_status(state="queued", job="5", **where)
        hand_back(run, "5", at_limit=True)
        return run.read_status().state

    assert limit(stage="tuning", step=3) == "queued"
    assert "scontrol requeue 5" in calls.read_text()
    assert limit(stage="tuning", step=9) == "queued"
    n = calls.read_text().count("requeue")
    assert limit(stage="preparing", step=9) == "failed"
    assert calls.read_text().count("requeue") == n
    error = run.read_status().error
    assert error is not None
    assert "7 minutes" in error.what
    assert "--time" in error.remedy


def test_a_job_that_slurm_itself_is_ending_is_left_to_it(programs: Programs, run: Run) -> None:
    calls = programs(squeue="echo '5|CANCELLED|None'")
    run.update_status(state="queued", job="5")
    hand_back(run, "5", at_limit=False)
    assert "scontrol" not in calls.read_text()
    assert run.status.state == "interrupted"
    assert "CANCELLED" in run.status.message


def test_a_damaged_executor_file_is_named(run: Run) -> None:
    (run.path / "executor.json").write_text("{")
    with pytest.raises(BraindashError, match=r"executor\.json cannot be read"):
        read_placement(run)


def test_an_evaluation_says_which_of_its_jobs_failed(programs: Programs, run: Run) -> None:
    programs(squeue="printf '6_0|COMPLETED|None\\n7_0|COMPLETED|None\\n7_1|FAILED|NonZeroExitCode\\n8|PENDING|D\\n'")
    jobs = EvaluationJobs(submitted=time.time(), features=("6_0",), fits=("7_0", "7_1"), join="8")
    logs = run.path / "slurm"
    logs.mkdir()
    (logs / "7_1_0_log.out").write_text("submitit INFO\nerror: The disk is full. Free some.\nsrun: error: Exited\n")
    told: list[tuple[float, str]] = []
    with pytest.raises(BraindashError, match=r"job 7_1 .* FAILED: The disk is full\. Free some\."):
        wait_for_evaluation(run, jobs, lambda fraction, text: told.append((fraction, text)), poll=0)
    assert told == [(0.75, "3 of 4 jobs done, 0 at work")]


def test_an_evaluation_that_left_nothing_is_not_taken_for_done(programs: Programs, run: Run) -> None:
    programs(squeue="printf '8|COMPLETED|None\\n'")
    jobs = EvaluationJobs(submitted=time.time(), features=(), fits=(), join="8")
    with pytest.raises(BraindashError, match="left no results"):
        wait_for_evaluation(run, jobs, lambda fraction, text: None, poll=0)


def test_an_evaluation_is_submitted_once(programs: Programs, run: Run) -> None:
    programs(squeue="printf '7_0|PENDING|None\\n8|PENDING|Dependency\\n'")
    jobs = EvaluationJobs(submitted=time.time(), features=("7_0",), fits=("7_0",), join="8")
    (run.path / "evaluation.json").write_text(jobs.model_dump_json())
    with pytest.raises(RunStateError, match="is being evaluated by Slurm jobs 7 8"):
        submit_evaluation(run, ExecutorConfig(executor="slurm"))


def test_jobs_of_an_evaluation_that_was_refused_half_way_are_ended(
    programs: Programs, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first array is taken, the second refused: what was submitted is cancelled."""
    calls = programs(
        sbatch=f'test -e {run.path}/taken && {{ echo "sbatch: error: no more" >&2; exit 1; }}; touch {run.path}/taken; '
        "echo Submitted batch job 21"
    )
    settings = EncodingConfig().model_dump_json()
    tasks = [EvaluationTask(str(run.path), (), settings, step) for step in ("features", "fits", "join")]
    monkeypatch.setattr("braindash.jobs.evaluation.plan_tasks", lambda *given: tasks)
    with pytest.raises(BraindashError, match="no more"):
        submit_evaluation(run, ExecutorConfig(executor="slurm"))
    assert "scancel 21" in calls.read_text()
    assert not (run.path / "evaluation.json").exists()
