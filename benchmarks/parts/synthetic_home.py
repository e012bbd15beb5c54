"""A home as large as a lab's: 100,000 voxels, 13 layers, 3 models, and 1,000 runs more for the table.

    python benchmarks/parts/synthetic_home.py HOME

One simulated subject of the size of LeBel et al. (2023): a volume mapped onto the cortex by pycortex, the
embedded study's stories, responses that follow loudness and word rate in noise. A wav2vec 2.0 with 12 narrow
blocks and random weights is tuned for one epoch, and all that a page reads is then written by the code that
writes it for a real run: evaluation, probes, RSA, variance partition, comparison. Nothing in it means anything;
it is as large, as long and as hard to draw as what does.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from braindash.config import EncodingConfig, Home, TuneConfig
from braindash.runs.record import RunStore

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))  # tiny_models

STUDY, SUBJECT = "synthetic", "sub-01"
N_LAYERS, N_SMALL = 12, 1000
VOXEL = 1.77  # mm; about 100,000 voxels then lie in the cortical ribbon
TR = 2.0
SETTINGS = EncodingConfig(alphas=(1e1, 1e3, 1e5), n_boot=100, n_permutations=100)
MADE = "synthetic.json"


def build(home: Home, n_small: int = N_SMALL, tell: bool = True) -> dict[str, Any]:
    """Write the home unless it is there; return ``run`` (id), ``n_targets``, ``seconds``.

    Parameters
    ----------
    home : Home
    n_small : int
        How many small runs stand beside the large one.
    tell : bool
        Write to standard error what is being done.
    """
    done = home.path / MADE
    with contextlib.suppress(OSError, ValueError):
        return dict(json.loads(done.read_text(encoding="utf-8")))
    began = time.monotonic()

    def say(what: str) -> None:
        if tell:
            print(f"{time.monotonic() - began:5.0f} s  {what}", file=sys.stderr, flush=True)

    say("voxels of the cortical ribbon")
    parcels = write_subject(home)
    say(f"stories and responses of {len(parcels[0]):,} targets")
    write_study(home, home.path / "source", *parcels)
    run = tuned(home, say)
    say(f"{n_small:,} small runs")
    for i in range(n_small):
        add_small(home, i)
    facts = {"run": run, "n_targets": len(parcels[0]), "seconds": round(time.monotonic() - began, 1)}
    done.write_text(json.dumps(facts), encoding="utf-8")
    say("done")
    return facts


# --- the study -----------------------------------------------------------------------------------


def write_subject(home: Home) -> tuple[np.ndarray, np.ndarray]:
    """Write a pycortex subject with a transform; return region and hemisphere of every voxel of its mask."""
    import nibabel as nib
    from scipy.spatial import cKDTree

    from braindash.cortex.parcellation import hemi_of_vertex, parcel_of_vertex
    from braindash.cortex.surfaces import filestore, surface_subject

    origin = filestore(home) / surface_subject("fs_LR-32k", home)
    folder = home.path / "source" / "pycortex" / SUBJECT
    (folder / "transforms" / "auto").mkdir(parents=True, exist_ok=True)
    for part in ("surfaces", "surface-info"):
        if not (folder / part).exists():
            (folder / part).symlink_to(origin / part, target_is_directory=True)
    inner, outer = [], []
    for kind, found in (("wm", inner), ("pia", outer)):
        for hemi in ("lh", "rh"):
            points, triangles = nib.load(origin / "surfaces" / f"{kind}_{hemi}.gii").agg_data()
            found.append((np.asarray(points), np.asarray(triangles)))
    ribbon = []
    for (white, triangles), (pial, _) in zip(inner, outer, strict=True):
        for share in np.linspace(-0.05, 1.05, 8):
            at = white + share * (pial - white)
            ribbon += [at, at[triangles].mean(axis=1)]
    vertices = np.concatenate([(w + p) / 2 for (w, _), (p, _) in zip(inner, outer, strict=True)])
    every = np.concatenate(ribbon)
    low = every.min(axis=0) - 2 * VOXEL
    shape = tuple(int(n) for n in np.ceil((every.max(axis=0) + 2 * VOXEL - low) / VOXEL))
    mask = np.zeros(shape, dtype=np.uint8)
    mask[tuple(np.round((every - low) / VOXEL).astype(int).T)] = 1
    affine = np.diag([VOXEL, VOXEL, VOXEL, 1.0])
    affine[:3, 3] = low
    where = folder / "transforms" / "auto"
    nib.save(nib.Nifti1Image(np.zeros(shape, np.float32), affine), where / "reference.nii.gz")
    nib.save(nib.Nifti1Image(mask, affine), where / "mask_thick.nii.gz")
    matrices = {"coord": np.linalg.inv(affine).tolist(), "magnet": np.eye(4).tolist()}
    (where / "matrices.xfm").write_text(json.dumps(matrices), encoding="utf-8")
    voxels = np.argwhere(mask.T)[:, ::-1] * VOXEL + low  # in the order of pycortex: z, y, x
    nearest = cKDTree(vertices).query(voxels)[1]
    parcels = parcel_of_vertex("fs_LR-32k")
    assert parcels is not None
    return parcels[nearest], hemi_of_vertex()[nearest]


def write_study(home: Home, folder: Path, roi: np.ndarray, hemi: np.ndarray) -> None:
    """Write stories and responses as a table study, and add it to the home."""
    import pandas as pd
    import yaml

    from braindash.demo import simulate
    from braindash.studies.library import add_study

    rng = np.random.default_rng(0)
    n = len(roi)
    auditory = np.isin(roi, ["A1", "LBelt", "MBelt", "PBelt", "RI", "A4"])
    language = np.isin(roi, ["A5", "STSda", "STSdp", "STSva", "STSvp", "TPOJ1", "PGi", "44", "45", "55b"])
    loud = np.where(auditory, 0.9, np.where(language, 0.3, 0.05)) * rng.uniform(0.5, 1, n)
    wordy = np.where(language, 0.8, np.where(auditory, 0.2, 0.08)) * rng.uniform(0.5, 1, n)
    ceiling = np.clip(0.05 + 0.6 * np.maximum(loud, wordy) + rng.normal(0, 0.08, n), 0, 0.95)
    pd.DataFrame(
        {"name": [f"voxel-{i}" for i in range(n)], "roi": roi, "hemi": hemi, "noise_ceiling": ceiling.round(4)}
    ).to_csv(folder / "targets.csv", index=False)
    stories = []
    for entry in simulate.story_index(small=True):
        sound, words = _drives(simulate.STORIES, entry)
        noise = rng.standard_normal((len(sound), n), dtype=np.float32)
        values = sound[:, None] * loud.astype(np.float32) + words[:, None] * wordy.astype(np.float32) + noise
        np.save(folder / f"{entry['name']}.npy", values)
        stories.append(
            {
                "name": entry["name"], "audio": str(simulate.STORIES / f"{entry['name']}.ogg"), "split": entry["part"],
                "textgrid": str(simulate.STORIES / f"{entry['name']}.TextGrid"),
                "responses": {SUBJECT: f"{entry['name']}.npy"},
            }
        )  # fmt: skip
    spec = {
        "braindash": 1, "kind": "table", "id": STUDY, "title": "A simulated study of LeBel's size", "signal": "bold",
        "tr": TR, "first_row": TR / 2, "targets": "targets.csv", "stories": stories,
        "cortex": {"pycortex": "pycortex", "subject": SUBJECT, "transform": "auto"},
        "caveats": ["Simulated responses and a model with random weights: the numbers mean nothing."],
    }  # fmt: skip
    (folder / "study.yaml").write_text(yaml.safe_dump(spec, sort_keys=False), encoding="utf-8")
    add_study(home, "table", folder)


def _drives(folder: Path, entry: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return loudness and word rate of a story, one value a TR, two TRs late, as z-scores."""
    from braindash.studies.audio import read_audio
    from braindash.studies.textgrid import read_textgrid

    audio = read_audio(folder / f"{entry['name']}.ogg")
    n_rows, step = int(entry["duration"] // TR), int(TR * 16000)
    loud = np.array([np.log(1e-4 + np.square(audio[i * step : (i + 1) * step]).mean()) for i in range(n_rows)])
    words = read_textgrid(folder / f"{entry['name']}.TextGrid")["word"]
    onset = words.loc[words["text"] != "", "onset"].to_numpy(float)
    rate = np.histogram(onset, bins=np.arange(n_rows + 1) * TR)[0].astype(float)
    late = [np.r_[np.full(2, x[0]), x[:-2]] for x in (loud, rate)]
    first, second = ((x - x.mean()) / (x.std() + 1e-9) for x in late)
    return first.astype(np.float32), second.astype(np.float32)


# --- the runs ------------------------------------------------------------------------------------


def tuned(home: Home, say: Any) -> str:
    """Tune a run and its control, and write everything that a page reads; return the run's id."""
    from tiny_models import save_tiny

    from braindash.runs.evaluate import evaluate_run
    from braindash.runs.hierarchy import hierarchy_run
    from braindash.runs.partitioning import partition_run
    from braindash.runs.probing import probe_run
    from braindash.runs.rsa import rsa_run
    from braindash.speech import open_model
    from braindash.studies import open_study
    from braindash.tuning import tune

    model = save_tiny("wav2vec2", home.path / "source" / "model", num_hidden_layers=N_LAYERS)
    study = open_study(STUDY, home)
    runs = []
    for control in ("none", "block-permuted"):
        say(f"tuning, control {control}")
        config = TuneConfig.model_validate(
            {
                "study": STUDY, "model": str(model), "precision": "fp32", "control": control, "encoding": SETTINGS,
                "rois": ("primary_auditory",), "optimiser": {"epochs": 1}, "head": {"rank": 4},
                "name": "As large as a lab's" if control == "none" else "Its control",
            }
        )  # fmt: skip
        run = RunStore(home).create(config)
        tune(
            study,
            open_model(str(model), home),
            config,
            run.path,
            progress=run.append_metrics,
            should_stop=lambda: False,
        )
        now = time.time()
        run.update_status(state="done", tuned=True, started=now - 60, ended=now, fraction=1.0)
        runs.append(run)
    run = runs[0]
    say("evaluation")
    evaluate_run(run)
    say("probes")
    probe_run(run, max_minutes=8, n_boot=100)
    say("RSA")
    rsa_run(run, n_permutations=100, n_boot=100)
    say("variance partition")
    partition_run(run)
    say("comparison")
    hierarchy_run(run)
    return run.id


def add_small(home: Home, i: int) -> str:
    """Write one of the many runs of a home: tuned, never evaluated."""
    rng = np.random.default_rng(i)
    config = TuneConfig(
        study=STUDY,
        model="whisper-tiny.en",
        name=f"Run {i}, rate {10 ** rng.uniform(-4, -2):.1e}",
        seed=i,
        recipe=("lora", "full", "head")[i % 3],
        group="" if i % 4 else f"sweep-{i // 40}",
    )
    run = RunStore(home).create(config)
    score = 0.1 + 0.02 * rng.standard_normal()
    for epoch in range(4):
        row = {"kind": "epoch", "epoch": epoch, "step": 14 * epoch, "validation_r": score + 0.01 * epoch, "best": True}
        run.append_metrics(row)
    state = "failed" if i % 50 == 7 else "done"
    now = time.time()
    error = {"what": "The loss became NaN at step 7.", "remedy": "Lower optimiser.lr."} if state == "failed" else None
    run.update_status(
        state=state, stage="tuning", step=42, n_steps=42, epoch=3, n_epochs=3, fraction=1.0, started=now - 300,
        ended=now - 60, tuned=state == "done", validation_r=score + 0.03,
        pretrained_r=score, error=error,
    )  # fmt: skip
    return run.id


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("home", type=Path, help="folder that is written; left as it is where it is there already")
    parser.add_argument("--runs", type=int, default=N_SMALL, help="small runs beside the large one")
    arguments = parser.parse_args()
    print(json.dumps(build(Home(arguments.home.resolve()), arguments.runs)))


if __name__ == "__main__":
    main()
