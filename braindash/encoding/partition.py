"""What each feature space explains alone, and what spaces share; and features less others."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr

from braindash.config import DEFAULT_ALPHAS
from braindash.encoding._responses import as_features
from braindash.encoding.ridge import StoryRidgeCV
from braindash.errors import BraindashError

# (one array a training story, one a test story)
Split = tuple[Sequence[np.ndarray], Sequence[np.ndarray]]
MOST_SPACES = 5


def partition(
    spaces: Mapping[str, Split],
    train_responses: Sequence[np.ndarray],
    test_responses: Sequence[np.ndarray],
    *,
    alphas: Sequence[float] = DEFAULT_ALPHAS,
    n_iter: int = 20,
    n_folds: int | None = None,
    seed: int = 0,
    parts: Literal["all", "unique"] = "all",
    units: Sequence[Sequence[slice]] | None = None,
    known: Mapping[str, np.ndarray] | None = None,
) -> xr.Dataset:
    """Partition the variance explained on the test stories between feature spaces.

    Banded ridge regression (a penalty for every space and target; Nunez-Elizalde et al.
    2019, Dupré la Tour et al. 2022) by himalaya's random search, fitted to every
    combination of the spaces. What a set of spaces shares, and no other space has, follows
    from the R² of the combinations by inclusion and exclusion (de Heer et al. 2017).

    Parameters
    ----------
    spaces : name -> (training features, test features)
        2 to 5 spaces, z-scored and delayed per story: one (n_trs, width) array a story.
    train_responses, test_responses : one (n_trs, n_targets) array a story, z-scored
    alphas : penalties on the sum of kernels
    n_iter : weightings of the spaces that are tried, besides each space alone and all alike
    n_folds : groups of whole stories for cross-validation; None leaves one story out
    parts : "unique" fits all spaces and all but each one, which is all that ``unique`` and
        ``shared`` need (n + 1 models in place of 2ⁿ − 1); ``part`` is then absent
    units : rows of the scoring units of every test story; None: each story is one
    known : residual sums of squares (unit, target) of combinations fitted before, by name

    Returns
    -------
    xr.Dataset
        ``r2 (combination, target)``: of every combination, test stories joined;
        ``unique (space, target)``: R² of all less R² without the space;
        ``part (combination, target)``: what exactly the spaces of a combination share;
        ``shared (target)``: what two or more spaces have in common; ``residual (combination,
        unit, target)`` and ``total (unit, target)``: sums of squares, from which intervals over
        units are made. Combinations are named "a + b". Estimates can be below 0, and are left so.
    """
    names = list(spaces)
    if not 2 <= len(names) <= MOST_SPACES:
        raise BraindashError(
            f"Variance is partitioned between 2 to {MOST_SPACES} feature spaces; got {len(names)}.",
            f"{MOST_SPACES + 1} spaces would need {2 ** (MOST_SPACES + 1) - 1} models: join some of them.",
        )
    train = {n: as_features(s[0], f"features {n!r}") for n, s in spaces.items()}
    test = {n: as_features(s[1], f"test features {n!r}") for n, s in spaces.items()}
    lengths = [len(y) for y in train_responses]
    for n in names:
        if [len(x) for x in train[n]] != lengths or [len(x) for x in test[n]] != [len(y) for y in test_responses]:
            raise BraindashError(
                f"Feature space {n!r} has other rows than the responses.", "Cut both to the same stories and TRs."
            )
    Y, Y_test = (np.concatenate(list(y)).astype(np.float32) for y in (train_responses, test_responses))
    kernels = {n: _kernel(train[n], train[n]) for n in names}
    scale = {n: float(np.trace(k)) / len(k) for n, k in kernels.items()}
    for n, s in scale.items():
        if s <= 0:
            raise BraindashError(f"Feature space {n!r} is zero throughout.", "Leave it out.")
        # Spaces of different widths start alike.
        kernels[n] /= s
    test_kernels = {n: _kernel(test[n], train[n]) / scale[n] for n in names}
    folds = np.repeat(
        np.concatenate([np.full(len(g), i) for i, g in enumerate(np.array_split(lengths, n_folds or len(lengths)))]),
        lengths,
    )
    sizes = range(1, len(names) + 1) if parts == "all" else (len(names) - 1, len(names))
    combinations = [c for size in sizes for c in itertools.combinations(names, size)]
    labels = [" + ".join(c) for c in combinations]
    rows = _unit_rows([len(y) for y in test_responses], units)
    residual = np.stack([
        known[label] if known is not None and label in known else _banded_residual(
            np.stack([kernels[n] for n in c]), np.stack([test_kernels[n] for n in c]), Y, Y_test, folds,
            np.asarray(alphas), n_iter, seed, rows,
        )
        for c, label in zip(combinations, labels, strict=True)
    ])  # fmt: skip
    centred = (Y_test - Y_test.mean(0, dtype=np.float64)) ** 2
    total = np.stack([centred[r].sum(0) for r in rows])
    r2 = 1 - residual.sum(1) / total.sum(0)
    of = dict(zip((frozenset(c) for c in combinations), r2, strict=True)) | {frozenset[str](): np.zeros(Y.shape[1])}
    everything = frozenset(names)
    unique = np.stack([of[everything] - of[everything - {n}] for n in names])
    data: dict[str, Any] = {
        "r2": (("combination", "target"), r2),
        "unique": (("space", "target"), unique),
        "shared": ("target", of[everything] - unique.sum(0)),
        "residual": (("combination", "unit", "target"), residual),
        "total": (("unit", "target"), total),
    }
    if parts == "all":
        data["part"] = (("combination", "target"), _exact_parts(combinations, of, everything))
    return xr.Dataset(
        data,
        coords={"combination": labels, "space": names},
        attrs={"solver": "himalaya random search", "n_iter": n_iter, "seed": seed},
    )


def _exact_parts(
    combinations: Sequence[tuple[str, ...]], of: Mapping[frozenset[str], np.ndarray], everything: frozenset[str]
) -> np.ndarray:
    """Return what exactly the spaces of each combination share: alternating sums over R²(the others and some)."""
    parts = []
    for c in combinations:
        rest = everything - set(c)
        part = np.zeros_like(of[everything])
        for size in range(len(c) + 1):
            for some in itertools.combinations(c, size):
                part += (-1) ** (size + 1) * of[rest | set(some)]
        parts.append(part)
    return np.stack(parts)


def _unit_rows(lengths: Sequence[int], units: Sequence[Sequence[slice]] | None) -> list[slice]:
    """Return the rows of every unit in the stacked test stories."""
    starts = np.cumsum([0, *lengths])
    if units is None:
        return [slice(int(a), int(b)) for a, b in itertools.pairwise(starts)]
    return [slice(int(a) + u.start, int(a) + u.stop) for a, story in zip(starts, units, strict=False) for u in story]


def _kernel(A: Sequence[np.ndarray], B: Sequence[np.ndarray]) -> np.ndarray:
    return (np.concatenate(list(A)).astype(np.float64) @ np.concatenate(list(B)).astype(np.float64).T).astype(
        np.float32
    )


def _banded_residual(
    K: np.ndarray, K_test: np.ndarray, Y: np.ndarray, Y_test: np.ndarray, folds: np.ndarray, alphas: np.ndarray,
    n_iter: int, seed: int, rows: Sequence[slice],
) -> np.ndarray:  # fmt: skip
    """Fit banded ridge and return Σ(y − p)² of every unit's rows: (n_units, n_targets)."""
    from himalaya.kernel_ridge import KernelRidgeCV, MultipleKernelRidgeCV
    from himalaya.kernel_ridge._random_search import generate_dirichlet_samples
    from sklearn.model_selection import PredefinedSplit

    cv = PredefinedSplit(folds)
    model: Any
    if len(K) == 1:
        model = KernelRidgeCV(alphas=alphas, kernel="precomputed", cv=cv, fit_intercept=True)
        model.fit(K[0], Y)
        predicted = model.predict(K_test[0])
    else:
        corners = np.concatenate([np.eye(len(K)), np.full((1, len(K)), 1 / len(K))])
        drawn = np.asarray(generate_dirichlet_samples(n_iter, len(K), concentration=[0.1, 1.0], random_state=seed))
        weights = np.maximum(np.concatenate([corners, drawn]), 1e-6)  # himalaya takes their logarithm
        model = MultipleKernelRidgeCV(
            kernels="precomputed",
            solver="random_search",
            solver_params={
                "n_iter": (weights / weights.sum(1, keepdims=True)).astype(np.float32),
                "alphas": alphas,
                "progress_bar": False,
            },
            cv=cv,
            fit_intercept=True,
            random_state=seed,
        )
        model.fit(K, Y)
        predicted = model.predict(K_test)
    squares = (Y_test.astype(np.float64) - np.asarray(predicted)) ** 2
    return np.stack([squares[r].sum(0) for r in rows])


def remove_features(features: Split, nuisance: Split, *, alphas: Sequence[float] = DEFAULT_ALPHAS) -> Split:
    """Return features less what is linearly predicted from nuisance features.

    The residual method of Moussa et al. (ICLR 2025): a ridge regression from the low-level
    features to the model's, penalties chosen by leaving training stories out, is fitted on the
    training stories and subtracted from training and test stories. Encode the result like a
    model; the fall in r is what the alignment owed to the low-level features.

    Parameters
    ----------
    features, nuisance : (training stories, test stories), one (n_trs, width) array a story
        Both at TR rate, z-scored per story. Delay the result, not the input.

    Returns
    -------
    (training stories, test stories), float32, centred per story
        Not z-scored again: what is left of a feature keeps its size, so that the ridge
        regression that follows does not blow up the crumbs of one that was explained away.
    """
    # Chosen by r2: r does not notice a prediction that is shrunk too far, and its remainder would stay.
    model = StoryRidgeCV(alphas, select="r2", store_coef=True).fit(nuisance[0], features[0])

    def residual(X: np.ndarray, N: np.ndarray) -> np.ndarray:
        left = np.asarray(X, dtype=np.float64) - model.predict(N)
        return (left - left.mean(0)).astype(np.float32)

    train, test = (
        [residual(x, n) for x, n in zip(as_features(f), as_features(g, "nuisance features"), strict=True)]
        for f, g in zip(features, nuisance, strict=True)
    )
    return train, test
