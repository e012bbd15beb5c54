"""Pretrained speech models: families, weights, hidden states. torch is loaded on first use."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_LAZY = {
    "open_model": "braindash.speech.loading",
    "describe": "braindash.speech.catalogue",
    "list_models": "braindash.speech.catalogue",
    "ModelInfo": "braindash.speech.catalogue",
    "SpeechModel": "braindash.speech.base",
    "State": "braindash.speech.base",
    "FAMILIES": "braindash.speech.families",
    "register_family": "braindash.speech.families",
}

__all__ = [
    "FAMILIES",
    "ModelInfo",
    "SpeechModel",
    "State",
    "describe",
    "list_models",
    "open_model",
    "register_family",
]

if TYPE_CHECKING:
    from braindash.speech.base import SpeechModel, State
    from braindash.speech.catalogue import ModelInfo, describe, list_models
    from braindash.speech.families import FAMILIES, register_family
    from braindash.speech.loading import open_model


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'braindash.speech' has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)
