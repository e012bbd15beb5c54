"""Smaller steps where the device ran out of memory: an epoch's remaining steps halved, and what a run is told to set.

Where the halvings happened is part of the position, so a resumed run has the same steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from braindash.errors import BraindashError
from braindash.tuning.memory import GB, SHARE, free_memory, release
from braindash.tuning.schedule import Item, epoch_items, epoch_steps

if TYPE_CHECKING:
    from braindash.tuning.loop import Session
    from braindash.tuning.position import Keeper, Position

LEAST_TRS = 4  # a step is not made smaller than this: config.block_trs has the same bound


def plan_epoch(session: Session, at: Position) -> tuple[list[list[Item]], int]:
    """Return the steps of the epoch that is running, with what was halved, and the steps of the whole run."""
    config = session.config
    items = epoch_items(session.data, config)
    for _ in range(at.halved):
        items = [item for step in halve([[item] for item in items]) for item in step]
    steps = steps_after(epoch_steps(items, config.stories_per_step, config.seed, at.epoch), at.cuts)
    an_epoch = -(-len(items) * 2 ** len(at.cuts) // config.stories_per_step)
    return steps, at.step - at.done + len(steps) + (config.optimiser.epochs - at.epoch) * an_epoch


def take_smaller_steps(session: Session, keeper: Keeper, at: Position, items: Sequence[Item], error: Exception) -> None:
    """After a step that did not fit: halve the steps that are left and write that down, or refuse.

    Raises
    ------
    BraindashError
        Where ``halve_on_memory`` is off, the step is as small as it may be, or several processes share
        it (they would have to halve together).
    """
    device = session.accelerator.device
    release(device)
    n_trs = max(session.stories.n_rows(item) for item in items)
    alone = session.team.size == 1
    if session.config.halve_on_memory and alone and keeper.whole and n_trs >= 2 * LEAST_TRS:
        with keeper.changing():
            at.cuts.append(at.done)
        keeper.save(again=True)
        session.log(
            f"Out of memory at step {at.step + 1} with {n_trs} TRs a step: going on with {-(-n_trs // 2)} TRs a step."
        )
        return
    needed = session.memory.needed(session.network.checkpointing) if session.memory else 0
    fits = fitting_trs(n_trs, needed, free_memory(device))
    about = f" ({needed / GB:.2g} GB needed)" if needed else ""
    remedies = [f"Set block_trs to {fits} (a step that should fit)"] if fits < n_trs else []
    remedies += [] if session.network.checkpointing else ["gradient_checkpointing to on"]
    remedies += ["precision to bf16"]
    raise BraindashError(
        f"The device ran out of memory at step {at.step + 1}, which has {n_trs} TRs{about}.",
        f"{' or '.join(remedies)}, then start again. With halve_on_memory steps are halved until they fit.",
    ) from error


def halve(steps: Sequence[Sequence[Item]]) -> list[list[Item]]:
    """Return twice as many steps, each with half of every item's TRs, in the same order.

    >>> halve([[Item("a", 1, 2)]])
    [[Item(story='a', block=2, n_blocks=4, subject=None)], [Item(story='a', block=3, n_blocks=4, subject=None)]]
    """
    return [
        [replace(item, block=2 * item.block + part, n_blocks=2 * item.n_blocks) for item in step]
        for step in steps
        for part in (0, 1)
    ]


def steps_after(steps: Sequence[Sequence[Item]], cuts: Sequence[int]) -> list[list[Item]]:
    """Return an epoch's steps as they became: from each number of done steps in ``cuts`` on, halved."""
    now = [list(step) for step in steps]
    for done in cuts:
        now = now[:done] + halve(now[done:])
    return now


def fitting_trs(n_trs: int, needed: int, free: int) -> int:
    """Return how many TRs a step may have: half as many until they fit into ``free``, and half at least once."""
    size, scale = n_trs // 2, 0.5
    while needed * scale > SHARE * free and size > LEAST_TRS:
        size, scale = size // 2, scale / 2
    return max(LEAST_TRS, size)
