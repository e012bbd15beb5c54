"""The form of a fine-tune: everything that `braindash tune` takes, checked before it is launched."""

import streamlit as st

from braindash.ui import form, heading, launch_view, preflight_view, readers, tune_view

heading.title("Tune")
entries = readers.study_entries()
if not entries:
    tune_view.no_study()
    st.stop()

start, origin = tune_view.starting_point()
left, right = st.columns([3, 2], gap="large")
with left:
    study, facts = tune_view.choose_study(entries, start)
    model = tune_view.choose_model(start)
    fixed = {("study",): study, ("model",): model} | tune_view.main_choices(start)
    entered = form.draw(form.Offer(facts.subjects, tune_view.regions(facts), facts.has_cortex), start, origin, fixed)
with right:
    st.subheader("Before you launch")
    config = tune_view.build(entered)
    if config is not None and not facts.problem:
        tune_view.split_note(facts)
        planned = launch_view.draw(config)
        if planned is not None:
            preflight_view.section(config, *planned)
    tune_view.launched_note()
