"""What of the speech model is trained: one file a recipe, named in ``RECIPES``."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from braindash.config import TuneConfig
from braindash.errors import BraindashError, closest

if TYPE_CHECKING:
    import torch

    from braindash.speech.base import SpeechModel


@dataclass(frozen=True)
class Prepared:
    """A speech model made ready for training by a recipe.

    Attributes
    ----------
    first_block : int
        First block whose output depends on trained weights; the layer itself where none does.
    parameters : callable
        Yields (name, parameter) of what is trained in the speech model.
    save : callable
        ``save(folder, ref)`` writes the trained weights into an existing folder.
    train_mode : callable
        ``train_mode(on)`` switches the recipe's own dropout; the model's stays off.
    what : str
        What is trained in the speech model, and what of it is not, in words.
    """

    first_block: int
    parameters: Callable[[], Iterator[tuple[str, torch.nn.Parameter]]]
    save: Callable[[Path, str], None]
    train_mode: Callable[[bool], None]
    what: str = "nothing of the speech model"


# A recipe's `prepared` is a context: on leaving it the model is as it was.
Recipe = Callable[["SpeechModel", TuneConfig, int], AbstractContextManager[Prepared]]

RECIPES: dict[str, str] = {}


def register(name: str, where: str) -> None:
    """Add a recipe by the place of its function, ``"package.module:function"``.

    Raises
    ------
    ValueError
        If the name is taken or ``where`` is not of that form.
    """
    if name in RECIPES:
        raise ValueError(f"a recipe called {name!r} is registered already")
    if where.count(":") != 1 or not all(where.split(":")):
        raise ValueError(f"recipe {name!r} must be registered as 'module:function', not {where!r}")
    RECIPES[name] = where


register("lora", "braindash.tuning.recipes.lora:prepared")
register("full", "braindash.tuning.recipes.full:prepared")
register("head", "braindash.tuning.recipes.head:prepared")


def get_recipe(name: str) -> Recipe:
    """Return the recipe called ``name``; an unknown name is a BraindashError that offers the nearest."""
    if name not in RECIPES:
        raise BraindashError(f"There is no recipe {name!r}.", closest(name, RECIPES))
    module, function = RECIPES[name].split(":")
    recipe: Recipe = getattr(importlib.import_module(module), function)
    return recipe


def blocks(first: int, layer: int) -> str:
    """Name the blocks that feed a layer, from ``first`` on.

    >>> blocks(6, 9), blocks(8, 9)
    ('blocks 6 to 8', 'block 8')
    """
    return f"block {first}" if layer - 1 == first else f"blocks {first} to {layer - 1}"


def resolve_layer(model: SpeechModel, config: TuneConfig) -> int:
    """Return the hidden state that feeds the head: ``config.layer``, or the last.

    Raises
    ------
    BraindashError
        If the model has no such layer.
    """
    layer = model.n_layers if config.layer is None else config.layer
    if not 1 <= layer <= model.n_layers:
        raise BraindashError(
            f"layer is {layer}, but {model.id} has layers 1 to {model.n_layers} to tune.",
            f"Set layer to {model.n_layers} or less, or leave it empty for the last.",
        )
    return layer
