"""The methods section of a run, in sentences: every number in it is read from the run's own files.

A paper's methods drift from what was done when they are written from memory. Here the
configuration, the provenance, the model card and the records say what was done; what
they do not say is not claimed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from braindash.reports.references import REFERENCES

_MARK = re.compile(r"@([a-z]+\d{4}[a-z]+)")
FEWEST_STORIES = 4  # with fewer, an evaluation cuts the test stories into stretches
_CARD = "braindash_model.json"
_HEADS = {
    "linear": "a linear read-out of the layer at delays of {delays} TRs",
    "low_rank": "a read-out of rank {rank} of the layer at delays of {delays} TRs, shared by the subjects up to its "
    "last matrix",
    "hrf_low_rank": "a read-out of rank {rank}, shared by the subjects up to its last matrix, convolved with a fixed "
    "haemodynamic response (@friston1998event)",
}
_LOSSES = {
    "mse": "the mean squared error",
    "spatial": "minus the mean over TRs of the correlation across targets (@vattikonda2025brainwavlm)",
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
    marked = _marked(run)
    text = _MARK.sub(lambda m: REFERENCES[m.group(1)].cite, marked)
    works = "; ".join(f"{REFERENCES[k].cite}: {REFERENCES[k].fields['title']}" for k in _cited(marked))
    return f"{text}\n\nWorks cited. {works.replace('{', '').replace('}', '')}.\n"


def bibtex(run: Described) -> str:
    """Return BibTeX entries of the works that `methods_text` cites, in order of citation."""
    return "\n\n".join(REFERENCES[k].bibtex(k) for k in _cited(_marked(run))) + "\n"


def _cited(marked: str) -> list[str]:
    return list(dict.fromkeys(_MARK.findall(marked)))


def _marked(run: Described) -> str:
    """Return the text with citations as @keys."""
    config = run.config.model_dump(mode="json")
    provenance, records = run.provenance, run.records() or {}
    try:
        card = json.loads((run.model_dir / _CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        card = {}
    done = (records.get("provenance") or {}).get("evaluation") or config["encoding"]
    signal = (provenance.get("data") or {}).get("signal") or (
        "bold" if done.get("lag_components") is None or not records else "electrodes"
    )
    parts = [_data(config, provenance, records, signal), _tuning(config, provenance, card, signal)]
    if records:
        parts += [_features(done, signal), _encoding(done, records, signal), _scores(done, records)]
        parts += [_tests(done, records, signal)]
    else:
        parts.append("The run has not been evaluated: there is nothing to say of encoding models.")
    parts.append(_software(run.id, provenance))
    return "\n\n".join(p for p in parts if p)


def _data(config: dict[str, Any], provenance: dict[str, Any], records: dict[str, Any], signal: str) -> str:
    data, split = provenance.get("data") or {}, _split(provenance, records)
    subjects = records.get("subjects") or data.get("subjects") or config.get("subjects") or []
    simulated = records.get("simulated") or data.get("simulated")
    title = records.get("study_title") or data.get("title") or config["study"]
    kind = "Electrode" if signal == "electrodes" else "BOLD"
    who = f"{len(subjects)} {'simulated ' if simulated else ''}subject{_s(subjects)}" if subjects else (
        "the subjects"
    )  # fmt: skip
    tr = data.get("tr") or records.get("tr")
    rate = "" if not tr else f" ({1 / tr:g} samples a second)" if signal == "electrodes" else f" (TR {tr:g} s)"
    said = [f"Data. {kind} responses{rate} of {who} were taken from the study “{title}” (id {config['study']})."]
    if simulated:
        said.append("The responses are simulated: they were computed, not recorded.")
    if split and config["recipe"] == "imported":
        fitted = _stories([*split["tune"], *split["validation"]])
        said.append(
            f"Encoding models were fitted to {fitted} and tested on {_stories(split['test'])} ({_and(split['test'])})."
        )
    elif split:
        said.append(
            f"{_stories(split['tune'])} served for tuning, {_stories(split['validation'])} for choosing the epoch, and "
            f"{_stories(split['test'])} ({_and(split['test'])}) for testing alone."
        )
    return " ".join(said)


def _tuning(config: dict[str, Any], provenance: dict[str, Any], card: dict[str, Any], signal: str) -> str:
    weights = provenance.get("weights") or {}
    known = f" (weights {weights['hash'][:12]})" if weights.get("hash") else ""
    if config["recipe"] == "imported":
        return _elsewhere(config, card, known)
    done = card.get("config") or config  # settled: lags in place of delays for electrodes
    lora, head, opt = done["lora"], done["head"], done["optimiser"]
    at = card.get("layer") or config["layer"]
    layer = f"layer {at}" if at else "the last layer"
    readout = _HEADS[head["kind"]].format(delays=_and(done["delays"]), rank=head["rank"])
    if signal == "electrodes":
        readout = readout.replace("TRs", "samples")
    said = []
    if config["recipe"] == "lora":
        blocks = "the upper half of the transformer blocks" if lora["first_block"] is None else (
            f"the transformer blocks from {lora['first_block']} on (counted from 0)"
        )  # fmt: skip
        layers = "all linear layers" if lora["targets"] is None else f"the linear layers {_and(lora['targets'])}"
        said.append(
            f"Tuning. The speech model {config['model']}{known} was fine-tuned on the brain responses "
            f"(@moussa2025improving) with low-rank adapters (@hu2022lora; rank {lora['rank']}, "
            f"alpha {lora['alpha']:g}, dropout {lora['dropout']:g}) on {layers} of {blocks}. "
            f"{layer[0].upper()}{layer[1:]} fed {readout}; the "
            "head was discarded after tuning."
        )
        rates = f"peak learning rates {opt['lr']:g} for the adapters and {opt['head_lr']:g} for the head"
    else:
        said.append(
            f"Tuning. The speech model {config['model']}{known} was left as it is; {layer} fed {readout}, and this "
            "read-out alone was trained."
        )
        rates = f"peak learning rate {opt['head_lr']:g}"
    start = "reduced-rank ridge regression" if head["init"] == "ridge" else "random weights"
    step = "a whole story" if done["block_trs"] is None else f"{done['block_trs']} consecutive rows"
    said.append(
        f"The head started from {start}. Audio was read in windows of {_window(done['window'])}. The loss was "
        f"{_LOSSES[config['loss']]}; a step was {step}. AdamW (@loshchilov2019decoupled) ran for "
        f"{opt['epochs']} epoch{'' if opt['epochs'] == 1 else 's'} with {rates}, "
        f"{opt['warmup_steps']} steps of warm-up, "
        f"{'constant rates' if opt['schedule'] == 'constant' else 'then ' + opt['schedule'] + ' decay'}, weight decay "
        f"{opt['weight_decay']:g} and gradients clipped at norm {opt['clip']:g}; seed {config['seed']}."
    )
    if opt["patience"] is not None:
        said.append(f"Tuning was to stop after {opt['patience']} epochs without a better validation score.")
    said.append(_targets(config, card))
    outcome = card.get("outcome") or {}
    if config["recipe"] == "lora" and outcome.get("best_validation_r") is not None:
        before = outcome.get("pretrained_validation_r")
        was = f"; pretrained {before:.3f}" if before is not None else ""
        said.append(
            "The epoch was chosen by a ridge regression fitted anew to the frozen features of the tuning stories: "
            f"epoch {outcome['best_epoch']}, with mean r {outcome['best_validation_r']:.3f} on the validation "
            f"stories{was}."
        )
    if config["control"] == "block-permuted":
        said.append(
            f"As a control, tuning and validation responses were permuted in blocks of {done['permute_block']} rows, "
            "which breaks their pairing with the stories and nothing else."
        )
    return " ".join(s for s in said if s)


def _elsewhere(config: dict[str, Any], card: dict[str, Any], known: str) -> str:
    """Return what is known of a model that braindash did not tune."""
    said = [f"Model. The brain-tuned model was tuned elsewhere from {config['model']}{known}, and evaluated as it is."]
    if card.get("reference"):
        said.append(f"It is from {str(card['reference']).rstrip('.')}.")
    seen = [s for part in (card.get("stories") or {}).values() for s in part]
    if seen:
        said.append(f"Its makers say that it saw {_stories(seen)}; none of them is tested on.")
    elif card.get("seen") == "none":
        said.append("That it has seen none of these stories was stated by whoever added it.")
    return " ".join(said)


def _targets(config: dict[str, Any], card: dict[str, Any]) -> str:
    where = f"the regions {_and(config['rois'])}" if config["rois"] else "all regions"
    least = f" with a noise ceiling of at least {config['min_ceiling']:g}" if config["min_ceiling"] else ""
    counts = card.get("targets") or {}
    numbers = _and([f"{c['n_targets']:,} of {c['n_all']:,} ({who})" for who, c in counts.items()])
    return f"Tuned on were the targets of {where}{least}{': ' + numbers if numbers else ''}."


def _features(done: dict[str, Any], signal: str) -> str:
    said = [
        "Features. The frozen models were read in windows of "
        f"{_window(done['window'])}. Hidden states of {_layers(done)} were{_resampled(done['window'])} z-scored within "
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
        said.append(f"They were delayed by {_and(done['delays'])} TRs within each story.")
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
    models = _and([m.replace("_", " ") for m in records["models"]])
    shuffled = "block_permuted" in records["models"]
    control = " Block permuted is the same tuning on responses whose blocks of rows were shuffled." if shuffled else ""
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
            f"Left out for {subject}{of}: {_and(reasons)}." if reasons else f"Nothing was left out for {subject}."
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
    units = "test stories" if n_test >= FEWEST_STORIES else f"stretches of the {_stories([''] * n_test)} for testing"
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
    return f"Software. {version}{at}{', with ' + _and(used) if used else ''}{on}; run {run_id}."


def _split(provenance: Mapping[str, Any], records: Mapping[str, Any]) -> dict[str, list[str]]:
    split = (records.get("provenance") or {}).get("split") or provenance.get("split") or {}
    return {p: list(split.get(p, ())) for p in ("tune", "validation", "test")} if split else {}


def _window(window: Mapping[str, Any]) -> str:
    if window["readout"] == "tr_window":
        return f"{window['context']:g} s, one a row of the responses, which ended at the row's centre and was averaged"
    whole = window["stride"] == window["context"]
    every = "side by side" if whole else f"every {window['stride']:g} s"
    read = {
        "last": "of which the last frame was taken",
        "mean": "of which the mean of all frames was taken",
        "tr_mean": "in which the frames of each row of the responses were averaged"
        if whole
        else f"in whose last {window['stride']:g} s the frames of each row of the responses were averaged",
    }[window["readout"]]
    return f"{window['context']:g} s {every}, {read}"


def _resampled(window: Mapping[str, Any]) -> str:
    return (
        ""
        if window["readout"] in ("tr_mean", "tr_window")
        else " brought to the times of the responses by a Lanczos filter and"
    )


def _layers(done: Mapping[str, Any]) -> str:
    return "every layer" if done.get("layers") is None else f"layer{_s(done['layers'])} {_and(done['layers'])}"


def _stories(names: Sequence[str]) -> str:
    return f"{len(names)} {'story' if len(names) == 1 else 'stories'}"


def _s(items: Sequence[Any]) -> str:
    return "" if len(items) == 1 else "s"


def _and(items: Sequence[Any]) -> str:
    words = [f"{i:g}" if isinstance(i, float) else str(i) for i in items]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""
