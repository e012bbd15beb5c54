"""What a fine-tune will cost, from steps that were really taken and closed forms that were really solved."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from braindash.config import TuneConfig
from braindash.tuning.data import MEMORY_BUDGET, Selection, TuningData, select_targets
from braindash.tuning.memory import GB, SHARE, choose_checkpointing, free_memory, peak_memory, step_memory
from braindash.tuning.shrinking import LEAST_TRS, halve
from braindash.tuning.sketch import Cost, head_cost, validation_cost

if TYPE_CHECKING:
    from braindash.speech.base import SpeechModel
    from braindash.studies.base import Study
    from braindash.tuning.network import Network
    from braindash.tuning.schedule import Item
    from braindash.tuning.stories import Stories

ENOUGH_SECONDS, MOST_STEPS = 4.0, 6  # how long, and how many, steps are timed


class _UnreadData(TuningData):
    """The same stories and targets, with noise for responses: an estimate should not read hours of BOLD."""

    @cached_property
    def selections(self) -> dict[str, Selection]:
        return {s: select_targets(self.study, s, self.config, read=False) for s in self.subjects}

    def responses(self, story: str, subject: str) -> np.ndarray:
        shape = (len(self.times(story, subject)), self.n_targets[subject])
        return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def estimate(study: Study, model: SpeechModel, config: TuneConfig) -> dict[str, Any]:
    """Take steps on the longest tuning story, solve the closed forms on noise, and say what the whole will take.

    The responses are not read (unusable targets are counted as usable), only that
    story's audio. The model is as it was afterwards. Freed memory is kept by the
    process from now on (`fast.keep_freed_memory`), as in a worker.

    Returns
    -------
    dict
        ``n_steps``, ``n_epochs``, ``seconds_per_step`` (the mean step, timed),
        ``seconds_start`` (frozen part, pretrained features, the head's start),
        ``seconds_per_epoch`` (steps and validation), ``seconds_total``,
        ``memory_gb`` (the most at one time, of the device that trains; on a CPU the
        whole process), ``checkpointing`` (bool) and ``checkpointing_because``,
        ``n_parameters_trained``, ``n_targets``, ``device``, ``precision``.

    Raises
    ------
    BraindashError
        For what `tune` would refuse before its first step.
    """
    import torch

    from braindash.features.lags import tuning_for_signal
    from braindash.tuning.build import make_network, recipe_of, starting_model
    from braindash.tuning.device import choose_device, choose_precision, make_accelerator
    from braindash.tuning.fast import fast_linears, keep_freed_memory
    from braindash.tuning.loop import make_optimiser
    from braindash.tuning.recipes import resolve_layer
    from braindash.tuning.schedule import count_steps, epoch_items
    from braindash.tuning.stories import Stories

    config = tuning_for_signal(config, study.signal, study.tr)
    layer = resolve_layer(model, config)
    device = choose_device(config.device)
    precision = choose_precision(config.precision, device)
    if device.type == "cpu":
        keep_freed_memory()
    data = _UnreadData(study, config)
    model = starting_model(model, data)
    n_trs = {
        t: max(len(data.times(t, s)) for s in data.listeners(t)) for t in (*data.tune_stories, *data.validation_stories)
    }
    longest = max(data.tune_stories, key=lambda story: n_trs[story])
    items = epoch_items(data, config)
    home = model.device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with (
        tempfile.TemporaryDirectory() as scratch,
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
        recipe_of(config)(model, config, layer) as prepared,
        fast_linears(model, prepared.first_block, layer, device),
    ):
        try:
            accelerator = make_accelerator(device, precision)
            model.encoder.to(accelerator.device)
            network = make_network(model, prepared, layer, data).to(accelerator.device)
            stories = Stories(model, data, config, prepared.first_block, Path(scratch), stories=[longest])
            kept = 0.0
            if stories.prefix.where == "memory" and not network.rows_fixed:
                kept = stories.prefix.n_bytes * sum(n_trs.values()) / n_trs[longest]
            with peak_memory() as peak_forward:
                seconds_prefix = _timed(lambda: stories.prefix.fill(longest))
                with accelerator.autocast():
                    seconds_forward = _timed(lambda: stories.pooled(longest, network))
            own = next(i for i in items if i.story == longest)
            trial = _trial(stories, network, own, accelerator, config, kept + response_bytes(data))
            optimiser = make_optimiser(network, config.optimiser)
            module, optimiser = accelerator.prepare(network, optimiser)
            batch = network.batch(stories, trial.item, accelerator.device)
            with peak_memory() as peak_step:
                seconds_item = _time_steps(accelerator, module, batch, optimiser)
            del batch
            n_trained = sum(p.numel() for _, p in network.trained() if p.requires_grad)
            device_peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
        finally:
            model.encoder.to(home)
            accelerator.free_memory()
    head = validation = Cost()
    if network.learns_responses:
        if config.head.init != "random" or config.head.refit != "never":
            head = head_cost(data, config, network.head)
        if not network.rows_fixed:
            validation = validation_cost(data, config, model.width, device.type)
    # rows of all items, over those of the item that was timed
    share = sum(_rows(data, n_trs, item) for item in items) / _rows(data, n_trs, trial.item)
    ratio = sum(n_trs.values()) / n_trs[longest]
    seconds_score = (0.0 if network.rows_fixed else seconds_forward * ratio) + validation.seconds
    start = (seconds_prefix + seconds_forward) * ratio + head.seconds + validation.seconds
    per_epoch = share * seconds_item + seconds_score
    n_steps = count_steps(data, config)
    pooled = 4 * model.width * sum(n_trs.values())
    at_once = max(
        peak_forward.rise - stories.prefix.n_bytes * (kept > 0),
        peak_step.rise * trial.scale,
        pooled + head.memory,
        pooled + validation.memory,
    )
    memory = device_peak or peak_forward.start + kept + response_bytes(data) + at_once
    return {
        "n_steps": n_steps * config.optimiser.epochs,
        "n_epochs": config.optimiser.epochs,
        "seconds_per_step": share * seconds_item / n_steps,
        "seconds_start": start,
        "seconds_per_epoch": per_epoch,
        "seconds_total": start + per_epoch * config.optimiser.epochs,
        "memory_gb": memory / GB,
        "checkpointing": trial.checkpointing,
        "checkpointing_because": trial.because,
        "n_parameters_trained": n_trained,
        "n_targets": sum(data.n_targets.values()),
        "device": str(device),
        "precision": precision,
    }


@dataclass(frozen=True)
class _Trial:
    """The item that is timed: one of the longest story's, or a part of it where the whole would not fit."""

    item: Item
    scale: float  # of the item's memory to the part's
    checkpointing: bool
    because: str


def _trial(stories: Stories, network: Network, item: Item, accelerator: Any, config: TuneConfig, kept: float) -> _Trial:
    """Choose what is timed, and set the network's checkpointing as `tune` would."""
    if not network.learns_responses or network.frozen:
        network.checkpointing = config.gradient_checkpointing == "on"
        return _Trial(item, 1.0, network.checkpointing, "")
    device = accelerator.device
    with accelerator.autocast():
        need = step_memory(network, network.batch(stories, item, device))
    free = free_memory(device) - (0 if device.type == "cuda" else int(kept))
    network.checkpointing, because = choose_checkpointing(config.gradient_checkpointing, need, free)
    scale = 1.0
    while need.needed(network.checkpointing) / scale > SHARE * free and stories.n_rows(item) >= 2 * LEAST_TRS:
        item, scale = halve([[item]])[0][0], 2 * scale
    return _Trial(item, scale, network.checkpointing, because)


def _time_steps(accelerator: Any, module: Any, batch: Any, optimiser: Any) -> float:
    """Return the seconds of a step: the median of as many as go into some seconds, the first left out."""
    seconds: list[float] = []
    while len(seconds) < 3 or (len(seconds) < MOST_STEPS and sum(seconds) < ENOUGH_SECONDS):
        began = time.perf_counter()
        loss = module(batch)
        accelerator.backward(loss)
        optimiser.step()
        float(loss.detach())
        optimiser.zero_grad()
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds[1:]))


def _timed(run: Callable[[], Any]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def _rows(data: TuningData, n_trs: dict[str, int], item: Item) -> int:
    """Return the rows that an item has."""
    n = n_trs[item.story] if item.subject is None else len(data.times(item.story, item.subject))
    start, stop = item.bounds(n)
    return stop - start


def response_bytes(data: TuningData) -> int:
    """Return the size of the responses that are kept in memory between steps."""
    size = sum(
        4 * len(data.times(story, s)) * data.n_targets[s]
        for s in data.subjects
        for story in (*data.tune[s], *data.validation[s])
    )
    return min(size, MEMORY_BUDGET)
