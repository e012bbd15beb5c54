"""What turns gradients into steps: one peak learning rate for the speech model, one for the head."""

from __future__ import annotations

import torch

from braindash.config import OptimiserConfig
from braindash.errors import BraindashError
from braindash.tuning.network import Network

KINDS: dict[str, type[torch.optim.Adam]] = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}


def make_optimiser(network: Network, config: OptimiserConfig) -> torch.optim.Optimizer:
    """Return AdamW, or Adam, with a peak learning rate for the speech model and one for the head.

    Adam adds ``weight_decay`` times a weight to its gradient (an L2 penalty); AdamW takes it off
    the weight itself. At ``head_lr`` 0 the head is frozen; its offsets are under a loss that
    ignores them, whose gradient is zero but for rounding.

    Raises
    ------
    BraindashError
        If nothing would be trained.

    References
    ----------
    Kingma & Ba (2015), arXiv 1412.6980; Loshchilov & Hutter (2019), arXiv 1711.05101.
    """
    if config.head_lr == 0:
        network.head.requires_grad_(False)
    if network.ignores_offsets:
        for name, p in network.head.named_parameters():
            if name.startswith("outputs.") and name.endswith(".bias"):
                p.requires_grad_(False)
    adapters = [p for _, p in network.adapters()]
    head = [p for p in network.head.parameters() if p.requires_grad]
    groups = [
        {"params": params, "lr": peak, "peak": peak}
        for params, peak in ((adapters, config.lr), (head, config.head_lr))
        if params
    ]
    if not groups:
        raise BraindashError("Nothing would be trained: the recipe is head and head_lr is 0.", "Set head_lr above 0.")
    return KINDS[config.kind](groups, weight_decay=config.weight_decay)
