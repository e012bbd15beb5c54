"""Features kept by what they were computed from.

An entry is a folder named by a hash of the weights and preprocessing, the window settings,
the audio, the row times and this code's version; it holds one ``.npy`` file a layer, whose
name carries a checksum of its bytes. Nothing is ever stale: a changed input is another entry.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from braindash.config import Home, WindowConfig
from braindash.errors import BraindashError
from braindash.files import whole_file

if TYPE_CHECKING:
    from braindash.features.identities import Identified
    from braindash.features.windows import Progress
    from braindash.speech.base import SpeechModel
    from braindash.studies.base import Study

log = logging.getLogger(__name__)

CODE_VERSION = 1  # raise when the same inputs come to give other features
CARD = "entry.json"  # what an entry was computed from, for people; its time of change is the last use


@dataclass(frozen=True)
class Pruned:
    """What :meth:`FeatureStore.prune` did."""

    n_removed: int
    n_kept: int
    bytes_freed: int
    bytes_kept: int


class FeatureStore:
    """Features on disk under ``home/features``; what is missing is computed.

    Parameters
    ----------
    home : path or Home, optional
        See :class:`braindash.config.Home`.
    """

    def __init__(self, home: str | Path | Home | None = None) -> None:
        self.root = (home if isinstance(home, Home) else Home.resolve(home)).features

    def get(
        self,
        model: SpeechModel,
        study: Study,
        story: str,
        subject: str,
        window: WindowConfig,
        layers: Sequence[int] | None = None,
        progress: Progress | None = None,
    ) -> np.ndarray:
        """Return one story's features at one subject's rows.

        Only layers that are not there, or are damaged, are computed.

        Returns
        -------
        (n_layers, n_trs, width) float32

        Raises
        ------
        BraindashError
            As :func:`braindash.features.extract`, and when the disk is full.
        """
        wanted = model.check_layers(layers)
        folder, parts, shape = self._place(model.identity, model.width, study, story, subject, window)
        found = {k: values for k in set(wanted) if (values := self._read(folder, k, shape)) is not None}
        missing = sorted(set(wanted) - set(found))
        if missing:
            from braindash.features.windows import extract

            times = np.asarray(study.row_times(story, subject), dtype=np.float64)
            computed = extract(model, study.audio(story), times, study.tr, window, missing, progress=progress)
            fresh = dict(zip(missing, computed, strict=True))
            card = {**parts, "study": study.id, "story": story, "model_id": model.id, "shape": list(shape)}
            self._write(folder, card, fresh)
            found.update(fresh)
        else:
            with contextlib.suppress(OSError):  # a store that is read-only still serves
                os.utime(folder / CARD)
        return np.stack([found[k] for k in wanted])

    def missing(
        self,
        model: SpeechModel,
        study: Study,
        story: str,
        subject: str,
        window: WindowConfig,
        layers: Sequence[int] | None = None,
    ) -> list[int]:
        """Return which layers of a story `get` would have to compute; parameters as there."""
        folder, _, shape = self._place(model.identity, model.width, study, story, subject, window)
        return [k for k in sorted(set(model.check_layers(layers))) if self._read(folder, k, shape) is None]

    def kept(
        self, model: Identified, study: Study, story: str, subject: str, window: WindowConfig, layer: int
    ) -> np.ndarray | None:
        """Return one layer of a story, (n_trs, width) float32 and read-only, or None where `get` would compute it."""
        folder, _, shape = self._place(model.identity, model.width, study, story, subject, window)
        values = self._read(folder, layer, shape)
        if values is not None:
            with contextlib.suppress(OSError):  # a store that is read-only still serves
                os.utime(folder / CARD)
        return values

    def _place(
        self, identity: str, width: int, study: Study, story: str, subject: str, window: WindowConfig
    ) -> tuple[Path, dict[str, Any], tuple[int, int]]:
        """Return the folder of one story's features, what they are made from, and one layer's shape."""
        times = np.asarray(study.row_times(story, subject), dtype=np.float64)
        parts = {
            "code": CODE_VERSION,
            "model": identity,
            "window": window.model_dump(mode="json"),
            "audio": audio_key(study, story),
            "times": hashlib.sha256(times.tobytes()).hexdigest(),
            "tr": float(study.tr),
        }
        key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
        return self.root / key[:2] / key, parts, (len(times), width)

    def prune(self, max_bytes: int) -> Pruned:
        """Remove the entries that were used longest ago until the rest fit in ``max_bytes``."""
        entries = sorted(
            ((_last_use(p), sum(f.stat().st_size for f in p.iterdir()), p) for p in self.root.glob("??/*")),
            reverse=True,
        )
        kept = freed = n_kept = n_removed = 0
        full = False
        for _, size, path in entries:
            full = full or kept + size > max_bytes
            if full:
                shutil.rmtree(path, ignore_errors=True)
                freed, n_removed = freed + size, n_removed + 1
            else:
                kept, n_kept = kept + size, n_kept + 1
        return Pruned(n_removed, n_kept, freed, kept)

    def size(self) -> tuple[int, int]:
        """Return (number of entries, bytes) of the store."""
        entries = list(self.root.glob("??/*"))
        return len(entries), sum(f.stat().st_size for p in entries for f in p.iterdir())

    def _read(self, folder: Path, layer: int, shape: tuple[int, int]) -> np.ndarray | None:
        """Return one layer, or None where it is not there or not what was written."""
        for path in sorted(folder.glob(f"layer-{layer:02d}-*.npy")):
            try:
                values = np.load(path, mmap_mode="r", allow_pickle=False)
                whole = values.shape == shape and values.dtype == np.float32
                if whole and path.stem.rpartition("-")[2] == _checksum(values):
                    return values
                reason = "its content is not what was written"
            except (OSError, ValueError, EOFError) as error:
                reason = str(error)
            log.warning("%s is damaged (%s); it is computed again", path, reason)
            with contextlib.suppress(OSError):
                path.unlink()
        return None

    def _write(self, folder: Path, card: dict[str, Any], layers: dict[int, np.ndarray]) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for k, values in layers.items():
                _save(folder / f"layer-{k:02d}-{_checksum(values)}.npy", values)
            _save(folder / CARD, json.dumps(card, indent=2, sort_keys=True))
        except OSError as error:
            if not (folder / CARD).exists():
                shutil.rmtree(folder, ignore_errors=True)
            n_bytes = sum(v.nbytes for v in layers.values())
            raise BraindashError(
                f"Features ({n_bytes / 1e6:.1f} MB) cannot be written to {folder}: {error.strerror or error}.",
                "Make room, run `braindash cache prune`, or choose another home with --home.",
            ) from error


def _save(path: Path, content: np.ndarray | str) -> None:
    with whole_file(path) as file:
        if isinstance(content, str):
            file.write(content.encode())
        else:
            np.save(file, content)


def _checksum(values: np.ndarray) -> str:
    return f"{zlib.crc32(np.ascontiguousarray(values).view(np.uint8).data):08x}"


def _last_use(folder: Path) -> float:
    card = folder / CARD
    return (card if card.exists() else folder).stat().st_mtime


def audio_key(study: Study, story: str) -> str:
    """Hash the audio file's bytes and which part of it is the story: cheaper than decoding it, and as telling."""
    told = study.story(story)
    path = told.audio
    if not path.is_file():
        return hashlib.sha256(np.ascontiguousarray(study.audio(story)).tobytes()).hexdigest()
    with path.open("rb") as f:
        whole = hashlib.file_digest(f, "sha256").hexdigest()
    return whole if told.start == 0 and told.stop is None else f"{whole}[{told.start!r}:{told.stop!r}]"
