"""Is the default program as fast as another? Kernels off and on, and another checkout, compared in one run.

  python -m dig2dig_jax.benchmarks.ratio [--against=CHECKOUT] [--rounds=9] [--size=256x192] [--job=gains]
                                             [--out=FILE.json]

Each way runs in its own process, which compiles once and then waits; every round runs all of them, every other round in
reverse order, so that other load affects all of them equally. The table has, for each way, the median over rounds of
its CPU seconds relative to the first way in the same round, and the middle half of these ratios. A checkout is a folder
that contains `dig2dig_jax` (`git worktree add --detach FOLDER COMMIT`).
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dig2dig_jax.assets import ROOT
from dig2dig_jax.errors import UserError
from dig2dig_jax.escape import table
from dig2dig_jax.record import write_text

# The program of each process. It imports the package of its own folder, so it only uses what older versions have too.
_PROGRAM = """
import dataclasses, json, sys, time
import jax, jax.numpy as jnp, numpy as np
from dig2dig_jax.assets import EMBEDDED
from dig2dig_jax.methods.codec import luminance_codec
from dig2dig_jax.methods.fuse import fuse
from dig2dig_jax.methods.options import Dig2DigOptions
from dig2dig_jax.methods.registry import make_method
from dig2dig_jax.priors.prior import load_prior

width, height, kernels, job = int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:5]
prior = load_prior(EMBEDDED, **({} if kernels == "off" else {"kernels": kernels}))
if job == "network":
  options = Dig2DigOptions(steps=1, weights="uniform")
elif job == "gains":
  options = Dig2DigOptions(steps=0, weights="dig", window="spectrum", base="functional", undershoot=6.0, restore="off")
else:  # needs this version
  from dig2dig_jax.assets import ROOT
  from dig2dig_jax.front.preset import preset_of
  options = preset_of(ROOT / sys.argv[5]).options
  options = dataclasses.replace(options, steps=0, **({"restore": "noise"} if options.window == "spectrum" else {}))
method = make_method(prior, luminance_codec(1), options=options)
coarse = np.random.default_rng(0).uniform(-1, 1, (2, 8, 8, 3)).astype(np.float32)
images = jax.image.resize(jnp.asarray(coarse), (2, height, width, 3), "linear")
if job == "noisy":
  images = jnp.clip(images + 0.2 * jax.random.normal(jax.random.key(1), (2, height, width, 1)), -1, 1)
run = jax.jit(lambda params, images: fuse(method, params, jax.random.key(0), images)[0])
run = run.lower(prior.params, images).compile()
jax.block_until_ready(run(prior.params, images))
print("ready", flush=True)
times = 200 if job in ("gains", "clean") else 1  # some ms each: clocks are coarse
for _ in sys.stdin:
  start = time.process_time()
  for _ in range(times):
    jax.block_until_ready(run(prior.params, images))
  print((time.process_time() - start) / times, flush=True)
"""
# One step on uniform weights; gains in closed form of sources without noise; whole fusions by two settings.
JOBS = ("network", "gains", "settings")
_BEFORE = "presets/accumulated_vif.flags"  # vif.flags before it had gains in closed form


class Way:
  """A process that fuses the same pair on request."""

  def __init__(self, name: str, checkout: Path, kernels: str, size: tuple[int, int], *job: str):
    self.name = name
    command = [sys.executable, "-c", _PROGRAM, *map(str, size), kernels, *job]
    self._process = subprocess.Popen(command, cwd=checkout, env={**os.environ, "PYTHONPATH": str(checkout)}, text=True,
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
    self._hear()

  def seconds(self) -> float:
    assert self._process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # reported by `_hear`
      print(file=self._process.stdin, flush=True)
    return float(self._hear())

  def close(self) -> None:
    self._process.kill()
    self._process.communicate()

  def _hear(self) -> str:
    assert self._process.stdout is not None
    if not (said := self._process.stdout.readline()):
      raise UserError(f"{self.name}: expected a program that fuses, found exit status "
                      f"{self._process.wait()}; see its output above")  # fmt: skip
    return said


def measure(ways: Sequence[Way], rounds: int) -> np.ndarray:
  """CPU seconds [rounds, ways]."""
  found = np.zeros((rounds, len(ways)))
  for number in range(rounds):
    order = range(len(ways)) if number % 2 == 0 else reversed(range(len(ways)))
    for place in order:
      found[number, place] = ways[place].seconds()
  return found


def rows(job: str, names: Sequence[str], seconds: np.ndarray) -> list[list[str]]:
  """Cells: each way relative to the first, round by round."""
  cells = []
  for place, name in enumerate(names):
    low, middle, high = np.percentile(seconds[:, place] / seconds[:, 0], (25, 50, 75))
    cells.append([job, name, f"{1e3 * np.median(seconds[:, place]):.4g}", f"{middle:.3f}", f"{low:.3f} to {high:.3f}"])
  return cells


def run(job: str, size: tuple[int, int], rounds: int, against: Path | None) -> tuple[list[str], np.ndarray]:
  """(names of the ways, CPU seconds [rounds, ways]). The default program comes first, and again to show how well two
  runs agree. `settings`: the previous setting comes first, then the present one."""
  asked: list[tuple[str, Path, str, tuple[str, ...]]]
  if job == "settings":
    asked = [(f"{_BEFORE} --fast", ROOT, "off", ("before", _BEFORE)),
             ("vif.flags, noise of sigma 25 in both sources", ROOT, "off", ("noisy", "vif.flags")),
             ("vif.flags, sources without noise", ROOT, "off", ("clean", "vif.flags"))]  # fmt: skip
  else:
    asked = [("kernels off, the default", ROOT, "off", (job,)), ("the same once more", ROOT, "off", (job,)),
             ("kernels on", ROOT, "on", (job,))]  # fmt: skip
    if against is not None:
      asked.append((str(against.name), against, "off", (job,)))
  with contextlib.ExitStack() as stack:
    ways = []
    for name, checkout, kernels, own in asked:
      ways.append(Way(name, checkout, kernels, size, *own))
      stack.callback(ways[-1].close)
    return [way.name for way in ways], measure(ways, rounds)


def main(arguments: Sequence[str] | None = None) -> int:
  parser = argparse.ArgumentParser(prog="python -m dig2dig_jax.benchmarks.ratio", description=__doc__,
                                   formatter_class=argparse.RawTextHelpFormatter)  # fmt: skip
  parser.add_argument("--against", type=Path, metavar="CHECKOUT", help="another version to compare")
  parser.add_argument("--rounds", type=int, default=9)
  parser.add_argument("--job", choices=JOBS, help="one of them; the first two if left out")
  parser.add_argument("--size", default="256x192", metavar="WIDTHxHEIGHT")
  parser.add_argument("--out", type=Path, metavar="FILE", help="the seconds as JSON")
  options = parser.parse_args(arguments)
  width, _, height = options.size.partition("x")
  if not (width.isdigit() and height.isdigit()) or options.rounds < 1:
    parser.error(f"expected --size=WIDTHxHEIGHT and --rounds above 0, found {options.size} and {options.rounds}")
  against = options.against and options.against.absolute()
  if against is not None and not (against / "dig2dig_jax").is_dir():
    parser.error(f"--against={options.against}: expected a checkout, found no dig2dig_jax in it; see --help")
  if against is not None and options.job == "settings":
    parser.error("--against: expected --job=network or gains, found settings, which compares flag files of this "
                 "checkout; leave one of them out")
  cells, kept = [], {}
  for job in [options.job] if options.job else JOBS[:2]:
    try:
      names, seconds = run(job, (int(width), int(height)), options.rounds, against)
    except UserError as error:
      print(f"error: {error}", file=sys.stderr)
      return 1
    cells += rows(job, names, seconds)
    kept[job] = dict(zip(names, seconds.T.tolist(), strict=True))
  print(table(["program", "way", "CPU ms", "of the first", "middle half"], cells, text=2), end="")
  if options.out:
    write_text(options.out, json.dumps(kept, indent=1) + "\n")
  return 0


if __name__ == "__main__":
  sys.exit(main())
