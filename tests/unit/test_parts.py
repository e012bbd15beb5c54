"""Fits kept from evaluation to evaluation: reused when nothing changed, made anew when anything did."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from mini_study import write_mini_study
from tiny_models import save_tiny

from braindash.config import EncodingConfig, Home, TuneConfig
from braindash.encoding.layer_fit import LayerFit
from braindash.features.store import FeatureStore
from braindash.runs.encoding import encode_one, fit_part, layer_keys, subject_fits
from braindash.runs.evaluate import evaluate_run
from braindash.runs.parts import FitStore, hash_responses
from braindash.runs.record import Run, RunStore
from braindash.runs.results import open_results
from braindash.speech import SpeechModel, open_model
from braindash.studies import open_study
from braindash.studies.base import Study
from braindash.studies.library import add_study

SETTINGS = EncodingConfig(n_permutations=50)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    folder = tmp_path_factory.mktemp("parts")
    home = Home(folder / "home")
    add_study(home, "table", write_mini_study(folder / "mini", n_trs=50))
    save_tiny("wav2vec2", folder / "one")
    save_tiny("wav2vec2", folder / "two", seed=1)
    return home


@pytest.fixture
def study(home: Home) -> Study:
    return open_study("mini", home)


@pytest.fixture(scope="module")
def models(home: Home) -> dict[str, SpeechModel]:
    folder = home.path.parent
    return {"pretrained": open_model(str(folder / "one"), home), "brain_tuned": open_model(str(folder / "two"), home)}


@pytest.fixture(autouse=True)
def no_fits(home: Home) -> None:
    FitStore(home).prune()


def fitted(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Count the fits that are made from now on."""
    from braindash.encoding import encode

    made: list[Any] = []
    real = encode.LayerFit.of.__func__  # type: ignore[attr-defined]

    def of(cls: type[LayerFit], *arguments: Any) -> LayerFit:
        made.append(arguments[0])
        return real(cls, *arguments)

    monkeypatch.setattr(encode.LayerFit, "of", classmethod(of))
    return made


def assert_equal(a: xr.Dataset, b: xr.Dataset) -> None:
    for name in (*a.data_vars, *a.coords):
        np.testing.assert_array_equal(a[name].values, b[name].values, err_msg=str(name))


def test_parts_made_one_by_one_give_the_evaluation_of_one_process(
    home: Home, study: Study, models: dict[str, SpeechModel]
) -> None:
    store = FeatureStore(home)
    expected = encode_one(store, models, study, "sub-01", SETTINGS)
    for name in models:
        for layer in range(4):
            part = SETTINGS.model_copy(update={"layers": (layer,)})
            one = {name: models[name]}
            assert fit_part(store, one, study, "sub-01", part, subject_fits(home, one, study, "sub-01", part)) == 1
    fits = subject_fits(home, models, study, "sub-01", SETTINGS)
    assert not fits.check(layer_keys(models, SETTINGS))
    joined = encode_one(store, models, study, "sub-01", SETTINGS, fits=fits)
    assert fits.n_made == 0
    assert np.isfinite(joined["p_difference"].sel(model="brain_tuned").values[:, :12]).all()
    assert_equal(joined, expected)


def test_what_is_kept_is_not_fitted_again(
    home: Home, study: Study, models: dict[str, SpeechModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = fitted(monkeypatch)
    store = FeatureStore(home)

    def encode(some: dict[str, SpeechModel], settings: EncodingConfig = SETTINGS, of: Study = study) -> int:
        before = len(made)
        encode_one(store, some, of, "sub-01", settings, fits=subject_fits(home, some, of, "sub-01", settings))
        return len(made) - before

    assert encode({"pretrained": models["pretrained"]}) == 4
    assert encode(models) == 4  # the new model's
    assert encode(models) == 0
    assert encode({"another_name": models["pretrained"]}) == 0
    # what judges scores changes no fit; what a fit is made with does
    assert encode(models, SETTINGS.model_copy(update={"ceiling_threshold": 0.2, "fdr": "by", "n_boot": 200})) == 0
    assert encode(models, SETTINGS.model_copy(update={"alphas": (1.0, 10.0)})) == 8
    assert encode(models, SETTINGS.model_copy(update={"seed": 1})) == 8
    assert encode(models, SETTINGS.model_copy(update={"delays": (1, 2)})) == 8
    window = SETTINGS.window.model_copy(update={"context": 4.0, "stride": 4.0})
    assert encode(models, SETTINGS.model_copy(update={"window": window})) == 8


def test_other_responses_are_another_problem(home: Home, study: Study, models: dict[str, SpeechModel]) -> None:
    real = study.read_responses
    before = hash_responses(study, "sub-01", ["one", "five"])
    folder = subject_fits(home, models, study, "sub-01", SETTINGS).folder

    def changed(story: str, subject: str) -> np.ndarray:
        y = np.array(real(story, subject))
        if story == "one":
            y[10, 4] += 1e-3
        return y

    study.read_responses = changed  # type: ignore[method-assign]
    assert hash_responses(study, "sub-01", ["one", "five"]) != before
    assert subject_fits(home, models, study, "sub-01", SETTINGS).folder != folder


def test_equal_features_are_fitted_once(
    home: Home, study: Study, models: dict[str, SpeechModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = fitted(monkeypatch)
    twin = {"pretrained": models["pretrained"], "twin": models["pretrained"]}
    fits = subject_fits(home, twin, study, "sub-01", SETTINGS)
    data = encode_one(FeatureStore(home), twin, study, "sub-01", SETTINGS, fits=fits)
    assert len(made) == 4
    assert np.isnan(data["p_difference"].values).all()  # nothing to test: they are the same


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_damaged_part_is_made_again(
    home: Home, study: Study, models: dict[str, SpeechModel], damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    one = {"pretrained": models["pretrained"]}
    store = FeatureStore(home)
    fits = subject_fits(home, one, study, "sub-01", SETTINGS)
    expected = encode_one(store, one, study, "sub-01", SETTINGS, fits=fits)
    path = sorted(fits.folder.glob("*.npz"))[2]
    data = bytearray(path.read_bytes())
    if damage == "flipped":
        at = data.index(b"NUMPY", len(data) // 2) + 200
        data[at] ^= 0xFF
    path.write_bytes({"cut": data[: len(data) // 2], "flipped": data, "empty": b""}[damage])
    assert fits.check(layer_keys(one, SETTINGS)) == [("pretrained", 2)]
    assert "damaged" in caplog.text
    again = subject_fits(home, one, study, "sub-01", SETTINGS)
    assert_equal(encode_one(store, one, study, "sub-01", SETTINGS, fits=again), expected)
    assert again.n_made == 1


def test_a_new_control_costs_the_fits_of_its_layers(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run evaluated again with its finished control: the models it had are not fitted again."""

    def tuned(**changes: Any) -> Run:
        from braindash.tuning import tune

        model = str(home.path.parent / "one")
        settings = {"study": "mini", "model": model, "precision": "fp32", "optimiser": {"epochs": 1}, **changes}
        run = RunStore(home).create(TuneConfig.model_validate(settings))
        tune(
            open_study("mini", home), open_model(model, home), run.config, run.path,
            progress=lambda row: None, should_stop=lambda: False,
        )  # fmt: skip
        run.update_status(state="done", tuned=True)
        return run

    made = fitted(monkeypatch)
    run = tuned()
    evaluate_run(run)
    first = open_results(run.path)["encoding"].to_dataset().load()
    n = len(made)
    assert 4 < n <= 8  # the layers below the adapters are the pretrained model's
    tuned(control="block-permuted")
    records = evaluate_run(run)
    assert records["models"] == ["pretrained", "brain_tuned", "block_permuted"]
    assert len(made) - n == n - 4
    second = open_results(run.path)["encoding"].to_dataset().load()
    for name in ("r", "p", "r_norm", "p_difference"):
        np.testing.assert_array_equal(first[name].values, second[name].sel(model=first["model"]).values)


def test_prune_removes_what_was_used_longest_ago(home: Home, study: Study, models: dict[str, SpeechModel]) -> None:
    import os

    one = {"pretrained": models["pretrained"]}
    folders = []
    for seed in (1, 2):
        settings = SETTINGS.model_copy(update={"seed": seed, "layers": (0,)})
        fits = subject_fits(home, one, study, "sub-01", settings)
        fit_part(FeatureStore(home), one, study, "sub-01", settings, fits)
        folders.append(fits.folder)
    os.utime(folders[0] / "problem.json", (1, 1))
    size = sum(f.stat().st_size for f in folders[1].glob("*.npz"))
    n, freed = FitStore(home).prune(size)
    assert n == 1
    assert freed > 0
    assert [f.exists() for f in folders] == [False, True]
