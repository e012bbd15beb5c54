"""What the two papers and their follow-ups found, and what one run shows of it: supported, not, or cannot tell.

A = Moussa & Toneva, Interspeech 2025, and Moussa, Klakow & Toneva, ICLR 2025; A-multi = their paper with
several participants, NeurIPS 2025; B = Vattikonda, Vaidya, Antonello & Huth, 2025. The rules are in `verdicts`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from braindash.comparing.evidence import PRETRAINED, Evidence, find, layer_words
from braindash.comparing.verdicts import (
    SMALL,
    Change,
    Controls,
    Judged,
    judge_all,
    judge_fall,
    judge_gain,
    judge_place,
    judge_same,
    unknown,
)
from braindash.wording import words_of

EARLY, LATE = 1 / 3, 2 / 3  # relative depths: the first third of the layers, the last third
LANGUAGE, AUDITORY, PRIMARY, CORTEX = "late_language", "early_auditory", "primary_auditory", "cortex"


@dataclass(frozen=True)
class Finding:
    """One row of the table.

    Attributes
    ----------
    id, source, claim, look_for : str
        ``source`` names papers as above; ``look_for`` says what would show the claim.
    criterion : str
        When it counts as supported.
    judge : callable
        From the evidence to what it shows.
    """

    id: str
    source: str
    claim: str
    look_for: str
    criterion: str
    judge: Callable[[Evidence], Judged]


def judge_findings(evidence: Evidence) -> list[dict[str, str]]:
    """Return the table: ``id, source, claim, look_for, shows, verdict, why, command``.

    ``why`` holds the reason, the criterion, what limits the study, and the command that would
    fill in what is missing (also by itself in ``command``).
    """
    limits = []
    if evidence.simulated:
        limits.append("The subjects are simulated: the verdict tests the method and says nothing of people.")
    if evidence.n_subjects == 1:
        limits.append("One subject: it says nothing of others.")
    rows = []
    for finding in FINDINGS:
        found = finding.judge(evidence)
        said = [found.reason, f"Criterion: {finding.criterion}", *limits]
        if found.command:
            said.append(f"To find out: {found.command}")
        rows.append(
            {
                "id": finding.id, "source": finding.source, "claim": finding.claim, "look_for": finding.look_for,
                "shows": found.shows, "verdict": found.verdict, "why": " ".join(s for s in said if s),
                "command": found.command,
            }
        )  # fmt: skip
    return rows


# --- encoding ------------------------------------------------------------------------------------


def _region_gain(roi: str, name: str) -> Callable[[Evidence], Judged]:
    def judge(e: Evidence) -> Judged:
        if not e.differences:
            return unknown("The run has not been evaluated.", e.command("evaluate"))
        change = e.region_change(roi)
        if find(e.differences, roi=roi) is None:
            return unknown(f"The study has no targets in {name}.")
        shows = f"{change} {e.unit} at layer {e.last}; n = {e.n_targets(roi):,} targets"
        return judge_gain(change, e.region_controls(roi), shows)

    return judge


def _rising(e: Evidence) -> Judged:
    wanted = {"model": e.tuned, "subject": e.subject, "roi": LANGUAGE}
    change = Change.of(find(e.slope_change, against=PRETRAINED, **wanted))
    before, after = (
        Change.of(find(e.slopes, **{**wanted, "model": m}), "slope") for m in (PRETRAINED, e.tuned)
    )  # fmt: skip
    if after.value != after.value:
        return unknown(*_no_layers(e, "late-language regions"))
    depths = [e.region_depth(m, LANGUAGE) for m in (PRETRAINED, e.tuned)]
    shows = (
        f"slope from the first to the last layer {before.value:+.3f} before and {after} after, a change of {change}; "
        f"best at {layer_words(depths[0])} before and {layer_words(depths[1])} after"
    )
    gaps = {
        str(r["against"]): Change.of(r)
        for r in e.slope_change
        if r["against"] != PRETRAINED and all(r.get(k) == v for k, v in wanted.items())
    }
    kept = {m: g for m, g in gaps.items() if m in e.mean_controls("region", LANGUAGE).gaps}
    gained = judge_gain(change, Controls(kept, e.control_command()), shows)
    placed = judge_place([depths[1] or {}], *e.part(LATE, 1), "the last third of the layers", "")
    found = judge_all([gained, placed])
    already = judge_place([depths[0] or {}], *e.part(LATE, 1), "", "").verdict == "supported"
    note = " It was best there before as well, so that no bell was there to lose." if already else ""
    return replace(found, reason=found.reason + note)


def _primary_same(e: Evidence) -> Judged:
    change = e.mean_change("region", PRIMARY)
    if change.value != change.value:
        return unknown(*_no_layers(e, "primary auditory cortex"))
    depths = [e.region_depth(m, PRIMARY) or {} for m in (PRETRAINED, e.tuned)]
    shows = (
        f"{change} {e.unit}, mean over the layers that tuning changed; best at {layer_words(depths[0])} before and "
        f"{layer_words(depths[1])} after"
    )
    if not e.normalised:
        return unknown(
            f"Without noise ceilings ±{SMALL:g} in r is not the same share of what can be reached.", "", shows
        )
    placed = judge_place(depths, *e.part(0, LATE), "the first two thirds of the layers", "")
    return judge_all([judge_same(change, shows), placed])


def _auditory_falls(e: Evidence) -> Judged:
    change = e.region_change(AUDITORY)
    if not e.differences:
        return unknown("The run has not been evaluated.", e.command("evaluate"))
    if find(e.differences, roi=AUDITORY) is None:
        return unknown("The study has no targets in auditory cortex.")
    shows = f"{change} {e.unit} at layer {e.last} in early auditory cortex"
    if e.hears is None:
        return unknown("Whether auditory cortex was among the targets tuned on is not known.", "", shows)
    if e.hears:
        again = f"braindash tune --config {e.config_file} --rois late_language"
        return unknown("This run tuned on auditory cortex as well.", again, shows)
    return judge_fall(change, shows)


def _selection(e: Evidence) -> Judged:
    found = e.selection or {}
    if not found:
        again = f"braindash tune --config {e.config_file} --hemi left"
        return unknown("This run tuned on all regions of both hemispheres.", again)
    change = Change.of(found)
    shows = f"the gain in {found['inside']} less that in {found['outside']} is {change} {e.unit} at layer {e.last}"
    gaps = {m: Change.of(r) for m, r in found["gaps"].items()}
    return judge_gain(change, Controls(gaps, e.control_command()), shows)


def _transfer(e: Evidence) -> Judged:
    rows = [r for r in e.transfer if not r["same"] and r["roi"] == LANGUAGE and r["layer"] == e.last]
    if not rows:
        rows = [r for r in e.transfer if not r["same"] and r["roi"] == CORTEX and r["layer"] == e.last]
    if not rows:
        again = f"{e.command('evaluate')} --subjects ID"
        if e.n_subjects > 1 or not e.differences:
            return unknown(
                "No run of this study was evaluated on subjects whom it was not tuned on; tune on one subject.",
                f"braindash tune --config {e.config_file} --subjects ID",
            )
        return unknown("It was evaluated on the subject whom it was tuned on alone.", again)
    keys = ("delta_r_norm", "r_norm_ci_low", "r_norm_ci_high") if e.normalised else ("delta_r", "ci_low", "ci_high")
    parts = []
    for row in rows:
        change = Change.of(row, *keys)
        on = ", ".join(row["tuned_on"])
        shows = f"tuned on {on}, in {row['evaluated_on']}: {change} {e.unit}"
        gaps = {m: Change.of(g) for m, g in (row.get("gaps") or {}).items()}
        parts.append(judge_gain(change, Controls(gaps, e.control_command()), shows))
    return judge_all(parts)


def _reliance(e: Evidence) -> Judged:
    rows = [r for r in e.reliance if r["subject"] == e.subject and r["roi"] == LANGUAGE]
    if not rows:
        rows = [r for r in e.reliance if r["subject"] == e.subject and r["roi"] == CORTEX]
    mine = [r for r in rows if r["model"] == e.tuned]
    if not mine:
        return unknown("What alignment owes to low-level features was not worked out.", e.command("partition"))
    parts = []
    for row in mine:
        change = Change.of(row, "change", "change_low", "change_high")
        shows = (
            f"removing {row['space'].replace('_', ' ')} features lowers r by {-row['delta_r']:.3f} after tuning, "
            f"a fall smaller than before by {change}"
        )
        rivals = {
            r["model"]: change.less(Change.of(r, "change", "change_low", "change_high"))
            for r in rows
            if r["space"] == row["space"] and r["model"] in e.region_controls(LANGUAGE).gaps
        }
        parts.append(judge_gain(change, Controls(rivals, e.control_command()), shows))
    return judge_all(parts)


def _control(*models: str) -> Callable[[Evidence], Judged]:
    """Judge whether tuning gained more than the first of these controls that there is."""

    def judge(e: Evidence) -> Judged:
        roi = LANGUAGE if find(e.differences, roi=LANGUAGE) else CORTEX
        gaps = e.region_controls(roi, models).gaps
        if not gaps:
            return unknown("No such control has been run.", e.control_command(models[0].replace("_", "-")))
        parts = []
        for model, gap in gaps.items():
            shows = f"minus the {words_of(model).title.lower()} control {gap} {e.unit} at layer {e.last}"
            parts.append(judge_gain(gap, None, shows))
        return judge_all(parts)

    return judge


# --- probes --------------------------------------------------------------------------------------


def _probe_places(
    tasks: tuple[str, ...], part: tuple[float, float], where: str, models: tuple[str, ...]
) -> Callable[[Evidence], Judged]:
    def judge(e: Evidence) -> Judged:
        found = e.tasks(*tasks)
        if not found:
            return unknown(*_no_probe(e, tasks))
        rows = [(t, m, e.probe_depth(e.tuned if m == "tuned" else m, t) or {}) for t in found for m in models]
        named = {PRETRAINED: "before", "tuned": "after"}
        shows = "; ".join(
            [f"{found[t]} best at {layer_words(row)} {named[m]}" for t, m, row in rows]
            + [f"{t.replace('_', ' ')} not probed" for t in tasks if t not in found]
        )
        return judge_place([row for *_, row in rows], *e.part(*part), where, shows)

    return judge


def _word_same(e: Evidence) -> Judged:
    found = e.tasks("word")
    if not found:
        return unknown(*_no_probe(e, ("word",)))
    change = e.mean_change("probe", "word")
    return judge_same(change, f"{found['word']}: {change} in F1, mean over the layers that tuning changed")


def _meaning_rises(e: Evidence) -> Judged:
    found = e.tasks("word_meaning")
    if not found:
        return unknown(*_no_probe(e, ("word_meaning",)))
    change = e.mean_change("probe", "word_meaning")
    shows = f"{found['word_meaning']}: {change} in R², mean over the layers that tuning changed"
    best = e.best_score("word_meaning")
    if best is not None and not best["ci_low"] > best["chance"]:
        return unknown(
            f"No layer reads the meaning of words that it was not taught above chance: at best {best['score']:.3f} "
            f"(95 % interval {best['ci_low']:+.3f} to {best['ci_high']:+.3f}) in R², layer {best['layer']}. A corpus "
            "of more words would tell.",
            "",
            shows,
        )
    return judge_gain(change, e.mean_controls("probe", "word_meaning"), shows)


def _forgets_little(e: Evidence) -> Judged:
    n = (e.n_tested or {}).get("probe", 0)
    if not n:
        return unknown("No probes were compared.", e.command("probe"))
    fell = [r for r in e.forgetting if r["what"] == "probe"]
    named = ", ".join(dict.fromkeys(str(r["title"]) for r in fell))
    mean = e.mean_change("probes", "all")
    shows = f"{len(fell)} of {n} differences fell (q < .05){f': {named}' if named else ''}; mean of all tasks {mean}"
    if any(r["delta"] < -SMALL for r in fell):
        return Judged("not_supported", shows, f"A probe fell by more than {SMALL:g}, q below .05.")
    if mean.known and mean.low > -SMALL:
        return Judged("supported", shows, f"No probe fell by more than {SMALL:g}, nor did their mean.")
    return unknown(f"That their mean fell by {SMALL:g} is not ruled out.", "", shows)


def _not_measured(reason: str, command: str = "") -> Callable[[Evidence], Judged]:
    return lambda e: unknown(reason, command.format(config=e.config_file))


def _no_probe(e: Evidence, tasks: tuple[str, ...]) -> tuple[str, str]:
    named = " or ".join(t.replace("_", " ") for t in tasks)
    if e.probes:
        return f"The corpus that was probed has not what {named} needs: probe another one (--corpus).", e.command(
            "probe"
        )
    return "The layers were not probed.", e.command("probe")


def _no_layers(e: Evidence, where: str) -> tuple[str, str]:
    if not e.differences:
        return "The run has not been evaluated.", e.command("evaluate")
    return f"There are no scores of {where} at three layers or more.", ""


GAIN = f"interval above 0, and above every matched control; not supported below 0 or within ±{SMALL:g}."
FINDINGS: tuple[Finding, ...] = (
    Finding(
        "1_late_language", "A", "Late layers of the brain-tuned model gain in late-language regions.",
        "The last layer predicts late-language regions better than before tuning.", GAIN,
        _region_gain(LANGUAGE, "late-language regions"),
    ),
    Finding(
        "1_rising_curve", "A", "The late-language curve over layers, a bell before, comes to rise to the last layers.",
        "Its slope over depth rises, and it is best in the last third of the layers after tuning.",
        f"slope: {GAIN} Peak with its interval in the last third.", _rising,
    ),
    Finding(
        "1_primary_auditory", "A", "Primary auditory cortex is unchanged and peaks early or in the middle.",
        "Its scores stay where they were, and it is best before the last third of the layers, before and after.",
        f"the interval of the change within ±{SMALL:g} of the ceiling, both peaks in the first two thirds.",
        _primary_same,
    ),
    Finding(
        "2_acoustic_early", "A", "Acoustic properties are read best from early layers, before and after.",
        "Probes of MFCCs peak in the first third of the layers in both models.",
        "both peaks, with their intervals, in the first third.",
        _probe_places(("mfcc",), (0, EARLY), "the first third of the layers", (PRETRAINED, "tuned")),
    ),
    Finding(
        "2_phones_late", "A", "Phones and sentence types are read best from late layers after tuning.",
        "Probes of the phones of a sentence, and of its type, peak in the last third of the layers after tuning.",
        "every peak after tuning, with its interval, in the last third.",
        _probe_places(("phones_in_sentence", "sentence_type"), (LATE, 1), "the last third of the layers", ("tuned",)),
    ),
    Finding(
        "2_word_identity", "A", "Word identity is read as well as before.",
        "Probes of word identity neither rise nor fall.", f"the interval of the change within ±{SMALL:g}.", _word_same,
    ),
    Finding(
        "3_low_level", "A", "Alignment relies less on low-level features after tuning.",
        "Alignment with late-language regions falls less when low-level features are removed from the layer.",
        f"for every feature space removed: {GAIN}", _reliance,
    ),
    Finding(
        "4_cortex", "B", "Encoding improves over the cortex as a whole.",
        "The last layer predicts the mean over all targets better than before tuning.", GAIN,
        _region_gain(CORTEX, "the cortex"),
    ),
    Finding(
        "4_auditory_falls", "B", "Auditory cortex falls unless it is tuned on.",
        "Of a model tuned on other regions, the last layer predicts early auditory cortex worse than before.",
        "interval below 0.", _auditory_falls,
    ),
    Finding(
        "4_selection", "B", "What is tuned on selects what improves.",
        "The gain is larger in the regions or the hemisphere that was tuned on than elsewhere.", GAIN, _selection,
    ),
    Finding(
        "4_stable", "B", "Low-rank tuning is more stable than full tuning.",
        "Over seeds, gains of low-rank tuning vary less than those of full tuning.",
        "not set: one run says nothing of it.",
        _not_measured(
            "It takes several seeds of both recipes: look at the spread over seeds in the group.",
            "braindash tune --config {config} --grid recipe=lora,full --seeds 5",
        ),
    ),
    Finding(
        "4_transfer", "B", "Gains carry to subjects who were not tuned on.",
        "A model tuned on one subject predicts others better than before tuning.", f"in every such subject: {GAIN}",
        _transfer,
    ),
    Finding(
        "5_word_meaning", "B", "Word meaning is read better although no text was used.",
        "Probes of word embeddings rise.", GAIN, _meaning_rises,
    ),
    Finding(
        "6_less_data", "A-multi", "A fifth of the encoding data is enough to reach the pretrained model's best.",
        "Encoding models of the tuned model fitted on a fifth of the stories equal the pretrained model's on all.",
        "not set.", _not_measured("Encoding models are fitted on all tuning and validation stories; braindash has no "
                                  "evaluation on a part of them."),
    ),
    Finding(
        "c_block_permuted", "A, B", "The gain is not that of tuning on block-permuted responses.",
        "Brain-tuned minus block-permuted lies above 0 in late-language regions.", "interval above 0.",
        _control("block_permuted"),
    ),
    Finding(
        "c_random_responses", "A, B", "The gain is not that of tuning on responses to something else, or on noise.",
        "Brain-tuned minus controls tuned on other stories' responses or on noise lies above 0.",
        "interval above 0 for each of them.", _control("story_permuted", "random_responses"),
    ),
    Finding(
        "c_stimulus_only", "A, B", "The gain is not that of hearing more of the stories.",
        "Brain-tuned minus a model pretrained further on their sound lies above 0.", "interval above 0.",
        _control("stimulus_only"),
    ),
    Finding(
        "c_random_model", "A, B", "Tuning builds on what pretraining gave.",
        "Brain-tuned minus a model tuned from random weights lies above 0.", "interval above 0.",
        _control("random_model"),
    ),
    Finding(
        "c_forgetting", "A, B", "Tuning forgets little.",
        "Probes of sound, phones and words do not fall.",
        f"no probe falls by more than {SMALL:g} (q < .05), and the interval of their mean lies above -{SMALL:g}.",
        _forgets_little,
    ),
)  # fmt: skip
