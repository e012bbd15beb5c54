"""A speech model's architecture with random weights, the same ones for the same seed."""

from __future__ import annotations

import copy
import hashlib
from typing import Any

import torch

from braindash.speech.base import SpeechModel
from braindash.speech.checkpoint import update_with_tensor


def randomised(model: SpeechModel, seed: int) -> SpeechModel:
    """Return a new model: the architecture and preprocessing of ``model``, initialised as before any training.

    Every weight is drawn by the architecture's own initialisation in transformers, from a
    generator that depends on ``seed`` alone; ``model`` and torch's generators stay as they are.

    Parameters
    ----------
    model : SpeechModel
    seed : int

    Returns
    -------
    SpeechModel
        On the CPU, float32. Its ``weights_hash`` is that of the drawn tensors: whoever draws them
        again compares it, because another release of torch or transformers may draw others.
    """
    digest = hashlib.sha256(f"random weights:{seed}".encode()).digest()
    kind: Any = type(model.encoder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int.from_bytes(digest[:7], "little"))
        encoder = kind._from_config(
            copy.deepcopy(model.config), attn_implementation=model.attention, dtype=torch.float32
        )
    drawn = type(model)(
        encoder,
        model.preprocessing,
        id=model.id,
        weights_hash=_hash(encoder),
        source=f"random weights (seed {seed}) in the architecture of {model.source or model.id}",
        licence=model.licence,
    )
    drawn.ref = model.ref
    return drawn


def _hash(encoder: torch.nn.Module) -> str:
    """Return the sha256 over names, types, shapes and bytes of an encoder's tensors, in order of name."""
    whole = hashlib.sha256()
    tensors = encoder.state_dict()
    for name in sorted(tensors):
        update_with_tensor(whole, name, tensors[name].cpu())
    return whole.hexdigest()
