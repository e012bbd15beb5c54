"""A story as a timeline that the browser draws and plays by itself: sound, words and responses under one cursor."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pandas as pd

_HERE = Path(__file__).parent
_PARTS = ("player", "tracks", "list", "hands", "timeline")
_DASHES = {"solid": [], "dash": [7, 4], "dot": [2, 3], "dashdot": [7, 3, 2, 3], "longdash": [12, 5]}


@dataclass(frozen=True)
class Sound:
    """One story's sound as it is drawn and played; fields are empty where it cannot be read.

    Attributes
    ----------
    id : str
        Another id is another story: the browser begins anew.
    duration : float, seconds
    audio : bytes
        A file of the kind ``kind``.
    wave, spectrum : bytes
        Of `braindash.figures.sound.outline` and `spectrogram`, compressed (zlib).
    columns, mels : int
    ticks : (height, Hz)
    words : bytes
        From `pack_words`; empty where their times are unknown.
    """

    id: str
    duration: float
    audio: bytes = b""
    kind: str = ""
    wave: bytes = b""
    spectrum: bytes = b""
    columns: int = 0
    mels: int = 0
    ticks: tuple[tuple[float, int], ...] = ()
    words: bytes = b""


@dataclass(frozen=True, eq=False)
class Line:
    """One model's prediction: (n_trs,) values and how it is drawn in light and dark."""

    title: str
    light: str
    dark: str
    dash: str
    width: float
    values: np.ndarray


@dataclass(frozen=True, eq=False)
class Rows:
    """The responses to a story: (n_trs,) each, of two models the one compared last.

    Attributes
    ----------
    times : seconds of the audio
    measured, gain
        The gain is smoothed.
    lines : two of them
    tr, lag : seconds
        From row to row, and from sound to response.
    limit : float
        Gain that is shaded most.
    digits : int
        After the point of a gain.
    """

    times: np.ndarray
    measured: np.ndarray
    gain: np.ndarray
    lines: tuple[Line, Line]
    tr: float
    lag: float
    limit: float
    digits: int = 2


@dataclass(frozen=True)
class MomentRow:
    """One line of the list of moments; texts are shown as they are."""

    start: float
    end: float
    gain: float
    words: str
    regions: str


def pack_words(words: pd.DataFrame | None) -> bytes:
    """Return words with their times, compressed; empty where there are none."""
    if words is None or words.empty:
        return b""
    spoken = [
        (str(text).strip(), round(float(on), 3), round(float(off), 3))
        for text, on, off in zip(words["text"], words["onset"], words["offset"], strict=True)
        if str(text).strip()
    ]
    return zlib.compress(json.dumps(spoken).encode(), 6) if spoken else b""


@st.cache_resource(show_spinner=False)
def _component() -> Any:
    return st.components.v2.component(
        "braindash_timeline",
        css=(_HERE / "timeline.css").read_text(encoding="utf-8"),
        js="\n".join((_HERE / f"{part}.js").read_text(encoding="utf-8") for part in _PARTS),
    )


def timeline(
    key: str,
    sound: Sound,
    rows: Rows | None,
    moments: Sequence[MomentRow],
    *,
    at: float = 0.0,
    shift: bool = True,
    residuals: bool = False,
    alt: str,
    labels: tuple[str, str] = ("Response (z)", "Measured − predicted (z)"),
) -> float | None:
    """Draw a story; return the second at which the reader stopped, where this run of the page was asked for by that.

    Parameters
    ----------
    key : str
    sound : Sound
    rows : Rows or None
        None where there are no responses to show.
    moments : sequence of MomentRow
    at : float
        Second where the cursor stands when the story appears.
    shift : bool
        Draw responses ``rows.lag`` earlier, at the sound that they follow.
    residuals : bool
    alt : str
        For those who cannot see it.
    labels : (str, str)
        Above the responses and the residuals.
    """
    data: dict[str, Any] = {
        "sound": {
            "id": sound.id, "duration": sound.duration, "kind": sound.kind, "columns": sound.columns,
            "mels": sound.mels, "ticks": [list(tick) for tick in sound.ticks],
            "audio": _address(sound.audio, key, "audio", sound.kind),
            "wave": _address(sound.wave, key, "wave"),
            "spectrum": _address(sound.spectrum, key, "spectrum"),
            "words": _address(sound.words, key, "words"),
        },
        "rows": None,
        "moments": [vars(m) for m in moments],
        "limit": 1.0,
        "digits": 2,
        "at": at,
        "shift": shift,
        "residuals": residuals,
        "alt": alt,
        "labels": {"response": labels[0], "residual": labels[1]},
    }  # fmt: skip
    if rows is not None:
        data["limit"], data["digits"] = rows.limit, rows.digits
        data["rows"] = {
            "n": len(rows.times), "tr": rows.tr, "lag": rows.lag,
            "address": _address(_packed(rows), key, "rows"),
            "lines": [
                {"title": x.title, "light": x.light, "dark": x.dark, "dash": _DASHES[x.dash], "width": x.width}
                for x in rows.lines
            ],
        }  # fmt: skip
    result = _component()(key=key, data=data, on_moment_change=lambda: None)
    moment = getattr(result, "moment", None)
    return float(moment) if isinstance(moment, int | float) and 0 <= moment <= sound.duration + 1 else None


def _packed(rows: Rows) -> bytes:
    """Return all numbers of a view: times, measured, gain, one line after the other, float32."""
    import numpy as np

    columns = [rows.times, rows.measured, rows.gain, *(line.values for line in rows.lines)]
    return zlib.compress(np.stack(columns).astype("<f4").tobytes(), 6)


def _address(content: bytes, key: str, part: str, kind: str = "application/octet-stream") -> str | None:
    """Return where the browser finds ``content``; the same bytes have the same address, so it fetches them once."""
    from streamlit.runtime import get_instance

    if not content:
        return None
    address: str = get_instance().media_file_mgr.add(content, kind, f"{key}.{part}")
    return address
