r"""Do names stay names, whatever a file system allows in them?"""

import csv
import io
import json
import math

import numpy as np
import pytest

from dig2dig_jax import escape
from dig2dig_jax.evaluation import compare, compare_table, report_plots, table
from dig2dig_jax.figures import plots

FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1")
HOSTILE = "a\\b~c^d|<img src=x>&`e`*f*_g_[h](i)\nj$k$%#{l}"


@pytest.mark.parametrize("name", FORMULAS)
def test_no_cell_of_text_is_a_formula_and_numbers_stay_numbers(name):
  rows = list(csv.reader(io.StringIO(table.csv_text({name: [{"CC": -0.5}]}, images=[name]), newline="")))
  cell = "'" + name.replace("\r", " ")
  assert rows[1] == [cell, cell, "-0.5"]


def test_markdown_has_no_markup_from_names():
  text = table.markdown({HOSTILE: [{"EN": 1.0}], "Qabf_petrovic": [{"EN": 2.0}]})
  row = text.splitlines()[2]
  expected = r"a\\b~c^d\|&lt;img src=x&gt;&amp;\`e\`\*f\*\_g\_\[h\](i) j$k$%#{l}"
  assert row == f"| {expected} | 1 | 1.000 |"
  assert text.splitlines()[3].startswith("| Qabf_petrovic |"), "an underscore in a word means nothing"


def comparison(name):
  scores = {name: {"EN": np.array([1.0, 2.0])}, "other": {"EN": np.array([1.0, 3.0])}}
  summaries = {method: {"EN": compare.summarise(row["EN"])} for method, row in scores.items()}
  return compare_table.Comparison("toy", [name, "b"], {"EN": True}, summaries, {name: 1.0, "other": 2.0}, name,
                                  compare.differences(scores, name), [f"about {name}"])  # fmt: skip


def test_latex_has_no_command_from_names():
  row = compare_table.latex(comparison(HOSTILE + "\x07")).splitlines()[5]
  assert row.startswith(
    r"a\textbackslash{}b\textasciitilde{}c\textasciicircum{}d\textbar{}\textless{}img src=x\textgreater{}\&"
    r"\textasciigrave{}e\textasciigrave{}*f*\_g\_[h](i) j\$k\$\%\#\{l\}  & "
  )
  assert "<img" not in compare_table.markdown(comparison(HOSTILE))


def test_names_that_are_not_utf8_are_shown_and_read_back():
  name = b"caf\xe9".decode("utf-8", "surrogateescape")
  assert escape.shown(name) == name.encode("utf-8", "surrogateescape").decode("utf-8", "replace") == "caf\ufffd"
  for text in (table.markdown({name: [{"EN": 1.0}]}), table.csv_text({name: [{"EN": 1.0}]}, images=[name]),
               compare_table.markdown(comparison(name)), compare_table.latex(comparison(name))):  # fmt: skip
    assert "caf\ufffd" in text and text.encode("utf-8")
  for text in (table.json_text({name: [{"EN": 1.0}]}, images=[name]), compare_table.json_text(comparison(name))):
    assert name in json.dumps(json.loads(text.encode("utf-8")), ensure_ascii=False)


def test_plots_take_any_name_and_any_number_of_rows(tmp_path):
  names = [b"caf\xe9".decode("utf-8", "surrogateescape"), "$\\frac{$", "x" * 5000, *map(str, range(3000))]
  plots.write_scores(tmp_path / "plot.png", {name: [{"EN": 1.0}, {"EN": math.nan}] for name in names})
  assert (tmp_path / "plot.png").stat().st_size < 2e6
  scores = {name: {"EN": np.array([1.0, 2.0])} for name in names}
  (panel,) = report_plots.distributions(scores, {"EN": "EN ↑"}, images=["<a>", "b"])
  assert "3000" not in panel and "caf\ufffd" in panel and "<a>" not in panel and "&lt;a&gt;" in panel
