"""The methods section of a run, in sentences: every number in it is read from the run's own files.

A paper's methods drift from what was done when they are written from memory. Here the
configuration, the provenance, the model card and the records say what was done; what
they do not say is not claimed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from braindash.errors import BraindashError
from braindash.files import read_json
from braindash.reports.analyses import geometry, probes
from braindash.reports.phrases import ending, layers, listed, resampled, stories, window
from braindash.reports.references import REFERENCES
from braindash.reports.tuning import tuning

_MARK = re.compile(r"@([a-z]+\d{4}[a-z]+)")
FEWEST_STORIES = 4  # with fewer, an evaluation cuts the test stories into stretches
_CARD = "braindash_model.json"
_CONTROLS = {  # in the order of the models
    "block_permuted": "Block permuted is the same tuning on responses whose blocks of rows were shuffled.",
    "story_permuted": "Story permuted is the same tuning on responses whose blocks of rows were exchanged between "
    "stories.",
    "random_responses": "Random responses is the same tuning on noise with the power spectrum of each target's "
    "responses and the correlations between targets (@prichard1994generating).",
    "stimulus_only": "Stimulus only is as many steps of the model's own pretraining (@baevski2020wav) on the sound of "
    "the tuning stories, without responses.",
    "random_model": "Random model is the same architecture, tuned in the same way from random weights.",
    "head_only": "Head only is the pretrained model, of which the read-out alone was trained.",
}
_CEILINGS = {
    "given": "Noise ceilings came with the study",
    "repeats": "Noise ceilings were estimated from the repeats of the test stories (@schoppe2016measuring)",
    "subjects": "Noise ceilings were estimated from the other subjects: the correlation with their mean over the test "
    "stories, divided by the root of that mean's Spearman-Brown reliability",
}


class Described(Protocol):
    """What is read of a run; `braindash.runs.run.Run` is one."""

    @property
    def id(self) -> str: ...

    @property
    def config(self) -> Any: ...

    @property
    def provenance(self) -> dict[str, Any]: ...

    @property
    def model_dir(self) -> Path: ...

    def records(self) -> dict[str, Any] | None: ...


def methods_text(run: Described) -> str:
    """Return the methods of a run as paragraphs, with citations in brackets and the works cited at the end."""
    return methods_and_bibtex(run)[0]


def methods_and_bibtex(run: Described) -> tuple[str, str]:
    """Return `methods_text` and `bibtex` of one reading of the run's files, which takes most of the time of either."""
    marked = _marked(run)
    text = _MARK.sub(lambda m: REFERENCES[m.group(1)].cite, marked)
    works = "; ".join(f"{REFERENCES[k].cite}: {REFERENCES[k].fields['title']}" for k in _cited(marked))
    entries = "\n\n".join(REFERENCES[k].bibtex(k) for k in _cited(marked))
    return f"{text}\n\nWorks cited. {works.replace('{', '').replace('}', '')}.\n", f"{entries}\n"


def bibtex(run: Described) -> str:
    """Return BibTeX entries of the works that `methods_text` cites, in order of citation."""
    return methods_and_bibtex(run)[1]


def _cited(marked: str) -> list[str]:
    return list(dict.fromkeys(_MARK.findall(marked)))


def _marked(run: Described) -> str:
    """Return the text with citations as @keys. Raises BraindashError where the run's files hold what none expects."""
    try:
        return _written(run)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise BraindashError(
            f"The methods of run {run.id} cannot be written: its records, provenance or model card are not as expected "
            f"({type(error).__name__}: {error}).",
            f"Evaluate it again: braindash evaluate {run.id}",
        ) from None


def _written(run: Described) -> str:
    config = run.config.model_dump(mode="json")
    provenance, records = run.provenance, run.records() or {}
    try:
        card = read_json(run.model_dir / _CARD)
    except (OSError, ValueError):
        card = {}
    done = (records.get("provenance") or {}).get("evaluation") or config["encoding"]
    signal = (provenance.get("data") or {}).get("signal") or (
        "bold" if done.get("lag_components") is None or not records else "electrodes"
    )
    parts = [_data(config, provenance, records, signal), tuning(config, provenance, card, signal)]
    if records:
        parts += [_features(done, signal), _encoding(done, records, signal), _scores(done, records)]
        parts += [_tests(done, records, signal)]
    else:
        parts.append("The run has not been evaluated: there is nothing to say of encoding models.")
    parts += [probes(run.model_dir.parent), geometry(run.model_dir.parent), _software(run.id, provenance)]
    return "\n\n".join(p for p in parts if p)


def _data(config: dict[str, Any], provenance: dict[str, Any], records: dict[str, Any], signal: str) -> str:
    data, split = provenance.get("data") or {}, _split(provenance, records)
    subjects = records.get("subjects") or data.get("subjects") or config.get("subjects") or []
    simulated = records.get("simulated") or data.get("simulated")
    title = records.get("study_title") or data.get("title") or config["study"]
    kind = "Electrode" if signal == "electrodes" else "BOLD"
    who = f"{len(subjects)} {'simulated ' if simulated else ''}subject{ending(subjects)}" if subjects else (
        "the subjects"
    )  # fmt: skip
    tr = data.get("tr") or records.get("tr")
    rate = "" if not tr else f" ({1 / tr:g} samples a second)" if signal == "electrodes" else f" (TR {tr:g} s)"
    said = [f"Data. {kind} responses{rate} of {who} were taken from the study “{title}” (id {config['study']})."]
    if simulated:
        said.append("The responses are simulated: they were computed, not recorded.")
    if split and config["recipe"] == "imported":
        fitted = stories([*split["tune"], *split["validation"]])
        said.append(
            f"Encoding models were fitted to {fitted} and tested on {stories(split['test'])} ({listed(split['test'])})."
        )
    elif split:
        said.append(
            f"{stories(split['tune'])} served for tuning, {stories(split['validation'])} for choosing the epoch, and "
            f"{stories(split['test'])} ({listed(split['test'])}) for testing alone."
        )
    return " ".join(said)


def _features(done: dict[str, Any], signal: str) -> str:
    said = [
        "Features. The frozen models were read in windows of "
        f"{window(done['window'])}. Hidden states of {layers(done)} were{resampled(done['window'])} z-scored within "
        "each story."
    ]
    if signal == "electrodes":
        if done.get("lag_components"):
            said.append(f"Their first {done['lag_components']} principal components in the fitting stories were kept.")
        said.append(
            f"They were lagged by {done['lags'][0]:g} to {done['lags'][1]:g} s within each story "
            f"({len(done['delays'])} lags): a temporal response function (@crosse2016multivariate)."
        )
    else:
        said.append(f"They were delayed by {listed(done['delays'])} TRs within each story.")
    return " ".join(said)


def _encoding(done: dict[str, Any], records: dict[str, Any], signal: str) -> str:
    split = (records.get("provenance") or {}).get("split") or {}
    n = len(split.get("tune", ())) + len(split.get("validation", ()))
    alphas = done["alphas"]
    tried = (
        f"the penalty {alphas[0]:g}"
        if len(alphas) == 1
        else f"one of {len(alphas)} penalties from {min(alphas):g} to {max(alphas):g}"
    )
    score = "correlation" if done["select"] == "r" else "R²"
    models = listed([m.replace("_", " ") for m in records["models"]])
    control = "".join(f" {said}" for name, said in _CONTROLS.items() if name in records["models"])
    which = f"the {n} tuning and validation stories" if n else "the tuning and validation stories"
    return (
        f"Encoding. For every subject, target and layer, ridge regressions (@hoerl1970ridge) on the features of the "
        f"models ({models}) were fitted in the same way to {which}, with {tried}, added to the diagonal of X'X and "
        f"chosen per target by the mean {score} on each story left out in turn. Scores are correlations over the test "
        f"stories joined, which nothing before had seen.{control}"
    )


def _scores(done: dict[str, Any], records: dict[str, Any]) -> str:
    said = []
    sources = sorted(set((records.get("ceilings") or {}).values()))
    known = [s for s in sources if s in _CEILINGS]
    threshold = done["ceiling_threshold"]
    if known:
        said += [f"{_CEILINGS[s]}." for s in known]
        said.append(
            "Normalised scores are correlations divided by the ceiling; targets whose ceiling is below "
            f"{threshold:g} have none."
        )
    elif sources == ["none"]:
        said.append("There are no noise ceilings: scores are plain correlations.")
    for subject, counts in (records.get("excluded") or {}).items():
        reasons = [f"{n:,} ({reason})" for reason, n in counts.items() if reason != "targets" and n]
        of = f" of {counts['targets']:,} targets" if "targets" in counts else ""
        said.append(
            f"Left out for {subject}{of}: {listed(reasons)}." if reasons else f"Nothing was left out for {subject}."
        )
    if known and records.get("excluded"):
        said.append("Targets without a usable ceiling are left out of normalised scores alone.")
    return "Noise ceilings and exclusions. " + " ".join(said)


def _tests(done: dict[str, Any], records: dict[str, Any], signal: str) -> str:
    said = []
    if done["n_permutations"]:
        rows = "samples" if signal == "electrodes" else "TRs"
        method = (
            "Benjamini-Hochberg (@benjamini1995controlling)"
            if done["fdr"] == "bh"
            else "Benjamini-Yekutieli (@benjamini2001control)"
        )
        said.append(
            f"Each target's correlation was tested against zero by {done['n_permutations']:,} permutations of blocks "
            f"of {done['block_trs']} {rows} (@phipson2010permutation), and against the pretrained model's by swapping "
            "the two predictions in as many random choices of blocks, two-sided; null distributions were widened for "
            f"memory beyond a block (@bartlett1935some). False discovery rates over targets are those of {method}."
        )
    else:
        said.append("No permutation tests of single targets were made.")
    n_test = len(((records.get("provenance") or {}).get("split") or {}).get("test", ()))
    units = "test stories" if n_test >= FEWEST_STORIES else f"stretches of the {stories([''] * n_test)} for testing"
    said.append(
        "Region means and their differences from the pretrained model have 95 % intervals from "
        f"{done['n_boot']:,} bootstrap resamples of {units} and targets together, "
        "with the same weights for all models, and Student's t for their number."
    )
    if any(r["roi"] in ("late_language", "primary_auditory", "language") for r in records.get("encoding", ())):
        said.append("Regions are groups of parcels of HCP-MMP1 (@glasser2016multi).")
    group = records.get("group") or []
    if group:
        n = group[0]["n_subjects"]
        said.append(f"Regions were tested across the {n} subjects by flipping the signs of whole subjects.")
    return "Statistics. " + " ".join(said)


def _software(run_id: str, provenance: dict[str, Any]) -> str:
    libraries = provenance.get("libraries") or {}
    used = [f"{name} {libraries[name]}" for name in ("torch", "transformers", "peft", "numpy") if name in libraries]
    version = f"braindash {provenance['braindash']}" if provenance.get("braindash") else "braindash"
    commit = (provenance.get("git") or {}).get("commit")
    at = f" (commit {commit[:10]})" if commit else ""
    on = f" on {provenance['device']}" if provenance.get("device") else ""
    return f"Software. {version}{at}{', with ' + listed(used) if used else ''}{on}; run {run_id}."


def _split(provenance: Mapping[str, Any], records: Mapping[str, Any]) -> dict[str, list[str]]:
    split = (records.get("provenance") or {}).get("split") or provenance.get("split") or {}
    return {p: list(split.get(p, ())) for p in ("tune", "validation", "test")} if split else {}
