"""What the model's layer explains beyond sound, articulation, word rate and meaning; and what it owes to them.

Two answers for one layer of the pretrained, the tuned and the control models, on the test
stories: the variance that each feature space explains alone and that they share (banded
ridge), and the fall in r when low-level features are removed from the layer (Moussa et al.,
ICLR 2025). Written to ``partition.json`` in the run's folder (docs/records.md).
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from braindash.config import EncodingConfig
from braindash.errors import BraindashError, closest
from braindash.files import atomic_write
from braindash.runs.evaluate import Progress, choose_regions, find_candidates
from braindash.runs.files import to_json
from braindash.runs.leaks import refuse_leaks

if TYPE_CHECKING:
    from braindash.comparing.bootstrap import Scored
    from braindash.runs.record import Run
    from braindash.studies.base import Study

log = logging.getLogger(__name__)

PARTITION = "partition.json"
MODEL = "model"  # the feature space that is the model's layer
LOW_LEVEL = ("spectral", "articulatory", "phones", "word_rate")  # what is removed; meaning is not low-level
DEFAULT_SPACES = ("spectral", "articulatory", "word_rate", "meaning")
MAX_TARGETS = 60  # of a region, evenly spaced: fitting every target of a cortex would take hours
N_ITER, N_FOLDS = 6, 4  # weightings of the spaces that are drawn, and groups of stories: settings of the search
MOST_ROWS = 12_000  # kernels of more rows do not fit an ordinary machine's memory

Split = tuple[list[np.ndarray], list[np.ndarray]]
Row = dict[str, Any]


@dataclass(frozen=True)
class _Group:
    """Subjects who heard the same stories at the same times: features and kernels serve all of them."""

    subjects: list[str]
    train: list[str]
    test: list[str]


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
    from braindash.encoding.regions import region_title
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

    words = _Vectors(study, vectors)
    names, left_out = _choose_spaces(study, chosen, spaces, words)
    store = FeatureStore(run.home)
    groups = _groups(study, chosen)
    told: dict[str, Any] = {}
    scored: dict[str, _Subject] = {}
    for g, group in enumerate(groups):

        def within(fraction: float, what: str, g: int = g) -> None:
            tell(0.02 + 0.93 * (g + fraction) / len(groups), what)

        reader = _Reader(study, group, words, store, settings)
        fits = _fit_group(reader, models, at, names, max_targets, within)
        told = told or reader.told
        scored.update(fits)
    tell(0.96, "Intervals")
    rows = _rows(scored, at, settings)
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
        "region_titles": {r: region_title(r) for r in dict.fromkeys(row["roi"] for row in rows)},
        "stories": list(dict.fromkeys(s for g in groups for s in g.test)),
        "max_targets": max_targets,
        "settings": {
            "solver": "himalaya random search",
            "n_iter": N_ITER,
            "n_folds": N_FOLDS,
            "n_boot": settings.n_boot,
            "seed": settings.seed,
            "delays": list(settings.delays),
        },
        "vectors": words.name,
        "caveats": [*study.caveats, *_caveats(scored, max_targets, words, names)],
        "rows": rows,
        "seconds": round(time.monotonic() - began, 1),
        "written": time.time(),
    }
    atomic_write(run.path / PARTITION, to_json(document) + "\n")
    tell(1.0, "Partitioned")
    return document


def read_partition(folder: Path) -> dict[str, Any] | None:
    """Return what `partition_run` wrote into a run's folder, or None; missing numbers come back as NaN.

    Raises
    ------
    BraindashError
        Where the file is there but cannot be read.
    """
    try:
        data = json.loads((folder / PARTITION).read_text(encoding="utf-8"))
        rows = [{k: float("nan") if v is None else v for k, v in row.items()} for row in data["rows"]]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BraindashError(
            f"The partition of run {folder.name} cannot be read ({error}).",
            f"Make it again: braindash partition {folder.name}",
        ) from None
    return {**data, "rows": rows}


class _Vectors:
    """Word vectors, read once, of the words that the stories hold."""

    def __init__(self, study: Study, path: Path | None) -> None:
        self.path = path or study.word_vectors
        self.name = self.path.name if self.path else None
        self.given = path is not None
        self._study = study
        self._read: dict[str, np.ndarray] | None = None

    def read(self) -> dict[str, np.ndarray]:
        from braindash.encoding.spaces import read_vectors

        if self._read is None:
            assert self.path is not None
            tables = [s.words for s in self._study.stories.values() if s.words is not None]
            self._read = read_vectors(self.path, sorted({str(w) for t in tables for w in t["text"]}))
        return self._read


def _choose_spaces(
    study: Study, subjects: Sequence[str], wanted: Sequence[str] | None, words: _Vectors
) -> tuple[list[str], list[dict[str, str]]]:
    """Return the spaces that can be filled, and why the others cannot; one that was asked for must be."""
    from braindash.encoding.partition import MOST_SPACES
    from braindash.encoding.spaces import SPACES

    known = [*SPACES, "meaning"]
    for name in wanted or ():
        if name not in known:
            raise BraindashError(f"Feature space {name!r} is not known.", closest(name, known))
    if words.given and wanted is not None and "meaning" not in wanted:
        raise BraindashError("Word vectors are given, but not the space that uses them.", "Add meaning to the spaces.")
    heard = [study.story(s) for s in dict.fromkeys(s for subject in subjects for s in study.heard(subject))]
    names: list[str] = []
    left_out = []
    for name in dict.fromkeys(wanted or DEFAULT_SPACES):
        table = {"word_rate": "words", "meaning": "words", "articulatory": "phones", "phones": "phones"}.get(name)
        without = [s.name for s in heard if table and (getattr(s, table) is None or not len(getattr(s, table)))]
        why = ""
        if without:
            why = f"{len(without)} of {len(heard)} stories have no {table} with their times (first: {without[0]})"
        elif name == "meaning" and words.path is None:
            why = "there are no word vectors; give a file with --vectors"
        if why and wanted:
            raise BraindashError(f"Feature space {name!r} cannot be filled: {why}.", "Leave it out, or add what lacks.")
        if why:
            left_out.append({"space": name, "why": why})
        else:
            names.append(name)
    if not names:
        raise BraindashError("There is no feature space besides the model's.", f"Choose of {', '.join(known)}.")
    if len(names) >= MOST_SPACES:
        raise BraindashError(
            f"{len(names)} feature spaces are asked for; {MOST_SPACES - 1} and the model's layer can be told apart.",
            "Choose articulatory or phones, and leave one out.",
        )
    return names, left_out


def _groups(study: Study, subjects: Sequence[str]) -> list[_Group]:
    found: dict[Any, _Group] = {}
    for subject in subjects:
        train = [*study.stories_of("tune", subject), *study.stories_of("validation", subject)]
        test = list(study.stories_of("test", subject))
        study.split.refuse_test(train, "Fitting the encoding model")
        if not test or len(train) < 2:
            raise BraindashError(
                f"Subject {subject!r} heard {len(test)} test and {len(train)} other stories; 1 and 2 are needed.",
                "Choose other subjects.",
            )
        times = [np.asarray(study.row_times(s, subject)) for s in (*train, *test)]
        n = sum(map(len, times))
        if n > MOST_ROWS:
            raise BraindashError(
                f"{n:,} rows of {subject} would need kernels of {n * n * 4 / 1e9:.1f} GB for every feature space.",
                f"Partition studies of up to {MOST_ROWS:,} rows; add the study again with fewer stories.",
            )
        key = (tuple(train), tuple(test), *(t.tobytes() for t in times))
        found.setdefault(key, _Group([], train, test)).subjects.append(subject)
    return list(found.values())


class _Reader:
    """Features of one group of subjects, at TR rate, z-scored, delayed where asked."""

    def __init__(self, study: Study, group: _Group, words: _Vectors, store: Any, settings: EncodingConfig) -> None:
        self.study, self.group, self.words, self.store, self.settings = study, group, words, store, settings
        self.told: dict[str, dict[str, Any]] = {}
        self._at_rows: dict[str, dict[str, np.ndarray]] = {}

    def space(self, name: str) -> dict[str, np.ndarray]:
        """Return one space, every story: (n_trs, width); counts what was used and what had no place in it."""
        from braindash.encoding.spaces import story_space, word_embedding

        if name not in self._at_rows:
            subject, filled = self.group.subjects[0], {}
            for story in (*self.group.train, *self.group.test):
                if name == "meaning":
                    words = self.study.story(story).words
                    assert words is not None
                    times = np.asarray(self.study.row_times(story, subject))
                    filled[story] = word_embedding(words, self.words.read(), times, self.study.tr)
                else:
                    filled[story] = story_space(name, self.study, story, subject)
            self._at_rows[name] = {s: f.values for s, f in filled.items()}
            self.told[name] = {
                "width": len(next(iter(filled.values())).columns),
                "used": sum(f.used for f in filled.values()),
                "skipped": sum(f.skipped for f in filled.values()),
                "skipped_examples": list(dict.fromkeys(e for f in filled.values() for e in f.skipped_examples))[:5],
            }
        return self._at_rows[name]

    def model(self, model: Any, layer: int) -> dict[str, np.ndarray]:
        window, subject = self.settings.window, self.group.subjects[0]
        self.told[MODEL] = {"width": model.width}
        return {
            s: np.asarray(self.store.get(model, self.study, s, subject, window, layers=(layer,))[0])
            for s in (*self.group.train, *self.group.test)
        }

    def design(self, values: Mapping[str, np.ndarray]) -> Split:
        """Z-score, reduce where the study's signal asks for it, and delay."""
        from braindash.features.lags import story_designs

        train, test = story_designs(lambda s: values[s], self.group.train, self.group.test, self.settings)
        return train, [test[s] for s in self.group.test]

    def less(self, values: Mapping[str, np.ndarray], nuisance: Mapping[str, np.ndarray]) -> Split:
        """Remove what is linear in the nuisance features, then delay; not z-scored again (`remove_features`)."""
        from braindash.encoding.partition import remove_features
        from braindash.features.design import delay, zscore

        def cut(v: Mapping[str, np.ndarray]) -> Split:
            return [zscore(v[s]) for s in self.group.train], [zscore(v[s]) for s in self.group.test]

        train, test = remove_features(cut(values), cut(nuisance), alphas=self.settings.alphas)
        delays = self.settings.delays
        return [delay(x, delays) for x in train], [delay(x, delays) for x in test]


@dataclass
class _Subject:
    """One subject's fits: model -> part -> what its score is rebuilt from; and which targets make up each region."""

    masks: dict[str, np.ndarray]
    n_of: dict[str, int]  # usable targets of the region, of which some were taken
    parts: dict[str, dict[str, Scored]]
    n_units: int


def _fit_group(
    reader: _Reader, models: Mapping[str, Any], layer: int, names: list[str], most: int, tell: Progress
) -> dict[str, _Subject]:
    from braindash.comparing.bootstrap import VarianceShare
    from braindash.encoding._held_out import scoring_units
    from braindash.encoding._responses import Standardised
    from braindash.encoding.partition import partition
    from braindash.features.lags import unit_rows

    study, group, settings = reader.study, reader.group, reader.settings
    taken = {s: _take(study, s, most) for s in group.subjects}

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
        s: _Subject(taken[s][1], taken[s][2], {m: {p: _cut(f, slice(a, b)) for p, f in fits.items()}
                                               for m, fits in parts.items()}, n_units)
        for s, a, b in zip(group.subjects, edges, edges[1:], strict=False)
    }  # fmt: skip


def _take(study: Study, subject: str, most: int) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, int]]:
    """Return the columns that are fitted, every region's mask over them, and how many usable targets it has."""
    from braindash.encoding.regions import region_groups

    usable = study.usable(subject)
    if not usable.any():
        raise BraindashError(f"No target of {subject!r} is finite and varies in every story.", "Check the responses.")
    regions = choose_regions(study.targets(subject))
    named = [r for r in regions if r in region_groups()]
    # a parcellation's hundreds of regions are shown by their groups; a study of its own regions by these
    only_whole = set(named) <= {"cortex", "left", "right"}
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


def _rows(scored: Mapping[str, _Subject], layer: int, settings: EncodingConfig) -> list[Row]:
    """Return one row a model, subject, region and part, and for their mean as subject "all"."""
    from braindash.comparing.bootstrap import bootstrap_region_means

    samples: dict[str, dict[str, dict[str, dict[str, np.ndarray]]]] = {}
    for subject, s in scored.items():
        joined = {f"{model}\n{part}": fit for model, fits in s.parts.items() for part, fit in fits.items()}
        means = bootstrap_region_means(joined, s.masks, None, settings.n_boot, settings.seed)
        samples[subject] = {m: {p: means[f"{m}\n{p}"] for p in fits} for m, fits in s.parts.items()}
        for of_model in samples[subject].values():
            whole = of_model.pop("r")
            for part in [p for p in of_model if p.startswith("removed:")]:
                of_model[part] = {roi: v - whole[roi] for roi, v in of_model[part].items()}
    people: list[tuple[str, list[str]]] = [(s, [s]) for s in scored]
    if len(scored) > 1 and len({s.n_units for s in scored.values()}) == 1:
        people.append(("all", list(scored)))
    rows: list[Row] = []
    for who, members in people:
        for roi in dict.fromkeys(r for m in members for r in scored[m].masks):
            having = [m for m in members if roi in scored[m].masks]
            base = {
                "subject": who,
                "roi": roi,
                "layer": layer,
                "n_targets": sum(int(scored[m].masks[roi].sum()) for m in having),
                "n_available": sum(scored[m].n_of[roi] for m in having),
            }
            reference: dict[str, np.ndarray] = {}
            for model, of_model in samples[having[0]].items():
                for part in of_model:
                    value = np.mean([samples[m][model][part][roi] for m in having], axis=0)
                    reference.setdefault(part, value)  # the pretrained model comes first
                    change = None if reference[part] is value else value - reference[part]
                    rows.append(
                        {"model": model, **base, "part": part} | _numbers(part, value, change, scored[having[0]])
                    )
    return rows


def _numbers(part: str, value: np.ndarray, change: np.ndarray | None, of: _Subject) -> Row:
    from braindash.comparing.bootstrap import Estimate

    estimate = Estimate.of(float(value[0]), value[1:], of.n_units)
    key = "delta_r" if part.startswith("removed:") else "r2"
    row: Row = {key: estimate.value, "ci_low": estimate.low, "ci_high": estimate.high}
    if change is not None:
        moved = Estimate.of(float(change[0]), change[1:], of.n_units)
        row |= {"change": moved.value, "change_low": moved.low, "change_high": moved.high}
    return row


def _caveats(scored: Mapping[str, _Subject], most: int, words: _Vectors, names: Sequence[str]) -> list[str]:
    said = []
    cut = {r for s in scored.values() for r, n in s.n_of.items() if n > most}
    if cut:
        said.append(
            f"Of regions with more than {most} usable targets, {most} evenly spaced ones were fitted for each subject "
            f"({len(cut)} {'region' if len(cut) == 1 else 'regions'}); the rows give both numbers."
        )
    if "meaning" in names and not words.given:
        said.append(f"Word meaning is that of the study's own word vectors ({words.name}).")
    said.append("Removing features takes away what is linear in them at the same TR, no more.")
    return said
