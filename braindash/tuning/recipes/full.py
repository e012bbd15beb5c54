"""Every weight of the upper transformer blocks; the front end and the blocks below stay as they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from braindash.config import TuneConfig
from braindash.errors import BraindashError
from braindash.tuning.objectives import get_loss
from braindash.tuning.recipes import Prepared, blocks

if TYPE_CHECKING:
    import torch

    from braindash.speech.base import SpeechModel

WEIGHTS = "model.safetensors"


@contextmanager
def prepared(model: SpeechModel, config: TuneConfig, layer: int) -> Iterator[Prepared]:
    """Unfreeze the blocks from ``full.first_block`` on; on leaving, put back the weights that were there.

    The final norm is trained with them where the head reads the last layer. Tensors that have
    no gradient by construction (`SpeechModel.never_trained`) stay frozen: an optimiser that
    scales gradients would turn their rounding error into steps. Every dropout stays off.

    Parameters
    ----------
    model : SpeechModel
        Its encoder is changed in place while the context lasts.
    config : TuneConfig
    layer : int
        Hidden state that feeds the head; blocks from this one on are left alone.

    Raises
    ------
    BraindashError
        For a first block at or above the layer.
    """
    import torch

    first = resolve_first_block(config, layer)
    model.encoder.eval().requires_grad_(False)
    trained = trained_parameters(model, config, first, layer)
    before = {name: p.detach().clone() for name, p in trained.items()}
    for p in trained.values():
        p.requires_grad_(True)
    try:
        yield Prepared(
            first_block=first,
            parameters=lambda: iter(trained.items()),
            save=lambda folder, ref: _save(model, folder),
            train_mode=lambda on: None,
            what=_in_words(model, config, first, layer),
        )
    finally:
        model.encoder.eval().requires_grad_(False)
        with torch.no_grad():
            for name, p in trained.items():
                p.grad = None
                p.copy_(before[name])


def resolve_first_block(config: TuneConfig, layer: int) -> int:
    """Return the first block whose weights are trained."""
    first = config.full.first_block
    if first >= layer:
        raise BraindashError(
            f"full.first_block is {first}, but only blocks 0 to {layer - 1} feed layer {layer}.",
            f"Set full.first_block to {layer - 1} or less, or read a later layer.",
        )
    return first


def trained_parameters(model: SpeechModel, config: TuneConfig, first: int, layer: int) -> dict[str, torch.nn.Parameter]:
    """Return what is trained, by name inside the encoder."""
    trained = model.trainable(first, layer)
    if get_loss(config.loss).ignores_offsets:
        trained.pop(model.shift_of(layer), None)
    return trained


def _in_words(model: SpeechModel, config: TuneConfig, first: int, layer: int) -> str:
    norm = " and the final norm" if model.norm_path and layer == model.n_layers else ""
    left = [f"{name} ({why})" for name, why in model.never_trained.items()]
    if get_loss(config.loss).ignores_offsets and model.shift_of(layer):
        left.append(f"{model.shift_of(layer)} (the loss {config.loss} ignores offsets)")
    without = f"; not {', '.join(left)}" if left else ""
    return f"all weights of {blocks(first, layer)}{norm}{without}"


def _save(model: SpeechModel, folder: Path) -> None:
    """Write the whole encoder, under transformers' names for its tensors."""
    from safetensors.torch import save

    from braindash.files import write_synced

    state = {name: t.detach().cpu().contiguous() for name, t in model.encoder.state_dict().items()}
    write_synced(folder / WEIGHTS, save(state, metadata={"format": "pt"}))
