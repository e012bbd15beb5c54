"""A home whose run can be explored: a story with words (some of them markup), a tuned tiny model, its fits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from mini_study import write_mini_study

from braindash.config import Home, TuneConfig

MARKUP = "<img src=x onerror=\"document.title='owned'\">"


def make_home(folder: Path, place: Path) -> str:
    """Fill a home with a study in ``folder`` and a run that is really tuned and evaluated; return the run's id."""
    from tiny_models import save_tiny

    from braindash.runs.evaluate import evaluate_run
    from braindash.runs.record import RunStore
    from braindash.speech import open_model
    from braindash.studies import open_study
    from braindash.studies.library import add_study
    from braindash.tuning import tune

    home = Home(place)
    write_mini_study(folder / "mini", subjects=1, n_trs=60)
    add_words(folder / "mini", "five")
    add_study(home, "table", folder / "mini")
    model = str(save_tiny("wav2vec2", folder / "tiny"))
    config = TuneConfig.model_validate(
        {
            "study": "mini", "model": model, "name": "heard", "precision": "fp32",
            "optimiser": {"epochs": 2, "lr": 0.01},
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
    return run.id


def add_words(folder: Path, story: str) -> None:
    """Give one story of the mini study words of half a second each, some of them hostile."""
    import pandas as pd
    import yaml

    from braindash.studies.textgrid import write_textgrid

    said = ["once", "upon", MARKUP, "**a**", "time", ":smile:"] * 40
    onset = 0.5 * np.arange(len(said))
    table = pd.DataFrame({"text": said, "onset": onset, "offset": onset + 0.45})
    write_textgrid(folder / f"{story}.TextGrid", {"word": table})
    spec = yaml.safe_load((folder / "study.yaml").read_text(encoding="utf-8"))
    for one in spec["stories"]:
        if one["name"] == story:
            one["textgrid"] = f"{story}.TextGrid"
    (folder / "study.yaml").write_text(yaml.safe_dump(spec, sort_keys=False), encoding="utf-8")
