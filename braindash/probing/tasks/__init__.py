"""What a layer can be asked for. A further task is a file here and a line at the foot."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Sequence

import numpy as np

from braindash.errors import BraindashError, closest
from braindash.probing.base import Corpus, Examples, Limits, Task
from braindash.probing.cutting import sides

TASKS: dict[str, str] = {}  # name -> "module:TASK"


def register_task(name: str, where: str) -> None:
    """Add a task.

    Parameters
    ----------
    name : str
        What users write: lower-case letters, digits and _.
    where : str
        ``"module:TASK"`` of a :class:`braindash.probing.base.Task` of that name; imported on first use.

    Raises
    ------
    ValueError
        If the name is taken or malformed, or ``where`` is not of that form.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ValueError(f"task {name!r}: use lower-case letters, digits and _")
    if TASKS.get(name, where) != where:
        raise ValueError(f"task {name!r} is already registered as {TASKS[name]!r}")
    if not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", where):
        raise ValueError(f"task {name!r}: {where!r} is not 'module:TASK'")
    TASKS[name] = where


def open_task(name: str) -> Task:
    """Return a task by name; an unknown name is a BraindashError that offers the closest."""
    if name not in TASKS:
        raise BraindashError(f"There is no probe task {name!r}.", closest(name, TASKS))
    module, attribute = TASKS[name].split(":")
    task: Task = getattr(importlib.import_module(module), attribute)
    if task.name != name:
        raise ValueError(f"the task registered as {name!r} calls itself {task.name!r}")
    return task


def task_names() -> list[str]:
    """Return the names of all tasks, from sound to meaning, in the order of registration."""
    return list(TASKS)


def choose_tasks(
    corpus: Corpus, names: Sequence[str] | None = None, limits: Limits | None = None
) -> tuple[list[tuple[Task, Examples]], list[dict[str, str]]]:
    """Cut the examples of the tasks that a corpus can do.

    Parameters
    ----------
    names : sequence of str, optional
        Tasks asked for; every one that the corpus can do when None.

    Returns
    -------
    chosen : list of (task, its examples)
    not_done : list of dict
        ``task, title, why`` of those that the corpus cannot do; empty where names are given.

    Raises
    ------
    BraindashError
        A task asked for by name is unknown or cannot be done, or the corpus can do none.
    """
    from braindash.probing.sound import keeping_audio

    limits = limits or Limits()
    wanted = [open_task(n) for n in dict.fromkeys(task_names() if names is None else names)]
    corpus = keeping_audio(corpus)
    chosen: list[tuple[Task, Examples]] = []
    not_done: list[dict[str, str]] = []
    for task in wanted:
        try:
            examples = task.make(corpus, limits)
            chosen.append((_described(task, corpus, examples), examples))
        except BraindashError as error:
            if names is not None:
                raise BraindashError(
                    f"The probe task {task.name!r} cannot be done with {corpus.title}: {error.what}", error.remedy
                ) from None
            not_done.append({"task": task.name, "title": task.title, "why": str(error)})
    if not chosen:
        raise BraindashError(
            f"{corpus.title} can do none of {len(wanted)} probe tasks"
            + (f"; {not_done[0]['title']}: {not_done[0]['why']}" if not_done else "."),
            "Use another corpus, or add words, phones or labels to it.",
        )
    return chosen, not_done


def example_groups(corpus: Corpus, task: Task, examples: Examples) -> np.ndarray:
    """Return what folds keep together, (n,) str: the corpus's groups, or recordings where the speaker is the class."""
    return sides(corpus, examples.recording, "recording" if task.level == "speaker" else "group")[0]


def _described(task: Task, corpus: Corpus, examples: Examples) -> Task:
    """Return the task as its module's ``described(corpus, examples) -> Task``, if it has one, tells of this corpus."""
    module = importlib.import_module(TASKS[task.name].split(":")[0])
    described: Callable[[Corpus, Examples], Task] | None = getattr(module, "described", None)
    return described(corpus, examples) if described is not None else task


# in the order that pages show: sound, phones, words, meaning, and what a recording as a whole is
register_task("mel", "braindash.probing.tasks.mel:TASK")
register_task("mfcc", "braindash.probing.tasks.mfcc:TASK")
register_task("pitch", "braindash.probing.tasks.pitch:TASK")
register_task("intensity", "braindash.probing.tasks.intensity:TASK")
register_task("phone", "braindash.probing.tasks.phone:TASK")
register_task("articulation", "braindash.probing.tasks.articulation:TASK")
register_task("phones_in_sentence", "braindash.probing.tasks.phones_in_sentence:TASK")
register_task("word", "braindash.probing.tasks.word:TASK")
register_task("word_boundary", "braindash.probing.tasks.word_boundary:TASK")
register_task("part_of_speech", "braindash.probing.tasks.part_of_speech:TASK")
register_task("word_frequency", "braindash.probing.tasks.word_frequency:TASK")
register_task("word_meaning", "braindash.probing.tasks.word_meaning:TASK")
register_task("sentence_type", "braindash.probing.tasks.sentence_type:TASK")
register_task("speaker", "braindash.probing.tasks.speaker:TASK")
register_task("label", "braindash.probing.tasks.label:TASK")
