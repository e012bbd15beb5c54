"""What a run does now: the fields of its status.json."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

State = Literal["queued", "running", "stopping", "stopped", "failed", "interrupted", "done"]
Stage = Literal["preparing", "features", "tuning", "evaluating"]
STATES: tuple[State, ...] = get_args(State)
ACTIVE: tuple[State, ...] = ("queued", "running", "stopping")
RESUMABLE: tuple[State, ...] = ("stopped", "interrupted", "failed")
STATUS_VERSION = 1
Time = Annotated[float, Field(ge=0, le=32e9)]  # until the year 2984: what lies beyond cannot be shown as a date


class RunError(BaseModel):
    """Why a run failed. ``kind`` is "user" for what the user can mend, "defect" for the rest."""

    model_config = ConfigDict(frozen=True)

    what: str
    remedy: str = ""
    kind: Literal["user", "defect"] = "defect"


class Status(BaseModel):
    """The state of a run. Times are seconds since 1970; what is not known is None."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    braindash: int = STATUS_VERSION  # version of the run folder's format
    state: State = "queued"
    stage: Stage | None = None
    step: int | None = None
    n_steps: int | None = None
    epoch: int | None = None
    n_epochs: int | None = None
    fraction: float | None = None  # of the stage, 0 … 1
    eta_s: float | None = None  # seconds left in the stage
    message: str = ""
    error: RunError | None = None
    tuned: bool = False  # the tuning stage has ended and model/ is whole
    validation_r: float | None = None  # of the epoch that is kept, so far
    pretrained_r: float | None = None  # before tuning
    device: str = ""  # "cpu", "cuda:0"; "" until the worker has chosen it
    job: str = ""  # number of the Slurm job that works it ("12", "12_3" in an array); "" on a machine of one's own
    heartbeat: Time | None = None
    pid: int | None = None
    pid_start: float | None = None
    boot_id: str = ""
    host: str = ""
    created: Time = 0.0
    queued: Time = 0.0  # when it was last launched
    started: Time | None = None
    ended: Time | None = None

    @property
    def active(self) -> bool:
        """Whether a worker has it or will have it."""
        return self.state in ACTIVE
