"""What the models of a result are called, and what each control is: one place for pages, figures and reports."""

from __future__ import annotations

from dataclasses import dataclass

from braindash.config import CONTROL_NAMES


@dataclass(frozen=True)
class Words:
    """How people read of one model.

    Attributes
    ----------
    title : str
        In legends, menus and tables.
    phrase : str
        Within a sentence, "the …".
    explanation : str
        What it is and what it shows: two short sentences at most.
    """

    title: str
    phrase: str
    explanation: str


MODELS: dict[str, Words] = {
    "pretrained": Words("Pretrained", "the pretrained model", "The speech model as it was before tuning."),
    "brain_tuned": Words(
        "Brain-tuned", "the brain-tuned model", "The speech model tuned to predict the responses of the run."
    ),
    "block_permuted": Words(
        "Block-permuted",
        "the control tuned on block-permuted responses",
        "Tuned in the same way on the same responses, their blocks of TRs shuffled within each story. What it gains "
        "owes nothing to when the responses occurred.",
    ),
    "story_permuted": Words(
        "Story-permuted",
        "the control tuned on other stories' responses",
        "Tuned in the same way, with blocks of TRs exchanged between stories: the responses are real, but to "
        "another story. What it gains owes nothing to what was heard.",
    ),
    "random_responses": Words(
        "Random responses",
        "the control tuned on random responses",
        "Tuned in the same way on noise that varies as slowly as each target's responses, and together with the other "
        "targets as they do. What it gains owes nothing to a brain.",
    ),
    "stimulus_only": Words(
        "Stimulus only",
        "the control pretrained further on the stories' sound",
        "For as many steps, the model's own pretraining went on with the sound of the tuning stories, and no response "
        "was used. What it gains comes from more of the same audio.",
    ),
    "random_model": Words(
        "Random weights",
        "the control tuned from random weights",
        "The same architecture with random weights, tuned in the same way. What it lacks is what pretraining gave.",
    ),
    "head_only": Words(
        "Read-out only",
        "the control whose read-out alone was tuned",
        "Only the read-out was trained; the speech model is the pretrained one, so its scores equal the pretrained "
        "model's. Any difference would be an error of the method.",
    ),
}

# what results are held against besides the controls, which are tuned
REFERENCES: dict[str, Words] = {
    "random_weights": Words(
        "Untrained",
        "the untrained model",
        "The same architecture with random weights, trained on nothing: what the sound alone gives away to a probe of "
        "so many dimensions. What pretraining and tuning taught lies above it.",
    ),
}


# what a probe is scored by
SCORES = {"r2": "R²", "f1": "macro F1"}

# what probes read, from sound to meaning, then what is beside that order; and the row of regions below them
LEVELS = {
    "acoustic": "Acoustic: how it sounds",
    "phonetic": "Phonetic: which speech sounds",
    "lexical": "Lexical: which words",
    "semantic": "Semantic: what they mean",
    "sentence": "Sentence: of which type",
    "speaker": "Speaker: whose voice",
}
BRAIN = "Brain: where layers predict responses"


def plural(word: str) -> str:
    """Return the plural of an English word that needs no exception: story, stories; speech, speeches."""
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return f"{word[:-1]}ies"
    return f"{word}es" if word.endswith(("ch", "sh", "s", "x")) else f"{word}s"


def record_name(control: str) -> str:
    """Return the name that a control's model has in records: ``block-permuted`` is ``block_permuted``."""
    return control.replace("-", "_")


CONTROL_MODELS: tuple[str, ...] = tuple(map(record_name, CONTROL_NAMES))


def words_of(model: str) -> Words:
    """Return how to write of a model of a result; an unknown name is made readable."""
    key = record_name(model)
    if key in MODELS or key in REFERENCES:
        return MODELS.get(key) or REFERENCES[key]
    readable = key.replace("_", " ").strip() or "unnamed"
    return Words(readable.capitalize(), f"the {readable} model", "")


def explain(control: str) -> str:
    """Return what a control is; "" for none and for an unknown one."""
    return "" if control in ("", "none") else words_of(control).explanation


def in_order(models: list[str]) -> list[str]:
    """Return distinct names in the order of every table: pretrained, brain-tuned, the controls, then others by name."""
    known = [*MODELS]
    return sorted(
        dict.fromkeys(models),
        key=lambda m: (known.index(record_name(m)) if record_name(m) in MODELS else len(known), m),
    )
