"""Is planted truth recovered? Ceilings, layers, feature spaces, and the coverage of every interval.

    python benchmarks/recovery.py [--simulations N] [--json]

Simulated subjects whose truth is known: responses are a haemodynamic mixture of one
feature space for each region, with AR(1) noise at a planted ceiling. Layer k of the
"model" mixes an early and a late space in a proportion that changes with k.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import signal

from braindash.comparing.bootstrap import Estimate, Moments, bootstrap_region_means
from braindash.config import EncodingConfig
from braindash.encoding.ceiling import intersubject_ceiling, noise_ceiling
from braindash.encoding.encode import encode_subject
from braindash.encoding.inference import correlation_interval, paired_test, permutation_test
from braindash.encoding.partition import partition
from braindash.encoding.scoring import correlation

RHO = 0.4  # of the noise
Row = dict[str, object]


def ar1(rng: np.random.Generator, shape: tuple[int, ...], rho: float = RHO) -> np.ndarray:
    """Return unit-variance AR(1) series along the first axis."""
    white = rng.standard_normal((shape[0] + 50, *shape[1:]))
    return signal.lfilter([np.sqrt(1 - rho**2)], [1, -rho], white, axis=0)[50:]


def zscore(x: np.ndarray) -> np.ndarray:
    return (x - x.mean(0)) / x.std(0)


def ceilings(n: int, rng: np.random.Generator) -> list[Row]:
    truth = np.tile(np.linspace(0.2, 0.9, 8), 50)
    rows: list[Row] = []
    for repeats in (2, 5, 10):
        errors, reached = [], []
        for _ in range(n):
            clean = ar1(rng, (291, len(truth)))
            noise = np.sqrt((1 / truth**2 - 1) * repeats)
            measured = np.stack([clean + noise * ar1(rng, clean.shape) for _ in range(repeats)])
            real = correlation(measured.mean(0), clean)
            errors.append(noise_ceiling(measured) - real)
            reached.append(np.isfinite(errors[-1]))
        e = np.concatenate(errors)
        high = np.tile(truth >= 0.4, n)
        rows.append({
            "what": f"noise ceiling, {repeats} repeats of 291 TRs (estimate - realised, ceilings >= .4)",
            "bias": float(np.nanmean(e[high])), "error": float(np.nanstd(e[high])),
            "undefined": float(1 - np.mean(reached)),
        })  # fmt: skip
    weights = np.linspace(0.3, 0.8, 8)
    found = []
    for _ in range(n):
        shared = ar1(rng, (291, 60))
        found.append(intersubject_ceiling([w * shared + np.sqrt(1 - w**2) * ar1(rng, shared.shape) for w in weights]))
    e = np.nanmean(np.stack(found), axis=(0, 2)) - weights
    rows.append({
        "what": "ceiling from 7 other subjects, mean over targets", "bias": float(e.mean()), "error": float(e.std()),
        "undefined": float(np.isnan(np.stack(found)).mean()),
    })  # fmt: skip
    return rows


def choices(n: int, rng: np.random.Generator) -> list[Row]:
    """Layer and feature space that predict a region best, against the planted ones."""
    right_layer, right_space, total = 0, 0, 0
    lengths, held = [150] * 6, [150, 150]
    rows_all = sum(lengths + held)
    edges = np.cumsum(lengths + held)[:-1]
    for _ in range(n):
        early, late = ar1(rng, (rows_all, 6), 0.6), ar1(rng, (rows_all, 6), 0.6)
        mix = np.linspace(0, 1, 5)
        layers = [
            np.c_[np.sqrt(1 - m) * early, np.sqrt(m) * late] + 0.7 * rng.standard_normal((rows_all, 12)) for m in mix
        ]
        source = [early, late]
        planted = rng.integers(0, 2, 2)
        Y = np.concatenate(
            [zscore(source[k] @ rng.standard_normal((6, 40))) + 1.5 * ar1(rng, (rows_all, 40)) for k in planted], axis=1
        )
        targets = pd.DataFrame({"name": "t", "hemi": "", "roi": np.repeat(["r0", "r1"], 40)})

        def cut(x: np.ndarray) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
            pieces = [zscore(p) for p in np.split(x, edges)]
            return pieces[:6], {"a": pieces[6], "b": pieces[7]}

        train, test = cut(Y)
        ds = encode_subject(
            {"pretrained": {k: cut(x) for k, x in enumerate(layers)}}, train, test, targets,
            EncodingConfig(n_permutations=0, alphas=(1, 10, 100, 1000)),
        )  # fmt: skip
        best = ds["r"].sel(model="pretrained").groupby("roi").mean().argmax("layer").values
        right_layer += int(((best >= 2) == (planted == 1)).sum())
        spaces = {name: (cut(x)[0], list(cut(x)[1].values())) for name, x in (("early", early), ("late", late))}
        parts = partition(spaces, train, list(test.values()), n_iter=2, n_folds=3, alphas=[1, 10, 100, 1000])
        unique = parts["unique"].values.reshape(2, 2, 40).mean(-1)
        right_space += int((unique.argmax(0) == planted).sum())
        total += 2
    return [
        {"what": "best layer on the planted side of the middle", "right": right_layer / total},
        {"what": "feature space with the largest unique part is the planted one", "right": right_space / total},
    ]


def moments(observed: list[np.ndarray], predicted: list[np.ndarray]) -> Moments:
    """Return the sums of products of every story, centred."""
    y, p = ([x - x.mean(0) for x in side] for side in (observed, predicted))
    return Moments(
        *(np.stack([(a * b).sum(0) for a, b in zip(u, v, strict=True)]) for u, v in ((y, p), (y, y), (p, p)))
    )


def intervals(n: int, rng: np.random.Generator) -> list[Row]:
    """Coverage of 95 % intervals, and of tests at .05 where the null hypothesis holds."""
    truth = 1 / np.sqrt(2 * 1.5)
    # A region's targets follow a few signals with gains of their own, and share half of their noise.
    gains = np.linspace(0.5, 1.5, 2001)
    region_truth = float(np.mean(gains / np.sqrt((gains**2 + 1) * (gains**2 + 0.5)) * gains))
    covered, rejected, paired = [], [], []
    region: list[bool] = []
    gain: list[bool] = []
    for _ in range(n):
        stories = []
        for length in (140, 150, 145, 155, 150, 140):
            shared = ar1(rng, (length, 60), 0.6)
            y = shared + ar1(rng, shared.shape)
            one, two = (shared + np.sqrt(0.5) * ar1(rng, shared.shape) for _ in range(2))
            stories.append((y, one, two, ar1(rng, shared.shape, 0.6)))
        y, one, two, nothing = ([s[i] for s in stories] for i in range(4))
        found = correlation_interval(y, one, n_boot=500)
        covered.append(((found.low < truth) & (truth < found.high)).mean())
        rejected.append((permutation_test(y, nothing, n_permutations=400).p < 0.05).mean())
        paired.append((paired_test(y, one, two, n_permutations=400).p < 0.05).mean())

        strength, mixing = rng.uniform(0.5, 1.5, 60), rng.standard_normal((4, 60))
        mixing /= np.linalg.norm(mixing, axis=0)
        sums: dict[str, list[np.ndarray]] = {"one": [], "two": []}
        observed = []
        for length in (140, 150, 145, 155, 150, 140):
            clean = strength * (ar1(rng, (length, 4), 0.6) @ mixing)
            noise = [np.sqrt(0.5) * (ar1(rng, (length, 1)) + ar1(rng, (length, 60))) for _ in range(3)]
            observed.append(clean + noise[0])
            for name, extra in (("one", noise[1]), ("two", noise[2])):
                sums[name].append(clean + np.sqrt(0.5) * extra)
        samples = bootstrap_region_means(
            {name: moments(observed, p) for name, p in sums.items()}, {"all": np.ones(60, dtype=bool)}, None, 300, 0
        )
        r = samples["one"]["all"]
        estimate = Estimate.of(float(r[0]), r[1:], len(stories))
        region.append(estimate.low < region_truth < estimate.high)
        d = r - samples["two"]["all"]
        difference = Estimate.of(float(d[0]), d[1:], len(stories))
        gain.append(difference.low < 0 < difference.high)
    return [
        {"what": "95 % interval of r of a target (block bootstrap)", "coverage": float(np.mean(covered))},
        {"what": "95 % interval of a region's mean r, 6 stories", "coverage": float(np.mean(region))},
        {"what": "95 % interval of a region's difference of models, 6 stories", "coverage": float(np.mean(gain))},
        {"what": "passes at .05, r against zero, nothing there", "rate": float(np.mean(rejected))},
        {"what": "passes at .05, difference of equal models", "rate": float(np.mean(paired))},
    ]


PARTS: dict[str, Callable[[int, np.random.Generator], list[Row]]] = {
    "ceilings": ceilings,
    "choices": choices,
    "intervals": intervals,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=300, help="for intervals; ceilings and choices take a tenth")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows: list[Row] = []
    for name, part in PARTS.items():
        n = args.simulations if name == "intervals" else max(5, args.simulations // 10)
        rows += [{"part": name, "simulations": n} | row for row in part(n, np.random.default_rng(1))]
    if args.json:
        print(json.dumps({"benchmark": "recovery", "rows": rows}))
        return
    for row in rows:
        numbers = {k: v for k, v in row.items() if isinstance(v, float)}
        print(f"{row['what']!s:84s} " + "  ".join(f"{k} {v:.3f}" for k, v in numbers.items()))


if __name__ == "__main__":
    main()
