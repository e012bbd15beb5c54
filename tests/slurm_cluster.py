"""A Slurm cluster of one node, started by hand on this machine: for tests of what really happens to jobs.

munged, slurmctld and slurmd run with their own configuration, ports and state under a
temporary folder, and touch no other Slurm. Where the programs are missing the tests skip.
"""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel", "sinfo", "setpriv")
KILL_WAIT = 20  # seconds from SIGTERM to SIGKILL; a worker needs a moment to write its checkpoint on a busy machine

CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MailProg=/bin/true
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1,sched_min_interval=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait={kill_wait}
ReturnToService=2
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=64000 Gres=gpu:1 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES PriorityTier=1 PreemptMode=REQUEUE State=UP
PartitionName=urgent Nodes=ALL PriorityTier=10 PreemptMode=OFF State=UP
"""


class Cluster:
    """The running cluster: 4 processors and one pretended GPU; partitions main (default) and urgent (goes first)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.conf = folder / "slurm.conf"
        self.host = socket.gethostname().split(".")[0]
        self._daemons: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        for name in ("state", "spool", "munge"):
            (self.folder / name).mkdir(parents=True, mode=0o700)
        key = self.folder / "munge" / "key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        self.conf.write_text(
            CONF.format(
                host=self.host,
                folder=self.folder,
                user=getpass.getuser(),
                controller_port=free_port(),
                node_port=free_port(),
                kill_wait=KILL_WAIT,
            )
        )
        (self.folder / "gres.conf").write_text(f"NodeName={self.host} Name=gpu File=/dev/null\n")
        (self.folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        munge = self.folder / "munge"
        self._begin(
            "munged", "--foreground", "--force", f"--key-file={key}", f"--socket={munge}/socket",
            f"--pid-file={munge}/munged.pid", f"--log-file={munge}/log", f"--seed-file={munge}/seed",
        )  # fmt: skip
        wait_for(lambda: (munge / "socket").exists(), "munged's socket")
        for daemon in ("slurmctld", "slurmd"):
            self._begin(daemon, "-D", "-f", str(self.conf))
        wait_for(lambda: "idle" in self.ask("sinfo", "-h", "-o", "%T"), "the node", self.logs)

    def _begin(self, *command: str) -> None:
        """Start a daemon that ends with this process, however that ends."""
        with (self.folder / "daemons.log").open("ab") as said:
            self._daemons.append(
                subprocess.Popen(["setpriv", "--pdeathsig", "TERM", *command], stdout=said, stderr=subprocess.STDOUT)
            )

    def ask(self, *command: str) -> str:
        """Run one of Slurm's commands and return what it printed."""
        environment = {**os.environ, "SLURM_CONF": str(self.conf)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30).stdout.strip()

    def logs(self) -> str:
        """Return the last lines of the daemons' logs, for the message of a failed test."""
        files = (self.folder / name for name in ("daemons.log", "slurmctld.log", "slurmd.log"))
        return "\n".join(line for f in files if f.exists() for line in f.read_text().splitlines()[-15:])

    def pause_controller(self) -> None:
        """Let the controller answer nothing until `continue_controller`."""
        self._daemons[1].send_signal(signal.SIGSTOP)

    def continue_controller(self) -> None:
        self._daemons[1].send_signal(signal.SIGCONT)

    def stop(self) -> None:
        with suppress(AssertionError, subprocess.SubprocessError):  # a cluster that did not start has no jobs
            self.ask("scancel", "--user", getpass.getuser(), "--signal=KILL", "--full")
            self.ask("scancel", "--user", getpass.getuser())
            wait_for(lambda: self.ask("squeue", "-h") == "", "the end of the jobs", seconds=10)
        for daemon in reversed(self._daemons):
            daemon.terminate()
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def wait_for(
    condition: Callable[[], bool], what: str, said: Callable[[], str] = lambda: "", seconds: float = 30
) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"no {what}: {said()}"
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def why_not() -> str:
    """Return why no cluster can be started here; "" if one can."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    missing = [p for p in PROGRAMS if shutil.which(p, path=path) is None]
    if missing:
        return f"{', '.join(missing)} not installed (apt-get install slurm-wlm munge)"
    return "" if os.getuid() == 0 else "slurmd needs root to start jobs"


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """Start a cluster under ``folder`` for the block; skip the test where none can be started.

    Inside, this process and what it launches use this cluster and no other.
    """
    if reason := why_not():
        pytest.skip(reason)
    hidden = {k: v for k, v in os.environ.items() if k.startswith(("SLURM_", "SBATCH_", "SRUN_"))}
    before = os.environ.get("PATH", "")
    found = Cluster(folder)
    os.environ["PATH"] = os.pathsep.join([before, "/usr/sbin", "/sbin"])
    for name in hidden:
        del os.environ[name]
    os.environ["SLURM_CONF"] = str(found.conf)
    try:
        found.start()
        yield found
    finally:
        found.stop()
        del os.environ["SLURM_CONF"]
        os.environ |= {**hidden, "PATH": before}
