"""What does each kernel win? Off and on in one run, beside the seconds that their bytes predict.

  python -m dig2dig_jax.benchmarks.kernel_rows [--small] [--out=FILE.json]

Shapes are those of the 552.8 M-parameter layout at 256 x 256, eight images, in bfloat16; on a device where no kernel
fits, both columns are XLA's and the ratio says how well two runs agree. --small: tiny shapes, to see that it runs.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dig2dig_jax.benchmarks import roofline, speed, traffic
from dig2dig_jax.escape import table
from dig2dig_jax.models import layers
from dig2dig_jax.ops import group_norm
from dig2dig_jax.record import write_text

_GROUPS = 32
# (images, side, channels, residual, SiLU): what blocks of that layout ask for, those of attention with a residual.
SHAPES = ((8, 256, 256, False, True), (8, 64, 512, False, True), (8, 32, 512, True, False), (8, 16, 1024, True, False),
          (8, 8, 1024, False, True))  # fmt: skip
SMALL = ((2, 8, 512, True, False), (2, 6, 512, False, True))


class Row(NamedTuple):
  """Pairs are in the order off, on. megabytes, h100: what CUDA's form moves, and the seconds of an H100's bound."""

  shape: str
  runs: str  # what `on` is here: the kernel, or XLA where none fits
  seconds: tuple[float, float]
  megabytes: tuple[float, float]
  apart: float  # largest difference of the two, in units of the largest value
  h100: tuple[float, float]


def row(shape, *, repeats: int = 20) -> Row:
  images, side, channels, residual, silu = shape
  keys = jax.random.split(jax.random.key(0), 3)
  x, addend = (jax.random.normal(key, (images, side, side, channels)).astype(jnp.bfloat16) for key in keys[:2])
  modulation = jax.random.normal(keys[2], (images, 2 * channels))
  params = {"params": {"scale": jnp.ones(channels), "bias": jnp.zeros(channels)}}
  arguments = params, x, modulation, addend if residual else None
  outputs, programs, megabytes, h100 = [], [], [], []
  for kernels in ("off", "on"):
    norm = layers.GroupNorm32(_GROUPS, kernels)
    run = lambda params, x, m, addend, norm=norm: norm.apply(params, x, m, residual=addend, silu=silu)  # noqa: E731
    program = jax.jit(run).lower(*arguments).compile()
    outputs.append(jax.tree.leaves(program(*arguments))[-1].astype(jnp.float32))
    programs.append(lambda program=program: program(*arguments))
    found = traffic.passes(run, *arguments, platform="cuda")
    megabytes.append(traffic.total(found)[1] / 1e6)
    h100.append(roofline.bound(found, roofline.H100).seconds)
  timed = [[statistics.median(speed.timed(program, repeats)) for program in programs] for _ in range(3)]
  seconds = np.min(timed, axis=0).tolist()  # in turn, so that neither has the quieter machine
  backend = {"gpu": "cuda"}.get(jax.default_backend(), jax.default_backend())
  fits = backend in ("cuda", "tpu") and group_norm.block(backend, side * side, channels, _GROUPS, 2) is not None
  apart = float(jnp.max(jnp.abs(outputs[0] - outputs[1])) / jnp.max(jnp.abs(outputs[0])))
  words = f"{images}x{side}x{side}x{channels}{', residual' if residual else ''}{', SiLU' if silu else ''}"
  return Row(words, "kernel" if fits else "XLA", tuple(seconds), tuple(megabytes), apart, tuple(h100))


def markdown(rows: Sequence[Row]) -> str:
  cells = [[one.shape, one.runs, *(f"{1e3 * second:.4g}" for second in one.seconds),
            f"{one.seconds[0] / one.seconds[1]:.2f}", *(f"{size:.4g}" for size in one.megabytes),
            *(f"{1e3 * second:.4g}" for second in one.h100), f"{one.apart:.1e}"] for one in rows]  # fmt: skip
  columns = ["normalisation", "on is", "off, ms", "on, ms", "times faster", "off, MB", "on, MB", "H100's bound off, ms",
             "on, ms", "apart"]  # fmt: skip
  return table(columns, cells, text=2)


def main(arguments: Sequence[str] | None = None) -> int:
  parser = argparse.ArgumentParser(prog="python -m dig2dig_jax.benchmarks.kernel_rows", description=__doc__,
                                   formatter_class=argparse.RawTextHelpFormatter)  # fmt: skip
  parser.add_argument("--small", action="store_true", help="tiny shapes")
  parser.add_argument("--out", type=Path, metavar="FILE", help="the rows as JSON")
  options = parser.parse_args(arguments)
  rows = [row(shape, repeats=3 if options.small else 20) for shape in (SMALL if options.small else SHAPES)]
  print(f"{jax.devices()[0].device_kind}, JAX {jax.__version__}\n\n{markdown(rows)}", end="")
  if options.out:
    write_text(options.out, json.dumps([one._asdict() for one in rows], indent=1) + "\n")
  finite = all(np.isfinite(one.apart) and one.apart < 0.02 for one in rows)
  if not finite:
    print("error: expected off and on to agree to bfloat16's rounding; see the last column", file=sys.stderr)
  return 0 if finite else 1


if __name__ == "__main__":
  sys.exit(main())
