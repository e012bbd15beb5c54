"""What is kept of one layer's fit: enough for every score, interval and test, and small enough for a file."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np

from braindash.encoding._held_out import HeldOut
from braindash.encoding.inference import Shares, paired_factor, swap_blocks
from braindash.encoding.ridge import StoryRidgeCV

LayerKey = tuple[str, int]  # model, layer


@dataclass(frozen=True)
class LayerFit:
    """One model's layer, fitted to one subject and scored on the test stories.

    v counts the usable targets; test stories are as in `encode_subject`.

    Attributes
    ----------
    content : hash of the features; fits of equal features are equal
    r, r2, p : (v,) float32; alpha : (v,)
    r_story : (n_stories, v)
    yp, pp, yy : (n_units, v) float32, sums of products of responses and predictions
    share_r, share_power : (n_blocks, v) float32, what each block adds to r; see `Shares`
    observed, predicted : one (n_trs, n_sampled) array a test story, of some of the targets
    n_permutations, block, seed : of the tests
    """

    content: str
    r: np.ndarray
    r2: np.ndarray
    p: np.ndarray
    alpha: np.ndarray
    r_story: np.ndarray
    yp: np.ndarray
    pp: np.ndarray
    yy: np.ndarray
    share_r: np.ndarray
    share_power: np.ndarray
    observed: list[np.ndarray]
    predicted: list[np.ndarray]
    n_permutations: int
    block: int
    seed: int

    @classmethod
    def of(cls, content: str, ridge: StoryRidgeCV, held: HeldOut) -> LayerFit:
        """Gather it from a fit and what was kept of its predictions."""
        assert ridge.test_ is not None
        r, r2 = held.scores()
        single = {"r": r, "r2": r2, "p": held.p, "r_story": ridge.test_.r_story()}
        single |= {"yp": held.yp, "pp": held.pp, "yy": held.yy}
        observed, predicted = held.samples()
        return cls(
            content=content,
            alpha=np.asarray(ridge.alpha_, dtype=np.float64),
            share_r=held.shares.r,
            share_power=held.shares.power,
            observed=observed,
            predicted=predicted,
            n_permutations=held.n_permutations,
            block=held.block,
            seed=held.seed,
            **{name: values.astype(np.float32) for name, values in single.items()},
        )

    @property
    def n_blocks(self) -> int:
        return len(self.share_r)

    def against(self, reference: LayerFit) -> np.ndarray:
        """Return two-sided p values of the difference in r from another fit: (v,); NaN without tests."""
        if not self.n_permutations or not reference.n_permutations:
            return np.full(len(self.r), np.nan)
        factor = paired_factor(self.observed, self.predicted, reference.predicted, self.block)
        mine, other = (Shares(fit.share_r, fit.share_power) for fit in (self, reference))
        return swap_blocks(mine, other, self.n_permutations, self.seed, "two-sided", factor)[1]

    def arrays(self) -> dict[str, np.ndarray]:
        """Return it as named arrays, for a file."""
        out: dict[str, np.ndarray] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, list):
                out |= {f"{field.name}_{i}": x for i, x in enumerate(value)}
            else:
                out[field.name] = np.asarray(value)
        return out

    @classmethod
    def from_arrays(cls, arrays: Any) -> LayerFit:
        """Build it from what `arrays` returned. Raises KeyError where one is lacking."""
        n = sum(name.startswith("observed_") for name in arrays)
        values: dict[str, Any] = {
            side: [np.asarray(arrays[f"{side}_{i}"]) for i in range(n)] for side in ("observed", "predicted")
        }
        for field in fields(cls):
            if field.name not in values:
                value = np.asarray(arrays[field.name])
                values[field.name] = value if value.ndim else value.item()
        return cls(**values)


class Fits(Protocol):
    """Where the fits of one subject are kept while it is encoded: in memory, or in files that outlive it."""

    def __contains__(self, key: object, /) -> bool: ...

    def __getitem__(self, key: LayerKey, /) -> LayerFit: ...

    def __setitem__(self, key: LayerKey, fit: LayerFit, /) -> None: ...

    def equal(self, content: str) -> LayerFit | None:
        """Return a fit of the same features, if there is one."""


class FitsInMemory(dict[LayerKey, LayerFit]):
    """Fits that last as long as this object."""

    def equal(self, content: str) -> LayerFit | None:
        return next((fit for fit in self.values() if fit.content == content), None)
