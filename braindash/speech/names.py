"""Which tensor of a foreign file is which of an encoder: training code wraps models under many prefixes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from braindash.errors import BraindashError

# weight-normalised convolutions: older and newer torch name the two parts differently
WEIGHT_NORM = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
INNER = ("", "encoder.")  # what a file of the transformer alone leaves out of the names


@dataclass(frozen=True)
class Match:
    """Tensors of a file held against those of an encoder.

    Attributes
    ----------
    names : dict
        Name in the file -> name in the encoder.
    prefix : str
        What the file puts before the encoder's names.
    missing, unexpected : list
        Names in the encoder that the file lacks; names in the file that are not the encoder's.
    """

    names: dict[str, str]
    prefix: str
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)


def match_names(
    in_file: Iterable[str], wanted: Iterable[str], prefix: str | None = None, heads: tuple[str, ...] = ()
) -> Match:
    """Find the encoder in a file, under whatever prefix it lies.

    The prefix is the one under which most names fit: ``module.``, ``model.``, ``wav2vec2.``,
    ``base_model.model.`` and chains of them need no list.

    Parameters
    ----------
    in_file, wanted : iterables of str
    prefix : str, optional
        Look under this one only.
    heads : tuple of str
        Prefixes of what is not the encoder, though it may have layers of the same names (a decoder).

    Raises
    ------
    BraindashError
        If nothing fits, or two encoders do.
    """
    files, targets = list(in_file), set(wanted)
    renamed = {name: _modern(name) for name in files}
    counts: Counter[tuple[str, str]] = Counter()
    for name in renamed.values():
        for start in _starts(name):
            for inner in INNER:
                under = name[:start]
                if (under and under.endswith(heads)) or (prefix is not None and under != prefix):
                    continue
                if inner + name[start:] in targets:
                    counts[under, inner] += 1
    if not counts:
        under = f" under {prefix!r}" if prefix else ""
        raise BraindashError(
            f"None of its {len(files)} tensors{under} is one of the encoder's: it holds {_some(files)}, "
            f"and {_some(sorted(targets))} are wanted.",
            "Name the base model that it was tuned from with --base; a fairseq checkpoint must be converted with "
            "transformers first.",
        )
    (best, inner), n = counts.most_common(1)[0]
    rivals = sorted({p for (p, i), m in counts.items() if m == n and p != best and i == inner} | {best})
    if len(rivals) > 1:
        raise BraindashError(
            f"It holds {len(rivals)} encoders, under {' and '.join(map(repr, rivals))}.", "Choose one with --prefix."
        )
    names = {
        name: inner + modern[len(best) :]
        for name, modern in renamed.items()
        if modern.startswith(best) and inner + modern[len(best) :] in targets
    }
    unexpected = sorted(name for name in files if name not in names)
    return Match(names, best, sorted(targets - set(names.values())), unexpected)


def _modern(name: str) -> str:
    head, dot, last = name.rpartition(".")
    return f"{head}{dot}{WEIGHT_NORM.get(last, last)}"


def _starts(name: str) -> list[int]:
    return [0, *(i + 1 for i, c in enumerate(name) if c == ".")]


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
