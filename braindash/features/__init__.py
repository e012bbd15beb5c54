"""From audio and a speech model to one vector a TR. torch is loaded on first use."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_LAZY = {
    "extract": "braindash.features.windows",
    "FeatureStore": "braindash.features.store",
    "lanczos": "braindash.features.resample",
    "delay": "braindash.features.design",
    "stack_stories": "braindash.features.design",
    "trim": "braindash.features.design",
    "zscore": "braindash.features.design",
}

__all__ = ["FeatureStore", "delay", "extract", "lanczos", "stack_stories", "trim", "zscore"]

if TYPE_CHECKING:
    from braindash.features.design import delay, stack_stories, trim, zscore
    from braindash.features.resample import lanczos
    from braindash.features.store import FeatureStore
    from braindash.features.windows import extract


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'braindash.features' has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)
