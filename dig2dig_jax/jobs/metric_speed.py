"""How fast are the measures? The same pairs scored by this project and by a yardstick of NumPy and SciPy, in one run.

Compilation is not counted, and told. FMI is left out on both sides: the toolkits loop over its windows pixel by pixel.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from dig2dig_jax import metrics
from dig2dig_jax.jobs import yardstick
from dig2dig_jax.jobs.record import environment, make_folder, write_text

SIZE = (350, 500)
# One call gives the toolkits all of Petrovic's triple, as Nabf's does; to count it three times would flatter us.
TIMED = tuple(name for name in yardstick.measures() if name not in ("Qabf_petrovic", "Labf"))
OURS, TOOLKITS, CAREFUL = "this project", "toolkits", "SciPy, separable windows"


def run(
  out: Path, *, pairs: int = 100, size: tuple[int, int] = SIZE, batch: int = 4, names: Sequence[str] = ()
) -> str:
  """Writes metric_speed.json and .md into `out`; returns the Markdown table. names: TIMED if empty.

  Raises RuntimeError where the two programs disagree by more than 1e-6: a ratio of different work says nothing.
  """
  make_folder(out)
  names = tuple(names) or TIMED
  data = [_pair(number, size) for number in range(pairs)]
  start = time.monotonic()
  _ours(data[:batch], names, batch)
  compile_seconds = time.monotonic() - start
  seconds, values = {}, {}
  programs = {
    OURS: lambda: _ours(data, names, batch),
    TOOLKITS: lambda: _theirs(data, names, yardstick.toolkit),
    CAREFUL: lambda: _theirs(data, names, yardstick.separable),
  }
  for program, score in programs.items():
    start = time.monotonic()
    values[program] = score()
    seconds[program] = time.monotonic() - start
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
    "rows": [{"program": name, "seconds": value, "pairs_per_second": pairs / value} for name, value in seconds.items()],
    "ratios": {name: seconds[name] / seconds[OURS] for name in (TOOLKITS, CAREFUL)},
    "environment": environment(),
  }
  text = _markdown(record)
  write_text(out / "metric_speed.json", json.dumps(record, indent=1) + "\n")
  write_text(out / "metric_speed.md", text)
  return text


def _markdown(record: dict) -> str:
  text = (
    f"{record['pairs']} pairs of {record['size']}, {len(record['metrics'])} measures, "
    f"{record['environment']['device']} with {record['environment']['cpu_cores']} cores, "
    f"compilation {record['compile_seconds']:.0f} s on top\n\n"
    "| program | seconds | pairs per second | this project is faster by |\n| --- | ---: | ---: | ---: |\n"
  )
  for row in record["rows"]:
    ratio = record["ratios"].get(row["program"])
    cell = "" if ratio is None else f"{ratio:.1f}"
    text += f"| {row['program']} | {row['seconds']:.1f} | {row['pairs_per_second']:.3g} | {cell} |\n"
  return text


def _ours(data, names, batch) -> dict[str, np.ndarray]:
  parts = []
  for first in range(0, len(data), batch):
    group = data[first : first + batch]
    group = group + group[-1:] * (batch - len(group))  # the last one repeats, so that one program serves all
    sources, fused = np.stack([pair[:-1] for pair in group]), np.stack([pair[-1] for pair in group])
    parts.append(metrics.score_batch(sources, fused, names))
  return {name: np.concatenate([part[name] for part in parts])[: len(data)] for name in names}


def _theirs(data, names, plane) -> dict[str, np.ndarray]:
  functions = yardstick.measures(plane)
  return {name: np.array([functions[name](list(pair[:-1]), pair[-1]) for pair in data]) for name in names}


def _pair(seed: int, size: tuple[int, int]) -> np.ndarray:
  """Two sources and a fused image [3, H, W], whole levels, with large and small structure."""
  random = np.random.default_rng(seed)
  coarse = random.uniform(20, 235, (12, 16, 3))
  image = cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC) + random.normal(0, 12, (*size, 3))
  return np.rint(np.clip(image, 0, 255)).transpose(2, 0, 1)
