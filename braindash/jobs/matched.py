"""A run and its matched controls: the last of them to end sees that the results show all of them.

On one device the controls of a group come first and the real run last, and its evaluation finds them
done. Where several runs go on at a time, or a control is resumed later, the real run may have been
evaluated without one. Whichever run of the set ends last then has the real run evaluated again. A
control that failed or was stopped is not waited for.
"""

from __future__ import annotations

import logging
import time

from braindash.errors import BraindashError
from braindash.runs.evaluate import find_candidates
from braindash.runs.liveness import identity
from braindash.runs.record import RunStore
from braindash.runs.run import Run
from braindash.runs.status import ACTIVE

log = logging.getLogger("braindash.worker")


def claim_evaluation(ended: Run) -> Run | None:
    """Return the real run of the matched set of ``ended``, claimed for this process, if it lacks a control.

    Parameters
    ----------
    ended : Run
        A run of a group, whose end is written.

    Returns
    -------
    Run or None
        *Queued*, tuned, in this process's name: working it evaluates it. None where nothing is to be
        done: the results hold every finished control, the real run is not done, or another run of the
        set waits or works and will ask itself when it ends.
    """
    try:
        config = ended.config
    except BraindashError:  # it failed because of that
        return None
    if not config.group:
        return None
    store = RunStore(ended.home)
    key = config.matching_key()
    mates = [r for r in store.list() if r.group == config.group and r.matching_key == key]
    if any(r.state in ACTIVE for r in mates) or not any(r.control != "none" and r.state == "done" for r in mates):
        return None
    real = next((store.get(r.id) for r in mates if r.control == "none" and r.state == "done"), None)
    if real is None or not real.config.evaluate or not real.read_status().tuned:
        return None
    try:
        wanted = {c.name: c.ref for c in find_candidates(real, real.home)[1:]}
        held = ((real.records() or {}).get("provenance") or {}).get("runs")
        if held == wanted:
            return None
        log.info("run %s is evaluated again, with %s", real.id, ", ".join(wanted))
        real.change_state(
            ("done",),
            "evaluated",
            state="queued",
            queued=time.time(),
            ended=None,
            heartbeat=time.time(),
            message="Evaluated again, with the controls that have ended since.",
            job=ended.read_status().job,  # the job of Slurm that goes on with it
            **identity(),
        )
    except BraindashError as error:  # another process has just claimed it, or its files cannot be read
        log.info("%s", error)
        return None
    return real
