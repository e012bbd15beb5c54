"""The Tune page: every setting is there, nothing invalid gets through, and a launch is a run."""

from __future__ import annotations

import fake_home
import pytest
from conftest import OpenPage, checked, words
from streamlit.testing.v1 import AppTest

from braindash.config import Home, TuneConfig
from braindash.errors import BraindashError
from braindash.jobs.preflight import Preflight, Problem
from braindash.runs.record import RunStore
from braindash.ui import form, names, preflight_view, settings

OPEN = dict.fromkeys(form.GROUP_KEYS.values(), "true")  # every group of settings, as the address says it


@pytest.fixture
def study(home: Home, tmp_path) -> str:
    fake_home.add_table_study(home, tmp_path / "mini")
    return "mini"


def test_a_home_without_studies_says_how_to_add_one(open_page: OpenPage) -> None:
    assert "There is no study in this home yet" in words(open_page("tune"))


def test_every_setting_has_a_widget_with_default_and_help(study: str, open_page: OpenPage) -> None:
    pages = [open_page("tune", control="block-permuted", **OPEN), open_page("tune", recipe="full", **OPEN)]
    main = {"study": "_study", "model": "model", "recipe": "_recipe", "loss": "_loss", "control": "_control"}
    shown = {
        w.key
        for kind in ("selectbox", "number_input", "text_input", "toggle", "multiselect")
        for page in pages
        for w in getattr(page, kind)
    }
    for setting in settings.settings():
        assert main.get(setting.dotted, f"form__{setting.dotted}") in shown, setting.dotted
        assert setting.help, f"{setting.dotted} has no description"
    said = words(pages[0]).replace("\\", "")
    assert "Default: 8." in said
    assert "Default: all subjects." in said


def test_choices_have_names_and_help_has_no_code_marks() -> None:
    for setting in settings.settings():
        for choice in setting.choices:
            assert names.choice(setting.path[-1], choice) != choice, (setting.dotted, choice)
        assert "`" not in form.help_line(setting), setting.dotted


def test_the_untouched_form_is_the_default_configuration(study: str, open_page: OpenPage) -> None:
    page = open_page("tune")
    command = next(c.value for c in page.code if "braindash tune" in c.value)
    assert command == "braindash tune --study mini --model whisper-tiny.en"


def test_the_command_follows_the_form(study: str, open_page: OpenPage) -> None:
    page = open_page("tune", **OPEN)
    page.selectbox(key="_loss").set_value("spatial")
    page.number_input(key="form__lora.rank").set_value(4)
    page.number_input(key="form__optimiser.lr").set_value(0.0001)
    page.text_input(key="form__delays").set_value("2; 3 4")
    page.multiselect(key="form__subjects").set_value(["sub-02"])
    checked(page.run())
    command = next(c.value for c in page.code if "braindash tune" in c.value)
    for part in ("--loss spatial", "lora.rank=4", "optimiser.lr=0.0001", "delays=[2, 3, 4]", "--subjects sub-02"):
        assert part in command, command


def command_of(page: AppTest) -> str:
    return str(next(c.value for c in page.code if "braindash tune" in c.value))


def close_all(page: AppTest) -> AppTest:
    for key in OPEN:
        page.session_state[key] = False
        page.query_params.pop(key, None)
    return checked(page.run())


def entries(page: AppTest) -> list[str]:
    """Return the keys of the widgets of settings that are drawn, without the run's name."""
    kinds = ("selectbox", "number_input", "text_input", "toggle", "multiselect")
    keys = [w.key for kind in kinds for w in getattr(page, kind)]
    return [k for k in keys if k.startswith("form_") and not k.endswith("_name")]


def test_closed_groups_send_nothing_and_keep_what_was_entered(study: str, open_page: OpenPage) -> None:
    page = open_page("tune", **OPEN)
    page.number_input(key="form__lora.rank").set_value(4)
    page.number_input(key="form__optimiser.lr").set_value(0.0003)
    page.text_input(key="form__delays").set_value("2; 3 4")
    page.text_input(key="form__encoding.alphas").set_value("1, 10")
    page.multiselect(key="form__subjects").set_value(["sub-02"])
    page.selectbox(key="form__hemi").set_value("left")
    page.toggle(key="form__halve_on_memory").set_value(True)
    said = command_of(checked(page.run()))
    assert all(
        part in said
        for part in (
            "lora.rank=4", "optimiser.lr=0.0003", "delays=[2, 3, 4]", "encoding.alphas=[1.0, 10.0]",
            "--subjects sub-02", "--hemi left", "halve_on_memory=true",
        )
    ), said  # fmt: skip
    assert entries(page)
    assert command_of(close_all(page)) == said
    assert not entries(page)
    assert command_of(checked(page.run())) == said
    page.session_state["show_evaluation"] = True
    checked(page.run())
    assert page.text_input(key="form__encoding.alphas").value == "1, 10"
    assert command_of(page) == said


@pytest.mark.parametrize("preset", ["a-iclr", "a-multi", "b-brainwavlm"])
def test_a_closed_form_says_what_an_open_one_does(study: str, open_page: OpenPage, preset: str) -> None:
    closed = open_page("tune", preset=preset)
    assert not entries(closed)
    assert command_of(closed) == command_of(open_page("tune", preset=preset, **OPEN))


def test_a_mistake_in_a_closed_group_is_said_and_blocks_the_launch(study: str, open_page: OpenPage) -> None:
    page = open_page("tune", **OPEN)
    page.text_input(key="form__delays").set_value("1, two")
    close_all(checked(page.run()))
    said = page.error[0].value.replace("\\", "").replace("\u2060", "")
    assert "Windows and delays, Delays: 'two'" in said
    assert not [b for b in page.button if b.key == "launch"]


def test_a_loss_of_ones_own_is_typed_and_checked(study: str, open_page: OpenPage) -> None:
    page = open_page("tune", loss="own")
    page.text_input(key="form_own_loss").set_value("spatial + 0.25*mse")
    checked(page.run())
    assert "--loss 'spatial+0.25*mse'" in next(c.value for c in page.code if "braindash tune" in c.value)
    page.text_input(key="form_own_loss").set_value("spatial -- mse")
    checked(page.run())
    assert "weighted sum such as spatial+0.5*mse" in page.error[0].value.replace("\\", "")


def test_head_only_hides_the_adapters(study: str, open_page: OpenPage) -> None:
    page = open_page("tune", recipe="head", **OPEN)
    assert not [w for w in page.number_input if w.key == "form__lora.rank"]


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("form__optimiser.lr", 0.0, "optimiser.lr"),
        ("form__window.stride", 20.0, "must not exceed context"),
        ("form__optimiser.clip", -1.0, "optimiser.clip"),
    ],
)
def test_what_the_widget_lets_through_is_refused_by_the_server(
    study: str, open_page: OpenPage, key: str, value: float, complaint: str
) -> None:
    page = open_page("tune", **OPEN)
    page.number_input(key=key).set_value(value)
    checked(page.run())
    assert complaint in page.error[0].value.replace("\\", "")
    assert not [b for b in page.button if b.key == "launch"]


def test_numbers_that_are_none_are_refused_where_they_stand(study: str, open_page: OpenPage) -> None:
    page = open_page("tune", **OPEN)
    page.text_input(key="form__delays").set_value("1, two")
    checked(page.run())
    assert "'two'" in page.error[0].value.replace("\\", "")
    assert not [b for b in page.button if b.key == "launch"]


def test_the_form_starts_from_an_earlier_run(study: str, home: Home, open_page: OpenPage) -> None:
    lora = TuneConfig.model_validate({"study": "mini", "model": "whisper-tiny.en", "lora": {"rank": 3}}).lora
    run_id = fake_home.add_done(home, "earlier", lora=lora, loss="spatial", delays=(1, 2))
    page = open_page("tune", like=run_id, **OPEN)
    assert page.number_input(key=f"form_{run_id}_lora.rank").value == 3
    assert page.selectbox(key="_loss").value == "spatial"
    assert page.text_input(key=f"form_{run_id}_delays").value == "1, 2"


def test_an_unknown_earlier_run_is_said(study: str, open_page: OpenPage) -> None:
    page = open_page("tune", like="../../etc/passwd")
    assert "There is no run" in page.error[0].value
    assert page.button(key="launch")


def test_launch_makes_a_run_and_starts_its_worker(
    study: str, home: Home, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    monkeypatch.setattr("braindash.jobs.launch.launch", lambda run, detach=True, executor=None: started.append(run.id))
    monkeypatch.setattr(
        "braindash.jobs.preflight.preflight", lambda config, home, timed=True: Preflight(command="braindash tune")
    )
    page = open_page("tune")
    page.text_input(key="form__name").set_value("**my** run")
    checked(page.button(key="launch").click().run())
    rows = RunStore(home).list()
    assert [r.id for r in rows] == started
    assert rows[0].name == "**my** run"
    assert "Launched" in words(page)
    checked(page.button(key="launch").click().run())  # the second half of a double click
    assert len(RunStore(home).list()) == 1


def test_what_cannot_run_is_not_launched(
    study: str, home: Home, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = Preflight(
        command="", problems=[Problem(what="Region 'x' holds none of the 6 targets.", remedy="Choose another.")]
    )
    monkeypatch.setattr("braindash.jobs.preflight.preflight", lambda config, home, timed=True: bad)
    page = open_page("tune")
    checked(page.button(key="launch").click().run())
    assert "holds none of the 6 targets" in page.error[0].value
    assert RunStore(home).list() == []


def test_the_check_shows_cost_and_problems_and_blocks_the_launch(
    study: str, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Preflight(
        command="braindash tune",
        problems=[Problem(what="The run needs about 99.0 GB of memory; 4.0 GB are free.", remedy="Set block_trs.")],
        n_steps=42,
        seconds_per_step=1.5,
        estimated_seconds=63.0,
        evaluation_seconds=44.0,
        checkpointing="Gradient checkpointing is off: it fits.",
        memory_needed=99_000_000_000,
        memory_available=4_000_000_000,
        leak_check="no test story (s5) is among those tuned or chosen on",
        targets={"sub-01": {"n_targets": 5, "n_all": 6, "n_outside": 0, "n_below_ceiling": 0, "n_excluded": 1}},
    )
    monkeypatch.setattr(preflight_view, "check", lambda config: found)
    page = open_page("tune", **OPEN)
    checked(page.button(key="check").click().run())
    said = words(page).replace("\\", "")
    assert "≈ 63 s" in said
    assert "then ≈ 44 s to evaluate" in said
    assert "Gradient checkpointing is off" in said
    assert "99.0 GB" in said
    assert "sub-01: tuned on 5 of 6 targets; left out: 1 not finite or constant." in said
    assert "no test story (s5)" in said
    assert page.button(key="launch").disabled
    page.number_input(key="form__block_trs").set_value(10)
    checked(page.run())
    assert not page.button(key="launch").disabled  # another configuration, not checked yet


def test_a_check_that_dies_is_a_message(study: str, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(config: TuneConfig) -> Preflight:
        raise BraindashError("The check ended without a report (killed).", "Run it yourself.")

    monkeypatch.setattr(preflight_view, "check", die)
    page = open_page("tune")
    checked(page.button(key="check").click().run())
    assert "ended without a report" in page.error[0].value


def test_a_test_story_is_named_as_held_out(study: str, open_page: OpenPage) -> None:
    page = open_page("tune")
    assert "s5" in page.success[0].value


def test_a_preset_fills_the_form_and_is_recorded(study: str, open_page: OpenPage) -> None:
    page = open_page("tune", preset="b-brainwavlm", **OPEN)
    assert page.number_input(key="form_b-brainwavlm_lora.rank").value == 4
    assert page.selectbox(key="_loss").value == "spatial"
    command = next(c.value for c in page.code if "braindash tune" in c.value)
    assert command.startswith("braindash tune --preset b-brainwavlm --study mini")


def test_a_group_is_counted_shown_as_a_command_and_launched(
    study: str, home: Home, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    monkeypatch.setattr(
        "braindash.jobs.launch.launch_many", lambda runs, executor=None: started.extend(r.id for r in runs)
    )
    monkeypatch.setattr(
        "braindash.jobs.preflight.preflight", lambda config, home, timed=True: Preflight(command="braindash tune")
    )
    page = open_page("tune")
    page.text_area(key="plan_grid").set_value("rank=4,8")
    page.number_input(key="plan_seeds").set_value(2)
    page.multiselect(key="plan_controls").set_value(["block-permuted"])
    checked(page.run())
    said = words(page).replace("\\", "")
    assert "This launches 8 runs as one group, 1 control with each." in said
    command = next(c.value for c in page.code if "braindash tune" in c.value)
    assert command.endswith("--grid rank=4,8 --seeds 2 --controls block-permuted")
    checked(page.button(key="launch").click().run())
    rows = RunStore(home).list()
    assert len(rows) == 8
    assert {r.id for r in rows} == set(started)
    assert len({RunStore(home).get(r.id).config.group for r in rows}) == 1
    assert {RunStore(home).get(r.id).config.lora.rank for r in rows} == {4, 8}
    assert "Launched" in words(page)


def test_a_grid_that_cannot_be_read_is_said_and_blocks_the_launch(study: str, open_page: OpenPage) -> None:
    page = open_page("tune")
    page.text_area(key="plan_grid").set_value("rnak=4,8")
    checked(page.run())
    assert "rnak" in page.error[0].value
    assert not [b for b in page.button if b.key == "launch"]


def test_a_cluster_that_is_not_there_is_said(study: str, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("braindash.ui.launch_view.shutil.which", lambda name: None)
    page = open_page("tune")
    page.radio(key="plan_executor").set_value("slurm")
    checked(page.run())
    assert "no `sbatch` on this machine" in page.warning[0].value
    page.text_input(key="plan_partition").set_value("gpu")
    page.number_input(key="plan_gpus").set_value(2)
    checked(page.run())
    command = next(c.value for c in page.code if "braindash tune" in c.value)
    assert command.endswith("--executor slurm --partition gpu --gpus 2")
