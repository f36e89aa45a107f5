"""Are ranks, intervals and paired tests what their names say? Against closed forms and a permutation of all signs."""

import itertools
import json
import math

import numpy as np
import pytest

from dig2dig_jax.evaluation import compare, compare_table

RNG = np.random.default_rng(0)


def test_summary_counts_what_is_undefined_and_keeps_infinity():
  found = compare.summarise(np.array([1.0, np.nan, 3.0, 8.0]))
  assert found.mean == 4 and found.undefined == 1
  assert found.deviation == pytest.approx(math.sqrt((9 + 1 + 16) / 2))
  assert 1 <= found.low < 4 < found.high <= 8
  assert compare.summarise(np.array([1.0, np.inf])).mean == np.inf
  nothing = compare.summarise(np.array([np.nan, np.nan]))
  assert math.isnan(nothing.mean) and nothing.undefined == 2
  single = compare.summarise(np.array([2.0]))
  assert single.mean == 2 and math.isnan(single.deviation) and math.isnan(single.low)


def test_interval_is_that_of_the_normal_law_for_many_images():
  values = RNG.normal(5, 2, 4000)
  found = compare.summarise(values)
  half = 1.96 * values.std() / math.sqrt(len(values))
  assert found.low == pytest.approx(values.mean() - half, abs=half / 6)
  assert found.high == pytest.approx(values.mean() + half, abs=half / 6)
  assert compare.summarise(values) == found  # no other draws at the next call


def test_ranks_share_ties_and_put_the_undefined_last():
  scores = {
    "a": {"EN": np.array([1.0, 3.0]), "MSE": np.array([1.0, 1.0]), "SCD": np.array([1.0, 1.0])},
    "b": {"EN": np.array([2.0, 2.0 + 1e-14]), "MSE": np.array([5.0, 5.0]), "SCD": np.array([np.nan, np.nan])},
    "c": {"EN": np.array([9.0, 9.0]), "MSE": np.array([3.0, 3.0]), "SCD": np.array([2.0, 2.0])},
  }
  found = compare.mean_ranks(scores, {"EN": True, "MSE": False, "SCD": True})
  assert found == {"a": (2.5 + 1 + 2) / 3, "b": (2.5 + 3 + 3) / 3, "c": (1 + 2 + 1) / 3}


def test_wilcoxon_is_the_exact_test_over_all_signs():
  delta = np.array([0.3, -0.1, 0.7, 0.9, 1.1, -0.2, 1.7])
  scores = {"base": {"EN": np.zeros(7)}, "new": {"EN": delta}}
  found = compare.differences(scores, "base")["EN"]["new"]
  ranks = np.argsort(np.argsort(np.abs(delta))) + 1
  observed = ranks[delta > 0].sum()
  middle = ranks.sum() / 2
  sums = [np.array(signs) @ ranks for signs in itertools.product((0, 1), repeat=7)]
  exact = np.mean([abs(value - middle) >= abs(observed - middle) for value in sums])
  assert found.p == pytest.approx(exact) and found.images == 7
  assert found.mean == pytest.approx(delta.mean()) and found.low <= found.mean <= found.high


def test_holm_orders_and_undefined_comparisons_do_not_count():
  base = np.zeros(12)
  methods = {"strong": np.arange(1.0, 13), "weak": np.array([1.0, -2] * 6), "equal": base, "copy": base + np.nan}
  scores = {"base": {"EN": base}, **{name: {"EN": values} for name, values in methods.items()}}
  found = compare.differences(scores, "base")["EN"]
  assert found["strong"].adjusted == pytest.approx(3 * found["strong"].p)
  assert found["equal"].p == 1 and found["equal"].adjusted == 1
  assert math.isnan(found["copy"].p) and math.isnan(found["copy"].adjusted) and found["copy"].images == 0
  assert found["strong"].adjusted <= found["weak"].adjusted <= 1


def comparison():
  scores = {
    "ours_1": {"EN": np.array([6.0, 7.0, 8.0]), "PSNR_sum": np.array([30.0, 31.0, 32.0])},
    "copy": {"EN": np.array([6.0, np.nan, 7.0]), "PSNR_sum": np.array([np.inf] * 3)},
  }
  better = {"EN": True, "PSNR_sum": True}
  return compare_table.Comparison(
    protocol="toy", images=["1", "2", "3"], higher_is_better=better,
    summaries={method: {name: compare.summarise(row[name]) for name in better} for method, row in scores.items()},
    ranks=compare.mean_ranks(scores, better), reference="ours_1",
    differences=compare.differences(scores, "ours_1"), notes=["1 of 4 pairs are left out"],
  )  # fmt: skip


def test_markdown_has_means_spread_differences_and_notes():
  text = compare_table.markdown(comparison())
  assert "| ours_1 | **7.000** | 31.00 | 1.50 |" in text
  assert "| copy | 6.500 (1 undefined) | **inf** | 1.50 |" in text
  assert "| ours_1 | ± 1.000 [" in text
  assert "2 images |" in text  # the pair of which one value is undefined does not enter
  assert text.endswith("\nNote: 1 of 4 pairs are left out\n")


def test_latex_escapes_names_and_marks_the_best_and_the_second():
  text = compare_table.latex(comparison())
  assert r"ours\_1 & \textbf{7.000} & \underline{31.00} & 1.50 \\" in text
  assert r"PSNR\_sum $\uparrow$" in text and r"\textbf{$\infty$}" in text
  assert text.count("&") == 3 * 3


def test_json_is_strict():
  def refuse(constant):
    raise AssertionError(f"{constant} is not JSON")

  found = json.loads(compare_table.json_text(comparison()), parse_constant=refuse)
  assert found["summary"]["copy"]["EN"]["undefined"] == 1
  assert found["summary"]["copy"]["PSNR_sum"]["mean"] == "Infinity"
  assert found["difference"]["EN"]["copy"]["images"] == 2
  assert found["notes"] == ["1 of 4 pairs are left out"]
