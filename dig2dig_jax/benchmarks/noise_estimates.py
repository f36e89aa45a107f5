"""How close is the estimated noise of a source to the true one, and how often are noise and stripes detected?

  python -m dig2dig_jax.benchmarks.noise_estimates --data=FOLDER[,FOLDER] [--sources=ir,vi] [--middle=256] [--limit=0]
                                                   [--seed=0]

Every source of every pair is reduced to luminance and to the square in its middle. White noise is added, and in the
last column of the second table also a random offset per column with a standard deviation of 8 of 255; the result is
rounded to 8 bits. The last column of the first table is what the scenes' own detail adds (`blind.DETAIL`).
`blind.measured` is what a fusion uses; no network is evaluated.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import jax
import numpy as np

from dig2dig_jax.benchmarks.command import status
from dig2dig_jax.benchmarks.damage import KINDS, Damage
from dig2dig_jax.benchmarks.degraded import gray_middle
from dig2dig_jax.benchmarks.pairs import spread
from dig2dig_jax.data.datasets import DataConfig
from dig2dig_jax.data.pairs import content_id, load_pair
from dig2dig_jax.escape import table
from dig2dig_jax.restoration import blind
from dig2dig_jax.restoration.noise_level import LEVEL

SIGMAS = (5, 10, 25, 50, 70)  # of 255
FAINT = 10  # up to here, what the scene itself adds to an estimate is told from its error
BESIDE = (0, 25, 50)  # noise beside which stripes are looked for


def case(sigma: float, columns: bool) -> Damage:
  """White noise, on top of the benchmark's column offsets or alone."""
  def make(levels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    levels = KINDS["columns"].make(levels, rng) if columns else levels
    return levels + rng.normal(size=levels.shape) * sigma

  return Damage(make, sigma=sigma)


def planes(folders: Iterable[Path], sources: tuple[str, ...], middle: int, limit: int) -> list[tuple[str, np.ndarray]]:
  """(name, image [H, W, 3] in [-1, 1]) of every source. limit: pairs of each folder; 0 for all."""
  found = []
  for folder in folders:
    pairs, left_out = DataConfig(folder, sources).find()
    for line in left_out:
      print(f"note: {line}", file=sys.stderr)
    for pair in spread(pairs, limit):
      loaded = gray_middle(load_pair(pair), middle)
      found += [(f"{pair.name} {name}", image) for name, image in zip(sources, loaded.sources, strict=True)]
  return found


def run(images: Sequence[tuple[str, np.ndarray]], seed: int = 0) -> str:
  """Both tables, in Markdown. images: of `planes`."""
  measured = jax.jit(blind.measured)

  def found(sigma: float, columns: bool) -> np.ndarray:  # [N, 2]: deviation and stripes, of 255
    damage, rows = case(sigma, columns), []
    for name, image in images:
      rng = np.random.default_rng([seed, content_id(name), sigma, columns])
      one = measured(damage(image, rng))
      rows.append([float(one.noise.deviation) / LEVEL, float(one.striped) / LEVEL])
    return np.array(rows)

  shares, striped = [], []
  for sigma in SIGMAS:
    deviations = found(sigma, columns=False)[:, 0]
    near = np.percentile(deviations / sigma, (0, 50, 100))
    shares.append([str(sigma), str(len(images)), *(f"{share:.3f}" for share in near), _detail(deviations, sigma)])
  for sigma in BESIDE:
    plain, offset = (found(sigma, columns) for columns in (False, True))
    counts = [np.sum(plain[:, 0] * LEVEL > blind.FROM), *(np.sum(one[:, 1] > 0) for one in (plain, offset))]
    striped.append([str(sigma), str(len(images)), *map(str, counts)])
  return "\n".join([
    table(["true sigma", "images", "estimate / true, least", "median", "largest", "detail: median, mean"], shares,
          text=0),
    table(["noise added", "images", "noise detected", "stripes detected", "with column offsets"], striped, text=0),
  ])


def _detail(deviations: np.ndarray, sigma: float) -> str:
  """Standard deviation, of 255, that the scenes themselves add to estimates [N], independent of the noise: of the
  median and of the mean excess in variance; a dash where noise is too strong to tell."""
  if sigma > FAINT:
    return "–"
  excess = deviations**2 - sigma**2
  return ", ".join(f"{np.sqrt(max(value, 0)):.2f}" for value in (np.median(excess), excess.mean()))


def main(arguments: Sequence[str] | None = None) -> int:
  parser = argparse.ArgumentParser(prog="python -m dig2dig_jax.benchmarks.noise_estimates", description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
  parser.add_argument("--data", required=True, metavar="FOLDER[,FOLDER]", help="each with one folder per source")
  parser.add_argument("--sources", default="ir,vi")
  parser.add_argument("--middle", type=int, default=256, help="side of the square, in pixels; 0 for the whole image")
  parser.add_argument("--limit", type=int, default=0, help="pairs of each folder; 0 for all")
  parser.add_argument("--seed", type=int, default=0)
  given = parser.parse_args(arguments)
  for name in ("middle", "limit"):
    if getattr(given, name) < 0:
      parser.error(f"--{name}={getattr(given, name)}: expected 0 or more")
  sources = tuple(given.sources.split(","))
  folders = [Path(name) for name in given.data.split(",")]
  return status(lambda: run(planes(folders, sources, given.middle, given.limit), given.seed))


if __name__ == "__main__":
  sys.exit(main())
