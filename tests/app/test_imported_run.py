"""Pages of a home that holds imported runs and neither their study nor their base model."""

from __future__ import annotations

import json
from pathlib import Path

import fake_home
import pytest
import torch
from conftest import OpenPage, words
from safetensors.torch import save_file

from braindash.config import Home
from braindash.runs.importing import import_run
from braindash.runs.record import RunStore
from braindash.runs.sharing import export_run


@pytest.fixture
def imported(home: Home, tmp_path: Path) -> str:
    """An evaluated run of another home, taken in here."""
    there = Home(tmp_path / "there")
    run = RunStore(there).get(fake_home.add_done(there, name="from far away"))
    run.model_dir.mkdir()
    save_file({"w": torch.zeros(2)}, run.model_dir / "model.safetensors")
    card = {"base": "whisper-tiny.en", "recipe": "full", "study": "mini", "stories": {"tune": ["one"]}}
    (run.model_dir / "braindash_model.json").write_text(json.dumps(card))
    return import_run(export_run(run, tmp_path / "a.zip").path, home).run.id


@pytest.mark.parametrize("page", ["overview", "encoding", "study", "tune", "runs"])
def test_every_page_opens_on_an_imported_run(imported: str, open_page: OpenPage, page: str) -> None:
    said = words(open_page(page, run=imported)).replace("\\", "")
    if page == "overview":
        assert "0.700 → 0.775 of the noise ceiling" in said


def test_a_model_tuned_elsewhere_is_called_that_and_no_choice_of_the_form(
    home: Home, tmp_path: Path, open_page: OpenPage
) -> None:
    fake_home.add_table_study(home, tmp_path / "study")
    run_id = fake_home.add_done(home, recipe="imported")
    assert "Tuned elsewhere" in words(open_page("overview", run=run_id))
    for page in (open_page("tune"), open_page("tune", like=run_id)):
        recipe = next(s for s in page.selectbox if s.key == "_recipe")
        assert recipe.value == "lora"
        assert "Tuned elsewhere" not in recipe.options
