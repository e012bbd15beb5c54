"""Encoding of one subject: every model and layer, penalties chosen on training stories, scored on test stories."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from braindash.config import EncodingConfig
from braindash.encoding._held_out import UNIT_ROWS, HeldOut, scoring_units
from braindash.encoding._responses import Standardised, as_features, usable_targets
from braindash.encoding.ceiling import excluded_counts, noise_ceiling, normalise, zscored
from braindash.encoding.inference import fdr
from braindash.encoding.layer_fit import Fits, FitsInMemory, LayerFit, LayerKey
from braindash.encoding.ridge import StoryRidgeCV
from braindash.errors import BraindashError

log = logging.getLogger(__name__)

# (features of each training story, test story -> features)
Split = tuple[Sequence[Any], Mapping[str, Any]]
LayerFeatures = Split | Callable[[], Split]
# progress(done, total, what was just fitted)
Progress = Callable[[int, int, str], None]

REFERENCE = "pretrained"


def encode_subject(
    model_features: Mapping[str, Mapping[int, LayerFeatures]],
    train_responses: Sequence[Any],
    test_responses: Mapping[str, Any],
    targets: pd.DataFrame,
    config: EncodingConfig,
    *,
    subject: str = "",
    repeats: np.ndarray | Sequence[np.ndarray] | None = None,
    shared_ceiling: np.ndarray | None = None,
    usable: np.ndarray | None = None,
    device: str = "auto",
    memory_gb: float = 3.0,
    unit_rows: int = UNIT_ROWS,
    fits: Fits | None = None,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Fit every layer of every model to one subject and score it on the test stories.

    Parameters
    ----------
    model_features : model -> layer -> (training features, test features), or a function that returns them
        Features ready for the regression: at TR times, z-scored and delayed per story.
        Training: one (n_trs, width) array a story. Test: story -> (n_trs, width).
        Layers that are equal between models are fitted once.
    train_responses : one (n_trs, n_targets) array or lazy source a training story
    test_responses : test story -> (n_trs, n_targets), the mean over repeats
        Both are z-scored per story here, which leaves z-scored responses as they are.
    targets : DataFrame as from ``Study.targets``
        A column ``noise_ceiling`` is used where it exists.
    config : EncodingConfig
        Penalties, the score that chooses them, and the ceiling threshold.
    repeats : (n_repeats, n_trs, n_targets), or one such array a test story, optional
        Gives the noise ceiling (Schoppe) where ``targets`` has none.
    shared_ceiling : (n_targets,), optional
        The ceiling from the other subjects (``subject_ceilings``), used where there is no other.
    usable : (n_targets,) bool, optional
        Targets to fit, as from ``Study.usable``; found from the responses if not given.
    unit_rows : int
        Rows of a stretch that intervals are made over where test stories are few.
    fits : Fits, optional
        Where fits are kept; those that are there already are taken as they are. In memory if not given.
    progress : callable, optional
        ``progress(done, total, "pretrained, layer 3")``.

    Returns
    -------
    xr.Dataset
        ``r, r2, alpha, r_norm (model, layer, target)``; ``r_story (model, layer, story, target)``;
        ``noise_ceiling (target)``; and ``yp, pp (model, layer, unit, target)``, ``yy (unit, target)``:
        sums of products of response and prediction, centred by story, from which intervals
        are made. A unit is a test story, or with fewer than 4 of them a stretch of at least
        ``unit_rows`` rows; coordinate ``unit_story``. r and r2 are over all test stories joined, each
        centred. ``p, q (model, layer, target)``: block permutation test of r > 0 and its false
        discovery rate over targets; ``p_difference, q_difference``: two-sided test of r against the
        pretrained model's at the same layer (NaN for the pretrained model and for layers that equal
        its own). All NaN where the test stories have fewer than 5 blocks.
        Excluded targets are NaN throughout; ``attrs["excluded"]`` counts them by reason.

    Raises
    ------
    BraindashError
        Rows that do not fit, features that are not finite, no usable target.
    """
    jobs = [(m, layer, f) for m, layers in model_features.items() for layer, f in layers.items()]
    if config.layers is not None:
        jobs = [job for job in jobs if job[1] in config.layers]
    if not jobs:
        raise BraindashError(
            f"No layer is left to evaluate (layers: {config.layers}).", "Choose layers that the models have."
        )
    chosen = prepare(train_responses, test_responses, targets, usable, unit_rows)
    ceiling, ceiling_from = _ceiling(config.ceiling, targets, repeats, shared_ceiling, len(chosen.usable))
    kept: Fits = FitsInMemory() if fits is None else fits
    fit_layers(jobs, chosen, config, kept, device=device, memory_gb=memory_gb, progress=progress)
    out, n_permutations, n_blocks = _assemble([(m, layer) for m, layer, _ in jobs], chosen, config, kept)

    ok, n = chosen.usable, len(chosen.usable)
    r_norm, _ = normalise(out["r"].values, ceiling, config.ceiling_threshold)
    out["r_norm"] = (("model", "layer", "target"), r_norm.astype(np.float32))
    out["noise_ceiling"] = ("target", ceiling.astype(np.float32))
    excluded = {"not finite or constant": int((~ok).sum())}
    excluded |= excluded_counts(ceiling[ok], config.ceiling_threshold)
    out.attrs |= {
        "subject": subject,
        "n_excluded": sum(excluded.values()),
        "excluded": json.dumps(excluded),
        "ceiling": ceiling_from,
        "ceiling_threshold": config.ceiling_threshold,
        "cv": "story",
        "select": config.select,
        "n_permutations": n_permutations,
        "n_blocks": n_blocks,
        "block_trs": config.block_trs,
        "fdr": config.fdr,
    }
    return out.assign_coords(
        subject=("target", np.full(n, subject, dtype=object).astype(str)),
        hemi=("target", targets["hemi"].fillna("").to_numpy(dtype=str)),
        roi=("target", targets["roi"].fillna("").to_numpy(dtype=str)),
        target_index=("target", np.arange(n)),
    )


@dataclass(frozen=True)
class Prepared:
    """One subject's responses, made ready for every layer's fit."""

    stories: list[str]  # of the test
    usable: np.ndarray  # (n_targets,) bool
    train: list[Standardised]
    test: list[Standardised]
    units: list[list[slice]]  # scoring units of every test story

    @property
    def lengths(self) -> list[int]:
        return [y.shape[0] for y in self.test]


def prepare(
    train_responses: Sequence[Any],
    test_responses: Mapping[str, Any],
    targets: pd.DataFrame,
    usable: np.ndarray | None = None,
    unit_rows: int = UNIT_ROWS,
) -> Prepared:
    """Check and standardise one subject's responses; parameters as of `encode_subject`."""
    stories = list(test_responses)
    if not stories:
        raise BraindashError("There is no test story to score on.", "Give the study's split a test story.")
    sources = [*train_responses, *test_responses.values()]
    ok = usable_targets(sources) if usable is None else np.asarray(usable, dtype=bool)
    n = len(ok)
    if len(targets) != n:
        raise BraindashError(
            f"There are {len(targets)} rows of targets and {n} columns of responses.", "Give one row a target."
        )
    if not ok.any():
        raise BraindashError(
            f"None of the {n} targets is finite and varies in every story.", "Check the responses (study check)."
        )
    columns = None if ok.all() else np.flatnonzero(ok)
    test = [Standardised(test_responses[s], columns) for s in stories]
    return Prepared(
        stories,
        ok,
        [Standardised(y, columns) for y in train_responses],
        test,
        scoring_units([y.shape[0] for y in test], unit_rows),
    )


def fit_layers(
    jobs: Sequence[tuple[str, int, LayerFeatures]],
    responses: Prepared,
    config: EncodingConfig,
    fits: Fits,
    *,
    device: str = "auto",
    memory_gb: float = 3.0,
    progress: Progress | None = None,
) -> None:
    """Fit what is not in ``fits`` yet; layers whose features are equal are fitted once."""
    for i, (model, layer, source) in enumerate(jobs):
        if (model, layer) not in fits:
            features, held = _features(source, responses.stories)
            content = _content(features + held)
            fit = fits.equal(content)
            if fit is None:
                ridge = StoryRidgeCV(
                    config.alphas, select=config.select, device=device, memory_gb=memory_gb, store_coef=False
                )
                kept = HeldOut(
                    responses.units,
                    responses.lengths,
                    int(responses.usable.sum()),
                    config.n_permutations,
                    config.block_trs,
                    config.seed,
                )
                ridge.fit(features, responses.train, test=(held, responses.test), on_block=kept.add)
                if ridge.n_at_edge_:
                    log.info("%s, layer %d: %d targets at the edge of the penalties.", model, layer, ridge.n_at_edge_)
                fit = LayerFit.of(content, ridge, kept)
            else:
                log.info("%s, layer %d: features that were fitted before.", model, layer)
            fits[model, layer] = fit
        if progress is not None:
            progress(i + 1, len(jobs), f"{model}, layer {layer}")


def _assemble(
    keys: Sequence[LayerKey], responses: Prepared, config: EncodingConfig, fits: Fits
) -> tuple[xr.Dataset, int, int]:
    """Return scores and tests of all layers, and how many permutations and blocks these had.

    Layer by layer, so that no more than two fits are in memory at a time.
    """
    ok = responses.usable
    out = _empty(keys, responses.stories, responses.units, len(ok))
    n_permutations = n_blocks = 0
    first: LayerFit | None = None  # the pretrained model's fit of this layer
    for model, layer in sorted(keys, key=lambda k: (k[1], k[0] != REFERENCE)):
        here = {"model": model, "layer": layer}
        fit = fits[model, layer]
        for name in ("r", "r2", "alpha", "p", "r_story", "yp", "pp"):
            _set(out[name], here, ok, getattr(fit, name))
        out["yy"].values[:, ok] = fit.yy
        out["q"].loc[here] = fdr(out["p"].loc[here].values, config.fdr)
        n_permutations, n_blocks = max(n_permutations, fit.n_permutations), max(n_blocks, fit.n_blocks)
        if model == REFERENCE:
            first = fit
        elif first is not None and (REFERENCE, layer) in keys and fit.content != first.content:
            _set(out["p_difference"], here, ok, fit.against(first))
            out["q_difference"].loc[here] = fdr(out["p_difference"].loc[here].values, config.fdr)
    return out, n_permutations, n_blocks


def predict_targets(
    features: LayerFeatures,
    train_responses: Sequence[Any],
    test_responses: Mapping[str, Any],
    chosen: Sequence[int],
    config: EncodingConfig,
) -> dict[str, xr.Dataset]:
    """Fit a few targets again and return their time courses, observed and predicted.

    Encoding keeps scores, not predictions; those of a few targets cost a moment.

    Parameters
    ----------
    features, train_responses, test_responses, config : as in :func:`encode_subject`
    chosen : columns of the responses

    Returns
    -------
    dict of test story -> xr.Dataset
        ``observed`` and ``predicted``, dims ``(tr, target)``, z-scored responses' units.
    """
    stories = list(test_responses)
    train, held = _features(features, stories)
    columns = np.asarray(chosen, dtype=np.intp)
    ridge = StoryRidgeCV(config.alphas, select=config.select, store_coef=True)
    ridge.fit(train, [Standardised(y, columns) for y in train_responses])
    out = {}
    for story, X in zip(stories, held, strict=True):
        observed = Standardised(test_responses[story], columns)[:, :]
        out[story] = xr.Dataset(
            {"observed": (("tr", "target"), observed), "predicted": (("tr", "target"), ridge.predict(X))},
            coords={"target": columns},
            attrs={"story": story},
        )
    return out


def _features(source: LayerFeatures, stories: list[str]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    train, test = source() if callable(source) else source
    missing = [s for s in stories if s not in test]
    if missing:
        raise BraindashError(f"There are no features of the test stories {', '.join(missing)}.", "Extract them first.")
    return as_features(train), as_features([test[s] for s in stories], "test features")


def _content(arrays: Sequence[np.ndarray]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for x in arrays:
        digest.update(f"{x.shape}{x.dtype}".encode())
        digest.update(np.ascontiguousarray(x).view(np.uint8).data)
    return digest.hexdigest()


def _ceiling(
    wanted: str, targets: pd.DataFrame, repeats: Any, shared: np.ndarray | None, n: int
) -> tuple[np.ndarray, str]:
    """Return the ceiling and where it is from: "given", "repeats", "subjects" or "none"."""
    there = {
        "given": "noise_ceiling" in targets and bool(targets["noise_ceiling"].notna().any()),
        "repeats": repeats is not None,
        "subjects": shared is not None,
        "none": True,
    }
    source = next(name for name, is_there in there.items() if is_there) if wanted == "auto" else wanted
    if not there[source]:
        lacking = {
            "given": "The targets have no column noise_ceiling.",
            "repeats": "No test story was heard more than once.",
            "subjects": "Fewer than 3 subjects share targets and test stories.",
        }[source]
        raise BraindashError(f"Noise ceilings are to be from {source!r}. {lacking}", "Set encoding.ceiling=auto.")
    if source == "given":
        return targets["noise_ceiling"].to_numpy(dtype=np.float64), source
    if source == "repeats":
        return _from_repeats(repeats), source
    return (np.asarray(shared, dtype=np.float64) if source == "subjects" else np.full(n, np.nan)), source


def _from_repeats(repeats: Any) -> np.ndarray:
    if isinstance(repeats, np.ndarray):
        return noise_ceiling(repeats)
    # Stories one after the other, each z-scored first; stories differ in how often they were repeated.
    n_repeats = min(len(r) for r in repeats)
    return noise_ceiling(np.stack([np.concatenate([zscored(r[i]) for r in repeats]) for i in range(n_repeats)]))


def _empty(keys: Sequence[LayerKey], stories: list[str], units: list[list[slice]], n: int) -> Any:
    models = list(dict.fromkeys(k[0] for k in keys))
    layers = sorted({k[1] for k in keys})
    unit_story = [s for s, u in zip(stories, units, strict=True) for _ in u]
    per_layer = (len(models), len(layers))

    def blank(*shape: int) -> np.ndarray:
        return np.full(shape, np.nan, dtype=np.float32)

    main = ("model", "layer", "target")
    return xr.Dataset(
        {
            "r": (main, blank(*per_layer, n)),
            "r2": (main, blank(*per_layer, n)),
            "alpha": (main, np.full((*per_layer, n), np.nan)),
            "p": (main, blank(*per_layer, n)),
            "q": (main, blank(*per_layer, n)),
            "p_difference": (main, blank(*per_layer, n)),
            "q_difference": (main, blank(*per_layer, n)),
            "r_story": (("model", "layer", "story", "target"), blank(*per_layer, len(stories), n)),
            "yp": (("model", "layer", "unit", "target"), blank(*per_layer, len(unit_story), n)),
            "pp": (("model", "layer", "unit", "target"), blank(*per_layer, len(unit_story), n)),
            "yy": (("unit", "target"), blank(len(unit_story), n)),
        },
        coords={"model": models, "layer": layers, "story": stories, "unit_story": ("unit", unit_story)},
    )


def _set(variable: xr.DataArray, here: dict[str, Any], ok: np.ndarray, values: np.ndarray) -> None:
    full = np.full((*values.shape[:-1], len(ok)), np.nan)
    full[..., ok] = values
    variable.loc[here] = full
