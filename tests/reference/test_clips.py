"""Public-domain clips go through a `table` study: real recorded speech, made-up responses.

The responses are random numbers, so nothing is expected of the scores; what is tested is that
recordings at their own rates, with and without TextGrids, reach features and an encoding.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import yaml

from braindash.config import EncodingConfig, Home

CLIPS = Path(__file__).resolve().parents[3] / "shared" / "data" / "speech"
pytestmark = pytest.mark.skipif(not CLIPS.is_dir(), reason="the recorded clips are not on this machine")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    from braindash.studies.library import add_study

    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    files = [*sorted((CLIPS / "ljspeech").glob("*.wav")), *sorted((CLIPS / "librivox_sense").glob("*.wav"))]
    files.append(CLIPS / "jfk.flac")
    stories: list[dict[str, Any]] = []
    for i, file in enumerate(files):
        n_trs = int(sf.info(file).duration / 0.5)
        np.save(folder / f"{i}.npy", rng.standard_normal((n_trs, 3)).astype(np.float32))
        part = "test" if file.name == "jfk.flac" else "validation" if i == 0 else "tune"
        story = {"name": f"clip{i}", "audio": str(file), "split": part, "responses": {"nobody": f"{i}.npy"}}
        if file.with_suffix(".TextGrid").exists():
            story["textgrid"] = str(file.with_suffix(".TextGrid"))
        stories.append(story)
    spec = {
        "braindash": 1, "kind": "table", "id": "clips", "signal": "bold", "tr": 0.5, "cortex": "none",
        "caveats": ["The responses are random numbers."], "stories": stories,
    }  # fmt: skip
    (folder / "study.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")
    home = Home(folder / "home")
    add_study(home, "table", folder)
    return home


def test_clips_are_read_as_they_are(home: Home) -> None:
    from braindash.studies.library import open_study

    study = open_study("clips", home)
    for story in study.stories.values():
        audio = study.audio(story.name)
        assert len(audio) / 16000 == pytest.approx(sf.info(story.audio).duration, abs=0.01)
        assert 0.001 < float(np.abs(audio).mean()) < 0.5
    spoken = [s for s in study.stories.values() if s.words is not None]
    assert len(spoken) == 3  # the LJSpeech utterances come with words
    for story in spoken:
        assert story.words is not None
        assert story.words["onset"].is_monotonic_increasing
        assert float(story.words["offset"].max()) <= story.duration + 0.05


def test_clips_reach_an_encoding(home: Home) -> None:
    from braindash.features.store import FeatureStore
    from braindash.runs.evaluate import encode_one
    from braindash.speech import open_model
    from braindash.studies.library import open_study

    settings = EncodingConfig(layers=(2,))
    model = open_model("whisper-tiny.en", home)
    data = encode_one(FeatureStore(home), {"pretrained": model}, open_study("clips", home), "nobody", settings)
    assert np.isfinite(data["r"].values).all()
    assert np.isnan(data["r_norm"].values).all()  # no ceiling: nothing is divided by one
