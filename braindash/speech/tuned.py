"""Tuned models: a base model's name, and adapters or a whole set of weights.

A tuned model's folder (a run's ``model/``) holds ``braindash_model.json`` and either
``adapter_model.safetensors`` with ``adapter_config.json`` (PEFT's format) or the encoder's
whole ``model.safetensors``; neither where the recipe was ``head``, which leaves the encoder be.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from braindash.config import Home
from braindash.errors import BraindashError
from braindash.files import atomic_write
from braindash.speech.checkpoint import find_weights, hash_weights, open_weights, read_json
from braindash.speech.references import TUNED_FILE, Found, find_model

if TYPE_CHECKING:
    import torch

    from braindash.speech.base import SpeechModel

# what decides a LoRA adapter's output; PEFT knows further settings, some of which import modules by name
ADAPTER_SETTINGS = frozenset(
    {"r", "lora_alpha", "target_modules", "exclude_modules", "rank_pattern", "alpha_pattern", "layers_to_transform",
     "layers_pattern", "use_rslora", "use_dora", "fan_in_fan_out", "bias"}
)  # fmt: skip
MAX_DEPTH = 16  # a tuned model may be tuned again; a longer chain is a circle


def write_tuned_info(folder: Path, base: SpeechModel, base_ref: str, **about: Any) -> None:
    """Write ``braindash_model.json`` beside a tuned model's weights.

    Parameters
    ----------
    folder : path
        Holds ``adapter_model.safetensors`` and ``adapter_config.json``, or ``model.safetensors``.
    base : SpeechModel
        As it was before tuning.
    base_ref : str
        What :func:`braindash.speech.open_model` was given to open it.
    **about
        Anything else worth keeping (layer, run, study), JSON types.
    """
    content = {
        "braindash": 1,
        "base": base_ref,
        "base_weights_hash": base.weights_hash,
        "family": base.family,
        **about,
    }
    atomic_write(folder / TUNED_FILE, json.dumps(content, indent=2, sort_keys=True))


def open_tuned(found: Found, home: Home, depth: int = 0) -> SpeechModel:
    """Open the base model and put the tuned weights into it.

    Raises
    ------
    BraindashError
        If the base is not to be had or is not the one tuned, or the adapter
        does not fit it.
    """
    from braindash.speech.checkpoint import read_checkpoint
    from braindash.speech.loading import load_checkpoint

    folder = found.folder
    info = read_tuned_info(folder)
    if depth > MAX_DEPTH:
        raise BraindashError(f"{folder} is tuned from itself.", f"Correct 'base' in {folder / TUNED_FILE}.")
    base_found = find_model(info["base"], home)
    if base_found.tuned is not None:
        model = open_tuned(base_found, home, depth + 1)
    else:
        model = load_checkpoint(read_checkpoint(base_found.folder), base_found)
    expected = info.get("base_weights_hash")
    seed = info.get("base_random_seed")
    if seed is not None:
        from braindash.speech.random_weights import randomised

        model = randomised(model, int(seed))
        if expected != model.weights_hash:
            import torch

            raise BraindashError(
                f"{found.id} was tuned from random weights (seed {seed}) that torch {torch.__version__} and this "
                f"transformers draw otherwise ({str(expected)[:12]}… was {model.weights_hash[:12]}…).",
                "Install the versions that its run's provenance.json names, or tune it again.",
            )
    if expected is not None and expected != model.weights_hash:
        raise BraindashError(
            f"{found.id} was tuned from other weights of {info['base']} ({str(expected)[:12]}…) "
            f"than those found now ({model.weights_hash[:12]}…).",
            f"Bring back the weights that it was tuned from ({model.source} is what is found now).",
        )
    if (folder / "adapter_config.json").exists():
        _apply_adapter(model, folder)
    elif info.get("recipe") != "head":
        _apply_weights(model, folder)
    model.weights_hash = hash_tuned(model.weights_hash, folder, info)
    model.id = found.id
    model.source = f"{found.source}, from {info['base']} ({model.source})"
    return model


def read_tuned_info(folder: Path) -> dict[str, Any]:
    """Read ``braindash_model.json``; "base" must be there."""
    info = read_json(folder / TUNED_FILE)
    if not isinstance(info.get("base"), str):
        raise BraindashError(f"{folder / TUNED_FILE} does not name the model that was tuned (base).", "Add it.")
    return info


def tuned_files(folder: Path, info: dict[str, Any]) -> tuple[Path, ...]:
    """Return the files that hold a tuned encoder's weights; none where only a head was tuned."""
    if (folder / "adapter_config.json").exists():
        return find_weights(folder, stem="adapter_model")
    return () if info.get("recipe") == "head" else find_weights(folder)


def hash_tuned(base_hash: str, folder: Path, info: dict[str, Any]) -> str:
    """Return the weights hash of a tuned model from its base's; the same where only a head was tuned."""
    files = tuned_files(folder, info)
    if not files:
        return base_hash
    if not (folder / "adapter_config.json").exists():
        return hash_weights(files)
    settings = read_json(folder / "adapter_config.json")
    scale = json.dumps({k: settings.get(k) for k in ("r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern")})
    return hashlib.sha256(f"{base_hash}\n{hash_weights(files)}\n{scale}".encode()).hexdigest()


def _apply_adapter(model: SpeechModel, folder: Path) -> None:
    from peft import LoraConfig, PeftModel
    from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict

    files = find_weights(folder, stem="adapter_model")
    settings = read_json(folder / "adapter_config.json")
    if settings.get("peft_type") != "LORA":
        raise BraindashError(
            f"{folder} holds a {settings.get('peft_type')!r} adapter.", "braindash reads LoRA adapters."
        )
    known = {k: v for k, v in settings.items() if k in ADAPTER_SETTINGS}
    tensors = _read_all(files)
    try:
        with warnings.catch_warnings():  # peft asks transformers for a property by its old name
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")
            wrapped = PeftModel(model.encoder, LoraConfig(**{**known, "inference_mode": True}))  # type: ignore[arg-type]
    except (ValueError, TypeError) as error:
        raise BraindashError(
            f"The adapter in {folder} does not fit {model.id}: {' '.join(str(error).split())[:200]}.",
            "Name the base model that it was tuned from.",
        ) from None
    wanted = {k: tuple(v.shape) for k, v in get_peft_model_state_dict(wrapped, save_embedding_layers=False).items()}
    held = {k: tuple(v.shape) for k, v in tensors.items()}
    if wanted != held:
        wrong = sorted(k for k in {*wanted, *held} if wanted.get(k) != held.get(k))
        raise BraindashError(
            f"The adapter in {folder} does not fit {model.id}: {len(wrong)} tensors differ ({', '.join(wrong[:3])}).",
            "Fetch adapter_config.json and adapter_model.safetensors again, from the same place.",
        )
    set_peft_model_state_dict(wrapped, tensors)
    model.encoder = wrapped.merge_and_unload().eval().requires_grad_(False)  # type: ignore[operator]


def _apply_weights(model: SpeechModel, folder: Path) -> None:
    files = find_weights(folder)
    tensors = _read_all(files)
    own = model.encoder.state_dict()
    wrong = sorted({*own} ^ {*tensors} | {k for k in own.keys() & tensors.keys() if own[k].shape != tensors[k].shape})
    if wrong:
        raise BraindashError(
            f"The weights in {folder} do not fit {model.id}: {len(wrong)} tensors differ ({', '.join(wrong[:3])}).",
            "Name the base model that they were tuned from.",
        )
    model.encoder.load_state_dict(tensors)


def _read_all(files: tuple[Path, ...]) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {}
    for path in files:
        with open_weights(path) as handle:
            tensors.update({name: handle.get_tensor(name) for name in handle.keys()})  # noqa: SIM118 - not a dict
    return tensors
