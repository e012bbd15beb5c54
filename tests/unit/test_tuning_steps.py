"""What a step is made of, how its rate rises, which epoch is kept, and the head that is solved again."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from tiny_models import save_tiny
from tuning_study import SmallStudy

from braindash.config import OptimiserConfig, TuneConfig
from braindash.errors import BraindashError
from braindash.features.windows import extract
from braindash.speech.base import SpeechModel
from braindash.speech.loading import open_model
from braindash.tuning import TuneResult, checkpoints, tune
from braindash.tuning.data import TuningData
from braindash.tuning.devices import Team
from braindash.tuning.heads import head_for, read_head
from braindash.tuning.loop import add_gradients
from braindash.tuning.network import Network
from braindash.tuning.objectives import mse
from braindash.tuning.recipes import get_recipe
from braindash.tuning.schedule import Item, epoch_items, epoch_steps, item_seed, warmup_of
from braindash.tuning.stories import Stories

BASE: dict[str, Any] = {
    "study": "small",
    "model": "tiny",
    "precision": "fp32",
    "window": {"context": 4, "stride": 4},
    "head": {"rank": 3},
    "optimiser": {"epochs": 2, "warmup_steps": 1},
    "encoding": {"alphas": (1.0, 100.0), "delays": (1, 2)},
    "delays": (1, 2),
}


def settings(**changes: Any) -> TuneConfig:
    merged = {k: {**BASE.get(k, {}), **v} if isinstance(v, dict) else v for k, v in changes.items()}
    return TuneConfig.model_validate({**BASE, **merged})


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny("whisper", tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def model(base: Path) -> SpeechModel:
    return open_model(str(base))


class Uneven(SmallStudy):
    """The second subject heard a single tuning story."""

    def stories_of(self, part: Any, subject: str | None = None) -> tuple[str, ...]:
        return ("s1",) if (part, subject) == ("tune", "sub-02") else super().stories_of(part, subject)


def go(
    model: SpeechModel, workspace: Path, config: TuneConfig, study: SmallStudy | None = None, **more: Any
) -> tuple[TuneResult, list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    told = {"progress": rows.append, "should_stop": lambda: False, **more}
    return tune(study or SmallStudy(), model, config, workspace, **told), rows


def of_kind(rows: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [{k: v for k, v in r.items() if k not in ("seconds", "busy")} for r in rows if r["kind"] == kind]


def test_pairs_are_every_subject_of_every_story_once_an_epoch() -> None:
    data = TuningData(Uneven(), settings(pairs=True))
    items = epoch_items(data, settings(pairs=True))
    assert {(i.story, i.subject) for i in items} == {
        ("s0", "sub-01"),
        ("s1", "sub-01"),
        ("s2", "sub-01"),
        ("s1", "sub-02"),
    }
    assert [i.subject for i in epoch_items(data, settings())] == [None] * 3
    steps = epoch_steps(items, 3, seed=0, epoch=1)
    assert [len(s) for s in steps] == [3, 1]
    assert sorted(map(repr, [i for s in steps for i in s])) == sorted(map(repr, items))
    assert steps != epoch_steps(items, 3, seed=0, epoch=2)
    seeds = {item_seed(seed, step, place) for seed in (0, 1) for step in (1, 2) for place in (0, 1)}
    assert len(seeds) == 8


def test_the_gradient_of_a_step_is_the_mean_of_its_items(model: SpeechModel, tmp_path: Path) -> None:
    """Also of (story, subject) pairs, a block of a story, and a smaller number of items than usual."""
    config = settings(pairs=True, stories_per_step=3)
    data = TuningData(Uneven(), config)
    torch.manual_seed(0)
    with get_recipe("lora")(model, config, 3) as prepared:
        network = Network(model, prepared, 3, head_for(config, model.width, data), mse)
        stories = Stories(model, data, config, prepared.first_block, tmp_path)
        cpu = torch.device("cpu")
        session: Any = SimpleNamespace(
            team=Team(),
            config=config,
            network=network,
            stories=stories,
            feeder=SimpleNamespace(take=lambda item: stories.step(item, network, cpu)),
            accelerator=SimpleNamespace(backward=lambda loss: loss.backward(), device=cpu),
        )
        for items in (
            [Item("s0", 0, 1, "sub-01"), Item("s1", 1, 2, "sub-01"), Item("s1", 0, 1, "sub-02")],
            [Item("s2", 0, 1, "sub-01"), Item("s0", 0, 1, "sub-01")],
        ):
            network.zero_grad(set_to_none=True)
            value = add_gradients(session, network, items, step=1)
            got = {n: None if p.grad is None else p.grad.clone() for n, p in network.trained()}
            losses = [network(stories.step(item, network, cpu)) for item in items]
            network.zero_grad(set_to_none=True)
            torch.stack(losses).mean().backward()
            assert value == pytest.approx(np.mean([float(x.detach()) for x in losses]), rel=1e-6)
            for name, p in network.trained():
                mine = got[name]
                if p.grad is None:
                    assert mine is None
                else:
                    assert mine is not None
                    assert torch.allclose(mine, p.grad, rtol=1e-4, atol=1e-8)
            without = {n for n, g in got.items() if g is None}
            assert without == network.idle({str(i.subject) for i in items})
            assert bool(without) == (len(items) == 2)


def test_a_step_with_pairs_and_stories_not_all_heard_passes_the_checks(model: SpeechModel, tmp_path: Path) -> None:
    for k, pairs in ((1, True), (2, True), (2, False)):
        _, rows = go(model, tmp_path, settings(pairs=pairs, stories_per_step=k), Uneven())
        steps = of_kind(rows, "step")
        an_epoch = -(-(4 if pairs else 3) // k)
        assert [s["step"] for s in steps] == list(range(1, 2 * an_epoch + 1))
        assert {s["n_steps"] for s in steps} == {2 * an_epoch}


def test_the_warm_up_is_a_share_of_all_steps_when_given(model: SpeechModel, tmp_path: Path) -> None:
    optimiser = {"warmup_fraction": 0.5, "warmup_steps": 1, "schedule": "constant", "lr": 1e-3}
    _, rows = go(model, tmp_path, settings(optimiser=optimiser))
    rates = [row["lr"] for row in of_kind(rows, "step")]
    assert rates == pytest.approx([1e-3 / 3, 2e-3 / 3, 1e-3, 1e-3, 1e-3, 1e-3])
    assert warmup_of(OptimiserConfig(warmup_steps=7), 100) == 7
    assert warmup_of(OptimiserConfig(warmup_fraction=0.0), 100) == 0


def test_the_last_epoch_is_kept_where_asked_and_patience_still_looks_at_the_best(
    model: SpeechModel, tmp_path: Path
) -> None:
    optimiser = {"epochs": 6, "lr": 1e-2, "patience": 1}
    best, rows = go(model, tmp_path / "best", settings(optimiser=optimiser))
    scores = [row["validation_r"] for row in of_kind(rows, "epoch")]
    assert best.best_epoch == 1 + int(np.argmax(scores[1:]))
    assert best.best_epoch < len(scores) - 1  # otherwise the two rules would agree
    last, rows = go(model, tmp_path / "last", settings(optimiser=optimiser, keep="last"))
    assert [row["validation_r"] for row in of_kind(rows, "epoch")] == scores
    assert last.best_epoch == len(scores) - 1
    assert last.best_validation_r == scores[-1]
    assert last.model_dir is not None
    name = "adapter_model.safetensors"
    assert (last.model_dir / name).read_bytes() != (tmp_path / "best" / "model" / name).read_bytes()


@pytest.mark.parametrize("pooling", ["mean", "attention"])
def test_a_head_that_is_solved_again_is_the_ridge_solution_on_the_tuned_features(
    base: Path, model: SpeechModel, tmp_path: Path, pooling: str
) -> None:
    """Features of the saved model, design and ridge made anew with other code."""
    config = settings(
        model=str(base),
        head={"kind": "linear", "refit": "epoch", "init": "random", "pooling": pooling},
        encoding={"alphas": (10.0,)},
        keep="last",
        optimiser={"lr": 1e-2, "head_lr": 1e-9},  # the score of frames stays at the mean
    )
    study = SmallStudy()
    result, rows = go(model, tmp_path, config, study)
    assert result.model_dir is not None
    head, data, tuned = (
        read_head(result.model_dir / "head.safetensors"),
        TuningData(study, config),
        open_model(tmp_path),
    )

    def design(story: str) -> np.ndarray:
        x = extract(tuned, study.audio(story), data.times(story, "sub-01"), study.tr, config.window, [3])[0]
        z = (x - head.mean.numpy()) / head.scale.numpy()
        return np.concatenate([np.pad(z, ((d, 0), (0, 0)))[: len(z)] for d in (1, 2)], axis=1).astype(float)

    X = np.concatenate([design(story) for story in data.tune["sub-01"]])
    r = []
    for place, subject in enumerate(data.subjects):
        Y = np.concatenate([data.responses(story, subject) for story in data.tune[subject]]).astype(float)
        ridge = Ridge(10.0).fit(X, Y)
        weights = head.outputs[place].weight.detach().numpy()
        assert np.abs(weights - ridge.coef_).max() < 2e-3 * np.abs(ridge.coef_).max()
        P, T = ridge.predict(design("s3")), data.responses("s3", subject)
        r.append(np.mean([np.corrcoef(P[:, j], T[:, j])[0, 1] for j in range(T.shape[1])]))
    last = of_kind(rows, "epoch")[-1]
    assert last["head_validation_r"] == pytest.approx(np.mean(r), abs=1e-3)
    plain = extract(model, study.audio("s0"), data.times("s0", "sub-01"), study.tr, config.window, [3])[0]
    after = extract(tuned, study.audio("s0"), data.times("s0", "sub-01"), study.tr, config.window, [3])[0]
    assert np.abs(after - plain).max() > 1e-2 * np.abs(plain).max()  # the features had moved


def test_what_the_optimiser_knew_of_a_head_is_dropped_when_it_is_solved_again(
    model: SpeechModel, tmp_path: Path
) -> None:
    """At the end of an epoch only adapters and the score of frames have moments; after a step all have again."""
    known = {}
    for refit in ("never", "epoch"):
        config = settings(head={"refit": refit, "pooling": "attention"}, checkpoint_steps=1, keep_checkpoints=9)
        go(model, tmp_path / refit, config)
        folders = sorted((tmp_path / refit / "checkpoints").glob("step-*"))
        found = [checkpoints.read_checkpoint(folder) for folder in folders]
        known[refit] = [len([k for k in c.tensors if k.startswith("optimiser.") and "exp_avg_sq" in k]) for c in found]
        moving = len([k for k in found[0].tensors if k.startswith("trained.encoder")])
    assert [folder.name[5:] for folder in folders] == [
        "0000001-0001", "0000002-0001", "0000003-0002", "0000004-0002", "0000005-0002", "0000006-0003"
    ]  # fmt: skip
    everything = moving + 1 + 5  # the score; the shared matrix, two outputs with offsets
    assert known["never"] == [everything] * 6
    assert known["epoch"] == [everything, everything, moving + 1, everything, everything, moving + 1]


def test_a_penalty_is_chosen_once_also_where_the_head_starts_at_random(model: SpeechModel, tmp_path: Path) -> None:
    _, rows = go(model, tmp_path, settings(head={"refit": "epoch", "init": "random"}))
    said = [row["text"] for row in rows if row["kind"] == "log"]
    assert any("solved after every epoch with alpha" in text for text in said)
    epochs = of_kind(rows, "epoch")
    assert epochs[1]["validation_loss"] != epochs[0]["validation_loss"]


EVERYTHING = settings(
    pairs=True,
    stories_per_step=2,
    block_trs=8,
    checkpoint_steps=2,
    keep="last",
    lora={"dropout": 0.1},
    head={"pooling": "attention", "refit": "epoch", "shared_output": True},
    optimiser={"warmup_fraction": 0.2, "head_lr": 1e-2},
)


def alike() -> SmallStudy:
    return SmallStudy(n_tune=2, shift={"sub-02": 0.2}, n_targets={"sub-01": 5, "sub-02": 5})


@pytest.fixture(scope="module")
def never_stopped(model: SpeechModel, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    workspace = tmp_path_factory.mktemp("whole")
    return workspace, go(model, workspace, EVERYTHING, alike())[1]


@pytest.mark.parametrize("stop_after", [0, 1, 4, 7])
def test_every_choice_together_resumes_bit_for_bit(
    model: SpeechModel, tmp_path: Path, never_stopped: tuple[Path, list[dict[str, Any]]], stop_after: int
) -> None:
    whole, expected = never_stopped
    seen: list[dict[str, Any]] = []

    def stop() -> bool:
        return sum(r["kind"] == "step" for r in seen) >= stop_after and any(r["kind"] == "epoch" for r in seen)

    first, _ = go(model, tmp_path, EVERYTHING, alike(), progress=seen.append, should_stop=stop)
    assert first.stopped
    torch.manual_seed(99)
    _, rows = go(model, tmp_path, EVERYTHING, alike(), resume=True)
    for kind in ("step", "epoch"):
        assert of_kind(seen + rows, kind) == of_kind(expected, kind)
    for path in (whole / "model").iterdir():
        assert (tmp_path / "model" / path.name).read_bytes() == path.read_bytes()


def test_a_shared_output_refuses_subjects_whose_targets_differ(model: SpeechModel, tmp_path: Path) -> None:
    with pytest.raises(BraindashError, match="'sub-01' has 6 and 'sub-02' 5; only 'sub-01' has t5"):
        go(model, tmp_path, settings(head={"shared_output": True}))
