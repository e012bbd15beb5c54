"""Weights and adapters that were saved elsewhere, fitted to an encoder: named as it names them, and proven to fit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from braindash.errors import BraindashError
from braindash.speech.base import SpeechModel
from braindash.speech.names import Match, match_names

# masks inputs while pretraining; not in every checkpoint and never read here
OPTIONAL = frozenset({"masked_spec_embed"})
_ADAPTER = re.compile(
    r"(?P<module>.+)\.(?P<part>lora_A|lora_B|lora_magnitude_vector)(?:\.(?P<name>[^.]+))?\.?(?P<end>weight)?"
)
# settings of an adapter that decide what it computes; all others say how it was trained
_KEPT = ("peft_type", "r", "lora_alpha", "use_rslora", "use_dora", "fan_in_fan_out")
# initialisations that change the base's weights, so that the adapter alone does not give the tuned model
_PLAIN_INIT = (True, False, None, "gaussian", "orthogonal", "eva")


@dataclass(frozen=True)
class Fitted:
    """How many tensors of a file are the encoder's, and what was done with the rest."""

    matched: int
    wanted: int
    prefix: str
    missing: tuple[str, ...] = ()  # taken from the base
    unexpected: tuple[str, ...] = ()  # left out

    def lines(self) -> list[str]:
        """Return the report as lines of text."""
        under = f" under {self.prefix!r}" if self.prefix else ""
        out = [f"{self.matched} of {self.wanted} tensors matched{under}."]
        if self.missing:
            out.append(f"{len(self.missing)} missing, taken from the base: {some(self.missing)}.")
        if self.unexpected:
            out.append(f"{len(self.unexpected)} not of the encoder, left out: {some(self.unexpected)}.")
        return out

    def as_dict(self) -> dict[str, Any]:
        return {
            "matched": self.matched, "wanted": self.wanted, "prefix": self.prefix,
            "missing": list(self.missing), "unexpected": list(self.unexpected),
        }  # fmt: skip


def fit_weights(
    tensors: Mapping[str, torch.Tensor], base: SpeechModel, *, prefix: str | None = None, fill_missing: bool = False
) -> tuple[dict[str, torch.Tensor], Fitted]:
    """Return a whole encoder's weights from tensors under any prefix.

    Parameters
    ----------
    tensors : mapping
    base : SpeechModel
        Says which tensors there are, and gives those that are missing where ``fill_missing``.
    prefix : str, optional
        Of the encoder in the file; found out when None.
    fill_missing : bool

    Raises
    ------
    BraindashError
        If nothing fits, shapes differ, values are not finite, tensors are missing, or adapters
        are not merged.
    """
    if adapters := [k for k in tensors if ".lora_" in k]:
        raise BraindashError(
            f"It holds adapters that are not merged ({some(adapters)}) beside whole weights.",
            "Save the adapters alone with PEFT's save_pretrained, or merge them first (merge_and_unload).",
        )
    own = base.encoder.state_dict()
    match = match_names(tensors, own, prefix, base.heads)
    _check_shapes(tensors, own, match, base)
    missing = [name for name in match.missing if name not in OPTIONAL]
    if missing and not fill_missing:
        raise BraindashError(
            f"{len(match.names)} of {len(own)} tensors of {base.id} matched; {len(missing)} are missing "
            f"({some(missing)}), {len(match.unexpected)} are not of the encoder ({some(match.unexpected) or 'none'}).",
            "If the missing ones were not tuned, take them from the base with --fill-missing.",
        )
    fitted = {new: tensors[old].contiguous() for old, new in match.names.items()}
    for name, tensor in fitted.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise BraindashError(
                f"{name} holds values that are not finite.", "The tuning diverged; use an earlier file."
            )
    fitted |= {name: own[name].contiguous() for name in match.missing}
    fitted = {name: tensor.clone() for name, tensor in fitted.items()}  # no two share memory
    return fitted, Fitted(len(match.names), len(own), match.prefix, tuple(missing), tuple(match.unexpected))


def _check_shapes(
    tensors: Mapping[str, torch.Tensor], own: Mapping[str, torch.Tensor], match: Match, base: SpeechModel
) -> None:
    wrong = [
        f"{new} is {list(tensors[old].shape)}, not {list(own[new].shape)}"
        for old, new in match.names.items()
        if tensors[old].shape != own[new].shape
    ]
    if wrong:
        raise BraindashError(
            f"{len(wrong)} tensors have another shape than those of {base.id}: {some(wrong)}.",
            "Name the base model that it was tuned from with --base.",
        )


def fit_adapter(
    tensors: Mapping[str, torch.Tensor], settings: Mapping[str, Any], base: SpeechModel, base_ref: str
) -> tuple[dict[str, torch.Tensor], dict[str, Any], Fitted]:
    """Return a LoRA adapter's tensors and settings for the bare encoder, whatever model it was wrapped around.

    Parameters
    ----------
    tensors, settings : mappings
        ``adapter_model.safetensors`` and ``adapter_config.json``.
    base : SpeechModel
    base_ref : str
        What opens it.

    Returns
    -------
    tensors, settings, report
        Target modules are written out by path: no pattern of the file's is used again.

    Raises
    ------
    BraindashError
        If it is no LoRA adapter, trains whole modules of the encoder besides, or does not fit.
    """
    _check_settings(settings)
    parts: dict[str, tuple[str, str]] = {}  # tensor -> module in the wrapped model, part
    strange = []
    for name in tensors:
        found = _ADAPTER.fullmatch(name.removeprefix("base_model.model."))
        if found:
            parts[name] = found["module"], found["part"]
        else:
            strange.append(name)
    modules = {name for name, _ in base.encoder.named_modules() if name}
    if not parts:
        raise BraindashError("It holds no LoRA tensors.", "Give the folder that PEFT's save_pretrained wrote.")
    match = match_names({module for module, _ in parts.values()}, modules, heads=base.heads)
    if match.prefix and not match.prefix.endswith("."):
        raise BraindashError(f"Its modules begin with {match.prefix!r}.", "Name the base model with --base.")
    outside = {m for m in match.unexpected if "encoder.layers" in m and not m.startswith(base.heads)}
    if outside:
        raise BraindashError(
            f"It adapts modules that {base.id} does not have: {some(sorted(outside))}.",
            "Name the base model that it was tuned from with --base.",
        )
    _refuse_whole_modules(strange, base)
    fitted = {
        _peft_name(match.names[module], part): tensors[name].clone().contiguous()
        for name, (module, part) in parts.items()
        if module in match.names
    }
    clean = _clean_settings(settings, fitted, {new: old for old, new in match.names.items()})
    left_out = [*strange, *(name for name, (module, _) in parts.items() if module not in match.names)]
    report = Fitted(len(fitted), len(tensors), match.prefix, (), tuple(sorted(left_out)))
    return fitted, clean | {"base_model_name_or_path": base_ref}, report


def _check_settings(settings: Mapping[str, Any]) -> None:
    if settings.get("peft_type") != "LORA":
        raise BraindashError(f"It is a {settings.get('peft_type')!r} adapter.", "braindash reads LoRA adapters.")
    start = settings.get("init_lora_weights", True)
    if start not in _PLAIN_INIT or settings.get("loftq_config") or settings.get("layer_replication"):
        raise BraindashError(
            f"Its initialisation ({start!r}) changed the base's weights, which the adapter alone does not hold.",
            "Merge it where it was tuned (merge_and_unload, save_pretrained) and give the whole weights.",
        )
    if settings.get("bias", "none") != "none":
        raise BraindashError(
            f"It trains biases as well (bias: {settings.get('bias')!r}).",
            "Merge it where it was tuned (merge_and_unload, save_pretrained) and give the whole weights.",
        )


def _refuse_whole_modules(names: list[str], base: SpeechModel) -> None:
    """Refuse tensors beside the adapters that are the encoder's own; a head's do not matter."""
    own = set(base.encoder.state_dict())
    inside = []
    for name in names:
        bare = (
            name.removeprefix("base_model.model.")
            .replace(".modules_to_save.default", "")
            .replace(".modules_to_save", "")
        )
        words = bare.split(".")
        if any(".".join(words[i:]) in own for i in range(len(words))):
            inside.append(name)
    if inside:
        raise BraindashError(
            f"Besides adapters it holds whole modules of the encoder: {some(inside)}.",
            "Merge it where it was tuned (merge_and_unload, save_pretrained) and give the whole weights.",
        )


def _peft_name(module: str, part: str) -> str:
    return f"base_model.model.{module}.{part}" + ("" if part == "lora_magnitude_vector" else ".weight")


def _clean_settings(
    settings: Mapping[str, Any], tensors: Mapping[str, torch.Tensor], was: Mapping[str, str]
) -> dict[str, Any]:
    """Return settings that name every module by its path, with its own rank and alpha where they differ."""
    stem, end = "base_model.model.", ".lora_A.weight"
    ranks = {n.removeprefix(stem).removesuffix(end): int(t.shape[0]) for n, t in tensors.items() if n.endswith(end)}
    alphas = dict(settings.get("alpha_pattern") or {})
    alpha = settings.get("lora_alpha", 8)
    own_alphas = {m: _by_pattern(alphas, was[m], alpha) for m in ranks}
    rank = max(set(ranks.values()), key=list(ranks.values()).count)
    return {
        **{k: settings[k] for k in _KEPT if k in settings},
        "r": rank,
        "bias": "none",
        "lora_dropout": 0.0,
        "inference_mode": True,
        "target_modules": sorted(ranks),
        "rank_pattern": {re.escape(m): r for m, r in ranks.items() if r != rank},
        "alpha_pattern": {re.escape(m): a for m, a in own_alphas.items() if a != alpha},
    }


def _by_pattern(patterns: Mapping[str, Any], module: str, default: Any) -> Any:
    """Return what the first pattern that ends a module's path holds, as PEFT reads such settings."""
    return next((v for key, v in patterns.items() if re.match(rf"(.*\.)?({key})$", module)), default)


def some(names: list[str] | tuple[str, ...]) -> str:
    """Return the first names, and that there are more."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
