"""What do the rows of the paper's tables 4 and 5 cost beside each other? Evaluations, and CPU time where they run.

  python -m dig2dig_jax.benchmarks.costs [--side=96] [--repeats=2]

CPU time of this process, not seconds: on a machine with other load a ratio of seconds is one of the load. Of the
compiled programs on one pair of noise, whose content costs nothing; the least of the repeats.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from dig2dig_jax.assets import EMBEDDED
from dig2dig_jax.benchmarks import command, published
from dig2dig_jax.benchmarks.published import PUBLISHED, Rows
from dig2dig_jax.errors import UserError
from dig2dig_jax.escape import table
from dig2dig_jax.fusing.fuser import Fuser
from dig2dig_jax.methods.base import PriorLike
from dig2dig_jax.methods.codec import luminance_codec
from dig2dig_jax.methods.cost import evaluations
from dig2dig_jax.methods.options import CcfOptions, DdfmOptions
from dig2dig_jax.methods.registry import make_method
from dig2dig_jax.priors.prior import load_prior

UNIT = "DIG-25"  # whose CPU time is 1


def rows() -> Rows:
  """{name: options}: table 5's, and table 4's intervals of its DIG-25."""
  others = {f"DIG-25, S = {name.split()[-1]}": options for name, options in published.intervals(PUBLISHED).items()}
  return {**published.step_counts(PUBLISHED), **{name: one for name, one in others.items() if one != PUBLISHED},
          "DDFM-100": DdfmOptions(), "CCF-200": CcfOptions()}  # fmt: skip


def run(prior: PriorLike, params: Any, asked: Rows, *, side: int, repeats: int) -> str:
  """Markdown: evaluations of a pair, and they and the CPU time beside UNIT's, which `asked` has. side: pixels, a
  multiple of what the network asks for."""
  images = np.random.default_rng(0).uniform(-1, 1, (1, 2, side, side, 1)).repeat(3, axis=-1).astype(np.float32)
  counts, seconds = {}, {}
  for name, options in asked.items():
    method = make_method(prior, luminance_codec(1), options=options)
    fuser = Fuser(method, params, seed=0)
    fuser(images, np.array([0], np.uint32))  # compiles
    counts[name], taken = evaluations(method, params, 2), []
    for number in range(repeats):
      start = time.process_time()
      fuser(images, np.array([number], np.uint32))
      taken.append(time.process_time() - start)
    seconds[name] = min(taken)
  lines = [[name, str(counts[name]), f"{counts[name] / counts[UNIT]:.2f}", f"{seconds[name] / seconds[UNIT]:.2f}"]
           for name in asked]  # fmt: skip
  return table(["row", "evaluations", f"evaluations / {UNIT}", f"CPU time / {UNIT}"], lines)


def main(arguments: Sequence[str] | None = None) -> int:
  about = (__doc__ or "").partition("\n")[0]
  parser = argparse.ArgumentParser(prog="python -m dig2dig_jax.benchmarks.costs", description=about)
  parser.add_argument("--side", type=int, default=96, help="pixels of the pair's sides, a multiple of 32")
  parser.add_argument("--repeats", type=int, default=2, help="runs of each program, of which the fastest counts")
  asked = parser.parse_args(arguments)

  def produce() -> str:
    if asked.side < 32 or asked.side % 32 or asked.repeats < 1:
      raise UserError(f"--side={asked.side}, --repeats={asked.repeats}: expected a multiple of 32, and at least 1")
    prior = load_prior(EMBEDDED)
    return run(prior, prior.params, rows(), side=asked.side, repeats=asked.repeats)

  return command.status(produce)


if __name__ == "__main__":
  sys.exit(main())
