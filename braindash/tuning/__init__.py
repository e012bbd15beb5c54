"""Fine-tuning speech models on brain responses: recipes, objectives, heads, controls, checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from braindash.tuning.engine import TuneResult, tune

__all__ = ["TuneResult", "tune"]


def __getattr__(name: str) -> Any:
    """Import the engine when it is first asked for: it pulls in torch."""
    if name in {"TuneResult", "tune"}:
        from braindash.tuning import engine

        return getattr(engine, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
