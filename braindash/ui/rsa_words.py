"""What the RSA page says in sentences, all of it from the numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from braindash.ui import names, rsa_data
from braindash.ui.text import count, interval, number, shorten

if TYPE_CHECKING:
    from braindash.ui.rsa_data import Choice, Rsa

WHAT_IT_IS = (
    "Representational similarity analysis (RSA) asks whether two systems find the same things alike. For every pair of "
    "moments of the test stories, how different are the responses of a brain region, and how different are the states "
    "of a layer? The more the two tables of differences agree, the more the layer's geometry is that of the region. "
    "Nothing is fitted: RSA is a second opinion on the encoding models."
)
UNITS = {"segment": ("stretch", "stretches"), "tr": ("TR", "TRs"), "word": ("word", "words")}
METRICS = {
    "correlation": "1 − correlation",
    "cosine": "1 − cosine",
    "euclidean": "squared Euclidean distance",
    "crossnobis": "crossnobis, from repeats",
}
METHODS = {
    "spearman": "Spearman correlation",
    "correlation": "Pearson correlation",
    "cosine": "cosine",
    "kendall": "Kendall's τ-a",
    "tau": "Kendall's τ-a",
    "whitened": "whitened correlation",
}
MEASURES = {"similarity": "Similarity", "partial": "Beyond the sound"}


def measure_label(rsa: Rsa, measure: str) -> str:
    """Return what the values are, for axes and colour scales."""
    method = METHODS.get(str(rsa.fact("compare")), "similarity")
    return f"Similarity of RDMs ({method})" if measure == "similarity" else "Similarity beyond the sound (partial)"


def counted(rsa: Rsa, subject: str) -> str:
    """Return whose similarities these are, and over how many conditions: "mean over 2 subjects, n = 104 conditions"."""
    n = _whole(rsa.fact("n_conditions"))
    return whose(rsa, subject) + (f", n = {count(n, 'condition')}" if n else "")


def whose(rsa: Rsa, subject: str) -> str:
    if subject != names.SUBJECT_MEAN:
        return f"subject {subject}"
    return f"mean over {count(rsa.n_subjects, 'subject')}" if rsa.n_subjects else "mean over subjects"


def answer(rsa: Rsa, model: str, subject: str) -> list[str]:
    """Return the answer in one sentence, and the change of the main region at the last layer."""
    said = []
    rows = rsa.differences
    rows = rows[(rows["model"] == model) & (rows["subject"] == subject) & rows["delta"].notna()]
    tested = rows[rows["q"].notna()]
    who = names.the_model(model)
    if model == "pretrained":
        said.append("This analysis holds the pretrained model alone.")
    elif rows.empty:
        said.append(f"This analysis holds no difference between {who} and the pretrained one.")
    elif tested.empty:
        moved = int((rows["delta"] != 0).sum())
        said.append(
            f"{count(moved, 'cell')} of {len(rows):,} differ between {who} and the pretrained one; none is tested."
        )
    elif not (rows["delta"] != 0).any():
        said.append(f"{who[0].upper()}{who[1:]} holds the same states as the pretrained one in every layer compared.")
    else:
        sure = tested[tested["q"] < rsa_data.LEVEL]
        rose, fell = int((sure["delta"] > 0).sum()), int((sure["delta"] < 0).sum())
        reached = rows[rows["delta"] != 0]
        layers = sorted(set(reached["layer"]))
        same = len(layers) < len(set(rows["layer"]))
        cells = f"{count(len(reached), 'cell')} of layer and region"
        first = f"{who[0].upper()}{who[1:]} differs from the pretrained one in {layers_text(layers)}. " if same else ""
        of = f"their {cells}" if same else cells
        test = f"(q < .05, {whose(rsa, subject)})"
        if rose or fell:
            said.append(f"{first}In {rose:,} of {of}, its similarity to the brain rose, in {fell:,} it fell {test}.")
        else:
            said.append(f"{first}In none of {of} did its similarity to the brain change {test}.")
    focus = focus_region(rsa)
    said += [s] if (s := change_sentence(rsa, model, subject, focus, rsa.last_layer)) else []
    return said


def layers_text(layers: Sequence[int]) -> str:
    """Return "layer 0", "layers 0 and 2", or "layers 0 to 2"."""
    if len(layers) == 1:
        return f"layer {layers[0]}"
    if list(layers) == list(range(layers[0], layers[-1] + 1)) and len(layers) > 2:
        return f"layers {layers[0]} to {layers[-1]}"
    return f"layers {', '.join(map(str, layers[:-1]))} and {layers[-1]}"


def focus_region(rsa: Rsa) -> str:
    """Return the region that the answer is about: late language where the analysis has it."""
    wanted = ("late_language", "language", "ltc", "ag", "ifg")
    return next((r for r in wanted if r in rsa.regions), rsa.regions[0])


def change_sentence(rsa: Rsa, model: str, subject: str, roi: str, layer: int) -> str:
    """Return before → after and the change with its interval, for one cell; "" where the analysis lacks it."""
    at = rsa_data.Choice(model, "similarity", subject, layer, roi)
    before = rsa_data.row_of(rsa, "rows", "pretrained", at)
    after = rsa_data.row_of(rsa, "rows", model, at)
    if before is None or after is None or model == "pretrained":
        return ""
    diff = rsa_data.row_of(rsa, "differences", model, at)
    last = ", the last" if layer == rsa.last_layer else ""
    text = (
        f"{rsa.title(roi)}, layer {layer}{last}: similarity {number(before['similarity'], 3)} → "
        f"{number(after['similarity'], 3)}"
    )
    if diff is None or diff["delta"] != diff["delta"]:
        return f"{text}."
    if diff["delta"] == 0:
        return f"{text}: the same states in both models."
    excludes = diff["ci_low"] > 0 or diff["ci_high"] < 0
    known = diff["ci_low"] == diff["ci_low"]
    verdict = "" if not known else "; the interval excludes 0" if excludes else "; the interval includes 0"
    return (
        f"{text}, a change of {number(diff['delta'], 3, signed=True)} "
        f"({interval(diff['ci_low'], diff['ci_high'], 3)}{verdict})."
    )


def cell_sentences(rsa: Rsa, choice: Choice) -> list[str]:
    """Return what is known of the chosen cell, a line each."""
    said = []
    for model in dict.fromkeys(("pretrained", choice.model)):
        row = rsa_data.row_of(rsa, "rows", model, choice)
        if row is None:
            continue
        line = f"{names.model(model)}: {number(row['similarity'], 3)} ({interval(row['ci_low'], row['ci_high'], 3)})"
        if row["q"] == row["q"]:
            line += f", q = {number(row['q'], 3)}"
        if row["partial"] == row["partial"]:
            line += f"; beyond the sound {number(row['partial'], 3)}"
        said.append(f"{line}.")
    diff = rsa_data.row_of(rsa, "differences", choice.model, choice)
    if diff is not None and diff["delta"] == diff["delta"]:
        if diff["delta"] == 0:
            said.append("Change: none, the same states in both models.")
        else:
            q = f", q = {number(diff['q'], 3)}" if diff["q"] == diff["q"] else ""
            said.append(
                f"Change: {number(diff['delta'], 3, signed=True)} ({interval(diff['ci_low'], diff['ci_high'], 3)}{q})."
            )
    ceiling = rsa.ceilings.get(choice.roi)
    if ceiling:
        said.append(
            f"Noise ceiling {number(ceiling[0])} to {number(ceiling[1])}: what the true geometry of this region could "
            "reach, given how much subjects differ."
        )
    return said


def compared(rsa: Rsa) -> list[str]:
    """Return what was compared and how, in plain words."""
    unit = str(rsa.fact("unit", "condition"))
    one, many = UNITS.get(unit, (unit, f"{unit}s"))
    n = _whole(rsa.fact("n_conditions"))
    seconds = _figure(rsa.fact("seconds") if unit == "segment" else None)
    stories = rsa.texts("stories")
    what = f"{n:,} {one if n == 1 else many}" if n is not None else many
    length = f" of {seconds:g} s" if seconds else ""
    each = ", each the mean of its occurrences" if unit == "word" else ""
    where = (
        f" of {count(len(stories), 'test story', 'test stories')}: {shorten(', '.join(stories), 200)}"
        if stories
        else ""
    )
    said = [f"Conditions: {what}{length}{each}{where}."]
    delay = _figure(rsa.fact("delay"))
    after = f", {delay:g} s after the sound" if delay is not None else ""
    said.append(f"Patterns: the units of a layer, averaged over the condition; the targets of a region{after}.")
    metric = METRICS.get(str(rsa.fact("metric")), shorten(rsa.fact("metric", "unknown"), 40))
    method = METHODS.get(str(rsa.fact("compare")), shorten(rsa.fact("compare", "unknown"), 40))
    said.append(
        f"RDM (representational dissimilarity matrix): the distance between the patterns of every two conditions, "
        f"{metric}. Similarity: the {method} of two RDMs."
    )
    near, block = _whole(rsa.fact("exclude")), _whole(rsa.fact("block"))
    if near:
        said.append(
            f"Left out: pairs up to {count(near, 'condition')} apart in a story. Responses are slow, so neighbours are "
            "alike whatever was heard."
        )
    orders, samples = _whole(rsa.fact("n_permutations")), _whole(rsa.fact("n_boot"))
    if orders:
        together = f" in blocks of {count(block, 'condition')}" if block and block > 1 else ""
        said.append(f"q of a similarity: conditions permuted{together}, {orders:,} orders, one-sided.")
    if samples:
        said.append(
            f"Intervals and q of a change: {samples:,} samples of conditions drawn anew; 95 %. q is corrected over "
            "layers and regions (Benjamini–Hochberg)."
        )
    left_out = _whole(rsa.fact("left_out"))
    if left_out:
        said.append(f"{left_out:,} occurrences have no response in the recording and take no part.")
    return said


def _figure(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and value == value else None


def _whole(value: object) -> int | None:
    found = _figure(value)
    return None if found is None else int(found)


def moved_sentence(moved: Sequence[float], layers: Sequence[int], model: str) -> str:
    """Say how far each layer is from itself before tuning, from CKA of the two."""
    known = [(v, k) for v, k in zip(moved, layers, strict=True) if v == v]
    if not known:
        return ""
    still = [k for v, k in known if v >= 0.99999]
    lowest, where = min(known)
    if len(still) == len(known):
        return f"By CKA, no layer of {names.the_model(model)} moved."
    little = lowest > 0.995
    how = "hardly moved: the one that moved furthest" if little else "moved: furthest"
    rest = f"; {layers_text(still)} did not move" if still else ""
    return (
        f"By CKA, layers of {names.the_model(model)} {how} is layer {where}, {number(lowest, 4 if little else 3)} "
        f"alike to itself before tuning (1 is unmoved){rest}."
    )


def stress_sentence(stress: float | None) -> str:
    """Say how far the plane may be trusted."""
    if stress is None or stress != stress:
        return "How much the plane distorts is not recorded."
    how = (
        "the plane is faithful"
        if stress < 0.1
        else "read it for the rough picture"
        if stress < 0.2
        else "a plane cannot hold these distances well; trust the maps above more"
    )
    return f"Stress {stress:.2f}: {how} (0 keeps every distance; above 0.2 misleads)."
