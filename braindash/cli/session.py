"""What every verb shares: the home, --json, and how words and tables are shown."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from braindash.config import Home
from braindash.errors import BraindashError
from braindash.runs.files import to_json

if TYPE_CHECKING:
    from braindash.runs.record import RunStore
    from braindash.runs.run import Run

HomeOption = Annotated[
    Path | None, typer.Option("--home", metavar="DIR", help="Where everything is kept [$BRAINDASH_HOME, else ./cache].")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object; everything else goes to stderr.")]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="The run's id.", show_default=False)]
DebugOption = Annotated[bool, typer.Option("--debug", help="Print the traceback of an error.")]
VersionOption = Annotated[bool, typer.Option("--version", help="Print the version.")]


@dataclass
class Root:
    """What was said before the verb, and where results go."""

    out: IO[str] = field(default_factory=lambda: sys.stdout)
    as_json: bool = False
    home: Path | None = None
    emitted: bool = False

    def write_json(self, payload: Mapping[str, Any]) -> None:
        self.emitted = True
        self.out.write(to_json(payload) + "\n")
        self.out.flush()


class Session:
    """One verb's view of the options that stand before or after it."""

    def __init__(self, ctx: typer.Context, home: Path | None = None, as_json: bool = False) -> None:
        self._root: Root = ctx.obj if isinstance(ctx.obj, Root) else Root()
        self._root.as_json = self._root.as_json or as_json
        self.home = Home.resolve(home or self._root.home)
        if self.home.path.exists() and not self.home.path.is_dir():
            raise BraindashError(f"The home {self.home.path} is a file.", "Name a folder with --home.")

    @property
    def as_json(self) -> bool:
        return self._root.as_json

    @property
    def interactive(self) -> bool:
        """Whether somebody can be asked."""
        return not self.as_json and sys.stdin.isatty() and sys.stderr.isatty()

    @property
    def store(self) -> RunStore:
        from braindash.runs.record import RunStore

        return RunStore(self.home)

    def ended_run(self, run_id: str) -> Run:
        """Return a run that nothing works on; raises BraindashError where it waits or works."""
        run = self.store.get(run_id)
        if run.status.active:
            raise BraindashError(
                f"Run {run_id} is {run.status.state}.", f"Wait for its end: braindash runs watch {run_id}"
            )
        return run

    def emit(self, payload: Mapping[str, Any], *lines: str) -> None:
        """Give the result: ``payload`` as JSON where that was asked for, else ``lines``."""
        if self.as_json:
            self._root.write_json(payload)
        else:
            for line in lines:
                self._root.out.write(line + "\n")
            self._root.out.flush()

    def tell(self, text: str) -> None:
        """Say something on the way, on stderr."""
        sys.stderr.write(plain(text) + "\n")
        sys.stderr.flush()


def plain(value: Any) -> str:
    """Return a value as one line of text that no terminal can take for a control sequence."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3f}" if value == value else "–"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(plain(v) for v in value)
    return "".join(c if c.isprintable() else " " for c in str(value))


def table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """Return aligned lines, numbers to the right; nothing is cut to the terminal's width."""
    cells = [[plain(v) for v in row] for row in rows]
    numeric = [all(isinstance(row[i], int | float | None) for row in rows) for i in range(len(headings))]
    widths = [max(len(h), *(len(row[i]) for row in cells)) if cells else len(h) for i, h in enumerate(headings)]

    def line(row: Sequence[str]) -> str:
        parts = [c.rjust(w) if n else c.ljust(w) for c, w, n in zip(row, widths, numeric, strict=True)]
        return "  ".join(parts).rstrip()

    return [line(list(headings)), *(line(row) for row in cells)]


def comma_list(text: str | None) -> list[str] | None:
    """Return the parts of ``a,b,c``; None where nothing was given."""
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]
