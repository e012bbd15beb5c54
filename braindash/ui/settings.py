"""Every setting of a fine-tune as the form shows it: label, unit, group, default, help.

Settings are found by walking ``TuneConfig``; a setting that is added there appears in the
form by itself, under its own name, in the group "Further settings".
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MaxLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from braindash.config import TuneConfig
from braindash.errors import BraindashError

Kind = Literal["choice", "switch", "integer", "decimal", "text", "integers", "decimals", "names"]
Path = tuple[str, ...]

MAIN = "What is tuned on what"
DATA = "Subjects and regions"
LORA = "LoRA adapters"
FULL = "Full tuning"
HEAD = "Head"
OPTIMISER = "Learning"
WINDOWS = "Windows and delays"
EVALUATION = "Evaluation after tuning"
MACHINE = "Machine, checkpoints, seed"
FURTHER = "Further settings"
GROUPS = (DATA, LORA, FULL, HEAD, OPTIMISER, WINDOWS, EVALUATION, MACHINE, FURTHER)

# path: (group, label, unit, what an empty field means)
_SHOWN: dict[str, tuple[str, str, str, str]] = {
    "study": (MAIN, "Study", "", ""),
    "model": (MAIN, "Speech model", "", ""),
    "recipe": (MAIN, "Recipe", "", ""),
    "loss": (MAIN, "Loss", "", ""),
    "control": (MAIN, "Control", "", ""),
    "name": (MAIN, "Name of the run", "", ""),
    "subjects": (DATA, "Subjects", "", "all subjects"),
    "rois": (DATA, "Regions tuned on", "", "every target"),
    "hemi": (DATA, "Hemisphere tuned on", "", ""),
    "mask": (DATA, "Mask file", "", "no mask"),
    "min_ceiling": (DATA, "Lowest noise ceiling", "correlation", ""),
    "permute_block": (DATA, "Permuted block", "TRs", ""),
    "lora.rank": (LORA, "Rank", "", ""),
    "lora.alpha": (LORA, "Alpha", "", ""),
    "lora.dropout": (LORA, "Dropout", "fraction", ""),
    "lora.targets": (LORA, "Adapted layers", "", "all six"),
    "lora.first_block": (LORA, "First tuned block", "", "upper half"),
    "full.first_block": (FULL, "First trained block", "", ""),
    "head.kind": (HEAD, "Kind", "", ""),
    "head.rank": (HEAD, "Rank", "", ""),
    "head.init": (HEAD, "Start", "", ""),
    "head.refit": (HEAD, "Solved again", "", ""),
    "head.pooling": (HEAD, "Frames of a TR", "", ""),
    "head.shared_output": (HEAD, "One output for all subjects", "", ""),
    "layer": (HEAD, "Layer that feeds the head", "", "last"),
    "optimiser.lr": (OPTIMISER, "Learning rate, model", "", ""),
    "optimiser.head_lr": (OPTIMISER, "Learning rate, head", "", ""),
    "optimiser.kind": (OPTIMISER, "Optimiser", "", ""),
    "optimiser.epochs": (OPTIMISER, "Epochs", "passes", ""),
    "optimiser.patience": (OPTIMISER, "Patience", "epochs", "never stop early"),
    "keep": (OPTIMISER, "Epoch kept", "", ""),
    "optimiser.schedule": (OPTIMISER, "Schedule", "", ""),
    "optimiser.warmup_steps": (OPTIMISER, "Warm-up", "steps", ""),
    "optimiser.warmup_fraction": (OPTIMISER, "Warm-up", "share of all steps", "as many steps as are set"),
    "optimiser.weight_decay": (OPTIMISER, "Weight decay", "", ""),
    "optimiser.clip": (OPTIMISER, "Gradient clipping", "norm", ""),
    "block_trs": (OPTIMISER, "Length of a step", "TRs", "a whole story"),
    "stories_per_step": (OPTIMISER, "Stories a step", "", ""),
    "pairs": (OPTIMISER, "One subject a step", "", ""),
    "window.context": (WINDOWS, "Window", "s", ""),
    "window.stride": (WINDOWS, "Stride", "s", ""),
    "window.readout": (WINDOWS, "Read-out", "", ""),
    "delays": (WINDOWS, "Delays", "TRs", ""),
    "evaluate": (EVALUATION, "Evaluate when tuning ends", "", ""),
    "analyses": (EVALUATION, "Besides encoding", "", "encoding alone"),
    "encoding.layers": (EVALUATION, "Layers", "", "all layers"),
    "encoding.window.context": (EVALUATION, "Window", "s", ""),
    "encoding.window.stride": (EVALUATION, "Stride", "s", ""),
    "encoding.window.readout": (EVALUATION, "Read-out", "", ""),
    "encoding.delays": (EVALUATION, "Delays", "TRs", ""),
    "encoding.lags": (EVALUATION, "Lags, electrodes", "s", ""),
    "encoding.lag_step": (EVALUATION, "Step of the lags, electrodes", "s", ""),
    "encoding.lag_components": (EVALUATION, "Components lagged, electrodes", "", "the whole layer"),
    "encoding.alphas": (EVALUATION, "Ridge penalties", "", ""),
    "encoding.select": (EVALUATION, "Penalty chosen by", "", ""),
    "encoding.ceiling": (EVALUATION, "Noise ceiling from", "", ""),
    "encoding.ceiling_threshold": (EVALUATION, "Lowest noise ceiling", "correlation", ""),
    "encoding.n_boot": (EVALUATION, "Bootstrap samples", "", ""),
    "encoding.n_permutations": (EVALUATION, "Permutations", "", ""),
    "encoding.block_trs": (EVALUATION, "Block that a permutation moves", "TRs", ""),
    "encoding.fdr": (EVALUATION, "False discovery rate", "", ""),
    "encoding.seed": (EVALUATION, "Bootstrap seed", "", ""),
    "gradient_checkpointing": (MACHINE, "Gradient checkpointing", "", ""),
    "halve_on_memory": (MACHINE, "Halve the step when memory runs out", "", ""),
    "trackers": (MACHINE, "Trackers", "", "the run's own files only"),
    "precision": (MACHINE, "Precision", "", ""),
    "device": (MACHINE, "Device", "", ""),
    "checkpoint_steps": (MACHINE, "Checkpoint every", "steps", ""),
    "keep_checkpoints": (MACHINE, "Checkpoints kept", "", ""),
    "seed": (MACHINE, "Seed", "", ""),
}
# the version of the format; labels that are set by how a run is launched
_HIDDEN = {"braindash", "group", "preset"}


@dataclass(frozen=True)
class Setting:
    """One setting of ``TuneConfig``, found by its path, e.g. ``("lora", "rank")``."""

    path: Path
    kind: Kind
    optional: bool
    default: Any
    label: str
    unit: str
    group: str
    help: str
    empty: str
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    max_length: int | None = None

    @property
    def dotted(self) -> str:
        return ".".join(self.path)

    @property
    def title(self) -> str:
        return f"{self.label} ({self.unit})" if self.unit else self.label


def settings() -> list[Setting]:
    """Return every setting, in the order in which the form shows them."""
    found = [s for s in _walk(TuneConfig, ()) if s.dotted not in _HIDDEN]
    order = {name: i for i, name in enumerate(_SHOWN)}
    return sorted(found, key=lambda s: order.get(s.dotted, len(order)))


def _walk(kind: type[BaseModel], prefix: Path) -> list[Setting]:
    out: list[Setting] = []
    for name, info in kind.model_fields.items():
        annotation = info.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            out += _walk(annotation, (*prefix, name))
        else:
            out.append(_setting((*prefix, name), info))
    return out


def _setting(path: Path, info: FieldInfo) -> Setting:
    kind, optional, choices = _kind(info.annotation)
    dotted = ".".join(path)
    plain = path[-1].replace("_", " ").capitalize()
    group, label, unit, empty = _SHOWN.get(dotted, (FURTHER, plain, "", "not set"))
    low = high = None
    max_length = None
    for rule in info.metadata:
        if isinstance(rule, Ge):
            low = rule.ge
        elif isinstance(rule, Le):
            high = rule.le
        elif isinstance(rule, Lt) and kind == "integer":
            high = rule.lt - 1  # type: ignore[operator]
        elif isinstance(rule, Gt) and kind == "integer":
            low = rule.gt + 1  # type: ignore[operator]
        elif isinstance(rule, MaxLen):
            max_length = rule.max_length
    default = None if info.is_required() else info.get_default(call_default_factory=True)
    return Setting(
        path,
        kind,
        optional,
        default,
        label,
        unit,
        group,
        info.description or "",
        empty,
        choices,
        low,  # type: ignore[arg-type]
        high,  # type: ignore[arg-type]
        max_length,
    )


def _kind(annotation: Any) -> tuple[Kind, bool, tuple[str, ...]]:
    optional = False
    if get_origin(annotation) in (Union, types.UnionType):
        inner = [a for a in get_args(annotation) if a is not type(None)]
        optional = len(inner) < len(get_args(annotation))
        annotation = inner[0]
    if get_origin(annotation) is Literal:
        # "imported" is what a run of a model tuned elsewhere has: nothing that a form could start
        return "choice", optional, tuple(str(a) for a in get_args(annotation) if a != "imported")
    if get_origin(annotation) is tuple:
        item = get_args(annotation)[0]
        if get_origin(item) is Literal:
            return "names", optional, tuple(str(a) for a in get_args(item))
        return ("integers" if item is int else "decimals" if item is float else "names"), optional, ()
    simple: dict[type, Kind] = {bool: "switch", int: "integer", float: "decimal", str: "text"}
    return simple.get(annotation, "text"), optional, ()


def default_text(setting: Setting, names: Mapping[str, str] | None = None) -> str:
    """Return the default as the form's help says it."""
    value = setting.default
    if value is None or value == () or value == "":
        return setting.empty
    if setting.kind == "choice" or str(value) in (names or {}):
        return (names or {}).get(str(value), str(value))
    if setting.kind == "switch":
        return "on" if value else "off"
    if setting.kind == "names":
        return ", ".join((names or {}).get(str(v), str(v)) for v in value)
    if isinstance(value, tuple):
        return join_numbers(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def join_numbers(values: tuple[float, ...] | tuple[int, ...]) -> str:
    return ", ".join(f"{v:.6g}" for v in values)


def parse_numbers(text: str, setting: Setting) -> tuple[float, ...] | None:
    """Read ``"1, 2, 3"`` as the setting's numbers; an empty text is None where that is allowed."""
    parts = text.replace(";", ",").replace(" ", ",").split(",")
    numbers: list[float] = []
    for part in (p for p in parts if p):
        try:
            numbers.append(int(part) if setting.kind == "integers" else float(part))
        except ValueError:
            wanted = "whole numbers" if setting.kind == "integers" else "numbers"
            raise BraindashError(
                f"{setting.group}, {setting.label}: {part!r} is not one of the {wanted} that are needed.",
                "Write them with commas between, such as 1, 2, 3.",
            ) from None
    return None if not numbers and setting.optional else tuple(numbers)


def value_at(config: TuneConfig, path: Path) -> Any:
    """Return one setting of a configuration."""
    value: Any = config
    for part in path:
        value = getattr(value, part)
    return value


def nested(values: Mapping[Path, Any]) -> dict[str, Any]:
    """Turn values by path into the nested mapping that ``validate(TuneConfig, …)`` takes."""
    out: dict[str, Any] = {}
    for path, value in values.items():
        place = out
        for part in path[:-1]:
            place = place.setdefault(part, {})
        place[path[-1]] = value
    return out
