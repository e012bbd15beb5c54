"""The card of a shared run: what it is, what it saw, how it scored, how to load and to cite it.

Everything is taken from the run's own files, already cleaned of what belongs to one machine.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

MOST_ROWS = 40
MAIN = ("primary_auditory", "early_auditory", "late_language", "ag", "ltc", "ifg", "mfg", "cortex")


def write_card(
    run_id: str,
    about: Mapping[str, Any],
    config: Mapping[str, Any],
    provenance: Mapping[str, Any],
    records: Mapping[str, Any] | None,
    created: float | None,
) -> str:
    """Return README.md of an export.

    Parameters
    ----------
    run_id : str
    about : mapping
        ``braindash_model.json``.
    config : mapping
        The run's configuration.
    provenance, records : mapping
        As in the run's folder; records are None where it was not evaluated.
    created : float, optional
        Seconds since 1970.
    """
    base, study = str(about.get("base", "")), str(about.get("study") or config.get("study", ""))
    weights = provenance.get("weights") or {}
    parts = [
        _header(base, str(weights.get("licence", ""))),
        f"# {_md(base)}, tuned on {_md(study)}\n\nRun `{_md(run_id)}` of braindash.\n{_warnings(about, records)}",
        "## Model\n\n" + _facts(about, config, weights),
        "## Data\n\n" + _data(about, config, provenance, records),
        "## Scores\n\n" + _scores(records),
        _LOAD.format(base=_md(base), how=_HOW_HEAD if about.get("recipe") == "head" else _HOW),
        "## Citation\n\n`citation.bib` holds this run and the works that its methods rest on.\n\n"
        f"```bibtex\n{own_entry(run_id, about, config, created)}\n```\n",
    ]
    return "\n\n".join(p.strip("\n") for p in parts) + "\n"


_HOW = """```python
import braindash
model = braindash.open_model("RUN_ID")           # the id that the import printed
```

The files are PEFT's own (`adapter_config.json`, `adapter_model.safetensors`), or, where every weight was tuned,
the encoder's `model.safetensors`. With PEFT alone: `PeftModel.from_pretrained(encoder, "THIS_FOLDER")`, where
`encoder` is the base model's encoder."""
_HOW_HEAD = "The speech model is the base, unchanged; `head.safetensors` holds the read-out that was trained."
_LOAD = """## How to load it

```sh
braindash runs import THIS_FILE_OR_FOLDER
braindash model show RUN_ID
braindash evaluate RUN_ID                         # where the study and {base} are there too
```

{how}"""


def own_entry(run_id: str, about: Mapping[str, Any], config: Mapping[str, Any], created: float | None) -> str:
    """Return the BibTeX entry of the run itself; its author is for whoever shares it to fill in."""
    key = re.sub(r"[^A-Za-z0-9_-]", "", run_id) or "run"
    year = time.strftime("%Y", time.gmtime(created)) if created else ""
    title = f"{about.get('base', '')} brain-tuned on {config.get('study', '')}"
    fields = {"author": "FILL IN", "title": f"{{{_bib(title)}}}", "year": year, "note": f"braindash run {_bib(run_id)}"}
    inner = ",\n".join(f"  {k} = {{{v}}}" for k, v in fields.items() if v)
    return f"@misc{{{key},\n{inner}\n}}"


def _header(base: str, licence: str) -> str:
    """Return the YAML header that model hubs read; quoted, so that no name can break it."""
    quoted = base.replace("\\", "").replace('"', "")
    note = f"\n# licence of the base model: {_md(licence)}" if licence else ""
    return f'---\nbase_model: "{quoted}"\nlibrary_name: peft\ntags: [brain-tuning, braindash]{note}\n---'


def _warnings(about: Mapping[str, Any], records: Mapping[str, Any] | None) -> str:
    out = []
    if about.get("control", "none") != "none":
        out.append(f"**This is a control** ({_md(about['control'])}): what it learnt is not about the stories.")
    if records and records.get("simulated"):
        out.append("**The subjects are simulated**: responses were computed, not recorded.")
    return "".join(f"\n{line}\n" for line in out)


def _facts(about: Mapping[str, Any], config: Mapping[str, Any], weights: Mapping[str, Any]) -> str:
    lines = [
        ("base", f"{_md(about.get('base'))} ({_md(about.get('family'))}), weights "
         f"`{str(about.get('base_weights_hash') or weights.get('hash') or 'not recorded')[:16]}`"),
        ("where the base was from", _md(weights.get("source"))),
        ("licence of the base model", _md(weights.get("licence")) or "not recorded"),
        ("licence of these weights", _md(about.get("licence"))),
        ("published in", _md(about.get("reference"))),
        ("recipe", _recipe(about, config)),
    ]  # fmt: skip
    outcome = about.get("outcome") or {}
    if outcome.get("best_validation_r") is not None:
        was = outcome.get("pretrained_validation_r")
        before = f", before tuning {was:.4f}" if isinstance(was, float) else ""
        lines.append(
            ("epoch kept", f"{outcome.get('best_epoch')}, validation r {outcome['best_validation_r']:.4f}{before}")
        )
    return "\n".join(f"- {k}: {v}" for k, v in lines if v)


def _recipe(about: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    if config.get("recipe") == "imported":
        return "tuned elsewhere; braindash evaluated it"
    head = (config.get("head") or {}).get("kind", "")
    return f"{_md(about.get('recipe'))}, layer {about.get('layer')}, loss {_md(config.get('loss'))}, head {head}, " + (
        f"seed {config.get('seed')}"
    )


def _data(
    about: Mapping[str, Any],
    config: Mapping[str, Any],
    provenance: Mapping[str, Any],
    records: Mapping[str, Any] | None,
) -> str:
    data = provenance.get("data") or {}
    title = (records or {}).get("study_title") or data.get("title") or ""
    study = f"{_md(config.get('study'))}{f' ({_md(title)})' if title else ''}"
    stories = about.get("stories") or {}
    names = {"tune": "stories tuned on", "validation": "stories used to choose the epoch"}
    lines = [
        ("study", study),
        ("subjects", _list(about.get("subjects") or data.get("subjects") or ())),
        ("regions tuned on", _list(config.get("rois") or ()) or "every target"),
        *((names.get(part, "stories it saw"), _list(of)) for part, of in stories.items()),
        ("stories tested on", _list((provenance.get("split") or {}).get("test") or ())),
        *((f"its base {_md(s.get('model'))} saw", f"{_list(s.get('stories') or ())} of {_md(s.get('study'))}")
          for s in about.get("inherited") or ()),
    ]  # fmt: skip
    said = "\n".join(f"- {k}: {v}" for k, v in lines if v)
    warning = {
        "none": "Whoever added this model stated that it has seen no story; nothing checks that.",
        "unknown": "What this model has seen is not known.",
    }.get(str(about.get("seen")), "Do not test this model on the stories that it saw.")
    counts = about.get("targets") or {}
    rows = [
        "| "
        + " | ".join([_md(s), *(str(c.get(f"n_{k}")) for k in ("targets", "excluded", "outside", "below_ceiling"))])
        + " |"
        for s, c in counts.items()
    ]
    head = "| subject | targets tuned on | not finite or constant | outside the regions | below the ceiling |\n"
    table = "\n\n" + head + "|---|---|---|---|---|\n" + "\n".join(rows) if rows else ""
    return f"{said}{table}\n\n{warning}"


def _scores(records: Mapping[str, Any] | None) -> str:
    if not records:
        return "Not evaluated, or shared without results."
    answer = " ".join(_md(s) for s in (records.get("summary") or {}).get("answer", ()))
    rows = _rows(records)
    lines = [
        f"| {_md(r['model'])} | {_md(r['subject'])} | {_md(r['roi'])} | {r['layer']} | {r['n_targets']} | "
        f"{_difference(r.get('delta_r'), r.get('ci_low'), r.get('ci_high'))} | "
        f"{_difference(r.get('delta_r_norm'), r.get('r_norm_ci_low'), r.get('r_norm_ci_high'))} |"
        for r in rows
    ]
    table = (
        "Differences from the pretrained model on the test stories, with 95 % intervals over stories and targets:\n\n"
        "| model | subject | region | layer | targets | Δr | Δr / noise ceiling |\n|---|---|---|---|---|---|---|\n"
        + "\n".join(lines)
        if lines
        else ""
    )
    caveats = "\n".join(f"- {_md(c)}" for c in records.get("caveats") or ())
    return "\n\n".join(p for p in (answer, table, caveats) if p)


def _rows(records: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the differences of the last layer, in the main regions where there are any, over all subjects."""
    rows = list(records.get("differences") or ())
    if not rows:
        return []
    last = max(r["layer"] for r in rows)
    subjects = {r["subject"] for r in rows}
    shown = {"all"} & subjects or subjects
    regions = {r["roi"] for r in rows}
    main = regions & set(MAIN) if len(regions) > MOST_ROWS // 4 else regions
    kept = [r for r in rows if r["layer"] == last and r["subject"] in shown and r["roi"] in (main or regions)]
    return kept[:MOST_ROWS]


def _difference(value: Any, low: Any, high: Any) -> str:
    if value is None or value != value:
        return "–"
    known = low is not None and high is not None and low == low and high == high
    return f"{value:+.4f} " + (f"[{low:+.4f}, {high:+.4f}]" if known else "(no interval)")


def _list(names: Sequence[str]) -> str:
    return ", ".join(_md(n) for n in names)


def _md(value: Any) -> str:
    """Return a value as one line that Markdown shows as it is."""
    text = "" if value is None else " ".join(str(value).split())
    return re.sub(r"([\\`*\[\]<>|#])", r"\\\1", text)


def _bib(text: str) -> str:
    return re.sub(r"[{}\\]", "", text).replace("_", r"\_").replace("&", r"\&")
