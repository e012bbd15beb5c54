"""A home in which every page has something to show: an evaluated run with probes, RSA and the comparison."""

from __future__ import annotations

from pathlib import Path

import fake_home
import hierarchy_home
import probing_home
import rsa_home

from braindash.config import Home


def fill(home: Home, folder: Path, *, cortex: bool = False) -> str:
    """Write the study, on a cortex or not, and its run; return the run's id."""
    if cortex:
        roi = fake_home.add_cortex_study(home, folder)
        run_id = fake_home.add_done(home, study="surface", n_targets=len(roi), roi=roi)
    else:
        fake_home.add_table_study(home, folder)
        run_id = fake_home.add_done(home)
    probing_home.write(home, run_id)
    rsa_home.add(home, run_id)
    hierarchy_home.write(home, run_id, hierarchy_home.document(run_id))
    return run_id
