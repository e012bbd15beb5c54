"""A table of findings as one picture: what papers found, what a study shows, and whether it is supported."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from braindash.errors import BraindashError
from braindash.figures.hierarchy_static import PLAIN, WIDTH
from braindash.figures.style import ThemeName, theme_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Verdict = Literal["supported", "not_supported", "cannot_tell"]
VERDICTS: dict[str, str] = {
    "supported": "Supported",
    "not_supported": "Not supported",
    "cannot_tell": "Cannot tell here",
}
_MARKS = {"supported": "✓", "not_supported": "✗", "cannot_tell": "?"}
_COLOURS = {  # light, dark; marks and words say the same
    "supported": ("#1A7F37", "#56D364"),
    "not_supported": ("#B3261E", "#FF8A80"),
    "cannot_tell": ("#57606A", "#9DA7B3"),
}
_SIDE, _TITLE, _LINE, _ROOM, _NOTE = 18.0, 52.0, 16.0, 13.0, 14.0  # points
_FIRST = 17.0  # from the top of a row to the foot of its first line
_COLUMNS = ((0.0, 45), (350.0, 58), (786.0, 20))  # where each begins, and how many characters its lines hold


@dataclass(frozen=True)
class FindingLine:
    """One finding, in the words that readers see."""

    claim: str
    shows: str
    verdict: str


def static_findings(
    findings: Sequence[FindingLine],
    *,
    title: str = "What the papers found, and what this study shows",
    note: str = "",
    larger: float = 1.0,
    theme: ThemeName = "light",
) -> Figure:
    """Draw findings as a table, as wide as a slide and as tall as its words need.

    Those that cannot be told share the last row, named by what the papers found. ``larger`` multiplies the size of
    letters; a larger table holds fewer findings.

    Raises
    ------
    BraindashError
        If there is none.
    """
    from matplotlib.figure import Figure

    if not findings:
        raise BraindashError("There is no finding to draw.", "Compare the run's models first.")
    colours = theme_of(theme)
    told = [f for f in findings if f.verdict in ("supported", "not_supported")]
    rest = [f for f in findings if f not in told]
    told.sort(key=lambda f: f.verdict != "supported")
    if rest:
        told.append(
            FindingLine(f"{len(rest)} that cannot be told here", " ".join(f.claim for f in rest), "cannot_tell")
        )
    cells = [
        [
            textwrap.wrap(_together(text), int(width / larger)) or [""]
            for text, (_, width) in zip((f.claim, f.shows), _COLUMNS, strict=False)
        ]
        for f in told
    ]
    line = larger * _LINE
    heights = [max(map(len, row)) * line + larger * _ROOM for row in cells]
    foot = textwrap.wrap(note, 150)
    above = _TITLE if title else 0.0
    height = above + 12 + larger * 14 + sum(heights) + _NOTE * len(foot) + _SIDE
    figure = Figure(figsize=(WIDTH / 72, height / 72), facecolor=colours.page)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(height, 0))
    axes.axis("off")

    usual: dict[str, Any] = {
        "va": "baseline",
        "fontsize": 12.5 * larger,
        "color": colours.text,
        "linespacing": 1.2,
        **PLAIN,
    }

    def write(x: float, y: float, text: str, **look: Any) -> None:
        axes.text(x, y, text, **(usual | look))

    write(_SIDE, 14, title, va="top", fontsize=20, weight="bold")
    y = above + larger * 12
    for head, (x, _) in zip(("What the papers found", "This study", "Verdict"), _COLUMNS, strict=True):
        write(_SIDE + x, y, head, weight="bold", color=colours.muted)
    y += 8
    for finding, row, tall in zip(told, cells, heights, strict=True):
        axes.plot([_SIDE, WIDTH - _SIDE], [y, y], color=colours.grid, linewidth=1)
        for lines, (x, _) in zip(row, _COLUMNS, strict=False):
            for i, words in enumerate(lines):
                write(_SIDE + x, y + larger * _FIRST + i * line, words)
        known = finding.verdict
        colour = _COLOURS[known][theme == "dark"]
        write(
            _SIDE + _COLUMNS[2][0],
            y + larger * _FIRST,
            f"{_MARKS[known]} {VERDICTS[known]}",
            weight="bold",
            color=colour,
        )
        y += tall
    write(_SIDE, height - 8, "\n".join(foot), va="bottom", fontsize=11, linespacing=1.1, color=colours.muted)
    return figure


def _together(text: str) -> str:
    """Keep a number with what it counts: no line ends between them."""
    return text.replace(" %", "\u00a0%").replace("n = ", "n\u00a0=\u00a0")
