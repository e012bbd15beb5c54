"""Ridge with every story held out: braindash against himalaya, ridge_utils' scheme and scikit-learn.

    python benchmarks/encoding.py [--size small|5k|20k|80k] [--threads N] [--only NAME …] [--json]

One process, methods interleaved over rounds, the same folds, penalties and float32 inputs.
Beyond the small size a peer runs on 3 folds, and the others are counted at the time between the
starts of these, because its folds cost the same: t(3 folds) + (folds − 3) · mean time of a fold.
Every method first runs on a tiny problem, so that imports are not timed.
"ridge_utils' scheme" is one singular value decomposition a fold, every penalty from it,
in float64, as that package does for its bootstraps.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import platform
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from braindash.encoding import StoryRidgeCV
from braindash.encoding._engines import gemm_speed

# rows, features, targets, stories, penalties
SIZES = {
    "small": (1_560, 512, 2_000, 26, 10),
    "5k": (9_500, 3_072, 5_000, 26, 10),
    "20k": (9_500, 3_072, 20_000, 26, 10),
    "80k": (9_500, 3_072, 80_000, 26, 10),
}
ALPHAS = np.logspace(0.5, 5, 10)
Stories = list[np.ndarray]
Begun = Callable[[], None]  # called when a fold begins
TIMED_FOLDS = 3


def make(n: int, p: int, v: int, n_stories: int) -> tuple[Stories, Stories]:
    """Return z-scored stories with a falling spectrum of features and weak signal in the responses."""
    rng = np.random.default_rng(0)
    lengths = np.full(n_stories, n // n_stories) + (np.arange(n_stories) < n % n_stories)
    turn = np.linalg.qr(rng.standard_normal((p, p)))[0].astype(np.float32)
    scale = (np.arange(1, p + 1) ** -0.5).astype(np.float32)
    W = rng.standard_normal((p, v), dtype=np.float32)
    X, Y = [], []
    for length in lengths:
        x = (rng.standard_normal((length, p), dtype=np.float32) * scale) @ turn
        x = (x - x.mean(0)) / x.std(0)
        y = x @ W
        y *= 0.3 / y.std()
        y += rng.standard_normal(y.shape, dtype=np.float32)
        X.append(x)
        Y.append((y - y.mean(0)) / y.std(0))
    return X, Y


def ours(X: Stories, Y: Stories, folds: int, threads: int, begun: Begun) -> np.ndarray:
    model = StoryRidgeCV(ALPHAS, device="cpu", n_threads=threads).fit(X, Y)
    return model.cv_scores_


def screened(X: Stories, Y: Stories, folds: int, threads: int, begun: Begun) -> np.ndarray:
    model = StoryRidgeCV(ALPHAS, device="cpu", n_threads=threads, search="screened").fit(X, Y)
    return model.cv_scores_


def himalaya_cv(X: Stories, Y: Stories, folds: int, threads: int, begun: Begun) -> np.ndarray:
    from himalaya.ridge import RidgeCV
    from himalaya.scoring import correlation_score
    from sklearn.model_selection import PredefinedSplit

    class Stories(PredefinedSplit):  # type: ignore[misc]
        def split(self, *data: Any, **more: Any) -> Iterator[Any]:
            for fold in super().split(*data, **more):
                begun()
                yield fold

    lengths = [len(x) for x in X]
    held = np.repeat([i if i < folds else -1 for i in range(len(X))], lengths)
    model = RidgeCV(alphas=ALPHAS, cv=Stories(held), solver_params={"score_func": correlation_score})
    model.fit(np.concatenate(X), np.concatenate(Y))
    return np.asarray(model.cv_scores_)


def correlate(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    p = p - p.mean(0)
    return (y * p).sum(0) / np.sqrt((y * y).sum(0) * (p * p).sum(0))


def svd_folds(X: Stories, Y: Stories, folds: int, threads: int, begun: Begun) -> np.ndarray:
    X, Y = [x.astype(np.float64) for x in X], [y.astype(np.float64) for y in Y]
    scores = np.zeros((len(ALPHAS), Y[0].shape[1]))
    for s in range(folds):
        begun()
        rest = [i for i in range(len(X)) if i != s]
        U, S, Vt = np.linalg.svd(np.concatenate([X[i] for i in rest]), full_matrices=False)
        UY = U.T @ np.concatenate([Y[i] for i in rest])
        XV = X[s] @ Vt.T
        for j, alpha in enumerate(ALPHAS):
            scores[j] += correlate(Y[s], XV @ ((S / (S**2 + alpha))[:, None] * UY)) / folds
    return scores


def sklearn_folds(X: Stories, Y: Stories, folds: int, threads: int, begun: Begun) -> np.ndarray:
    from sklearn.linear_model import Ridge

    scores = np.zeros((len(ALPHAS), Y[0].shape[1]))
    for s in range(folds):
        begun()
        x, y = (np.concatenate([a[i] for i in range(len(a)) if i != s]) for a in (X, Y))
        for j, alpha in enumerate(ALPHAS):
            model = Ridge(alpha=alpha, fit_intercept=False, solver="cholesky").fit(x, y)
            scores[j] += correlate(Y[s], model.predict(X[s])) / folds
    return scores


METHODS: dict[str, Callable[[Stories, Stories, int, int, Begun], np.ndarray]] = {
    "braindash": ours,
    "braindash screened": screened,
    "himalaya": himalaya_cv,
    "ridge_utils' scheme": svd_folds,
    "scikit-learn": sklearn_folds,
}


@contextlib.contextmanager
def peak_memory() -> Iterator[list[float]]:
    """Sample the process's memory; the list's entry is the rise above the start in GB."""
    process, out, done = psutil.Process(), [0.0], threading.Event()
    gc.collect()
    start = process.memory_info().rss

    def watch() -> None:
        while not done.wait(0.02):
            out[0] = max(out[0], (process.memory_info().rss - start) / 1e9)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield out
    finally:
        done.set()
        thread.join()


def timed(run: Callable[[], Any]) -> tuple[float, float, Any]:
    with peak_memory() as peak:
        start = time.perf_counter()
        result = run()
        seconds = time.perf_counter() - start
    return seconds, peak[0], result


def error_of(scores: np.ndarray, X: Stories, Y: Stories, n_checked: int) -> tuple[float, float]:
    """Return max |Δr| from float64 fits of every fold, and the share of targets with the same best penalty.

    Every fold and penalty is solved by itself from its own normal equations (Cholesky, float64).
    """
    from scipy.linalg import cho_factor, cho_solve

    some = np.linspace(0, Y[0].shape[1] - 1, n_checked).astype(int)
    X, Y = [x.astype(np.float64) for x in X], [y[:, some].astype(np.float64) for y in Y]
    gram = sum(x.T @ x for x in X)
    cross = sum(x.T @ y for x, y in zip(X, Y, strict=True))
    exact = np.zeros((len(ALPHAS), n_checked))
    for x, y in zip(X, Y, strict=True):
        g, c = gram - x.T @ x, cross - x.T @ y
        for j, alpha in enumerate(ALPHAS):
            w = cho_solve(cho_factor(g + alpha * np.eye(len(g)), overwrite_a=True), c)
            exact[j] += correlate(y, x @ w) / len(X)
    found = scores[:, some]
    return float(np.abs(found - exact).max()), float((found.argmax(0) == exact.argmax(0)).mean())


def cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=None, help="default: 3 for small, else 1")
    parser.add_argument("--only", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument(
        "--check", type=int, default=None, help="targets compared with float64; default 200 or 20, 0: none"
    )
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    n, p, v, n_stories, n_alphas = SIZES[args.size]
    X, Y = make(n, p, v, n_stories)
    small = args.size == "small"
    rounds = args.rounds or (3 if small else 1)

    import scipy.linalg  # noqa: F401, has a BLAS of its own; what is loaded later is not limited
    from threadpoolctl import threadpool_limits

    seconds: dict[str, list[float]] = {name: [] for name in args.only}
    memory: dict[str, float] = dict.fromkeys(args.only, 0.0)
    found: dict[str, np.ndarray] = {}
    with threadpool_limits(limits=args.threads):
        tiny = make(90, 20, 8, 3)
        for name in args.only:
            METHODS[name](*tiny, 3, args.threads, lambda: None)
        with contextlib.suppress(ImportError):  # what is loaded later does not know of the limit
            import torch

            torch.set_num_threads(args.threads)
        peak = gemm_speed()
        for _ in range(rounds):
            for name in args.only:
                method = METHODS[name]

                whole = small or name.startswith("braindash")
                starts: list[float] = []

                def run(method: Any = method, folds: int = n_stories if whole else TIMED_FOLDS,
                        starts: list[float] = starts) -> Any:  # fmt: skip
                    return method(X, Y, folds, args.threads, lambda: starts.append(time.perf_counter()))

                t, gb, made = timed(run)
                if name.startswith("braindash"):
                    found[name] = made
                elif not whole:
                    # some go through the folds once before they begin: the last starts count
                    t += (n_stories - TIMED_FOLDS) * float(np.diff(starts[-TIMED_FOLDS:]).mean())
                seconds[name].append(t)
                print(f"{name}: {t:.1f} s, {gb:.2f} GB", file=sys.stderr, flush=True)
                memory[name] = max(memory[name], gb)
        scores = found.get("braindash")
        n_checked = (200 if small else 20) if args.check is None else args.check
        error = error_of(scores, X, Y, n_checked) if scores is not None and n_checked else None
    best = {name: min(t) for name, t in seconds.items()}
    rows = [
        {
            "method": name,
            "seconds": round(t, 2),
            "ratio": round(t / best["braindash"], 2) if "braindash" in best else None,
            "memory_gb": round(memory[name], 2),
        }
        for name, t in best.items()
    ]
    result: dict[str, Any] = {
        "benchmark": "encoding", "size": args.size, "rows": n, "features": p, "targets": v, "stories": n_stories,
        "penalties": n_alphas, "threads": args.threads, "cpu": cpu_name(), "gemm_gflops": peak.gflops, "methods": rows,
    }  # fmt: skip
    if "braindash" in best:
        floor = 2.0 * (n_alphas + 1) * n * p * v / 1e9 / peak.peak
        result["share_of_gemm_peak"] = round(floor / best["braindash"], 3)
    if error is not None:
        result |= {"max_abs_dr": error[0], "same_penalty": error[1]}
    if len(found) == 2:
        exact, quick = found.values()
        result["screened_same_penalty"] = float((exact.argmax(0) == quick.argmax(0)).mean())
    if args.json:
        print(json.dumps(result))
        return
    print(f"{n:,} rows x {p:,} features x {v:,} targets, {n_stories} stories, {n_alphas} penalties, "
          f"{args.threads} thread(s), {result['cpu']}")  # fmt: skip
    for row in rows:
        print(f"{row['method']:20s} {row['seconds']:10.2f} s   {row['ratio'] or 0:7.1f}x   {row['memory_gb']:6.2f} GB")
    if "share_of_gemm_peak" in result:
        share = 100 * result["share_of_gemm_peak"]
        print(f"{share:.0f} % of the best product ({peak.best}, {peak.peak:.0f} GF/s)")
    if error is not None:
        print(f"max |dr| from float64 {error[0]:.1e}; same penalty {100 * error[1]:.1f} %")
    if "screened_same_penalty" in result:
        print(f"screened search: the same penalty for {100 * result['screened_same_penalty']:.1f} % of targets")


if __name__ == "__main__":
    main()
