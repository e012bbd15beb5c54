"""Time courses of targets: the evaluation's own scores again, and what is said when something is gone."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mini_study import write_mini_study
from tiny_models import save_tiny

from braindash.config import Home, TuneConfig
from braindash.errors import BraindashError
from braindash.figures.courses import response_courses
from braindash.runs.record import Run, RunStore
from braindash.runs.results import open_results
from braindash.runs.time_courses import time_courses


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    from braindash.runs.evaluate import evaluate_run
    from braindash.speech import open_model
    from braindash.studies import open_study
    from braindash.studies.library import add_study
    from braindash.tuning import tune

    folder = tmp_path_factory.mktemp("courses")
    home = Home(folder / "home")
    write_mini_study(folder / "mini", subjects=1, n_trs=60)
    add_study(home, "table", folder / "mini")
    model = str(save_tiny("wav2vec2", folder / "tiny"))
    config = TuneConfig.model_validate(
        {
            "study": "mini", "model": model, "precision": "fp32", "optimiser": {"epochs": 1},
            "encoding": {"n_boot": 100, "n_permutations": 100, "alphas": [1, 100, 10000]},
        }
    )  # fmt: skip
    run = RunStore(home).create(config)
    tune(
        open_study("mini", home), open_model(model, home), config, run.path,
        progress=lambda row: None, should_stop=lambda: False,
    )  # fmt: skip
    run.update_status(state="done", tuned=True)
    evaluate_run(run)
    return run


def test_scores_of_the_courses_are_those_of_the_evaluation(run: Run) -> None:
    data = open_results(run.path)["encoding"].to_dataset()
    layer, targets = int(data["layer"].values[-1]), [2, 7]
    courses = time_courses(run, ["pretrained", "brain_tuned"], layer, "sub-01", targets)
    assert [c.story for c in courses] == ["five", "six"]
    for course in courses:
        np.testing.assert_allclose(course.times, 1.0 + 2.0 * np.arange(60))
        np.testing.assert_allclose(course.measured.mean(0), 0, atol=1e-5)
        np.testing.assert_allclose(course.measured.std(0), 1, atol=1e-2)
        for model in ("pretrained", "brain_tuned"):
            expected = data["r_story"].sel(model=model, layer=layer, story=course.story).values[targets]
            np.testing.assert_allclose(course.r[model], expected, atol=1e-4)
            by_hand = [np.corrcoef(course.measured[:, i], course.predicted[model][:, i])[0, 1] for i in range(2)]
            np.testing.assert_allclose(course.r[model], by_hand, atol=1e-5)
    assert courses[0].r["pretrained"][0] > 0.3  # target 2 follows loudness, which every model hears


def test_designs_of_an_evaluated_run_are_read_without_opening_its_models(run: Run) -> None:
    """In a fresh process, as a server's first visitor asks."""
    code = f"""
import sys
from pathlib import Path
from braindash.runs.region_courses import open_refit
from braindash.runs.run import Run
for model in ("pretrained", "brain_tuned"):
    open_refit(Run(Path({str(run.path)!r})), model, 1, "sub-01")
print([m for m in ("torch", "transformers", "peft", "scipy.stats") if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_a_layer_that_is_not_there_is_said(run: Run) -> None:
    with pytest.raises(BraindashError, match="no layer 99"):
        time_courses(run, ["pretrained"], 99, "sub-01", [0])


def test_what_is_gone_is_said(run: Run, tmp_path: Path) -> None:
    with pytest.raises(BraindashError, match="'head_only' of this run is not here"):
        time_courses(run, ["head_only"], 0, "sub-01", [0])
    with pytest.raises(BraindashError, match="nobody"):
        time_courses(run, ["pretrained"], 0, "nobody", [0])
    shutil.move(run.home.features, tmp_path / "features")
    try:
        with pytest.raises(BraindashError, match="not kept for 6 of 6 stories"):
            time_courses(run, ["pretrained"], 0, "sub-01", [0])
    finally:
        shutil.move(tmp_path / "features", run.home.features)


def test_the_figure_has_units_and_scores() -> None:
    times = np.arange(10) * 2.0
    measured, tuned = np.sin(times), np.cos(times)
    figure = response_courses(
        times, measured, {"brain_tuned": tuned, "pretrained": -tuned}, {"brain_tuned": 0.4, "pretrained": -0.31}
    )
    assert [t.name for t in figure.data] == ["Measured", "Pretrained (r = −0.31)", "Brain-tuned (r = 0.40)"]
    np.testing.assert_array_equal(figure.data[2].y, tuned)
    assert figure.layout.xaxis.title.text == "Time in the story (s)"
    assert "z-scored" in figure.layout.yaxis.title.text
    assert "r = 0.40" in figure.layout.meta["alt"]
    with pytest.raises(BraindashError, match="pretrained has shape"):
        response_courses(times, measured, {"pretrained": tuned[:4]}, {"pretrained": 0.1})
