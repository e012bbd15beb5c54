"""What is trained, put together from the settings: the read-out and loss of a run, or its control's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from braindash.tuning.controls import Facts, get_control

if TYPE_CHECKING:
    from braindash.config import TuneConfig
    from braindash.speech.base import SpeechModel
    from braindash.tuning.data import TuningData
    from braindash.tuning.network import Network
    from braindash.tuning.recipes import Prepared, Recipe


def starting_model(model: SpeechModel, data: TuningData) -> SpeechModel:
    """Return the model that a run starts from: the one given, or one with random weights where the control says so.

    Raises
    ------
    BraindashError
        If the control cannot be made with this study and this model.
    """
    config = data.config
    control = get_control(config.control)
    control.check(data, facts_of(model))
    if not control.random_weights:
        return model
    from braindash.speech.random_weights import randomised

    return randomised(model, config.seed)


def facts_of(model: SpeechModel) -> Facts:
    """Return what a control must know of a model."""
    from braindash.speech.checkpoint import find_weights
    from braindash.speech.pretraining import has_pretraining_head

    return Facts(model.family, model.folder is not None and has_pretraining_head(find_weights(model.folder)))


def recipe_of(config: TuneConfig) -> Recipe:
    """Return the recipe that is used: the run's, or its control's."""
    from braindash.tuning.recipes import get_recipe

    return get_recipe(get_control(config.control).recipe or config.recipe)


def make_network(model: SpeechModel, prepared: Prepared, layer: int, data: TuningData) -> Network:
    """Return what is trained, over a model that its recipe prepared; random parts come from torch's generator."""
    config = data.config
    if get_control(config.control).stimulus_only:
        from braindash.tuning.self_supervised import StimulusNetwork

        return StimulusNetwork(model, prepared, layer, config)
    from braindash.tuning.heads import head_for
    from braindash.tuning.network import Network
    from braindash.tuning.objectives import get_loss

    return Network(model, prepared, layer, head_for(config, model.width, data), get_loss(config.loss))
