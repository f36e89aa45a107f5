"""Do the verdicts on the paper, and the answers to the open questions, follow from the tables beside them?"""

import pathlib
import re

import pytest
from test_doc_tables import holds, table

from dig2dig_jax.benchmarks import paper

DOCS = pathlib.Path(__file__).resolve().parents[1] / "docs"
PAPER, OPEN = ((DOCS / name).read_text(encoding="utf-8") for name in ("paper.md", "open_questions.md"))
# Of the three reproduced tables: its first heading and, of the paper's table of that name, {row there: row here}.
REPRODUCED = {
  "3": ("distance", {"none": "none", "first distance": "l1", "SSIM": "ssim", "adopted distance": "l2"}),
  "4": ("S", {f"S = {interval}": str(interval) for interval in (1, 5, 10, 20)}),
  "5": ("steps", {**{f"DIG-{steps}": f"DIG-{steps}" for steps in (15, 20, 25, 50)}, "CCF": "CCF", "DDFM": "DDFM-100"}),
}


def reproduced(name):
  first, rows = REPRODUCED[name]
  return rows, {row[first]: row for row in table(PAPER, first, "paper, MSE", "RoadScene, MSE", "TNO, MSE")}


@pytest.mark.parametrize("name", REPRODUCED)
def test_the_papers_numbers_stand_beside_ours(name):
  rows, found = reproduced(name)
  assert [row for row in found if found[row]["paper, MSE"] not in ("–",)] == [*rows.values()]
  printed = paper.TABLES[name]
  for theirs, ours in rows.items():
    for column, value in zip(printed.columns, printed.rows[theirs], strict=True):
      if column[:-1] in ("PSNR", "SSIM", "MSE", "CC"):
        assert found[ours][f"paper, {column[:-1]}"] == value, (theirs, column)


def test_evaluations_are_those_of_the_formula():
  for name, of in (("4", lambda row: (25, int(row))), ("5", lambda row: (int(row[4:]), 10))):
    for ours in (ours for ours in REPRODUCED[name][1].values() if ours.isdigit() or ours.startswith("DIG-")):
      steps, interval = of(ours)
      assert reproduced(name)[1][ours]["evaluations"] == str(steps + 2 * -(-steps // interval))


def test_mean_ranks_of_the_panel_are_those_of_their_measures_and_of_the_verdict():
  block = [dict(row) for row in table(PAPER, "set", "method", "mean rank ↓")]
  for name in ("RoadScene", "TNO"):
    rows = [{key: cell.split(" (")[0] for key, cell in row.items()} for row in block if row["set"] == name]
    assert len(rows) == 15
    assert holds(rows, [float(row["mean rank ↓"]) for row in rows])
    ranks = {row["method"]: row["mean rank ↓"] for row in rows}
    assert f"{ranks['DIG-25: l2, S = 10']} against {ranks['none']}" in PAPER


def test_distances_between_the_papers_methods_are_those_of_the_tables():
  _, rows = reproduced("5")
  told = re.search(r"holds in MSE \(by ([\d.]+) and ([\d.]+), (\d+) in the paper\)", PAPER).groups()
  for name, number in zip(("RoadScene, MSE", "TNO, MSE", "paper, MSE"), told, strict=True):
    assert float(rows["CCF"][name]) - float(rows["DIG-25"][name]) == pytest.approx(float(number), abs=0.051)
  for name in ("RoadScene", "TNO"):
    average, ours = (float(rows[row][f"{name}, MSE"]) for row in ("average of the sources", "DIG-25"))
    assert 0 < ours - average < 0.0005 * average, "0.05 % of its MSE"


def test_the_pyramid_is_ahead_in_every_column_where_it_is_said_to_be():
  rows = {row.pop("method"): row for row in table(OPEN, "method", "none", "shift 8 px")}
  pyramid, ours = ([tuple(map(float, cell.split(" / "))) for cell in rows[name].values()]
                   for name in ("Laplacian pyramid", "Dig2DIG"))  # fmt: skip
  others = [[float(cell.split(" / ")[0]) for cell in row.values()] for name, row in rows.items()
            if name != "Laplacian pyramid"]  # fmt: skip
  assert len(pyramid) == 9 and all(first > max(column) for (first, _), *column in zip(pyramid, *others, strict=True))
  signs = [(mine > theirs) - (mine < theirs) for (_, mine), (_, theirs) in zip(ours, pyramid, strict=True)]
  assert [signs.count(sign) for sign in (1, 0, -1)] == [5, 1, 3]


def test_predictions_below_nothing_are_counted():
  rows = table(OPEN, "degradation", "predicted from uniform")
  below = [row for row in rows if float(row["predicted from uniform"]) < 0]
  assert (len(below), sum(row["weights"] != "uniform" for row in rows)) == (7, 15)
  assert "In seven of the 15 rows" in OPEN
  steps = [row for row in table(OPEN, "timestep", "bound") if row["timestep"] == "0"]
  ratios = [float(row["bound"]) / float(row["error after"]) for row in steps]
  assert f"it is {min(ratios):.1f} to {max(ratios):.1f} times the error" in OPEN
