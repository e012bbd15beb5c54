"""The closed-form start of a head: (reduced-rank) ridge on the pretrained model.

Subjects are fitted together: the low-rank matrix is shared, so it must serve all of
them. With one design matrix for all subjects this is reduced-rank ridge regression;
where subjects have rows of their own, their full-rank fits are joined in the mean
metric of their designs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

ALL = "all"  # stands for every subject where they share one output
S = TypeVar("S")  # a story's name, or what stands for it


@dataclass(frozen=True)
class Fit:
    """A closed-form head.

    Attributes
    ----------
    shared : (p, rank) float32, or None without a bottleneck
    outputs : dict of subject to ((rank or p, n_targets) float32, (n_targets,) float32)
    alpha : float
        The penalty (added to X'X) with the best validation score.
    scores : dict of float
        Mean validation correlation of every penalty.
    """

    shared: np.ndarray | None
    outputs: dict[str, tuple[np.ndarray, np.ndarray]]
    alpha: float
    scores: dict[float, float]


@dataclass(frozen=True)
class _Moments:
    """A subject's normal equations in the eigenbasis of X'X: X'X = Q diag(eigenvalues) Q'."""

    centre: np.ndarray  # (p,)
    eigenvalues: np.ndarray  # (p,)
    Q: np.ndarray  # (p, p)
    T: np.ndarray  # (p, n_targets) float32: Q'X'Y


def reduced_rank_ridge(
    designs: Mapping[tuple[S, str], np.ndarray],
    responses: Callable[[S, str], np.ndarray],
    tune: Mapping[str, Sequence[S]],
    validation: Mapping[str, Sequence[S]],
    rank: int | None,
    alphas: Sequence[float],
    *,
    shared_output: bool = False,
) -> Fit:
    """Fit the head to the tuning stories, its penalty chosen on the validation stories.

    Minimises ``Σ_s |Y_s - X_s A C_s|² + alpha |A C_s|²`` over a shared ``A (p, rank)``
    and a ``C_s`` a subject: with ``B_s`` the ridge solution, ``M M' = G + alpha I`` and
    ``U`` the leading left singular vectors of ``M' [B_1 … B_S]``, the optimum is
    ``A = M'^-1 U`` and ``C_s = U' M' B_s``.

    Parameters
    ----------
    designs : mapping of (story, subject) to (n_trs, p) array
        Subjects with the same rows should share the same array object.
    responses : callable
        ``responses(story, subject) -> (n_trs, n_targets)``, z-scored.
    tune, validation : mapping of subject to story names
    rank : int or None
        None: no bottleneck.
    alphas : sequence of float
    shared_output : bool
        One ``C`` for all subjects: the solution on all (design, response) pairs, one under the other.

    References
    ----------
    Mukherjee & Zhu (2011), Statistical Analysis and Data Mining 4:612-622.
    """
    if shared_output:
        fit = reduced_rank_ridge(
            {(pair, ALL): X for pair, X in designs.items()},
            lambda pair, _: responses(*pair),
            {ALL: [(story, s) for s in tune for story in tune[s]]},
            {ALL: [(story, s) for s in validation for story in validation[s]]},
            rank,
            alphas,
        )
        return replace(fit, outputs=dict.fromkeys(tune, fit.outputs[ALL]))
    subjects = list(tune)
    known: dict[tuple[int, ...], tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
    moments: dict[str, _Moments] = {}
    for subject in subjects:
        key = tuple(id(designs[story, subject]) for story in tune[subject])
        if key not in known:
            known[key] = _decompose([designs[story, subject] for story in tune[subject]])
        centre, eigenvalues, Q = known[key]
        XY: np.ndarray | None = None
        for story in tune[subject]:
            X = (designs[story, subject] - centre).astype(np.float32)
            part = X.T @ responses(story, subject)
            XY = part if XY is None else XY + part
        assert XY is not None
        moments[subject] = _Moments(centre, eigenvalues, Q, Q.T.astype(np.float32) @ XY)

    grams = {s: np.asarray(moments[s].T @ moments[s].T.T, dtype=np.float64) for s in subjects}
    metric = None
    if rank is not None:
        metric = np.linalg.eigh(sum((m.Q * m.eigenvalues) @ m.Q.T for m in moments.values()) / len(subjects))
    held_out = {s: _validation_rows(designs, responses, validation[s], moments[s].centre, s) for s in subjects}

    best: tuple[float, np.ndarray | None, dict[str, np.ndarray], float] | None = None
    scores: dict[float, float] = {}
    for alpha in alphas:
        shared, outputs = _solve(moments, grams, metric, rank, float(alpha))
        r = np.mean([_mean_r(held_out[s][0], shared, outputs[s], held_out[s][1]) for s in subjects])
        scores[float(alpha)] = float(r)
        if best is None or r > best[0]:
            best = (float(r), shared, outputs, float(alpha))
    assert best is not None
    _, shared, outputs, alpha = best
    full = {}
    for s in subjects:
        inside = outputs[s] if shared is None else shared @ outputs[s]
        full[s] = (outputs[s], -(moments[s].centre.astype(np.float32) @ inside))
    return Fit(shared, full, alpha, scores)


def _decompose(parts: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (column means, eigenvalues, eigenvectors) of the stacked, centred parts' X'X."""
    n = sum(len(X) for X in parts)
    centre = sum(X.sum(axis=0, dtype=np.float64) for X in parts) / n
    p = parts[0].shape[1]
    gram = np.zeros((p, p))
    for X in parts:
        Z = X.astype(np.float64) - centre
        gram += Z.T @ Z
    eigenvalues, Q = np.linalg.eigh(gram)
    return np.asarray(centre), np.clip(eigenvalues, 0.0, None), Q


def _solve(
    moments: Mapping[str, _Moments],
    grams: Mapping[str, np.ndarray],
    metric: tuple[np.ndarray, np.ndarray] | None,
    rank: int | None,
    alpha: float,
) -> tuple[np.ndarray | None, dict[str, np.ndarray]]:
    """Return (A, {subject: C}) for one penalty; without a bottleneck (None, {subject: B}).

    ``metric`` holds eigenvalues and eigenvectors of the subjects' mean X'X, which no penalty changes.
    """
    damped = {s: 1.0 / (m.eigenvalues + alpha) for s, m in moments.items()}
    if rank is None or metric is None:
        return None, {s: (m.Q * damped[s]).astype(np.float32) @ m.T for s, m in moments.items()}
    values, R = metric
    root = np.sqrt(np.clip(values, 0.0, None) + alpha)
    # B_s B_s' = Q_s D_s T_s T_s' D_s Q_s' needs no (p, n_targets) product a penalty.
    outer = np.zeros_like(R)
    for s, m in moments.items():
        QD = m.Q * damped[s]
        outer += QD @ grams[s] @ QD.T
    inner = (R * root).T @ outer @ (R * root)
    _, U = np.linalg.eigh(inner)
    U = U[:, ::-1][:, :rank]
    # An eigenvector's sign is anyone's choice: fixed, so that all processes and machines choose alike.
    U = U * np.sign(U[np.abs(U).argmax(axis=0), np.arange(U.shape[1])])
    shared = (R / root) @ U
    back = (R * root) @ U  # (p, rank): C_s = back' B_s
    outputs = {}
    for s, m in moments.items():
        outputs[s] = (back.T @ (m.Q * damped[s])).astype(np.float32) @ m.T
    # Share the scale evenly between the two matrices, so that neither learns faster by accident.
    size = np.sqrt(sum((c.astype(np.float64) ** 2).sum(axis=1) for c in outputs.values()))
    balance = np.sqrt(np.maximum(size, 1e-12) / np.maximum(np.linalg.norm(shared, axis=0), 1e-12))
    return (shared * balance).astype(np.float32), {
        s: (c / balance[:, None]).astype(np.float32) for s, c in outputs.items()
    }


def _validation_rows(
    designs: Mapping[tuple[S, str], np.ndarray],
    responses: Callable[[S, str], np.ndarray],
    stories: Sequence[S],
    centre: np.ndarray,
    subject: str,
) -> tuple[np.ndarray, np.ndarray]:
    X = np.concatenate([designs[story, subject] for story in stories]) - centre
    return X.astype(np.float32), np.concatenate([responses(story, subject) for story in stories])


def _mean_r(X: np.ndarray, shared: np.ndarray | None, output: np.ndarray, Y: np.ndarray) -> float:
    """Return the correlation of Y with X A C, averaged over targets; a flat prediction counts as 0."""
    P = (X if shared is None else X @ shared) @ output
    P -= P.mean(axis=0)
    Z = Y - Y.mean(axis=0)
    norms = np.sqrt((P * P).sum(axis=0, dtype=np.float64) * (Z * Z).sum(axis=0, dtype=np.float64))
    dots = (P * Z).sum(axis=0, dtype=np.float64)
    return float(np.where(norms > 0, dots / np.where(norms > 0, norms, 1.0), 0.0).mean())
