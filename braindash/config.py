"""Where things live, and every setting of a fine-tune or an evaluation.

The command line, the Tune form and Python all build the same ``TuneConfig``;
what they cannot build is refused here, once, with the same words.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from braindash.errors import BraindashError, closest


@dataclass(frozen=True)
class Home:
    """A folder that holds studies, models, features, runs and cortex caches."""

    path: Path

    @classmethod
    def resolve(cls, path: str | os.PathLike[str] | None = None) -> Home:
        """Return the home at ``path``, else ``$BRAINDASH_HOME``, else ``./cache``."""
        chosen = path or os.environ.get("BRAINDASH_HOME") or "cache"
        return cls(Path(chosen).expanduser().resolve())

    @property
    def studies(self) -> Path:
        return self.path / "studies"

    @property
    def models(self) -> Path:
        return self.path / "models"

    @property
    def features(self) -> Path:
        return self.path / "features"

    @property
    def runs(self) -> Path:
        return self.path / "runs"

    @property
    def cortex(self) -> Path:
        return self.path / "cortex"


class _Settings(BaseModel):
    """Strict, immutable base: an unknown or misspelt key is an error, not a shrug."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class WindowConfig(_Settings):
    """How hidden states become one vector a TR.

    The field's own definition is ``context=16, stride=0.1, readout="last"``: a
    16-s window every 0.1 s, its last frame, Lanczos to the TR. ``tr_mean`` reads
    every TR that lies in the last ``stride`` seconds of a window as the mean of
    its frames; with ``stride == context`` each second of audio is seen once.
    """

    context: float = Field(16.0, gt=0, le=120, description="Seconds of audio in a window.")
    stride: float = Field(16.0, gt=0, description="Seconds from window to window.")
    readout: Literal["last", "mean", "tr_mean", "tr_window"] = Field(
        "tr_mean",
        description="What is read from a window: its last frame, the mean of all its frames, "
        "or the mean of the frames of each TR in its last `stride` seconds; tr_window: one window a TR, which ends "
        "at the TR's centre, the mean of all its frames (`stride` is not used).",
    )

    @model_validator(mode="after")
    def _stride_fits(self) -> Self:
        if self.readout != "tr_window" and self.stride > self.context:
            raise ValueError(f"stride ({self.stride:g} s) must not exceed context ({self.context:g} s)")
        return self


C = TypeVar("C", bound=BaseModel)

PAPER_WINDOW = WindowConfig(context=16.0, stride=0.1, readout="last")
DEFAULT_DELAYS = (1, 2, 3, 4)
DEFAULT_LAGS = (0.0, 0.4)  # seconds
DEFAULT_LAG_STEP = 0.02  # seconds: from frame to frame of most speech models
DEFAULT_BLOCK = 10  # TRs
DEFAULT_ALPHAS = tuple(float(10**e) for e in [x / 2 for x in range(15)])  # 1 … 1e7


class EncodingConfig(_Settings):
    """How responses are predicted from features."""

    window: WindowConfig = WindowConfig()
    delays: tuple[int, ...] = Field(DEFAULT_DELAYS, description="FIR delays, in TRs (electrodes: lags instead).")
    lags: tuple[float, float] = Field(
        DEFAULT_LAGS, description="First and last lag of the response behind the sound, in seconds (electrodes)."
    )
    lag_step: float = Field(DEFAULT_LAG_STEP, gt=0, le=1, description="Seconds from lag to lag (electrodes).")
    lag_components: int | None = Field(
        64, ge=1, description="Principal components of a layer that are lagged (electrodes); None: the whole layer."
    )
    alphas: tuple[float, ...] = Field(DEFAULT_ALPHAS, description="Ridge penalties tried (added to X'X).")
    select: Literal["r", "r2"] = Field("r", description="Score that chooses the penalty.")
    layers: tuple[int, ...] | None = Field(None, description="Layers to evaluate; all when empty.")
    ceiling: Literal["auto", "given", "repeats", "subjects", "none"] = Field(
        "auto",
        description="Noise ceiling: given with the study, from repeats of the test stories, from the other subjects "
        "(3 or more who share targets), none; auto: the first of these that there is.",
    )
    ceiling_threshold: float = Field(
        0.1, ge=0, lt=1, description="Targets whose noise ceiling is below this are excluded from r_norm, and counted."
    )
    n_boot: int = Field(1000, ge=100, description="Bootstrap samples behind every standard error.")
    n_permutations: int = Field(1000, ge=0, description="Block permutations behind every p value; 0: none.")
    block_trs: int = Field(DEFAULT_BLOCK, ge=1, description="TRs that a permutation moves together (electrodes: 5 s).")
    fdr: Literal["bh", "by"] = Field(
        "bh", description="False discovery rate: Benjamini-Hochberg, or Benjamini-Yekutieli."
    )
    seed: int = Field(0, ge=0, lt=2**32, description="Seed of the bootstrap and the permutations.")

    @field_validator("delays", "alphas")
    @classmethod
    def _not_empty(cls, v: tuple[Any, ...]) -> tuple[Any, ...]:
        if not v:
            raise ValueError("needs at least one value")
        return v

    @field_validator("lags")
    @classmethod
    def _in_order(cls, v: tuple[float, float]) -> tuple[float, float]:
        if not -5 <= v[0] <= v[1] <= 5:
            raise ValueError("give the first and the last lag in seconds, between -5 and 5")
        return v


class LoraConfig(_Settings):
    rank: int = Field(8, ge=1, le=512, description="Rank r of the adapters.")
    alpha: float = Field(16.0, gt=0, description="LoRA scaling numerator; the update is scaled by alpha / rank.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout on the adapters' input.")
    targets: tuple[str, ...] | None = Field(
        None, description="Linear layers that get adapters, by short name (q, k, v, out, fc1, fc2); None: all six."
    )
    first_block: int | None = Field(
        None, ge=0, description="First transformer block (from 0) that is tuned; None: the upper half."
    )


class FullConfig(_Settings):
    first_block: int = Field(
        0, ge=0, description="First transformer block (from 0) whose weights are trained; the front end never is."
    )


class HeadConfig(_Settings):
    kind: Literal["linear", "low_rank", "hrf_low_rank"] = Field(
        "hrf_low_rank", description="linear, low-rank, or low-rank followed by a fixed haemodynamic response."
    )
    rank: int = Field(24, ge=1, description="Width of the low-rank bottleneck.")
    init: Literal["random", "ridge"] = Field("ridge", description="Start at random or at reduced-rank ridge.")
    refit: Literal["never", "epoch"] = Field(
        "never",
        description="epoch: solve the head again in closed form after every epoch, so that the speech model "
        "cannot merely make up for a bad read-out.",
    )
    pooling: Literal["mean", "attention"] = Field(
        "mean",
        description="How the frames of a TR become one vector: their mean, or weights that are learnt "
        "(readout tr_mean or tr_window).",
    )
    shared_output: bool = Field(
        False, description="One output matrix for all subjects, whose targets must correspond; else one a subject."
    )


class OptimiserConfig(_Settings):
    lr: float = Field(3e-3, gt=0, description="Peak learning rate of the speech model's tuned weights.")
    head_lr: float = Field(1e-4, ge=0, description="Peak learning rate of the head.")
    weight_decay: float = Field(0.01, ge=0, description="AdamW weight decay.")
    kind: Literal["adamw", "adam"] = Field("adamw", description="AdamW, or Adam (weight_decay then is an L2 penalty).")
    warmup_steps: int = Field(10, ge=0, description="Steps of linear warm-up.")
    warmup_fraction: float | None = Field(
        None, ge=0, lt=1, description="Warm-up as a share of all steps; replaces warmup_steps when given."
    )
    schedule: Literal["cosine", "linear", "constant"] = Field(
        "cosine", description="How the learning rates fall after the warm-up."
    )
    clip: float = Field(1.0, gt=0, description="Largest gradient norm.")
    epochs: int = Field(3, ge=1, le=1000, description="Passes over the tuning stories.")
    patience: int | None = Field(None, ge=1, description="Stop after this many epochs without a better validation r.")


Control = Literal[
    "none", "block-permuted", "story-permuted", "random-responses", "stimulus-only", "random-model", "head-only"
]
CONTROL_NAMES: tuple[str, ...] = tuple(c for c in get_args(Control) if c != "none")
LOSS_TERM = r"(?:\d+(?:\.\d+)?\*)?[a-z_]+"

# What a run and its controls may differ in: labels, where and how it is worked, and the control itself.
NOT_MATCHED = frozenset(
    {"name", "group", "preset", "control", "permute_block", "device", "evaluate", "analyses", "trackers",
     "halve_on_memory",
     "gradient_checkpointing", "checkpoint_steps", "keep_checkpoints"}
)  # fmt: skip


class TuneConfig(_Settings):
    """One fine-tune, complete enough to repeat it."""

    braindash: int = Field(1, ge=1, le=1, description="Version of this file format.")
    study: str = Field(description="Study id.")
    model: str = Field(description="Model: a known name, a hub id, a local folder, or a run id.")
    subjects: tuple[str, ...] | None = Field(None, description="Subjects tuned on; None: all of the study.")
    recipe: Literal["lora", "full", "head", "imported"] = Field(
        "lora",
        description="What is trained: adapters and head (lora), all transformer blocks and head (full), or head alone "
        "(head); imported: nothing, a model tuned elsewhere is evaluated (`braindash model evaluate`).",
    )
    loss: str = Field(
        "mse",
        description="mse, spatial (minus the mean over TRs of the correlation across targets), temporal (minus the "
        "mean over targets of the correlation across TRs), huber, cosine, or a weighted sum such as "
        "`spatial+0.5*mse`.",
    )
    control: Control = Field(
        "none",
        description="none: the real responses; block-permuted, story-permuted: the same responses in shuffled blocks "
        "of TRs, within a story or across stories; random-responses: noise; stimulus-only: continued pretraining "
        "without responses (wav2vec2); random-model: a model with random weights; head-only: the read-out alone.",
    )
    permute_block: int = Field(DEFAULT_BLOCK, ge=1, description="TRs in a permuted block (permuted controls).")
    rois: tuple[str, ...] = Field((), description="Regions tuned on; empty: every target.")
    hemi: Literal["both", "left", "right"] = Field("both", description="Hemisphere tuned on.")
    mask: str = Field(
        "",
        description="File with one value a target (.npy, .csv, .txt): only those not 0 are tuned on; "
        "`{subject}` in its name stands for the subject.",
    )
    min_ceiling: float = Field(0.0, ge=0, lt=1, description="Only targets with at least this noise ceiling.")
    layer: int | None = Field(None, ge=1, description="Hidden state that feeds the head; None: the last.")
    window: WindowConfig = WindowConfig()
    delays: tuple[int, ...] = Field(DEFAULT_DELAYS, description="FIR delays in TRs (heads linear and low_rank).")
    lora: LoraConfig = LoraConfig()
    full: FullConfig = FullConfig()
    head: HeadConfig = HeadConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    block_trs: int | None = Field(None, ge=4, description="TRs in a step; None: a whole story.")
    pairs: bool = Field(
        False, description="One (story, subject) pair a step; otherwise all who heard a story share its step."
    )
    stories_per_step: int = Field(
        1,
        ge=1,
        description="Stories (blocks, pairs) whose gradients are averaged in a step; several devices share them.",
    )
    keep: Literal["best", "last"] = Field(
        "best", description="Epoch kept: the best on the validation stories, or the last."
    )
    gradient_checkpointing: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Compute activations again on the way back: less memory, a quarter more time. "
        "auto: where the step would not fit otherwise.",
    )
    halve_on_memory: bool = Field(
        False, description="Out of memory on a graphics card: go on with half as many TRs a step, and say so."
    )
    trackers: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = Field(
        (), description="Where metrics go besides the run's own files."
    )
    precision: Literal["auto", "fp32", "bf16"] = Field("auto", description="auto: bf16 where it is fast, else fp32.")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:N, mps.")
    checkpoint_steps: int = Field(50, ge=1, description="Steps between checkpoints; one is also written every epoch.")
    keep_checkpoints: int = Field(2, ge=1, description="Checkpoints kept besides the best.")
    seed: int = Field(0, ge=0, lt=2**32, description="Seed of everything random; the same seed repeats the run.")
    name: str = Field("", max_length=300, description="A label of your own; shown as text.")
    group: str = Field(
        "", max_length=100, description="The group of runs it was launched with (a sweep, a matched set)."
    )
    preset: str = Field("", max_length=100, description="The preset it started from; the values are all written out.")
    evaluate: bool = Field(True, description="Evaluate the layers when tuning ends.")
    analyses: tuple[Literal["probe", "rsa"], ...] = Field(
        ("probe", "rsa"),
        description="What follows the encoding then: probes, RSA; empty: encoding alone, which saves minutes. "
        "`braindash probe` and `braindash rsa` do either later.",
    )
    encoding: EncodingConfig = EncodingConfig()

    @field_validator("loss")
    @classmethod
    def _is_a_sum(cls, v: str) -> str:
        v = v.replace(" ", "")
        if not re.fullmatch(rf"{LOSS_TERM}(?:\+{LOSS_TERM})*", v):
            raise ValueError("give a loss, or a weighted sum such as spatial+0.5*mse")
        return v

    def matching_key(self) -> str:
        """Hash of everything but labels, control and where it runs: a run and its controls share it."""
        data = self.model_dump(mode="json", exclude=set(NOT_MATCHED))
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]


class ExecutorConfig(_Settings):
    """Where a run's process runs and what it is given there; not part of what is computed."""

    executor: Literal["local", "slurm"] = Field("local", description="This machine, or a Slurm cluster.")
    partition: str = Field("", description="Slurm partition; empty: the cluster's default.")
    time: int = Field(24 * 60, ge=1, description="Minutes that a Slurm job may take before it is requeued.")
    gpus: int = Field(0, ge=0, le=64, description="GPUs of a Slurm job.")
    cpus: int = Field(2, ge=1, description="CPU cores of a Slurm job.")
    memory_gb: float = Field(16, gt=0, description="Memory of a Slurm job.")
    processes: int = Field(1, ge=1, le=64, description="Processes that share a step's stories, one a device.")
    account: str = Field("", description="Slurm account.")
    parallel: int = Field(16, ge=1, description="Most jobs of an array at a time.")


def validate(kind: type[C], data: Mapping[str, Any], where: str = "the configuration") -> C:
    """Build ``kind`` from ``data``; a mistake becomes one BraindashError that names every key."""
    try:
        return kind.model_validate(dict(data))
    except ValidationError as error:
        problems = []
        for e in error.errors():
            key = ".".join(str(p) for p in e["loc"]) or "(whole)"
            message = e["msg"].removeprefix("Value error, ")
            if e["type"] == "extra_forbidden":
                message = f"unknown setting. {closest(str(e['loc'][-1]), known_keys(kind, e['loc'][:-1]))}"
            elif e["type"] != "missing":
                message += f" (got {e['input']!r})"
            problems.append(f"{key}: {message}")
        raise BraindashError(
            f"{where} is not valid: {'; '.join(problems)}.", "Correct the named settings and try again."
        ) from None


def known_keys(kind: type[BaseModel], path: tuple[Any, ...] = ()) -> list[str]:
    """Return the setting names of ``kind``, or of the section at ``path`` inside it."""
    for part in path:
        field = kind.model_fields.get(str(part))
        inner = field.annotation if field else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        kind = inner
    return list(kind.model_fields)
