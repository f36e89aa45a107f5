"""Do tables say what the scores say, undefined and infinite values included?"""

import csv
import io
import json
import math

import pytest

from dig2dig_jax.evaluation import table

NAN, INF = math.nan, math.inf
ROWS = {
  "ours": [{"EN": 6.0, "MSE": 2000.0, "dB": 30.5}, {"EN": 7.0, "MSE": 1000.0, "dB": 31.5}],
  "copy|A": [{"EN": NAN, "MSE": 0.25, "dB": INF}, {"EN": 5.0, "MSE": 0.0, "dB": NAN}],
  "flat": [{"EN": NAN, "MSE": 0.0, "dB": -INF}, {"EN": NAN, "MSE": 0.0, "dB": 12.345}],
}


def test_markdown_means_arrows_and_undefined_counts():
  assert table.markdown(ROWS).splitlines() == [
    "| method | images | EN ↑ | MSE ↓ | dB |",
    "| --- | ---: | ---: | ---: | ---: |",
    "| ours | 2 | 6.500 | 1500 | 31.00 |",
    "| copy\\|A | 2 | 5.000 (1 undefined) | 0.1250 | inf (1 undefined) |",
    "| flat | 2 | – (2 undefined) | 0.0000 | -inf |",
  ]


def test_a_method_without_images_has_a_row_of_dashes():
  assert table.markdown({"ours": ROWS["ours"], "none": []}).splitlines()[-1] == "| none | 0 | – | – | – |"
  assert table.markdown({}) == "| method | images |\n| --- | ---: |\n"


def test_further_columns_stand_at_the_end():
  lines = table.markdown({"a": [{"EN": 1.0}], "b": [{"EN": 2.0}]}, further={"rank": {"b": "1", "a": "2"}}).splitlines()
  assert lines[0].endswith("| EN ↑ | rank |") and lines[2].endswith("| 1.000 | 2 |") and lines[3].endswith("| 1 |")


def test_small_means_keep_four_decimals():
  assert table.markdown({"ours": [{"CC": -1e-9, "Nabf": 0.00023, "SD": 123.456}]}).splitlines()[-1] == (
    "| ours | 1 | 0.0000 | 0.0002 | 123.5 |")


def test_csv_reads_back_exactly():
  rows = {"a, \"b\"": [{"EN": 1 / 3, "CC": NAN}, {"EN": 2.0, "CC": -INF}]}
  text = table.csv_text(rows, images=["01", "x,y"])
  assert "\r" not in text
  lines = list(csv.DictReader(io.StringIO(text)))
  assert [line["method"] for line in lines] == ["a, \"b\""] * 2
  assert [line["image"] for line in lines] == ["01", "x,y"]
  assert [float(line["EN"]) for line in lines] == [1 / 3, 2.0]
  assert [line["CC"] for line in lines] == ["", "-inf"]


def test_json_is_strict_and_complete():
  def refuse(constant):
    raise AssertionError(f"{constant} is not JSON")

  report = json.loads(table.json_text(ROWS, images=["01", "02"]), parse_constant=refuse)
  assert list(report) == list(ROWS)
  assert report["ours"]["images"]["02"] == {"EN": 7.0, "MSE": 1000.0, "dB": 31.5}
  assert report["copy|A"] == {
    "images": {"01": {"EN": None, "MSE": 0.25, "dB": "Infinity"}, "02": {"EN": 5.0, "MSE": 0.0, "dB": None}},
    "mean": {"EN": 5.0, "MSE": 0.125, "dB": "Infinity"},
    "undefined": {"EN": 1, "dB": 1},
  }
  assert report["flat"]["mean"] == {"EN": None, "MSE": 0.0, "dB": "-Infinity"}


def test_rows_that_do_not_fit_are_refused():
  with pytest.raises(ValueError, match="b: expected the metrics EN, found EN, CC"):
    table.markdown({"a": [{"EN": 1.0}], "b": [{"EN": 1.0, "CC": 1.0}]})
  for text in (table.csv_text, table.json_text):
    with pytest.raises(ValueError, match="ours: expected one score for each of 1 images, found 2"):
      text(ROWS, images=["01"])
  with pytest.raises(ValueError, match="all different"):
    table.json_text(ROWS, images=["01", "01"])
