"""Tuning and evaluating from Python: the same steps, the same runs, as the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from braindash.config import Home, TuneConfig, validate

if TYPE_CHECKING:
    import os

    import xarray as xr

    from braindash.runs.run import Run
    from braindash.speech.base import SpeechModel
    from braindash.studies.base import Study


def tune(
    study: Study | str,
    model: SpeechModel | str,
    *,
    home: Home | str | os.PathLike[str] | None = None,
    **settings: Any,
) -> Run:
    """Launch a fine-tune and return its run at once; ``run.wait()`` waits for its end.

    Parameters
    ----------
    study : Study or str
        A study of the home, or its id.
    model : SpeechModel or str
        An opened model, or a name, hub id, folder or run id.
    home : path, optional
        See :class:`braindash.config.Home`.
    **settings
        Any setting of :class:`braindash.config.TuneConfig`: ``recipe="lora"``,
        ``loss="spatial"``, ``lora={"rank": 4}``, ``seed=0``, …

    Returns
    -------
    Run
        ``run.status``, ``run.metrics``, ``run.wait()``, ``run.model_dir``.

    Raises
    ------
    BraindashError
        For a setting that is not valid, or a study or model that is not there.
    """
    from braindash.errors import BraindashError
    from braindash.jobs.command import command_for
    from braindash.jobs.launch import launch
    from braindash.jobs.preflight import preflight
    from braindash.runs.own_regions import spell_out
    from braindash.runs.provenance import collect
    from braindash.runs.record import RunStore

    where = home if isinstance(home, Home) else Home.resolve(home)
    config = validate(
        TuneConfig, {"study": _id(study), "model": _id(model), **settings}, "the settings given to braindash.tune"
    )
    config = spell_out(config, where)
    problems = preflight(config, where, timed=False).problems
    if problems:
        raise BraindashError(problems[0].what, problems[0].remedy)
    run = RunStore(where).create(config, provenance=collect(config, command_for(config)))
    launch(run)
    return run


def evaluate(run: Run | str, *, home: Home | str | os.PathLike[str] | None = None, again: bool = False) -> xr.DataTree:
    """Return a run's results, evaluating it first where that has not been done.

    Parameters
    ----------
    run : Run or str
        A tuned run, or its id.
    home : path, optional
        Where to look for an id.
    again : bool
        Evaluate although results are there.

    Returns
    -------
    DataTree
        Group ``encoding``: dims ``(model, layer, target)``; ``differences``: dims ``(model, subject, roi, layer)``;
        and, where they could be made, ``probing`` and ``rsa``. See docs/records.md.

    Raises
    ------
    BraindashError
        Where there is no such run, or it has no tuned model yet.
    """
    from braindash.runs.record import RunStore
    from braindash.runs.results import open_results
    from braindash.runs.whole import add_analyses, evaluate_whole

    if isinstance(run, str):
        run = RunStore(home if isinstance(home, Home) else Home.resolve(home)).get(run)
    if again or run.records() is None:
        evaluate_whole(run)
    return add_analyses(open_results(run.path), run)


def _id(thing: Any) -> str:
    """Return what opens a study or a model again."""
    return thing if isinstance(thing, str) else str(getattr(thing, "ref", "") or thing.id)
