"""Ridge fits whose penalties are known: any response predicted by two small products.

An evaluation keeps every target's penalty. The features are decomposed once; the prediction of a held-out story is
then ``A (1 / (spectrum + penalty)) B' y``, so that another target costs milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from braindash.encoding._responses import as_features
from braindash.encoding._solvers import decompose
from braindash.errors import BraindashError


@dataclass(frozen=True, eq=False)
class Refit:
    """One feature space, decomposed on the fitting stories and projected for the held-out ones.

    Attributes
    ----------
    rows : (n, k) float32
    spectrum : (k,) float64
    held : story -> (n_trs, k) float32
    """

    rows: np.ndarray
    spectrum: np.ndarray
    held: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, train: Sequence[np.ndarray], test: Mapping[str, np.ndarray]) -> Refit:
        """Decompose designs as `braindash.features.lags.story_designs` makes them.

        Parameters
        ----------
        train : sequence of (n_trs, p), one a story
        test : story -> (n_trs, p)
        """
        basis = decompose(as_features(train))
        held = as_features(list(test.values()), "test features")
        return cls(
            basis.rows.astype(np.float32),
            basis.spectrum,
            {s: basis.project(x).astype(np.float32) for s, x in zip(test, held, strict=True)},
        )

    def predict(self, responses: np.ndarray, penalties: np.ndarray) -> dict[str, np.ndarray]:
        """Return the predictions of every held-out story.

        Parameters
        ----------
        responses : (n, m)
            Of the fitting stories, stacked in their order.
        penalties : (m,)
            As `StoryRidgeCV` chose them.

        Returns
        -------
        story -> (n_trs, m) float64

        Raises
        ------
        BraindashError
            Where rows or penalties do not fit, or a penalty is no number above 0.
        """
        y, alphas = np.asarray(responses), np.asarray(penalties, dtype=np.float64)
        if y.shape != (len(self.rows), len(alphas)):
            raise BraindashError(
                f"The responses have shape {y.shape}; the features have {len(self.rows)} rows, and there are "
                f"{len(alphas)} penalties.",
                "Give the fitting stories' rows, and one penalty a column.",
            )
        if not (np.isfinite(alphas) & (alphas > 0)).all():
            raise BraindashError("A penalty is no number above 0.", "Leave targets without a fit out.")
        mean = y.mean(axis=0, dtype=np.float64)
        weights = (self.rows.T @ (y - mean).astype(np.float32)) / (self.spectrum[:, None] + alphas)
        return {s: x @ weights + mean for s, x in self.held.items()}
