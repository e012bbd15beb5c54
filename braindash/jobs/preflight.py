"""Look before the leap: what a fine-tune would do, need and cost, and what would stop it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from braindash.config import Home, TuneConfig
from braindash.errors import BraindashError
from braindash.jobs.command import command_for
from braindash.runs.leaks import refuse_leaks

if TYPE_CHECKING:
    from braindash.speech.catalogue import ModelInfo
    from braindash.studies.base import Study

GB = 1e9
HIGH_FULL_RATE = 1e-3  # learning rates from about here on undo what whole blocks have learnt


class Problem(BaseModel):
    """Something that must be changed before the run can start."""

    what: str
    remedy: str


class Preflight(BaseModel):
    """What is known before a fine-tune. What could not be found out is None."""

    command: str
    problems: list[Problem] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)
    subjects: list[str] = Field(default_factory=list)
    n_stories: dict[str, int] = Field(default_factory=dict)  # by part of the split
    n_targets: int | None = None  # tuned on, over all subjects
    n_excluded: int | None = None  # left out as not finite or constant; None until the responses were read
    targets: dict[str, dict[str, int]] = Field(default_factory=dict)  # counts by subject
    n_parameters: int | None = None  # that are trained
    n_steps: int | None = None
    seconds_per_step: float | None = None
    estimated_seconds: float | None = None  # to tune
    evaluation_seconds: float | None = None  # to evaluate afterwards; None where the run is not to be evaluated
    checkpointing: str = ""  # whether activations are computed again, and why: a sentence
    memory_needed: int | None = None  # bytes
    memory_available: int | None = None
    disk_needed: int | None = None  # bytes
    disk_free: int | None = None
    device: str = ""
    precision: str = ""
    leak_check: str = ""  # what was found: a sentence

    @property
    def ok(self) -> bool:
        return not self.problems

    def lines(self) -> list[str]:
        """Return it as lines of plain text."""
        from braindash.jobs.words import duration, size
        from braindash.tuning.selection import left_out

        def pair(label: str, text: str) -> list[str]:
            return [f"{label:<10}{text}"] if text else []

        out = []
        if self.subjects:
            parts = ", ".join(f"{n} {part}" for part, n in self.n_stories.items())
            out += pair("stories", f"{parts}; subjects {', '.join(self.subjects)}")
        for subject, c in self.targets.items():
            out += pair(
                "targets",
                f"{subject}: {c['n_targets']} of {c['n_all']} ({left_out(c, read=self.n_excluded is not None)})",
            )
        steps = f"{self.n_steps} steps" if self.n_steps is not None else ""
        if steps and self.seconds_per_step is not None:
            steps += f" of {self.seconds_per_step:.2f} s"
        out += pair("steps", steps)
        out += pair("weights", f"{self.n_parameters:,} trained" if self.n_parameters is not None else "")
        for label, seconds, doing in (
            ("time", self.estimated_seconds, "tune"),
            ("then", self.evaluation_seconds, "evaluate"),
        ):
            out += pair(label, f"about {duration(seconds)} to {doing}" if seconds is not None else "")
        out += pair("device", " ".join(p for p in (self.device, self.precision) if p))
        if self.memory_needed is not None and self.memory_available is not None:
            out += pair("memory", f"{size(self.memory_needed)} needed, {size(self.memory_available)} free")
        out += pair("", self.checkpointing)
        if self.disk_needed is not None and self.disk_free is not None:
            out += pair("disk", f"{size(self.disk_needed)} needed, {size(self.disk_free)} free")
        out += pair("leaks", self.leak_check)
        out += [f"note: {n}" for n in self.notes]
        out += [f"problem: {p.what} {p.remedy}" for p in self.problems]
        return [*out, "", self.command]


def preflight(config: TuneConfig, home: Home, timed: bool = True) -> Preflight:
    """Check a configuration against the study, the model and the machine; start nothing.

    Parameters
    ----------
    config : TuneConfig
    home : Home
    timed : bool
        Also read all responses, load the model and time a step (seconds to a minute). Without it
        only headers are read, and n_excluded, time and memory stay None.

    Returns
    -------
    Preflight
        Every problem found, not the first alone.
    """
    found = Preflight(command=command_for(config))
    study: Study | None = None
    info: ModelInfo | None = None
    with _noting(found):
        from braindash.tuning.objectives import get_loss

        get_loss(config.loss)
    with _noting(found):
        from braindash.tuning.trackers import check_trackers

        check_trackers(config.trackers)
    with _noting(found):
        if config.recipe == "imported":
            raise BraindashError(
                "The recipe imported trains nothing.",
                "Choose lora, full or head; for a model tuned elsewhere: braindash model evaluate REF --study ID.",
            )
        study = _open_study(config, home)
    with _noting(found):
        info = _describe(config, home)
    with _noting(found):
        from braindash.tuning.device import choose_device, choose_precision

        device = choose_device(config.device)
        found.device, found.precision = str(device), choose_precision(config.precision, device)
    if study is not None:
        _check_study(found, study, config)
        if info is not None and not found.problems:
            _check_control(found, study, info, config)
        with _noting(found):
            refuse_leaks(study, [config.model], home)
            found.leak_check = (
                f"no test story ({', '.join(study.split.test) or 'none'}) is among those tuned or chosen on"
            )
    _measure_machine(found, home)
    if study is not None and info is not None:
        found.disk_needed = _disk_needed(study, info, config)
        if found.disk_free is not None and found.disk_needed > found.disk_free:
            found.problems.append(
                Problem(
                    what=f"The run needs about {found.disk_needed / GB:.1f} GB of disk; {found.disk_free / GB:.1f} GB "
                    f"are free at {home.path}.",
                    remedy="Free some (braindash cache prune), or choose another home.",
                )
            )
        if timed and not found.problems:
            with _noting(found):
                _time(found, study, config, home)
    return found


@contextmanager
def _noting(found: Preflight) -> Iterator[None]:
    try:
        yield
    except BraindashError as error:
        problem = Problem(what=error.what, remedy=error.remedy)
        if problem not in found.problems:
            found.problems.append(problem)


def _open_study(config: TuneConfig, home: Home) -> Study:
    from braindash.studies.library import open_study

    return open_study(config.study, home)


def _describe(config: TuneConfig, home: Home) -> ModelInfo:
    from braindash.speech.catalogue import describe

    info = describe(config.model, home)
    if info.problem:
        raise BraindashError(info.problem, "Choose another model.")
    wrong = [k for k in (config.encoding.layers or ()) if not 0 <= k <= info.n_layers]
    if wrong:
        raise BraindashError(
            f"encoding.layers names layer {wrong[0]}, but {info.id} has layers 0 to {info.n_layers}.", "Leave it out."
        )
    if config.layer is not None and config.layer > info.n_layers:
        raise BraindashError(
            f"layer is {config.layer}, but {info.id} has layers 1 to {info.n_layers} to tune.",
            f"Set layer to {info.n_layers} or less, or leave it empty for the last.",
        )
    first = {"lora": config.lora.first_block, "full": config.full.first_block}.get(config.recipe)
    last = (config.layer or info.n_layers) - 1
    if first is not None and first > last:
        raise BraindashError(
            f"{config.recipe}.first_block is {first}, but the head reads layer {last + 1}: no block would be tuned.",
            f"Set {config.recipe}.first_block to {last} or less.",
        )
    return info


def _check_study(found: Preflight, study: Study, config: TuneConfig) -> None:
    from braindash.tuning.data import TuningData
    from braindash.tuning.schedule import count_steps

    with _noting(found):
        data = TuningData(study, config)
        found.subjects = list(data.subjects)
        found.n_stories = {
            "tune": len(data.tune_stories),
            "validation": len(data.validation_stories),
            "test": len({s for subject in data.subjects for s in study.stories_of("test", subject)}),
        }
        if config.evaluate and not found.n_stories["test"]:
            found.notes.append("No chosen subject heard a test story: the run cannot be evaluated.")
        found.n_steps = config.optimiser.epochs * count_steps(data, config)
        _count_targets(found, study, config, read=False)
    if config.recipe == "full" and config.optimiser.lr > HIGH_FULL_RATE:
        found.notes.append(
            f"optimiser.lr is {config.optimiser.lr:g}: high for whole blocks, whose published rate is 5e-5."
        )
    if study.simulated:
        found.notes.append("The subjects of this study are simulated.")


def _check_control(found: Preflight, study: Study, info: ModelInfo, config: TuneConfig) -> None:
    from braindash.tuning.controls import refuse
    from braindash.wording import explain

    with _noting(found):
        refuse(study, info, config)
        if config.control != "none":
            found.notes.append(f"A control. {explain(config.control)}")


def _measure_machine(found: Preflight, home: Home) -> None:
    import psutil

    found.memory_available = int(psutil.virtual_memory().available)
    folder = home.path
    while not folder.exists():
        folder = folder.parent
    found.disk_free = int(shutil.disk_usage(folder).free)


def _disk_needed(study: Study, info: ModelInfo, config: TuneConfig) -> int:
    """Return an upper estimate in bytes: cached states, checkpoints, features and results of the evaluation."""
    subjects = [s for s in (config.subjects or study.subjects) if s in study.subjects]
    seconds = sum(story.duration for story in study.stories.values())
    n_trs = seconds / study.tr
    states = 50 * seconds * info.width * 4  # the frozen front's output; 50 frames a second, float32
    trained = {"lora": info.n_bytes / 10, "full": info.n_bytes}.get(config.recipe, 0)
    checkpoints = (config.keep_checkpoints + 3) * 3 * trained
    evaluated = 0.0
    if config.evaluate:
        features = 2 * (info.n_layers + 1) * n_trs * info.width * 4
        targets = sum(len(study.targets(s)) for s in subjects)
        evaluated = features + 3 * (info.n_layers + 1) * targets * 4 * (5 + len(study.split.test))
    return int(states + checkpoints + evaluated + 50e6)


def _time(found: Preflight, study: Study, config: TuneConfig, home: Home) -> None:
    import psutil

    from braindash.jobs.evaluation_cost import analyses_seconds, evaluation_seconds
    from braindash.speech.loading import open_model
    from braindash.tuning.estimate import estimate

    began = time.perf_counter()
    _count_targets(found, study, config, read=True)
    reading = 2 * (time.perf_counter() - began)  # once to choose the targets, once to tune on them
    model = open_model(config.model, home)
    result = estimate(study, model, config)
    found.n_steps = int(result["n_steps"])
    found.n_parameters = int(result["n_parameters_trained"])
    found.seconds_per_step = float(result["seconds_per_step"])
    found.estimated_seconds = float(result["seconds_total"]) + reading
    found.checkpointing = str(result["checkpointing_because"])
    if config.evaluate and found.n_stories.get("test"):
        found.evaluation_seconds = evaluation_seconds(study, model, config)
        found.evaluation_seconds += analyses_seconds(study, model, config.analyses)
    found.memory_needed = int(result["memory_gb"] * GB)
    if found.device.startswith("cuda"):
        found.memory_available = None  # what was measured is the card's memory, not the machine's
        return
    # what this process holds is in the need already, and the worker will hold it instead
    available = psutil.virtual_memory().available + psutil.Process().memory_info().rss
    found.memory_available = int(available)
    if found.memory_needed > available:
        found.problems.append(
            Problem(
                what=f"The run needs about {found.memory_needed / GB:.1f} GB of memory; "
                f"{available / GB:.1f} GB are free.",
                remedy="Set block_trs to fewer TRs a step or gradient_checkpointing to on, choose fewer targets (rois, "
                "min_ceiling), or close others.",
            )
        )


def _count_targets(found: Preflight, study: Study, config: TuneConfig, read: bool) -> None:
    from braindash.tuning.data import select_targets

    chosen = {s: select_targets(study, s, config, read=read) for s in (config.subjects or study.subjects)}
    found.targets = {s: selection.counts() for s, selection in chosen.items()}
    found.n_targets = sum(c["n_targets"] for c in found.targets.values())
    found.n_excluded = sum(c["n_excluded"] for c in found.targets.values()) if read else None
