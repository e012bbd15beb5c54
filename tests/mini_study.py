"""A tiny `table` study with a planted answer, for tests that go the whole way.

Audio is amplitude-modulated noise; targets of region "loud" follow its loudness
(HRF-delayed), targets of region "quiet" are noise. One target is constant and one
holds a NaN: both must be excluded and counted.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import soundfile as sf
import yaml

TR = 2.0
RATE = 16000
STORIES = {"one": "tune", "two": "tune", "three": "tune", "four": "validation", "five": "test", "six": "test"}


def write_mini_study(folder: Path, *, n_trs: int = 40, subjects: int = 1, seed: int = 0) -> Path:
    """Write the study and return its folder, ready for `study add table`."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    names = [f"loud{i}" for i in range(6)] + [f"quiet{i}" for i in range(6)] + ["dead", "holey"]
    rois = ["loud"] * 6 + ["quiet"] * 6 + ["quiet", "quiet"]
    pd.DataFrame({"name": names, "roi": rois, "hemi": ["L", "R"] * 7, "noise_ceiling": [0.9] * 6 + [0.3] * 8}).to_csv(
        folder / "targets.csv", index=False
    )
    stories = []
    for story, part in STORIES.items():
        loudness = np.repeat(rng.uniform(0.02, 0.3, n_trs), int(TR * RATE))
        audio = loudness * rng.standard_normal(len(loudness))
        sf.write(folder / f"{story}.wav", audio.astype(np.float32), RATE)
        level = np.log(loudness[:: int(TR * RATE)])
        drive = sum(w * np.r_[np.zeros(k), level[:-k]] for k, w in ((1, 0.3), (2, 1.0), (3, 0.6)))
        drive = (drive - drive.mean()) / drive.std()
        responses = {}
        for s in range(1, subjects + 1):
            y = rng.standard_normal((n_trs, len(names)))
            y[:, :6] = drive[:, None] + 0.4 * y[:, :6]
            y[:, 12] = 1.0
            y[3, 13] = np.nan
            file = f"sub-{s:02d}_{story}.csv"
            pd.DataFrame(y, columns=names).to_csv(folder / file, index=False)
            responses[f"sub-{s:02d}"] = file
        stories.append({"name": story, "audio": f"{story}.wav", "split": part, "responses": responses})
    spec = {
        "braindash": 1, "kind": "table", "id": "mini", "signal": "bold", "tr": TR, "first_row": TR / 2,
        "cortex": "none", "targets": "targets.csv", "stories": stories,
    }  # fmt: skip
    (folder / "study.yaml").write_text(yaml.safe_dump(spec, sort_keys=False), encoding="utf-8")
    return folder
