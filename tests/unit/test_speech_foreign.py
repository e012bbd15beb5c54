"""Models tuned elsewhere: fitted to their base, known by what they saw, evaluated without tuning."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
import transformers
import yaml
from mini_study import write_mini_study
from safetensors.torch import load_file, save_file
from tiny_models import save_tiny

from braindash.config import Home, TuneConfig
from braindash.errors import BraindashError, LeakageError
from braindash.runs.evaluate import evaluate_run
from braindash.runs.foreign import create_evaluation
from braindash.runs.leaks import refuse_leaks, seen_caveats, stories_seen
from braindash.runs.record import RunStore
from braindash.speech import describe, list_models, open_model
from braindash.speech.foreign import add_model
from braindash.studies.base import Study
from braindash.studies.library import add_study

AUDIO = (0.1 * np.random.default_rng(0).standard_normal(16000)).astype(np.float32)
WAVE = torch.from_numpy((AUDIO - AUDIO.mean()) / np.sqrt(AUDIO.var() + 1e-7))[None]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model, weights "tuned" from it, and a study."""
    folder = tmp_path_factory.mktemp("foreign")
    save_tiny("wav2vec2", folder / "base")
    save_tiny("wav2vec2", folder / "tuned", seed=7)
    write_mini_study(folder / "mini", n_trs=62)
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def study(home: Home, lab: Path) -> Study:
    return add_study(home, "table", lab / "mini")


@pytest.fixture
def tuned(lab: Path, tmp_path: Path) -> Path:
    """A folder with whole weights, as another lab would hand it over."""
    return Path(shutil.copytree(lab / "tuned", tmp_path / "their-model"))


def say_seen(folder: Path, **facts: Any) -> Path:
    (folder / "braindash_seen.yaml").write_text(yaml.safe_dump({"braindash": 1, **facts}))
    return folder


def add(folder: Path, home: Home, lab: Path, **options: Any) -> str:
    return add_model(folder, home, base=str(lab / "base"), **options)[0]


def randomise(model: torch.nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_B" in name or "magnitude" in name:
                p.add_(0.3 * torch.randn(p.shape, generator=generator))


# -- fitted to the base ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"r": 2, "lora_alpha": 6, "target_modules": ["q_proj", "v_proj"]},
        {"r": 4, "lora_alpha": 8, "target_modules": r"wav2vec2\.encoder\.layers\.[12]\..*(q_proj|output_dense)",
         "use_rslora": True},
        {"r": 2, "target_modules": ["q_proj", "k_proj"], "rank_pattern": {r"layers\.1\.attention\.q_proj": 5},
         "alpha_pattern": {"wav2vec2.encoder.layers.0.attention.k_proj": 32}},
        {"r": 3, "target_modules": ["out_proj"], "use_dora": True},
        {"r": 2, "target_modules": ["v_proj"], "modules_to_save": ["lm_head"]},
    ],
)  # fmt: skip
def test_an_adapter_around_another_class_gives_the_same_hidden_states(
    home: Home, lab: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    """PEFT around a CTC model: every name has a prefix that the bare encoder lacks."""
    ctc = transformers.Wav2Vec2ForCTC(transformers.Wav2Vec2Config.from_pretrained(lab / "base")).eval()
    ctc.wav2vec2 = transformers.Wav2Vec2Model.from_pretrained(lab / "base")
    wrapped = peft.get_peft_model(ctc, peft.LoraConfig(**settings)).eval()
    randomise(wrapped)
    with torch.no_grad():
        states = wrapped.base_model.model.wav2vec2(WAVE, output_hidden_states=True).hidden_states
    wrapped.save_pretrained(tmp_path / "adapter")
    name, report = add_model(say_seen(tmp_path / "adapter", stories=["x"]), home, base=str(lab / "base"))
    assert report.prefix == "wav2vec2."
    expected = np.stack([s[0].numpy() for s in states])
    got = open_model(name, home).hidden_states(AUDIO)
    assert np.abs(got - expected).max() < 2e-5
    assert np.abs(got - open_model(lab / "base").hidden_states(AUDIO)).max() > 1e-3
    held = json.loads((home.models / name / "adapter_config.json").read_text())
    assert all(m.startswith("encoder.layers.") for m in held["target_modules"])


def test_a_whisper_adapter_leaves_its_decoder_out(home: Home, tmp_path: Path) -> None:
    save_tiny("whisper", tmp_path / "base", decoder_layers=3)
    whole = transformers.WhisperForConditionalGeneration.from_pretrained(tmp_path / "base").eval()
    wrapped = peft.get_peft_model(whole, peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"])).eval()
    randomise(wrapped)
    wrapped.save_pretrained(tmp_path / "adapter")
    name, report = add_model(say_seen(tmp_path / "adapter", stories=["x"]), home, base=str(tmp_path / "base"))
    assert report.matched == 3 * 2 * 2
    assert len(report.unexpected) == 3 * 2 * 2 * 2  # self- and cross-attention of the decoder
    layer = wrapped.base_model.model.model.encoder.layers[1].self_attn.q_proj
    expected = (layer.base_layer.weight + layer.get_delta_weight("default")).detach()
    assert torch.allclose(open_model(name, home).encoder.layers[1].self_attn.q_proj.weight, expected, atol=1e-6)


def test_whole_weights_are_named_as_the_base_names_them(home: Home, lab: Path, tuned: Path) -> None:
    tensors = load_file(tuned / "model.safetensors")
    save_file(
        {f"wav2vec2.{k}": v for k, v in tensors.items()} | {"lm_head.bias": torch.zeros(3)}, tuned / "model.safetensors"
    )
    say_seen(tuned, study="theirs", stories=["x"], subjects=["S1"], licence="cc-by-4.0", reference="Doe, 2025")
    name = add(tuned, home, lab)
    assert name == "their-model"
    expected = open_model(lab / "tuned").hidden_states(AUDIO)
    assert np.array_equal(open_model(name, home).hidden_states(AUDIO), expected)
    info = describe(name, home)
    assert (info.kind, info.licence, info.reference, info.knowledge) == ("tuned", "cc-by-4.0", "Doe, 2025", "listed")
    assert [(s.study, s.stories, s.subjects) for s in info.seen] == [("theirs", ("x",), ("S1",))]
    assert "their-model" in {m.id for m in list_models(home)}
    assert not list(home.models.glob(".*"))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"peft_type": "IA3"}, "'IA3' adapter"),
        ({"init_lora_weights": "pissa"}, "initialisation"),
        ({"bias": "all"}, "biases"),
    ],
)
def test_adapters_that_are_not_the_whole_change_are_refused(
    home: Home, lab: Path, tmp_path: Path, change: dict[str, Any], match: str
) -> None:
    encoder = transformers.Wav2Vec2Model.from_pretrained(lab / "base")
    peft.get_peft_model(encoder, peft.LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(tmp_path / "a")
    path = tmp_path / "a" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(BraindashError, match=match):
        add(tmp_path / "a", home, lab, seen="none")
    assert not (home.models / "a").exists()


def test_adapters_of_other_models_or_with_modules_of_the_encoder_are_refused(
    home: Home, lab: Path, tmp_path: Path
) -> None:
    encoder = transformers.Wav2Vec2Model.from_pretrained(lab / "base")
    settings = peft.LoraConfig(r=2, target_modules=["q_proj"], modules_to_save=["feature_projection"])
    peft.get_peft_model(encoder, settings).save_pretrained(tmp_path / "a")
    with pytest.raises(BraindashError, match="whole modules of the encoder"):
        add(tmp_path / "a", home, lab, seen="none")
    save_tiny("wav2vec2", tmp_path / "deep", num_hidden_layers=5)
    encoder = transformers.Wav2Vec2Model.from_pretrained(tmp_path / "deep")
    peft.get_peft_model(encoder, peft.LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(tmp_path / "b")
    with pytest.raises(BraindashError, match=r"does not have: encoder\.layers\.3"):
        add(tmp_path / "b", home, lab, seen="none")


def test_an_adapters_settings_import_nothing(home: Home, lab: Path, tmp_path: Path) -> None:
    """PEFT would import the module that megatron_core names; here it is not even read."""
    encoder = transformers.Wav2Vec2Model.from_pretrained(lab / "base")
    peft.get_peft_model(encoder, peft.LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(tmp_path / "a")
    (tmp_path / "a" / "braindash_model.json").write_text(
        json.dumps({"base": str(lab / "base"), "stories": {"tune": ["x"]}})
    )
    path = tmp_path / "a" / "adapter_config.json"
    path.write_text(
        json.dumps(json.loads(path.read_text()) | {"megatron_config": {"a": 1}, "megatron_core": "no_such_module"})
    )
    assert open_model(tmp_path / "a", home).n_layers == 3


# -- what it saw -----------------------------------------------------------------------------------


def test_without_knowing_what_it_saw_nothing_is_added(home: Home, lab: Path, tuned: Path) -> None:
    with pytest.raises(BraindashError, match=r"is not known.*--seen FILE.*--seen none"):
        add(tuned, home, lab)
    assert not home.models.exists()


def test_raw_adapters_are_not_opened_where_they_lie(home: Home, lab: Path, tmp_path: Path) -> None:
    encoder = transformers.Wav2Vec2Model.from_pretrained(lab / "base")
    peft.get_peft_model(encoder, peft.LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(tmp_path / "a")
    with pytest.raises(BraindashError, match=r"braindash model add .* --base REF --seen FILE"):
        open_model(tmp_path / "a", home)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("braindash: 1\nstudy: x\n", "name the stories"),
        ("stories: [a]\nstorys: [b]", "unknown setting. Did you mean stories"),
        ("stories: [a]\naudio: {a: 12}", "audio.a"),
        ("stories: [a]\naudio: {a: abc}", "SHA-256"),
        ("stories: a", "stories"),
        ("braindash: 2\nstories: [a]", "braindash"),
        ("a: &x [1]\nstories: *x", "aliases"),
        ("[", "is not YAML"),
        ("- a", "does not hold settings"),
        ("!!python/object/apply:os.system [true]", "is not YAML"),
        ("none: true", "name the stories"),
    ],
)
def test_a_seen_file_that_does_not_follow_the_contract(
    home: Home, lab: Path, tuned: Path, text: str, match: str
) -> None:
    (tuned / "braindash_seen.yaml").write_text(text)
    with pytest.raises(BraindashError, match=match):
        add(tuned, home, lab)


def test_a_story_it_saw_is_refused_by_name_in_any_study(home: Home, lab: Path, tuned: Path, study: Study) -> None:
    name = add(say_seen(tuned, study="another-name", stories=["six", "elsewhere"]), home, lab)
    with pytest.raises(LeakageError, match=r"was tuned or chosen on six, which study 'mini' tests on"):
        refuse_leaks(study, [name], home)
    with pytest.raises(LeakageError, match="six"):
        create_evaluation(name, "mini", home)
    assert not home.runs.exists() or RunStore(home).list() == []


def test_a_recordings_hash_decides_where_it_is_given(home: Home, lab: Path, tuned: Path, study: Study) -> None:
    """`five` here is another recording than theirs; what they call `z` is our `six`."""
    six = hashlib.sha256((lab / "mini" / "six.wav").read_bytes()).hexdigest()
    harmless = add(say_seen(tuned, study="theirs", stories=["five"], audio={"five": "0" * 64}), home, lab, name="a")
    refuse_leaks(study, [harmless], home)
    harmful = add(say_seen(tuned, study="theirs", audio={"z": six}), home, lab, name="b")
    with pytest.raises(LeakageError, match="tuned or chosen on six,"):
        refuse_leaks(study, [harmful], home)
    same_study = add(say_seen(tuned, study="mini", stories=["five"], audio={"five": "0" * 64}), home, lab, name="c")
    with pytest.raises(LeakageError, match="tuned or chosen on five,"):
        refuse_leaks(study, [same_study], home)


def test_a_segment_is_known_by_the_hash_of_its_whole_recording() -> None:
    from braindash.runs.leaks import Seen

    class Two:
        id = "two"
        split = type("Split", (), {"test": ("part", "other")})

    keys = {"part": "a" * 64 + "[1.0:9.0]", "other": "b" * 64}
    seen = Seen("m", "theirs", ("z",), {"z": "a" * 64}, by_name=True)
    assert seen.leaked(Two(), lambda: keys) == {"part"}  # type: ignore[arg-type]


def test_a_plain_model_folder_with_a_seen_file_is_held_to_it(home: Home, tuned: Path, study: Study) -> None:
    """Whole weights used where they lie, as the model of a fine-tune."""
    say_seen(tuned, stories=["five"])
    with pytest.raises(LeakageError, match="five"):
        refuse_leaks(study, [str(tuned)], home)
    say_seen(tuned, stories=["one"])
    refuse_leaks(study, [str(tuned)], home)


def test_stated_on_purpose_it_is_a_caveat(home: Home, lab: Path, tuned: Path, study: Study) -> None:
    name = add(tuned, home, lab, seen="none")
    refuse_leaks(study, [name], home)
    (caveat,) = seen_caveats([str(lab / "base"), name], home)
    assert "was stated by whoever added it" in caveat
    assert describe(name, home).knowledge == "none"


def test_what_is_learnt_later_replaces_what_was_stated(
    home: Home, lab: Path, tuned: Path, study: Study, tmp_path: Path
) -> None:
    name = add(tuned, home, lab, seen="none")
    file = tmp_path / "seen.yaml"
    file.write_text("stories: [five]")
    assert add_model(Path(name), home, seen=str(file))[0] == name
    with pytest.raises(LeakageError, match="five"):
        refuse_leaks(study, [name], home)
    assert np.array_equal(open_model(name, home).hidden_states(AUDIO), open_model(lab / "tuned").hidden_states(AUDIO))


def test_names_that_are_taken_or_no_names(home: Home, lab: Path, tuned: Path) -> None:
    add(tuned, home, lab, seen="none")
    with pytest.raises(BraindashError, match="There is a model 'their-model' already"):
        add(tuned, home, lab, seen="none")
    add(tuned, home, lab, seen="none", force=True)
    for bad in ("../up", "", ".hidden", "a/b", "whisper-tiny.en"):
        with pytest.raises(BraindashError, match=r"name|called"):
            add(tuned, home, lab, seen="none", name=bad or " ")
    with pytest.raises(BraindashError, match="does not say which model it was tuned from"):
        add_model(tuned, home, seen="none", name="b")


def test_a_folder_of_pickles_is_pointed_to_convert(home: Home, lab: Path, tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    torch.save({}, tmp_path / "p" / "pytorch_model.bin")
    with pytest.raises(BraindashError, match="braindash model convert"):
        add(tmp_path / "p", home, lab, seen="none")
    with pytest.raises(BraindashError, match="braindash model convert"):
        add(tmp_path / "p" / "pytorch_model.bin", home, lab, seen="none")


# -- evaluated without tuning ----------------------------------------------------------------------


def test_a_foreign_model_is_evaluated_against_its_base_without_tuning(
    home: Home, lab: Path, tuned: Path, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    from braindash.jobs.worker import Worker
    from braindash.reports.methods import methods_text

    name = add(say_seen(tuned, stories=["one", "elsewhere"], reference="Doe et al., 2025"), home, lab)
    fast = {"n_boot": 100, "n_permutations": 20, "layers": [0, 3]}
    run = create_evaluation(name, "mini", home, encoding=fast, device="cpu")
    assert run.config.recipe == "imported"
    assert run.config.model == str(lab / "base")
    assert run.read_status().tuned
    status = Worker(run, tune=lambda *_: pytest.fail("it was tuned")).work()
    assert (status.state, status.error) == ("done", None)
    records = run.records()
    assert records is not None
    assert records["models"] == ["pretrained", "brain_tuned"]
    assert any("tuned elsewhere" in c and "2 stories" in c for c in records["caveats"])
    # the same numbers as when the tuned weights are taken for a pretrained model of their own
    alone = RunStore(home).create(
        TuneConfig.model_validate({"study": "mini", "model": str(lab / "tuned"), "recipe": "head", "encoding": fast})
    )
    alone.model_dir.mkdir()
    card = {"base": str(lab / "tuned"), "recipe": "head", "stories": {}}
    (alone.model_dir / "braindash_model.json").write_text(json.dumps(card))
    expected = {(r["roi"], r["layer"]): r["r"] for r in evaluate_run(alone)["encoding"] if r["model"] == "pretrained"}
    got = {(r["roi"], r["layer"]): r["r"] for r in records["encoding"] if r["model"] == "brain_tuned"}
    assert got == pytest.approx(expected, abs=1e-6, nan_ok=True)
    pretrained = {(r["roi"], r["layer"]): r["r"] for r in records["encoding"] if r["model"] == "pretrained"}
    assert pretrained != pytest.approx(expected, abs=1e-3, nan_ok=True)
    text = methods_text(run)
    assert "tuned elsewhere" in text
    assert "Doe et al., 2025" in text
    assert "AdamW" not in text
    assert stories_seen(run.id, home)[0].stories == ("one", "elsewhere")


def test_what_cannot_be_evaluated_makes_no_run(home: Home, lab: Path, tuned: Path, study: Study) -> None:
    with pytest.raises(BraindashError, match="not a tuned model"):
        create_evaluation(str(tuned), "mini", home)
    name = add(tuned, home, lab, seen="none")
    with pytest.raises(BraindashError, match="no subject 'sub-77'"):
        create_evaluation(name, "mini", home, subjects=["sub-77"])
    with pytest.raises(BraindashError, match="n_boot"):
        create_evaluation(name, "mini", home, encoding={"n_boot": 1})
    with pytest.raises(BraindashError, match="nostudy"):
        create_evaluation(name, "nostudy", home)
    (home.models / name / "model.safetensors").write_bytes(b"\x00" * 100)
    with pytest.raises(BraindashError, match="damaged"):
        create_evaluation(name, "mini", home)
    assert RunStore(home).list() == []


def test_a_fine_tune_cannot_be_of_the_recipe_imported(home: Home, lab: Path, study: Study) -> None:
    from braindash.jobs.preflight import preflight

    config = TuneConfig(study="mini", model=str(lab / "base"), recipe="imported")
    problems = preflight(config, home, timed=False).problems
    assert "braindash model evaluate" in problems[0].remedy
