"""The speech model stays as it is; only the read-out is trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from braindash.config import TuneConfig
from braindash.tuning.recipes import Prepared

if TYPE_CHECKING:
    from braindash.speech.base import SpeechModel


@contextmanager
def prepared(model: SpeechModel, config: TuneConfig, layer: int) -> Iterator[Prepared]:
    """Yield the model, all of it frozen and in eval mode."""
    model.encoder.eval().requires_grad_(False)
    yield Prepared(
        first_block=layer,
        parameters=lambda: iter(()),
        save=lambda folder, ref: _nothing(folder),
        train_mode=lambda on: None,
    )


def _nothing(folder: Path) -> None:
    """Nothing of the speech model changed, so there is nothing to write beside the head."""
