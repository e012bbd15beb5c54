"""Centred kernel alignment between layers, without the bias that few conditions bring."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from braindash.errors import BraindashError

FEWEST = 5


def cka_matrix(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> np.ndarray:
    """Return the debiased linear CKA of every array of ``first`` with every one of ``second``.

    Parameters
    ----------
    first, second : sequences of (n_conditions, width) arrays
        Layers; widths may differ. Columns need not be centred.

    Returns
    -------
    (len(first), len(second)) float64
        1 for the same geometry; about 0 for unrelated ones, also below. NaN where a layer is constant.

    Raises
    ------
    BraindashError
        For fewer than 5 conditions, or different numbers of them.

    References
    ----------
    Kornblith et al. (2019), ICML; Song et al. (2012), JMLR 13:1393-1434 (the unbiased estimate);
    Nguyen, Raghu & Kornblith (2021), ICLR.
    """
    A, B = [_Layer(x) for x in first], [_Layer(x) for x in second]
    sizes = {len(layer.X) for layer in (*A, *B)}
    if len(sizes) != 1 or min(sizes) < FEWEST:
        raise BraindashError(
            f"CKA needs the same {FEWEST} conditions or more in every layer; there are {sorted(sizes)}.",
            "Give more conditions.",
        )
    own_a, own_b = np.array([_hsic(a, a) for a in A]), np.array([_hsic(b, b) for b in B])
    cross = np.array([[_hsic(a, b) for b in B] for a in A])
    power = np.outer(own_a, own_b)
    return np.where(power > 0, cross / np.sqrt(np.where(power > 0, power, 1.0)), np.nan)


class _Layer:
    """What the estimate needs of one layer's kernel K = XX' with its diagonal set to 0."""

    def __init__(self, values: np.ndarray) -> None:
        X = np.asarray(values, dtype=np.float64)
        self.X = X - X.mean(axis=0)  # the estimate does not see the mean; sums lose fewer digits without it
        self.diagonal = np.einsum("ij,ij->i", self.X, self.X)
        self.row_sums = self.X @ self.X.sum(axis=0) - self.diagonal


def _hsic(a: _Layer, b: _Layer) -> float:
    """Return the unbiased HSIC of two linear kernels, up to a factor that CKA divides out."""
    n = len(a.X)
    trace = float(((a.X.T @ b.X) ** 2).sum() - a.diagonal @ b.diagonal)
    whole = float(a.row_sums.sum() * b.row_sums.sum())
    return trace + whole / ((n - 1) * (n - 2)) - 2.0 / (n - 2) * float(a.row_sums @ b.row_sums)
