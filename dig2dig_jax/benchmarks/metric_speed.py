"""How fast are the measures? The same pairs scored by this project and by a yardstick of NumPy and SciPy, by turns.

Compilation is not counted, and told. FMI is timed apart, on one pair: the toolkits loop over its windows in Python,
which takes them ten times as long as all other measures together.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from dig2dig_jax import metrics
from dig2dig_jax.benchmarks import yardstick
from dig2dig_jax.escape import table
from dig2dig_jax.record import environment, make_folder, write_text

SIZE = (350, 500)
# One call gives the toolkits all of Petrovic's triple, as Nabf's does; to count it three times would flatter us.
TIMED = tuple(name for name in yardstick.measures() if name not in ("Qabf_petrovic", "Labf"))
OURS, TOOLKITS, CAREFUL = "this project", "toolkits", "SciPy, separable windows"


def run(
  out: Path, *, pairs: int = 100, size: tuple[int, int] = SIZE, batch: int = 4, names: Sequence[str] = ()
) -> str:
  """Writes metric_speed.json and .md into `out`; returns the Markdown table. names: TIMED, and FMI, if empty.

  Raises RuntimeError where the two programs disagree by more than 1e-6: a ratio of different work says nothing.
  """
  make_folder(out)
  names, with_fmi = tuple(names) or TIMED, not names
  data = [_pair(number, size) for number in range(pairs)]
  programs = {
    OURS: lambda group: _ours(group, names, batch),
    TOOLKITS: lambda group: _theirs(group, names, yardstick.toolkit),
    CAREFUL: lambda group: _theirs(group, names, yardstick.separable),
  }
  start = time.monotonic()
  programs[OURS](data[:batch])
  compile_seconds = time.monotonic() - start
  seconds, cpu, values = ({program: [] for program in programs} for _ in range(3))
  # By turns, so that what else the machine does falls on all of them.
  for first in tqdm(range(0, pairs, batch), unit="batch", disable=None):
    for program, score in programs.items():
      start, used = time.monotonic(), time.process_time()
      values[program].append(score(data[first : first + batch]))
      seconds[program].append(time.monotonic() - start)
      cpu[program].append(time.process_time() - used)
  values = {program: {name: np.concatenate([part[name] for part in parts]) for name in names}
            for program, parts in values.items()}  # fmt: skip
  seconds, cpu = ({program: sum(parts) for program, parts in times.items()} for times in (seconds, cpu))
  for program in (TOOLKITS, CAREFUL):
    for name in names:
      if not np.allclose(values[program][name], values[OURS][name], rtol=1e-6, atol=1e-9):
        raise RuntimeError(f"{name}: {program} and {OURS} disagree")
  record = {
    "pairs": pairs,
    "size": f"{size[1]}x{size[0]}",
    "metrics": list(names),
    "batch": batch,
    "compile_seconds": compile_seconds,
    "rows": [
      {"program": name, "seconds": seconds[name], "cpu_seconds": cpu[name], "pairs_per_second": pairs / seconds[name]}
      for name in programs
    ],
    "ratios": {name: seconds[name] / seconds[OURS] for name in (TOOLKITS, CAREFUL)},
    "cpu_ratios": {name: cpu[name] / cpu[OURS] for name in (TOOLKITS, CAREFUL)},
    "environment": environment(),
  }
  if with_fmi:
    fmi = _feature_information(data[:batch])
    record["fmi_seconds_per_pair"] = fmi
    record["ratio_with_fmi"] = (seconds[TOOLKITS] / pairs + fmi[TOOLKITS]) / (seconds[OURS] / pairs + fmi[OURS])
  text = _markdown(record)
  write_text(out / "metric_speed.json", json.dumps(record, indent=1) + "\n")
  write_text(out / "metric_speed.md", text)
  return text


def _markdown(record: dict) -> str:
  text = (
    f"{record['pairs']} pairs of {record['size']}, {len(record['metrics'])} measures, "
    f"{record['environment']['device']} with {record['environment']['cpu_cores']} cores, "
    f"compilation {record['compile_seconds']:.0f} s on top\n\n"
  )
  rows = []
  for row in record["rows"]:
    ratios = [record[kind].get(row["program"], 1) for kind in ("ratios", "cpu_ratios")]
    cells = [f"{row['seconds']:.1f}", f"{row['cpu_seconds']:.1f}", f"{row['pairs_per_second']:.3g}"]
    rows.append([row["program"], *cells, *(f"{ratio:.1f}" for ratio in ratios)])
  text += table(["program", "seconds", "CPU seconds", "pairs per second", "times slower", "times the CPU"], rows)
  if "fmi_seconds_per_pair" not in record:
    return text
  fmi = record["fmi_seconds_per_pair"]
  return text + (
    f"\nFMI, seconds per pair: {OURS} {fmi[OURS]:.2f}, {TOOLKITS} {fmi[TOOLKITS]:.1f}. With it the toolkits take "
    f"{record['ratio_with_fmi']:.1f} times as long.\n"
  )


def _feature_information(data) -> dict[str, float]:
  """Seconds per pair; the toolkits' loop on the first pair only."""
  stacked = np.stack([pair[:-1] for pair in data]), np.stack([pair[-1] for pair in data])
  metrics.score_batch(*stacked, ("FMI",))  # compiles
  start = time.monotonic()
  found = metrics.score_batch(*stacked, ("FMI",))["FMI"]
  ours = (time.monotonic() - start) / len(data)
  start = time.monotonic()
  expected = yardstick.feature_information(list(data[0][:-1]), data[0][-1])
  if abs(found[0] - expected) > 1e-6:
    raise RuntimeError(f"FMI: {TOOLKITS} and {OURS} disagree")
  return {OURS: ours, TOOLKITS: time.monotonic() - start}


def _ours(group, names, batch) -> dict[str, np.ndarray]:
  full = [*group, *[group[-1]] * (batch - len(group))]  # the last one repeats, so that one program serves all
  found = metrics.score_batch(np.stack([pair[:-1] for pair in full]), np.stack([pair[-1] for pair in full]), names)
  return {name: found[name][: len(group)] for name in names}


def _theirs(data, names, plane) -> dict[str, np.ndarray]:
  functions = yardstick.measures(plane)
  return {name: np.array([functions[name](list(pair[:-1]), pair[-1]) for pair in data]) for name in names}


def _pair(seed: int, size: tuple[int, int]) -> np.ndarray:
  """Two sources and a fused image [3, H, W], whole levels, with large and small structure."""
  random = np.random.default_rng(seed)
  coarse = random.uniform(20, 235, (12, 16, 3))
  image = cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC) + random.normal(0, 12, (*size, 3))
  return np.rint(np.clip(image, 0, 255)).transpose(2, 0, 1)
