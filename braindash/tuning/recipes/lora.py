"""Low-rank adapters on the linear layers of the upper blocks, through PEFT."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from braindash.config import TuneConfig
from braindash.errors import BraindashError, closest
from braindash.tuning.recipes import Prepared, blocks

if TYPE_CHECKING:
    import torch

    from braindash.speech.base import SpeechModel


@contextmanager
def prepared(model: SpeechModel, config: TuneConfig, layer: int) -> Iterator[Prepared]:
    """Wrap the chosen linear layers in adapters; on leaving, unwrap them and drop what was learnt.

    Adapters start as the identity (B is zero), their A from torch's generator.

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
        For an unknown target, or a first block at or above the layer.

    References
    ----------
    Hu et al. (2022), ICLR, arXiv 2106.09685.
    """
    import peft

    first = resolve_first_block(config, layer)
    model.encoder.eval().requires_grad_(False)
    settings = peft.LoraConfig(
        r=config.lora.rank,
        lora_alpha=config.lora.alpha,  # type: ignore[arg-type]  # PEFT only divides it by r
        lora_dropout=config.lora.dropout,
        target_modules=target_modules(model, config, first, layer),
        bias="none",
    )
    with warnings.catch_warnings():  # peft asks transformers for a property by its old name
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")
        adapted: Any = peft.get_peft_model(model.encoder, settings)
    adapted.eval()
    try:
        yield Prepared(
            first_block=first,
            parameters=lambda: _adapters(model),
            save=lambda folder, ref: _save(adapted, folder, ref),
            train_mode=lambda on: _train_dropout(model, on),
            what=_in_words(model, config, first, layer),
        )
    finally:
        adapted.unload()
        model.encoder.eval().requires_grad_(False)


def resolve_first_block(config: TuneConfig, layer: int) -> int:
    """Return the first block that gets adapters: the one asked for, or the upper half of those that run."""
    first = layer // 2 if config.lora.first_block is None else config.lora.first_block
    if first >= layer:
        raise BraindashError(
            f"lora.first_block is {first}, but only blocks 0 to {layer - 1} feed layer {layer}.",
            f"Set lora.first_block to {layer - 1} or less, or read a later layer.",
        )
    return first


def target_modules(model: SpeechModel, config: TuneConfig, first: int, layer: int) -> list[str]:
    """Return the paths, inside the encoder, of the linear layers that get adapters."""
    paths = []
    for i in range(first, layer):
        known = model.linear_targets(i)
        for name in config.lora.targets or tuple(known):
            if name not in known:
                raise BraindashError(
                    f"lora.targets holds {name!r}, which block {i} of {model.id} does not have.", closest(name, known)
                )
            paths.append(known[name])
    return list(dict.fromkeys(paths))


def _in_words(model: SpeechModel, config: TuneConfig, first: int, layer: int) -> str:
    on = ", ".join(config.lora.targets or model.linear_targets(first))
    return f"adapters of rank {config.lora.rank} on {on} of {blocks(first, layer)}"


def _adapters(model: SpeechModel) -> Iterator[tuple[str, torch.nn.Parameter]]:
    return ((name, p) for name, p in model.encoder.named_parameters() if "lora_" in name)


def _train_dropout(model: SpeechModel, on: bool) -> None:
    for name, module in model.encoder.named_modules():
        if name.endswith("lora_dropout"):
            module.train(on)


def _save(adapted: Any, folder: Path, ref: str) -> None:
    """Write PEFT's two files: adapter_config.json and adapter_model.safetensors."""
    from peft import get_peft_model_state_dict
    from safetensors.torch import save

    from braindash.files import write_synced

    state = get_peft_model_state_dict(adapted, save_embedding_layers=False)
    write_synced(
        folder / "adapter_model.safetensors",
        save({k: v.detach().cpu().contiguous() for k, v in state.items()}, metadata={"format": "pt"}),
    )
    settings = adapted.peft_config["default"]
    was = settings.inference_mode, settings.base_model_name_or_path, settings.target_modules
    # a set would be written in an order that changes from process to process
    settings.inference_mode, settings.base_model_name_or_path = True, ref
    settings.target_modules = sorted(settings.target_modules)
    settings.save_pretrained(str(folder))
    settings.inference_mode, settings.base_model_name_or_path, settings.target_modules = was
