"""Block permutations of held-out correlations: matrix products against loops.

    python benchmarks/permutations.py [--targets N] [--permutations N] [--json]

Interleaved in one process: ours, a loop over permutations with vectorised correlations, and
the usual loop that z-scores both sides for every permutation (timed on a few, scaled up).
"""

from __future__ import annotations

import argparse
import json
import platform
import time

import numpy as np

from braindash.encoding.inference import permutation_test

BLOCK = 10


def orders_of(n_trs: int, rng: np.random.Generator) -> np.ndarray:
    n_blocks = n_trs // BLOCK
    return (rng.permutation(n_blocks)[:, None] * BLOCK + np.arange(BLOCK)).ravel()


def vectorised_loop(y: np.ndarray, p: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Scale once, then one gather and one sum of products a permutation."""
    y = (y - y.mean(0)) / y.std(0) / len(y)
    p = (p - p.mean(0)) / p.std(0)
    observed = np.einsum("tv,tv->v", y, p)
    reached = np.zeros(y.shape[1])
    for _ in range(n):
        reached += np.einsum("tv,tv->v", y, p[orders_of(len(y), rng)]) >= observed
    return (1 + reached) / (1 + n)


def usual_loop(y: np.ndarray, p: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """z-score both sides anew for every permutation."""

    def r(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return ((a - a.mean(0)) / a.std(0) * ((b - b.mean(0)) / b.std(0))).mean(0)

    observed = r(y, p)
    reached = np.zeros(y.shape[1])
    for _ in range(n):
        reached += r(y, p[orders_of(len(y), rng)]) >= observed
    return (1 + reached) / (1 + n)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", type=int, default=80_000)
    parser.add_argument("--permutations", type=int, default=1000)
    parser.add_argument("--trs", type=int, default=290)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    y = rng.standard_normal((args.trs, args.targets), dtype=np.float32)
    p = (0.1 * y + rng.standard_normal(y.shape, dtype=np.float32)).astype(np.float32)
    some = max(1, args.permutations // 50)  # loops are linear in permutations

    seconds: dict[str, list[float]] = {
        "braindash": [],
        "braindash, null widened": [],
        "vectorised loop": [],
        "loop": [],
    }
    for _ in range(args.rounds):
        for name, correct in (("braindash", False), ("braindash, null widened", True)):
            start = time.perf_counter()
            permutation_test([y], [p], block=BLOCK, n_permutations=args.permutations, correct=correct)
            seconds[name].append(time.perf_counter() - start)
        for name, loop in (("vectorised loop", vectorised_loop), ("loop", usual_loop)):
            start = time.perf_counter()
            loop(y, p, some, rng)
            seconds[name].append((time.perf_counter() - start) * args.permutations / some)
    best = {name: min(times) for name, times in seconds.items()}
    rows = [
        {"method": name, "seconds": round(t, 3), "ratio": round(t / best["braindash"], 2)} for name, t in best.items()
    ]
    result = {
        "benchmark": "permutations", "machine": platform.processor() or platform.machine(), "trs": args.trs,
        "targets": args.targets, "permutations": args.permutations, "block": BLOCK,
        "loops_timed_on": some, "rows": rows,
    }  # fmt: skip
    if args.json:
        print(json.dumps(result))
        return
    print(f"{args.targets:,} targets x {args.permutations:,} permutations, {args.trs} TRs in blocks of {BLOCK}")
    for row in rows:
        print(f"{row['method']:26s} {row['seconds']:9.2f} s   {row['ratio']:7.1f}x")


if __name__ == "__main__":
    main()
