"""The words that readers see for the identifiers that files hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from braindash.config import CONTROL_NAMES
from braindash.glossary import term
from braindash.ui.text import moment, shorten
from braindash.wording import words_of

if TYPE_CHECKING:
    from braindash.runs.record import RunRow

MAIN_REGIONS = ("primary_auditory", "early_auditory", "late_language", "ag", "ltc", "ifg")

MEASURES: dict[str, str] = {"r_norm": "r / noise ceiling", "r": "r"}
MEASURE_HELP: dict[str, str] = {key: term(key).text for key in MEASURES}

CHOICES: dict[str, dict[str, str]] = {
    "recipe": {
        "lora": "LoRA and head",
        "head": "Head only",
        "full": "Full",
        "imported": "Tuned elsewhere",
    },
    "loss": {
        "mse": "Mean squared error",
        "spatial": "Spatial correlation",
        "temporal": "Temporal correlation",
        "huber+cosine": "Huber and cosine",
        "own": "A weighted sum …",
    },
    "control": {"none": "None", **{name: words_of(name).title for name in CONTROL_NAMES}},
    "readout": {
        "last": "Last frame of the window",
        "mean": "Mean of the window",
        "tr_mean": "Mean of each TR in the window",
        "tr_window": "Mean of one window a TR",
    },
    "hemi": {"both": "Both", "left": "Left", "right": "Right"},
    "refit": {"never": "Never", "epoch": "After every epoch"},
    "pooling": {"mean": "Their mean", "attention": "Learnt weights"},
    "keep": {"best": "The best on the validation stories", "last": "The last"},
    "gradient_checkpointing": {"auto": "Automatic", "on": "On", "off": "Off"},
    "analyses": {"probe": "Probes", "rsa": "RSA"},
    "trackers": {"tensorboard": "TensorBoard", "wandb": "Weights & Biases", "mlflow": "MLflow"},
    "kind": {
        "adamw": "AdamW",
        "adam": "Adam",
        "linear": "Linear",
        "low_rank": "Low-rank",
        "hrf_low_rank": "Low-rank, then haemodynamic response",
    },
    "init": {"random": "At random", "ridge": "At the ridge solution"},
    "schedule": {"cosine": "Cosine decay", "linear": "Linear decay", "constant": "Constant"},
    "precision": {"auto": "Automatic", "fp32": "32-bit", "bf16": "16-bit (bfloat16)"},
    "select": {"r": "Correlation r", "r2": "R²"},
    "ceiling": {
        "auto": "The first of these that there is",
        "given": "The study itself",
        "repeats": "Repeats of the test stories",
        "subjects": "Other subjects",
        "none": "None",
    },
    "fdr": {"bh": "Benjamini–Hochberg", "by": "Benjamini–Yekutieli"},
}

HELP: dict[str, str] = {  # for readers who see the names above, not the identifiers
    "recipe": "What is trained: adapters in the upper blocks and the head; all transformer blocks and the head; or "
    "the head alone.",
    "loss": "What is made small: the squared error; minus the correlation across targets, averaged over TRs (spatial), "
    "or across TRs, averaged over targets (temporal); Huber's error and the cosine; or a sum of your own.",
    **dict.fromkeys(
        ("window.readout", "encoding.window.readout"),
        "What is read from a window: its last frame; the mean of all its frames; the mean of each TR in the window's "
        "last stride; or one window a TR, which ends at the TR's centre, and the mean of its frames (the stride is not "
        "used).",
    ),
    "encoding.ceiling": "What tells how well a target can be predicted at all: a ceiling that the study brings, "
    "repeats of its test stories, or the other subjects (3 or more who share targets).",
    "analyses": "What follows the encoding models. Either can be made later.",
    "control": "None: the real responses. Every other choice takes away what tuning could learn from the brain and "
    "leaves the rest as it is: permuted or random responses, the sound alone, a model with random weights, the "
    "read-out alone.",
}

STATES: dict[str, str] = {
    "queued": "Queued",
    "running": "Running",
    "stopping": "Stopping",
    "stopped": "Stopped",
    "failed": "Failed",
    "interrupted": "Interrupted",
    "done": "Done",
    "unreadable": "Unreadable",
}
STATE_HELP: dict[str, str] = {
    "queued": "Waits for the run before it.",
    "running": "A worker process is at it; it goes on when this page is closed.",
    "stopping": "Finishes its step, writes a checkpoint, then stops.",
    "stopped": "Stopped by you. It can be resumed from its last checkpoint.",
    "failed": "Ended by an error. The message and the log say why.",
    "interrupted": "Its worker vanished (restart, kill). It can be resumed from its last checkpoint.",
    "done": "Finished.",
    "unreadable": "The folder cannot be read. Nothing was changed in it.",
}
LIVE_STATES = ("queued", "running", "stopping")
STAGES: dict[str, str] = {
    "preparing": "preparing",
    "features": "reading features",
    "tuning": "tuning",
    "evaluating": "evaluating",
}
SUBJECT_MEAN = "all"


def region(roi: str, on_cortex: bool = True) -> str:
    """Return a region's readable name; without a cortex, ``cortex`` is simply all targets."""
    from braindash.encoding.regions import region_title

    return "All targets" if roi == "cortex" and not on_cortex else region_title(roi)


def model(name: str) -> str:
    """Return what a model of a result is called, as the figures call it."""
    return words_of(name).title


def the_model(name: str) -> str:
    """Return a model's name within a sentence: "the brain-tuned model", "the control tuned on …"."""
    return words_of(name).phrase


def explained(name: str) -> str:
    """Return what a model of a result is, in a sentence or two."""
    return words_of(name).explanation


def is_control(name: str) -> bool:
    return name not in ("pretrained", "brain_tuned")


def subject(name: str) -> str:
    return "Mean over subjects" if name == SUBJECT_MEAN else name


def choice(field: str, value: object) -> str:
    """Return the readable form of one choice of a setting."""
    return CHOICES.get(field, {}).get(str(value), str(value))


def state(name: str) -> str:
    return STATES.get(name, name)


def layer(index: int, last: int | None = None) -> str:
    """Return ``"Layer 4 (last)"`` or ``"Layer 0 (front end)"``."""
    note = " (front end)" if index == 0 else " (last)" if index == last else ""
    return f"Layer {index}{note}"


def run(row: RunRow) -> str:
    """Return what a run is called in a list: its own name, or what was tuned on what, and when."""
    if row.state == "unreadable":
        return f"{row.id} (unreadable)"
    what = shorten(row.name, 48) or f"{shorten(row.model, 28)} on {shorten(row.study, 20)}"
    control = "" if row.control in ("", "none") else " (control)"
    return f"{what}{control} · {moment(row.created)}"
