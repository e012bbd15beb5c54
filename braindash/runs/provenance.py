"""Where a run came from: code, libraries, machine, data, seed, command."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from braindash import __version__
from braindash.config import TuneConfig

if TYPE_CHECKING:
    from braindash.studies.base import Study

LIBRARIES = (
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "safetensors",
    "numpy",
    "scipy",
    "scikit-learn",
    "xarray",
    "zarr",
    "h5py",
    "soundfile",
    "soxr",
)


def collect(config: TuneConfig, command: str = "") -> dict[str, Any]:
    """Return what is known before the worker starts; it adds device, weights, data and split.

    Parameters
    ----------
    config : TuneConfig
    command : str
        The equivalent command line.
    """
    return {
        "braindash": __version__,
        "git": git_state(),
        "python": sys.version.split()[0],
        "libraries": library_versions(),
        "platform": platform.platform(),
        "cpu": cpu_name(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "seed": config.seed,
        "command": command,
    }


def library_versions(names: Sequence[str] = LIBRARIES) -> dict[str, str]:
    """Return the installed versions, without importing anything; absent ones are left out."""
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def git_state(folder: Path | None = None) -> dict[str, Any] | None:
    """Return the commit of the source tree that braindash runs from, and whether files differ; None if not git."""
    source = folder or Path(__file__).resolve().parents[2]
    if not (source / ".git").exists():  # an installed package inside some other repository is not that repository's
        return None
    try:
        commit = _git(source, "rev-parse", "HEAD")
        changed = _git(source, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "changed": bool(changed)}


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=True
    )
    return done.stdout.strip()


def cpu_name() -> str:
    """Return the processor's name."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def data_fingerprint(study: Study, subjects: Sequence[str] | None = None) -> dict[str, Any]:
    """Return BLAKE2 hashes of a study's audio files and of the responses and row times of ``subjects``.

    Two runs with equal fingerprints heard the same bytes and were fitted to the same
    numbers. One story is in memory at a time.

    Parameters
    ----------
    study : Study
    subjects : sequence of str, optional
        All of the study's if None.
    """
    chosen = tuple(subjects or study.subjects)
    audio = hashlib.blake2b(digest_size=16)
    for path in sorted({story.audio for story in study.stories.values()}):
        audio.update(path.name.encode())
        with path.open("rb") as file:
            while block := file.read(2**20):
                audio.update(block)
    responses = hashlib.blake2b(digest_size=16)
    for subject in chosen:
        for story in study.heard(subject):
            responses.update(f"{subject}/{story}".encode())
            responses.update(study.row_times(story, subject).astype("<f8").tobytes())
            responses.update(study.read_responses(story, subject).astype("<f4", copy=False).tobytes())
    return {
        "study": study.id,
        "kind": study.kind,
        "title": study.title,
        "signal": study.signal,
        "simulated": study.simulated,
        "fingerprint": study.fingerprint(),
        "tr": study.tr,
        "subjects": chosen,
        "audio": audio.hexdigest(),
        "responses": responses.hexdigest(),
    }
