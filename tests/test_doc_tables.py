"""Do the tables of the documents agree with each other, and with the files from which they come?

Mean ranks follow from the means beside them, shares from their columns, summaries from the pages that they summarise.
"""

import json
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from dig2dig_jax.benchmarks.flops import flops
from dig2dig_jax.models.swift import SwiftConfig, SwiftNet
from dig2dig_jax.sampling.schedule import NoiseSchedule

ROOT = pathlib.Path(__file__).resolve().parents[1]
README, GAINS, BENCHMARK, DEGRADED, RESULTS, PERFORMANCE, CONSTANTS, PEERS, METHODS = (
  (ROOT / name).read_text(encoding="utf-8")
  for name in ("README.md", *(f"docs/{page}.md" for page in (
    "gains", "benchmark", "degraded", "results", "performance", "constants", "peers", "methods")))
)  # fmt: skip
EMBEDDED, SWIFT = ((ROOT / "checkpoints" / name / "README.md").read_text(encoding="utf-8")
                   for name in ("embedded", "swift"))  # fmt: skip
SETS = {"vif/roadscene": "RoadScene", "vif/tno": "TNO", "mif/mri_ct": "MRI-CT", "mif/mri_pet": "MRI-PET",
        "mif/mri_spect": "MRI-SPECT", "mff/mffw": "MFFW", "mef/mefb": "MEFB"}  # fmt: skip


def tables(text):
  """Each table as its rows, [{heading: cell}], with bold marks taken off."""
  found = []
  for block in re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE):
    lines = [[cell.strip().strip("*") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in block.splitlines()]
    found.append([dict(zip(lines[0], line, strict=True)) for line in lines[2:]])
  return found


def table(text, *headings):
  """The first that has these headings."""
  return next(rows for rows in tables(text) if rows and {*headings} <= {*rows[0]})


def bounds(rows, measures):
  """The least and the largest mean rank of each row: where printed digits tie, the measured means need not."""
  ends = [[0.0, 0.0] for _ in rows]
  for measure in measures:
    sign = 1 if measure.endswith("↓") else -1
    values = [sign * float(row[measure]) for row in rows]
    for end, value in zip(ends, values, strict=True):
      end[0] += (1 + sum(other < value for other in values)) / len(measures)
      end[1] += sum(other <= value for other in values) / len(measures)
  return ends


def holds(rows, told):
  """Whether the mean ranks that are told are those of the rows, to the printed digits."""
  measures = [name for name in rows[0] if name[-1] in "↑↓" and "rank" not in name]
  assert len(measures) == 7
  return all(low - 0.006 <= rank <= high + 0.006
             for (low, high), rank in zip(bounds(rows, measures), told, strict=True))  # fmt: skip


def by_set():
  """{set: its rows} of the table of clean sources."""
  rows = table(GAINS, "set, pairs", "method", "mean rank ↓")
  found: dict[str, list] = {}
  for row in rows:
    found.setdefault(row["set, pairs"], []).append(row)
  return found


def test_mean_ranks_of_clean_sources_are_those_of_their_means():
  assert len(by_set()) == 7
  for rows in by_set().values():
    told = [float(row["mean rank ↓"]) for row in rows]
    assert holds(rows, told)
    assert not holds(rows, [*told[:-1], told[-1] + 1])  # a wrong one would be seen


def test_the_readme_has_the_mean_ranks_of_the_page():
  names = {"gains between two noise levels": "before", "Dig2DIG, closed form": "Dig2DIG"}
  rows = table(README, "RoadScene", "MEFB")
  ranks = {(name.split(",")[0], row["method"]): row["mean rank ↓"] for name, of in by_set().items() for row in of}
  assert len(ranks) == 7 * len(rows) == 42
  for row in rows:
    method = row.pop("")
    for name, told in row.items():
      assert ranks[name, names.get(method, method)] == told, (method, name)


def test_sets_have_as_many_pairs_as_the_frozen_lists():
  lists = json.loads((ROOT / "docs" / "entries" / "pairs.json").read_text())
  assert [*by_set()] == [f"{SETS[name]}, {len(lists[name]['pairs'])}" for name in SETS]


def test_mean_ranks_without_parts_copies_and_wavelet_are_those_of_the_tables():
  section = BENCHMARK[BENCHMARK.index("## Measurements: all rows") :]
  measured, told = tables(section)[:3], tables(section)[3]
  for heading, rows in zip(("RoadScene", "TNO", "MRI and CT"), measured, strict=True):
    kept = {row["method"].replace("ten steps", "tuned"): row for row in rows}
    kept = {name: row for name, row in kept.items() if not name.startswith("copy") and name != "wavelet"}
    assert [row[""] for row in told] == [*kept]
    assert holds([*kept.values()], [float(row[heading]) for row in told])


def test_noise_in_the_readme_is_that_of_the_page():
  rows = table(GAINS, "case", "best classical row")
  (row,) = (row for row in rows if row["set, pairs"].startswith("RoadScene") and row["case"] == "noise25 both")
  ours, classical, plain = (row[name].split(", ")[at] for name, at in (
    ("Dig2DIG: rank, PSNR, SSIM", 1), ("its rank, PSNR, SSIM", 1), ("not restored", 0)))  # fmt: skip
  told = [float(number) for number in re.findall(r"([\d.]+) dB", README)]
  assert len(told) == 3
  for found, number in zip((ours, classical, plain), told, strict=True):
    assert abs(float(found) - number) < 0.0501, found


def test_restored_sources_of_the_results_are_those_of_the_page():
  rows = table(DEGRADED, "degraded", "not restored")
  brief = {row["restoration before Dig2DIG"]: row for row in table(RESULTS, "restoration before Dig2DIG")}
  columns = {"none": "not restored", "wavelet or non-local means, whichever is better": "classical",
             "the diffusion prior, without training": "training-free"}  # fmt: skip
  for row in (row for row in rows if row["degraded"] == "noise, sigma 25"):
    for name, column in columns.items():
      assert brief[name][row["set"]] == row[column].replace("*", ""), (name, row["set"])


def test_constants_are_counted_as_the_table_has_them():
  rows = [row for rows in tables(CONSTANTS) for row in rows if "left out" in row]
  other = [row for row in rows if row["shipped"] != row["chosen by the others"]]
  behind, ahead = (sum(sign * float(row["chosen: mean rank"]) > sign * float(row["shipped: mean rank"])
                       for row in other) for sign in (1, -1))  # fmt: skip
  told = re.search(r"In (\d+) of (\d+) cases .*?; in (\d+) of the other (\d+) .*?in (\d+) ahead", CONSTANTS, re.DOTALL)
  same, total, *rest = map(int, told.groups())
  assert (same, total) == (len(rows) - len(other), len(rows)) and rest[1] == len(other)
  assert rest[0] == behind and rest[2] == ahead


def test_speeds_follow_from_seconds():
  rows = table(PERFORMANCE, "s per pair", "memory, GB")
  embedded, largest = rows[-1], rows[0]
  assert f"{1 / float(embedded['s per pair']):.0f} pairs of 640" in README
  faster = float(rows[2]["s per pair"]) / float(largest["s per pair"])
  assert f"{faster:.1f}" == largest["times faster than the peer"] and f"{faster:.0f} times as fast" in README
  seconds = {row["prior"]: row for row in rows if "fast" in row["method"]}["embedded"]
  taken = {row["one pass, bfloat16"]: row for row in table(PERFORMANCE, "one pass, bfloat16", "taken, ms")
           if row["kernels"] == "off"}  # fmt: skip
  one = float(seconds["s per pair"]) * int(seconds["pairs at once"]) / int(seconds["evaluations"])
  assert f"{1000 * one:.2f}" == taken["embedded, 16 x 640x480"]["taken, ms"]
  for row in taken.values():
    share = float(row["both, ms"]) / float(row["taken, ms"])
    assert f"{share:.0%}" == row["of the bound"]


@pytest.mark.parametrize(("folder", "told"), [("embedded", "7.3 MB"), ("drfusion", "9 MB"), ("swift", "0.99 MB")])
def test_sizes_of_the_weights(folder, told):
  size = (ROOT / "checkpoints" / folder / "model.safetensors").stat().st_size / 1e6
  digits = len(told.split()[0].partition(".")[2])
  assert f"{size:.{digits}f} MB" == told and told in (ROOT / "checkpoints" / folder / "README.md").read_text()


def test_operations_of_the_embedded_prior_are_those_of_the_table():
  """They grow with the pixels."""
  (row,) = (row for row in table(PERFORMANCE, "one pass, bfloat16", "TFLOP")
            if row["one pass, bfloat16"].startswith("embedded") and row["kernels"] == "off")  # fmt: skip
  told = re.search(r"(\d+) GFLOP for an image of 512 × 384 \(.*?([\d.]+) TFLOP for 16 of 640 × 480", EMBEDDED)
  assert told[2] == row["TFLOP"]
  assert told[1] == f"{1000 * float(told[2]) / 16 * (512 * 384) / (640 * 480):.0f}"


def test_operations_of_the_swift_network_are_those_of_its_card():
  net = SwiftNet(SwiftConfig())
  small = [jnp.zeros(shape) for shape in ((1, 16, 16, 1), (1,), (1, 16, 16, 2))]
  parameters = jax.eval_shape(lambda: net.init(jax.random.key(0), *small))
  arguments = parameters, *(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((1, 480, 640, 1), (1,)))
  count = flops(lambda params, mean, deviation: net.apply(params, mean, deviation)[0], *arguments)
  told = re.search(r"([\d.]+) GFLOP for one grey source of 640 x 480, where the prior takes (\d+)", SWIFT)
  (row,) = (row for row in table(PERFORMANCE, "one pass, bfloat16", "TFLOP")
            if row["one pass, bfloat16"].startswith("embedded") and row["kernels"] == "off")  # fmt: skip
  assert told.groups() == (f"{count / 1e9:.1f}", f"{1000 * float(row['TFLOP']) / 16:.0f}")


def test_measures_won_and_lost_to_the_pyramid_are_those_of_the_page_of_peers():
  (row,) = (row for row in table(PEERS, "row", "tno, 25 pairs") if row["row"] == "Laplacian pyramid")
  counts = {name.split(",")[0]: cell.split(", ")[1] for name, cell in row.items() if name != "row"}
  text = " ".join(re.search(r"Dig2DIG is better/worse on (.*?)\.\n", GAINS, re.DOTALL)[1].split())
  told = {}
  for count, sets in re.findall(r"(\d/\d) (?:of the seven measures )?on ([\w-]+(?: and [A-Z][\w-]+)?)", text):
    told |= dict.fromkeys((name.lower().replace("-", "_") for name in sets.split(" and ")), count)
  assert told == counts and len(told) == 7


def test_mean_ranks_of_peers_are_those_of_their_tables():
  sets = {"Infrared and visible: TNO": "tno", "Infrared and visible: RoadScene": "roadscene",
          "Focal planes: MFFW": "mffw", "Exposures: MEFB": "mefb", "MRI and CT": "mri_ct", "MRI and PET": "mri_pet",
          "MRI and SPECT": "mri_spect"}  # fmt: skip
  overview = {row["row"]: row for row in table(PEERS, "row", "tno, 25 pairs")}
  for title, name in sets.items():
    rows = table(PEERS[PEERS.index(f"### {title}\n") :], "method", "mean rank ↓")
    column = next(heading for heading in overview["dig2dig"] if heading.startswith(f"{name},"))
    for row in rows:
      if not row["method"].startswith("copy"):
        assert overview[row["method"]][column].split(",")[0] == row["mean rank ↓"], (name, row["method"])


def test_noise_at_the_timesteps_that_the_page_names():
  """Standard deviation beside a clean image in [-1, 1], whose range is 2."""
  kept = NoiseSchedule("linear", 1000).tables([20, 600]).alphas_cumprod
  low, high = np.sqrt((1 - kept) / kept)
  assert "timestep 600 the standard deviation of the noise is three\ntimes the range" in GAINS and round(high / 2) == 3
  assert "timestep 20 the noise has a\nstandard deviation of 10 of 255" in GAINS and round(low * 127.5) == 10


def test_minutes_and_noise_levels_of_drfusion_are_those_of_its_files():
  folder = ROOT / "checkpoints" / "drfusion"
  card = (folder / "README.md").read_text()
  for log in ("log_first.jsonl", "log.jsonl"):
    speeds = [json.loads(line)["images_per_second"] for line in (folder / log).read_text().splitlines()]
    (told,) = re.findall(rf"(\d+) minutes \(`{re.escape(log)}`\)", card)
    assert told == f"{sum(50 * 16 / speed for speed in speeds) / 60:.0f}"
  minutes = sum(50 * 16 / json.loads(line)["images_per_second"] for log in ("log_first.jsonl", "log.jsonl")
                for line in (folder / log).read_text().splitlines()) / 60  # fmt: skip
  assert f"trained in {minutes:.0f} minutes" in METHODS
  levels = safetensors.numpy.load_file(folder / "model.safetensors")["alpha"]
  assert f"those of the included network are {levels[0]:.2f}, {levels[1]:.2f} and {levels[2]:.2f}" in DEGRADED


@pytest.mark.parametrize(("run", "log"), [(1, "log_first.jsonl"), (2, "log.jsonl")])
def test_losses_of_drfusion_are_those_of_its_logs(run, log):
  folder = ROOT / "checkpoints" / "drfusion"
  (row,) = table((folder / "README.md").read_text(), f"step of run {run}")
  losses = {line["step"]: line["loss"] for line in map(json.loads, (folder / log).read_text().splitlines())}
  row.pop(f"step of run {run}")
  assert {step: f"{losses[int(step)]:.3f}" for step in row} == row
