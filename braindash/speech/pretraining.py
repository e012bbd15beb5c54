"""The head that a self-supervised checkpoint was pretrained with: whether it is there, and its tensors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from braindash.speech.checkpoint import open_weights

if TYPE_CHECKING:
    import torch

PARTS = ("quantizer.", "project_hid.", "project_q.")  # of wav2vec 2.0, beside the encoder
MASK = "masked_spec_embed"  # what takes the place of a masked frame; the encoder's, in pretraining checkpoints


def pretraining_tensors(files: tuple[Path, ...]) -> dict[str, Path]:
    """Return the tensors of a pretraining head, by their names in the files, and the file of each."""
    found: dict[str, Path] = {}
    for path in files:
        with open_weights(path, "np") as handle:
            names = handle.keys()
            found.update({n: path for n in names if n.startswith(PARTS) or n.rpartition(".")[2] == MASK})
    return found


def has_pretraining_head(files: tuple[Path, ...]) -> bool:
    """Return whether every part of a pretraining head is in ``files``."""
    names = pretraining_tensors(files)
    return all(any(n.startswith(part) for n in names) for part in PARTS) and any(n.endswith(MASK) for n in names)


def read_pretraining_head(files: tuple[Path, ...]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Return the head's tensors by name, float32, and the vector of a masked frame, (width,).

    ``has_pretraining_head`` must be true of the files.
    """
    tensors: dict[str, torch.Tensor] = {}
    for name, path in pretraining_tensors(files).items():
        with open_weights(path) as handle:
            tensors[name] = handle.get_tensor(name).float()
    mask = next(n for n in tensors if n.endswith(MASK))
    return {n: t for n, t in tensors.items() if n != mask}, tensors[mask]
