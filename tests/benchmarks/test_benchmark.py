"""Does the benchmark score every method and every baseline on every pair?"""

import csv
import dataclasses
import json

import numpy as np
import pytest
from scenes import read, write_pair
from toys import conv_denoiser, conv_params

from dig2dig_jax import metrics
from dig2dig_jax.assets import ROOT
from dig2dig_jax.benchmarks import rows as ablations
from dig2dig_jax.benchmarks import tables
from dig2dig_jax.data import guess
from dig2dig_jax.errors import UserError
from dig2dig_jax.front.preset import preset
from dig2dig_jax.fusing.config import FuseConfig
from dig2dig_jax.methods.codec import luminance_codec
from dig2dig_jax.methods.options import DdfmOptions, Dig2DigOptions
from dig2dig_jax.sampling.schedule import NoiseSchedule

pytestmark = pytest.mark.usefixtures("quick_compile")

TUNED = Dig2DigOptions(steps=3, strength=0.8, window="cumulative", temperature=0.01)
BASELINES = list(metrics.BASELINES)
MEASURES = tuple(dict.fromkeys((*metrics.PROTOCOLS["panel"], *metrics.PROTOCOLS["common"])))  # one program with the run
ROWS = [*BASELINES, "fixed guidance", "Dig2DIG, one pass", "Dig2DIG, tuned"]


def few(tuned):
  """A table that compiles in seconds."""
  return {name: options for name, options in ablations.methods(tuned).items() if name in ROWS}


def none(tuned):
  return {"fixed": dataclasses.replace(tuned, weights="uniform")}


class Prior:
  params, noise, directory = conv_params(), NoiseSchedule("linear", 1000), "toy"
  denoiser, reuse = staticmethod(conv_denoiser), None


def run(data, out, *, seed=0, batch_size=2, plot=False, **options):
  """plot: some twenty axes, which take longer than all the rest; one run draws them for all."""
  config = FuseConfig(data=data, out=out, sources=("ir", "vi"), bucket=32, batch_size=batch_size, seed=seed)
  with pytest.MonkeyPatch.context() as patch:
    if not plot:
      patch.setattr(tables.plots, "write_scores", lambda path, scores: None)
    patch.setitem(ablations.TABLES, "few", few)
    patch.setitem(ablations.TABLES, "none", none)
    return tables.run(Prior, luminance_codec(1), config, TUNED, **{"tables": ("few", "none"), **options})


@pytest.fixture(scope="module")
def results(quick_compile, tmp_path_factory):
  """(folder of pairs, results, table); the second pair of three is larger than the others."""
  root = tmp_path_factory.mktemp("benchmark")
  for name, size in (("p", (24, 30)), ("q", (32, 32)), ("r", (24, 30)), ("s", (32, 32))):
    write_pair(root / "data", name, size, channels={"ir": 1, "vi": 3})
  return root / "data", root / "out", run(root / "data", root / "out", limit=3, plot=True).text


@pytest.mark.slow
def test_a_method_in_two_tables_runs_once(results):
  _, out, _ = results
  first, second = (json.loads((out / name / "scores.json").read_text()) for name in ("few", "none"))
  assert list(second) == [*BASELINES, "fixed"] and second["fixed"] == first["fixed guidance"]  # its seconds too


def test_an_unknown_table_is_refused(tmp_path):
  with pytest.raises(UserError, match="--table=6: expected all, or names among methods, clean, 3, 4, 5"):
    run(tmp_path, tmp_path / "out", tables=("3", "6"))


@pytest.mark.parametrize("task", ["thermal", "medical", "focus", "exposure"])
def test_before_is_what_the_accumulated_presets_say(task):
  rows = ablations.rows_for("clean", preset(task).options, sources=2)
  file = ROOT / "presets" / f"accumulated_{guess.TASKS[task]}.flags"
  given = dict(line.strip()[2:].split("=", 1) for line in file.read_text().splitlines() if line.startswith("--"))
  before = dataclasses.asdict(rows["before"])
  told = {name: before[name] for name in before if given.get(name, given.get(f"dig_{name}")) is not None}
  for name in ("steps", "strength"):  # of one pass, as --fast has it
    told.pop(name)
  assert len(told) >= 8
  assert told == {name: type(value)(given.get(name, given.get(f"dig_{name}"))) for name, value in told.items()}


def test_every_table_varies_what_it_says_around_the_tuned_options():
  tuned = Dig2DigOptions(window="cumulative", temperature=0.01, chunk=3)
  for name in ablations.TABLES:
    rows = ablations.rows_for(name, tuned, sources=2)
    for options in ablations.rows_for(name, tuned, sources=2, gray=False).values():
      assert not isinstance(options, DdfmOptions) or options.em_colour == "channels", name
    assert len(rows) >= 4 and len(set(rows.values())) == len(rows), f"{name}: a row twice"
    for options in rows.values():
      options.validate(1000)
      assert options.chunk == 3
  assert "one pass, gains alone" not in ablations.rows_for("methods", tuned, sources=2), "it would be one pass again"
  whole = ablations.rows_for("methods", dataclasses.replace(tuned, bands=3, salience=4.0, brightness=1.0), sources=2)
  assert len(set(whole.values())) == len(whole)
  gains, salience = whole["one pass, gains alone"], whole["one pass, salience alone"]
  assert (gains.salience, gains.weights, salience.salience, salience.weights) == (0, "dig", 4, "uniform")
  assert (gains.brightness, salience.brightness) == (0, 1)
  assert (whole["fixed guidance"].salience, whole["fixed guidance"].brightness) == (0, 0)
  rows = ablations.rows_for("4", tuned, sources=2)
  assert {options.interval for options in rows.values()} == {1, 5, 10, 20}
  assert {options.steps for options in ablations.rows_for("5", tuned, sources=2).values()} >= {0, 15, 20, 25, 50, 100}
  assert "DDFM" not in ablations.rows_for("methods", tuned, sources=3)
  assert list(ablations.rows_for("methods", tuned, sources=2, keep=("CCF", "DDFM"))) == ["DDFM", "CCF"]
  some = ablations.rows_for("3", tuned, sources=2, keep=("published, *", "tuned, l2"))
  assert list(some) == [*(f"published, {name}" for name in ("no gains", "l1", "ssim", "l2")), "tuned, l2"]
  for pattern in ("TDFM", "TDFM*"):
    with pytest.raises(UserError, match="--rows=TDFM.?: expected rows of table methods: DDFM; CCF; fixed guidance"):
      ablations.rows_for("methods", tuned, sources=2, keep=("DDFM", pattern))


def test_plots_are_written(results):
  _, out, _ = results
  assert read(out / "few" / "plot.png").std() > 1


def test_the_table_has_a_row_per_method_and_a_column_per_metric(results):
  _, out, table = results
  table = table.split("Table none")[0].removeprefix("Table few\n\n").removesuffix("\n")
  assert (out / "few" / "scores.md").read_text() == table
  for protocol, text in zip(("panel", "common"), table.split("Protocol ")[1:], strict=True):
    lines = text.split("\n\n")[1].splitlines()
    header, _, *lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert [line[0] for line in lines] == ROWS and {line[1] for line in lines} == {"3"}
    names = ["method", "images", *metrics.PROTOCOLS[protocol], *tables.COST]
    assert [name.removesuffix(" ↑").removesuffix(" ↓") for name in header] == [
      *names, *(["mean rank"] if protocol == "panel" else [])
    ]  # fmt: skip
    if protocol == "panel":  # ranks 1 to n in every measure average to the middle
      assert sum(float(line[-1]) for line in lines) == pytest.approx(len(ROWS) * (len(ROWS) + 1) / 2, abs=0.1)


def test_a_table_with_a_reference_holds_every_row_against_its_first(results, monkeypatch, tmp_path):
  data, _, _ = results
  rows = lambda tuned: {"4 steps": dataclasses.replace(tuned, steps=4), "tuned": tuned}  # noqa: E731
  monkeypatch.setitem(ablations.TABLES, "held", rows)
  monkeypatch.setattr(tables, "REFERENCED", ("held",))
  text = run(data, tmp_path, tables=("held",), protocols=("common",), limit=1).text
  scores = json.loads((tmp_path / "held" / "scores.json").read_text())
  first, second = (scores[name]["mean"][tables.TO_REFERENCE] for name in ("4 steps", "tuned"))
  assert list(scores) == ["4 steps", "tuned"] and first == "Infinity" and 10 < second < 60
  assert tables.TO_REFERENCE in text


def test_the_reference_may_run_after_rows_of_other_tables(results, monkeypatch, tmp_path):
  data, _, _ = results
  rows = lambda tuned: {"4 steps": dataclasses.replace(tuned, steps=4), "tuned": tuned}  # noqa: E731
  monkeypatch.setitem(ablations.TABLES, "held", rows)
  monkeypatch.setattr(tables, "REFERENCED", ("held",))
  run(data, tmp_path, tables=("few", "held"), protocols=("common",), limit=1)
  held, few = (json.loads((tmp_path / name / "scores.json").read_text()) for name in ("held", "few"))
  assert 10 < held["tuned"]["mean"][tables.TO_REFERENCE] < 60
  assert tables.TO_REFERENCE not in few["Dig2DIG, tuned"]["mean"] and "average" in few and "average" not in held


def test_a_limit_takes_pairs_from_all_of_the_folder(results):
  _, out, _ = results
  assert json.loads((out / "few" / "settings.json").read_text())["pairs"] == ["p", "r", "s"]


def test_every_score_is_that_of_its_image(results):
  data, out, _ = results
  lines = list(csv.DictReader((out / "few" / "scores.csv").read_text().splitlines()))
  assert [(line["method"], line["image"]) for line in lines] == [(row, name) for row in ROWS for name in "prs"]
  report = json.loads((out / "few" / "scores.json").read_text())
  assert list(report) == ROWS
  # Scored here again, from the files: infrared is gray, the visible image is 0.299 R + 0.587 G + 0.114 B.
  infrared, visible = read(data / "ir" / "r.png").astype(float), read(data / "vi" / "r.png") @ [0.299, 0.587, 0.114]
  gray = [infrared, np.rint(visible)]
  for name, image in (("average", np.floor((gray[0] + gray[1] + 1) / 2)), ("pixel maximum", np.maximum(*gray))):
    for metric, value in metrics.score(gray, image, MEASURES).items():
      found = report[name]["images"]["r"][metric]
      assert found is None if np.isnan(value) else found == pytest.approx(value, rel=1e-6)
  assert report["Dig2DIG, tuned"]["images"]["r"] != report["fixed guidance"]["images"]["r"]


def test_settings_and_cost_say_what_a_row_is(results):
  _, out, _ = results
  settings = json.loads((out / "few" / "settings.json").read_text())
  assert settings["rows"]["Dig2DIG, tuned"]["steps"] == 3 and settings["rows"]["Dig2DIG, one pass"]["steps"] == 0
  assert settings["prior"] == "toy" and settings["seed"] == 0
  report = json.loads((out / "few" / "scores.json").read_text())
  costs = {name: row["mean"]["evaluations"] for name, row in report.items()}
  assert costs == {
    **dict.fromkeys(BASELINES, 0), "fixed guidance": 3, "Dig2DIG, one pass": 2 * 2, "Dig2DIG, tuned": 3 + 2 * 2
  }  # fmt: skip
  assert all(row["mean"]["seconds"] > 0 for row in report.values())


def test_the_sheet_has_a_tile_per_source_and_row(results):
  _, out, _ = results
  sheet = read(out / "few" / "contact_sheet.png")
  widest = 220 * 30 // 24  # of the pairs that are no squares
  assert sheet.shape == (3 * (220 + 18 + 4), widest * (2 + len(ROWS)), 3)


class Toy:
  """A fuser that hands back the first source, and stops the run at its `last` call."""

  compile_seconds, calls, last = 0.0, 0, None

  def __init__(self, *args, **options):
    pass

  def __call__(self, images, ids):
    Toy.calls += 1
    if Toy.calls == Toy.last:
      raise KeyboardInterrupt
    return images[:, 0], None


@pytest.fixture
def toy(monkeypatch, tmp_path):
  """A folder of four pairs of one size, and a benchmark of one row that fuses nothing."""
  monkeypatch.setattr(tables, "Fuser", Toy)
  Toy.calls, Toy.last = 0, None
  for name in "abcd":
    write_pair(tmp_path / "data", name, (24, 30), channels={"ir": 1, "vi": 1})

  def again(out="out", **options):
    Toy.calls = 0
    return run(tmp_path / "data", tmp_path / out, tables=("none",), protocols=("common",), batch_size=1, **options)

  return tmp_path, again


def numbers(out):
  found = json.loads((out / "none" / "scores.json").read_text())
  return {row: {pair: {name: value for name, value in scores.items() if name != "seconds"}
                for pair, scores in report["images"].items()} for row, report in found.items()}  # fmt: skip


def test_an_unreadable_pair_is_reported_and_the_others_are_scored(toy):
  root, again = toy
  (root / "data" / "vi" / "b.png").write_bytes(b"")
  found = again()
  assert len(found.failed) == 1 and "vi/b.png: expected an image, found an empty file" in found.failed[0]
  scores = numbers(root / "out")
  assert {tuple(pairs) for pairs in scores.values()} == {("a", "c", "d")}, "means are over the same pairs in every row"
  for name in "acd":
    (root / "data" / "vi" / f"{name}.png").write_bytes(b"")
  with pytest.raises(UserError, match="expected an image, found an empty file"):
    again("other")


def test_a_run_that_was_ended_goes_on_where_it_was(toy):
  root, again = toy
  Toy.last = 3
  with pytest.raises(KeyboardInterrupt):
    again()
  log = root / "out" / "scores.jsonl"
  assert [json.loads(line)["id"] for line in log.read_text().splitlines()] == ["a", "b"]
  with log.open("a") as file:
    file.write('{"id": "c", "finge')  # killed while it wrote
  Toy.last = None
  found = again()
  assert Toy.calls == 2 and "2 of 4 pairs had already been scored" in found.notes[0]
  again("whole")
  assert Toy.calls == 4 and numbers(root / "out") == numbers(root / "whole")


def test_what_differs_is_scored_again_and_the_sheet_of_the_first_run_stays(toy):
  root, again = toy
  again()
  sheet = (root / "out" / "none" / "contact_sheet.png").read_bytes()
  write_pair(root / "data", "b", (24, 30), channels={"ir": 1, "vi": 3})
  again()
  assert Toy.calls == 1 and (root / "out" / "none" / "contact_sheet.png").read_bytes() == sheet
  again(seed=1)
  assert Toy.calls == 4 and (root / "out" / "none" / "contact_sheet.png").read_bytes() != sheet
  again()
  assert Toy.calls == 0, "the scores of the first settings are still there"


class Distance:
  """In place of LPIPS: the mean absolute distance to the first source."""

  def __init__(self, identity):
    self.identity = identity

  def __call__(self, sources, fused):
    return float(np.abs(sources[0] - fused).mean())


def test_lpips_is_a_column_of_every_row_and_of_no_rank(toy):
  root, again = toy
  text = again(lpips=Distance("one")).text
  header, _, *lines = text.split("Protocol common\n\n")[1].splitlines()
  assert "| LPIPS | evaluations |" in header and len(lines) == len(BASELINES) + 1
  report = json.loads((root / "out" / "none" / "scores.json").read_text())
  assert all("LPIPS" in row["mean"] for row in report.values())
  assert report["fixed"]["mean"]["LPIPS"] == 0, "the toy hands the first source back"
  first, second = (read(root / "data" / source / "a.png").astype(float) for source in ("ir", "vi"))
  wanted = np.abs(first - np.floor((first + second + 1) / 2)).mean()
  assert report["average"]["images"]["a"]["LPIPS"] == pytest.approx(wanted)
  again(lpips=Distance("one"))
  assert Toy.calls == 0
  again(lpips=Distance("other weights"))
  assert Toy.calls == 4


def test_the_middle_of_a_pair_is_what_is_fused_and_scored(toy):
  root, again = toy
  again(middle=20)
  report = json.loads((root / "out" / "none" / "scores.json").read_text())
  gray = [read(root / "data" / source / "b.png").astype(float)[2:22, 5:25] for source in ("ir", "vi")]
  wanted = metrics.score(gray, np.floor((gray[0] + gray[1] + 1) / 2), ("MSE", "SD"))
  found = report["average"]["images"]["b"]
  assert {name: pytest.approx(found[name]) for name in wanted} == wanted
  assert report["fixed"]["images"]["b"]["SD"] == pytest.approx(gray[0].std())
  again()
  assert Toy.calls == 4, "of the whole pairs"


def test_what_lies_ahead_is_said_before_it_begins(toy):
  _, again = toy
  told = []
  again(tell=told.append, limit=3)
  again(tell=told.append, limit=3)
  assert told[0].startswith("3 pairs to do in 1 row: at most 3 network evaluations a pair, 9 in all; the same command")
  assert told[1].startswith("0 pairs to do in 1 row")


def test_no_fault_of_a_picture_ends_the_run(toy, monkeypatch):
  root, again = toy

  def fails(*args, **options):
    raise MemoryError("18 GB")

  monkeypatch.setattr(tables.sheet, "_tile", fails)
  monkeypatch.setattr(tables.plots, "write_scores", fails)
  found = again(plot=True)
  assert found.failed == [] and list(numbers(root / "out")["fixed"]) == list("abcd")
  assert len(found.notes) == 5 and all("18 GB" in note and "continues without it" in note for note in found.notes)
