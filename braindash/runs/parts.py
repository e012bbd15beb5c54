"""Fits of single layers, kept in ``home/fits`` by what they were made from, so that none is made twice.

A fit belongs to a problem (one subject's responses, the stories fitted and scored on, the
settings of the regression) and to a layer (weights and preprocessing, window, audio, row
times). Nothing is ever stale: a changed input is another file. The jobs of a cluster leave
their fits here as well, and the evaluation that joins them finds them all made.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from braindash.config import EncodingConfig, Home
from braindash.encoding.layer_fit import LayerFit, LayerKey
from braindash.errors import BraindashError
from braindash.features.store import CODE_VERSION as FEATURES_VERSION
from braindash.features.store import audio_key
from braindash.files import atomic_write, disk_errors, whole_file

if TYPE_CHECKING:
    from braindash.speech.base import SpeechModel
    from braindash.studies.base import Study

log = logging.getLogger(__name__)

CODE_VERSION = 1  # raise when the same inputs come to give other fits
CARD = "problem.json"  # what the fits are of, for people; its time of change is the last use
# settings that choose among layers or judge scores, but change no fit
NOT_OF_THE_FIT = frozenset({"layers", "window", "ceiling", "ceiling_threshold", "n_boot", "fdr"})
DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


class FitStore:
    """The fits of one home."""

    def __init__(self, home: Home) -> None:
        self.root = home.path / "fits"

    def of_subject(
        self,
        study: Study,
        subject: str,
        train: Sequence[str],
        test: Sequence[str],
        settings: EncodingConfig,
        models: Mapping[str, SpeechModel],
    ) -> StoredFits:
        """Return the fits of one subject's layers; reads the subject's responses once, to know them.

        Parameters
        ----------
        study : Study
        subject : str
        train, test : names of stories, in the order of fitting
        settings : EncodingConfig
            As settled by `for_signal`.
        models : name -> SpeechModel
            Those whose layers will be asked for.
        """
        problem = {
            "code": CODE_VERSION,
            "settings": settings.model_dump(mode="json", exclude=set(NOT_OF_THE_FIT)),
            "train": list(train),
            "test": list(test),
            "signal": study.signal,
            "responses": hash_responses(study, subject, [*train, *test]),
        }
        sounds = {s: [audio_key(study, s), _hash_times(study, s, subject)] for s in (*train, *test)}
        heard = {"code": FEATURES_VERSION, "window": settings.window.model_dump(mode="json"), "tr": float(study.tr)}
        keys = {name: _digest({**heard, "model": model.identity, "sounds": sounds}) for name, model in models.items()}
        card = {**problem, "study": study.id, "subject": subject}
        return StoredFits(self.root / _digest(problem), card, keys)

    def prune(self, max_bytes: int = 0) -> tuple[int, int]:
        """Remove the problems used longest ago until the rest fit in ``max_bytes``; return fits and bytes removed."""
        found = sorted(((_last_use(p), p) for p in self.root.glob("*") if p.is_dir()), reverse=True)
        kept = n_removed = freed = 0
        for _, folder in found:
            sizes = [f.stat().st_size for f in folder.glob("*.npz")]
            if kept + sum(sizes) > max_bytes or not sizes:
                shutil.rmtree(folder, ignore_errors=True)
                n_removed, freed = n_removed + len(sizes), freed + sum(sizes)
            else:
                kept += sum(sizes)
        return n_removed, freed


class StoredFits:
    """The fits of one subject in a `FitStore`: see `braindash.encoding.layer_fit.Fits`.

    A file is named by its layer's key and by the hash of the features, so that equal
    features of two models are known without reading either.
    """

    def __init__(self, folder: Path, card: Mapping[str, Any], keys: Mapping[str, str]) -> None:
        self.folder, self._card, self._keys = folder, dict(card), dict(keys)
        self.n_made = 0  # fits made since this object was

    def __contains__(self, key: object) -> bool:
        return isinstance(key, tuple) and self._find(key) is not None

    def __getitem__(self, key: LayerKey) -> LayerFit:
        path = self._find(key)
        if path is None:
            raise KeyError(key)
        fit = _read(path)
        if fit is None:
            raise BraindashError(f"{path} is damaged.", "It was removed: evaluate again, and it is made anew.")
        return fit

    def __setitem__(self, key: LayerKey, fit: LayerFit) -> None:
        self.n_made += 1
        path = self.folder / f"{self._name(key)}-{fit.content}.npz"
        with disk_errors(path, "fits of layers"):
            self.folder.mkdir(parents=True, exist_ok=True)
            if not (self.folder / CARD).exists():
                atomic_write(self.folder / CARD, json.dumps(self._card, indent=1))
            with whole_file(path) as file:
                np.savez(file, **fit.arrays())  # type: ignore[arg-type]

    def equal(self, content: str) -> LayerFit | None:
        """Return a fit of the same features, whichever model they are from."""
        return next((fit for p in sorted(self.folder.glob(f"*-{content}.npz")) if (fit := _read(p))), None)

    def check(self, keys: Sequence[LayerKey]) -> list[LayerKey]:
        """Return which of ``keys`` are not there; damaged files are removed, and count as not there."""
        with contextlib.suppress(OSError):  # a store that is read-only still serves
            os.utime(self.folder / CARD)
        return [k for k in keys if (path := self._find(k)) is None or _read(path) is None]

    def _name(self, key: LayerKey) -> str:
        return f"{self._keys[key[0]]}-{key[1]:02d}"

    def _find(self, key: LayerKey) -> Path | None:
        return next(iter(sorted(self.folder.glob(f"{self._name(key)}-*.npz"))), None)


def _read(path: Path) -> LayerFit | None:
    """Return a fit; None where the file is damaged, which is then removed."""
    try:
        with np.load(path, allow_pickle=False) as arrays:  # a zip file: every member has a checksum
            return LayerFit.from_arrays(dict(arrays))
    except DAMAGED as error:
        log.warning("%s is damaged (%s); the layer is fitted again", path, error)
        with contextlib.suppress(OSError):
            path.unlink()
        return None


def hash_responses(study: Study, subject: str, stories: Sequence[str]) -> str:
    """Return a hash of the responses of one subject to some stories and of what is left out; a story at a time."""
    digest = hashlib.blake2b(digest_size=16)
    for story in stories:
        y = np.ascontiguousarray(study.read_responses(story, subject))
        digest.update(f"{story}{y.shape}{y.dtype}".encode())
        digest.update(y.view(np.uint8).data)
    digest.update(np.ascontiguousarray(study.usable(subject)).tobytes())
    return digest.hexdigest()


def _hash_times(study: Study, story: str, subject: str) -> str:
    times = np.asarray(study.row_times(story, subject), dtype=np.float64)
    return hashlib.blake2b(times.tobytes(), digest_size=16).hexdigest()


def _digest(parts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def _last_use(folder: Path) -> float:
    card = folder / CARD
    return (card if card.exists() else folder).stat().st_mtime
