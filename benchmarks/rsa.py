"""How alike the RDMs of layers and regions are: braindash against rsatoolbox and scipy.

    python benchmarks/rsa.py [--size 1000|3000|9500] [--compare correlation|cosine|spearman] [--rounds N] [--json]

13 layers of width 768 and 20 regions of 300 targets, correlation distances, every layer with every
region. One process, one thread, methods interleaved over rounds; seconds are the processor's, so
that a busy machine changes little. scipy is `pdist`, then `corrcoef` of the vectors (cosine: a product of
scaled vectors; spearman: ranks first). At 3,000 conditions scipy, and at 9,500 both peers, are timed on
one layer and one region, and the rest is scaled up: an RDM costs the same as the next, and so does a
comparison. What all their RDMs take in memory is then counted, not measured.
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

SIZES = (1_000, 3_000, 9_500)
N_LAYERS, WIDTH, N_REGIONS, N_TARGETS = 13, 768, 20, 300
WHOLE = {"rsatoolbox": 3_000, "scipy": 1_000}  # conditions up to which a peer does all of the work
THEIRS = {"correlation": "corr", "cosine": "cosine", "spearman": "spearman"}
Arrays = list[np.ndarray]


def make(n: int) -> tuple[Arrays, Arrays]:
    """Return layers and regions that share a part of what varies between conditions."""
    rng = np.random.default_rng(0)
    shared = rng.standard_normal((n, 30), dtype=np.float32)

    def one(width: int) -> np.ndarray:
        mixed = shared @ rng.standard_normal((30, width), dtype=np.float32) / 5
        return mixed + rng.standard_normal((n, width), dtype=np.float32)

    return [one(WIDTH) for _ in range(N_LAYERS)], [one(N_TARGETS) for _ in range(N_REGIONS)]


def ours(layers: Arrays, regions: Arrays, compare: str) -> np.ndarray:
    from braindash import rsa

    A, B = ([rsa.prepare(x) for x in side] for side in (layers, regions))
    return rsa.similarities(A, B, compare)


def toolbox(layers: Arrays, regions: Arrays, compare: str) -> np.ndarray:
    from rsatoolbox.data import Dataset
    from rsatoolbox.rdm import calc_rdm
    from rsatoolbox.rdm import compare as compare_rdms

    A, B = (calc_rdm([Dataset(x) for x in side], method="correlation") for side in (layers, regions))
    return np.asarray(compare_rdms(A, B, method=THEIRS[compare]))


def scipy_pdist(layers: Arrays, regions: Arrays, compare: str) -> np.ndarray:
    from scipy.spatial.distance import pdist
    from scipy.stats import rankdata

    A, B = (np.stack([pdist(x, "correlation") for x in side]) for side in (layers, regions))
    if compare == "spearman":
        A, B = (np.stack([rankdata(v) for v in side]) for side in (A, B))
    if compare != "cosine":
        A, B = (side - side.mean(axis=1, keepdims=True) for side in (A, B))
    A, B = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in (A, B))
    return np.asarray(A @ B.T)


METHODS: dict[str, Callable[[Arrays, Arrays, str], np.ndarray]] = {
    "braindash": ours,
    "rsatoolbox": toolbox,
    "scipy": scipy_pdist,
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
    """Return processor seconds, the rise of memory in GB, and the result."""
    with peak_memory() as peak:
        start = time.process_time()
        result = run()
        seconds = time.process_time() - start
    return seconds, peak[0], result


def scaled(method: Callable[..., np.ndarray], layers: Arrays, regions: Arrays, compare: str) -> tuple[float, float]:
    """Return what all RDMs and comparisons would take, from one RDM of each side: (processor seconds, GB).

    Comparisons beyond the first are not counted, which favours the peer.
    """
    one, gb, _ = timed(lambda: method(layers[:1], regions[:1], compare))
    n = len(layers[0])
    count = N_LAYERS + N_REGIONS
    return one / 2 * count, gb + (count - 2) * 8 * n * (n - 1) / 2 / 1e9


def cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, choices=SIZES, default=SIZES[0])
    parser.add_argument("--compare", choices=THEIRS, default="correlation")
    parser.add_argument("--rounds", type=int, default=None, help="default: 3 at 1,000 conditions, else 1")
    parser.add_argument("--only", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    n = args.size
    layers, regions = make(n)

    from threadpoolctl import threadpool_limits

    seconds: dict[str, list[float]] = {name: [] for name in args.only}
    memory: dict[str, float] = dict.fromkeys(args.only, 0.0)
    found: dict[str, np.ndarray] = {}
    with threadpool_limits(limits=1):
        tiny = [x[:20, :10] for x in layers[:2]]
        for name in args.only:
            METHODS[name](tiny, tiny, args.compare)  # imports are not timed
        for _ in range(args.rounds or (3 if n == SIZES[0] else 1)):
            for name in args.only:
                method = METHODS[name]
                if n > WHOLE.get(name, n):
                    t, gb = scaled(method, layers, regions, args.compare)
                else:
                    t, gb, found[name] = timed(lambda method=method: method(layers, regions, args.compare))
                seconds[name].append(t)
                memory[name] = max(memory[name], gb)
                print(f"{name}: {t:.1f} s, {gb:.2f} GB", file=sys.stderr, flush=True)
    best = {name: min(t) for name, t in seconds.items()}
    rows = [
        {
            "method": name,
            "cpu_seconds": round(t, 2),
            "ratio": round(t / best["braindash"], 2) if "braindash" in best else None,
            "memory_gb": round(memory[name], 2),
            "scaled_up": n > WHOLE.get(name, n),
        }
        for name, t in best.items()
    ]
    result: dict[str, Any] = {
        "benchmark": "rsa", "conditions": n, "layers": N_LAYERS, "width": WIDTH, "regions": N_REGIONS,
        "targets": N_TARGETS, "compare": args.compare, "threads": 1, "cpu": cpu_name(), "methods": rows,
    }  # fmt: skip
    if len(found) > 1 and "braindash" in found:
        result["max_difference"] = max(
            float(np.abs(found["braindash"] - other).max()) for name, other in found.items() if name != "braindash"
        )
    if args.json:
        print(json.dumps(result))
        return
    print(f"{n:,} conditions, {N_LAYERS} layers x {N_REGIONS} regions by {args.compare}, 1 thread, {result['cpu']}")
    for row in rows:
        note = "  (scaled up from one layer and one region)" if row["scaled_up"] else ""
        took = f"{row['cpu_seconds']:9.2f} s   {row['ratio'] or 0:7.1f}x   {row['memory_gb']:6.2f} GB"
        print(f"{row['method']:12s} {took}{note}")
    if "max_difference" in result:
        print(f"largest difference between similarities {result['max_difference']:.1e}")


if __name__ == "__main__":
    main()
