"""Write an electrodes study of naplib's sample recording, ready for ``braindash study add electrodes``.

    python -m pip install --no-deps naplib
    python examples/naplib/make_study.py OUT_FOLDER

The sample (PyPI package naplib, MIT licence; Mischler et al. 2023, Software Impacts 17:100541) holds ten
trials of an audiobook, about a minute each: the sound at 11,025 Hz and ten channels at 100 Hz. THE RESPONSES
ARE SIMULATED: naplib's authors predicted them by ten spectro-temporal receptive fields and added noise.
The study carries that as a caveat, which every figure made from it must show.

Only the data file is read; naplib itself, which needs an older NumPy, is not imported.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

import h5py
import numpy as np
import soundfile
import yaml

INSIDE = Path("io") / "sample_data" / "demo_data.mat"
PARTS = {8: "validation", 9: "test", 10: "test"}  # by number of the trial; the others tune

CAVEATS = [
    "The responses are simulated: naplib's authors passed the sound through ten spectro-temporal receptive fields "
    "and added noise. No brain was recorded.",
]


def main(arguments: list[str] | None = None) -> Path:
    """Write ``study.yaml``, ``targets.csv``, and a wav and an npy file a trial; return the study file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path, help="folder for the study")
    parser.add_argument("--data", type=Path, help="naplib's demo_data.mat; found in the installed package if not given")
    chosen = parser.parse_args(arguments)
    data = chosen.data or find_sample()
    if data is None or not data.is_file():
        parser.error(f"there is no sample at {data}; install it: python -m pip install --no-deps naplib")
    out = chosen.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    stories, names, rates = [], [], set[float]()
    with h5py.File(data, "r") as file:
        fields = file["out"]
        for i in range(len(fields["sound"])):
            name = text(file[fields["name"][i, 0]])
            sound = file[fields["sound"][i, 0]][()].ravel()
            response = file[fields["resp"][i, 0]][()]
            names = [text(file[r]) for r in file[fields["chname"][i, 0]][()].ravel()]
            rates.add(round(float(file[fields["dataf"][i, 0]][()].item()), 6))  # 99.99999999999999 in some
            soundfile.write(out / f"{name}.wav", sound, int(file[fields["soundf"][i, 0]][()].item()), subtype="PCM_16")
            np.save(out / f"{name}.npy", response.astype(np.float32))
            stories.append(
                {
                    "name": name,
                    "split": PARTS.get(i + 1, "tune"),
                    "audio": f"{name}.wav",
                    "responses": {"simulated": f"{name}.npy"},
                }
            )
    (rate,) = rates
    (out / "targets.csv").write_text("\n".join(["name", *names]) + "\n", encoding="utf-8")
    study = {
        "braindash": 1,
        "kind": "electrodes",
        "id": "naplib",
        "title": "naplib's sample: an audiobook and ten simulated electrodes",
        "rate": rate,
        # A trial's rows cover its sound: row i holds the sound from i to i + 1 hundredths of a second.
        "first_row": 0.5 / rate,
        "targets": "targets.csv",
        "caveats": CAVEATS,
        "stories": stories,
    }
    file = out / "study.yaml"
    file.write_text(yaml.safe_dump(study, sort_keys=False, width=110), encoding="utf-8")
    return file


def find_sample() -> Path | None:
    """Return the sample's file in the installed package, without importing it."""
    spec = importlib.util.find_spec("naplib")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / INSIDE


def text(characters: h5py.Dataset) -> str:
    """Return a MATLAB string."""
    return "".join(map(chr, characters[()].ravel()))


if __name__ == "__main__":
    sys.stdout.write(f"{main()}\n")
