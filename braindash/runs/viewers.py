"""Views of the cortex in 3-D, each written once by a process of its own and kept until others need the room.

``home/cortex/viewers/<key>.html`` is a whole viewer; the key is made of everything that it shows. While one is
being written, ``<key>.job`` holds what is asked for and how far it is. ``python -m braindash.runs.viewers JOB``
is the process that writes it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from braindash.config import Home
from braindash.errors import BraindashError
from braindash.files import atomic_write, disk_errors
from braindash.runs.liveness import boot_id, start_mark

if TYPE_CHECKING:
    from braindash.cortex.viewer import ViewerMap
    from braindash.studies.base import CortexMap

MAX_BYTES = 300 * 10**6  # of all viewers together; one is 3 to 12 MB
MAX_SECONDS = 600  # that writing one may take
START_SECONDS = 60.0  # until the process must have said that it is there
TOO_LONG = "The view in 3-D was not done after {} minutes and was given up."
AGAIN = "Ask for it once more. If it ends so again, look at the file {}"


@dataclass(frozen=True)
class Building:
    """A viewer that is being written: how much of it is done, and what is done now."""

    fraction: float
    said: str
    seconds: float


@dataclass(frozen=True)
class Failed:
    """A viewer that could not be written."""

    what: str
    remedy: str


class ViewerStore:
    """The viewers of one home."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.folder = home.cortex / "viewers"

    def path(self, key: str) -> Path:
        return self.folder / f"{key}.html"

    def find(self, key: str) -> Path | None:
        """Return a viewer that is there, and note that it was used; None where there is none."""
        path = self.path(key)
        try:
            os.utime(path)
        except OSError:  # not there, or a home that may only be read
            return path if path.is_file() else None
        return path

    def state(self, key: str) -> Building | Failed | None:
        """Return how far a viewer is that was asked for; None where none is being written (ready, or never asked)."""
        job = self._job(key)
        told = _read(job / "state.json")
        if told is None:
            return None
        if "what" in told:
            return Failed(str(told["what"]), str(told.get("remedy", "")))
        seconds = time.time() - float(told["began"])
        if _lives(told) or (not told.get("pid") and seconds < START_SECONDS):
            return Building(float(told["fraction"]), str(told["said"]), seconds)
        if self.path(key).is_file():
            return None
        if seconds >= MAX_SECONDS:
            return Failed(TOO_LONG.format(MAX_SECONDS // 60), AGAIN.format(job / "log.txt"))
        return Failed("The process that wrote the view in 3-D ended before it was done.", AGAIN.format(job / "log.txt"))

    def start(self, maps: Sequence[ViewerMap], cortex_map: CortexMap) -> str:
        """Begin to write a viewer in a process of its own, unless it is there or being written; return its key.

        Raises
        ------
        BraindashError
            Where nothing can be written.
        """
        key = viewer_key(maps, cortex_map)
        if self.path(key).is_file() or isinstance(self.state(key), Building):
            return key
        job = self._job(key)
        with disk_errors(job, "a view in 3-D"):
            shutil.rmtree(job, ignore_errors=True)
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                job.mkdir()
            except FileExistsError:  # somebody else has just begun
                return key
            try:
                self._begin(job, maps, cortex_map)
            except BaseException:
                shutil.rmtree(job, ignore_errors=True)
                raise
        return key

    def _begin(self, job: Path, maps: Sequence[ViewerMap], cortex_map: CortexMap) -> None:
        """Write what is asked for, and start the process."""
        _write_state(job, 0.0, "Starting", pid=None)
        where = asdict(cortex_map)
        index = where.pop("index")
        arrays = {f"values_{i}": np.asarray(m.values, dtype=np.float32) for i, m in enumerate(maps)}
        np.savez(job / "asked.npz", index=np.asarray(index), **arrays)  # type: ignore[arg-type]
        atomic_write(job / "asked.json", json.dumps({"cortex": where, "maps": [_plain(m) for m in maps]}))
        with (job / "log.txt").open("wb") as output:
            subprocess.Popen(
                [sys.executable, "-m", "braindash.runs.viewers", str(self.home.path), str(job)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )

    def stop(self, key: str) -> None:
        """End the process that writes a viewer, and forget that it was asked for or failed."""
        told = _read(self._job(key) / "state.json")
        if told is not None and _lives(told):
            with contextlib.suppress(OSError):
                os.kill(int(told["pid"]), signal.SIGKILL)  # nothing is half-written: a viewer is renamed when whole
        shutil.rmtree(self._job(key), ignore_errors=True)

    def prune(self, max_bytes: int = 0) -> tuple[int, int]:
        """Remove the viewers used longest ago until the others take ``max_bytes``, and what dead processes left.

        Returns
        -------
        int, int
            How many viewers were removed, and how many bytes of everything.
        """
        removed = freed = 0
        for job in self.folder.glob("*.job"):
            new = time.time() - _used(job) < START_SECONDS  # perhaps made this moment, and nothing told yet
            if not new and not isinstance(self.state(job.stem), Building):
                freed += _size(job)
                shutil.rmtree(job, ignore_errors=True)
        for left in self.folder.glob(".*.tmp"):  # of a process that was killed while it wrote
            if time.time() - _used(left) > MAX_SECONDS:
                freed += _size(left)
                left.unlink(missing_ok=True)
        kept = 0
        for path in sorted(self.folder.glob("*.html"), key=_used, reverse=True):
            size = _size(path)
            if kept + size <= max_bytes:
                kept += size
                continue
            path.unlink(missing_ok=True)
            removed, freed = removed + 1, freed + size
        return removed, freed

    def _job(self, key: str) -> Path:
        return self.folder / f"{key}.job"


def viewer_key(maps: Sequence[ViewerMap], cortex_map: CortexMap) -> str:
    """Return a name made of all that a viewer shows: numbers, colours, words, cortex, and how the page is made."""
    from braindash.cortex.viewer import VERSION

    where = asdict(cortex_map)
    digest = hashlib.sha256(np.ascontiguousarray(where.pop("index"), dtype=np.int32).tobytes())
    for m in maps:
        digest.update(np.ascontiguousarray(m.values, dtype=np.float32).tobytes())
    digest.update(json.dumps([VERSION, where, [_plain(m) for m in maps]], sort_keys=True).encode())
    return digest.hexdigest()[:24]


def _plain(m: ViewerMap) -> dict[str, Any]:
    return {name: getattr(m, name) for name in ("name", "cmap", "low", "high", "unit", "note")}


def _size(path: Path) -> int:
    files = [path] if path.is_file() else list(path.rglob("*"))
    total = 0
    for file in files:
        with contextlib.suppress(OSError):
            total += file.stat().st_size
    return total


def _used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _lives(told: dict[str, Any]) -> bool:
    pid = told.get("pid")
    if not isinstance(pid, int) or told.get("boot") != boot_id():
        return False
    started = start_mark(pid)
    return started is not None and started == told.get("started")


def _write_state(job: Path, fraction: float, said: str, *, pid: int | None, began: float | None = None) -> None:
    named = {} if pid is None else {"pid": pid, "started": start_mark(pid), "boot": boot_id()}
    content = {"fraction": fraction, "said": said, "began": time.time() if began is None else began, **named}
    atomic_write(job / "state.json", json.dumps(content))


# --- the process ---------------------------------------------------------------------------------


def work(home: Home, job: Path) -> None:
    """Write the viewer that a job asks for; what goes wrong is told in the job's state."""
    from braindash.cortex.viewer import ViewerMap, viewer_page
    from braindash.studies.base import CortexMap

    began = time.time()

    def tell(fraction: float, said: str) -> None:
        _write_state(job, fraction, said, pid=os.getpid(), began=began)

    try:
        tell(0.02, "Starting pycortex")
        asked = json.loads((job / "asked.json").read_text())
        with np.load(job / "asked.npz") as arrays:
            cortex_map = CortexMap(index=arrays["index"], **asked["cortex"])
            maps = [ViewerMap(values=arrays[f"values_{i}"], **m) for i, m in enumerate(asked["maps"])]
        page = viewer_page(maps, cortex_map, home, tell)
        store = ViewerStore(home)
        path = store.path(job.stem)
        with disk_errors(path, "a view in 3-D"):
            atomic_write(path, page)
        store.prune(MAX_BYTES)
        shutil.rmtree(job, ignore_errors=True)
    except BraindashError as error:
        atomic_write(job / "state.json", json.dumps({"what": error.what, "remedy": error.remedy}))
    except Exception as error:
        what = f"The view in 3-D could not be written ({type(error).__name__}: {error})."
        atomic_write(job / "state.json", json.dumps({"what": what, "remedy": AGAIN.format(job / "log.txt")}))
        raise


if __name__ == "__main__":
    if hasattr(signal, "SIGALRM"):  # the kernel ends it, whatever pycortex is doing
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(MAX_SECONDS)
    work(Home(Path(sys.argv[1])), Path(sys.argv[2]))
