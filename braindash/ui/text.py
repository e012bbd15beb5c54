"""Text that people or data wrote, made safe for places where Streamlit reads Markdown."""

from __future__ import annotations

import re
import time

# Emoji codes and bare links are recognised after Markdown has dropped its backslashes,
# so an invisible joiner breaks them up; everything else yields to a backslash.
_JOINER = "\u2060"
_PUNCTUATION = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~$&=^\"'/])")
_MARKUP = re.compile(r"[\\`*_\[\]#<>~$&|!:@{}]|www\.")
_MINUS = re.compile(r"(?<![\w)\]])-(?=\d)")


def escape(text: object) -> str:
    """Return ``text`` on one line, so that Markdown and HTML in it are shown and not interpreted."""
    line = " ".join(str(text).split())
    line = _PUNCTUATION.sub(r"\\\1", line)
    line = line.replace(":", f"\\:{_JOINER}").replace("@", f"@{_JOINER}")
    return re.sub(r"(?i)\bwww(?=\\\.)", f"www{_JOINER}", line)


def as_label(text: str) -> str:
    """Return ``text`` for a button that stands for an option, where Markdown is read; as it is where it holds none."""
    return escape(text) if _MARKUP.search(text) else text


def cell(text: object) -> str:
    """Return ``text`` for a cell of ``st.table``, where Markdown is read as well; hyphens within words stay bare."""
    return re.sub(r"(?<=\w)\\-(?=\w)", "-", escape(text))


def shorten(text: object, width: int = 60) -> str:
    """Return ``text`` on one line of at most ``width`` characters, with an ellipsis where it was cut."""
    line = " ".join(str(text).split())
    return line if len(line) <= width else line[: width - 1].rstrip() + "…"


def number(value: float | None, digits: int = 2, *, signed: bool = False) -> str:
    """Return a number with a true minus sign, or an en dash where there is none."""
    if value is None or value != value:
        return "–"
    return f"{value:{'+' if signed else ''}.{digits}f}".replace("-", "−")


def true_minus(text: str) -> str:
    """Return ``text`` with a true minus sign before every negative number."""
    return _MINUS.sub("\u2212", text)


def interval(low: float | None, high: float | None, digits: int = 2) -> str:
    """Return ``"95 % CI 0.05 to 0.12"``, or a phrase that says that there is none."""
    if low is None or high is None or low != low or high != high:
        return "no interval"
    return f"95 % CI {number(low, digits)} to {number(high, digits)}"


def count(n: int, noun: str, plural: str | None = None) -> str:
    """Return ``"1 target"`` or ``"1,204 targets"``."""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def duration(seconds: float | None) -> str:
    """Return a time that a person would say: ``"40 s"``, ``"3 min"``, ``"2 h 10 min"``."""
    if seconds is None or seconds != seconds or seconds < 0:
        return "unknown"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"


def memory(gigabytes: float | None) -> str:
    """Return ``"0.8 GB"`` or ``"unknown"``."""
    if gigabytes is None or gigabytes != gigabytes:
        return "unknown"
    return f"{gigabytes:.1f} GB" if gigabytes >= 0.1 else f"{gigabytes * 1000:.0f} MB"


def moment(seconds: float | None) -> str:
    """Return seconds since 1970 as local date and time: ``"21 Nov 2026, 22:15"``."""
    if not seconds:
        return "–"
    return time.strftime("%d %b %Y, %H:%M", time.localtime(seconds)).lstrip("0")
