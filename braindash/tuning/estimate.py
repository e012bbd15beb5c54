"""What a fine-tune will cost, from a step that was really taken."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from braindash.config import TuneConfig
from braindash.tuning.data import MEMORY_BUDGET, Selection, TuningData, select_targets

if TYPE_CHECKING:
    from braindash.speech.base import SpeechModel
    from braindash.studies.base import Study
    from braindash.tuning.network import Network


class _UnreadData(TuningData):
    """The same stories and targets, with noise for responses: an estimate should not read hours of BOLD."""

    @cached_property
    def selections(self) -> dict[str, Selection]:
        return {s: select_targets(self.study, s, self.config, read=False) for s in self.subjects}

    def responses(self, story: str, subject: str) -> np.ndarray:
        shape = (len(self.times(story, subject)), self.n_targets[subject])
        return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def estimate(study: Study, model: SpeechModel, config: TuneConfig) -> dict[str, Any]:
    """Take two steps on the longest tuning story and say what the whole will take.

    The responses are not read (unusable targets are counted as usable), only that
    story's audio. The model is as it was afterwards.

    Returns
    -------
    dict
        ``n_steps``, ``n_epochs``, ``seconds_per_step`` (the second step, timed),
        ``seconds_start`` (frozen part and pretrained features), ``seconds_per_epoch``
        (steps and validation), ``seconds_total``, ``memory_gb`` (of the device that
        trains, the process included), ``n_parameters_trained``, ``n_targets``,
        ``device``, ``precision``.

    Raises
    ------
    BraindashError
        For what `tune` would refuse before its first step.
    """
    import psutil
    import torch

    from braindash.features.lags import tuning_for_signal
    from braindash.tuning.build import make_network, recipe_of, starting_model
    from braindash.tuning.device import choose_device, choose_precision, make_accelerator
    from braindash.tuning.loop import make_optimiser
    from braindash.tuning.prefix import prefix_bytes
    from braindash.tuning.recipes import resolve_layer
    from braindash.tuning.schedule import count_steps, epoch_items
    from braindash.tuning.stories import Stories

    config = tuning_for_signal(config, study.signal, study.tr)
    layer = resolve_layer(model, config)
    device = choose_device(config.device)
    precision = choose_precision(config.precision, device)
    data = _UnreadData(study, config)
    model = starting_model(model, data)
    n_trs = {t: max(len(data.times(t, s)) for s in data.listeners(t)) for t in data.tune_stories}
    longest = max(n_trs, key=lambda story: n_trs[story])
    items, n_steps = epoch_items(data, config), count_steps(data, config)
    first = next(i for i in items if i.story == longest)
    home = model.device
    on_cuda = device.type == "cuda"
    if on_cuda:
        torch.cuda.reset_peak_memory_stats(device)
    with (
        tempfile.TemporaryDirectory() as scratch,
        torch.random.fork_rng(devices=[device] if on_cuda else []),
        recipe_of(config)(model, config, layer) as prepared,
    ):
        try:
            accelerator = make_accelerator(device, precision)
            model.encoder.to(accelerator.device)
            network = make_network(model, prepared, layer, data).to(accelerator.device)
            stories = Stories(model, data, config, prepared.first_block, Path(scratch), stories=[longest])
            began = time.perf_counter()
            stories.prefix.fill(longest)
            seconds_prefix = time.perf_counter() - began
            began = time.perf_counter()
            with accelerator.autocast():
                stories.pooled(longest, network)
            seconds_forward = time.perf_counter() - began
            step = network.batch(stories, first, accelerator.device)
            optimiser = make_optimiser(network, config.optimiser)
            module, optimiser = accelerator.prepare(network, optimiser)
            timings = []
            for _ in range(2):
                began = time.perf_counter()
                with counted(network) as saved:
                    loss = module(step)
                accelerator.backward(loss)
                optimiser.step()
                float(loss.detach())
                timings.append(time.perf_counter() - began)
                optimiser.zero_grad()
            n_trained = sum(p.numel() for _, p in network.trained() if p.requires_grad)
            share = prefix_bytes(model, stories.prefix.spans) / n_trs[longest]
            total_trs = sum(n_trs.values()) + sum(
                max(len(data.times(t, s)) for s in data.listeners(t)) for t in data.validation_stories
            )
            if on_cuda:
                memory = float(torch.cuda.max_memory_allocated(device))
            else:
                kept = share * total_trs if stories.prefix.where == "memory" and not network.rows_fixed else 0.0
                memory = psutil.Process().memory_info().rss + kept + response_bytes(data) + 1.3 * saved["bytes"]
        finally:
            model.encoder.to(home)
            accelerator.free_memory()
    ratio = total_trs / n_trs[longest]
    validation = 0.0 if network.rows_fixed else seconds_forward * ratio
    start = (seconds_prefix + seconds_forward) * ratio
    per_epoch = len(items) * timings[-1] + validation
    return {
        "n_steps": n_steps * config.optimiser.epochs,
        "n_epochs": config.optimiser.epochs,
        "seconds_per_step": timings[-1],
        "seconds_start": start,
        "seconds_per_epoch": per_epoch,
        "seconds_total": start + validation + per_epoch * config.optimiser.epochs,
        "memory_gb": memory / 1e9,
        "n_parameters_trained": n_trained,
        "n_targets": sum(data.n_targets.values()),
        "device": str(device),
        "precision": precision,
    }


@contextmanager
def counted(network: Network) -> Iterator[dict[str, int]]:
    """Count the bytes that the backward pass keeps of what runs inside: ``{"bytes": n}``, weights left out."""
    import torch

    weights = {p.untyped_storage().data_ptr() for p in network.parameters()}
    seen: set[int] = set()
    total = {"bytes": 0}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.layout == torch.strided:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in weights | seen:
                seen.add(storage.data_ptr())
                total["bytes"] += storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield total


def response_bytes(data: TuningData) -> int:
    """Return the size of the responses that are kept in memory between steps."""
    size = sum(
        4 * len(data.times(story, s)) * data.n_targets[s]
        for s in data.subjects
        for story in (*data.tune[s], *data.validation[s])
    )
    return min(size, MEMORY_BUDGET)
