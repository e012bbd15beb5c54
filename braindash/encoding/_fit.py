"""The pass over the responses: penalties chosen, coefficients kept, test stories scored, block by block."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from braindash.encoding._engines import Engine
from braindash.encoding._folds import Folds
from braindash.encoding._responses import Responses
from braindash.encoding._screen import N_NODES, Screen, choose_nodes
from braindash.encoding._solvers import DUAL_BELOW, Basis, FoldOperator, Plan, decompose
from braindash.encoding.scoring import Moments
from braindash.errors import BraindashError

log = logging.getLogger(__name__)

WIDEST_BLOCK = 2048  # targets
NARROWEST_BLOCK = 16

# on_block(targets, observed, predicted): lists with one (B, n_trs) array for each test story.
OnBlock = Callable[[slice, list[np.ndarray], list[np.ndarray]], None]


@dataclass
class Settings:
    """What every job of a pass has in common."""

    penalties: np.ndarray  # (n_alphas,) added to X'X
    folds: Folds
    engine: Engine
    select: str
    intercept: bool
    memory: float  # bytes beside inputs and results
    screened: bool = False  # compute a few penalties of the search, combine the others from them
    store: bool | None = None  # keep coefficients; None: where they are small


@dataclass
class Job:
    """One feature space to be fitted, and what came of it."""

    features: Sequence[np.ndarray]
    test_features: Sequence[np.ndarray] | None = None
    on_block: OnBlock | None = None
    basis: Basis | None = None
    cv_scores: np.ndarray = field(default_factory=lambda: np.empty(0))  # (n_alphas, v) float32
    best: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.intp))  # (v,) index of the penalty
    mean: np.ndarray = field(default_factory=lambda: np.empty(0))  # (v,) mean response
    weights: np.ndarray | None = None  # (v, k)
    moments: Moments | None = None
    plan: Plan | None = None
    screen: Screen | None = None
    reported: int = 0  # targets given to on_block, which a block that is tried again must not see twice

    @property
    def size(self) -> tuple[int, int]:
        return sum(len(x) for x in self.features), self.features[0].shape[1]


def run_jobs(jobs: Sequence[Job], responses: Responses, test: Responses | None, settings: Settings) -> None:
    """Fit every job on the same responses, in as few passes over them as memory allows."""
    for group in _groups(jobs, settings):
        _run_group(group, responses, test, settings)


def _groups(jobs: Sequence[Job], settings: Settings) -> Iterator[list[Job]]:
    """Split jobs so that the operators of a group take at most half of the memory (one job at least)."""
    itemsize = settings.engine.dtype.itemsize
    group: list[Job] = []
    taken = 0.0
    for job in jobs:
        n, p = job.size
        k = p if n >= DUAL_BELOW * p else n
        need = (len(settings.penalties) * itemsize + 8 + itemsize) * float(n) * k + 8.0 * p * k
        if group and taken + need > settings.memory / 2:
            yield group
            group, taken = [], 0.0
        group.append(job)
        taken += need
    if group:
        yield group


def _run_group(jobs: list[Job], responses: Responses, test: Responses | None, settings: Settings) -> None:
    n_alphas, v = len(settings.penalties), responses.n_targets
    for job in jobs:
        job.basis = decompose(job.features, intercept=settings.intercept)
        job.plan = Plan(job.basis, settings.folds, settings.engine, v, n_alphas)
        job.cv_scores = np.empty((n_alphas, v), dtype=np.float32)
        job.best = np.zeros(v, dtype=np.intp)
        job.mean = np.zeros(v)
        k = len(job.basis.spectrum)
        if settings.store or (settings.store is None and 4.0 * k * v * len(jobs) <= settings.memory / 3):
            job.weights = np.empty((v, k), dtype=settings.engine.dtype)
        if test is not None and job.test_features is not None:
            job.moments = Moments.empty([len(x) for x in job.test_features], v)

    plans = [job.plan for job in jobs if job.plan is not None]
    memory = settings.memory
    free = settings.engine.free_bytes()
    if free is not None:
        memory = min(memory, 0.8 * free)
    fixed = sum(plan.bytes_fixed() + plan.n * len(plan.basis.spectrum) * 8 for plan in plans)
    each = sum(plan.bytes_per_alpha() for plan in plans)
    at_once = n_alphas
    if each:
        at_once = int(np.clip((0.75 * memory - fixed) // each, 1, n_alphas))
    if settings.screened and n_alphas > N_NODES:
        if at_once >= N_NODES and not any(any(plan.own) for plan in plans):
            at_once = n_alphas
            for job, plan in zip(jobs, plans, strict=True):
                job.screen = _screen(plan, responses, settings)
        else:
            log.info("The search is not screened: memory_gb or the folds are too small for it to pay.")
    per_target = max(plan.bytes_per_target(at_once, _rows(test)) for plan in plans)
    width = int((memory - fixed - each * at_once) // per_target)
    width = int(np.clip(width, NARROWEST_BLOCK, WIDEST_BLOCK))
    log.debug("%d penalties at a time, %d targets a block.", at_once, width)

    operators: list[list[FoldOperator]] = [[] for _ in jobs]
    for a in range(0, n_alphas, at_once):
        some = slice(a, min(a + at_once, n_alphas))
        for i, plan in enumerate(plans):
            operators[i] = []  # free the last ones first
            screen = jobs[i].screen
            operators[i] = plan.operators(
                settings.penalties[some] if screen is None else settings.penalties[screen.nodes]
            )
            if screen is not None:
                plan.shorten(operators[i])
        width = _pass(jobs, operators, responses, test, settings, some, width)
    for job in jobs:
        job.plan = None
        assert job.basis is not None
        job.basis.rows = np.empty((0, len(job.basis.spectrum)))


def _screen(plan: Plan, responses: Responses, settings: Settings) -> Screen:
    """Choose the nodes from what the first targets hold along each eigenvector."""
    _, arrays = next(iter(responses.blocks(WIDEST_BLOCK // 4, settings.memory / 8, 0)))
    Y, _ = plan.block(arrays)
    C = settings.engine.get(plan.cross_products(settings.engine.put(Y))[0]).astype(np.float64)
    return choose_nodes(plan.basis.spectrum, (C * C).mean(axis=0), settings.penalties)


def _rows(responses: Responses | None) -> int:
    return sum(responses.lengths) if responses is not None else 0


def _pass(
    jobs: list[Job],
    operators: list[list[FoldOperator]],
    responses: Responses,
    test: Responses | None,
    settings: Settings,
    some: slice,
    width: int,
) -> int:
    """Read all responses once, for the penalties ``some``; the last pass also fits and scores."""
    engine = settings.engine
    last = some.stop == len(settings.penalties)
    tests = [
        [engine.put(job.basis.project(x)) for x in job.test_features]
        if last and job.moments is not None and job.test_features is not None and job.basis is not None
        else []
        for job in jobs
    ]
    start = 0
    while start < responses.n_targets:
        test_blocks = test.blocks(width, settings.memory / 8, start) if test is not None and last else None
        try:
            for targets, arrays in responses.blocks(width, settings.memory / 8, start):
                held = next(test_blocks)[1] if test_blocks is not None else None
                block: tuple[np.ndarray, np.ndarray] | None = None
                layout: tuple[Any, ...] = ()
                for job, ops, projected in zip(jobs, operators, tests, strict=True):
                    plan = job.plan
                    assert plan is not None
                    if block is None or layout != (plan.augment, plan.packed):
                        block, layout = plan.block(arrays), (plan.augment, plan.packed)
                        _check_finite(block[1], block[0], targets)
                        Y = engine.put(block[0])
                    scores, C = plan.scores(Y, ops, settings.select, job.screen)
                    job.cv_scores[some, targets] = scores
                    if last:
                        _finish(job, targets, C, block[1], projected, held, settings)
                start = targets.stop
        except Exception as error:
            if not engine.is_out_of_memory(error) or width <= NARROWEST_BLOCK:
                raise
            width = max(NARROWEST_BLOCK, width // 2)
            log.warning("Out of memory on %s: going on with blocks of %d targets.", engine.name, width)
        # Only now: while the error is handled, its traceback holds the arrays of the failed block.
        engine.recover()
    return width


def _check_finite(mean: np.ndarray, Y: np.ndarray, targets: slice) -> None:
    if np.isfinite(mean).all() and np.isfinite(Y.sum(1)).all():
        return
    bad = np.flatnonzero(~np.isfinite(Y).all(1)) + targets.start
    shown = ", ".join(str(b) for b in bad[:5]) + (", …" if len(bad) > 5 else "")
    raise BraindashError(
        f"{len(bad)} of the targets {targets.start}–{targets.stop - 1} hold values that are not finite ({shown}).",
        "Leave these targets out (Study.usable says which) and report how many.",
    )


def _finish(
    job: Job,
    targets: slice,
    C: Any,
    mean: np.ndarray,
    projected: list[Any],
    held: list[np.ndarray] | None,
    settings: Settings,
) -> None:
    """Choose each target's penalty, keep its coefficients and score the test stories."""
    engine, basis = settings.engine, job.basis
    assert basis is not None
    best = np.argmax(job.cv_scores[:, targets], axis=0)
    job.best[targets], job.mean[targets] = best, mean
    if job.weights is None and job.moments is None:
        return
    shrink = 1 / (basis.spectrum + settings.penalties[:, None])
    W = C * engine.put(shrink)[best]
    if job.weights is not None:
        job.weights[targets] = engine.get(W)
    if job.moments is None or held is None:
        return
    observed, predicted = [], []
    for s, (T, y) in enumerate(zip(projected, held, strict=True)):
        P = engine.get(engine.matmul(W, T.T))
        Y = np.ascontiguousarray(y.T, dtype=engine.dtype)
        _check_finite(Y[:, 0], Y, targets)
        _add_moments(job.moments, s, targets, Y, P, mean)
        if job.on_block is not None and targets.start >= job.reported:
            observed.append(Y)
            predicted.append(P + mean[:, None].astype(P.dtype))
    if job.on_block is not None and targets.start >= job.reported:
        job.on_block(targets, observed, predicted)
        job.reported = targets.stop


def _add_moments(moments: Moments, s: int, targets: slice, Y: np.ndarray, P: np.ndarray, mean: np.ndarray) -> None:
    y_mean, p_mean = Y.mean(1, dtype=np.float64), P.mean(1, dtype=np.float64)
    constant = np.ptp(Y, axis=1) == 0
    Y, P = Y - y_mean[:, None].astype(Y.dtype), P - p_mean[:, None].astype(P.dtype)
    moments.y_mean[s, targets], moments.p_mean[s, targets] = y_mean, p_mean + mean
    moments.yy[s, targets] = np.where(constant, 0, np.vecdot(Y, Y))
    moments.pp[s, targets] = np.vecdot(P, P)
    moments.yp[s, targets] = np.vecdot(Y, P)
