"""What decides which model a name opens: told from its files, without opening it or importing torch."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from pathlib import Path
from typing import Any

from braindash import __version__
from braindash.config import Home
from braindash.errors import BraindashError
from braindash.files import read_file
from braindash.speech.checkpoint import hash_weights, read_checkpoint
from braindash.speech.families import FAMILIES
from braindash.speech.references import TUNED_FILE, Found, find_model
from braindash.speech.tuned import MAX_DEPTH, read_tuned_info, tuned_files

# a model's settings take what its config.json leaves open from the one, and random weights are drawn by the other
LIBRARIES = ("transformers", "torch", "peft")
TUNED_KEYS = ("base_weights_hash", "base_random_seed", "recipe")  # of a tuned model's card, what opening it heeds


def model_fingerprint(ref: str, home: Home) -> str:
    """Return a hash of every file and version that decides what :func:`braindash.speech.open_model` gives for ``ref``.

    Weights count by the hash of their tensors, which is believed while a file's size and time of change stay;
    all else by its bytes. Nothing is fetched.

    Raises
    ------
    BraindashError
        Where a file of the model, or of one that it was tuned from, is missing or damaged.
    """
    parts = {
        "braindash": __version__,
        "libraries": {name: _version(name) for name in LIBRARIES},
        "files": _files(find_model(ref, home, fetch=False), home),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _files(found: Found, home: Home, depth: int = 0) -> dict[str, Any]:
    if found.tuned is None:
        checkpoint = read_checkpoint(found.folder)
        return {
            "family": FAMILIES.get(checkpoint.model_type),
            "config": _digest(found.folder / "config.json"),
            "preprocessor": _digest(found.folder / "preprocessor_config.json"),
            "weights": hash_weights(checkpoint.files),
        }
    if depth > MAX_DEPTH:
        raise BraindashError(f"{found.folder} is tuned from itself.", f"Correct 'base' in {found.folder / TUNED_FILE}.")
    info = read_tuned_info(found.folder)
    files = tuned_files(found.folder, info)
    return {
        "card": {key: info.get(key) for key in TUNED_KEYS},
        "adapter": _digest(found.folder / "adapter_config.json"),
        "weights": hash_weights(files) if files else "",
        "base": _files(find_model(info["base"], home, fetch=False), home, depth + 1),
    }


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _digest(path: Path) -> str:
    """Return the sha256 of a small file's bytes, "" where there is none."""
    try:
        return hashlib.sha256(read_file(path)).hexdigest()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise BraindashError(f"{path} cannot be read: {error}.", "Fetch the file again.") from None
