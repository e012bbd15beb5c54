"""Each story as the network takes it: windows, the map from frames to TRs, and the responses."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
import torch

from braindash.config import TuneConfig
from braindash.tuning.data import TuningData
from braindash.tuning.device import put
from braindash.tuning.devices import Team, local_size
from braindash.tuning.frame_map import FrameMap
from braindash.tuning.network import Network, Part, Step
from braindash.tuning.pooling import Plan, plan_story
from braindash.tuning.prefix import PrefixStates, Span, budgets
from braindash.tuning.recipes import resolve_layer
from braindash.tuning.schedule import Item

if TYPE_CHECKING:
    from braindash.speech.base import SpeechModel, State

CHUNK_SECONDS = 256.0  # audio that goes through the tuned blocks at once where no gradient is needed


K = TypeVar("K")
X = TypeVar("X")


@dataclass(frozen=True)
class Rows(Generic[K, X]):
    """A layer pooled to one vector a row: plainly, as it is evaluated, and as the head pools it.

    One and the same object unless the head's pooling is learnt.
    """

    plain: dict[K, X]
    head: dict[K, X]


class Stories:
    """Windows, prefix states and pooled features of the tuning and validation stories.

    Parameters
    ----------
    model : SpeechModel
        Prepared by a recipe.
    data : TuningData
    config : TuneConfig
    first_block : int
    cache : Path
        Folder for prefix states that do not fit into memory.
    stories : sequence of str, optional
        Only these; all tuning and validation stories when None.
    """

    def __init__(
        self,
        model: SpeechModel,
        data: TuningData,
        config: TuneConfig,
        first_block: int,
        cache: Path,
        stories: Sequence[str] | None = None,
    ) -> None:
        self.model = model
        self.data = data
        self.names = tuple(stories or (*data.tune_stories, *data.validation_stories))
        self._keys: dict[tuple[str, str], str] = {}
        self._plans: dict[tuple[str, str], Plan] = {}
        for story in self.names:
            audio = data.study.audio(story)
            for subject in data.listeners(story):
                times = data.times(story, subject)
                key = hashlib.sha256(times.tobytes()).hexdigest()[:16]
                self._keys[story, subject] = key
                if (story, key) not in self._plans:
                    self._plans[story, key] = plan_story(model, audio, times, data.study.tr, config.window)
        spans = {s: sorted({w for (t, _), p in self._plans.items() if t == s for w in p.spans}) for s in self.names}
        # Where the rows never change each story is read once, and its pooled rows are kept instead.
        fixed = first_block == resolve_layer(model, config) and config.head.pooling == "mean"
        memory, disk = (0, 0) if fixed else budgets(cache)
        memory, disk = memory // local_size(), disk // local_size()
        self.prefix = PrefixStates(model, first_block, spans, data.study.audio, cache, memory=memory, disk=disk)
        self._maps: dict[tuple[object, ...], FrameMap] = {}
        self._fixed: dict[str, Rows[str, torch.Tensor]] = {}

    def rows_of(self, story: str, subject: str) -> str:
        """Return a key that is equal for subjects whose rows lie at the same times."""
        return self._keys[story, subject]

    def n_trs(self, story: str) -> int:
        """Return the rows of a story; of the subject with most where they differ."""
        return max(self._plans[story, self._keys[story, s]].n_rows for s in self.data.listeners(story))

    def subjects_of(self, item: Item) -> list[str]:
        """Return the subjects that take part in an item."""
        wanted = self.data.subjects if item.subject is None else (item.subject,)
        return [s for s in wanted if item.story in self.data.tune[s]]

    def n_rows(self, item: Item) -> int:
        """Return the TRs of an item; of the subject with most where they differ."""
        plans = (self._plans[item.story, self._keys[item.story, s]] for s in self.subjects_of(item))
        return max(stop - start for start, stop in (item.bounds(plan.n_rows) for plan in plans))

    def reach(self, item: Item) -> tuple[int, int]:
        """Return the samples [start, stop) of the story's audio that an item's rows are read from."""
        plans = [self._plans[item.story, self._keys[item.story, s]] for s in self.subjects_of(item)]
        spans = [span for plan in plans for span in plan.spans_of(*item.bounds(plan.n_rows))]
        n = len(self.data.study.audio(item.story))
        return max(0, min(a for a, _ in spans)), min(n, max(b for _, b in spans))

    def step(self, item: Item, network: Network, device: torch.device) -> Step:
        """Return the input of one item; subjects that did not tune on the story have no part in it."""
        story = item.story
        parts: list[Part] = []
        wanted: dict[str, tuple[int, int]] = {}
        for subject in self.subjects_of(item):
            key = self._keys[story, subject]
            start, stop = item.bounds(self._plans[story, key].n_rows)
            first = max(0, start - network.head.history)
            wanted[key] = (first, stop)
            Y = put(torch.from_numpy(self.data.responses(story, subject)[start:stop]), device)
            parts.append(Part(subject, key, start - first, Y))
        if network.rows_fixed:
            rows = self.pooled(story, network).head
            return Step([], {}, {k: rows[k][a:b] for k, (a, b) in wanted.items()}, parts)
        spans = sorted(
            {w for k, (a, b) in wanted.items() for w in self._plans[story, k].spans_of(a, b)}, key=_by_length
        )
        maps: dict[Hashable, FrameMap] = {k: self._map(story, k, a, b, spans, device) for k, (a, b) in wanted.items()}
        return Step(self._states(story, spans), maps, {}, parts)

    @torch.no_grad()
    def pooled(self, story: str, network: Network) -> Rows[str, torch.Tensor]:
        """Return the layer, one vector a row, by rows key: (n_trs, width) float32 on the model's device.

        Computed in chunks of windows; kept between calls where the rows never change.
        """
        keys = [k for s, k in self._plans if s == story]
        if story in self._fixed:
            return self._fixed[story]
        device = self.model.device
        spans = sorted(self.prefix.spans[story], key=_by_length)
        longest = max(b - a for a, b in spans)
        step = max(1, int(CHUNK_SECONDS * self.model.sample_rate / longest))
        plain = {k: torch.zeros(self._plans[story, k].n_rows, self.model.width, device=device) for k in keys}
        learnt = {k: torch.zeros_like(x) for k, x in plain.items()} if network.weighs_frames else plain
        for at in range(0, len(spans), step):
            chunk = spans[at : at + step]
            frames = network.frames(self._states(story, chunk))
            for k in keys:
                with torch.autocast(device.type, enabled=False):
                    fmap = self._map(story, k, 0, len(plain[k]), chunk, device)
                    plain[k] += fmap(frames)
                    if learnt is not plain:  # a row's frames are all of one window, so of one chunk
                        learnt[k] += network.head.pool(frames, fmap)
        rows = Rows(plain, learnt)
        if network.rows_fixed:
            self._fixed[story] = rows
        return rows

    def all_pooled(
        self, network: Network, before: Callable[[str], None], team: Team | None = None
    ) -> Rows[tuple[str, str], np.ndarray]:
        """Return `pooled` of every story by (story, rows key), as arrays; ``before`` is called ahead of each story.

        Several processes divide the stories: ``before`` is called in all of them for the first of each
        round, and what all have computed is returned in process 0, nothing in the others.
        """
        team = team or Team()
        plain: dict[tuple[str, str], np.ndarray] = {}
        learnt = {} if network.weighs_frames else plain
        for at in range(0, len(self.names), team.size):
            before(self.names[at])
            if at + team.rank >= len(self.names):
                break
            story = self.names[at + team.rank]
            rows = self.pooled(story, network)
            plain |= {(story, k): x.cpu().numpy() for k, x in rows.plain.items()}
            if learnt is not plain:
                learnt |= {(story, k): x.cpu().numpy() for k, x in rows.head.items()}
        if team.size == 1:
            return Rows(plain, learnt)
        gathered = team.gather((plain, learnt if learnt is not plain else None))
        plain = {key: x for part, _ in gathered for key, x in part.items()}
        weighed = {key: x for _, part in gathered for key, x in (part or {}).items()}
        return Rows(plain, weighed or plain)

    def _states(self, story: str, spans: Sequence[Span]) -> list[State]:
        """Return the prefix states of ``spans`` (in order of length), one batch a length."""
        states, at = [], 0
        while at < len(spans):
            length = _by_length(spans[at])[0]
            end = next((i for i in range(at, len(spans)) if _by_length(spans[i])[0] != length), len(spans))
            states.append(self.prefix.get(story, spans[at:end]))
            at = end
        return states

    def _map(
        self, story: str, key: str, start: int, stop: int, spans: Sequence[Span], device: torch.device
    ) -> FrameMap:
        """Return the map from the frames of ``spans``, in order, to rows [start, stop)."""
        name = (story, key, start, stop, tuple(spans))
        if name not in self._maps:
            offset, n_frames = {}, 0
            for span in spans:
                offset[span] = n_frames
                n_frames += self.model.n_frames(span[1] - span[0])
            row, column, weight = self._plans[story, key].entries(start, stop, offset)
            self._maps[name] = FrameMap(row, column, weight, (stop - start, n_frames), device)
        return self._maps[name]


def _by_length(span: Span) -> tuple[int, Span]:
    return span[1] - span[0], span
