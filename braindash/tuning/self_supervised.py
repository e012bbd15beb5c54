"""Pretraining that goes on with the stories' sound: the control that hears everything and sees no response.

The loss is wav2vec 2.0's own, computed by transformers' ``Wav2Vec2ForPreTraining`` from our
encoder's states: a masked frame must be told from other masked frames of its window by what it
was before it was masked (contrastive), and the codebook must be used evenly (diversity). It is
read at the last layer, where pretraining read it, whatever layer the real run reads. In the
speech model the recipe's weights are trained and no others; the pretraining head takes the
place of the read-out, at the read-out's learning rate.

References
----------
Baevski et al. (2020), wav2vec 2.0, NeurIPS, arXiv 2006.11477.
"""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import nn

from braindash.errors import BraindashError
from braindash.speech.checkpoint import find_weights
from braindash.speech.pretraining import read_pretraining_head
from braindash.tuning.network import Network
from braindash.tuning.prefix import CHUNK_SECONDS, cut

if TYPE_CHECKING:
    from braindash.config import TuneConfig
    from braindash.speech.base import SpeechModel, State
    from braindash.speech.families.wav2vec2 import Wav2Vec2
    from braindash.tuning.recipes import Prepared
    from braindash.tuning.schedule import Item
    from braindash.tuning.stories import Stories

# Those of the pretraining; a checkpoint's config.json may hold what a later fine-tune used.
MASKED_SHARE, MASKED_FRAMES = 0.65, 10  # share of frames in masked spans, were none to overlap; frames of a span
TEMPERATURE = 0.5  # of the Gumbel softmax at the end of pretraining, where this goes on
FEWEST_FRAMES = 2 * MASKED_FRAMES + 1  # two spans, so that there is something to tell a frame from


@dataclass(frozen=True)
class Sound:
    """The input of one step: windows of one length and what is hidden of them.

    Attributes
    ----------
    waves : list of (n_samples,) float32
    masked : list of (n_masked,) int64
        Frames of each window that are masked.
    negatives : list of (n_masked, n_negatives) int64
        For every masked frame, the masked frames that it must be told from; they count into ``masked``.
    """

    waves: list[np.ndarray]
    masked: list[np.ndarray]
    negatives: list[np.ndarray]


class PretrainingHead(nn.Module):
    """The quantizer and the two projections of a wav2vec 2.0 checkpoint.

    Parameters
    ----------
    model : Wav2Vec2
        With the ``folder`` of a checkpoint that has them.
    """

    mask: torch.Tensor
    kind, history = "wav2vec2_pretraining", 0
    subjects: tuple[str, ...] = ()
    delays: tuple[int, ...] = ()
    tr, shared_output = None, False
    score = None  # the features that the fresh ridge judges are plain means of frames

    def __init__(self, model: SpeechModel) -> None:
        super().__init__()
        import transformers

        assert model.folder is not None
        tensors, mask = read_pretraining_head(find_weights(model.folder))
        with torch.device("meta"):
            whole = transformers.Wav2Vec2ForPreTraining(copy.deepcopy(model.config))
        whole.wav2vec2 = _Given()  # type: ignore[assignment]  # the encoder has run already
        try:
            whole.load_state_dict(tensors, strict=True, assign=True)
        except RuntimeError as error:
            raise BraindashError(
                f"The pretraining head in {model.folder} does not fit its config.json: "
                f"{' '.join(str(error).split())[:200]}.",
                "Fetch config.json and the weights again, from the same place.",
            ) from None
        whole.set_gumbel_temperature(TEMPERATURE)  # type: ignore[arg-type]  # any number divides the logits
        whole.eval().requires_grad_(True)
        self.quantizer, self.project_hid, self.project_q = whole.quantizer, whole.project_hid, whole.project_q
        self.register_buffer("mask", mask)
        object.__setattr__(self, "_whole", whole)  # not a part: its parts are those above
        self.n_negatives = int(model.config.num_negatives)

    @property
    def mean(self) -> torch.Tensor:
        """A tensor of the head, by which others find its device."""
        return self.mask

    def owners(self) -> dict[str, tuple[str, ...]]:
        """Return nothing: no module belongs to a subject."""
        return {}

    def loss(self, hidden: torch.Tensor, features: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
        """Return the loss summed over one window's masked frames.

        Parameters
        ----------
        hidden : (n_masked, width)
            The last layer at the masked frames.
        features : (n_masked, n_channels)
            The convolutions' output there.
        negatives : (n_masked, n_negatives) int64
        """
        whole: Any = self._whole
        everything = torch.ones(1, len(hidden), dtype=torch.bool, device=hidden.device)
        out: torch.Tensor = whole(
            (hidden[None], features[None]), mask_time_indices=everything, sampled_negative_indices=negatives[None]
        ).loss
        return out


class _Given(nn.Module):
    """Stands where the encoder was, and returns what it is handed."""

    def forward(self, states: tuple[torch.Tensor, torch.Tensor], **about: Any) -> Any:
        from transformers.models.wav2vec2.modeling_wav2vec2 import Wav2Vec2BaseModelOutput

        return Wav2Vec2BaseModelOutput(last_hidden_state=states[0], extract_features=states[1])


class StimulusNetwork(Network):
    """The recipe's weights under the pretraining's loss in place of a read-out's.

    `frames`, and with it the features that the fresh ridge judges, are those of `Network`.
    """

    def __init__(self, model: SpeechModel, prepared: Prepared, layer: int, config: TuneConfig) -> None:
        head: Any = PretrainingHead(model)
        super().__init__(model, prepared, layer, head, _no_loss)
        self.learns_responses = False
        self._config = config
        self._family: Wav2Vec2 = model  # type: ignore[assignment]  # the check let no other family through
        self._n_samples = round(config.window.context * model.sample_rate)
        if model.n_frames(self._n_samples) < FEWEST_FRAMES:
            raise BraindashError(
                f"stimulus-only needs windows of {FEWEST_FRAMES} frames or more; {config.window.context:g} s are "
                f"{model.n_frames(self._n_samples)} frames of {model.id}.",
                f"Set window.context to {(FEWEST_FRAMES + 1) * model.frame_period:.2g} s or more.",
            )

    @property
    def pretraining(self) -> PretrainingHead:
        """The head, by its own type."""
        return cast("PretrainingHead", self.head)

    def set_training(self, on: bool) -> None:
        """Switch the recipe's dropout and the random choice of codebook entries."""
        super().set_training(on)
        self.pretraining.train(on)

    def batch(self, stories: Stories, item: Item, device: torch.device) -> Any:
        """Return the sound of one item's rows with fresh masks, which follow from torch's generator."""
        audio = stories.data.study.audio(item.story)
        low, high = stories.reach(item)
        return self._hide(audio, low, high, seed=int(torch.randint(2**31 - 1, ())))

    def forward(self, step: Any) -> torch.Tensor:
        """Return the loss of one step's windows, averaged over their masked frames."""
        sound: Sound = step
        with torch.no_grad(), torch.autocast(self.pretraining.mask.device.type, enabled=False):
            state, features = self._masked_state(sound)
        for i in range(self.first_block, self._model.n_layers):
            state = self._block(i, state)
        last = self._model.finish(state)
        with torch.autocast(last.device.type, enabled=False):
            total = torch.zeros((), device=last.device)
            for k, (at, negatives) in enumerate(zip(sound.masked, sound.negatives, strict=True)):
                index = torch.from_numpy(at).to(last.device)
                pairs = torch.from_numpy(negatives).to(last.device)
                total = total + self._window_loss(last[k, index].float(), features[k, index], pairs)
        return total / sum(map(len, sound.masked))

    def own_validation_loss(self, stories: Stories) -> float:
        """Return the loss on the validation stories: the same masks in every epoch, and no random codebook entry."""
        total, n = 0.0, 0
        for story in stories.data.validation_stories:
            audio = stories.data.study.audio(story)
            key = hashlib.sha256(f"masks:{self._config.seed}:{story}".encode()).digest()
            whole = self._hide(audio, 0, len(audio), seed=int.from_bytes(key[:4], "little"))
            chunk = self._chunk(len(whole.waves[0]))
            for a in range(0, len(whole.waves), chunk):
                part = Sound(*(values[a : a + chunk] for values in (whole.waves, whole.masked, whole.negatives)))
                n_masked = sum(map(len, part.masked))
                with torch.no_grad():
                    total += float(self(part)) * n_masked
                n += n_masked
        return total / n

    def _chunk(self, n_samples: int) -> int:
        return max(1, int(CHUNK_SECONDS * self._model.sample_rate / n_samples))

    def _hide(self, audio: np.ndarray, low: int, high: int, seed: int) -> Sound:
        """Return ``audio[low:high]`` in windows, masked by ``seed``; a window reaches back where the rest is short."""
        waves = [cut(audio, span) for span in windows_over(low, high, min(self._n_samples, len(audio)))]
        masked, negatives = hidden_frames(
            len(waves), self._model.n_frames(len(waves[0])), self.pretraining.n_negatives, seed=seed
        )
        return Sound(waves, masked, negatives)

    def _masked_state(self, sound: Sound) -> tuple[State, torch.Tensor]:
        """Return the state that enters the first tuned block, and what the convolutions gave: (n, n_frames, ·)."""
        model = self._family
        states, features = [], []
        chunk = self._chunk(len(sound.waves[0]))
        for a in range(0, len(sound.waves), chunk):
            h, feature = model.project(model.prepare(sound.waves[a : a + chunk]))
            for k, at in enumerate(sound.masked[a : a + chunk]):
                h[k, torch.from_numpy(at).to(h.device)] = self.pretraining.mask
            state = model.enter(h)
            for i in range(self.first_block):
                state = model.block(i, state)
            states.append(state)
            features.append(feature)
        joined = torch.cat([s.h for s in states])
        return type(states[0])(joined, states[0].extras), torch.cat(features)

    def _window_loss(self, hidden: torch.Tensor, features: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
        """Return one window's loss; what it needs on the way back, frames x negatives, is computed again."""
        if not torch.is_grad_enabled():
            return self.pretraining.loss(hidden, features, negatives)
        from torch.utils.checkpoint import checkpoint

        out: torch.Tensor = checkpoint(self.pretraining.loss, hidden, features, negatives, use_reentrant=False)
        return out


def _no_loss(predicted: torch.Tensor, measured: torch.Tensor) -> torch.Tensor:
    raise AssertionError("stimulus-only predicts no response")


def windows_over(low: int, high: int, n_samples: int) -> list[tuple[int, int]]:
    """Return windows of ``n_samples`` one after the other that cover [low, high); the last ends at ``high``.

    >>> windows_over(0, 25, 10)
    [(0, 10), (10, 20), (15, 25)]
    >>> windows_over(4, 9, 8)
    [(1, 9)]
    """
    count = max(1, math.ceil((high - low) / n_samples))
    starts = [low + k * n_samples for k in range(count - 1)]
    starts.append(max(high - n_samples, 0))
    return [(a, a + n_samples) for a in starts]


def hidden_frames(
    n_windows: int, n_frames: int, n_negatives: int, *, seed: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return each window's masked frames and, for each of them, the masked frames to tell it from.

    Raises
    ------
    BraindashError
        If a window has fewer than ``FEWEST_FRAMES``.
    """
    from transformers.models.wav2vec2.modeling_wav2vec2 import _compute_mask_indices, _sample_negative_indices

    if n_frames < FEWEST_FRAMES:
        raise BraindashError(
            f"stimulus-only needs {FEWEST_FRAMES} frames of sound a story or more; one has {n_frames}.",
            "Leave the story out of the study.",
        )
    with numpy_seeded(seed):
        mask = _compute_mask_indices((n_windows, n_frames), MASKED_SHARE, MASKED_FRAMES, min_masks=2)
        masked = [np.flatnonzero(row).astype(np.int64) for row in mask]
        negatives = [_sample_negative_indices((1, len(at)), n_negatives)[0].astype(np.int64) for at in masked]
    return masked, negatives


@contextmanager
def numpy_seeded(seed: int) -> Iterator[None]:
    """Draw from NumPy's shared generator as from ``seed``, and leave it as it was."""
    before = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(before)
