"""An evaluation as jobs of Slurm: features, then fits of layers, each an array, then one job that joins them.

The jobs leave what they make in the home's stores of features and fits, so the last one finds
everything made, as an evaluation in one process does that is repeated. What is whole is used
again when the evaluation is submitted anew.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from braindash.config import EncodingConfig, ExecutorConfig
from braindash.errors import BraindashError, RunStateError
from braindash.files import atomic_write, read_json
from braindash.jobs import slurm
from braindash.runs.cluster import GONE, job_book
from braindash.runs.evaluate import Candidate, evaluated_subjects, find_candidates
from braindash.runs.leaks import refuse_leaks
from braindash.runs.run import Run
from braindash.runs.whole import PARTS, evaluate_whole, whole_records

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission

FILE = "evaluation.json"
STORY_SECONDS = 1800.0  # of sound that a job takes through a model
BLOCK_LAYERS = 4  # layers of a job
POLL_SECONDS = 2.0
FAILED = frozenset({"FAILED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL", "CANCELLED", "BOOT_FAIL", "DEADLINE"})


class EvaluationJobs(BaseModel):
    """What ``evaluation.json`` holds: the numbers of an evaluation's jobs."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    braindash: int = 1
    submitted: float
    features: tuple[str, ...]
    fits: tuple[str, ...]
    join: str

    @property
    def all(self) -> tuple[str, ...]:
        return (*self.features, *self.fits, self.join)


@dataclass(frozen=True)
class EvaluationTask:
    """One job: what it needs to know, in plain values that can be pickled."""

    path: str  # of the run
    candidates: tuple[Candidate, ...]  # fixed when submitted: the last job joins what the others made
    settings: str  # EncodingConfig as JSON
    step: Literal["features", "fits", "join"]
    model: str = ""  # a candidate's name
    subject: str = ""
    stories: tuple[str, ...] = ()
    layers: tuple[int, ...] = ()
    subjects: tuple[str, ...] = ()  # all that are evaluated
    parts: tuple[str, ...] = PARTS  # of the whole evaluation: the join does those that are not encoding as well

    def checkpoint(self) -> DelayedSubmission:
        """Return what is submitted again when the job is interrupted: the same; layers that are whole stay."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)

    def __call__(self) -> None:
        try:
            self.work()
        except BraindashError as error:
            sys.stderr.write(f"error: {error.what} {error.remedy}\n")
            raise SystemExit(2) from None

    def work(self) -> None:
        """Do the task's part in this process."""
        from braindash.features.store import FeatureStore
        from braindash.runs.encoding import fit_part, subject_fits
        from braindash.speech import open_model
        from braindash.studies import open_study

        run, settings = Run(Path(self.path)), EncodingConfig.model_validate_json(self.settings)
        if self.step == "join":
            evaluate_whole(run, parts=self.parts, config=settings, candidates=self.candidates, subjects=self.subjects)
            return
        study, store = open_study(run.config.study, run.home), FeatureStore(run.home)
        ref = next(c.ref for c in self.candidates if c.name == self.model)
        refuse_leaks(study, [ref], run.home)
        model = open_model(ref, run.home)
        if self.step == "features":
            from braindash.runs.encoding import first_listeners

            for story in self.stories:
                for subject in first_listeners(study, self.subjects, story):
                    store.get(model, study, story, subject, settings.window, layers=settings.layers)
            return
        part = settings.model_copy(update={"layers": self.layers})
        models = {self.model: model}
        fit_part(store, models, study, self.subject, part, subject_fits(run.home, models, study, self.subject, part))


def plan_tasks(
    run: Run,
    config: EncodingConfig | None = None,
    parts: Sequence[str] = PARTS,
    further: Sequence[str] | None = None,
) -> list[EvaluationTask]:
    """Return the tasks of an evaluation, in the order of their steps; loads no weights and no responses.

    Raises
    ------
    BraindashError, LeakageError
        As `evaluate_run`.
    """
    from braindash.runs.encoding import fitted_stories
    from braindash.speech.catalogue import describe
    from braindash.studies import open_study

    settings = config or run.config.encoding
    study = open_study(run.config.study, run.home)
    subjects = evaluated_subjects(run, study, further)
    candidates = tuple(find_candidates(run, run.home))
    refuse_leaks(study, [c.ref for c in candidates], run.home)
    for subject in subjects:
        fitted_stories(study, subject)

    def task(step: Literal["features", "fits", "join"], **what: Any) -> EvaluationTask:
        where, how = str(run.path.absolute()), settings.model_dump_json()
        return EvaluationTask(where, candidates, how, step, subjects=subjects, **what)

    stories = tuple(study.stories)
    n_jobs = max(1, round(sum(s.duration for s in study.stories.values()) / STORY_SECONDS))
    share = -(-len(stories) // n_jobs)
    tasks = [task("features", model=c.name, stories=part) for c in candidates for part in _blocks(stories, share)]
    for c in candidates:
        n_layers = describe(c.ref, run.home).n_layers
        layers = [k for k in range(n_layers + 1) if settings.layers is None or k in settings.layers]
        tasks += [
            task("fits", model=c.name, subject=subject, layers=block)
            for block in _blocks(layers, BLOCK_LAYERS)
            for subject in subjects
        ]
    return [*tasks, task("join", parts=tuple(parts))]


def _blocks(items: Sequence[Any], n: int) -> list[tuple[Any, ...]]:
    return [tuple(items[a : a + n]) for a in range(0, len(items), n)]


def submit_evaluation(
    run: Run,
    executor: ExecutorConfig,
    config: EncodingConfig | None = None,
    parts: Sequence[str] = PARTS,
    further: Sequence[str] | None = None,
) -> EvaluationJobs:
    """Submit the evaluation of a run as jobs of Slurm, and return at once.

    Raises
    ------
    RunStateError
        Where jobs of an earlier submission still wait or work.
    BraindashError
        As `evaluate_run`, and where Slurm is not there or refuses.
    """
    before = read_jobs(run)
    if before is not None and any(s is not None and s.active for s in map(job_book().ask, before.all)):
        raise RunStateError(
            f"Run {run.id} is being evaluated by Slurm jobs {_short(before.all)}.",
            f"Wait for them, or end them: scancel {_short(before.all)}",
        )
    tasks, folder = plan_tasks(run, config, parts, further), run.path / "slurm"
    submitted: dict[str, list[str]] = {}
    after: list[str] = []
    now = time.time()
    try:
        for step in ("features", "fits", "join"):
            jobs = slurm.submit(
                [t for t in tasks if t.step == step],
                executor if step != "join" else executor.model_copy(update={"gpus": 0}),
                folder.absolute(),
                name=f"braindash {step} {run.id}",
                after=after,
                timeouts=10,
            )
            submitted[step], after = jobs, sorted({j.partition("_")[0] for j in jobs})
    except BraindashError:
        for job in {j.partition("_")[0] for js in submitted.values() for j in js}:
            slurm.cancel(job)  # what would wait for jobs that were never submitted
        raise
    made = EvaluationJobs(submitted=now, features=submitted["features"], fits=submitted["fits"], join=after[0])
    atomic_write(run.path / FILE, made.model_dump_json(indent=1) + "\n")
    return made


def read_jobs(run: Run) -> EvaluationJobs | None:
    """Return the jobs of the run's last submitted evaluation; None where there was none or it cannot be read."""
    try:
        return EvaluationJobs.model_validate(read_json(run.path / FILE))
    except (OSError, ValueError):
        return None


def wait_for_evaluation(
    run: Run, jobs: EvaluationJobs, progress: Callable[[float, str], None], poll: float = POLL_SECONDS
) -> dict[str, Any]:
    """Wait until the jobs have ended; return the records.

    Raises
    ------
    BraindashError
        If one failed: which, Slurm's word for it, and the end of its log.
    """
    n = len(jobs.all)
    while True:
        states = {job: job_book().ask(job) for job in jobs.all}
        known = [s for s in states.values() if s is not None]
        if not known:
            progress(0.0, f"Slurm cannot be asked now ({job_book().problem})")
        else:
            n_done = sum(not s.active for s in known)
            n_working = sum(s.active and not s.waiting for s in known)
            progress(n_done / n, f"{n_done} of {n} jobs done, {n_working} at work")
        failed = next((job for job, s in states.items() if s is not None and s.word in FAILED), None)
        if failed is not None:
            word = states[failed]
            raise BraindashError(
                f"Slurm job {failed} of the evaluation ended with {word.word if word else ''}: {_log_end(run, failed)}",
                f"Its log is in {run.path / 'slurm'}. Evaluate again: what the other jobs have made is used.",
            )
        last = states[jobs.join]
        if last is not None and not last.active:
            return _records(run, jobs, last.word)
        time.sleep(poll)


def _records(run: Run, jobs: EvaluationJobs, word: str) -> dict[str, Any]:
    records = run.records()
    if records is None or records["provenance"]["written"] < jobs.submitted:
        ending = "and left no results" if word in (GONE, "COMPLETED") else f"with {word}"
        raise BraindashError(
            f"Slurm job {jobs.join}, which joins the evaluation, ended {ending}: {_log_end(run, jobs.join)}",
            f"Its log is in {run.path / 'slurm'}. Evaluate again: what the other jobs have made is used.",
        )
    return whole_records(run)


def _log_end(run: Run, job: str) -> str:
    from braindash.runs.files import tail

    lines = tail(run.path / "slurm" / f"{job}_0_log.out", 40).splitlines()
    said = [line for line in lines if line.startswith("error: ")] or lines
    return said[-1].removeprefix("error: ") if said else "it wrote no log."


def _short(jobs: Sequence[str]) -> str:
    return " ".join(sorted({job.partition("_")[0] for job in jobs}, key=int))
