"""The training loop: steps, validation, the best epoch, checkpoints.

Everything that a later step depends on is in the checkpoint or follows from the
seed and the position, so a run that was stopped and resumed at any step goes on
exactly as one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from braindash.config import TuneConfig
from braindash.tuning import checks
from braindash.tuning.checkpoints import Checkpoint, write_checkpoint
from braindash.tuning.data import TuningData
from braindash.tuning.devices import Team
from braindash.tuning.feeding import Feeder
from braindash.tuning.memory import StepMemory, choose_checkpointing, free_memory, is_out_of_memory, step_memory
from braindash.tuning.network import Network, Part
from braindash.tuning.optimiser import make_optimiser
from braindash.tuning.position import Keeper, Position, restore, trained_tensors
from braindash.tuning.schedule import Item, epoch_items, item_seed, rate, warmup_of
from braindash.tuning.shrinking import plan_epoch, take_smaller_steps
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
    team: Team = field(default_factory=Team)
    alpha: float | None = None  # penalty that the head was first solved with in this session
    pretrained: Rows[tuple[str, str], np.ndarray] | None = None  # of every story before the first step
    memory: StepMemory | None = None  # of the largest step

    @cached_property
    def feeder(self) -> Feeder[Item, Any]:
        """Makes the batches; ahead of time where that is reading alone, which draws no random numbers."""
        network, stories, device = self.network, self.stories, self.accelerator.device
        reads = network.learns_responses and not network.frozen and stories.prefix.where != "nowhere"
        return Feeder(lambda item: network.batch(stories, item, device), ahead=reads)

    def log(self, text: str) -> None:
        self.report({"kind": "log", "text": text})

    def between(self) -> None:
        """Leave off here, all processes together, if the caller of any asked to."""
        if self.team.agree(self.should_stop()):
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
        a device without enough memory.
    """
    config, network = session.config, session.network
    optimiser = make_optimiser(network, config.optimiser)
    # Not wrapped for several processes: `add_gradients` divides the work and adds up, which uneven shares ask for.
    module = session.accelerator.prepare_model(network, evaluation_mode=True)
    optimiser = session.accelerator.prepare_optimizer(optimiser)
    at = Position(alpha=session.alpha) if start is None else restore(start, network, optimiser)
    session.team.share([t for t in trained_tensors(network).values() if t.is_floating_point()])
    saved = start.path.name if start else ""
    keeper = Keeper(network, optimiser, at, session.folder, session.identity, config.keep_checkpoints, saved)
    keeper.writes = session.team.main
    try:
        with keeper.watching(session.should_stop, session.log), session.feeder:
            if not at.epochs:
                validate(session, keeper, at, optimiser, epoch=0)
            weigh_steps(session)
            run_epochs(session, keeper, at, module, optimiser)
    except StopRequested:
        keeper.save()
        return at, True
    finally:
        session.accelerator.free_memory()
    return at, False


def run_epochs(session: Session, keeper: Keeper, at: Position, module: Any, optimiser: Any) -> None:
    """Run the epochs that are left, writing checkpoints as they go."""
    config = session.config
    fresh = 0  # steps of this session: the first two are checked closely
    while at.epoch <= config.optimiser.epochs and not out_of_patience(at, config.optimiser.patience):
        steps, n_steps = plan_epoch(session, at)
        session.feeder.plan(own_items(session, steps[at.done :]))
        while at.done < len(steps):
            session.between()
            fresh += 1
            chosen = steps[at.done]
            try:
                take_step(session, keeper, at, module, optimiser, chosen, n_steps, check=fresh <= 2)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                failed = error.with_traceback(None)  # the traceback holds the tensors that did not fit
            else:
                if at.step % config.checkpoint_steps == 0 and at.done < len(steps):
                    keeper.save()
                continue
            optimiser.zero_grad(set_to_none=True)
            take_smaller_steps(session, keeper, at, chosen, failed)
            steps, n_steps = plan_epoch(session, at)
            session.feeder.plan(own_items(session, steps[at.done :]))
        validate(session, keeper, at, optimiser, epoch=at.epoch)
        keeper.save()


def own_items(session: Session, steps: list[list[Item]]) -> Iterator[Item]:
    """Yield the items that this process works, in order."""
    return (item for step in steps for item in step[session.team.rank :: session.team.size])


def weigh_steps(session: Session) -> None:
    """Count what the largest step keeps for its way back, and decide whether it is computed again instead."""
    network, stories, device = session.network, session.stories, session.accelerator.device
    wanted = session.config.gradient_checkpointing
    if not network.learns_responses or network.frozen:
        network.checkpointing = wanted == "on"
        return
    items = epoch_items(session.data, session.config)
    largest = max(items, key=stories.n_rows)
    with session.accelerator.autocast():
        session.memory = step_memory(network, network.batch(stories, largest, device))
    promised = stories.prefix.unfilled if device.type == "cpu" else 0
    network.checkpointing, said = choose_checkpointing(wanted, session.memory, free_memory(device) - promised)
    session.log(said)


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
    began, waited = time.perf_counter(), session.feeder.waited
    config, network = session.config.optimiser, session.network
    step = at.step + 1
    factor = rate(step, n_steps, warmup_of(config, n_steps), config.schedule)
    for group in optimiser.param_groups:
        group["lr"] = group["peak"] * factor
    before = {n: p.detach().clone() for n, p in network.adapters()} if check and step == 2 else {}

    network.set_training(True)
    optimiser.zero_grad(set_to_none=True)
    value = add_gradients(session, module, items, step)
    value = session.team.add_up([p for _, p in network.trained() if p.requires_grad], value)
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
        seconds = time.perf_counter() - began
        at.last_row = {
            "kind": "step",
            "step": step,
            "n_steps": n_steps,
            "epoch": at.epoch,
            "loss": value,
            "lr": config.lr * factor,
            "grad_norm": norm,
            "seconds": seconds,
            "busy": 1.0 - (session.feeder.waited - waited) / seconds,
        }
    session.report(at.last_row)


def add_gradients(session: Session, module: Any, items: list[Item], step: int) -> float:
    """Add this process's share to the gradient of the items' average loss, and return its share of that loss.

    What is random in an item (dropout) follows from the seed, the step and its place, not from what ran before
    it nor from which process works it.
    """
    total = 0.0
    for place, item in list(enumerate(items))[session.team.rank :: session.team.size]:
        torch.manual_seed(item_seed(session.config.seed, step, place))
        batch = session.feeder.take(item)
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
    network = session.network
    network.set_training(False)
    pooled, session.pretrained = session.pretrained, None
    if pooled is None:
        with session.accelerator.autocast():
            pooled = session.stories.all_pooled(network, lambda story: session.between(), session.team)
    if epoch and session.config.head.refit == "epoch" and network.learns_responses:
        refit_head(session, keeper, at, optimiser, pooled.head)
    row = session.team.from_main(lambda: score_epoch(session, at, epoch, pooled))
    with keeper.changing():
        at.epochs.append(row)
        if row["best"]:
            at.best_epoch, at.best_r, at.best_checkpoint = epoch, row["validation_r"], best_name(epoch)
        if epoch:
            at.epoch, at.done, at.losses = epoch + 1, 0, []
            at.halved, at.cuts = at.halved + len(at.cuts), []
    session.report(row)


def best_name(epoch: int) -> str:
    """Return the name of the checkpoint that holds the weights of an epoch."""
    return f"best-{epoch:04d}"


def score_epoch(
    session: Session, at: Position, epoch: int, pooled: Rows[tuple[str, str], np.ndarray]
) -> dict[str, Any]:
    """Return the row of an epoch, its weights written if they are to be kept."""
    network = session.network
    loss = validation_loss(session, pooled.head)
    own = head_score(session, pooled.head) if network.learns_responses else None
    score = own if own and network.frozen else fresh_score(session, pooled.plain)
    best = epoch > 0 and (session.config.keep == "last" or at.best_r is None or score.r > at.best_r)
    if best:
        write_checkpoint(session.folder, best_name(epoch), trained_tensors(network), {"epoch": epoch})
    return {
        "kind": "epoch",
        "epoch": epoch,
        "train_loss": float(np.mean(at.losses)) if at.losses else None,
        "validation_loss": loss,
        "validation_r": score.r,
        "best": best,
        "validation_r_by_subject": score.by_subject,
        "head_validation_r": own.r if own else None,
        "n_targets": sum(session.data.n_targets.values()),
    }


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
