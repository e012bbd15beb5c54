"""Linear probes of one layer: all folds, penalties and shuffled labels from one pass over its features.

The estimators are scikit-learn's ``Ridge`` and ``LinearDiscriminantAnalysis`` (solver ``lsqr``, shrunk
covariance) on features standardised with the training part: the same answers, from sums. Every training
part is a union of blocks of examples, so its products X'X and X'Y are sums of the blocks' products. With S
the correlation matrix of the features in a training part of n examples, C their covariance with the labels
and λ a penalty, all that is fitted follows from (S + λI)⁻¹ C:

- regression: the coefficients themselves, those of ``Ridge(alpha=λn)``;
- classes: discriminant analysis with the covariance (W + λI) / (1 + λ), where W is the covariance within
  classes. W = S − U Π U' with class means U and shares Π, so (W + λI)⁻¹ U = Z (I − Π U'Z)⁻¹, Z = (S + λI)⁻¹ U;
- labels: the same for each label and its absence. Σ is shared, so one factor serves all labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from braindash.probing import metrics
from braindash.probing.base import Kind
from braindash.probing.folds import Fold

# added to a correlation matrix; of two that score alike the larger is taken
PENALTIES = (1000.0, 100.0, 10.0, 1.0, 0.1, 0.01, 0.001)
DEFAULT_PENALTY = 1.0  # where a training part cannot be cut to choose one
COLUMNS_TO_CHOOSE_BY = 32  # of a regression: the penalty is one for all columns
SMALLEST_VARIANCE = 1e-6  # of a feature in a training part, relative to all examples: else it counts as constant
NEVER = 1e30  # far beyond any decision, finite in float32


@dataclass(frozen=True)
class Blocks:
    """Examples that every fold treats alike, side by side.

    Attributes
    ----------
    order : (n_used,) int
        Rows of the examples, block after block.
    edges : (n_blocks + 1,) int
        Where blocks begin in ``order``.
    roles : (2 * n_folds, n_blocks) float64
        1 where a block is in the inner training part (even rows) or the training part (odd rows) of a fold.
    """

    order: np.ndarray
    edges: np.ndarray
    roles: np.ndarray

    def memory(self, width: int) -> int:
        """Return the bytes of the products of features that one layer needs."""
        return 8 * width**2 * sum(self.roles.shape)


def make_blocks(folds: Sequence[Fold], n: int) -> Blocks:
    """Return the blocks of ``n`` examples."""
    role = np.zeros((n, len(folds)), dtype=np.int8)
    for f, fold in enumerate(folds):
        role[fold.train, f] = 1
        role[fold.inner_train, f] = 2
    used = np.flatnonzero(role.any(1))
    kinds, block = np.unique(role[used], axis=0, return_inverse=True)
    block = np.asarray(block).reshape(-1)
    roles = np.empty((2 * len(folds), len(kinds)))
    roles[0::2] = kinds.T == 2
    roles[1::2] = kinds.T > 0
    edges = np.concatenate([[0], np.cumsum(np.bincount(block, minlength=len(kinds)))])
    return Blocks(used[np.argsort(block, kind="stable")], edges, roles)


@dataclass(frozen=True)
class Answers:
    """What probes of one layer answer.

    Attributes
    ----------
    values : (n, n_sets, d) float32
        Predicted values, or 1 for the class or the labels answered; NaN where no fold tests.
    penalties : (n_folds, n_sets)
        Chosen, λ of the module's docstring.
    """

    values: np.ndarray
    penalties: np.ndarray


def fit_and_answer(X: np.ndarray, Y: np.ndarray, kind: Kind, folds: Sequence[Fold], blocks: Blocks) -> Answers:
    """Fit a probe in every fold, with a penalty chosen inside its training part, and answer its test part.

    Parameters
    ----------
    X : (n, width) float32, finite
        A layer.
    Y : (n, n_sets, d) float32
        Sets of labels: true ones, shuffled ones. Values, or 1 where a class or label is the case, 0 elsewhere.
    kind : "regression", "classification" or "multilabel"
    folds, blocks : of the same examples
    """
    n, n_sets, d = Y.shape
    labels = np.ascontiguousarray(Y.reshape(n, n_sets * d))
    X = _scaled(X)
    sums = _Sums.of(X, labels, blocks)
    values = np.full((n, n_sets, d), np.nan, dtype=np.float32)
    penalties = np.full((len(folds), n_sets), DEFAULT_PENALTY)
    few = np.arange(d)
    if kind == "regression" and d > COLUMNS_TO_CHOOSE_BY:
        few = np.linspace(0, d - 1, COLUMNS_TO_CHOOSE_BY).astype(int)
    for f, fold in enumerate(folds):
        cuts = np.zeros((n_sets, d), dtype=np.float32)
        if len(fold.inner_test):
            inner = sums.standardised(2 * f, n_sets).columns(few)
            penalties[f], cuts[:, few] = _choose(inner, kind, X[fold.inner_test], Y[fold.inner_test][:, :, few])
        part = sums.standardised(2 * f + 1, n_sets)
        for penalty in np.unique(penalties[f]):
            sets = np.flatnonzero(penalties[f] == penalty)
            decided = part.sets(sets).decide(kind, float(penalty), X[fold.test])
            values[fold.test[:, None], sets] = _answer(kind, decided, cuts[sets])
    return Answers(values, penalties)


def _scaled(X: np.ndarray) -> np.ndarray:
    """Centre and scale over all examples; that drops out of every fit, and keeps sums accurate."""
    mean = X.mean(0, dtype=np.float64)
    X = X - mean.astype(np.float32)
    scale = np.sqrt(np.einsum("ij,ij->j", X, X) / len(X))
    X /= np.where(scale > 0, scale, 1)
    return X


@dataclass(frozen=True)
class _Sums:
    """Sums over every training part, in the order of `Blocks.roles`."""

    n: np.ndarray
    x: np.ndarray  # (parts, p)
    y: np.ndarray  # (parts, c)
    xx: np.ndarray  # (parts, p, p)
    xy: np.ndarray  # (parts, p, c)

    @classmethod
    def of(cls, X: np.ndarray, labels: np.ndarray, blocks: Blocks) -> _Sums:
        X, labels = X[blocks.order], labels[blocks.order]
        n_blocks, p, c = blocks.roles.shape[1], X.shape[1], labels.shape[1]
        xx, xy = np.empty((n_blocks, p, p)), np.empty((n_blocks, p, c))
        x, y = np.empty((n_blocks, p)), np.empty((n_blocks, c))
        for b, (start, stop) in enumerate(pairwise(blocks.edges)):
            here, there = X[start:stop], labels[start:stop]
            exact = here.astype(np.float64)  # what float32 would round off is not small beside the least penalty
            np.matmul(exact.T, exact, out=xx[b])
            np.matmul(exact.T, there, out=xy[b])
            x[b], y[b] = here.sum(0, dtype=np.float64), there.sum(0, dtype=np.float64)
        n_parts = len(blocks.roles)
        return cls(
            blocks.roles @ np.diff(blocks.edges),
            blocks.roles @ x,
            blocks.roles @ y,
            (blocks.roles @ xx.reshape(n_blocks, -1)).reshape(n_parts, p, p),
            (blocks.roles @ xy.reshape(n_blocks, -1)).reshape(n_parts, p, c),
        )

    def standardised(self, part: int, n_sets: int) -> _Part:
        n = float(self.n[part])
        mean, shares = self.x[part] / n, self.y[part] / n
        S = self.xx[part] / n
        variance = np.diagonal(S) - mean**2
        scale = np.where(variance > SMALLEST_VARIANCE, np.sqrt(np.maximum(variance, SMALLEST_VARIANCE)), 1.0)
        S -= np.outer(mean, mean)
        S /= scale
        S /= scale[:, None]
        C = (self.xy[part] / n - np.outer(mean, shares)) / scale[:, None]
        return _Part(mean, scale, S, C.reshape(len(mean), n_sets, -1), shares.reshape(n_sets, -1))


@dataclass(frozen=True)
class _Part:
    """A training part: what standardises features, their correlations, and what they have to do with labels."""

    mean: np.ndarray  # (p,)
    scale: np.ndarray  # (p,)
    S: np.ndarray  # (p, p)
    C: np.ndarray  # (p, sets, d)
    shares: np.ndarray  # (sets, d): means of the labels

    def columns(self, which: np.ndarray) -> _Part:
        return _Part(self.mean, self.scale, self.S, self.C[:, :, which], self.shares[:, which])

    def sets(self, which: np.ndarray) -> _Part:
        return _Part(self.mean, self.scale, self.S, self.C[:, which], self.shares[which])

    def decide(self, kind: Kind, penalty: float, X: np.ndarray) -> np.ndarray:
        """Return predictions, or how much speaks for each class or label: (n, sets, d) float32."""
        A = np.array(self.S, order="F")
        A[np.diag_indices_from(A)] += penalty
        factor = cho_factor(A, lower=True, overwrite_a=True, check_finite=False)
        p = len(A)
        B = cho_solve(factor, self.C.reshape(p, -1), check_finite=False).reshape(self.C.shape)
        if kind == "regression":
            weights, offset = B, self.shares.copy()
        elif kind == "multilabel":
            weights, offset = _label_rules(self.C, B, self.shares, penalty)
        else:
            rules = [_class_rules(self.C[:, s], B[:, s], self.shares[s], penalty) for s in range(self.C.shape[1])]
            weights, offset = np.stack([w for w, _ in rules], axis=1), np.stack([b for _, b in rules])
        weights = weights.reshape(p, -1) / self.scale[:, None]
        offset = offset.reshape(-1) - self.mean @ weights
        decided = X @ weights.astype(np.float32) + offset.astype(np.float32)
        return decided.reshape(len(X), *self.shares.shape)


def _label_rules(C: np.ndarray, B: np.ndarray, shares: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    """Return weights and offsets of the log odds of each label against its absence."""
    shares = np.clip(shares, 0, 1)
    both = shares * (1 - shares)
    seen = both > 0
    both = np.where(seen, both, 1)
    # C / both is the difference of the two means; B / both would do for the total covariance in place of W
    weights = (1 + penalty) * (B / both) / (1 - np.einsum("psd,psd->sd", C, B) / both)
    middle = C / both * (0.5 - shares)
    with np.errstate(divide="ignore"):
        prior = np.log(shares / (1 - np.where(seen, shares, 0)))
    offset = np.where(seen, prior - np.einsum("psd,psd->sd", middle, weights), np.where(shares > 0.5, NEVER, -NEVER))
    return np.where(seen, weights, 0), offset


def _class_rules(C: np.ndarray, B: np.ndarray, shares: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    """Return weights and offsets of the log posterior of each class, but for a constant."""
    seen = shares > 0
    pi = shares[seen]
    U, Z = C[:, seen] / pi, B[:, seen] / pi
    weights, offset = np.zeros_like(C), np.full(len(shares), -NEVER)
    weights[:, seen] = (1 + penalty) * Z @ np.linalg.inv(np.eye(len(pi)) - pi[:, None] * (U.T @ Z))
    offset[seen] = np.log(pi) - 0.5 * np.einsum("pd,pd->d", U, weights[:, seen])
    return weights, offset


def _choose(part: _Part, kind: Kind, X: np.ndarray, Y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the best penalty of every set of labels, and where its decisions are cut: (sets,), (sets, d)."""
    best = np.full(Y.shape[1], -np.inf)
    chosen = np.full(Y.shape[1], DEFAULT_PENALTY)
    cuts = np.zeros(Y.shape[1:], dtype=np.float32)
    for penalty in PENALTIES:
        decided = part.decide(kind, penalty, X)
        at = _cut(decided, part.shares) if kind == "multilabel" else cuts
        value = metrics.score(kind, metrics.add_up(kind, Y, _answer(kind, decided, at), part.shares))
        better = value > best
        best, chosen = np.where(better, value, best), np.where(better, penalty, chosen)
        cuts = np.where(better[:, None], at, cuts)
    return chosen, cuts


def _cut(decided: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return the cut above which a label is answered as often as the training part has it: (sets, d).

    A probability of a half would never be reached for rare labels, and F1 would be 0 whatever was known.
    """
    n = len(decided)
    ranked = np.sort(decided, axis=0)
    many = np.clip(np.rint(shares * n), 1, n).astype(int)
    above = np.take_along_axis(ranked, (n - many)[None], axis=0)[0]
    below = np.take_along_axis(ranked, np.maximum(n - many - 1, 0)[None], axis=0)[0]
    cut = np.where(many < n, (above + below) / 2, -NEVER)
    return np.where(shares > 0, cut, NEVER).astype(np.float32)


def _answer(kind: Kind, decided: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    if kind == "regression":
        return decided
    if kind == "multilabel":
        return (decided > cuts).astype(np.float32)
    answer = np.zeros(decided.shape, dtype=np.float32)
    np.put_along_axis(answer, decided.argmax(-1)[..., None], 1, axis=-1)
    return answer
