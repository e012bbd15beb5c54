"""Checkpoints that are whole or not there.

A checkpoint is a folder with ``tensors.safetensors``, ``state.json`` and, written
last, ``COMPLETE`` with the size and SHA-256 of the other two. It is filled under a
hidden name beside its own, every file fsynced, and renamed: a process killed at any
moment leaves the earlier checkpoints as they were.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from braindash.files import disk_errors, replace_folder, sync_folder, write_synced

if TYPE_CHECKING:
    import torch

TENSORS, STATE, MARKER = "tensors.safetensors", "state.json", "COMPLETE"
RESUME_AFTER = "Free some space, then resume the run."


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint, read into memory.

    Attributes
    ----------
    path : Path
    tensors : dict of name to tensor
    state : dict
        What ``write_checkpoint`` was given, through JSON.
    """

    path: Path
    tensors: dict[str, torch.Tensor]
    state: dict[str, Any]


class DamagedError(Exception):
    """A checkpoint folder that is incomplete or whose bytes changed."""


def write_checkpoint(folder: Path, name: str, tensors: dict[str, torch.Tensor], state: dict[str, Any]) -> Path:
    """Write ``folder/name`` atomically and return it.

    Raises
    ------
    BraindashError
        If the disk is full; nothing half-written stays and earlier checkpoints are untouched.
    """
    from safetensors.torch import save

    final = folder / name
    temporary = folder / f".{name}.{os.getpid()}.part"
    payload = {
        TENSORS: save({k: v.detach().cpu().contiguous() for k, v in tensors.items()}),
        STATE: json.dumps(state, indent=1, sort_keys=True).encode(),
    }
    marker = {file: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for file, data in payload.items()}
    size = sum(len(d) for d in payload.values()) / 1e6
    last = newest(folder)
    kept = f"the last whole one, {last.name}, is intact" if last else "there is no earlier one"
    try:
        with disk_errors(folder, f"checkpoint {name}, {size:.1f} MB; {kept}", RESUME_AFTER):
            folder.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
            for file, data in payload.items():
                write_synced(temporary / file, data)
            write_synced(temporary / MARKER, json.dumps(marker, indent=1).encode())
            sync_folder(temporary)
            replace_folder(temporary, final)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return final


def read_checkpoint(path: Path) -> Checkpoint:
    """Read and verify one checkpoint.

    Raises
    ------
    DamagedError
        If a file is missing or its size or SHA-256 is not what the marker says.
    """
    from safetensors.torch import load

    try:
        marker = json.loads((path / MARKER).read_text())
        payload = {file: (path / file).read_bytes() for file in (TENSORS, STATE)}
        for file, data in payload.items():
            said = marker[file]
            if len(data) != said["bytes"] or hashlib.sha256(data).hexdigest() != said["sha256"]:
                raise DamagedError(f"{path.name}/{file} is not the file that was written")
        return Checkpoint(path, load(payload[TENSORS]), json.loads(payload[STATE]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedError(f"{path.name} is incomplete ({error})") from error


def listed(folder: Path, prefix: str) -> list[Path]:
    """Return the folders ``prefix-<number>[-<number>]`` in order; unfinished ones have another name."""
    pattern = re.compile(rf"{re.escape(prefix)}-(\d+)(?:-(\d+))?$")
    if not folder.is_dir():
        return []
    found = [(int(m[1]), int(m[2] or 0), p) for p in folder.iterdir() if (m := pattern.match(p.name)) and p.is_dir()]
    return [p for *_, p in sorted(found)]


def newest(folder: Path, prefix: str = "step") -> Path | None:
    """Return the last checkpoint folder, not verified, or None."""
    found = listed(folder, prefix)
    return found[-1] if found else None


def read_newest(folder: Path, log: Callable[[str], None], prefix: str = "step") -> Checkpoint | None:
    """Return the newest checkpoint that verifies; damaged ones are reported to ``log`` and passed over.

    One whose best epoch's weights do not verify is damaged as well: it could go on, but not end.
    """
    for path in reversed(listed(folder, prefix)):
        try:
            found = read_checkpoint(path)
            best = found.state.get("best_checkpoint")
            if best is not None:
                read_checkpoint(folder / best)
            return found
        except DamagedError as error:
            log(f"Checkpoint {path.name} is damaged: {error}. Falling back to the one before.")
    return None


def remove_old(folder: Path, keep: int) -> None:
    """Keep the newest ``keep`` step checkpoints and every best one that they, or the newest epoch, refer to.

    Left-overs of killed writers are removed as well.
    """
    steps = listed(folder, "step")
    for path in steps[:-keep]:
        discard(path)
    wanted = {p.name for p in listed(folder, "best")[-1:]}
    for path in steps[-keep:]:
        try:
            wanted.add(str(json.loads((path / STATE).read_text()).get("best_checkpoint")))
        except (OSError, ValueError):
            continue  # damaged: read_newest will pass it over and say so
    for path in listed(folder, "best"):
        if path.name not in wanted:
            discard(path)
    for left in folder.glob(".*.part"):
        shutil.rmtree(left, ignore_errors=True)
    for left in folder.glob(".*.old"):
        shutil.rmtree(left, ignore_errors=True)


def discard(path: Path) -> None:
    """Remove a checkpoint: renamed first, so that one half removed never looks whole."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.old")
    path.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)
