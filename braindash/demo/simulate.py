"""Simulate the demo's subjects and write their responses, atomically, into the home.

The folder ``home/studies/demo/`` holds
``stamp.json`` (what it was made from; written last), ``targets.csv``, ``index.npy``
(patch of every fs_LR-32k point), and per subject ``truth.csv`` and one
``<story>.npy`` a story, float32 ``(n_repeats, n_trs, n_targets)``.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from braindash.demo import planting, stimulus
from braindash.demo.patches import Patches, make_patches
from braindash.files import disk_errors, replace_folder, sync_tree

VERSION = 1
TR = 2.0  # seconds
TEST_REPEATS = 5  # presentations of every test story; the others are heard once
STORIES = Path(__file__).parent / "stories"
SMALL = {"tune": 4, "validation": 1, "test": 2}  # stories of the small study
SMALL_VERTICES = 60  # vertices a patch in the small study
Progress = Callable[[float, str], None]


def story_index(small: bool = False, folder: Path = STORIES) -> list[dict[str, Any]]:
    """Return the stories' entries of ``stories.json``: name, title, part, sentences, duration."""
    entries: list[dict[str, Any]] = json.loads((folder / "stories.json").read_text())["stories"]
    if not small:
        return entries
    left = dict(SMALL)
    chosen = []
    for entry in entries:
        if left[entry["part"]] > 0:
            left[entry["part"]] -= 1
            chosen.append(entry)
    return chosen


def word_vectors(folder: Path = STORIES) -> dict[str, np.ndarray]:
    """Return the meaning components of every content word: word → (8,) float64."""
    return {w: np.array(v) for w, v in json.loads((folder / "word_vectors.json").read_text()).items()}


def stimulus_features(entries: list[dict[str, Any]], folder: Path = STORIES) -> dict[str, dict[str, np.ndarray]]:
    """Return every story's features on the fine grid, standardised by the tuning stories: story → driver → array.

    Acoustic, phonetic and word-rate features become z-scores. Meaning components
    are centred and share one scale, so that the first ones count for more.
    """
    from braindash.studies.audio import read_audio
    from braindash.studies.textgrid import read_textgrid

    vectors = word_vectors(folder)
    raw: dict[str, dict[str, np.ndarray]] = {}
    for entry in entries:
        grid = read_textgrid(folder / f"{entry['name']}.TextGrid")
        n = stimulus.n_bins(entry["duration"])
        raw[entry["name"]] = {
            "acoustic": stimulus.acoustic(read_audio(folder / f"{entry['name']}.ogg"), n),
            "phonetic": stimulus.phonetic(grid["phone"], n),
            "semantic": stimulus.semantic(grid["word"], vectors, n),
            "word_rate": stimulus.word_rate(grid["word"], n),
        }
    tune = [e["name"] for e in entries if e["part"] == "tune"]
    for driver in next(iter(raw.values())):
        heard = np.concatenate([raw[s][driver] for s in tune])
        mean, sd = heard.mean(0), heard.std(0)
        scale = np.full_like(sd, sd.mean()) if driver == "semantic" else sd
        for story in raw.values():
            story[driver] = (story[driver] - mean) / scale
    return raw


def stamp(small: bool, folder: Path = STORIES) -> dict[str, Any]:
    """Return what a built study depends on: version, size, and the hash of stories and of this code."""
    code = [Path(__file__).parent / f"{m}.py" for m in ("simulate", "planting", "patches", "stimulus")]
    h = hashlib.sha256()
    for path in [*sorted(folder.iterdir()), *code]:
        if path.is_file():
            h.update(path.name.encode())
            h.update(path.read_bytes())
    return {"version": VERSION, "small": small, "made_from": h.hexdigest()[:32]}


def built(target: Path) -> Literal["whole", "small"] | None:
    """Say which study ``target`` holds, if it is complete and was made from these stories by this code."""
    try:
        found = json.loads((target / "stamp.json").read_text())
        small = bool(found["small"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if found != stamp(small):
        return None
    return "small" if small else "whole"


def build(target: Path, small: bool = False, progress: Progress | None = None) -> None:
    """Simulate every subject and put the folder in place of ``target``.

    Everything is written to a temporary sibling that is renamed at the end, so
    an interrupted build leaves nothing that could be taken for a study.

    Parameters
    ----------
    target : Path
        Folder to (re)place.
    small : bool
        Fewer stories and fewer, larger patches.
    progress : callable, optional
        Called with the share done (0 to 1) and what is being done.
    """
    tell = progress or (lambda share, what: None)
    with disk_errors(target, "the demo study, about 100 MB"):
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            tell(0.0, "reading the stories")
            entries = story_index(small)
            features = stimulus_features(entries)
            tell(0.4, "cutting the cortex into patches")
            patches = make_patches(SMALL_VERTICES) if small else make_patches()
            patches.table.to_csv(work / "targets.csv", index=False)
            np.save(work / "index.npy", patches.index)
            for k, subject in enumerate(planting.SEEDS):
                tell(0.5 + 0.5 * k / len(planting.SEEDS), f"simulating {subject}")
                _simulate_subject(work / subject, subject, entries, features, patches)
            (work / "stamp.json").write_text(json.dumps(stamp(small)))
            sync_tree(work)
            replace_folder(work, target)
            tell(1.0, "the study is ready")
        finally:
            shutil.rmtree(work, ignore_errors=True)


def _simulate_subject(
    folder: Path,
    subject: str,
    entries: list[dict[str, Any]],
    features: dict[str, dict[str, np.ndarray]],
    patches: Patches,
) -> None:
    """Write one subject's responses to every story, and the truth about them."""
    folder.mkdir()
    seed, lag = planting.SEEDS[subject], planting.HRF_DELAYS[subject]
    widths = {driver: f.shape[1] for driver, f in features[entries[0]["name"]].items()}
    planted = planting.plant(patches, widths, seed)
    rows = {
        e["name"]: {d: stimulus.to_rows(f, TR, int(e["duration"] // TR), lag) for d, f in features[e["name"]].items()}
        for e in entries
    }
    tune = [e["name"] for e in entries if e["part"] == "tune"]
    scale = {d: (np.concatenate([rows[s][d] for s in tune]) @ w).std(0) for d, w in planted.weights.items()}
    share = np.sqrt(1 - planted.ceiling**2)
    tested: list[tuple[np.ndarray, np.ndarray]] = []
    for entry in entries:
        name = entry["name"]
        signal = planting.signals(rows[name], planted, scale)
        repeats = TEST_REPEATS if entry["part"] == "test" else 1
        rng = np.random.default_rng([seed, *name.encode()])
        y = (planted.ceiling * signal + share * planting.noise((repeats, *signal.shape), rng)).astype(np.float32)
        np.save(folder / f"{name}.npy", y)
        if entry["part"] == "test":
            tested.append((_zscore(signal), _zscore(y.mean(0))))
    realised = (np.concatenate([s for s, _ in tested]) * np.concatenate([y for _, y in tested])).mean(0)
    c2 = planted.ceiling**2
    nominal = np.sqrt(c2 / (c2 + (1 - c2) / TEST_REPEATS))
    planting.truth_table(planted, realised, nominal).to_csv(folder / "truth.csv", index=False)


def _zscore(x: np.ndarray) -> np.ndarray:
    """Return columns with mean 0 and variance 1; a constant column (no signal) stays 0."""
    sd = x.std(0)
    return np.asarray((x - x.mean(0)) / np.where(sd > 0, sd, 1.0))


def read_truth(target: Path, subject: str) -> pd.DataFrame:
    """Return one row a target: ``target, driver, ceiling_single, ceiling_nominal, ceiling_realised``."""
    return pd.read_csv(target / subject / "truth.csv", keep_default_na=False)
