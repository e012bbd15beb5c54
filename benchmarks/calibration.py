"""False positives on a real resting brain: speech features that nobody heard.

    python benchmarks/calibration.py [--stimuli N] [--vertices N] [--json] [--figure FILE.png]

The run is the one that brainspace ships (LEMON data, sub-010188, 652 volumes, TR 1.4 s,
fsaverage5). Stimuli are made anew for every repetition with the rhythm of speech: phrases,
pauses, syllable bursts and slowly changing topics in 12 bands. Each is fitted on two
thirds of the run with penalties chosen by leaving stretches out, and tested on the rest.
"""

from __future__ import annotations

import argparse
import itertools
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from scipy import signal

from braindash.encoding import StoryRidgeCV
from braindash.encoding.inference import fdr, paired_test, permutation_test

TR = 1.4
EDGES = (0, 110, 220, 330, 440, 652)
BANDS = 12
RATE = 20  # Hz, of the envelopes
ALPHAS = 10.0 ** np.arange(0, 6)


def speech_rhythm(rng: np.random.Generator, n_trs: int) -> np.ndarray:
    """Return band envelopes of speech-like sound, a mean a TR: (n_trs, 12)."""
    n = int(n_trs * TR * RATE) + RATE
    speaking = np.zeros(n)
    at = 0
    while at < n:
        phrase, pause = rng.gamma(4, 0.6), rng.gamma(2, 0.25)  # seconds
        speaking[at : at + int(phrase * RATE) + 1] = 1
        at += int((phrase + pause) * RATE) + 2
    bursts = speaking[:, None] * rng.gamma(2, 1, (n, BANDS))
    envelopes = signal.lfilter([1], [1, -np.exp(-1 / 4)], bursts, axis=0)
    topics = np.repeat(rng.standard_normal((n // (20 * RATE) + 1, BANDS)), 20 * RATE, axis=0)[:n]
    bands = envelopes @ rng.standard_normal((BANDS, BANDS)) + 2 * topics
    starts = (np.arange(n_trs) * TR * RATE).astype(int)
    return np.stack([bands[s : s + int(TR * RATE)].mean(0) for s in starts])


def zscore(x: np.ndarray) -> np.ndarray:
    return (x - x.mean(0)) / x.std(0)


def delayed(x: np.ndarray) -> np.ndarray:
    """Return x at delays of 1 to 4 TRs, zeros before the start."""
    out = [np.concatenate([np.zeros((d, x.shape[1])), x[:-d]]) for d in (1, 2, 3, 4)]
    return np.concatenate(out, axis=1)


def encode_rest(run: np.ndarray, n_stimuli: int, n_permutations: int, block: int = 10) -> dict[str, np.ndarray]:
    """Encode a run with stimuli that were not played: shares of vertices that pass, one entry a stimulus.

    Parameters
    ----------
    run : (652, n_vertices)
    """
    pieces = [slice(a, b) for a, b in itertools.pairwise(EDGES)]
    Y = [zscore(run[s]) for s in pieces]
    out: dict[str, list[float]] = {}

    def predict(rng: np.random.Generator) -> np.ndarray:
        sound = speech_rhythm(rng, len(run))
        X = [delayed(zscore(sound[s])) for s in pieces]
        return StoryRidgeCV(ALPHAS, store_coef=True).fit(X[:-1], Y[:-1]).predict(X[-1])

    held = Y[-1:]
    for seed in range(n_stimuli):
        rng = np.random.default_rng(seed)
        one, two = [predict(rng)], [predict(rng)]
        settings: dict[str, Any] = {"n_permutations": n_permutations, "seed": seed}
        ours = permutation_test(held, one, block=block, **settings).p
        pair = paired_test(held, one, two, block=block, **settings).p
        rows = {
            "against zero": ours < 0.05,
            "after FDR": fdr(ours) < 0.05,
            "paired": pair < 0.05,
            "paired, after FDR": fdr(pair) < 0.05,
            "blocks, null not widened": permutation_test(held, one, block=block, correct=False, **settings).p < 0.05,
            "single TRs": permutation_test(held, one, block=1, correct=False, **settings).p < 0.05,
            "paired, single TRs": paired_test(held, one, two, block=1, correct=False, **settings).p < 0.05,
        }
        for name, passed in rows.items():
            out.setdefault(name, []).append(float(passed.mean()))
    return {name: np.asarray(rates) for name, rates in out.items()}


def resting_run(n_vertices: int) -> np.ndarray:
    """Read brainspace's run and remove drifts and confounds: (652, n_vertices) evenly spaced vertices."""
    import brainspace
    import nibabel
    from brainspace.datasets import load_confounds_preprocessing
    from nilearn.signal import clean

    folder = Path(brainspace.__file__).parent / "datasets" / "preprocessing"
    files = sorted(folder.glob("*fsa5.*.mgz"))
    run = np.concatenate([np.asarray(nibabel.load(f).dataobj).squeeze() for f in files]).T
    run = run[:, run.std(0) > 0]
    run = run[:, np.linspace(0, run.shape[1] - 1, min(n_vertices, run.shape[1])).astype(int)].astype(float)
    confounds = np.asarray(load_confounds_preprocessing())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(clean(run, confounds=confounds, detrend=True, high_pass=0.008, t_r=TR, standardize=None))


def draw(rates: dict[str, np.ndarray], path: Path) -> None:
    """Draw the share of vertices that pass under every procedure."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots(figsize=(6.4, 2.8), layout="constrained")
    names = list(rates)[::-1]
    for i, name in enumerate(names):
        mean = rates[name].mean()
        se = rates[name].std(ddof=1) / np.sqrt(len(rates[name]))
        ours = "TRs" not in name and "not widened" not in name
        ax.errorbar(100 * mean, i, xerr=196 * se, fmt="o", color="#1b6ca8" if ours else "#b0413e", capsize=3)
        ax.annotate(
            f"{100 * mean:.1f} %", (100 * mean, i), xytext=(0, 6), textcoords="offset points", ha="center", size=8
        )
    ax.axvspan(4, 6, color="0.9", zorder=0)
    ax.set_yticks(range(len(names)), names)
    ax.set_xlabel("vertices that pass at .05 (%)")
    ax.set_title("Nobody heard anything: 5 % should pass, none after FDR", size=9, loc="left")
    ax.set_xlim(-3, None)
    ax.set_ylim(-0.5, len(names) - 0.2)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    fig.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stimuli", type=int, default=40)
    parser.add_argument("--vertices", type=int, default=3000)
    parser.add_argument("--permutations", type=int, default=1000)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rates = encode_rest(resting_run(args.vertices), args.stimuli, args.permutations)
    if args.figure:
        draw(rates, args.figure)
    rows = [
        {"procedure": name, "rate": round(float(x.mean()), 4), "se": round(float(x.std(ddof=1) / len(x) ** 0.5), 4)}
        for name, x in rates.items()
    ]
    if args.json:
        print(
            json.dumps({"benchmark": "calibration", "stimuli": args.stimuli, "vertices": args.vertices, "rows": rows})
        )
        return
    print(f"{args.vertices:,} vertices x {args.stimuli} stimuli that nobody heard, alpha .05")
    for row in rows:
        print(f"{row['procedure']:26s} {100 * row['rate']:6.2f} %  (standard error {100 * row['se']:.2f})")


if __name__ == "__main__":
    main()
