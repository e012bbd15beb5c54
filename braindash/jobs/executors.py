"""Where a run's process runs: kept in the run's folder as ``executor.json``, so that resuming uses the same."""

from __future__ import annotations

import json
import secrets
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from braindash.config import ExecutorConfig
from braindash.errors import BraindashError
from braindash.files import atomic_write, read_json
from braindash.runs.run import Run

FILE = "executor.json"


class Placement(BaseModel):
    """What ``executor.json`` holds; the number of the job is in status.json."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    braindash: int = 1
    executor: ExecutorConfig = ExecutorConfig()
    ticket: str = ""  # of the submission that may work the run: a job of an earlier one ends at once
    mark: str = ""  # how far the run was when a time limit last ended its job


def read_placement(run: Run) -> Placement:
    """Return where a run was launched; this machine where it says nothing.

    Raises
    ------
    BraindashError
        If the file is there but damaged.
    """
    path = run.path / FILE
    try:
        data: Any = read_json(path)
        return Placement.model_validate(data)
    except FileNotFoundError:
        return Placement()
    except (OSError, ValueError, ValidationError) as error:
        raise BraindashError(
            f"{path} cannot be read ({' '.join(str(error).split())[:200]}).",
            "Delete the file, and say again where the run shall run (--executor).",
        ) from None


def write_placement(run: Run, placement: Placement) -> None:
    """Write ``executor.json``, whole or not at all."""
    text = json.dumps(placement.model_dump(mode="json"), indent=1)
    atomic_write(run.path / FILE, text + "\n")


def new_ticket() -> str:
    """Return the name of a submission, which no other has."""
    return secrets.token_hex(8)
