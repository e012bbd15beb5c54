"""Which features in the store are a model's, kept so that reading them needs no model.

A model's `identity` is known when it is open, which takes seconds. It follows from its files, so it is kept under
their fingerprint: files that differ in anything are another entry, and nothing is ever stale.
"""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from braindash.config import Home
from braindash.errors import BraindashError
from braindash.files import atomic_write, read_json

if TYPE_CHECKING:
    from braindash.speech.base import SpeechModel

FOLDER = "identities"  # in the folder of features, whose entries lie in folders of two letters
FORMAT = 1  # raise when `SpeechModel.identity` comes to be made of something else


@dataclass(frozen=True)
class Identified:
    """What reading a model's features takes.

    Attributes
    ----------
    identity : str
        `SpeechModel.identity`, a sha256.
    n_layers, width : int
        Blocks, and size of a hidden state.
    """

    identity: str
    n_layers: int
    width: int


def identify(ref: str, home: Home) -> Identified:
    """Return what the features of a model are kept under; the model is opened only where that is not known yet.

    Raises
    ------
    BraindashError
        As :func:`braindash.speech.open_model`.
    """
    with contextlib.suppress(BraindashError):  # opening it says what is wrong, or fetches it
        known = _read(_path(ref, home))
        if known is not None:
            return known
    return _of(open_identified(ref, home))


def open_identified(ref: str, home: Home) -> SpeechModel:
    """Open a model as :func:`braindash.speech.open_model` does, and keep its identity for `identify`."""
    from braindash.speech import open_model

    before = _whole_path(ref, home)
    model = open_model(ref, home)
    # files that were changed meanwhile may not be those that were opened
    if before is not None and before == _whole_path(ref, home) and _read(before) is None:
        with contextlib.suppress(OSError, BraindashError):  # a home that is read-only opens the model each time
            before.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(before, json.dumps(asdict(_of(model))))
    return model


def _of(model: SpeechModel) -> Identified:
    return Identified(model.identity, model.n_layers, model.width)


def _path(ref: str, home: Home) -> Path:
    from braindash.speech.fingerprint import model_fingerprint

    return home.features / FOLDER / f"{model_fingerprint(ref, home)}-{FORMAT}.json"


def _whole_path(ref: str, home: Home) -> Path | None:
    try:
        return _path(ref, home)
    except BraindashError:
        return None


def _read(path: Path) -> Identified | None:
    """Return what was kept, or None where there is nothing or not what was written."""
    try:
        content = read_json(path)
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict) or content.keys() != {"identity", "n_layers", "width"}:
        return None
    identity, sizes = content["identity"], (content["n_layers"], content["width"])
    if not (isinstance(identity, str) and re.fullmatch(r"[0-9a-f]{64}", identity)):
        return None
    return Identified(identity, *sizes) if all(type(n) is int and n > 0 for n in sizes) else None
