"""Prepare what the flatmaps of a study need, so that the first page that shows them need not wait."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from braindash.config import Home
from braindash.errors import BraindashError

if TYPE_CHECKING:
    from braindash.studies.base import Study

log = logging.getLogger(__name__)


def prepare_maps(study: Study, subjects: Sequence[str], home: Home, *, files: bool = True) -> int:
    """Store the map from pixels to targets of every subject, at the height that pages use and, larger, for files.

    A subject whose map cannot be made (a surface that is missing, a full disk) is logged: its numbers are
    complete without it, and the page says what is wrong when it is opened.

    Returns
    -------
    int
        How many subjects have their map.
    """
    from braindash.cortex.flatmap import HEIGHT, PAGE_HEIGHT, flat_index

    made = 0
    for subject in subjects:
        try:
            cortex_map = study.cortex(subject)
            if cortex_map is None:
                continue
            for height in (PAGE_HEIGHT, HEIGHT) if files else (PAGE_HEIGHT,):
                flat_index(cortex_map, home, height)
        except (BraindashError, ImportError, OSError, ValueError, RuntimeError) as error:
            log.warning("The flatmap of subject %s could not be prepared: %s", subject, error)
            continue
        made += 1
    return made
