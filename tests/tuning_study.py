"""A small study in memory, for tests of tuning: noise for audio, responses drawn or driven by a signal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from braindash.studies.base import Finding, Split, Story, Study

RATE = 16000


class SmallStudy(Study):
    """Stories of a few seconds and responses drawn from a seed.

    Parameters
    ----------
    n_tune, n_validation : int
    seconds : float
        Length of a story.
    n_targets : dict of subject to int
    shift : dict of subject to float
        Seconds by which a subject's rows lie later (row times may differ).
    """

    kind = "small"

    def __init__(
        self,
        n_tune: int = 3,
        n_validation: int = 1,
        seconds: float = 8.0,
        tr: float = 0.5,
        n_targets: dict[str, int] | None = None,
        shift: dict[str, float] | None = None,
        seed: int = 0,
    ) -> None:
        self.id, self.title, self.tr, self.signal = "small", "A small study", tr, "bold"
        self.n_targets = n_targets or {"sub-01": 6, "sub-02": 5}
        self.shift = shift or {}
        self.seconds = seconds
        self.subjects = tuple(self.n_targets)
        parts = ["tune"] * n_tune + ["validation"] * n_validation + ["test"]
        names = [f"s{i}" for i in range(len(parts))]
        self.stories = {
            n: Story(n, p, Path(f"{n}.wav"), seconds)  # type: ignore[arg-type]
            for n, p in zip(names, parts, strict=True)
        }
        self.seed = seed
        self.table: dict[str, pd.DataFrame] = {
            s: pd.DataFrame(
                {
                    "name": [f"t{i}" for i in range(v)],
                    "hemi": ["L" if i % 2 else "R" for i in range(v)],
                    "roi": "",
                    "noise_ceiling": np.linspace(0.1, 0.9, v),
                }
            )
            for s, v in self.n_targets.items()
        }
        self.data = {(story, s): self._draw(story, s) for story in self.stories for s in self.subjects}
        self.read: list[tuple[str, str]] = []

    def _rng(self, *parts: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, *(b for p in parts for b in p.encode())])

    def _draw(self, story: str, subject: str) -> np.ndarray:
        n = len(self.row_times(story, subject))
        return self._rng("y", story, subject).standard_normal((n, self.n_targets[subject])).astype(np.float32)

    @property
    def split(self) -> Split:
        def of(part: str) -> tuple[str, ...]:
            return tuple(s.name for s in self.stories.values() if s.part == part)

        return Split(of("tune"), of("validation"), of("test"))

    def audio(self, story: str) -> np.ndarray:
        return 0.1 * self._rng("a", story).standard_normal(int(self.seconds * RATE)).astype(np.float32)

    def row_times(self, story: str, subject: str) -> np.ndarray:
        late = self.shift.get(subject, 0.0)
        n = int((self.seconds - late) / self.tr)
        return late + self.tr / 2 + self.tr * np.arange(n)

    def read_responses(self, story: str, subject: str) -> np.ndarray:
        self.read.append((story, subject))
        return self.data[story, subject]

    def read_repeats(self, story: str, subject: str) -> np.ndarray | None:
        return None

    def targets(self, subject: str) -> pd.DataFrame:
        return self.table[subject]

    def check(self) -> list[Finding]:
        return []
