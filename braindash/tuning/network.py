"""What is trained, as one torch module: the tuned blocks, the pooling, the head."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import nn

from braindash.tuning.frame_map import FrameMap
from braindash.tuning.heads import Head

if TYPE_CHECKING:
    from braindash.speech.base import SpeechModel, State
    from braindash.tuning.objectives import Loss
    from braindash.tuning.recipes import Prepared
    from braindash.tuning.schedule import Item
    from braindash.tuning.stories import Stories


@dataclass(frozen=True)
class Part:
    """What one subject contributes to a step.

    Attributes
    ----------
    subject : str
    rows : hashable
        Which of the step's pooled rows are the subject's (subjects may share them).
    skip : int
        Leading pooled rows that are only history.
    responses : (n_trs, n_targets) tensor
    """

    subject: str
    rows: Hashable
    skip: int
    responses: torch.Tensor


@dataclass(frozen=True)
class Step:
    """The input of one training step.

    Attributes
    ----------
    states : list of State
        Windows that enter the first tuned block, grouped by length.
    maps : dict of rows to FrameMap
        From the frames of all windows, in that order, to pooled rows.
    pooled : dict of rows to tensor
        Instead of the two above, where the rows never change: pooled beforehand.
    parts : list of Part
    """

    states: list[State]
    maps: Mapping[Hashable, FrameMap]
    pooled: Mapping[Hashable, torch.Tensor]
    parts: list[Part]


class Network(nn.Module):
    """Tuned blocks, pooling and head over a speech model prepared by a recipe.

    Parameters
    ----------
    model : SpeechModel
    prepared : Prepared
    layer : int
        Hidden state that is read; blocks from it on never run.
    head : Head
    loss : callable
        See `braindash.tuning.objectives`.
    """

    def __init__(self, model: SpeechModel, prepared: Prepared, layer: int, head: Head, loss: Loss) -> None:
        super().__init__()
        self.encoder = model.encoder
        self.head = head
        self.first_block = prepared.first_block
        self.layer = layer
        self._model = model
        self._prepared = prepared
        self._loss = loss
        self.learns_responses = True  # False: the head is not a read-out of responses
        self.checkpointing = False  # compute the blocks again on the way back instead of keeping what they need
        self.set_training(False)

    @property
    def frozen(self) -> bool:
        """Whether no block is tuned, so that the layer never changes."""
        return self.first_block == self.layer

    @property
    def rows_fixed(self) -> bool:
        """Whether the pooled rows never change: no block is tuned and the pooling is not learnt."""
        return self.frozen and not self.weighs_frames

    @property
    def weighs_frames(self) -> bool:
        """Whether the head pools by weights that are learnt."""
        return self.learns_responses and self.head.score is not None

    @property
    def ignores_offsets(self) -> bool:
        """Whether the loss stays as it is when a constant is added to a target over time."""
        return bool(getattr(self._loss, "ignores_offsets", False))

    def set_training(self, on: bool) -> None:
        """Switch the recipe's own dropout; every dropout of the pretrained model stays off."""
        self.encoder.eval()
        self._prepared.train_mode(on)

    def adapters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield what is trained in the speech model, with names that are stable between sessions."""
        return ((f"encoder.{name}", p) for name, p in self._prepared.parameters())

    def trained(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield everything that is trained."""
        yield from self.adapters()
        yield from ((f"head.{name}", p) for name, p in self.head.named_parameters())

    def batch(self, stories: Stories, item: Item, device: torch.device) -> Step:
        """Return the input of one item of a step."""
        return stories.step(item, self, device)

    def own_validation_loss(self, stories: Stories) -> float | None:
        """Return the loss on the validation stories where it is not that of a read-out, else None."""
        return None

    def idle(self, subjects: Collection[str]) -> set[str]:
        """Return the names of the parameters that a step of ``subjects`` alone leaves without a gradient."""
        if not self.learns_responses:
            return set()
        return {
            f"head.{module}.{name}"
            for module, owners in self.head.owners().items()
            if not set(owners) & set(subjects)
            for name in ("weight", "bias")
        }

    def frames(self, states: Iterable[State]) -> torch.Tensor:
        """Run the tuned blocks: all frames of all windows in order, (n_frames, width) float32."""
        out = []
        for state in states:
            for i in range(self.first_block, self.layer):
                state = self._block(i, state)
            h = self._model.read_layer(state, self.layer)
            out.append(h.reshape(-1, h.shape[-1]).float())
        return torch.cat(out)

    def _block(self, i: int, state: State) -> State:
        """Run one tuned block; with checkpointing its inner results are dropped and computed again (same dropout)."""
        if not self.checkpointing or not torch.is_grad_enabled():
            return self._model.block(i, state)
        from torch.utils.checkpoint import checkpoint

        def run(h: torch.Tensor) -> torch.Tensor:
            return self._model.block(i, replace(state, h=h)).h

        return replace(state, h=checkpoint(run, state.h, use_reentrant=False))

    def forward(self, step: Step) -> torch.Tensor:
        """Return the loss of one step, averaged over the subjects."""
        frames = self.frames(step.states) if step.states else None
        # From the pooling on, float32 also under autocast: it costs nothing and sums over many frames and targets.
        with torch.autocast(self.head.mean.device.type, enabled=False):
            pooled = dict(step.pooled)
            if frames is not None:
                pooled = {rows: self.head.pool(frames, fmap) for rows, fmap in step.maps.items()}
            return self.loss_of(pooled, step.parts)

    def loss_of(self, pooled: Mapping[Hashable, torch.Tensor], parts: list[Part]) -> torch.Tensor:
        """Return the loss from pooled rows, averaged over the subjects."""
        shared = {rows: self.head.bottleneck(x) for rows, x in pooled.items()}
        losses = [self._loss(self.head.read(shared[p.rows][p.skip :], p.subject), p.responses) for p in parts]
        return torch.stack(losses).mean()
