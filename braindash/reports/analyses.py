"""What a methods text says of a run's probes and RSA: every number is read from ``probing.json`` and ``rsa.json``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from braindash.files import read_json
from braindash.reports.phrases import ending, listed
from braindash.wording import plural

_KINDS = {
    "regression": "ridge regression, scored by R²",
    "classification": "linear discriminant analysis with shrinkage, scored by macro F1",
    "multilabel": "one linear classifier a label, scored by F1 averaged over labels",
}
_UNITS = {"segment": "stretches of {seconds:g} s", "tr": "TRs", "word": "words that occur more than once"}
_METRICS = {
    "correlation": "correlation distance",
    "cosine": "cosine distance",
    "euclidean": "squared Euclidean distance",
    "crossnobis": "crossnobis distance",
}
_COMPARISONS = {
    "spearman": "Spearman's rank correlation",
    "correlation": "Pearson correlation",
    "cosine": "cosine similarity",
    "kendall": "Kendall's τ-a",
    "tau_a": "Kendall's τ-a",
    "tau-a": "Kendall's τ-a",
    "whitened": "whitened correlation",
}


def probes(folder: Path) -> str:
    """Return the paragraph on probes of the run in ``folder``; empty where it has none that can be read."""
    return _told(folder / "probing.json", _probes)


def geometry(folder: Path) -> str:
    """Return the paragraph on RSA of the run in ``folder``; empty where it has none that can be read."""
    return _told(folder / "rsa.json", _geometry)


def _told(path: Path, tell: Callable[[Mapping[str, Any]], str]) -> str:
    try:
        return tell(read_json(path))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # none, damaged, or of another version
        return ""


def _probes(found: Mapping[str, Any]) -> str:
    corpus, settings = found["corpus"], found["settings"]
    kinds = []
    for kind, how in _KINDS.items():
        of_kind = [t for t in found["tasks"] if t["kind"] == kind]
        if of_kind:
            tasks = listed([f"{t['title'].lower()} ({t['n']:,} examples)" for t in of_kind])
            kinds.append(f"{tasks}: {how}")
    group = corpus["group_word"]
    lexical = [t["title"].lower() for t in found["tasks"] if t.get("unit_word") == "word type"]
    apart = f"; for {listed(lexical)} no word type either" if lexical else ""
    units = listed(sorted({plural(t["unit_word"]) for t in found["tasks"]}))
    controls = "a control task with shuffled labels (@hewitt2019designing)"
    if "random_weights" in found["models"]:
        controls += " and the same architecture with random weights"
    return (
        f"Probing. Linear probes (@alain2016understanding) were fitted to the hidden states of layers "
        f"{listed(found['layers'])}, averaged over the span of each example, in “{corpus['title']}” "
        f"({corpus['n_recordings']} recordings, {corpus['minutes']:.1f} min, {corpus['n_scored']} of them scored). "
        f"Tasks were {'; '.join(kinds)}. Features were standardised on the training part; penalties were chosen "
        f"inside it on held-out groups. No {group} was in training and test at once{apart}, and all layers and models "
        f"had the same up to {settings['n_folds']} folds. Beside each score stand chance, the score of the most "
        f"frequent answer, {controls}. Scores and differences have 95 % intervals from {settings['n_boot']:,} "
        f"resamples of {units}, with the same draws for all layers and models."
    )


def _geometry(found: Mapping[str, Any]) -> str:
    s = found["settings"]
    unit = _UNITS.get(found["unit"], found["unit"]).format(seconds=s.get("seconds") or 0)
    near = (
        f" Pairs of conditions up to {s['exclude']} apart in time were left out, because neighbours are alike."
        if s.get("exclude")
        else ""
    )
    return (
        f"Representational similarity (@kriegeskorte2008representational). Conditions were {found['n_conditions']:,} "
        f"{unit} of {len(found['stories'])} test stor{'y' if len(found['stories']) == 1 else 'ies'}; the response to "
        f"each was taken {s['delay']:g} s later. Patterns were standardised over conditions, compared by "
        f"{_METRICS.get(found['metric'], found['metric'])}, and the dissimilarity matrices of layers and regions by "
        f"{_COMPARISONS.get(found['compare'], found['compare'])}.{near} They were tested by "
        f"{s['n_permutations']:,} permutations of blocks of {s['block']} condition{ending([0] * s['block'])}, with "
        f"95 % intervals from {s['n_boot']:,} resamples of blocks; noise ceilings are those of @nili2014toolbox. "
        f"Layers were compared with one another by debiased linear CKA (@kornblith2019similarity)."
    )
