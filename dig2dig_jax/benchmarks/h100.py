"""How long does an H100 take at least? Operations and bytes of the rows of docs/performance.md, by tracing alone.

  python -m dig2dig_jax.benchmarks.h100 [--small] [--out=FILE]

Nothing is compiled or run and no weights are made, so a CPU prints this in minutes. First passes of the network, with
the seconds measured on an H100; then gains in closed form, from pyramids to the fused image, without and with kernels.
--small: a tiny layout and tiny images, to check that it runs.
"""

import argparse
import functools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
from flax import traverse_util

from dig2dig_jax.assets import EMBEDDED
from dig2dig_jax.benchmarks import roofline, speed, traffic
from dig2dig_jax.escape import table
from dig2dig_jax.guidance import spectrum
from dig2dig_jax.models import layers
from dig2dig_jax.models.config import UNetConfig
from dig2dig_jax.models.official import OFFICIAL
from dig2dig_jax.models.shapes import parameter_shapes
from dig2dig_jax.priors.prior import Prior, kept_dtype, load_prior
from dig2dig_jax.record import write_text
from dig2dig_jax.sampling.schedule import NoiseSchedule

# Of the rules that `vif.flags` and `mif.flags` have, what is done where there are no options to read.
RULES = {
  "gray pair, target and undershoot": (2, 1, spectrum.Rule(base="functional", target=0.25, undershoot=6.0)),
  "gray pair": (2, 1, spectrum.Rule()),
  "three in colour": (3, 3, spectrum.Rule()),
}


class Row(NamedTuple):
  """One pass of a network. taken: seconds that an H100 took for it, from docs/performance.md; None where unknown."""

  name: str
  prior: str
  height: int
  width: int
  batch: int
  taken: float | None = None


# s per pair x pairs / evaluations of the rows "On a GPU".
ROWS = (
  Row("552.8 M, 8 x 256x256", "256x256_diffusion_uncond", 256, 256, 8, 0.1439 * 8 / 29),
  Row("552.8 M, 1 x 1024x768", "256x256_diffusion_uncond", 768, 1024, 1, 1.824 / 29),
  Row("embedded, 16 x 640x480", "embedded", 480, 640, 16, 0.002482 * 16 / 4),
)
SMALL = UNetConfig(16, 32, 3, 1, (2,), (1, 2), norm_groups=2, num_head_channels=32)


def abstract_prior(config: UNetConfig, dtype: str, kernels: str = "off") -> Prior:
  """A prior whose weights are shapes: it can be traced, not run."""
  flat = {path: jax.ShapeDtypeStruct(shape, jnp.dtype(kept_dtype(path, dtype))) for path, shape in
          parameter_shapes(config).items()}  # fmt: skip
  noise = NoiseSchedule("linear", 1000)
  return Prior(traverse_util.unflatten_dict(flat, sep="/"), config, noise, dtype, Path("shapes"), kernels=kernels)


def of_network(row: Row, *, kernels: str = "off") -> list[traffic.Pass]:
  """One pass on all pairs' images, in bfloat16 and with cuDNN's attention, as a GPU is given it."""
  if row.prior == "embedded":
    prior = load_prior(EMBEDDED, dtype="bfloat16", kernels=kernels)
  else:
    prior = abstract_prior(SMALL if row.prior == "small" else OFFICIAL[row.prior].config, "bfloat16", kernels)
  # Whether there is such attention is asked of this process's device, which has none; so is its version.
  with mock.patch.multiple(layers, has_fused_attention=lambda: True, _fused_attention=_counted_attention):
    return speed.pass_traffic(prior, row.height, row.width, row.batch, shallow=False, platform="cuda")


def _counted_attention(query, key, value):
  """One pass that reads and writes what cuDNN's does, and has its products: a kernel that is traced and never run."""
  from jax.experimental import pallas as pl

  work = 4 * query.size * key.shape[1]
  moved = sum(array.size * array.dtype.itemsize for array in (query, key, value, query))
  cost = pl.CostEstimate(flops=work, bytes_accessed=moved, transcendentals=0)

  def kernel(query_ref, key_ref, value_ref, out_ref):
    out_ref[...] = query_ref[...]

  shape = jax.ShapeDtypeStruct(query.shape, query.dtype)
  return pl.pallas_call(kernel, out_shape=shape, cost_estimate=cost, name="dot_product_attention")(query, key, value)


def of_bands(name: str, size: tuple[int, int], kernels: str) -> list[traffic.Pass]:
  """From restored sources to the fused image of one pair, no map shown."""
  count, channels, rule = RULES[name]
  images = jax.ShapeDtypeStruct((count, *size, channels), jnp.float32)
  run = functools.partial(spectrum.compose, rule=rule, kernels=kernels)
  return traffic.passes(lambda images: run(images, images).image, images, platform="cuda")


def network_table(rows: Sequence[Row]) -> str:
  columns = ["one pass, bfloat16", "kernels", "TFLOP", "GB", "bound by arithmetic, ms", "by memory, ms", "both, ms",
             "taken, ms", "of the bound"]  # fmt: skip
  cells = []
  for row in rows:
    for kernels in ("off", "on"):
      found = of_network(row, kernels=kernels)
      (work, moved), bound = traffic.total(found), roofline.bound(found, roofline.H100)
      known = row.taken is not None and kernels == "off"
      cells.append([row.name, kernels, f"{work / 1e12:.3g}", f"{moved / 1e9:.3g}",
                    *(f"{1e3 * seconds:.3g}" for seconds in (*bound, bound.seconds)),
                    *([f"{1e3 * row.taken:.3g}", f"{bound.seconds / row.taken:.0%}"] if known else "––")])  # fmt: skip
  return table(columns, cells, text=2)


def band_table(size: tuple[int, int]) -> str:
  columns = ["gains in closed form, a pair, float32", "passes off", "on", "MB off", "on", "bound off, µs", "on, µs",
             "bound off / on"]  # fmt: skip
  cells = []
  for name in RULES:
    found = [of_bands(name, size, kernels) for kernels in ("off", "on")]
    bounds = [roofline.bound(passes, roofline.H100_FLOAT32).seconds for passes in found]
    runs = [sum(one.runs for one in passes) for passes in found]
    cells.append([f"{name}, {size[1]}x{size[0]}", *(f"{number:.0f}" for number in runs),
                  *(f"{traffic.total(passes)[1] / 1e6:.3g}" for passes in found),
                  *(f"{1e6 * seconds:.3g}" for seconds in bounds), f"{bounds[0] / bounds[1]:.2f}"])  # fmt: skip
  return table(columns, cells, text=1)


def main(arguments: Sequence[str] | None = None) -> int:
  parser = argparse.ArgumentParser(prog="python -m dig2dig_jax.benchmarks.h100", description=__doc__,
                                   formatter_class=argparse.RawTextHelpFormatter)  # fmt: skip
  parser.add_argument("--small", action="store_true", help="tiny sizes")
  parser.add_argument("--out", type=Path, metavar="FILE", help="the tables as Markdown")
  options = parser.parse_args(arguments)
  rows = (Row("small, 1 x 32x32", "small", 32, 32, 1),) if options.small else ROWS
  text = f"{network_table(rows)}\n{band_table((40, 36) if options.small else (480, 640))}"
  print(text, end="")
  if options.out:
    write_text(options.out, text)
  return 0


if __name__ == "__main__":
  sys.exit(main())
