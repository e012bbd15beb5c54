"""How wide text is, and which size of letters fits a box: measured on the letters themselves, in points."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

LEADING = 1.22  # from line to line, in sizes of the letters
_BETWEEN = re.compile(r"\s+(?!%)")  # a line ends between words, not between a number and its percent sign
_MEASURED = 100  # points at which letters are measured


@dataclass(frozen=True)
class Fitted:
    """Text broken into lines that fit a box at ``size`` points; ``cut`` where some of it had to be left out."""

    lines: tuple[str, ...]
    size: float
    cut: bool = False

    @property
    def height(self) -> float:
        """Points from the top of the first line to the foot of the last."""
        return len(self.lines) * self.size * LEADING


def text_width(text: str, size: float, bold: bool = False) -> float:
    """Return the width of one line in points, in DejaVu Sans; Arial and Calibri are narrower."""
    return sum(_advance(c, bold) for c in text) * size


def wrap(text: str, size: float, width: float, bold: bool = False) -> list[str]:
    """Break text into lines of at most ``width`` points; a word that is wider than a line is broken."""
    lines: list[str] = []
    for paragraph in text.splitlines() or [""]:
        line = ""
        for word in _BETWEEN.split(paragraph.strip()):
            longer = f"{line} {word}" if line else word
            if text_width(longer, size, bold) <= width:
                line = longer
                continue
            if line:
                lines.append(line)
            *full, line = _broken(word, size, width, bold)
            lines += full
        lines.append(line)
    return lines


def fit(text: str, sizes: Sequence[float], width: float, height: float, bold: bool = False) -> Fitted:
    """Return text at the first of ``sizes`` (largest first) at which it fits; cut at the smallest where none does."""
    for size in sizes:
        fitted = Fitted(tuple(wrap(text, size, width, bold)), size)
        if fitted.height <= height:
            return fitted
    most = max(int(height / (sizes[-1] * LEADING)), 1)
    kept = list(fitted.lines[:most])
    kept[-1] = _shortened(kept[-1], sizes[-1], width, bold)
    return Fitted(tuple(kept), sizes[-1], cut=True)


def _shortened(line: str, size: float, width: float, bold: bool) -> str:
    while line and text_width(f"{line}…", size, bold) > width:
        line = line[:-1]
    return f"{line.rstrip()}…"


def _broken(word: str, size: float, width: float, bold: bool) -> list[str]:
    pieces, piece = [], ""
    for c in word:
        if piece and text_width(piece + c, size, bold) > width:
            pieces.append(piece)
            piece = ""
        piece += c
    return [*pieces, piece]


@functools.lru_cache(maxsize=4096)
def _advance(c: str, bold: bool) -> float:
    if unicodedata.east_asian_width(c) in "WF" or not _face(bold).get_char_index(ord(c)):
        return 1.0  # not in the font that is measured
    return float(_face(bold).load_char(ord(c), flags=_unhinted()).linearHoriAdvance) / 65536 / _MEASURED


@functools.cache
def _face(bold: bool) -> Any:
    from matplotlib.font_manager import FontProperties, findfont
    from matplotlib.ft2font import FT2Font

    # a face of its own: figures change the size of those that matplotlib keeps
    face = FT2Font(findfont(FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal")))
    face.set_size(_MEASURED, 72)
    return face


@functools.cache
def _unhinted() -> Any:
    from matplotlib.ft2font import LoadFlags

    return LoadFlags.NO_HINTING
