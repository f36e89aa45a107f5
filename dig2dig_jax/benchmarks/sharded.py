"""One large image on several devices: its rows distributed by XLA, or overlapping tiles, one per device?

  python -m dig2dig_jax.benchmarks.sharded [--devices=4] [--size=128] [--channels=32]

The layout of the 552.8 M-parameter prior with `channels` instead of 256, one pass. On a CPU the devices are simulated
and share its cores, so the seconds are those of all devices together; bytes are those that the program exchanges.
"""

import argparse
import dataclasses
import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from dig2dig_jax.benchmarks import flops, speed
from dig2dig_jax.escape import table
from dig2dig_jax.models.guided_unet import UNet
from dig2dig_jax.models.official import OFFICIAL
from dig2dig_jax.priors.prior import random_prior
from dig2dig_jax.sampling.schedule import NoiseSchedule
from dig2dig_jax.sampling.tiling import axis_tiles

_EXCHANGE = re.compile(r"= (?P<type>.*?) (?P<kind>all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter)"
                       r"(-start)?\(")  # fmt: skip
_SHAPE = re.compile(r"(f32|bf16|f16|s32|u32|pred)\[([\d,]*)\]")
_BYTES = {"f32": 4, "s32": 4, "u32": 4, "bf16": 2, "f16": 2, "pred": 1}


def exchanged(hlo: str) -> dict[str, float]:
  """{kind of collective: bytes that it gives to one device}, of a compiled program's text, each counted once."""
  found: dict[str, float] = {}
  for match in _EXCHANGE.finditer(hlo):
    sizes = [_BYTES[dtype] * math.prod(map(int, filter(None, shape.split(",")))) for dtype, shape in
             _SHAPE.findall(match["type"])]  # fmt: skip
    # A started collective names its operand too; the result is the larger.
    found[match["kind"]] = found.get(match["kind"], 0.0) + (max(sizes, default=0) if match[3] else sum(sizes))
  return found


def rows(devices: int, size: int, channels: int) -> list[list[str]]:
  """Cells of the table: the whole image on one device, rows shared out, tiles."""
  base = OFFICIAL["256x256_diffusion_uncond"].config
  scaled = {"model_channels": channels, "num_head_channels": channels // 4, "norm_groups": channels // 8}
  config = dataclasses.replace(base, **scaled)
  params = random_prior(config, NoiseSchedule("linear", 1000), name="scaled").params
  mesh = Mesh(np.array(jax.devices()[:devices]), ("rows",))
  everywhere = NamedSharding(mesh, PartitionSpec())
  x = jax.random.normal(jax.random.key(0), (1, size, size, 3))
  t = jnp.full((1,), 500.0)
  network = lambda params, x, t: UNet(config).apply({"params": params}, x, t)  # noqa: E731
  # Tiles along the height, as `--tile` cuts them: a quarter of a tile overlaps.
  multiple = config.size_multiple
  tile = next(side for side in range(multiple, size + 1, multiple)
              if len(axis_tiles(size, side, side // 4, multiple)[0]) <= devices)  # fmt: skip
  starts, weights = axis_tiles(size, tile, tile // 4, multiple)
  weights = np.concatenate([weights, np.zeros((devices - len(starts), tile), np.float32)])
  starts = np.concatenate([starts, np.repeat(starts[-1:], devices - len(starts))])

  def tiled(params, x, t):
    cut = jnp.stack([x[0, start : start + tile] for start in starts])
    cut = jax.lax.with_sharding_constraint(cut, NamedSharding(mesh, PartitionSpec("rows")))
    found = jax.vmap(lambda part: network(params, part[None], t)[0])(cut) * weights[:, :, None, None]
    padded = [jnp.pad(part, ((start, size - tile - start), (0, 0), (0, 0))) for part, start in
              zip(found, starts, strict=True)]  # fmt: skip
    return sum(padded)[None]

  ways = {
    "one device": (network, NamedSharding(Mesh(np.array(jax.devices()[:1]), ("rows",)), PartitionSpec())),
    f"{devices} devices, rows shared out": (network, NamedSharding(mesh, PartitionSpec(None, "rows"))),
    f"{devices} devices, tiles of {tile} rows": (tiled, everywhere),
  }
  cells, truth, work = [], None, flops.flops(network, params, x, t)
  for name, (function, place) in ways.items():
    of_params = everywhere if len(place.device_set) > 1 else place
    arguments = jax.device_put(params, of_params), jax.device_put(x, place), jax.device_put(t, of_params)
    program = jax.jit(function).lower(*arguments).compile()
    out = np.asarray(program(*arguments))
    truth = out if truth is None else truth
    moved = exchanged(program.as_text())
    seconds = min(speed.timed(lambda program=program, arguments=arguments: program(*arguments), 2))
    kinds = ", ".join(f"{kind} {size / 1e6:.3g}" for kind, size in sorted(moved.items())) or "–"
    apart = np.abs(out - truth).max() / np.abs(truth).max()
    cells.append([name, f"{seconds:.3g}", f"{flops.flops(function, params, x, t) / work:.2f}",
                  f"{sum(moved.values()) / 1e6:.3g}", kinds, f"{apart:.1e}"])  # fmt: skip
  return cells


def main(arguments: Sequence[str] | None = None) -> int:
  parser = argparse.ArgumentParser(prog="python -m dig2dig_jax.benchmarks.sharded", description=__doc__,
                                   formatter_class=argparse.RawTextHelpFormatter)  # fmt: skip
  parser.add_argument("--devices", type=int, default=4, help="simulated on a CPU")
  parser.add_argument("--size", type=int, default=128, help="side of the square image, pixels")
  parser.add_argument("--channels", type=int, default=32, help="of the first level; 256 is the released layout")
  parser.add_argument("--out", type=Path, metavar="FILE", help="the table as Markdown")
  options = parser.parse_args(arguments)
  jax.config.update("jax_num_cpu_devices", options.devices)
  columns = ["one pass", "s", "operations, of one device's", "MB to a device", "of which, MB",
             "largest difference, relative"]  # fmt: skip
  text = table(columns, rows(options.devices, options.size, options.channels), text=1)
  print(text, end="")
  if options.out:
    options.out.write_text(text, encoding="utf-8")
  return 0


if __name__ == "__main__":
  sys.exit(main())
