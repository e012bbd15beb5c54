"""The whole evaluation of a run: encoding, probes, RSA, and what they say together.

Encoding is what a run is judged by; probes and RSA need a corpus and conditions that not every study
has, so where one of them cannot be done the evaluation says why and goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from braindash.errors import BraindashError, LeakageError, closest
from braindash.runs.evaluate import Candidate, Progress, evaluate_run

if TYPE_CHECKING:
    import xarray as xr

    from braindash.config import EncodingConfig
    from braindash.runs.record import Run

log = logging.getLogger(__name__)

PARTS = ("encode", "probe", "rsa")
SECONDS = {"encode": 50.0, "probe": 35.0, "rsa": 15.0}  # of 100; measured on the demo
DOING = {"encode": "Encoding", "probe": "Probing", "rsa": "RSA"}


def evaluate_whole(
    run: Run,
    *,
    parts: Sequence[str] = PARTS,
    config: EncodingConfig | None = None,
    candidates: Sequence[Candidate] | None = None,
    subjects: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Do the parts of a run's evaluation and return everything that is known of it.

    Parameters
    ----------
    run : Run
        Tuned, with a ``model/``.
    parts : sequence of "encode", "probe", "rsa"
    config, candidates, subjects : optional
        As for `braindash.runs.evaluate.evaluate_run`.
    progress : callable, optional
        ``progress(fraction, what)``.

    Returns
    -------
    dict
        As from `whole_records`.

    Raises
    ------
    BraindashError
        For an unknown part, and where encoding, or the only part asked for, cannot be done.
    LeakageError
        Where a model has seen a story that the study now tests on.
    """
    for part in parts:
        if part not in PARTS:
            raise BraindashError(f"There is no part {part!r} of an evaluation.", closest(part, PARTS))
    tell = progress or (lambda fraction, what: None)
    total = sum(SECONDS[p] for p in parts)
    not_done: dict[str, str] = {}
    spent = 0.0
    for part in [p for p in PARTS if p in parts]:

        def step(fraction: float, what: str = "", before: float = spent, part: str = part) -> None:
            tell((before + SECONDS[part] * fraction) / total, what)

        try:
            _do(part, run, config, candidates, subjects, step)
        except LeakageError:
            raise
        except BraindashError as error:
            if part == "encode" or len(parts) == 1:
                raise
            log.warning("%s was not done: %s", DOING[part], error.what)
            not_done[part] = error.what
        spent += SECONDS[part]
    tell(1.0, "Evaluated")
    return whole_records(run) | {"not_done": not_done}


def _do(
    part: str,
    run: Run,
    config: EncodingConfig | None,
    candidates: Sequence[Candidate] | None,
    subjects: Sequence[str] | None,
    step: Progress,
) -> None:
    if part == "encode":
        evaluate_run(run, config=config, candidates=candidates, subjects=subjects, progress=step)
    elif part == "probe":
        from braindash.runs.probing import probe_run

        probe_run(run, progress=step)
    else:
        from braindash.runs.rsa import rsa_run

        rsa_run(run, progress=step)


def whole_records(run: Run) -> dict[str, Any]:
    """Return a run's records with the rows of its probes, its RSA and its hierarchy; empty where there are none.

    Returns
    -------
    dict
        ``records.json`` (where the run was encoded), and ``probing``, ``probing_differences``, ``rsa``,
        ``rsa_differences``, ``hierarchy`` (docs/records.md).

    Raises
    ------
    BraindashError
        Where a file is there but cannot be read.
    """
    from braindash.runs.hierarchy import hierarchy_of
    from braindash.runs.probing import read_probing
    from braindash.runs.rsa import read_rsa

    records: dict[str, Any] = run.records() or {"run": run.id, "study": run.config.study, "model": run.config.model}
    probing, rsa = read_probing(run.path) or {}, read_rsa(run.path) or {}
    said = [*records.get("caveats", []), *probing.get("caveats", []), *rsa.get("caveats", [])]
    return records | {
        "probing": probing.get("rows", []),
        "probing_differences": probing.get("differences", []),
        "rsa": rsa.get("rows", []),
        "rsa_differences": rsa.get("differences", []),
        "hierarchy": hierarchy_of(run),
        "caveats": list(dict.fromkeys(said)),
    }


def add_analyses(tree: xr.DataTree, run: Run) -> xr.DataTree:
    """Return a run's results with labelled arrays of what its documents say.

    Parameters
    ----------
    tree : DataTree
        With the group ``encoding``.
    run : Run

    Returns
    -------
    DataTree
        Besides: ``differences (model, subject, roi, layer)``; ``probing``, with ``score (model, layer, task,
        fold)`` and ``overall``, its interval, chance and controls ``(model, task, layer)``; ``rsa (model, subject,
        roi, layer)``. Groups that the run has nothing for are not there.
    """
    import xarray as xr

    from braindash.runs.probing import read_probing, read_probing_arrays
    from braindash.runs.rsa import read_rsa

    regions = ("model", "subject", "roi", "layer")
    groups = {name: node.to_dataset() for name, node in tree.children.items()}
    if rows := (run.records() or {}).get("differences"):
        groups["differences"] = _labelled(rows, regions)
    probing, arrays = read_probing(run.path), read_probing_arrays(run.path)
    if probing is not None and arrays is not None:
        overall = _labelled(probing["rows"], ("model", "task", "layer")).rename(score="overall")
        groups["probing"] = arrays.merge(overall.reindex({d: arrays[d] for d in ("model", "task", "layer")}))
    if (rsa := read_rsa(run.path)) is not None:
        groups["rsa"] = _labelled(rsa["rows"], regions)
    return xr.DataTree.from_dict({f"/{name}": data for name, data in groups.items()})


def _labelled(rows: Sequence[dict[str, Any]], dims: tuple[str, ...]) -> xr.Dataset:
    """Return the numbers of long-format rows as labelled arrays, in the rows' order; NaN where there is no row."""
    import pandas as pd

    table = pd.DataFrame(rows)
    order = {d: list(dict.fromkeys(table[d])) for d in dims}
    numbers = [c for c in table.select_dtypes("number") if c not in dims]
    return table.set_index(list(dims))[numbers].to_xarray().reindex(order)
