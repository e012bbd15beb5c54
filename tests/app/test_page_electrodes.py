"""The Cortex page of electrodes: a head where places are known, a table always."""

from __future__ import annotations

import json
from pathlib import Path

import fake_home
import numpy as np
import yaml
from conftest import OpenPage, words

from braindash.config import Home

NAMES = ["Cz", "Fz", "Pz", "T7", "T8", "Oz"]
AT = [(0, 0, 90), (0, 64, 64), (0, -64, 64), (-90, 0, 0), (90, 0, 0), (0, -90, 0)]


def make_electrodes(home: Home, folder: Path, positions: bool = True) -> str:
    """Turn a table study without a cortex into six electrodes with a run that tuned them."""
    from braindash.studies.library import add_study, remove_study

    fake_home.add_table_study(home, folder)
    file = folder / "study.yaml"
    spec = yaml.safe_load(file.read_text())
    del spec["tr"], spec["cortex"]
    spec |= {"kind": "electrodes", "signal": "electrodes", "rate": 100.0, "targets": "targets.csv"}
    file.write_text(yaml.safe_dump(spec, sort_keys=False))
    for responses in folder.glob("sub-*.csv"):
        _, _, numbers = responses.read_text().partition("\n")
        responses.write_text(",".join(NAMES) + "\n" + numbers)
    header = "name,hemi,x,y,z" if positions else "name,hemi"
    rows = [",".join(map(str, (n, "", *(at if positions else ())))) for n, at in zip(NAMES, AT, strict=True)]
    (folder / "targets.csv").write_text("\n".join([header, *rows]) + "\n")
    remove_study(home, "mini")
    add_study(home, "electrodes", folder)
    return fake_home.add_done(home, "electrodes", n_targets=6, roi=np.array([""] * 6))


def heads_of(page: object) -> list[dict]:
    charts = page.get("plotly_chart")  # type: ignore[attr-defined]
    return [json.loads(c.proto.spec) for c in charts if "View from above" in c.proto.alt]


def test_electrodes_lie_on_a_head_with_both_models_and_their_difference(
    home: Home, open_page: OpenPage, tmp_path: Path
) -> None:
    make_electrodes(home, tmp_path / "eeg")
    page = open_page("cortex", map_subject="sub-02", measure="r", layer="4", target="3")
    said = words(page)
    assert "n = 6 electrodes" in said
    assert "T7" in said  # the chosen electrode, by its name
    (head,) = heads_of(page)
    bars = [t["marker"] for t in head["data"] if "colorbar" in t.get("marker", {})]
    assert len(bars) == 3
    assert (bars[0]["cmin"], bars[0]["cmax"]) == (bars[1]["cmin"], bars[1]["cmax"])
    assert bars[2]["cmin"] == -bars[2]["cmax"]
    (table,) = [d for d in page.dataframe if "Difference" in d.value and "Name" in d.value]
    assert sorted(table.value["Name"]) == sorted(NAMES)
    assert list(table.value["Difference"]) == sorted(table.value["Difference"], reverse=True)
    np.testing.assert_allclose(
        table.value["Difference"], table.value["Brain-tuned"] - table.value["Pretrained"], atol=1e-6
    )


def test_without_positions_there_is_the_table_and_what_to_add(home: Home, open_page: OpenPage, tmp_path: Path) -> None:
    make_electrodes(home, tmp_path / "eeg", positions=False)
    page = open_page("cortex", area="100,100;500,100;500,600")  # an area of another study's map means nothing here
    assert "Columns x, y and z" in words(page)
    assert not heads_of(page)
    assert [len(d.value) for d in page.dataframe if "Name" in d.value] == [6]
