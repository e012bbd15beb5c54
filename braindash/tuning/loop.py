"""The training loop: steps, validation, the best epoch, checkpoints.

Everything that a later step depends on is in the checkpoint or follows from the
seed and the position, so a run that was stopped and resumed at any step goes on
exactly as one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from braindash.config import TuneConfig
from braindash.errors import BraindashError
from braindash.tuning import checks
from braindash.tuning.checkpoints import Checkpoint, write_checkpoint
from braindash.tuning.data import TuningData
from braindash.tuning.network import Network, Part
from braindash.tuning.optimiser import make_optimiser
from braindash.tuning.position import Keeper, Position, restore, trained_tensors
from braindash.tuning.schedule import Item, count_steps, epoch_items, epoch_steps, item_seed, rate, warmup_of
from braindash.tuning.starting import refit_head
from braindash.tuning.stories import Rows, Stories
from braindash.tuning.validation import Score, fresh_ridge, score_of

if TYPE_CHECKING:
    from accelerate import Accelerator

Report = Callable[[dict[str, Any]], None]


class StopRequested(Exception):  # noqa: N818 - the caller asked, nothing is wrong
    """Raised between pieces of work when the caller asked to stop."""


@dataclass
class Session:
    """What the loop works with; built by the engine, read top to bottom here."""

    network: Network
    stories: Stories
    data: TuningData
    config: TuneConfig
    accelerator: Accelerator
    folder: Path  # of the checkpoints
    identity: dict[str, Any]  # what a checkpoint must agree with to be resumed from
    report: Report
    should_stop: Callable[[], bool]
    alpha: float | None = None  # penalty that the head was first solved with in this session
    pretrained: Rows[tuple[str, str], np.ndarray] | None = None  # of every story before the first step

    def log(self, text: str) -> None:
        self.report({"kind": "log", "text": text})

    def between(self) -> None:
        """Leave off here if the caller asked to."""
        if self.should_stop():
            raise StopRequested


def train(session: Session, start: Checkpoint | None) -> tuple[Position, bool]:
    """Train from the start or from a checkpoint.

    Returns
    -------
    (position, stopped)
        ``stopped`` is True if the caller asked to stop; a checkpoint then holds the position.

    Raises
    ------
    BraindashError
        For trained tensors without a gradient, a loss that is not finite, a full disk,
        a graphics card without enough memory.
    """
    config, network = session.config, session.network
    optimiser = make_optimiser(network, config.optimiser)
    module, optimiser = session.accelerator.prepare(network, optimiser)
    at = Position(alpha=session.alpha) if start is None else restore(start, network, optimiser)
    saved = start.path.name if start else ""
    keeper = Keeper(network, optimiser, at, session.folder, session.identity, config.keep_checkpoints, saved)
    try:
        with keeper.watching(session.should_stop, session.log):
            if not at.epochs:
                validate(session, keeper, at, optimiser, epoch=0)
            run_epochs(session, keeper, at, module, optimiser)
    except StopRequested:
        keeper.save()
        return at, True
    except torch.OutOfMemoryError as error:
        smaller = (config.block_trs or max(session.stories.n_trs(s) for s in session.stories.names)) // 2
        raise BraindashError(
            f"The device ran out of memory at step {at.step + 1}.",
            f"Set block_trs to {max(4, smaller)} or precision to bf16, then start again.",
        ) from error
    finally:
        session.accelerator.free_memory()
    return at, False


def run_epochs(session: Session, keeper: Keeper, at: Position, module: Any, optimiser: Any) -> None:
    """Run the epochs that are left, writing checkpoints as they go."""
    config = session.config
    items = epoch_items(session.data, config)
    n_steps = count_steps(session.data, config) * config.optimiser.epochs
    fresh = 0  # steps of this session: the first two are checked closely
    while at.epoch <= config.optimiser.epochs and not out_of_patience(at, config.optimiser.patience):
        steps = epoch_steps(items, config.stories_per_step, config.seed, at.epoch)
        for chosen in steps[at.done :]:
            session.between()
            fresh += 1
            take_step(session, keeper, at, module, optimiser, chosen, n_steps, check=fresh <= 2)
            if at.step % config.checkpoint_steps == 0 and at.done < len(steps):
                keeper.save()
        validate(session, keeper, at, optimiser, epoch=at.epoch)
        keeper.save()


def take_step(
    session: Session,
    keeper: Keeper,
    at: Position,
    module: Any,
    optimiser: Any,
    items: list[Item],
    n_steps: int,
    *,
    check: bool,
) -> None:
    """Do one optimiser step on the average of the items' losses and report it."""
    began = time.perf_counter()
    config, network = session.config.optimiser, session.network
    step = at.step + 1
    factor = rate(step, n_steps, warmup_of(config, n_steps), config.schedule)
    for group in optimiser.param_groups:
        group["lr"] = group["peak"] * factor
    before = {n: p.detach().clone() for n, p in network.adapters()} if check and step == 2 else {}

    network.set_training(True)
    optimiser.zero_grad(set_to_none=True)
    value = add_gradients(session, module, items, step)
    if check:
        idle = network.idle({s for item in items for s in session.stories.subjects_of(item)})
        checks.check_gradients(((n, p) for n, p in network.named_parameters() if n not in idle), step)
    norm = float(session.accelerator.clip_grad_norm_([p for _, p in network.trained()], config.clip))
    if not np.isfinite(norm):
        raise checks.not_finite("the gradient", step)
    with keeper.changing():
        optimiser.step()
        network.set_training(False)
        checks.check_moved(before, network.adapters(), step)
        at.step, at.done = step, at.done + 1
        at.losses.append(value)
        at.last_row = {
            "kind": "step",
            "step": step,
            "n_steps": n_steps,
            "epoch": at.epoch,
            "loss": value,
            "lr": config.lr * factor,
            "grad_norm": norm,
            "seconds": time.perf_counter() - began,
        }
    session.report(at.last_row)


def add_gradients(session: Session, module: Any, items: list[Item], step: int) -> float:
    """Leave the gradient of the items' average loss in the parameters, and return that loss.

    What is random in an item (dropout) follows from the seed, the step and its place, not from what ran before it.
    """
    total = 0.0
    for place, item in enumerate(items):
        torch.manual_seed(item_seed(session.config.seed, step, place))
        batch = session.network.batch(session.stories, item, session.accelerator.device)
        loss = module(batch) / len(items)
        value = float(loss.detach())
        checks.check_loss(value, step)
        session.accelerator.backward(loss)
        total += value
    return total


def validate(session: Session, keeper: Keeper, at: Position, optimiser: Any, epoch: int) -> None:
    """Score the model as it stands, end the epoch, report it, and keep it if it is the best so far (or the last).

    Epoch 0 is the pretrained model; it is reported but never kept as the best.
    """
    network, data = session.network, session.data
    network.set_training(False)
    pooled, session.pretrained = session.pretrained, None
    if pooled is None:
        with session.accelerator.autocast():
            pooled = session.stories.all_pooled(network, lambda story: session.between())
    if epoch and session.config.head.refit == "epoch" and network.learns_responses:
        refit_head(session, keeper, at, optimiser, pooled.head)
    loss = validation_loss(session, pooled.head)
    own = head_score(session, pooled.head) if network.learns_responses else None
    score = own if own and network.frozen else fresh_score(session, pooled.plain)
    best = epoch > 0 and (session.config.keep == "last" or at.best_r is None or score.r > at.best_r)
    name = f"best-{epoch:04d}"
    if best:
        write_checkpoint(session.folder, name, trained_tensors(network), {"epoch": epoch})
    row: dict[str, Any] = {
        "kind": "epoch",
        "epoch": epoch,
        "train_loss": float(np.mean(at.losses)) if at.losses else None,
        "validation_loss": loss,
        "validation_r": score.r,
        "best": best,
        "validation_r_by_subject": score.by_subject,
        "head_validation_r": own.r if own else None,
        "n_targets": sum(data.n_targets.values()),
    }
    with keeper.changing():
        at.epochs.append(row)
        if best:
            at.best_epoch, at.best_r, at.best_checkpoint = epoch, score.r, name
        if epoch:
            at.epoch, at.done, at.losses = epoch + 1, 0, []
    session.report(row)


def validation_loss(session: Session, pooled: dict[tuple[str, str], np.ndarray]) -> float:
    """Return the loss of the head being trained, averaged over validation stories and their subjects."""
    data, device = session.data, session.accelerator.device
    with session.accelerator.autocast():
        own = session.network.own_validation_loss(session.stories)
    if own is not None:
        return own
    losses = []
    with torch.no_grad():
        for story in data.validation_stories:
            for subject in (s for s in data.subjects if story in data.validation[s]):
                key = session.stories.rows_of(story, subject)
                Y = torch.from_numpy(data.responses(story, subject)).to(device)
                X: dict[Hashable, torch.Tensor] = {key: torch.from_numpy(pooled[story, key]).to(device)}
                losses.append(float(session.network.loss_of(X, [Part(subject, key, 0, Y)])))
    return float(np.mean(losses))


def fresh_score(session: Session, plain: dict[tuple[str, str], np.ndarray]) -> Score:
    """Return the score of a fresh ridge on the frozen features: the one that chooses the epoch.

    Where no block is tuned these features never change, and the head's own score chooses.
    """
    rows_of = session.stories.rows_of
    device = session.accelerator.device.type
    return fresh_ridge(lambda story, s: plain[story, rows_of(story, s)], rows_of, session.data, session.config, device)


def head_score(session: Session, pooled: dict[tuple[str, str], np.ndarray]) -> Score:
    """Return the score of the predictions of the head being trained."""

    def predicted(story: str, subject: str) -> np.ndarray:
        X = torch.from_numpy(pooled[story, session.stories.rows_of(story, subject)]).to(session.accelerator.device)
        with torch.no_grad():
            P: np.ndarray = session.network.head(X, subject).cpu().numpy()
        return P

    return score_of(predicted, session.data)


def out_of_patience(at: Position, patience: int | None) -> bool:
    """Return whether ``patience`` epochs have passed since the one with the best score, whichever is kept."""
    scores = [row["validation_r"] for row in at.epochs if row["epoch"] > 0]
    return patience is not None and bool(scores) and len(scores) - 1 - int(np.argmax(scores)) >= patience
