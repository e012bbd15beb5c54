"""What the model's layer explains beyond sound, articulation, word rate and meaning; and what it owes to them.

Two answers for one layer of the pretrained, the tuned and the control models, on the test
stories: the variance that each feature space explains alone and that they share (banded
ridge), and the fall in r when low-level features are removed from the layer (Moussa et al.,
ICLR 2025). Written to ``partition.json`` in the run's folder, and of single targets to ``partition.nc``
(docs/records.md).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from braindash.config import EncodingConfig
from braindash.errors import BraindashError
from braindash.runs.arrays import write_arrays
from braindash.runs.documents import write_document
from braindash.runs.evaluate import Progress, choose_regions, find_candidates
from braindash.runs.leaks import refuse_leaks
from braindash.runs.own_regions import own_regions
from braindash.runs.partition_document import PARTITION
from braindash.runs.partition_inputs import MODEL, Reader, Split, Vectors, choose_spaces, group_subjects
from braindash.runs.partition_rows import SubjectFits, partition_caveats, partition_rows
from braindash.runs.partition_targets import PARTITION_TARGETS, target_parts

if TYPE_CHECKING:
    from braindash.comparing.bootstrap import Scored
    from braindash.runs.record import Run
    from braindash.studies.base import Study

log = logging.getLogger(__name__)

LOW_LEVEL = ("spectral", "articulatory", "phones", "word_rate")  # what is removed; meaning is not low-level
MAX_TARGETS = 60  # of a region, evenly spaced: fitting every target of a cortex would take hours
N_ITER, N_FOLDS = 6, 4  # weightings of the spaces that are drawn, and groups of stories: settings of the search


def partition_run(
    run: Run,
    *,
    layer: int | None = None,
    spaces: Sequence[str] | None = None,
    subjects: Sequence[str] | None = None,
    vectors: Path | None = None,
    max_targets: int = MAX_TARGETS,
    config: EncodingConfig | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Partition the variance explained at one layer, remove low-level features, and write ``partition.json``.

    Parameters
    ----------
    run : Run
        Tuned; its finished matching controls take part.
    layer : int, optional
        The last by default.
    spaces : names of feature spaces besides the model's layer, optional
        Of "spectral", "articulatory", "phones", "word_rate" and "meaning". By default those of
        spectral, articulatory, word_rate and meaning that every story has what is needed for.
    subjects : optional
        Those of the run by default.
    vectors : Path, optional
        Static word vectors for "meaning" (:func:`braindash.encoding.spaces.read_vectors`); by
        default those that come with the study, if any do.
    max_targets : int
        Most targets of a region, evenly spaced over it; rows say how many there were of how many.
    config : EncodingConfig, optional
        The run's own ``encoding`` by default: window, delays, penalties, bootstrap samples, seed.
    progress : callable, optional
        ``progress(fraction, what)``.

    Returns
    -------
    dict
        As written (docs/records.md).

    Raises
    ------
    BraindashError
        No tuned model, an unknown layer, subject or space, a space that the stories lack data
        for, or too many rows for kernels.
    LeakageError
        Where a model has seen a story that the study now tests on.
    """
    from braindash.features.lags import for_signal
    from braindash.features.store import FeatureStore
    from braindash.speech import open_model
    from braindash.studies import open_study

    began = time.monotonic()
    tell = progress or (lambda fraction, what: None)
    study = open_study(run.config.study, run.home)
    settings = for_signal(config or run.config.encoding, study.signal, study.tr)
    chosen = [study.check_subject(s) for s in subjects or run.config.subjects or study.subjects]
    candidates = find_candidates(run, run.home)
    refuse_leaks(study, [c.ref for c in candidates], run.home)
    tell(0.01, "Loading the models")
    models = {c.name: open_model(c.ref, run.home) for c in candidates}
    deepest = min(m.n_layers for m in models.values())
    at = deepest if layer is None else layer
    if not 0 <= at <= deepest:
        raise BraindashError(f"There is no layer {at}.", f"Choose one of 0 to {deepest}.")
    if max_targets < 1:
        raise BraindashError(f"The most targets of a region cannot be {max_targets}.", "Give 1 or more.")

    words = Vectors(study, vectors)
    names, left_out = choose_spaces(study, chosen, spaces, words)
    store = FeatureStore(run.home)
    own = own_regions(run.home, (r for s in chosen for r in study.targets(s)["roi"].dropna().unique()))
    groups = group_subjects(study, chosen)
    told: dict[str, Any] = {}
    scored: dict[str, SubjectFits] = {}
    for g, group in enumerate(groups):

        def within(fraction: float, what: str, g: int = g) -> None:
            tell(0.02 + 0.93 * (g + fraction) / len(groups), what)

        reader = Reader(study, group, words, store, settings)
        fits = _fit_group(reader, models, at, names, max_targets, own.groups, within)
        told = told or reader.told
        scored.update(fits)
    tell(0.96, "Intervals")
    rows = partition_rows(scored, at, settings)
    document = {
        "braindash": 1,
        "run": run.id,
        "study": study.id,
        "simulated": study.simulated,
        "layer": at,
        "models": [c.name for c in candidates],
        "subjects": chosen,
        "spaces": [{"name": n, **told[n]} for n in [*names, MODEL]],
        "left_out": left_out,
        "removed": [n for n in names if n in LOW_LEVEL],
        "region_titles": {r: own.title(r) for r in dict.fromkeys(row["roi"] for row in rows)},
        "stories": list(dict.fromkeys(s for g in groups for s in g.test)),
        "max_targets": max_targets,
        "regions": own.used(row["roi"] for row in rows),
        "settings": {
            "solver": "himalaya random search",
            "n_iter": N_ITER,
            "n_folds": N_FOLDS,
            "n_boot": settings.n_boot,
            "seed": settings.seed,
            "delays": list(settings.delays),
        },
        "vectors": words.name,
        "caveats": [*study.caveats, *partition_caveats(scored, max_targets, words, names)],
        "rows": rows,
        "seconds": round(time.monotonic() - began, 1),
        "written": time.time(),
    }
    write_arrays(run.path / PARTITION_TARGETS, target_parts(scored, at))
    write_document(run.path / PARTITION, document)
    tell(1.0, "Partitioned")
    return document


def _fit_group(
    reader: Reader,
    models: Mapping[str, Any],
    layer: int,
    names: list[str],
    most: int,
    own: Mapping[str, Sequence[str]],
    tell: Progress,
) -> dict[str, SubjectFits]:
    from braindash.comparing.bootstrap import VarianceShare
    from braindash.encoding._held_out import scoring_units
    from braindash.encoding._responses import Standardised
    from braindash.encoding.partition import partition
    from braindash.features.lags import unit_rows

    study, group, settings = reader.study, reader.group, reader.settings
    taken = {s: _take(study, s, most, own) for s in group.subjects}

    def responses(stories: Sequence[str]) -> list[np.ndarray]:
        return [
            np.concatenate(
                [Standardised(study.read_responses(t, s), taken[s][0])[:, :] for s in group.subjects], axis=1
            )
            for t in stories
        ]

    tell(0.0, "Reading the responses")
    Y, Y_test = responses(group.train), responses(group.test)
    lengths = [len(y) for y in Y_test]
    units = scoring_units(lengths, unit_rows(settings, study.signal))
    low = {name: reader.design(reader.space(name)) for name in names}
    removed = [n for n in names if n in LOW_LEVEL]
    without_model = " + ".join(names)
    known: dict[str, np.ndarray] = {}
    parts: dict[str, dict[str, Scored]] = {}
    for i, (name, model) in enumerate(models.items()):
        title = name.replace("_", " ")

        def step(share: float, what: str, i: int = i, title: str = title) -> None:
            tell((i + share) / len(models), f"{title[0].upper()}{title[1:]}: {what}")

        step(0.0, f"layer {layer}")
        values = reader.model(model, layer)
        step(0.1, f"variance explained by {without_model.replace('_', ' ')} and the layer")
        ds = partition(
            {**low, MODEL: reader.design(values)}, Y, Y_test, alphas=settings.alphas, n_iter=N_ITER,
            n_folds=min(N_FOLDS, len(Y)), seed=settings.seed, parts="unique", units=units, known=known,
        )  # fmt: skip
        residual = {str(c): ds["residual"].sel(combination=c).values for c in ds["combination"].values}
        # equal in all models, and most of the work when there is one low-level space
        if without_model in residual:
            known[without_model] = residual[without_model]
        total, everything = ds["total"].values, residual[" + ".join([*names, MODEL])]
        alone = {n: residual[" + ".join(x for x in [*names, MODEL] if x != n)] - everything for n in [*names, MODEL]}
        explained = {"total": total - everything} | {f"unique:{n}": v for n, v in alone.items()}
        explained["shared"] = explained["total"] - sum(alone.values())
        mine: dict[str, Scored] = {part: VarianceShare(v, total) for part, v in explained.items()}
        step(0.7, "alignment of the whole layer")
        mine["r"] = _encode(reader.design(values), Y, Y_test, units, settings)
        for j, nuisance in enumerate(removed):
            step(0.75 + 0.25 * j / len(removed), f"without {nuisance.replace('_', ' ')}")
            mine[f"removed:{nuisance}"] = _encode(
                reader.less(values, reader.space(nuisance)), Y, Y_test, units, settings
            )
        parts[name] = mine
    edges = np.cumsum([0, *(len(taken[s][0]) for s in group.subjects)])
    n_units = sum(map(len, units))
    return {
        s: SubjectFits(*taken[s], {m: {p: _cut(f, slice(a, b)) for p, f in fits.items()}
                                               for m, fits in parts.items()}, n_units)
        for s, a, b in zip(group.subjects, edges, edges[1:], strict=False)
    }  # fmt: skip


def _take(
    study: Study, subject: str, most: int, own: Mapping[str, Sequence[str]]
) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, int]]:
    """Return the columns that are fitted, every region's mask over them, and how many usable targets it has."""
    from braindash.encoding.regions import region_groups

    usable = study.usable(subject)
    if not usable.any():
        raise BraindashError(f"No target of {subject!r} is finite and varies in every story.", "Check the responses.")
    regions = choose_regions(study.targets(subject), own)
    named = [r for r in regions if r in region_groups(own)]
    # a parcellation's hundreds of regions are shown by their groups; a study of its own regions by these
    only_whole = set(named) - set(own) <= {"cortex", "left", "right"}
    inside = {r: np.flatnonzero(m & usable) for r, m in regions.items() if only_whole or r in named}
    inside = {r: i for r, i in inside.items() if len(i)}
    sample = {r: i[np.linspace(0, len(i) - 1, min(most, len(i))).round().astype(int)] for r, i in inside.items()}
    columns = np.unique(np.concatenate(list(sample.values())))
    return columns, {r: np.isin(columns, i) for r, i in sample.items()}, {r: len(i) for r, i in inside.items()}


def _encode(
    features: Split, Y: Sequence[np.ndarray], Y_test: Sequence[np.ndarray], units: Any, settings: EncodingConfig
) -> Scored:
    from braindash.comparing.bootstrap import Moments
    from braindash.encoding._held_out import HeldOut
    from braindash.encoding.ridge import StoryRidgeCV

    kept = HeldOut(units, [len(y) for y in Y_test], Y[0].shape[1], 0, settings.block_trs, settings.seed)
    ridge = StoryRidgeCV(settings.alphas, select=settings.select, store_coef=False)
    ridge.fit(features[0], list(Y), test=(features[1], list(Y_test)), on_block=kept.add)
    return Moments(kept.yp, kept.yy, kept.pp)


def _cut(fit: Any, columns: slice) -> Any:
    return type(fit)(*(getattr(fit, f)[:, columns] for f in fit.__dataclass_fields__))
