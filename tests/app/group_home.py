"""A group of runs with made-up scores, as the pages meet it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import fake_home
import numpy as np

from braindash.config import Home
from braindash.jobs.groups import expand
from braindash.runs.liveness import identity
from braindash.runs.record import RunStore

EPOCHS = 5


def score(rank: int, lr: float, seed: int) -> float:
    """A made-up validation r: best at rank 8 and lr 3e-4, with a little noise by seed."""
    hill = 0.02 * np.exp(-(np.log10(lr / 3e-4) ** 2)) + 0.006 * np.exp(-(np.log2(rank / 8) ** 2))
    return float(0.12 + hill + 0.0015 * np.random.default_rng([rank, round(lr * 1e6), seed]).normal())


def add_group(
    home: Home,
    group: str = "rank-lr-20261122-0131",
    grid: Mapping[str, Sequence[Any]] | None = None,
    seeds: int = 3,
    controls: Sequence[str] = (),
    states: Mapping[int, str] | None = None,
) -> list[str]:
    """Write the runs of a group, done but for those that ``states`` names by place; return their ids."""
    grid = {"rank": [4, 8, 16], "lr": [1e-4, 3e-4, 1e-3]} if grid is None else grid
    store = RunStore(home)
    ids = []
    for i, config in enumerate(expand(fake_home.config(group=group), grid, seeds, controls)):
        run = store.create(config)
        ids.append(run.id)
        state = (states or {}).get(i, "done")
        final = score(config.lora.rank, config.optimiser.lr, config.seed)
        final -= 0.1 if config.control != "none" else 0.0
        n = EPOCHS if state == "done" else 0 if state == "queued" else 2
        for epoch in range(n + 1):
            r = 0.11 + (final - 0.11) * (1 - np.exp(-0.9 * epoch))
            run.append_metrics({"kind": "epoch", "epoch": epoch, "validation_r": r, "best": epoch > 0})
        who = identity() if state in ("running", "queued") else {}
        run.update_status(
            state=state, stage="evaluating" if state == "done" else "tuning", step=14 * n, n_steps=14 * EPOCHS,
            fraction=n / EPOCHS, pretrained_r=0.11, validation_r=final if n else None, heartbeat=time.time(),
            ended=time.time() if state == "done" else None, **who,
        )  # fmt: skip
    return ids
