"""One fine-tune from a study and a pretrained model to a model folder."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from braindash.config import TuneConfig
from braindash.errors import BraindashError

if TYPE_CHECKING:
    from braindash.speech.base import SpeechModel
    from braindash.studies.base import Study
    from braindash.tuning.checkpoints import Checkpoint
    from braindash.tuning.devices import Team
    from braindash.tuning.loop import Session
    from braindash.tuning.position import Position

CHECKPOINTS, CACHE, MODEL, TRACKERS = "checkpoints", "cache", "model", "trackers"
# Settings that the course of training does not depend on: labels, what is written on the way, what follows.
NOT_TRAINING = frozenset(
    {"name", "group", "preset", "evaluate", "analyses", "keep_checkpoints", "checkpoint_steps", "trackers", "device",
     "gradient_checkpointing", "halve_on_memory"}
)  # fmt: skip


@dataclass(frozen=True)
class TuneResult:
    """What a fine-tune came to.

    Attributes
    ----------
    best_epoch : int
        The epoch that was kept, from 1; 0 if none was finished. With ``keep`` last, the last one.
    best_validation_r : float or None
        Its score: mean over targets of the correlation on the validation stories.
    pretrained_validation_r : float or None
        The same for the model before tuning.
    n_targets, n_excluded : int
        Targets tuned on, and those of the chosen ones left out as not finite or constant, over all subjects.
    targets : dict of subject to counts
    stopped : bool
        True if the caller asked to stop; the run can be resumed.
    model_dir : Path or None
        The model folder; None if stopped.
    epochs : DataFrame
        One row an epoch, epoch 0 (pretrained) first.
    device, precision : str
    """

    best_epoch: int
    best_validation_r: float | None
    pretrained_validation_r: float | None
    n_targets: int
    n_excluded: int
    targets: dict[str, dict[str, int]]
    stopped: bool
    model_dir: Path | None
    epochs: pd.DataFrame
    device: str
    precision: str


def tune(
    study: Study,
    model: SpeechModel,
    config: TuneConfig,
    workspace: Path,
    *,
    progress: Callable[[dict[str, Any]], None],
    should_stop: Callable[[], bool],
    resume: bool = False,
) -> TuneResult:
    """Tune ``model`` on the responses of ``study``.

    Called in several processes under torch's RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT, it is one
    fine-tune that they share (see `braindash.tuning.devices`): process 0 reports and writes, a stop asked
    for in any of them stops all, and all return the same.

    Parameters
    ----------
    study : Study
    model : SpeechModel
        Changed in place while tuning runs; as it was afterwards.
    config : TuneConfig
    workspace : Path
        Holds ``checkpoints/``, ``cache/`` while it runs, ``trackers/`` where there are any, and at the
        end ``model/``.
    progress : callable
        Called with rows of kind "step" (step, n_steps, epoch, loss, lr, grad_norm,
        seconds), "epoch" (epoch, train_loss, validation_loss, validation_r, best, …)
        and "log" (text). On resuming, a log row's ``resumed_from_step`` and
        ``resumed_from_epoch`` say from where: later step and epoch rows of the
        earlier session are repeated.
    should_stop : callable
        Asked between steps and between stories.
    resume : bool
        Go on from the newest whole checkpoint; otherwise earlier checkpoints are removed.

    Raises
    ------
    BraindashError
        For every mistake in the settings or the data, a loss that stops being finite,
        modules that get no gradient, a full disk.
    LeakageError
        If a test story would be seen.
    """
    from braindash.tuning.devices import join

    team = join()
    with team.together():
        told = progress if team.main else (lambda row: None)
        return _tune(team, study, model, config, workspace, told, should_stop, team.from_main(lambda: resume))


def _tune(
    team: Team,
    study: Study,
    model: SpeechModel,
    config: TuneConfig,
    workspace: Path,
    progress: Callable[[dict[str, Any]], None],
    should_stop: Callable[[], bool],
    resume: bool,
) -> TuneResult:
    """Tune in one process of a team; see `tune`."""
    from braindash.features.lags import tuning_for_signal
    from braindash.tuning import loop
    from braindash.tuning.build import make_network, recipe_of, starting_model
    from braindash.tuning.checkpoints import read_newest
    from braindash.tuning.data import TuningData
    from braindash.tuning.device import choose_device, choose_precision, make_accelerator
    from braindash.tuning.devices import own_device
    from braindash.tuning.fast import DEFAULT_PRODUCTS, fast_linears
    from braindash.tuning.objectives import get_loss
    from braindash.tuning.output import describe_model, save_model
    from braindash.tuning.position import position_of, seeded
    from braindash.tuning.recipes import resolve_layer
    from braindash.tuning.selection import left_out
    from braindash.tuning.stories import Stories
    from braindash.tuning.trackers import check_trackers, followed

    def log(text: str, **more: Any) -> None:
        progress({"kind": "log", "text": text, **more})

    config = tuning_for_signal(config, study.signal, study.tr)
    layer = resolve_layer(model, config)
    get_loss(config.loss)  # a mistake in it is told before anything is read
    check_trackers(config.trackers)
    device = choose_device(own_device(config.device))
    precision = team.from_main(lambda: choose_precision(config.precision, device))
    data = TuningData(study, config)
    model = starting_model(model, data)
    counts = {s: selection.counts() for s, selection in data.selections.items()}
    for subject, c in counts.items():
        log(
            f"{subject}: {c['n_targets']} of {c['n_all']} targets ({left_out(c)}), "
            f"{len(data.tune[subject])} tuning and {len(data.validation[subject])} validation stories."
        )
    about = {**describe_model(model, config, data, layer), "caveats": list(study.caveats)}
    identity = {"run": digest(about), "model": model.identity, "precision": precision}

    folder = workspace / CHECKPOINTS
    checkpoint = None
    if resume:
        checkpoint = team.from_main(lambda: read_newest(folder, log))
        check_same_run(checkpoint, identity)
    elif team.main:
        for old in (folder, workspace / MODEL, workspace / TRACKERS):
            shutil.rmtree(old, ignore_errors=True)

    home = model.device
    with (
        seeded(config.seed, device),
        recipe_of(config)(model, config, layer) as prepared,
        fast_linears(model, prepared.first_block, layer, device) as products,
    ):
        try:
            accelerator = make_accelerator(device, precision)
            model.encoder.to(accelerator.device)
            network = make_network(model, prepared, layer, data).to(accelerator.device)
            stories = Stories(model, data, config, prepared.first_block, workspace / CACHE)
            names = config.trackers if team.main else ()
            at = position_of(checkpoint) if checkpoint else None
            with followed(names, workspace / TRACKERS, at, about["config"], progress) as told:
                session = loop.Session(
                    network, stories, data, config, accelerator, folder, identity, told, should_stop, team
                )
                log(describe(session, precision))
                if products != DEFAULT_PRODUCTS:
                    log(f"Frozen weights are multiplied by {products}.")
                position, stopped = run(session, checkpoint, resume, log)
            pretrained = position.epochs[0]["validation_r"] if position.epochs else None
            model_dir = None if stopped else workspace / MODEL
            if not stopped and team.main:
                about["outcome"] = keep_best(session, position, log) | {"precision": precision}
                save_model(workspace / MODEL, prepared, network.head, about, model)
                stories.prefix.clear()
        finally:
            model.encoder.to(home)
    return TuneResult(
        best_epoch=position.best_epoch,
        best_validation_r=position.best_r,
        pretrained_validation_r=pretrained,
        n_targets=sum(c["n_targets"] for c in counts.values()),
        n_excluded=sum(c["n_excluded"] for c in counts.values()),
        targets=counts,
        stopped=stopped,
        model_dir=model_dir,
        epochs=pd.DataFrame([{k: v for k, v in row.items() if k != "kind"} for row in position.epochs]),
        device=str(device),
        precision=precision,
    )


def run(
    session: Session, checkpoint: Checkpoint | None, resume: bool, log: Callable[..., None]
) -> tuple[Position, bool]:
    """Start the head or take up the checkpoint, then train; return the position and whether it was stopped."""
    from braindash.tuning import loop
    from braindash.tuning.position import Position
    from braindash.tuning.starting import start_head

    try:
        if checkpoint is None:
            if resume:
                log("There is no whole checkpoint: starting again.", resumed_from_step=0, resumed_from_epoch=0)
            start_head(session, log)
        else:
            at = checkpoint.state
            running = at["epoch"] if at["epochs"] else 0  # 0: the pretrained model was not scored yet
            log(f"Resumed from step {at['step']}.", resumed_from_step=at["step"], resumed_from_epoch=running)
        return loop.train(session, checkpoint)
    except loop.StopRequested:  # while the pretrained features were computed: there is nothing to keep yet
        return Position(), True


def keep_best(session: Session, position: Position, log: Callable[..., None]) -> dict[str, Any]:
    """Put the weights of the epoch that is kept into the network and return what the run came to."""
    from braindash.tuning.checkpoints import DamagedError, read_checkpoint
    from braindash.tuning.position import load_trained

    assert position.best_checkpoint is not None
    assert position.best_r is not None
    try:
        best = read_checkpoint(session.folder / position.best_checkpoint)
    except DamagedError as error:
        raise BraindashError(
            f"The weights of the epoch to keep, {position.best_epoch}, cannot be read back: {error}.",
            "Check the disk, then resume the run: it goes on from the last checkpoint that is whole.",
        ) from error
    load_trained(session.network, best.tensors)
    pretrained = position.epochs[0]["validation_r"]
    if position.best_r <= pretrained:
        log(
            f"The model predicted the validation stories better before tuning (r {pretrained:.4f}) than at the "
            f"{session.config.keep} epoch, {position.best_epoch} (r {position.best_r:.4f}); that epoch is kept all "
            "the same."
        )
    return {
        "keep": session.config.keep,
        "best_epoch": position.best_epoch,
        "best_validation_r": position.best_r,
        "pretrained_validation_r": pretrained,
        "steps": position.step,
    }


def describe(session: Session, precision: str) -> str:
    """Return a line on what is trained, where and how."""
    network, model, prefix = session.network, session.stories.model, session.stories.prefix
    head = f"{sum(p.numel() for p in network.head.parameters()):,} weights of the head"
    where = f"{precision} on {session.accelerator.device}"
    if network.frozen:
        return f"Training {head}; {where}."
    n = sum(p.numel() for _, p in network.adapters())
    kept = (
        "computed anew every time" if prefix.where == "nowhere" else f"kept in {prefix.where.replace('disk', 'files')}"
    )
    return (
        f"Training {n:,} weights in blocks {network.first_block} to {network.layer - 1} of {model.id} and {head}; "
        f"{where}; what enters block {network.first_block} is {kept} ({prefix.n_bytes / 1e6:.0f} MB)."
    )


def check_same_run(checkpoint: Checkpoint | None, identity: dict[str, Any]) -> None:
    """Raise BraindashError unless the checkpoint was written by a run with the same settings, data and model."""
    if checkpoint is None:
        return
    was = checkpoint.state["identity"]
    names = {"run": "settings, stories or targets", "model": "speech model", "precision": "precision"}
    changed = [names[k] for k in names if was.get(k) != identity[k]]
    if changed:
        raise BraindashError(
            f"Checkpoint {checkpoint.path.name} was written with other {' and '.join(changed)}: it cannot be resumed.",
            "Start a new run, or bring back what was changed.",
        )


def digest(about: dict[str, Any]) -> str:
    """Return a hash of what decides the course of training; labels and what follows tuning are left out."""
    config = {k: v for k, v in about["config"].items() if k not in NOT_TRAINING}
    return hashlib.sha256(json.dumps({**about, "config": config}, sort_keys=True).encode()).hexdigest()
