"""The methods of several runs as one text, and their bibliographies as one: what is the same is said once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from braindash.reports.phrases import listed

_HEAD = re.compile(r"([A-Z][^.]{2,40})\. ")
_WORKS = "Works cited. "
_ENTRY = re.compile(r"@\w+\{([^,\s]+),")


@dataclass(frozen=True)
class Made:
    """How one run was made: its id and name, its methods text and its BibTeX."""

    run: str
    name: str = ""
    text: str = ""
    bibtex: str = ""


def joined_methods(runs: Sequence[Made]) -> str:
    """Return the methods of several runs as paragraphs; a paragraph that two runs share stands there once."""
    known = [m for m in runs if m.text.strip()]
    if len(known) == 1:
        return known[0].text
    said: dict[str, str] = {}  # paragraph -> the run under which it stands
    out: list[str] = []
    works: list[str] = []
    for made in known:
        same: dict[str, list[str]] = {}
        own = []
        for paragraph in (p.strip() for p in made.text.split("\n\n") if p.strip()):
            if paragraph.startswith(_WORKS):
                works += [w for w in paragraph.removeprefix(_WORKS).rstrip(".").split("; ") if w not in works]
            elif paragraph in said:
                head = _HEAD.match(paragraph)
                same.setdefault(said[paragraph], []).append(head.group(1).lower() if head else "the rest")
            else:
                said[paragraph] = made.run
                own.append(paragraph)
        out.append(f"Run {made.run}{f' ({made.name})' if made.name else ''}.")
        out += [f"{listed(parts).capitalize()} as of run {run}." for run, parts in same.items()]
        out += own
    if works:
        out.append(f"{_WORKS}{'; '.join(works)}.")
    return "\n\n".join(out) + ("\n" if out else "")


def joined_bibtex(runs: Sequence[Made]) -> str:
    """Return the BibTeX entries of several runs, each work once, in order of citation."""
    entries: dict[str, str] = {}
    for made in runs:
        for entry in re.split(r"\n\s*\n", made.bibtex.strip()):
            found = _ENTRY.match(entry)
            if found:
                entries.setdefault(found.group(1), entry)
    return "\n\n".join(entries.values()) + ("\n" if entries else "")
