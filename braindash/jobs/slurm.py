"""Jobs of a Slurm cluster: submitted by submitit, asked for and ended by Slurm's own commands."""

from __future__ import annotations

import logging
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from braindash.config import ExecutorConfig
from braindash.errors import BraindashError
from braindash.files import disk_errors
from braindash.runs.cluster import job_book, last_line

log = logging.getLogger(__name__)

COMMAND_SECONDS = 30.0  # that a command of Slurm may take
INSTALL = (
    "Run braindash on a machine of the cluster (Debian: apt-get install slurm-client), or choose --executor local."
)
# what sbatch says -> what to do about it
REMEDIES = (
    ("invalid partition", "Choose one of the cluster's partitions: {partitions}."),
    ("account", "Give an account that you may use (sacctmgr show associations user=$USER), or leave it empty."),
    ("node configuration is not available", "Ask for fewer GPUs or cores, or less memory: sinfo -o '%P %c %m %G'."),
    ("invalid generic resource", "The partition has no such GPUs: sinfo -o '%P %G' shows what there is."),
    (
        "time limit",
        "Give less time: sinfo -o '%P %l' shows the limits. A run that is not done by then goes on in turn.",
    ),
    ("memory", "Ask for less memory: sinfo -o '%P %m' shows what nodes have."),
    ("unable to contact slurm controller", "Slurm's controller does not answer (scontrol ping): try again later."),
    ("invalid job array", "Launch fewer runs at a time: scontrol show config | grep MaxArraySize."),
    ("job violates accounting", "Your limit at the cluster is reached: wait for other jobs, or ask for less."),
)


def submit(
    tasks: Sequence[Callable[[], Any]],
    executor: ExecutorConfig,
    folder: Path,
    *,
    name: str,
    after: Sequence[str] = (),
    timeouts: int = 10**6,
) -> list[str]:
    """Submit tasks, several as one array, and return the number of each one's job.

    Parameters
    ----------
    tasks : callables without arguments that can be pickled
        One with a method ``checkpoint`` is submitted again when it is interrupted.
    executor : ExecutorConfig
    folder : Path
        For submitit's files and the jobs' logs; on a file system that the nodes share.
    name : str
        Shown by squeue.
    after : numbers of jobs or arrays
        That must have succeeded first.
    timeouts : int
        Time limits that submitit starts a task anew after; a run's task sees to that by itself.

    Raises
    ------
    BraindashError
        If Slurm is not there or refuses, with its own words.
    """
    needed = [c for c in ("sbatch", "srun", "squeue") if shutil.which(c) is None]
    if needed:
        raise BraindashError(f"Slurm cannot be used here: {', '.join(needed)} not found.", INSTALL)
    import submitit
    from submitit.core.utils import UncompletedJobError

    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    slurm = submitit.SlurmExecutor(folder=folder, max_num_timeout=timeouts)
    slurm.update_parameters(**_parameters(executor, name, after))
    try:
        with _as_from_outside():
            jobs = slurm.submit_array(list(tasks))
    except (UncompletedJobError, RuntimeError, OSError, subprocess.SubprocessError) as error:
        raise _refused(str(error), executor) from error
    job_book().forget()
    return [job.job_id for job in jobs]


def _parameters(executor: ExecutorConfig, name: str, after: Sequence[str]) -> dict[str, Any]:
    source = Path(__file__).resolve().parents[2]
    threads = max(1, executor.cpus // executor.processes)
    return {
        "job_name": name[:80],
        "time": executor.time,
        "partition": executor.partition or None,
        "account": executor.account or None,
        "nodes": 1,
        "ntasks_per_node": 1,
        "cpus_per_task": executor.cpus,
        "gpus_per_node": executor.gpus or None,
        "mem": f"{round(executor.memory_gb * 1024)}M",
        "array_parallelism": executor.parallel,
        "signal_delay_s": notice(executor),
        "dependency": f"afterok:{':'.join(after)}" if after else None,
        "wckey": None,
        "stderr_to_stdout": True,
        "srun_args": [f"--cpus-per-task={executor.cpus}"],  # since Slurm 22.05 a step does not inherit it
        "setup": [
            f"export PYTHONPATH={shlex.quote(str(source))}${{PYTHONPATH:+:$PYTHONPATH}} PYTHONUNBUFFERED=1",
            f"export OMP_NUM_THREADS=${{OMP_NUM_THREADS:-{threads}}}",
        ],
        "additional_parameters": {"requeue": True, "kill-on-invalid-dep": "yes"},
    }


def notice(executor: ExecutorConfig) -> int:
    """Return how many seconds before the time limit a job is told to write its checkpoint."""
    return int(min(600, max(20, 6 * executor.time)))


@contextmanager
def _as_from_outside() -> Iterator[None]:
    """Hide the variables of a job that this process may be in: the new job would take them for its own."""
    if "SLURM_JOB_ID" not in os.environ:
        yield
        return
    from submitit.helpers import clean_env

    conf = os.environ.get("SLURM_CONF")
    with clean_env():
        if conf is not None:
            os.environ["SLURM_CONF"] = conf
        yield


def _refused(said: str, executor: ExecutorConfig) -> BraindashError:
    lines = [line.strip() for line in said.splitlines() if "error:" in line] or [last_line(said)]
    what = " ".join(re.sub(r"^\S+: error: ", "", line).rstrip(".") + "." for line in lines)
    remedy = next((r for words, r in REMEDIES if words in what.lower()), "See `sinfo` and `scontrol ping`.")
    if "{partitions}" in remedy:
        remedy = remedy.format(partitions=", ".join(partitions()) or "see sinfo")
        what += f" (partition {executor.partition!r})"
    return BraindashError(f"Slurm refused the job: {what}", remedy)


def partitions() -> list[str]:
    """Return the names of the cluster's partitions; [] where Slurm cannot be asked."""
    done = _run("sinfo", "-h", "-o", "%R")
    return sorted(set(done.stdout.split())) if done is not None and done.returncode == 0 else []


def cancel(job: str, *, signal: str = "") -> None:
    """End a job (SIGTERM, and SIGKILL after the cluster's KillWait), or only send it a signal.

    Raises
    ------
    BraindashError
        If Slurm cannot be told. A job that has ended already is no error.
    """
    done = _run("scancel", *([f"--signal={signal}"] if signal else []), job)
    job_book().forget()
    if done is None:
        raise BraindashError(f"Slurm job {job} could not be ended: scancel cannot be run here.", INSTALL)
    if done.returncode and "Invalid job id" not in done.stderr and "already complet" not in done.stderr:
        raise BraindashError(
            f"Slurm job {job} could not be ended: {last_line(done.stderr)}", f"Try again, or: scancel {job}"
        )


def requeue(job: str) -> str:
    """Put a running job back into Slurm's line; return what Slurm said against it, "" if nothing."""
    done = _run("scontrol", "requeue", job)
    job_book().forget()
    if done is None:
        return "scontrol cannot be run"
    return last_line(done.stderr) or f"scontrol ended with code {done.returncode}" if done.returncode else ""


def reachable() -> tuple[bool, str]:
    """Return whether Slurm can be used from this machine, and a sentence about it."""
    if shutil.which("sbatch") is None:
        return False, "Slurm is not installed (sbatch not found)"
    done = _run("scontrol", "ping")
    if done is None or done.returncode or "UP" not in done.stdout:
        said = last_line(done.stdout + done.stderr) if done is not None else "no answer"
        return False, f"Slurm is installed but its controller does not answer ({said})"
    version = _run("sbatch", "--version")
    number = version.stdout.split()[-1] if version is not None and version.stdout.split() else ""
    return True, f"Slurm {number}, partitions {', '.join(partitions()) or 'none'}"


def this_job() -> str:
    """Return the number of the Slurm job that this process is in ("12", "12_3" in an array); "" outside."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID", "")
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ.get("SLURM_JOB_ID", "")


def _run(*command: str) -> subprocess.CompletedProcess[str] | None:
    """Run a command of Slurm; None where it is not there or gives no answer."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        log.warning("%s: %s", command[0], error)
        return None
