"""Praat TextGrids: long, short and chronological text format in, long format out.

The three formats hold the same values in the same or another order, with or
without labels around them. Praat itself reads numbers, quoted strings and
<flags> and takes everything else for comment; so does this reader, which makes
one scanner serve long and short files alike. Formats: Praat manual, "TextGrid
file formats".
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from braindash.errors import BraindashError
from braindash.studies.files import require_file

COLUMNS = ["text", "onset", "offset"]

# A quoted string may run over lines and doubles its quotes. A number or flag counts
# only as a whole word, so that "intervals [1]:" and "tier2" hold none.
_TOKEN = re.compile(
    r'"(?P<text>(?:[^"]|"")*)"(?=\s|$)'
    r"|(?<!\S)(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)%?(?=\s|$)"
    r"|(?<!\S)(?P<flag><\w+>)(?=\s|$)"
    r"|(?P<comment>![^\n]*)"
    r'|(?P<open>")'
)


@dataclass(frozen=True)
class _Token:
    kind: str
    value: str
    line: int


def read_textgrid(path: str | os.PathLike[str]) -> dict[str, pd.DataFrame]:
    """Read every tier of a TextGrid.

    Parameters
    ----------
    path : path
        Text file in any of Praat's three text formats; UTF-8 (with or without
        a byte-order mark), UTF-16, else Latin-1.

    Returns
    -------
    dict of tier name to DataFrame
        Columns ``text`` str, ``onset``, ``offset`` float seconds, in order of
        onset. Empty and overlapping intervals are kept as they are. A point of
        a point tier has ``offset == onset``. A second tier of the same name is
        called ``name (2)``.

    Raises
    ------
    NotDownloadedError
        The file is a git-annex or LFS placeholder.
    BraindashError
        Not a TextGrid, or a mistake in it, with its line.
    """
    path = require_file(Path(path), "TextGrid")
    text = _decode(path)
    head = text.lstrip().split("\n", 1)[0].strip()
    reader = _Reader(path, _scan(path, text))
    if head.startswith('"Praat chronological TextGrid text file"'):
        return _read_chronological(reader)
    if "ooTextFile" not in head:
        raise BraindashError(
            f"{path}, line 1: not a TextGrid; it starts with {head[:60]!r}.",
            "Save it from Praat as a text file (long, short or chronological).",
        )
    return _read_by_tier(reader)


def write_textgrid(path: str | os.PathLike[str], tiers: Mapping[str, pd.DataFrame], end: float | None = None) -> None:
    """Write interval tiers in Praat's long text format (UTF-8).

    Gaps between intervals, before the first and up to ``end`` are filled with
    empty intervals, as Praat requires.

    Parameters
    ----------
    path : path
    tiers : mapping of name to DataFrame
        Columns ``text, onset, offset`` (seconds).
    end : float, optional
        End of all tiers; the latest offset when None.

    Raises
    ------
    BraindashError
        Intervals of a tier overlap (the format cannot hold it), or end before they begin.
    """
    filled: dict[str, list[tuple[float, float, str]]] = {}
    last = max([float(t["offset"].max()) for t in tiers.values() if len(t)] or [0.0])
    end = last if end is None else end
    for name, table in tiers.items():
        rows: list[tuple[float, float, str]] = []
        at = 0.0
        for text, onset, offset in table.sort_values("onset")[COLUMNS].itertuples(index=False):
            if onset < at or offset < onset or offset > end:
                raise BraindashError(
                    f"Tier {name!r}: the interval {text!r} from {onset:g} to {offset:g} s overlaps "
                    f"the one before it (which ends at {at:g} s) or lies outside 0 to {end:g} s.",
                    "Correct its times.",
                )
            if onset > at:
                rows.append((at, float(onset), ""))
            rows.append((float(onset), float(offset), str(text)))
            at = float(offset)
        if at < end or not rows:
            rows.append((at, end, ""))
        filled[name] = rows

    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0 ", f"xmax = {end:.9g} "]
    lines += ["tiers? <exists> ", f"size = {len(filled)} ", "item []: "]
    for i, (name, rows) in enumerate(filled.items(), 1):
        lines += [f"    item [{i}]:", '        class = "IntervalTier" ', f"        name = {_quote(name)} "]
        lines += ["        xmin = 0 ", f"        xmax = {end:.9g} ", f"        intervals: size = {len(rows)} "]
        for j, (onset, offset, text) in enumerate(rows, 1):
            lines += [f"        intervals [{j}]:", f"            xmin = {onset:.9g} "]
            lines += [f"            xmax = {offset:.9g} ", f"            text = {_quote(text)} "]
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _quote(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _decode(path: Path) -> str:
    data = path.read_bytes()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    elif b"\x00" in data[:64]:  # UTF-16 without a mark: every other byte of ASCII is zero
        encoding = "utf-16-be" if data[:1] == b"\x00" else "utf-16-le"
    else:
        encoding = "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8-sig":
            raise BraindashError(
                f"{path} is damaged: byte {error.start} is not {encoding}.", "Save it again from Praat as UTF-8."
            ) from None
        text = data.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _scan(path: Path, text: str) -> list[_Token]:
    tokens = []
    line, at = 1, 0
    for m in _TOKEN.finditer(text):
        line += text.count("\n", at, m.start())
        at = m.start()
        kind = m.lastgroup or ""
        if kind == "open":
            raise BraindashError(
                f"{path}, line {line}: a quotation mark is never closed.", 'Close the text, and double any " inside it.'
            )
        if kind != "comment":
            tokens.append(_Token(kind, m[kind].replace('""', '"') if kind == "text" else m[kind], line))
    return tokens


class _Reader:
    """Takes tokens one by one and says where it was when one does not fit."""

    def __init__(self, path: Path, tokens: list[_Token]) -> None:
        self.path, self.tokens, self.at = path, tokens, 0

    def take(self, kind: str, what: str) -> _Token:
        if self.at >= len(self.tokens):
            line = self.tokens[-1].line if self.tokens else 1
            raise self.error(line, f"the file ends where {what} should follow")
        token = self.tokens[self.at]
        if token.kind != kind:
            raise self.error(token.line, f"expected {what}, found {token.value!r}")
        self.at += 1
        return token

    def text(self, what: str) -> str:
        return self.take("text", what).value

    def number(self, what: str) -> float:
        return float(self.take("number", what).value)

    def count(self, what: str) -> int:
        token = self.take("number", what)
        value = float(token.value)
        if value < 0 or value != int(value):
            raise self.error(token.line, f"expected {what}, a whole number, found {token.value!r}")
        return int(value)

    def done(self) -> bool:
        return self.at >= len(self.tokens)

    def interval(self) -> tuple[float, float]:
        onset = self.number("an interval's start")
        line = self.tokens[self.at - 1].line
        offset = self.number("an interval's end")
        if offset < onset:
            raise self.error(line, f"an interval ends at {offset:g} s, before it starts at {onset:g} s")
        return onset, offset

    def error(self, line: int, what: str) -> BraindashError:
        return BraindashError(f"{self.path}, line {line}: {what}.", "Correct it, or save it again from Praat.")


def _read_by_tier(r: _Reader) -> dict[str, pd.DataFrame]:
    r.text("the file type")
    kind = r.text("the object class")
    if kind != "TextGrid":
        raise r.error(r.tokens[r.at - 1].line, f"the file holds a {kind!r}, not a TextGrid")
    r.number("the start time")
    r.number("the end time")
    if r.take("flag", "<exists>").value != "<exists>":
        return {}
    tiers: dict[str, pd.DataFrame] = {}
    for _ in range(r.count("the number of tiers")):
        kind = r.text("a tier's class")
        if kind not in ("IntervalTier", "TextTier"):
            raise r.error(r.tokens[r.at - 1].line, f"unknown tier class {kind!r} (IntervalTier or TextTier)")
        name = r.text("a tier's name")
        r.number("a tier's start")
        r.number("a tier's end")
        rows: list[tuple[str, float, float]] = []
        for _ in range(r.count("a tier's size")):
            if kind == "IntervalTier":
                onset, offset = r.interval()
            else:
                onset = offset = r.number("a point's time")
            rows.append((r.text("a label"), onset, offset))
        tiers[_free_name(name, tiers)] = _table(rows)
    return tiers


def _read_chronological(r: _Reader) -> dict[str, pd.DataFrame]:
    r.text("the file type")
    r.number("the start time")
    r.number("the end time")
    rows: dict[str, list[tuple[str, float, float]]] = {}
    kinds: list[tuple[str, str]] = []
    for _ in range(r.count("the number of tiers")):
        kind = r.text("a tier's class")
        name = _free_name(r.text("a tier's name"), rows)
        r.number("a tier's start")
        r.number("a tier's end")
        rows[name] = []
        kinds.append((kind, name))
    while not r.done():
        tier = r.count("a tier's number")
        if not 1 <= tier <= len(kinds):
            raise r.error(r.tokens[r.at - 1].line, f"tier number {tier} in a file of {len(kinds)} tiers")
        kind, name = kinds[tier - 1]
        if kind == "IntervalTier":
            onset, offset = r.interval()
        else:
            onset = offset = r.number("a point's time")
        rows[name].append((r.text("a label"), onset, offset))
    return {name: _table(found) for name, found in rows.items()}


def _free_name(name: str, taken: Mapping[str, object]) -> str:
    if name not in taken:
        return name
    n = 2
    while f"{name} ({n})" in taken:
        n += 1
    return f"{name} ({n})"


def _table(rows: list[tuple[str, float, float]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=COLUMNS).astype({"text": object, "onset": float, "offset": float})
    return table.sort_values("onset", kind="stable", ignore_index=True)
