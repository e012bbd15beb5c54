"""The head that a self-supervised checkpoint was pretrained with: whether it is there, and its tensors."""

from __future__ import annotations

from pathlib import Path

from braindash.speech.checkpoint import open_weights

PARTS = ("quantizer.", "project_hid.", "project_q.")  # of wav2vec 2.0, beside the encoder


def pretraining_tensors(files: tuple[Path, ...]) -> dict[str, Path]:
    """Return the tensors of a self-supervised pretraining head, and the file of each; {} where there is none."""
    found: dict[str, Path] = {}
    for path in files:
        with open_weights(path) as handle:
            found.update({name: path for name in handle.keys() if name.startswith(PARTS)})  # noqa: SIM118
    return found


def has_pretraining_head(files: tuple[Path, ...]) -> bool:
    """Return whether every part of a pretraining head is in ``files``."""
    names = pretraining_tensors(files)
    return all(any(n.startswith(part) for n in names) for part in PARTS)
