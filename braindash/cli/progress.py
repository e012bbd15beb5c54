"""Progress on stderr: bars on a terminal, a line at a time elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Self

from braindash.cli.session import plain
from braindash.jobs.words import duration

if TYPE_CHECKING:
    from rich.progress import Progress

    from braindash.demo.pipeline import DemoProgress
    from braindash.runs.run import Run
    from braindash.runs.status import Status

LINE_SECONDS = 15.0  # without a terminal, a line at most this often


class Bar:
    """One task from 0 to 1. A context manager; `show(fraction, message, eta_s)` moves it."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._progress: Progress | None = None
        self._said = 0.0
        self._done = False

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            self._progress = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f} %"),
                TimeElapsedColumn(),
                TextColumn("{task.fields[left]}"),
                console=Console(stderr=True, highlight=False, markup=False, emoji=False),
                transient=False,
            )
            self._progress.start()
            self._task = self._progress.add_task(self._title, total=1.0, left="")
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress:
            self._progress.stop()

    def title(self, title: str) -> None:
        """Begin a new line for the next task."""
        if title == self._title:
            return
        before, self._title = self._title, title
        self._said, self._done = 0.0, False
        if self._progress:
            if self._progress.tasks[-1].completed:
                self._progress.update(self._task, completed=1.0, description=before, left="")
            else:
                self._progress.remove_task(self._task)
            self._task = self._progress.add_task(title, total=1.0, left="")

    def say(self, text: str) -> None:
        """Print a line that stays."""
        if self._progress:
            self._progress.console.print(text)
        else:
            sys.stderr.write(text + "\n")

    def show(self, fraction: float, message: str = "", eta_s: float | None = None) -> None:
        text = self._title + (f": {plain(message)}" if message else "")
        left = f"{duration(eta_s)} left" if eta_s else ""
        if self._progress:
            width = max(20, self._progress.console.width - 55)
            self._progress.update(self._task, completed=fraction, description=text[:width], left=left)
        elif not self._done and (time.monotonic() - self._said > LINE_SECONDS or (fraction >= 1 and self._said)):
            self._said, self._done = time.monotonic(), fraction >= 1
            sys.stderr.write(f"{text} {100 * fraction:.0f} %{f', {left}' if left else ''}\n")
            sys.stderr.flush()


class DemoBars(Bar):
    """The demo's steps, one bar each."""

    def __init__(self) -> None:
        super().__init__("")

    def step(self, at: DemoProgress) -> None:
        self.title(f"{at.step}/{at.n_steps} {at.title}")
        self.show(at.fraction, at.detail, at.eta_s)


def describe(status: Status) -> str:
    """Return what a run does now, in a phrase."""
    if status.state != "running":
        return status.state
    return ", ".join(filter(None, ("running", status.stage, _where(status))))


def _where(status: Status) -> str:
    if status.stage != "tuning" or not status.step:
        return ""
    return f"epoch {status.epoch} of {status.n_epochs}, step {status.step} of {status.n_steps}"


def follow(run: Run, poll: float = 0.5) -> Status:
    """Show a run's progress until it has ended; returns its status. Ctrl-C ends the watching, not the run."""
    offset = 0
    with Bar("queued") as bar:
        while True:
            status = run.status
            rows, offset = run.metrics_since(offset)
            for row in rows:
                _tell_row(row, bar)
            if not status.active:
                return status
            bar.title(status.stage or "queued")
            bar.show(status.fraction or 0.0, status.message or _where(status), status.eta_s)
            time.sleep(poll)


def _tell_row(row: dict[str, Any], bar: Bar) -> None:
    if row.get("kind") != "epoch":
        return
    text = f"epoch {row.get('epoch')}: validation r {_number(row.get('validation_r'))}"
    if row.get("head_validation_r") not in (None, row.get("validation_r")):
        text += f" (by the head in training {_number(row['head_validation_r'])})"
    text += f", loss {_number(row.get('validation_loss'))}" + (" (kept so far)" if row.get("best") else "")
    bar.say(text)


def _number(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, int | float) else "–"
