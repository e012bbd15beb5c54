"""A small ds003020 tree in the exact format of the real one: names, datasets, trims, audio, masks.

Stories are shorter and voxels fewer; everything else follows the published files.
"""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import nibabel
import numpy as np
import soundfile

TR = 2.0045
N_VOLUMES = {"adollshouse": 33, "souls": 32, "hangtime": 34, "legacy": 35, "wheretheressmoke": 33, "naked": 33}
TEST = "wheretheressmoke"
HEARD_BY_ALL = ("adollshouse", "souls", "hangtime", "legacy", TEST)  # "naked" lies in respdict.json only
N_VOXELS = {"UTS01": 23, "UTS04": 19, "UTS09": 21}
N_REPEATS = {"UTS01": 10, "UTS04": 5, "UTS09": 5}


def make_tree(root: Path, subjects: tuple[str, ...] = ("UTS01", "UTS04", "UTS09")) -> Path:
    """Write a whole tree below ``root`` and return it."""
    derivative = root / "derivative"
    (root / "stimuli").mkdir(parents=True)
    (derivative / "TextGrids").mkdir(parents=True)
    (derivative / "respdict.json").write_text(json.dumps(N_VOLUMES))
    (derivative / "subject_xfms.json").write_text(json.dumps({s: f"{s}_auto" for s in subjects if s != "UTS09"}))
    for i, story in enumerate(HEARD_BY_ALL):
        write_audio(root / "stimuli" / f"{story}.wav", story, channels=1 if story == "legacy" else 2)
        write_textgrid(derivative / "TextGrids" / f"{story}.TextGrid", story, layout=i)
        for subject in subjects:
            write_responses(response_file(root, subject, story), subject, story)
    for subject in subjects:
        write_mask(derivative / "pycortex-db" / subject / "transforms" / f"{subject}_auto", N_VOXELS[subject])
    return root


def response_file(root: Path, subject: str, story: str) -> Path:
    return root / "derivative" / "preprocessed_data" / subject / f"{story}.hf5"


def duration(story: str) -> float:
    """Seconds of audio: the last stored row's centre, and 10 s of padding."""
    last = (N_VOLUMES[story] - 20 - 1 + 10) * TR - 10 + TR / 2
    return last + 10


def responses(subject: str, story: str, n_rows: int | None = None) -> np.ndarray:
    """The values a file holds: (n_rows, n_voxels) float64, the same at every call."""
    n_rows = N_VOLUMES[story] - 20 if n_rows is None else n_rows
    seed = [sorted(N_VOXELS).index(subject), sorted(N_VOLUMES).index(story)]
    return np.random.default_rng(seed).standard_normal((n_rows, N_VOXELS[subject]))


def write_responses(file: Path, subject: str, story: str, data: np.ndarray | None = None) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    data = responses(subject, story) if data is None else data
    with h5py.File(file, "w") as f:
        if story == TEST:
            noise = np.random.default_rng(9).standard_normal((N_REPEATS[subject], *data.shape))
            f["individual_repeats"] = data + noise - noise.mean(axis=0)
        f["data"] = data


def write_audio(file: Path, story: str, channels: int) -> None:
    """44.1 kHz, 16 bit; some of the published files are mono."""
    n = round(duration(story) * 44_100)
    noise = np.random.default_rng(sorted(N_VOLUMES).index(story)).integers(-3000, 3000, n).astype(np.int16)
    noise[: 10 * 44_100] = noise[-10 * 44_100 :] = 0
    soundfile.write(file, np.repeat(noise[:, None], channels, axis=1), 44_100, subtype="PCM_16")


def write_textgrid(file: Path, story: str, layout: int) -> None:
    """First tier phones, second words, in the formats that occur: long, chronological, with a BOM."""
    end = duration(story)
    phones = [("sp", 0.0, 10.0), ("AH0", 10.0, 10.25), ("B", 10.25, 10.5), ("AW1", 10.5, 11.0), ("sp", 11.0, end)]
    if story == TEST:
        phones[1] = ("AH0", 10.0, 10.26)  # overlaps the next by 10 ms
    words = [("sp", 0.0, 10.0), ("ABOUT", 10.0, 11.0), ("sp", 11.0, end)]
    if layout % 2:
        lines = ['"Praat chronological TextGrid text file"', f"0 {end}   ! Time domain.", "2   ! Number of tiers."]
        lines += [f'"IntervalTier" "phone" 0 {end}', f'"IntervalTier" "word" 0 {end}', ""]
        rows = [(1, *p) for p in phones] + [(2, *w) for w in words]
        for tier, text, onset, offset in sorted(rows, key=lambda r: (r[2], r[0])):
            lines += [f"{tier} {onset} {offset}", f'"{text}"', ""]
    else:
        lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {end}"]
        lines += ["tiers? <exists>", "size = 2", "item []:"]
        for i, (name, tier) in enumerate((("phone", phones), ("word", words)), 1):
            lines += [f"    item [{i}]:", '        class = "IntervalTier"', f'        name = "{name}"']
            lines += ["        xmin = 0", f"        xmax = {end}", f"        intervals: size = {len(tier)}"]
            for j, (text, onset, offset) in enumerate(tier, 1):
                lines += [f"        intervals [{j}]:", f"            xmin = {onset}"]
                lines += [f"            xmax = {offset}", f'            text = "{text}"']
    bom = b"\xef\xbb\xbf" if layout in (1, 2) else b""
    file.write_bytes(bom + "\n".join(lines).encode() + b"\n")


def write_mask(folder: Path, n_voxels: int) -> None:
    folder.mkdir(parents=True)
    mask = np.zeros((6, 7, 8), dtype=np.uint8)
    mask.flat[np.random.default_rng(1).permutation(mask.size)[:n_voxels]] = 1
    nibabel.save(nibabel.Nifti1Image(mask, np.eye(4)), folder / "mask_thick.nii.gz")


def unfetch_link(file: Path) -> None:
    """Replace a file by a git-annex link without content."""
    key = f"MD5E-s{file.stat().st_size}--0123456789abcdef{file.suffix}"
    file.unlink()
    file.symlink_to(f"../../../.git/annex/objects/Xx/Yy/{key}/{key}")


def unfetch_pointer(file: Path) -> None:
    """Replace a file by an unlocked git-annex file without content."""
    key = f"MD5E-s{file.stat().st_size}--0123456789abcdef{file.suffix}"
    file.write_text(f"/annex/objects/{key}\n")
