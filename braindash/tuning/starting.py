"""The head in closed form: before the first step, and after every epoch where asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from braindash.tuning.warm_start import Fit, reduced_rank_ridge

if TYPE_CHECKING:
    from braindash.tuning.loop import Session
    from braindash.tuning.position import Keeper, Position

Pooled = Mapping[tuple[str, str], np.ndarray]


def start_head(session: Session, log: Callable[..., None]) -> None:
    """Fix the head's z-score from the pretrained model, and give it its first weights."""
    stories = session.stories
    began = time.perf_counter()

    def before(story: str) -> None:
        session.between()
        log(f"Pretrained features: story {stories.names.index(story) + 1} of {len(stories.names)}, {story}.")

    with session.accelerator.autocast():
        session.pretrained = stories.all_pooled(session.network, before, session.team)
    log(f"Pretrained features of {len(stories.names)} stories took {time.perf_counter() - began:.1f} s.")
    if session.network.learns_responses:
        if session.team.main:
            first_weights(session, session.pretrained.head, log)
        session.alpha = session.team.from_main(lambda: session.alpha)  # the weights are shared with the others later


def first_weights(session: Session, pooled: Pooled, log: Callable[..., None]) -> None:
    """Set the z-score, and the matrices where they do not start at random."""
    from braindash.tuning.controls import get_control, real

    stories, data, head, config = session.stories, session.data, session.network.head, session.config
    tuned = {(story, stories.rows_of(story, s)) for s in data.subjects for story in data.tune[s]}
    rows = np.concatenate([pooled[key] for key in sorted(tuned)]).astype(np.float64)
    head.set_statistics(torch.from_numpy(rows.mean(axis=0)).float(), torch.from_numpy(rows.std(axis=0)).float())
    if config.head.init == "random" and config.head.refit == "never":
        return
    # A control starts with the penalty that the real run starts with. One chosen on its own responses, which the
    # features do not predict, would be the largest tried: a head of almost nothing, and no match for the real one.
    fit = solve_head(session, pooled, config.encoding.alphas, data.real_responses)
    session.alpha = fit.alpha
    if config.head.init == "random":
        log(f"The head will be solved after every epoch with alpha {fit.alpha:g}.")
        return
    if get_control(config.control).responses is not real:
        fit = solve_head(session, pooled, (fit.alpha,), data.responses)
    head.set_weights(fit.shared, fit.outputs)
    log(f"The head starts at ridge with alpha {fit.alpha:g}, validation r {fit.scores[fit.alpha]:.4f}.")


def refit_head(session: Session, keeper: Keeper, at: Position, optimiser: Any, pooled: Pooled) -> None:
    """Solve the head again on the features as they are now, with the penalty that it was first solved with.

    The z-score stays that of the pretrained model. What the optimiser knew of the matrices is
    dropped: its moments belong to weights that are no more.
    """
    assert at.alpha is not None
    head = session.network.head
    fit = solve_head(session, pooled, (at.alpha,), session.data.responses) if session.team.main else None
    session.team.agree()  # nothing may fail or wait while the weights change
    with keeper.changing():
        if fit is not None:
            head.set_weights(fit.shared, fit.outputs)
        session.team.share([p.data for p in head.closed_form()])
        for parameter in head.closed_form():
            optimiser.state.pop(parameter, None)


def solve_head(
    session: Session, pooled: Pooled, alphas: Sequence[float], responses: Callable[[str, str], np.ndarray]
) -> Fit:
    """Return the (reduced-rank) ridge solution of the session's head.

    Parameters
    ----------
    session : Session
    pooled : mapping of (story, rows key) to (n_trs, width) array
    alphas : sequence of float
        Penalties; the best on the validation stories is taken.
    responses : callable
        ``responses(story, subject) -> (n_trs, n_targets)``, z-scored.
    """
    stories, data, head = session.stories, session.data, session.network.head
    with torch.no_grad():
        designs = {
            key: head.design(torch.from_numpy(x).to(session.accelerator.device)).cpu().numpy()
            for key, x in pooled.items()
        }
    designs_of = {
        (story, s): designs[story, stories.rows_of(story, s)] for story in stories.names for s in data.listeners(story)
    }
    rank = None if head.kind == "linear" else session.config.head.rank
    return reduced_rank_ridge(
        designs_of, responses, data.tune, data.validation, rank, alphas, shared_output=head.shared_output
    )
