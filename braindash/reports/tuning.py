"""The paragraph of the methods text on how a model was tuned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from braindash.reports.phrases import listed, stories, window
from braindash.wording import explain

_HEADS = {
    "linear": "a linear read-out of the layer at delays of {delays} TRs",
    "low_rank": "a read-out of rank {rank} of the layer at delays of {delays} TRs, shared by the subjects up to its "
    "last matrix",
    "hrf_low_rank": "a read-out of rank {rank}, shared by the subjects up to its last matrix, convolved with a fixed "
    "haemodynamic response (@friston1998event)",
}
_LOSSES = {
    "mse": "the mean squared error",
    "huber": "the Huber loss (@huber1964robust; delta 1)",
    "spatial": "minus the mean over TRs of the correlation across targets (@vattikonda2025brainwavlm)",
    "temporal": "minus the mean over targets of the correlation across the TRs of a step",
    "cosine": "1 minus the mean over TRs of the cosine similarity across targets",
}
_OPTIMISERS = {"adamw": "AdamW (@loshchilov2019decoupled)", "adam": "Adam (@kingma2015adam)"}
_MATCHED = frozenset({"story-permuted", "random-responses", "random-model", "head-only"})  # told by `explain`


def tuning(config: dict[str, Any], provenance: dict[str, Any], card: dict[str, Any], signal: str) -> str:
    """Return how the model was tuned, with citations as @keys.

    Parameters
    ----------
    config, provenance, card : dict
        The run's configuration, its provenance, and what its model folder says ({} before there is one).
    signal : str
    """
    weights = provenance.get("weights") or {}
    known = f" (weights {weights['hash'][:12]})" if weights.get("hash") else ""
    if config["recipe"] == "imported":
        return _elsewhere(config, card, known)
    done = _filled(card.get("config") or {}, config)  # settled: lags in place of delays for electrodes
    recipe = card.get("recipe") or ("head" if config["control"] == "head-only" else config["recipe"])
    if config["control"] == "stimulus-only":
        more = f"This run is a control. {explain('stimulus_only')} The loss was wav2vec 2.0's (@baevski2020wav)."
        return f"Tuning. The speech model was {config['model']}{known}. {more} {_training(done, recipe)}"
    said = [
        _what(done, known, recipe, card, signal),
        f"The head started from {_start(done)}. Audio was read in windows of {window(done['window'])}. The loss was "
        f"{_in_rows(_loss(done['loss']), signal)}; a step was {_step(done)}. {_training(done, recipe)}",
        _targets(done, card),
        _epoch(done, recipe, card),
    ]
    if config["control"] == "block-permuted":
        said.append(
            f"As a control, tuning and validation responses were permuted in blocks of {done['permute_block']} rows, "
            "which breaks their pairing with the stories and nothing else."
        )
    elif config["control"] in _MATCHED:
        said.append(f"This run is a control. {explain(config['control'])}")
    if config["control"] == "random-responses":
        said.append("The noise was made by turning the responses' phases at random (@prichard1994generating).")
    if config["control"] == "story-permuted":
        said.append(f"A block had {done['permute_block']} rows.")
    return " ".join(s for s in said if s)


def _what(done: dict[str, Any], known: str, recipe: str, card: dict[str, Any], signal: str) -> str:
    lora, head = done["lora"], done["head"]
    at = card.get("layer") or done["layer"]
    layer = f"layer {at}" if at else "the last layer"
    readout = _HEADS[head["kind"]].format(delays=listed(done["delays"]), rank=head["rank"])
    readout += ", with one output matrix for all subjects" if head["shared_output"] else ""
    readout = _in_rows(readout, signal)
    tuned = f"Tuning. The speech model {done['model']}{known} was fine-tuned on the brain responses "
    fed = f"{layer[0].upper()}{layer[1:]} fed {readout}; the head was discarded after tuning."
    if recipe == "lora":
        blocks = "the upper half of the transformer blocks" if lora["first_block"] is None else (
            f"the transformer blocks from {lora['first_block']} on (counted from 0)"
        )  # fmt: skip
        linear = "all linear layers" if lora["targets"] is None else f"the linear layers {listed(lora['targets'])}"
        return (
            f"{tuned}(@moussa2025improving) with low-rank adapters (@hu2022lora; rank {lora['rank']}, "
            f"alpha {lora['alpha']:g}, dropout {lora['dropout']:g}) on {linear} of {blocks}. {fed}"
        )
    if recipe == "full":
        first = done["full"]["first_block"]
        blocks = f"the transformer blocks from {first} on (counted from 0)" if first else "all transformer blocks"
        return f"{tuned}(@moussa2025improving): all weights of {blocks}, the front end frozen. {fed}"
    return (
        f"Tuning. The speech model {done['model']}{known} was left as it is; {layer} fed {readout}, and this "
        "read-out alone was trained."
    )


def _start(done: dict[str, Any]) -> str:
    head = done["head"]
    start = "reduced-rank ridge regression" if head["init"] == "ridge" else "random weights"
    return f"{start} and was solved anew by ridge regression after every epoch" if head["refit"] == "epoch" else start


def _loss(text: str) -> str:
    """Return a loss in words; sums as config.loss writes them."""
    terms = []
    for term in text.split("+"):
        weight, _, name = term.rpartition("*")
        words = _LOSSES.get(name, name)
        terms.append(f"{weight} times {words}" if weight else words)
    return terms[0] if len(terms) == 1 else f"the sum of {listed(terms)}"


def _step(done: dict[str, Any]) -> str:
    step = "a whole story" if done["block_trs"] is None else f"{done['block_trs']} consecutive rows"
    step += " of one subject" if done["pairs"] else ""
    n = done["stories_per_step"]
    return step if n == 1 else f"the mean gradient of {n} times {step}"


def _training(done: dict[str, Any], recipe: str) -> str:
    opt = done["optimiser"]
    rates = {
        "lora": f"peak learning rates {opt['lr']:g} for the adapters and {opt['head_lr']:g} for the head",
        "full": f"peak learning rates {opt['lr']:g} for the speech model and {opt['head_lr']:g} for the head",
    }.get(recipe, f"peak learning rate {opt['head_lr']:g}")
    warm = (
        f"{opt['warmup_steps']} steps of warm-up"
        if opt["warmup_fraction"] is None
        else f"warm-up over {100 * opt['warmup_fraction']:g} % of the steps"
    )
    fall = "constant rates" if opt["schedule"] == "constant" else f"then {opt['schedule']} decay"
    decay = "weight decay" if opt["kind"] == "adamw" else "an L2 penalty of weight"
    patience = (
        f" Tuning was to stop after {opt['patience']} epochs without a better validation score."
        if opt["patience"] is not None
        else ""
    )
    return (
        f"{_OPTIMISERS[opt['kind']]} ran for {opt['epochs']} epoch{'' if opt['epochs'] == 1 else 's'} with {rates}, "
        f"{warm}, {fall}, {decay} {opt['weight_decay']:g} and gradients clipped at norm {opt['clip']:g}; "
        f"seed {done['seed']}.{patience}"
    )


def _epoch(done: dict[str, Any], recipe: str, card: dict[str, Any]) -> str:
    outcome = card.get("outcome") or {}
    if recipe == "head" or outcome.get("best_validation_r") is None:
        return ""
    before = outcome.get("pretrained_validation_r")
    was = f"; pretrained {before:.3f}" if before is not None else ""
    score = f"mean r {outcome['best_validation_r']:.3f} on the validation stories{was}"
    fitted = "a ridge regression fitted anew to the frozen features of the tuning stories"
    if done["keep"] == "last":
        return f"The last epoch was kept, {outcome['best_epoch']}; {fitted} reached {score}."
    return f"The epoch was chosen by {fitted}: epoch {outcome['best_epoch']}, with {score}."


def _targets(done: dict[str, Any], card: dict[str, Any]) -> str:
    where = f"the regions {listed(done['rois'])}" if done["rois"] else "all regions"
    where += {"left": " of the left hemisphere", "right": " of the right hemisphere"}.get(done["hemi"], "")
    where += " inside a given mask" if done["mask"] else ""
    least = f" with a noise ceiling of at least {done['min_ceiling']:g}" if done["min_ceiling"] else ""
    counts = card.get("targets") or {}
    numbers = listed([f"{c['n_targets']:,} of {c['n_all']:,} ({who})" for who, c in counts.items()])
    return f"Tuned on were the targets of {where}{least}{': ' + numbers if numbers else ''}."


def _filled(settled: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the card's settings, and those of the configuration that an older braindash did not write on it."""
    return {
        k: _filled(settled.get(k) or {}, v) if isinstance(v, Mapping) else settled.get(k, v) for k, v in config.items()
    }


def _elsewhere(config: dict[str, Any], card: dict[str, Any], known: str) -> str:
    """Return what is known of a model that braindash did not tune."""
    said = [f"Model. The brain-tuned model was tuned elsewhere from {config['model']}{known}, and evaluated as it is."]
    if card.get("reference"):
        said.append(f"It is from {str(card['reference']).rstrip('.')}.")
    seen = [s for part in (card.get("stories") or {}).values() for s in part]
    if seen:
        said.append(f"Its makers say that it saw {stories(seen)}; none of them is tested on.")
    elif card.get("seen") == "none":
        said.append("That it has seen none of these stories was stated by whoever added it.")
    return " ".join(said)


def _in_rows(text: str, signal: str) -> str:
    return text.replace("TRs", "samples") if signal == "electrodes" else text
