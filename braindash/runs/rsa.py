"""How alike the geometry of a model's layers is to that of brain regions, before and after tuning.

For the test stories of a run, with every model of its evaluation. Conditions are TRs, stretches of
time, or words; written to ``rsa.json`` in the run's folder (docs/records.md).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from braindash.errors import BraindashError, closest
from braindash.runs.documents import read_document, write_document
from braindash.runs.evaluate import Progress, choose_regions, find_candidates
from braindash.runs.leaks import refuse_leaks
from braindash.runs.rsa_conditions import UNITS, Conditions, choose_conditions, mel_patterns, response_patterns

if TYPE_CHECKING:
    from braindash.rsa import Patterns
    from braindash.runs.record import Run
    from braindash.studies.base import Study

log = logging.getLogger(__name__)

RSA = "rsa.json"
FEWEST_TARGETS = 10  # of a region: a pattern over fewer says little
SHARE_OF_FEATURES = 0.7  # of the time; measured on the demo

Row = dict[str, Any]


@dataclass(frozen=True)
class _Layer:
    model: str
    layer: int
    patterns: Patterns


@dataclass(frozen=True)
class _Subject:
    """What one subject's regions gave; arrays are (n_layers of all models, n_regions), bootstrap samples first."""

    regions: dict[str, int]  # targets of each
    too_small: list[str]  # regions with fewer than 10 usable targets
    vectors: np.ndarray  # (n_regions, n_pairs)
    similarity: np.ndarray
    partial: np.ndarray
    p: np.ndarray
    boots: np.ndarray


def rsa_run(
    run: Run,
    *,
    unit: str = "segment",
    seconds: float = 6.0,
    delay: float | None = None,
    metric: str = "correlation",
    compare: str = "spearman",
    exclude: int | None = None,
    block: int | None = None,
    layers: Sequence[int] | None = None,
    rois: Sequence[str] | None = None,
    subjects: Sequence[str] | None = None,
    n_permutations: int = 1000,
    n_boot: int = 500,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Compare the RDMs of all layers of all models with those of brain regions, and write ``rsa.json``.

    Parameters
    ----------
    run : Run
        Tuned; its finished matching controls take part.
    unit : "segment", "tr" or "word"
        Conditions: stretches of ``seconds``, TRs, or words (each the mean of its occurrences).
    seconds : float
        Length of a segment.
    delay : float, optional
        Seconds from sound to response; 5 for BOLD and 0.15 for electrodes by default.
    metric : "correlation", "cosine" or "euclidean"
    compare : "spearman", "correlation" or "cosine"
    exclude, block : int, optional
        Neighbours that are not compared, and that move together in tests; in conditions. By default
        about 8 and 20 s, for words 0 and 1.
    layers, rois, subjects : optional
        All layers, the named groups of regions, and the run's subjects by default.
    n_permutations, n_boot, seed : int
    progress : callable, optional
        ``progress(fraction, what)``.

    Returns
    -------
    dict
        As written (docs/records.md).

    Raises
    ------
    BraindashError
        No tuned model, an unknown unit, layer, region or subject, or too few conditions.
    LeakageError
        Where a model has seen a story that the study now tests on.
    """
    from braindash.encoding.regions import region_title
    from braindash.speech import open_model
    from braindash.studies import open_study

    began = time.monotonic()
    tell = progress or (lambda fraction, what: None)
    if unit not in UNITS:
        raise BraindashError(f"There is no unit {unit!r}.", closest(unit, UNITS))
    study = open_study(run.config.study, run.home)
    chosen = [study.check_subject(s) for s in subjects or run.config.subjects or study.subjects]
    candidates = find_candidates(run, run.home)
    refuse_leaks(study, [c.ref for c in candidates], run.home)
    after = (5.0 if study.signal == "bold" else 0.15) if delay is None else delay
    conditions = choose_conditions(study, chosen, unit, seconds, after)
    spacing = study.tr if unit == "tr" else seconds
    near = (0 if unit == "word" else max(1, round(8 / spacing))) if exclude is None else exclude
    together = (1 if unit == "word" else max(1, round(20 / spacing))) if block is None else block

    found: list[_Layer] = []
    flat: dict[str, np.ndarray] = {}
    for i, candidate in enumerate(candidates):

        def step(share: float, what: str, i: int = i, name: str = candidate.name) -> None:
            title = name.replace("_", " ")
            tell(SHARE_OF_FEATURES * (i + share) / len(candidates), f"{title[0].upper()}{title[1:]}: {what}")

        step(0.0, "loading")
        model = open_model(candidate.ref, run.home)
        wanted = model.check_layers(layers)
        values = _pooled(study, model, conditions, wanted, step)
        for k, v in zip(wanted, values, strict=True):
            found.append(_Layer(candidate.name, k, _patterns(v, metric)))
        flat[candidate.name] = values
    acoustic = _patterns(mel_patterns(study, conditions), metric)

    scored: dict[str, _Subject] = {}
    for i, subject in enumerate(chosen):
        tell(SHARE_OF_FEATURES + (0.97 - SHARE_OF_FEATURES) * i / len(chosen), f"Regions of {subject}")
        scored[subject] = _compare(
            study, subject, conditions, [x.patterns for x in found], acoustic, rois, metric=metric, method=compare,
            exclude=near, block=together, n_permutations=n_permutations, n_boot=n_boot, seed=seed,
        )  # fmt: skip
    rows, differences = rsa_rows(found_names(found), scored, compare, conditions, together)
    document = {
        "braindash": 1,
        "run": run.id,
        "study": study.id,
        "simulated": study.simulated,
        "unit": unit,
        "metric": metric,
        "compare": compare,
        "models": [c.name for c in candidates],
        "layers": sorted({x.layer for x in found}),
        "subjects": chosen,
        "stories": conditions.stories,
        "n_conditions": len(conditions.labels),
        "conditions": conditions.labels,
        "left_out": conditions.left_out,
        "region_titles": {r: region_title(r) for r in dict.fromkeys(row["roi"] for row in rows)},
        "settings": {
            "seconds": seconds if unit == "segment" else None,
            "delay": after,
            "exclude": near,
            "block": together,
            "n_permutations": n_permutations,
            "n_boot": n_boot,
            "seed": seed,
        },
        "rows": rows,
        "differences": differences,
        "cka": _cka(flat, found),
        "caveats": [*study.caveats, *_caveats(study, conditions, scored)],
        "seconds": round(time.monotonic() - began, 1),
        "written": time.time(),
    }
    write_document(run.path / RSA, document)
    tell(1.0, "Compared")
    return document


def read_rsa(folder: Path) -> dict[str, Any] | None:
    """Return what `rsa_run` wrote into a run's folder, or None; missing numbers come back as NaN.

    Raises
    ------
    BraindashError
        Where the file is there but cannot be read.
    """
    return read_document(folder / RSA, "RSA", "rsa", ("rows", "differences"))


def found_names(found: Sequence[_Layer]) -> list[tuple[str, int]]:
    """Return (model, layer) of every compared layer, in order."""
    return [(x.model, x.layer) for x in found]


def _pooled(
    study: Study, model: Any, conditions: Conditions, layers: list[int], step: Callable[[float, str], None]
) -> np.ndarray:
    """Return every layer's pattern of every condition: (n_layers, n_conditions, width)."""
    from braindash.features.spans import pool_spans

    total = np.zeros((len(layers), len(conditions.labels), model.width))
    for i, story in enumerate(conditions.stories):
        own = conditions.of_story(story)
        step(i / len(conditions.stories), f"features of {story}")
        states, _ = pool_spans(model, study.audio(story), conditions.spans[own], layers)
        for k, values in enumerate(states):
            np.add.at(total[k], conditions.condition[own], values)
    return np.asarray(total / conditions.counts()[:, None])


def _patterns(values: np.ndarray, metric: str) -> Patterns:
    """Standardise every channel over conditions, so that a few large ones do not decide, and prepare."""
    from braindash.rsa import prepare

    spread = values.std(axis=0)
    kept = spread > 1e-8 * max(float(spread.max()), 1e-300)
    return prepare((values[:, kept] - values[:, kept].mean(axis=0)) / spread[kept], metric)


def _compare(
    study: Study,
    subject: str,
    conditions: Conditions,
    layers: list[Patterns],
    acoustic: Patterns,
    rois: Sequence[str] | None,
    *,
    metric: str,
    method: str,
    exclude: int,
    block: int,
    n_permutations: int,
    n_boot: int,
    seed: int,
) -> _Subject:
    from braindash import rsa
    from braindash.rsa.similarity import vectors

    values, usable = response_patterns(study, subject, conditions)
    masks, too_small = _regions(study, subject, usable, rois)
    regions = [_patterns(values[:, mask], metric) for mask in masks.values()]
    groups = conditions.groups
    every = rsa.correlations([*layers, *regions, acoustic], method, exclude=exclude, groups=groups)
    n = len(layers)
    partial = np.array(
        [
            [rsa.partial_correlation(every, i, n + j, [len(every) - 1]) for j in range(len(regions))]
            for i in range(n)
        ]
    )  # fmt: skip
    orders = rsa.block_permutations(len(conditions.labels), n_permutations, block=block, groups=groups, seed=seed)
    _, p = rsa.mantel(layers, regions, orders, method, exclude=exclude, groups=groups)
    boots = rsa.condition_bootstrap(
        layers, regions, method, n_boot=n_boot, block=block, groups=groups, exclude=exclude, seed=seed
    )
    return _Subject(
        {r: int(m.sum()) for r, m in masks.items()},
        too_small,
        vectors(regions, exclude, groups),
        every[:n, n:-1],
        partial,
        p,
        boots,
    )


def _regions(
    study: Study, subject: str, usable: np.ndarray, rois: Sequence[str] | None
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return the regions with enough usable targets, of the named groups or those asked for, and the others' names."""
    from braindash.encoding.regions import region_groups, region_mask

    targets = study.targets(subject)
    if rois:
        masks = {r: region_mask(targets, r) for r in rois}
    else:
        every = choose_regions(targets)
        named = {r: m for r, m in every.items() if r in region_groups()}
        masks = every if set(named) <= {"cortex", "left", "right"} else named
    kept = {r: m & usable for r, m in masks.items() if (m & usable).sum() >= FEWEST_TARGETS}
    if not kept:
        raise BraindashError(
            f"No region of {subject!r} has {FEWEST_TARGETS} usable targets.", "Choose larger regions, or cortex."
        )
    return kept, [r for r in masks if r not in kept]


def rsa_rows(
    layers: Sequence[tuple[str, int]],
    scored: Mapping[str, _Subject],
    method: str,
    conditions: Conditions,
    block: int,
) -> tuple[list[Row], list[Row]]:
    """Return the similarity of every model, layer, region and subject, and its change from the pretrained model."""
    from scipy import stats
    from statsmodels.stats.multitest import multipletests

    n_units = max(2, len(conditions.labels) // block)
    t = float(stats.t.ppf(0.975, n_units - 1))
    rows: list[Row] = []
    changes: list[Row] = []
    ceilings = _ceilings(scored, method)
    people: dict[str, list[str]] = {s: [s] for s in scored}
    if len(scored) > 1:
        people["all"] = list(scored)
    first = {layer: i for i, (model, layer) in reversed(list(enumerate(layers))) if model == layers[0][0]}
    for who, members in people.items():
        for roi in dict.fromkeys(r for m in members for r in scored[m].regions):
            having = [m for m in members if roi in scored[m].regions]
            at = {m: list(scored[m].regions).index(roi) for m in having}
            low, high = ceilings.get(roi, (np.nan, np.nan))
            for i, (model, layer) in enumerate(layers):

                def mean(name: str, i: int = i, at: dict[str, int] = at, having: list[str] = having) -> float:
                    return float(np.mean([getattr(scored[m], name)[i, at[m]] for m in having]))

                boots = np.mean([scored[m].boots[:, i, at[m]] for m in having], axis=0)
                base = {
                    "model": model,
                    "subject": who,
                    "roi": roi,
                    "layer": layer,
                    "n_targets": sum(scored[m].regions[roi] for m in having),
                    "n_conditions": len(conditions.labels),
                }
                similarity, half = mean("similarity"), t * float(boots.std(ddof=1))
                rows.append(
                    {
                        **base,
                        "similarity": similarity,
                        "ci_low": max(-1.0, similarity - half),
                        "ci_high": min(1.0, similarity + half),
                        "partial": mean("partial"),
                        "ceiling_low": low,
                        "ceiling_high": high,
                        "p": mean("p") if len(having) == 1 else np.nan,
                    }
                )
                if model == layers[0][0]:
                    continue
                ref = first[layer]
                before = np.mean([scored[m].boots[:, ref, at[m]] for m in having], axis=0)
                delta = float(
                    np.mean([scored[m].similarity[i, at[m]] - scored[m].similarity[ref, at[m]] for m in having])
                )
                error = float((boots - before).std(ddof=1))
                p = float(2 * stats.t.sf(abs(delta) / error, n_units - 1)) if error > 0 else np.nan
                changes.append(
                    {**base, "delta": delta, "ci_low": delta - t * error, "ci_high": delta + t * error, "p": p}
                )
    for group in (rows, changes):
        for key in {(r["model"], r["subject"]) for r in group}:
            own = [r for r in group if (r["model"], r["subject"]) == key]
            finite = [r for r in own if np.isfinite(r["p"])]
            q = multipletests([r["p"] for r in finite], method="fdr_bh")[1] if finite else []
            for r in own:
                r["q"] = np.nan
            for r, value in zip(finite, q, strict=True):
                r["q"] = float(value)
    return rows, changes


def _ceilings(scored: Mapping[str, _Subject], method: str) -> dict[str, tuple[float, float]]:
    """Return the noise ceiling of every region that two subjects or more have."""
    from braindash.rsa import noise_ceiling

    out = {}
    for roi in dict.fromkeys(r for s in scored.values() for r in s.regions):
        own = [s.vectors[list(s.regions).index(roi)] for s in scored.values() if roi in s.regions]
        if len(own) > 1:
            out[roi] = noise_ceiling(np.stack(own), method)
    return out


def _cka(flat: Mapping[str, np.ndarray], found: Sequence[_Layer]) -> dict[str, Any]:
    """Return debiased CKA of every layer of every model with every other."""
    from braindash.rsa import cka_matrix

    stack = [layer for values in flat.values() for layer in values]
    matrix = cka_matrix(stack, stack)
    return {
        "model": [x.model for x in found],
        "layer": [x.layer for x in found],
        "matrix": [[None if not np.isfinite(v) else round(float(v), 5) for v in row] for row in matrix],
    }


def _caveats(study: Study, conditions: Conditions, scored: Mapping[str, _Subject]) -> list[str]:
    said = ["Every channel (unit of a layer, target of a region) is standardised over conditions before RDMs are made."]
    small = list(dict.fromkeys(r for s in scored.values() for r in s.too_small))
    if small:
        said.append(f"Left out, with fewer than {FEWEST_TARGETS} usable targets in a subject: {', '.join(small)}.")
    if len(scored) < 2:
        said.append("A noise ceiling needs two subjects who heard the same; there is one.")
    if conditions.left_out:
        said.append(f"{conditions.left_out} of {conditions.n_all} occurrences have no response in the recording.")
    if study.signal == "bold" and conditions.unit == "word":
        said.append("BOLD is slow: the response to a word holds much of the words around it.")
    return said
