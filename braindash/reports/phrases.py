"""Turns of phrase of the methods text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def window(done: Mapping[str, Any]) -> str:
    """Return how audio is cut into windows, and what is read from each."""
    if done["readout"] == "tr_window":
        return f"{done['context']:g} s, one a row of the responses, which ended at the row's centre and was averaged"
    whole = done["stride"] == done["context"]
    every = "side by side" if whole else f"every {done['stride']:g} s"
    read = {
        "last": "of which the last frame was taken",
        "mean": "of which the mean of all frames was taken",
        "tr_mean": "in which the frames of each row of the responses were averaged"
        if whole
        else f"in whose last {done['stride']:g} s the frames of each row of the responses were averaged",
    }[done["readout"]]
    return f"{done['context']:g} s {every}, {read}"


def resampled(done: Mapping[str, Any]) -> str:
    """Return how what was read comes to the times of the responses."""
    return (
        ""
        if done["readout"] in ("tr_mean", "tr_window")
        else " brought to the times of the responses by a Lanczos filter and"
    )


def layers(done: Mapping[str, Any]) -> str:
    """Return which layers are evaluated."""
    return "every layer" if done.get("layers") is None else f"layer{ending(done['layers'])} {listed(done['layers'])}"


def stories(names: Sequence[str]) -> str:
    """Return "1 story", "3 stories"."""
    return f"{len(names)} {'story' if len(names) == 1 else 'stories'}"


def ending(items: Sequence[Any]) -> str:
    """Return the ending of a noun of which there are so many."""
    return "" if len(items) == 1 else "s"


def listed(items: Sequence[Any]) -> str:
    """Return "a", "a and b", "a, b and c"."""
    words = [f"{i:g}" if isinstance(i, float) else str(i) for i in items]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""
