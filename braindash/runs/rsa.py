"""How alike the geometry of a model's layers is to that of brain regions, before and after tuning.

For the test stories of a run, with every model of its evaluation. Conditions are TRs, stretches of
time, or words; written to ``rsa.json`` and ``rsa.nc`` in the run's folder (docs/records.md).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from braindash.errors import BraindashError, closest
from braindash.runs import shapes
from braindash.runs.documents import read_document, write_document
from braindash.runs.evaluate import Progress, find_candidates
from braindash.runs.leaks import refuse_leaks
from braindash.runs.own_regions import own_regions
from braindash.runs.rsa_conditions import UNITS, Conditions, choose_conditions, mel_patterns
from braindash.runs.rsa_display import plane, read_rdms, write_rdms
from braindash.runs.rsa_regions import Regions, Settings, read_regions, refuse_untestable, score_regions
from braindash.runs.rsa_rows import Scored, ceilings_of, layer_rows, rsa_caveats, space_rows, subject_rows
from braindash.runs.rsa_spaces import TITLES, choose_spaces, standardised

if TYPE_CHECKING:
    from braindash.runs.record import Run
    from braindash.studies.base import Study

__all__ = ["RSA", "read_rdms", "read_rsa", "rsa_run"]

RSA = "rsa.json"
SHARE_OF_FEATURES, SHARE_OF_REGIONS = 0.75, 0.1  # of the time; measured on the demo


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
    vectors: Path | None = None,
    n_permutations: int = 1000,
    n_boot: int = 500,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Compare the RDMs of all layers of all models with those of brain regions, and write ``rsa.json`` and ``rsa.nc``.

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
    metric : "correlation", "cosine", "euclidean" or "crossnobis"
        "crossnobis" takes the test stories that every subject heard twice or more; layers and feature
        spaces, which have no noise, then have squared Euclidean distances: what crossnobis estimates.
    compare : one of `braindash.rsa.METHODS`
        How two RDMs are compared.
    exclude, block : int, optional
        Neighbours that are not compared, and that move together in tests; in conditions. By default
        about 8 and 20 s, for words 0 and 1.
    layers, rois, subjects : optional
        All layers, the named groups of regions, and the run's subjects by default.
    vectors : Path, optional
        Static word vectors for the feature space "meaning"; those of the study by default.
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
        No tuned model, an unknown unit, metric, comparison, layer, region or subject, no repeats for
        crossnobis, too few conditions, or too many for tests by "kendall".
    LeakageError
        Where a model has seen a story that the study now tests on.
    """
    from braindash.rsa import METHODS, METRICS, correlations, prepare
    from braindash.studies import open_study

    began = time.monotonic()
    tell = progress or (lambda fraction, what: None)
    for value, known, what in (
        (unit, UNITS, "unit"),
        (metric, (*METRICS, "crossnobis"), "dissimilarity"),
        (compare, METHODS, "comparison"),
    ):
        if value not in known:
            raise BraindashError(f"There is no {what} {value!r}.", closest(value, known))
    study = open_study(run.config.study, run.home)
    chosen = [study.check_subject(s) for s in subjects or run.config.subjects or study.subjects]
    candidates = find_candidates(run, run.home)
    refuse_leaks(study, [c.ref for c in candidates], run.home)
    after = (5.0 if study.signal == "bold" else 0.15) if delay is None else delay
    conditions = choose_conditions(study, chosen, unit, seconds, after, repeated=metric == "crossnobis")
    spacing = study.tr if unit == "tr" else seconds
    tests = Settings(
        compare,
        (0 if unit == "word" else max(1, round(8 / spacing))) if exclude is None else exclude,
        (1 if unit == "word" else max(1, round(20 / spacing))) if block is None else block,
        conditions.groups,
        n_permutations,
        n_boot,
        seed,
    )
    n_conditions = len(conditions.labels)
    refuse_untestable(n_conditions, tests)

    own = own_regions(run.home, (r for s in chosen for r in study.targets(s)["roi"].dropna().unique()))
    regions: dict[str, Regions] = {}
    for i, subject in enumerate(chosen):
        tell(SHARE_OF_REGIONS * i / len(chosen), f"Responses of {subject}")
        regions[subject] = read_regions(study, subject, conditions, rois, metric, own.groups)
    noiseless = "euclidean" if metric == "crossnobis" else metric
    states = _all_states(study, run, candidates, layers, conditions, tell)
    layer_rdms = {key: prepare(standardised(v), noiseless) for key, v in states.items()}
    spaces = choose_spaces(study, conditions, mel_patterns(study, conditions), noiseless, vectors)
    items = [*layer_rdms.values(), *spaces.patterns.values()]
    region_rdms = {(s, r): p for s, found in regions.items() for r, p in found.patterns.items()}
    done = SHARE_OF_REGIONS + SHARE_OF_FEATURES
    tell(done, "Similarities")
    every = correlations([*items, *region_rdms.values()], compare, exclude=tests.exclude, groups=conditions.groups)
    scored: dict[str, Scored] = {}
    names = list(region_rdms)
    for i, subject in enumerate(chosen):
        tell(done + (0.98 - done) * i / len(chosen), f"Tests and intervals of {subject}")
        columns = [len(items) + names.index((subject, r)) for r in regions[subject].patterns]
        scored[subject] = score_regions(
            regions[subject], items, len(layer_rdms), list(spaces.patterns), every, columns, tests
        )
    keys = list(layer_rdms)
    rows, differences = layer_rows(
        keys, scored, ceilings_of(scored, compare, tests.exclude, conditions.groups), n_conditions, tests.block
    )
    group, note = subject_rows(rows, differences)
    n = len(keys)
    shown = [*range(n), *range(len(items), len(every))]
    mds, stress = plane(every[np.ix_(shown, shown)], keys, names)
    written = time.time()
    n_shown = write_rdms(
        run.path, layer_rdms, region_rdms, conditions,
        {"run": run.id, "study": study.id, "unit": unit, "metric": metric, "written": written},
    )  # fmt: skip
    document = {
        "braindash": 1,
        "run": run.id,
        "study": study.id,
        "simulated": study.simulated,
        "unit": unit,
        "metric": metric,
        "compare": compare,
        "models": [c.name for c in candidates],
        "layers": sorted({k for _, k in keys}),
        "subjects": chosen,
        "stories": conditions.stories,
        "n_conditions": n_conditions,
        "conditions": conditions.labels,
        "n_shown": n_shown,
        "left_out": conditions.left_out,
        "region_titles": {r: own.title(r) for r in dict.fromkeys(row["roi"] for row in rows)},
        "space_titles": {s: TITLES[s] for s in spaces.patterns},
        "spaces_left_out": spaces.left_out,
        "settings": {
            "seconds": seconds if unit == "segment" else None,
            "delay": after,
            "exclude": tests.exclude,
            "block": tests.block,
            "n_permutations": n_permutations,
            "n_boot": n_boot,
            "seed": seed,
        },
        "regions": own.used(row["roi"] for row in rows),
        "rows": rows,
        "differences": differences,
        "spaces": space_rows(spaces.patterns, n, scored, n_conditions, tests.block),
        "layer_spaces": [
            {"model": model, "layer": k, "space": space, "similarity": float(every[i, n + j])}
            for i, (model, k) in enumerate(keys)
            for j, space in enumerate(spaces.patterns)
        ],
        "group": group,
        "group_note": note,
        "cka": _cka(states),
        "mds": mds,
        "mds_stress": stress,
        "caveats": [*study.caveats, *rsa_caveats(study, conditions, scored, spaces, metric, note)],
        "seconds": round(time.monotonic() - began, 1),
        "written": written,
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
    return read_document(folder / RSA, "RSA", "rsa", ("rows", "differences"), shapes.RSA)


def _all_states(
    study: Study,
    run: Run,
    candidates: Sequence[Any],
    layers: Sequence[int] | None,
    conditions: Conditions,
    tell: Callable[[float, str], None],
) -> dict[tuple[str, int], np.ndarray]:
    """Return every layer's mean state in every condition: (model, layer) to (n_conditions, width)."""
    from braindash.speech import open_model

    out: dict[tuple[str, int], np.ndarray] = {}
    for i, candidate in enumerate(candidates):

        def step(share: float, what: str, i: int = i, name: str = candidate.name) -> None:
            title = name.replace("_", " ")
            done = SHARE_OF_REGIONS + SHARE_OF_FEATURES * (i + share) / len(candidates)
            tell(done, f"{title[0].upper()}{title[1:]}: {what}")

        step(0.0, "loading")
        model = open_model(candidate.ref, run.home)
        wanted = model.check_layers(layers)
        for k, v in zip(wanted, _pooled(study, model, conditions, wanted, step), strict=True):
            out[candidate.name, k] = v
    return out


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


def _cka(states: Mapping[tuple[str, int], np.ndarray]) -> dict[str, Any]:
    """Return debiased CKA of every layer of every model with every other."""
    from braindash.rsa import cka_matrix

    stack = list(states.values())
    matrix = cka_matrix(stack, stack)
    return {
        "model": [model for model, _ in states],
        "layer": [layer for _, layer in states],
        "matrix": [[None if not np.isfinite(v) else round(float(v), 5) for v in row] for row in matrix],
    }
