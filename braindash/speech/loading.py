"""From a name to a speech model whose every weight is known to come from its file."""

from __future__ import annotations

import contextlib
import importlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from braindash.config import Home
from braindash.errors import BraindashError
from braindash.speech.base import SAMPLE_RATE, Preprocessing, SpeechModel
from braindash.speech.checkpoint import Checkpoint, hash_weights, open_weights, read_checkpoint
from braindash.speech.families import family_class
from braindash.speech.references import Found, find_model

log = logging.getLogger(__name__)

# weight-normalised convolutions: older and newer torch name the two parts differently
WEIGHT_NORM = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
# masks inputs while pretraining; not in every checkpoint and never read here
UNUSED = {"masked_spec_embed"}


def open_model(ref: str | Path, home: str | Path | Home | None = None) -> SpeechModel:
    """Open a speech model.

    Parameters
    ----------
    ref : str
        "whisper-tiny.en" (bundled), a hub id such as "facebook/hubert-base-ls960"
        (with "@REVISION" where wanted), a local folder in hub format, or a run id or run
        folder whose tuned model is wanted.
    home : path, optional
        See :class:`braindash.config.Home`.

    Returns
    -------
    SpeechModel
        On the CPU, float32, eval mode, no gradients.

    Raises
    ------
    BraindashError
        If the model is not known or not here, is not safetensors, is damaged, or
        its files do not fit together.
    """
    where = home if isinstance(home, Home) else Home.resolve(home)
    found = find_model(str(ref), where)
    if found.tuned is not None:
        from braindash.speech.tuned import open_tuned

        model = open_tuned(found, where)
    else:
        model = load_checkpoint(read_checkpoint(found.folder), found)
    path = Path(ref).expanduser()
    model.ref = str(path.resolve()) if found.id != str(ref) and path.is_dir() else str(ref)
    return model


def load_checkpoint(checkpoint: Checkpoint, found: Found) -> SpeechModel:
    """Build the encoder of a checkpoint and prove that it holds the file's weights."""
    family = family_class(checkpoint.model_type)
    tensors = dict(read_encoder_tensors(checkpoint, family))
    config = _read_config(checkpoint, family)
    _check_blocks(checkpoint, family, config, tensors)
    model_class = getattr(importlib.import_module(family.model_module), family.model_class)
    with _quietly():
        try:
            with torch.device("meta"):
                wanted = {name: t.shape for name, t in model_class(config).state_dict().items()}
            _check_shapes(wanted, tensors, model_class.__name__, checkpoint.folder)
            encoder, info = model_class.from_pretrained(
                None,
                config=config,
                state_dict=tensors,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                dtype=torch.float32,
                attn_implementation=family.attention,
            )
        except (RuntimeError, ValueError, TypeError, KeyError, AttributeError, AssertionError) as error:
            cause = " ".join(str(error).split())[:200]
            raise BraindashError(
                f"{checkpoint.folder} cannot be built as a {family.family} model: {cause}.",
                "Fetch config.json and the weights again, from the same place.",
            ) from error
    # read anew: the encoder's parameters may be the very tensors that were handed over
    check_loaded(encoder, info, read_encoder_tensors(checkpoint, family), checkpoint.folder)
    model = family(
        encoder,
        read_preprocessing(checkpoint, family),
        id=found.id,
        weights_hash=hash_weights(checkpoint.files),
        source=found.source,
        licence=found.licence,
    )
    model.folder = checkpoint.folder
    return model


def read_encoder_tensors(checkpoint: Checkpoint, family: type[SpeechModel]) -> Iterator[tuple[str, torch.Tensor]]:
    """Read the encoder's tensors one by one, with their names inside the encoder; heads are left out.

    Weight-norm parts come back under torch's present names, whichever the file uses.

    Raises
    ------
    BraindashError
        If the file is damaged, or holds something that is neither of the encoder nor a known head.
    """
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(open_weights(path)) for path in checkpoint.files]
        where = {name: file for file in files for name in file.keys()}  # noqa: SIM118 - not a dict
        prefix = next((p for p in family.prefixes if any(name.startswith(p) for name in where)), "")
        inner = {name for name in where if name.startswith(prefix) and (prefix or not name.startswith(family.heads))}
        strange = sorted(name for name in where.keys() - inner if not name.startswith(family.heads))
        if strange:
            raise _misfit(checkpoint.folder, "holds tensors that a", family.family, strange)
        for name in inner:
            head, _, last = name.removeprefix(prefix).rpartition(".")
            yield f"{head}.{WEIGHT_NORM.get(last, last)}".removeprefix("."), where[name].get_tensor(name)


def check_loaded(
    encoder: torch.nn.Module, info: dict[str, Any], in_file: Iterator[tuple[str, torch.Tensor]], folder: Path
) -> None:
    """Refuse an encoder in which anything is not what the file holds.

    transformers' own report is read first; then every parameter is compared with
    the file, because a weight-normalised convolution can be left at its initial
    value without being reported.

    Raises
    ------
    BraindashError
        Naming the tensors.
    """
    name = type(encoder).__name__
    reported = sorted(
        {str(k) for kind in ("missing", "unexpected", "mismatched") for k in info[f"{kind}_keys"]} - UNUSED
    )
    if reported:
        raise _misfit(folder, "could not give every tensor that a", name, reported)
    unproven = {key: value for key, value in encoder.state_dict().items() if key not in UNUSED}
    for key, tensor in in_file:
        if key in unproven and torch.equal(unproven[key].float(), tensor.float()):
            del unproven[key]
    changed = sorted(unproven)
    if changed:
        raise BraindashError(
            f"After loading {folder}, {len(changed)} of the {name}'s parameters differ from the file "
            f"({', '.join(changed[:4])}): this pair of torch {torch.__version__} and transformers left them "
            "at their initial values.",
            "Install the versions that requirements.txt pins.",
        )


def _misfit(folder: Path, how: str, name: str, tensors: list[str]) -> BraindashError:
    more = f" and {len(tensors) - 4} more" if len(tensors) > 4 else ""
    verb = "does not have" if how.startswith("holds tensors that") else "needs" if "lacks" in how else "has"
    return BraindashError(
        f"{folder} {how} {name} {verb}: {', '.join(tensors[:4])}{more}.",
        "config.json and the weights do not belong together; fetch both from the same place.",
    )


def _read_config(checkpoint: Checkpoint, family: type[SpeechModel]) -> Any:
    import transformers

    try:
        config = getattr(transformers, family.config_class).from_dict(checkpoint.config)
    except Exception as error:  # the strict configuration classes raise many kinds; all mean a bad file
        raise BraindashError(
            f"{checkpoint.folder / 'config.json'} is not a valid {family.family} configuration: "
            f"{' '.join(str(error).split())[:200]}.",
            "Fetch config.json again.",
        ) from None
    if getattr(config, "add_adapter", False):
        raise BraindashError(
            f"{checkpoint.folder} ends in a down-sampling adapter (add_adapter), which braindash does not read.",
            "Use the model that it was made from.",
        )
    return config


def _check_blocks(
    checkpoint: Checkpoint, family: type[SpeechModel], config: Any, tensors: dict[str, torch.Tensor]
) -> None:
    """Refuse a config that counts other blocks than the weights hold, before they are built."""
    blocks = {
        key.split("layers.")[1].split(".")[0] for key in tensors if key.startswith(("layers.", "encoder.layers."))
    }
    said = getattr(config, family.layers_key)
    if said != len(blocks):
        raise BraindashError(
            f"{checkpoint.folder / 'config.json'} says {family.layers_key} {said}, "
            f"but the weights hold {len(blocks)} blocks.",
            "config.json and the weights do not belong together; fetch both from the same place.",
        )


def _check_shapes(wanted: dict[str, torch.Size], tensors: dict[str, torch.Tensor], name: str, folder: Path) -> None:
    """Refuse weights that are not, tensor by tensor, what the config asks for, before memory is."""
    missing = sorted(wanted.keys() - tensors.keys() - UNUSED)
    unexpected = sorted(tensors.keys() - wanted.keys() - UNUSED)
    shaped = [
        f"{k} {tuple(tensors[k].shape)}, not {tuple(wanted[k])}"
        for k in sorted(wanted.keys() & tensors.keys())
        if wanted[k] != tensors[k].shape
    ]
    if shaped:
        raise _misfit(folder, "holds tensors of another shape than a", name, shaped)
    if missing:
        raise _misfit(folder, "lacks tensors that a", name, missing)
    if unexpected:
        raise _misfit(folder, "holds tensors that a", name, unexpected)


def read_preprocessing(checkpoint: Checkpoint, family: type[SpeechModel]) -> Preprocessing:
    """Return what the model does to a waveform, from preprocessor_config.json.

    Raises
    ------
    BraindashError
        If the file is missing where normalisation would be a guess, or the
        model was trained at another sampling rate.
    """
    settings = checkpoint.preprocessor
    if settings is None:
        if family.needs_preprocessor:
            raise BraindashError(
                f"{checkpoint.folder} has no preprocessor_config.json, so whether its audio is normalised is unknown.",
                "Copy preprocessor_config.json from the model that it was made from.",
            )
        settings = {}
    rate = settings.get("sampling_rate", SAMPLE_RATE)
    if rate != SAMPLE_RATE:
        raise BraindashError(
            f"{checkpoint.folder} was trained on audio at {rate} Hz.", f"Use a model for {SAMPLE_RATE} Hz."
        )
    return Preprocessing(do_normalize=bool(settings.get("do_normalize", family.normalises)))


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep transformers' progress bar and report off the terminal; we check and say it ourselves."""
    from transformers.utils import logging as hf_logging

    verbosity, bar = hf_logging.get_verbosity(), hf_logging.is_progress_bar_enabled()
    hf_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()
    try:
        yield
    finally:
        hf_logging.set_verbosity(verbosity)
        if bar:
            hf_logging.enable_progress_bar()
