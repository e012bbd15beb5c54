"""What a run's RSA files hold, read once and selected for the figures of the RSA page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import streamlit as st

from braindash.errors import BraindashError
from braindash.ui import names, readers
from braindash.ui.text import count, interval, number

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import pandas as pd

    from braindash.runs.record import RunRow
    from braindash.runs.run import Run

RSA, RDMS = "rsa.json", "rsa.nc"
NEWEST = 1  # format of rsa.json
LEVEL = 0.05  # q below which a cell is marked
# from the ear to language; what is not named here follows by its parcels, and the whole comes last
_ORDER = (
    "primary_auditory", "early_auditory", "auditory", "ltc", "late_language", "ag", "mfg", "ifg",
    "language", "auditory_language",
)  # fmt: skip
_WHOLE = ("left", "right", "cortex")
_NUMBERS = (
    "similarity", "ci_low", "ci_high", "partial", "partial_ci_low", "partial_ci_high", "ceiling_low", "ceiling_high",
    "p", "q", "n_targets", "n_conditions", "delta",
)  # fmt: skip
_ROW_KEYS = ("model", "subject", "roi", "layer")


@dataclass(frozen=True)
class Rsa:
    """One run's comparison of geometries."""

    run_id: str
    document: dict[str, Any]
    rows: pd.DataFrame
    differences: pd.DataFrame
    models: tuple[str, ...]  # pretrained first, then brain-tuned, then the controls
    subjects: tuple[str, ...]  # the mean over subjects first, where there is one
    layers: tuple[int, ...]
    regions: tuple[str, ...]  # from the ear to language
    source: tuple[str, int, int]  # the file and its state, which say everything else

    @cached_property
    def ceilings(self) -> dict[str, tuple[float, float]]:
        """The noise ceiling (low, high) of every region that has one."""
        rows = self.rows.drop_duplicates("roi").set_index("roi")[["ceiling_low", "ceiling_high"]].dropna()
        return {str(roi): (float(low), float(high)) for roi, low, high in rows.itertuples()}

    @cached_property
    def places(self) -> dict[str, dict[tuple[Any, ...], int]]:
        """The place of the first row of every model, subject, region and layer, in either table."""
        found: dict[str, dict[tuple[Any, ...], int]] = {}
        for name, rows in (("rows", self.rows), ("differences", self.differences)):
            at = found[name] = {}
            for place, key in enumerate(zip(*(rows[k].tolist() for k in _ROW_KEYS), strict=True)):
                at.setdefault(key, place)
        return found

    def title(self, roi: str) -> str:
        titles = self.document.get("region_titles")
        return str((titles.get(roi) if isinstance(titles, dict) else None) or names.region(roi))

    def fact(self, name: str, default: Any = None) -> Any:
        """Return a setting of the analysis, from ``settings`` or the document itself."""
        settings = self.document.get("settings")
        found = settings.get(name) if isinstance(settings, dict) and name in settings else self.document.get(name)
        return default if found is None else found

    def texts(self, name: str) -> list[str]:
        """Return a list of texts of the document, empty where there is none."""
        found = self.document.get(name)
        return [str(t) for t in found] if isinstance(found, list) else []

    def table(self, name: str, needed: Sequence[str]) -> pd.DataFrame:
        """Return rows that the document may hold; empty where it does not, or where a column is missing."""
        import pandas as pd

        found = self.document.get(name)
        rows = [r for r in found if isinstance(r, dict)] if isinstance(found, list) else []
        out = pd.DataFrame(rows)
        return out if not out.empty and set(needed) <= set(out.columns) else pd.DataFrame(columns=list(needed))

    @property
    def last_layer(self) -> int:
        return self.layers[-1]

    @property
    def tuned(self) -> tuple[str, ...]:
        return tuple(m for m in self.models if m != "pretrained")

    @property
    def n_subjects(self) -> int:
        return sum(s != names.SUBJECT_MEAN for s in self.subjects)


def compared(rows: Iterable[RunRow]) -> set[str]:
    """Return the ids of the runs whose folder holds an RSA."""
    return readers.holding(rows, RSA)


def read(run: Run) -> Rsa | None:
    """Return a run's RSA, or None where it has none.

    Raises
    ------
    BraindashError
        Where it is there but cannot be read.
    """
    return _read(str(run.path), readers.mark(run.path / RSA))


@st.cache_resource(max_entries=16, show_spinner=False)
def _read(path: str, as_of: tuple[int, int], /) -> Rsa | None:
    from pathlib import Path

    from braindash.runs.rsa import read_rsa

    folder = Path(path)
    document = read_rsa(folder)
    return None if document is None else _parsed(folder, document, as_of)


def _parsed(folder: Path, document: dict[str, Any], as_of: tuple[int, int]) -> Rsa:
    import pandas as pd

    from braindash.figures.style import model_order

    version = document.get("braindash")
    if isinstance(version, int) and version > NEWEST:
        raise BraindashError(
            f"The RSA of run {folder.name} was written by a newer braindash (format {version}, known: {NEWEST}).",
            "Open it with that version.",
        )
    tables = {name: pd.DataFrame(document[name]) for name in ("rows", "differences")}
    if tables["differences"].empty:
        tables["differences"] = pd.DataFrame(columns=[*_ROW_KEYS, "delta"])
    for name, value in (("rows", "similarity"), ("differences", "delta")):
        table = tables[name]
        missing = [c for c in (*_ROW_KEYS, value) if c not in table.columns]
        if table.empty and name == "rows":
            missing = ["any row"]
        if missing:
            raise BraindashError(
                f"The RSA of run {folder.name} holds no {', '.join(missing)}.",
                f"Make it again: braindash rsa {folder.name}",
            )
        for column in _NUMBERS:
            table[column] = pd.to_numeric(table[column], errors="coerce") if column in table else float("nan")
        table["layer"] = pd.to_numeric(table["layer"], errors="coerce")
        table = table[table["layer"].notna()]
        tables[name] = table.astype({"layer": int, "model": str, "subject": str, "roi": str})
    rows = tables["rows"]
    subjects = sorted(dict.fromkeys(rows["subject"]), key=lambda s: s != names.SUBJECT_MEAN)
    return Rsa(
        folder.name,
        document,
        rows,
        tables["differences"],
        tuple(model_order(rows["model"])),
        tuple(subjects),
        tuple(sorted(set(rows["layer"]))),
        tuple(in_order(list(dict.fromkeys(rows["roi"])))),
        (str(folder), *as_of),
    )


SAME: dict[str | type[Any], Callable[[Any], Any]] = {
    Rsa: lambda rsa: rsa.source
}  # how caches of figures tell one from another


def in_order(regions: list[str]) -> list[str]:
    """Return regions from the ear to language, single parcels by the groups that they belong to."""
    from braindash.encoding.regions import region_groups

    groups = region_groups()

    def place(roi: str) -> tuple[int, int]:
        base = roi.removesuffix("_left").removesuffix("_right")
        if base in _WHOLE:
            return 2, _WHOLE.index(base)
        if base in _ORDER:
            return 0, _ORDER.index(base)
        parcel = base.removeprefix("L_").removeprefix("R_").removesuffix("_ROI")
        return 1, next((i for i, g in enumerate(_ORDER) if parcel in groups.get(g, ())), len(_ORDER))

    return sorted(regions, key=place)  # those alike in place stay as they came


# --- selections ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Choice:
    """What the page shows."""

    model: str  # compared with the pretrained one
    measure: str  # "similarity" or "partial"
    subject: str
    layer: int
    roi: str


def has_partial(rsa: Rsa) -> bool:
    return bool(rsa.rows["partial"].notna().any())


def level(rsa: Rsa, model: str, subject: str, column: str) -> pd.DataFrame:
    """Return one number of a model's rows: layers down, regions across."""
    return _pivot(rsa, rsa.rows, model, subject, column)


def change(rsa: Rsa, model: str, subject: str, measure: str) -> pd.DataFrame:
    """Return the model's similarity minus the pretrained one's: layers down, regions across."""
    if measure == "similarity":
        return _pivot(rsa, rsa.differences, model, subject, "delta")
    return level(rsa, model, subject, measure) - level(rsa, "pretrained", subject, measure)


def marked(rsa: Rsa, model: str, subject: str, measure: str, of_change: bool) -> np.ndarray:
    """Return the cells whose test passed: (n_layers, n_regions) bool; only the raw similarity is tested."""
    import numpy as np

    if measure != "similarity":
        return np.zeros((len(rsa.layers), len(rsa.regions)), dtype=bool)
    rows = rsa.differences if of_change else rsa.rows
    return _pivot(rsa, rows, model, subject, "q").to_numpy(float) < LEVEL


def _pivot(rsa: Rsa, rows: pd.DataFrame, model: str, subject: str, column: str) -> pd.DataFrame:
    keep = rows[(rows["model"] == model) & (rows["subject"] == subject)].drop_duplicates(["layer", "roi"])
    table = keep.set_index(["layer", "roi"])[column].unstack("roi")
    return table.reindex(index=list(rsa.layers), columns=list(rsa.regions)).astype(float)


def details(rsa: Rsa, model: str, subject: str, measure: str, of_change: bool) -> np.ndarray:
    """Return what a cell's hover text adds: interval, q, ceiling, targets. (n_layers, n_regions) of str."""
    import numpy as np

    rows = rsa.differences if of_change else rsa.rows
    tested = measure == "similarity"
    columns = ("ci_low", "ci_high", "q", "n_targets")
    low, high, q, n = (_pivot(rsa, rows, model, subject, c).to_numpy(float) for c in columns)
    out = np.full(low.shape, "", dtype=object)
    for i, j in np.ndindex(*low.shape):
        lines = []
        if tested:
            chance = float(q[i, j])
            lines.append(interval(float(low[i, j]), float(high[i, j]), 3))
            lines.append(f"q = {number(chance, 3)}" if chance == chance else "")
        lines.append(count(int(n[i, j]), "target") if n[i, j] == n[i, j] else "")
        out[i, j] = "<br>".join(line for line in lines if line)
    return out


def row_of(rsa: Rsa, table: Literal["rows", "differences"], model: str, choice: Choice) -> pd.Series | None:
    """Return the row of one model in the chosen cell."""
    place = rsa.places[table].get((model, choice.subject, choice.roi, choice.layer))
    return None if place is None else getattr(rsa, table).iloc[place]


def curves(rsa: Rsa, choice: Choice, models: Sequence[str]) -> pd.DataFrame:
    """Return the rows of `braindash.figures.similarity_curves` for the chosen region."""
    rows = rsa.rows
    keep = rows[(rows["subject"] == choice.subject) & (rows["roi"] == choice.roi) & rows["model"].isin(list(models))]
    out = keep[["model", "layer"]].assign(
        roi=rsa.title(choice.roi),
        value=keep[choice.measure],
        low=keep["ci_low"] if choice.measure == "similarity" else keep["partial_ci_low"],
        high=keep["ci_high"] if choice.measure == "similarity" else keep["partial_ci_high"],
        n=keep["n_targets"],
    )
    return out.dropna(subset=["value"])


def all_rows(rsa: Rsa) -> pd.DataFrame:
    """Return every row of the file as one table, its changes beside it."""
    changes = rsa.differences[[*_ROW_KEYS, "delta", "ci_low", "ci_high", "p", "q"]].rename(
        columns={c: f"change_{c}".replace("change_delta", "change") for c in ("delta", "ci_low", "ci_high", "p", "q")}
    )
    own = rsa.rows.drop(columns=["delta"]).dropna(axis="columns", how="all")
    return own.merge(changes, on=list(_ROW_KEYS), how="left")


def csv(rsa: Rsa) -> bytes:
    """Return `all_rows` as CSV."""
    return bytes(all_rows(rsa).to_csv(index=False).encode("utf-8"))


def readable(rsa: Rsa, choice: Choice) -> pd.DataFrame:
    """Return the numbers behind the maps, with readable columns."""
    import pandas as pd

    rows = all_rows(rsa)
    rows = rows[(rows["subject"] == choice.subject) & rows["model"].isin(["pretrained", choice.model])]
    ceiling = rsa.ceilings
    out = {
        "Region": rows["roi"].map(rsa.title),
        "Layer": rows["layer"],
        "Model": rows["model"].map(names.model),
        "Similarity": rows["similarity"],
        "CI low": rows["ci_low"] if "ci_low" in rows else float("nan"),
        "CI high": rows["ci_high"] if "ci_high" in rows else float("nan"),
        "q": rows["q"] if "q" in rows else float("nan"),
        "Beyond the sound": rows["partial"] if "partial" in rows else float("nan"),
        "Change": rows["change"],
        "Change, CI low": rows["change_ci_low"],
        "Change, CI high": rows["change_ci_high"],
        "Change, q": rows["change_q"],
        "Ceiling low": rows["roi"].map(lambda r: ceiling.get(r, (float("nan"),) * 2)[0]),
        "Ceiling high": rows["roi"].map(lambda r: ceiling.get(r, (float("nan"),) * 2)[1]),
        "Targets": rows["n_targets"] if "n_targets" in rows else float("nan"),
    }
    frame = pd.DataFrame(out)
    return frame.assign(**{c: frame[c].round(4) for c in frame.select_dtypes("float").columns})
