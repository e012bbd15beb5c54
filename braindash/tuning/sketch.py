"""The closed-form parts of a fine-tune on noise of the same shape, to learn what they cost.

Their cost grows with the product of three of rows, inputs and targets, and their memory with two,
so all three are made smaller by one factor and the cost is scaled back.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from braindash.tuning.memory import peak_memory
from braindash.tuning.validation import MOST_TARGETS, fresh_ridge
from braindash.tuning.warm_start import reduced_rank_ridge

if TYPE_CHECKING:
    from braindash.config import TuneConfig
    from braindash.tuning.data import TuningData
    from braindash.tuning.heads import Head

MOST_INPUTS = 768  # inputs of a regression that is timed as it is


@dataclass(frozen=True)
class Cost:
    """Seconds, and bytes that are needed besides what is there before and after."""

    seconds: float = 0.0
    memory: float = 0.0


class Sketch:
    """Noise in the place of features and responses, ``factor`` times smaller in every direction.

    Stands in for `TuningData` where only shapes and the split are asked for.
    """

    def __init__(self, data: TuningData, factor: int, width: int, most_targets: int | None = None) -> None:
        self.study, self.subjects = data.study, data.subjects
        self.tune, self.validation = data.tune, data.validation
        self.width = max(1, width // factor)
        self.n_targets = {s: max(1, min(v, most_targets or v) // factor) for s, v in data.n_targets.items()}
        # two rows at least; a story's subjects with rows of their own still differ
        self.n_trs = {
            (t, s): max(2, len(data.times(t, s)) // factor)
            for s in data.subjects
            for t in (*data.tune[s], *data.validation[s])
        }
        self._features: dict[tuple[str, int], np.ndarray] = {}
        self._responses: dict[tuple[str, str], np.ndarray] = {}

    def features(self, story: str, subject: str) -> np.ndarray:
        """Return (n_trs, width) float32; the same array for subjects with as many rows."""
        n = self.n_trs[story, subject]
        if (story, n) not in self._features:
            rng = np.random.default_rng([0, len(self._features)])
            self._features[story, n] = rng.standard_normal((n, self.width), dtype=np.float32)
        return self._features[story, n]

    def responses(self, story: str, subject: str) -> np.ndarray:
        """Return (n_trs, n_targets) float32."""
        key = story, subject
        if key not in self._responses:
            rng = np.random.default_rng([1, len(self._responses)])
            shape = self.n_trs[key], self.n_targets[subject]
            self._responses[key] = rng.standard_normal(shape, dtype=np.float32)
        return self._responses[key]

    def rows_of(self, story: str, subject: str) -> int:
        return self.n_trs[story, subject]

    def fill(self) -> None:
        """Draw everything now, so that drawing is not what is timed."""
        for story, subject in self.n_trs:
            self.features(story, subject)
            self.responses(story, subject)


def factor_of(n_inputs: int) -> int:
    """Return by how much a regression with so many inputs is made smaller."""
    return max(1, round(n_inputs / MOST_INPUTS))


def head_cost(data: TuningData, config: TuneConfig, head: Head) -> Cost:
    """Return what the head's closed form costs once, with every penalty tried."""
    factor = factor_of(head.n_inputs)
    sketch = Sketch(data, factor, head.n_inputs)
    sketch.fill()
    rank = None if head.kind == "linear" else min(config.head.rank, sketch.width)
    designs = {key: sketch.features(*key) for key in sketch.n_trs}
    alphas = config.encoding.alphas
    with peak_memory() as peak:
        began = time.perf_counter()
        reduced_rank_ridge(
            designs, sketch.responses, data.tune, data.validation, rank, alphas, shared_output=head.shared_output
        )
        seconds = time.perf_counter() - began
    # the designs themselves, and the rows that the z-score is taken from in float64
    rows = sum(sketch.n_trs.values()) / len(data.subjects)
    return Cost(seconds * factor**3, factor**2 * (peak.rise + 4 * rows * sketch.width))


def validation_cost(data: TuningData, config: TuneConfig, width: int, device: str) -> Cost:
    """Return what the fresh ridge that chooses the epoch costs once."""
    from braindash.features.lags import for_signal

    settings = for_signal(config.encoding, data.study.signal, data.study.tr)
    factor = factor_of(width * len(settings.delays))
    sketch = Sketch(data, factor, width, MOST_TARGETS)
    sketch.fill()
    with peak_memory() as peak:
        began = time.perf_counter()
        fresh_ridge(sketch.features, sketch.rows_of, cast(Any, sketch), config, device)
        seconds = time.perf_counter() - began
    return Cost(seconds * factor**3, factor**2 * peak.rise)
