"""Finding runs among many: words, study, model, state, tags, star. The same for pages and the command line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from braindash.runs.marks import Marks, marked_ids, read_marks

if TYPE_CHECKING:
    from braindash.config import Home
    from braindash.runs.record import RunRow

NONE = Marks()


def marks_of(home: Home, rows: Iterable[RunRow]) -> dict[str, Marks]:
    """Return the marks of those rows that have any, by run id."""
    ids = marked_ids(home)
    return {row.id: read_marks(home, row.id) for row in rows if row.id in ids}


def found_in(row: RunRow, marks: Marks) -> str:
    """Return all text of a run that is searched, in small letters."""
    parts = (
        row.name, row.study, row.model, row.recipe, row.loss, row.control, row.group, row.id, *marks.tags, marks.note
    )  # fmt: skip
    return "\n".join(parts).casefold()


def find_runs(
    rows: Sequence[RunRow],
    marks: Mapping[str, Marks],
    *,
    text: str = "",
    studies: Sequence[str] = (),
    models: Sequence[str] = (),
    states: Sequence[str] = (),
    tags: Sequence[str] = (),
    starred: bool = False,
) -> list[RunRow]:
    """Return the rows that fit everything that is asked, in their order.

    Parameters
    ----------
    rows : sequence of RunRow
    marks : mapping
        By run id; a run that is not in it has none.
    text : str
        Words; each must stand somewhere in the run's name, study, model, recipe, loss, control, group, id, tags or
        note, in capitals or not.
    studies, models, states : sequence of str
        Any of these; all where empty.
    tags : sequence of str
        All of these.
    starred : bool
        Only runs with a star.
    """
    words = text.casefold().split()
    kept = []
    for row in rows:
        mine = marks.get(row.id, NONE)
        if (studies and row.study not in studies) or (models and row.model not in models):
            continue
        if (states and row.state not in states) or (starred and not mine.starred):
            continue
        if not all(mine.has_tag(t) for t in tags):
            continue
        if words:
            said = found_in(row, mine)
            if not all(word in said for word in words):
                continue
        kept.append(row)
    return kept


def all_tags(marks: Mapping[str, Marks]) -> list[str]:
    """Return every tag in use once, in the order of the alphabet."""
    kept: dict[str, str] = {}
    for mine in marks.values():
        for tag in mine.tags:
            kept.setdefault(tag.casefold(), tag)
    return [kept[key] for key in sorted(kept)]
