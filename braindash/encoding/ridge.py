"""Ridge regression whose penalties are chosen by leaving whole stories out."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from braindash.config import DEFAULT_ALPHAS
from braindash.encoding._engines import choose_engine
from braindash.encoding._fit import Job, OnBlock, Settings, run_jobs
from braindash.encoding._folds import Chunks, make_folds
from braindash.encoding._responses import Responses, as_features
from braindash.encoding.scoring import Moments, correlation
from braindash.errors import BraindashError

log = logging.getLogger(__name__)


class StoryRidgeCV:
    """Ridge regression with one penalty a target, chosen by cross-validation over stories.

    All folds and penalties come from one eigendecomposition of the features, and the
    result is that of fitting each fold anew (docs/methods.md, *Ridge regression*).

    Parameters
    ----------
    alphas : sequence of float
        Penalties tried, added to the diagonal of X'X.
    cv : "story", "kfold:N", "bootstrap" or a sequence of index arrays
        Leave one story out; N groups of whole stories in order; random chunks of TRs
        held out many times (``chunks``), as ``ridge_utils`` does; or your own sets of rows.
    select : "r" or "r2"
        Score that chooses the penalty: the mean over folds, each fold with the same
        weight, of the score within the fold. On a tie the first penalty wins.
    fit_intercept : bool
        Subtract the mean of the rows that are fitted on, in every fold.
    memory_gb : float
        Working memory beside the inputs and the results. Sets the size of the blocks.
    device : "auto", "cpu", "numpy", "torch", "cuda" or "cuda:N"
    dtype : "float32" or "float64"
        Of the products with the responses. Decompositions are always float64.
    penalty : "alpha" or "alpha_squared"
        "alpha_squared" adds alpha² (the convention of ``ridge_utils``).
    chunks : Chunks, optional
        Settings of ``cv="bootstrap"``.
    store_coef : True, False or "auto"
        Keep the coefficients, which ``predict`` and ``score`` need. "auto" keeps
        them where they take less than a third of ``memory_gb``.
    search : "exact" or "screened"
        "screened" computes six of the penalties, in bfloat16 where the processor has it, and combines
        the others from them: faster, and a few targets in 100 get another penalty, where scores are
        all but equal. The fit at the penalty chosen is exact either way.
    n_threads : int, optional
        Threads of the linear algebra libraries; None leaves them as they are.

    Attributes
    ----------
    alpha_ : (n_targets,) float64, the penalty chosen, as given in ``alphas``
    cv_scores_ : (n_alphas, n_targets) float32
    test_ : Moments or None, of the test stories given to ``fit``
    n_at_edge_ : int, targets whose penalty is the largest or smallest tried
    """

    def __init__(
        self,
        alphas: Sequence[float] | np.ndarray = DEFAULT_ALPHAS,
        *,
        cv: str | Sequence[np.ndarray] = "story",
        select: Literal["r", "r2"] = "r",
        fit_intercept: bool = True,
        memory_gb: float = 3.0,
        device: str = "auto",
        dtype: Literal["float32", "float64"] = "float32",
        penalty: Literal["alpha", "alpha_squared"] = "alpha",
        chunks: Chunks | None = None,
        store_coef: bool | Literal["auto"] = "auto",
        search: Literal["exact", "screened"] = "exact",
        n_threads: int | None = None,
    ) -> None:
        self.alphas = np.atleast_1d(np.asarray(alphas, dtype=np.float64))
        if self.alphas.ndim != 1 or len(self.alphas) == 0 or not (np.isfinite(self.alphas) & (self.alphas > 0)).all():
            raise BraindashError(
                f"The penalties must be finite and above 0; got {np.asarray(alphas).tolist()}.",
                "Give a list such as [1, 10, 100].",
            )
        for name, value, known in (
            ("select", select, ("r", "r2")),
            ("dtype", dtype, ("float32", "float64")),
            ("penalty", penalty, ("alpha", "alpha_squared")),
            ("search", search, ("exact", "screened")),
        ):
            if value not in known:
                raise BraindashError(f"{name}={value!r} is not known.", f"Use {' or '.join(known)}.")
        if memory_gb <= 0:
            raise BraindashError(f"memory_gb must be above 0; got {memory_gb}.", "Give it in gigabytes, such as 3.")
        self.cv = cv
        self.select = select
        self.fit_intercept = fit_intercept
        self.memory_gb = memory_gb
        self.device = device
        self.dtype = dtype
        self.penalty = penalty
        self.chunks = chunks
        self.store_coef = store_coef
        self.search = search
        self.n_threads = n_threads

    def fit(
        self,
        features: Sequence[Any],
        responses: Sequence[Any] | Responses,
        *,
        test: tuple[Sequence[Any], Sequence[Any] | Responses] | None = None,
        on_block: OnBlock | None = None,
    ) -> StoryRidgeCV:
        """Choose the penalties and fit.

        Parameters
        ----------
        features : sequence of (n_trs, n_features), one a story
        responses : sequence of (n_trs, n_targets), one a story
            Arrays, memory maps, h5py data sets, or functions that return an array.
            They are read once, by blocks of targets, unless memory forces more passes.
        test : (features, responses) of the test stories, optional
            Scored in the same pass, without keeping coefficients: see ``test_``.
        on_block : callable, optional
            ``on_block(targets, observed, predicted)`` after each block of targets, with
            one (n_block, n_trs) array for each test story.

        Raises
        ------
        BraindashError
            Shapes that do not fit together, values that are not finite.
        """
        fitted = _fit({"": (features, test[0] if test else None)}, responses, test[1] if test else None, self, on_block)
        self._take(fitted[""])
        return self

    def _take(self, job: Job) -> None:
        assert job.basis is not None
        self._job = job
        self.alpha_ = self.alphas[job.best]
        self.cv_scores_ = job.cv_scores
        self.test_: Moments | None = job.moments
        self.n_features_in_ = len(job.basis.mean)
        edge = (job.best == 0) | (job.best == len(self.alphas) - 1)
        self.n_at_edge_ = int(edge.sum()) if len(self.alphas) > 1 else 0

    def _fitted(self) -> Job:
        if not hasattr(self, "_job"):
            raise BraindashError("This StoryRidgeCV has not been fitted.", "Call fit first.")
        if self._job.weights is None:
            raise BraindashError(
                f"The coefficients of {len(self._job.mean)} targets were not kept, to save memory.",
                "Give fit the test stories (test=…), or set store_coef=True.",
            )
        return self._job

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Predict responses to the features of one story: (n_trs, n_features) -> (n_trs, n_targets)."""
        job = self._fitted()
        assert job.basis is not None
        assert job.weights is not None
        (X,) = as_features([X])
        if X.shape[1] != self.n_features_in_:
            raise BraindashError(
                f"X has {X.shape[1]} features; the model was fitted on {self.n_features_in_}.",
                "Use the features, layer and delays of the fit.",
            )
        return (job.basis.project(X).astype(self.dtype) @ job.weights.T + job.mean).astype(self.dtype)

    def score(self, X: np.ndarray, Y: np.ndarray) -> np.ndarray:
        """Return r between prediction and response of one story: (n_targets,), NaN where constant."""
        return correlation(Y, self.predict(X))

    @property
    def coef_(self) -> np.ndarray:
        """Coefficients, (n_features, n_targets) float64."""
        job = self._fitted()
        assert job.basis is not None
        assert job.weights is not None
        return job.basis.right @ job.weights.T.astype(np.float64)

    @property
    def intercept_(self) -> np.ndarray:
        """Intercept of each target, (n_targets,) float64."""
        job = self._fitted()
        assert job.basis is not None
        return job.mean - job.basis.mean @ self.coef_


def fit_many(
    feature_sets: Mapping[str, Sequence[Any] | tuple[Sequence[Any], Sequence[Any]]],
    responses: Sequence[Any] | Responses,
    test_responses: Sequence[Any] | Responses | None = None,
    *,
    on_block: Callable[[str], OnBlock] | None = None,
    **settings: Any,
) -> dict[str, StoryRidgeCV]:
    """Fit several feature spaces (layers, models, controls) to the same responses.

    Parameters
    ----------
    feature_sets : name -> training features, or (training, test) features with ``test_responses``
    responses, test_responses : as in :meth:`StoryRidgeCV.fit`
        Read once for as many feature spaces as ``memory_gb`` has room for.
    on_block : name -> the ``on_block`` of that feature space, optional
    **settings
        Parameters of :class:`StoryRidgeCV`.

    Returns
    -------
    dict of name -> fitted StoryRidgeCV
    """
    pairs = {name: (value if test_responses is not None else (value, None)) for name, value in feature_sets.items()}
    template = StoryRidgeCV(**settings)
    jobs = _fit(pairs, responses, test_responses, template, on_block)
    fitted = {}
    for name, job in jobs.items():
        fitted[name] = StoryRidgeCV(**settings)
        fitted[name]._take(job)
    return fitted


def _fit(
    pairs: Mapping[str, Any],
    responses: Sequence[Any] | Responses,
    test_responses: Sequence[Any] | Responses | None,
    model: StoryRidgeCV,
    on_block: Any,
) -> dict[str, Job]:
    Y = responses if isinstance(responses, Responses) else Responses(responses)
    Y_test = None
    if test_responses is not None:
        Y_test = test_responses if isinstance(test_responses, Responses) else Responses(test_responses)
        if Y_test.n_targets != Y.n_targets:
            raise BraindashError(
                f"The test stories have {Y_test.n_targets} targets, the others {Y.n_targets}.",
                "Every story of a subject needs the same targets in the same order.",
            )
    jobs = {}
    for name, (train, test) in pairs.items():
        features = as_features(train, f"features {name!r}" if name else "features")
        _check_rows([len(x) for x in features], Y.lengths, "")
        held = as_features(test, "test features") if test is not None else None
        if held is not None and Y_test is not None:
            _check_rows([len(x) for x in held], Y_test.lengths, "test ")
            if held[0].shape[1] != features[0].shape[1]:
                raise BraindashError(
                    f"The test features are {held[0].shape[1]} wide, the others {features[0].shape[1]}.",
                    "Use the same layer and delays for both.",
                )
        hook = on_block(name) if on_block is not None and name else on_block
        jobs[name] = Job(features, held, hook)
    widest = max(job.size[1] for job in jobs.values())
    n = sum(Y.lengths)
    flops = 2.0 * len(jobs) * len(model.alphas) * n * min(widest, n) * Y.n_targets
    settings = Settings(
        penalties=model.alphas**2 if model.penalty == "alpha_squared" else model.alphas,
        folds=make_folds(model.cv, Y.lengths, model.chunks),
        engine=choose_engine(model.device, model.dtype, flops),
        select=model.select,
        intercept=model.fit_intercept,
        memory=model.memory_gb * 1e9,
        screened=model.search == "screened",
        store=None if model.store_coef == "auto" else bool(model.store_coef),
    )
    with _threads(model.n_threads):
        run_jobs(list(jobs.values()), Y, Y_test, settings)
    return jobs


def _check_rows(features: list[int], responses: list[int], what: str) -> None:
    if len(features) != len(responses):
        raise BraindashError(
            f"There are features of {len(features)} {what}stories and responses to {len(responses)}.",
            "Give both for the same stories, in the same order.",
        )
    for i, (a, b) in enumerate(zip(features, responses, strict=True)):
        if a != b:
            raise BraindashError(
                f"{what}story {i} has {a} rows of features and {b} of responses.".capitalize(),
                "Cut both to the same TRs.",
            )


def _threads(n: int | None) -> contextlib.AbstractContextManager[Any]:
    if n is None:
        return contextlib.nullcontext()
    from threadpoolctl import threadpool_limits

    return threadpool_limits(limits=n)
