"""What the layers of a run's models know: linear probes of the pretrained, the tuned and the control models.

Written to ``probing.json`` (rows) and ``probing.nc`` (labelled arrays) in the run's folder (docs/records.md).
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from braindash.errors import BraindashError
from braindash.runs import shapes
from braindash.runs.arrays import read_arrays, write_arrays
from braindash.runs.documents import read_document, write_document
from braindash.runs.evaluate import Progress, find_candidates
from braindash.runs.leaks import refuse_leaks, without_heard
from braindash.wording import plural

if TYPE_CHECKING:
    import xarray as xr

    from braindash.probing.base import Corpus, Examples, Limits, Task
    from braindash.probing.probe import Probed
    from braindash.runs.record import Run
    from braindash.speech.base import SpeechModel

log = logging.getLogger(__name__)

PROBING, ARRAYS = "probing.json", "probing.nc"
RANDOM = "random_weights"
MAX_MINUTES = 20.0  # of sound: more makes probes slower, not clearer
ENOUGH_GROUPS = 8  # fewer say little about their spread: stretches of their recordings stand in
STRETCH = 30.0  # seconds: longer than what one phone, word or sentence has to do with the next
SHARE_OF_FEATURES = 0.6  # of the time; measured on the demo

Row = dict[str, Any]
Told = Callable[[float, str], None]


@dataclass(frozen=True)
class _Source:
    """One model of the analysis, opened when its turn comes: models are large."""

    name: str
    open: Callable[[], SpeechModel]


def probe_run(
    run: Run,
    *,
    corpus: Corpus | None = None,
    tasks: Sequence[str] | None = None,
    layers: Sequence[int] | None = None,
    max_minutes: float = MAX_MINUTES,
    n_folds: int = 5,
    n_boot: int = 500,
    limits: Limits | None = None,
    random_weights: bool = True,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Probe every layer of a run's models, with the same examples and folds for all of them.

    Parameters
    ----------
    run : Run
        Tuned, with a ``model/``.
    corpus : Corpus, optional
        Recordings with labels; the stories of the run's study by default, where only test stories,
        which tuning has not heard, are scored.
    tasks : sequence of str, optional
        Names of `braindash.probing.tasks`; every task that the corpus can do by default.
    layers : sequence of int, optional
        All by default.
    max_minutes : float
        Of the study's sound; test stories come first.
    n_folds, n_boot, seed : int
    limits : Limits, optional
        How many examples a task may use.
    random_weights : bool
        Probe the architecture with random weights as well: what it knows of sound without training.
    progress : callable, optional
        ``progress(fraction, what)``.

    Returns
    -------
    dict
        As written (docs/records.md).

    Raises
    ------
    BraindashError
        No tuned model, an unknown task or layer, or a corpus that allows none of the tasks.
    LeakageError
        Where a model has seen a story that the study now tests on.
    """
    from braindash.probing.base import Limits
    from braindash.probing.corpora import study_corpus
    from braindash.probing.probe import add_q
    from braindash.probing.tasks import choose_tasks
    from braindash.studies import open_study

    began = time.monotonic()
    tell: Told = progress or (lambda fraction, what: None)
    candidates = find_candidates(run, run.home)
    study = open_study(run.config.study, run.home)
    refuse_leaks(study, [c.ref for c in candidates], run.home)
    tell(0.0, "Choosing examples")
    if corpus is not None and corpus.kind == "study" and corpus.id != study.id:
        refuse_leaks(open_study(corpus.id, run.home), [c.ref for c in candidates], run.home)
    corpus = corpus or study_corpus(study, max_minutes=max_minutes)
    corpus = without_heard(corpus, [c.ref for c in candidates], run.home)
    limits = limits or Limits(seed=seed)
    chosen, not_done = choose_tasks(corpus, tasks, limits)
    if not chosen:
        why = "; ".join(f"{n['task']}: {n['why']}" for n in not_done)
        raise BraindashError(f"{corpus.title} allows no probe ({why}).", "Choose another corpus: docs/probing.md.")

    sources = _sources(run, [(c.name, c.ref) for c in candidates], RANDOM if random_weights else "", seed)
    spans = _Spans(corpus, chosen)
    probed: dict[str, Probed] = {}
    with tempfile.TemporaryDirectory(prefix=".probing-", dir=run.path) as scratch:
        wanted, stored = _read_features(Path(scratch), sources, corpus, spans, layers, tell)
        for i, (task, examples) in enumerate(chosen):
            tell(SHARE_OF_FEATURES + (0.98 - SHARE_OF_FEATURES) * i / len(chosen), f"Probing: {task.title.lower()}")
            features = {name: spans.of_task(states, i) for name, states in stored.items()}
            try:
                probed[task.name] = _probe(
                    features, wanted, task, examples, corpus, n_folds=n_folds, n_boot=n_boot, seed=seed
                )
            except BraindashError as error:
                if tasks is not None:
                    raise
                not_done.append({"task": task.name, "title": task.title, "why": error.what})
        stored.clear()
    if not probed:
        why = "; ".join(f"{n['task']}: {n['why']}" for n in not_done)
        raise BraindashError(f"{corpus.title} allows no probe ({why}).", "Choose another corpus: docs/probing.md.")

    done = [(task, examples) for task, examples in chosen if task.name in probed]
    differences = [row for p in probed.values() for row in p.differences]
    add_q(differences)
    document = {
        "braindash": 1,
        "run": run.id,
        "study": study.id,
        "simulated": study.simulated,
        "corpus": _describe(corpus),
        "models": [s.name for s in sources],
        "layers": wanted,
        "tasks": [_facts(task, examples, probed[task.name], corpus) for task, examples in done],
        "not_done": not_done,
        "rows": [row for p in probed.values() for row in p.rows],
        "differences": differences,
        "folds": [row for p in probed.values() for row in p.folds],
        "settings": {"n_folds": n_folds, "n_boot": n_boot, "seed": seed, **asdict(limits)},
        "caveats": list(dict.fromkeys([*study.caveats, *corpus.caveats, *_caveats(corpus, not_done)])),
        "seconds": round(time.monotonic() - began, 1),
        "written": time.time(),
    }
    write_arrays(run.path / ARRAYS, _arrays([s.name for s in sources], wanted, probed))
    write_document(run.path / PROBING, document)
    tell(1.0, "Probed")
    return document


def read_probing(folder: Path) -> dict[str, Any] | None:
    """Return the rows that `probe_run` wrote into a run's folder, or None; missing numbers come back as NaN.

    Raises
    ------
    BraindashError
        Where the file is there but cannot be read.
    """
    return read_document(folder / PROBING, "probing", "probe", ("rows", "differences", "folds"), shapes.PROBING)


def read_probing_arrays(folder: Path) -> xr.Dataset | None:
    """Return the arrays that `probe_run` wrote: scores of folds, resamples, and confusions of classifiers.

    Raises
    ------
    BraindashError
        Where the file is there but cannot be read.
    """
    return read_arrays(folder / ARRAYS, "probing", "probe")


# --- features ------------------------------------------------------------------------------------


class _Spans:
    """The spans of all tasks, each read once: tasks share phones, words and steps."""

    def __init__(self, corpus: Corpus, chosen: Sequence[tuple[Task, Examples]]) -> None:
        wanted = [np.column_stack([e.recording, np.round(e.spans, 6)]) for _, e in chosen]
        every, index = np.unique(np.concatenate(wanted), axis=0, return_inverse=True)
        self.recording = every[:, 0].astype(int)
        self.spans = every[:, 1:]
        edges = np.cumsum([0, *(len(w) for w in wanted)])
        self._index = [np.asarray(index).reshape(-1)[a:b] for a, b in pairwise(edges)]
        self.recordings = [int(r) for r in np.unique(self.recording)]
        self.minutes = sum(corpus.recordings[r].duration for r in self.recordings) / 60

    def __len__(self) -> int:
        return len(self.spans)

    def of_task(self, states: np.ndarray, i: int) -> np.ndarray:
        """Return what one task reads: (n_layers, n_examples, width), from (n_layers, n_spans, width)."""
        return np.ascontiguousarray(states[:, self._index[i]])


def _sources(run: Run, refs: Sequence[tuple[str, str]], random_name: str, seed: int) -> list[_Source]:
    from braindash.speech import open_model

    def opened(ref: str) -> Callable[[], SpeechModel]:
        return lambda: open_model(ref, run.home)

    def drawn() -> SpeechModel:
        from braindash.speech.random_weights import randomised

        return randomised(open_model(run.config.model, run.home), seed)

    found = [_Source(name, opened(ref)) for name, ref in refs]
    return [*found, _Source(random_name, drawn)] if random_name else found


def _read_features(
    scratch: Path,
    sources: Sequence[_Source],
    corpus: Corpus,
    spans: _Spans,
    layers: Sequence[int] | None,
    tell: Told,
) -> tuple[list[int], dict[str, np.ndarray]]:
    """Return the layers read, and every model's state of every span: (n_layers, n_spans, width), on disk."""
    from braindash.features.spans import pool_spans
    from braindash.files import disk_errors

    wanted: list[int] = []
    stored: dict[str, np.ndarray] = {}
    seconds = 60 * spans.minutes
    for m, source in enumerate(sources):
        title = source.name.replace("_", " ")
        title = title[0].upper() + title[1:]
        tell(SHARE_OF_FEATURES * m / len(sources), f"{title}: loading")
        model = source.open()
        wanted = model.check_layers(layers)
        with disk_errors(scratch, "the features to probe"):
            states = np.lib.format.open_memmap(
                scratch / f"{source.name}.npy",
                mode="w+",
                dtype=np.float32,
                shape=(len(wanted), len(spans), model.width),
            )
        heard = 0.0
        for r in spans.recordings:
            recording = corpus.recordings[r]
            tell(SHARE_OF_FEATURES * (m + heard / seconds) / len(sources), f"{title}: features of {recording.name}")
            here = np.flatnonzero(spans.recording == r)
            states[:, here], _ = pool_spans(model, recording.load(), spans.spans[here], wanted)
            heard += recording.duration
        if not np.isfinite(states).all():
            raise BraindashError(
                f"{title} gives states that are not finite numbers.", "Look at its loss: the tuning may have diverged."
            )
        stored[source.name] = states
    return wanted, stored


# --- one task ------------------------------------------------------------------------------------


def _probe(
    features: Mapping[str, np.ndarray],
    layers: Sequence[int],
    task: Task,
    examples: Examples,
    corpus: Corpus,
    *,
    n_folds: int,
    n_boot: int,
    seed: int,
) -> Probed:
    from braindash.probing.probe import probe
    from braindash.probing.tasks import example_groups

    groups = example_groups(corpus, task, examples)
    scored = np.array([corpus.recordings[r].scored for r in examples.recording])
    units, _ = choose_units(corpus, examples, task)
    return probe(
        features, layers, task, examples, groups, scored, units, n_folds=n_folds, n_boot=n_boot, seed=seed
    )  # fmt: skip


def choose_units(corpus: Corpus, examples: Examples, task: Task | None = None) -> tuple[np.ndarray, str]:
    """Return what intervals hold over, (n_examples,) int, and what it is called.

    Word types, or texts of sentences, where a task keeps them apart; else groups (stories, speakers)
    where there are eight or more to score; else stretches of 30 s.
    """
    scored = np.array([corpus.recordings[r].scored for r in examples.recording])
    if examples.items is not None and len(np.unique(examples.items[scored])) >= ENOUGH_GROUPS:
        whole = task is not None and task.level not in ("lexical", "semantic")
        return _numbered(examples.items), "text" if whole else "word type"
    groups = np.array([corpus.recordings[r].group for r in examples.recording])
    if len(np.unique(groups[scored])) >= ENOUGH_GROUPS:
        return _numbered(groups), corpus.group_word
    stretch = (examples.spans[:, 0] // STRETCH).astype(int)
    return _numbered(np.array([f"{r}/{s}" for r, s in zip(examples.recording, stretch, strict=True)])), "30-s stretch"


def _numbered(names: np.ndarray) -> np.ndarray:
    return np.asarray(np.unique(names, return_inverse=True)[1]).reshape(-1)


# --- what is written -----------------------------------------------------------------------------


def _describe(corpus: Corpus) -> dict[str, Any]:
    return {
        "id": corpus.id,
        "title": corpus.title,
        "kind": corpus.kind,
        "n_recordings": len(corpus.recordings),
        "n_scored": sum(r.scored for r in corpus.recordings),
        "minutes": round(sum(r.duration for r in corpus.recordings) / 60, 2),
        "group_word": corpus.group_word,
        "vectors": corpus.vectors_title or None,
    }


def _facts(task: Task, examples: Examples, probed: Probed, corpus: Corpus) -> Row:
    return {
        "name": task.name,
        "title": task.title,
        "explanation": task.explanation,
        "kind": task.kind,
        "level": task.level,
        "metric": task.metric,
        "names": list(examples.names) if task.kind != "regression" else None,
        **probed.facts,
        "unit_word": choose_units(corpus, examples, task)[1],
        "left_out": {**examples.left_out, **probed.facts["left_out"]},
    }


def _caveats(corpus: Corpus, not_done: Sequence[Mapping[str, str]]) -> list[str]:
    scored = {r.group for r in corpus.recordings if r.scored}
    said = []
    if len(scored) < ENOUGH_GROUPS:
        n = f"{len(scored)} {corpus.group_word if len(scored) == 1 else plural(corpus.group_word)}"
        said.append(f"Intervals of tasks that are not lexical hold over stretches of 30 s of {n}, not over others.")
    if corpus.kind == "study" and not all(r.scored for r in corpus.recordings):
        said.append("Probes learn from all of the study's stories used here and are scored on its test stories alone.")
    if not_done:
        said.append(f"Not probed, for want of what they need: {', '.join(n['title'].lower() for n in not_done)}.")
    return said


def _arrays(models: Sequence[str], layers: Sequence[int], probed: Mapping[str, Probed]) -> xr.Dataset:
    """Return scores of folds, resamples and confusions with labelled dimensions."""
    import xarray as xr

    n_folds = max(int(row["fold"]) for p in probed.values() for row in p.folds) + 1
    n_samples = max(p.samples.shape[2] for p in probed.values())
    names = list(probed)
    score = np.full((len(models), len(layers), len(names), n_folds), np.nan, dtype=np.float32)
    samples = np.full((len(models), len(layers), len(names), n_samples), np.nan, dtype=np.float32)
    confusions = {}
    for t, (name, p) in enumerate(probed.items()):
        samples[:, :, t, : p.samples.shape[2]] = p.samples
        for row in p.folds:
            score[models.index(row["model"]), list(layers).index(row["layer"]), t, row["fold"]] = row["score"]
        if p.confusion is not None:
            counts = np.stack([p.confusion[m] for m in models]).astype(np.int32)
            confusions[f"confusion_{name}"] = (("model", "layer", f"true_{name}", f"predicted_{name}"), counts)
    return xr.Dataset(
        {
            "score": (("model", "layer", "task", "fold"), score),
            "samples": (("model", "layer", "task", "sample"), samples),
            **confusions,
        },
        coords={"model": list(models), "layer": list(layers), "task": names},
    )
