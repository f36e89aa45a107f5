"""How fast is fusion here, and how near to what the machine can do? A table of methods, sizes, batches and dtypes.

Times are of the compiled program on images that lie on the device, synchronised, without compilation, files and
scoring; the share of the peak is held against a large matrix product of the same dtype in the same run, that of the
bound against what its operations and bytes take at least (`benchmarks/roofline.py`).
"""

import dataclasses
import json
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dig2dig_jax.benchmarks import flops, kernels, roofline, traffic
from dig2dig_jax.errors import one_line
from dig2dig_jax.escape import table
from dig2dig_jax.methods.base import Method
from dig2dig_jax.methods.codec import Codec
from dig2dig_jax.methods.cost import evaluations
from dig2dig_jax.methods.fuse import fuse
from dig2dig_jax.methods.options import MethodOptions
from dig2dig_jax.methods.registry import make_method
from dig2dig_jax.priors.prior import Prior
from dig2dig_jax.record import make_folder, write_text
from dig2dig_jax.sampling import schedule

SOURCES = 2
# Side of the matrices of the peak: large enough to fill the device, small enough to take no time.
_SIDE = {"gpu": 8192, "tpu": 8192, "cpu": 2048}
# (rows' prior, height, width) -> (seconds, network evaluations) of one pair by another program
Peer = Callable[[Prior, int, int], tuple[float, int]]


@dataclasses.dataclass(frozen=True)
class SpeedConfig:
  """sizes: (height, width) of the pairs. batches: pairs per compiled call. repeats: timed runs after an untimed one.
  profile: one more run of each combination, under the profiler: what its time goes to."""

  out: Path
  sizes: tuple[tuple[int, int], ...]
  batches: tuple[int, ...] = (1,)
  dtypes: tuple[str, ...] = ("float32",)
  repeats: int = 3
  profile: bool = False


def run(
  prior_for: Callable[[str], Prior],
  codec: Codec,
  methods: Mapping[str, MethodOptions],
  config: SpeedConfig,
  *,
  peer: Peer | None = None,
  peer_name: str = "peer",
) -> str:
  """Measures every combination, writes `speed.json`, `speed.md` and the plot `roofline.png` into `config.out`, returns
  the Markdown, which is a table, and where asked for one of kernels for every row.

  prior_for: dtype -> Prior. methods: {name: options}. peer: runs last, once per size and with the last dtype's prior.
  A combination that the device's memory cannot hold is a row that says so.
  """
  make_folder(config.out)
  rows, profiles, machines = [], [], {}
  for dtype in config.dtypes:
    prior = prior_for(dtype)
    peak = matrix_peak(dtype, repeats=config.repeats)
    machine = machines[dtype] = roofline.Machine(peak, roofline.stream_peak(timed, repeats=config.repeats))
    for height, width in config.sizes:
      for name, options in methods.items():
        method = make_method(prior, codec, options=options)
        operations_of_pair = pair_flops(prior, method, options, height, width)
        for batch in config.batches:
          row = {"method": name, "dtype": dtype, "size": f"{width}x{height}", "batch": batch}
          row |= {"evaluations": evaluations(method, prior.params, SOURCES)}
          measured, operations, jaxpr = _measure(method, prior.params, (height, width), batch, config)
          row |= measured
          if operations:
            profiles.append(f"\n{name}, {dtype}, {row['size']}, batch {batch}\n\n{kernels.markdown(operations)}")
          if "seconds" in row:
            rate = operations_of_pair / row["seconds"]
            row |= {"tflops": rate / 1e12, "peak_share": rate / peak, "peak_tflops": peak / 1e12}
            row |= _bound(prior, options, jaxpr, (height, width), batch, machine)
            row |= {"bound_share": row["bound_seconds"] / row["seconds"]}
            row |= {"intensity": operations_of_pair / row["bytes"], "peak_bytes": machine.bytes}
          rows.append(row)
  if peer is not None:
    for height, width in config.sizes:
      seconds, passes = peer(prior, height, width)
      rows.append({"method": peer_name, "dtype": "float32", "size": f"{width}x{height}", "batch": 1, "seconds": seconds,
                   "evaluations": passes})
      for row in rows:
        if row["size"] == rows[-1]["size"] and "seconds" in row:
          row["times_faster"] = seconds / row["seconds"]
  record = {
    "device": jax.devices()[0].device_kind,
    "jax": jax.__version__,
    "prior": str(prior.directory),
    "rows": rows,
    "options": {name: dataclasses.asdict(options) for name, options in methods.items()},
  }
  peaks = "".join(f"{dtype}: {machine.flops / 1e12:.3g} TFLOP/s in a matrix product, {machine.bytes / 1e9:.4g} GB/s in "
                  "a pass over memory\n" for dtype, machine in machines.items())  # fmt: skip
  head = f"{record['device']}, JAX {jax.__version__}, prior {prior.directory}\n{peaks}\n"
  text = f"{head}{markdown(rows)}{''.join(profiles)}{_plotted(config.out / 'roofline.png', rows, machines)}"
  write_text(config.out / "speed.json", json.dumps(record, indent=1, default=str) + "\n")
  write_text(config.out / "speed.md", text)
  return text


def matrix_peak(dtype: str, *, repeats: int = 3) -> float:
  """Floating-point operations per second of a large square matrix product, counting 2 per multiply-add."""
  side = _SIDE.get(jax.default_backend(), _SIDE["cpu"])
  a, b = jax.random.normal(jax.random.key(0), (2, side, side)).astype(dtype)
  product = jax.jit(jnp.matmul).lower(a, b).compile()
  times = 8 if side > 4096 else 1  # one after the other, so that starting them costs nothing

  def several():
    for _ in range(times):
      c = product(a, b)
    return c

  return 2 * side**3 * times / statistics.median(timed(several, repeats + 1))


def pair_flops(prior: Prior, method: Method, options: MethodOptions, height: int, width: int) -> float:
  """Operations of one pair, by `benchmarks.flops`, which counts every step as a whole pass of the network: those that
  reuse its deep features are taken for what they are."""
  shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), prior.params)
  images = jax.ShapeDtypeStruct((SOURCES, height, width, 3), jnp.float32)
  total = flops.flops(lambda params, images: fuse(method, params, jax.random.key(0), images)[0], shapes, images)
  saved = options.steps - -(-options.steps // options.reuse)
  if saved:
    total -= saved * (pass_flops(prior, height, width) - pass_flops(prior, height, width, shallow=True))
  return total


def pass_flops(prior: Prior, height: int, width: int, *, shallow: bool = False) -> float:
  """Of one forward pass on one image. shallow: that takes its deep features from another."""
  step = jax.tree.map(jnp.asarray, _last_step(prior))
  shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), prior.params)
  image = jax.ShapeDtypeStruct((height, width, 3), jnp.float32)
  if not shallow:
    return flops.flops(lambda params, x: prior.denoiser(params)(x, step).eps, shapes, image)
  _, features = jax.eval_shape(lambda params, x: prior.reuse(params).full(x, step), shapes, image)
  return flops.flops(lambda params, x, deep: prior.reuse(params).shallow(x, step, deep).eps, shapes, image, features)


def _bound(prior: Prior, options: MethodOptions, jaxpr, size, batch: int, machine: roofline.Machine) -> dict:
  """Of a pair: bytes, least seconds, and what bounds it. Steps that reuse deep features are taken for what they are."""
  found = traffic.of_jaxpr(jaxpr)
  moved, limit = traffic.total(found)[1], roofline.bound(found, machine)
  saved = options.steps - -(-options.steps // options.reuse)
  if saved:
    for sign, shallow in ((-1, False), (1, True)):
      of_pass = pass_traffic(prior, *size, batch, shallow=shallow)
      part = roofline.bound(of_pass, machine)
      moved += sign * saved * traffic.total(of_pass)[1]
      limit = roofline.Bound(*(now + sign * saved * then for now, then in zip(limit, part, strict=True)))
  return {"bytes": moved / batch, "bound_seconds": limit.seconds / batch, "bound_by": limit.words}


def pass_traffic(
  prior: Prior, height: int, width: int, batch: int, *, shallow: bool, platform: str | None = None
) -> list[traffic.Pass]:
  """Of one forward pass on `batch` images, which share the weights. platform: see `traffic.passes`."""
  step = jax.tree.map(jnp.asarray, _last_step(prior))
  shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), prior.params)
  images = jax.ShapeDtypeStruct((batch, height, width, 3), jnp.float32)
  full = lambda params, x: jax.vmap(lambda x: prior.reuse(params).full(x, step))(x)  # noqa: E731
  if not shallow:
    return traffic.passes(lambda params, x: full(params, x)[0].eps, shapes, images, platform=platform)
  _, features = jax.eval_shape(full, shapes, images)
  one = lambda params, x, deep: prior.reuse(params).shallow(x, step, deep).eps  # noqa: E731
  return traffic.passes(jax.vmap(one, in_axes=(None, 0, 0)), shapes, images, features, platform=platform)


def _plotted(path: Path, rows: list[dict], machines: dict[str, roofline.Machine]) -> str:
  """Writes the plot, or reports why there is none: a plot must not end a run."""
  drawn = [row for row in rows if "intensity" in row]
  try:
    if drawn:
      roofline.write_plot(path, drawn, machines)
    return ""
  except (ImportError, OSError, ValueError) as error:
    return f"\n{path}: expected a picture for display, found {one_line(error)[:300]}; the run continues without it\n"


def _last_step(prior: Prior):
  tables = prior.noise.tables()
  return jax.tree.map(lambda table: table[0], schedule.steps_at(tables, [0]))


def _measure(
  method, params, size: tuple[int, int], batch: int, config: SpeedConfig
) -> tuple[dict, list[kernels.Operation], Any]:
  """(fields of the row, what a profile tells, the traced program)."""

  def fuse_all(params, images, ids):
    one = lambda images, pair: fuse(method, params, jax.random.fold_in(jax.random.key(0), pair), images)[0]  # noqa: E731
    return jax.vmap(one)(images, ids)

  random = np.random.default_rng(0)
  coarse = random.uniform(-1, 1, (batch, SOURCES, 8, 8, 3)).astype(np.float32)
  images = jax.image.resize(jnp.asarray(coarse), (batch, SOURCES, *size, 3), "linear")
  arguments = params, images, jnp.arange(batch)
  start = time.monotonic()
  try:
    traced = jax.jit(fuse_all).trace(*arguments)
    program = traced.lower().compile()
    compile_seconds = time.monotonic() - start
    seconds = timed(lambda: program(*arguments), config.repeats)
  except jax.errors.JaxRuntimeError as error:
    if "RESOURCE_EXHAUSTED" not in str(error):
      raise
    return {"error": "out of memory"}, [], None
  memory = program.memory_analysis()
  held = memory.temp_size_in_bytes + memory.argument_size_in_bytes + memory.output_size_in_bytes
  row = {
    "seconds": statistics.median(seconds) / batch,
    "spread": (max(seconds) - min(seconds)) / batch,
    "compile_seconds": compile_seconds,
    "memory_bytes": held,
  }
  return row, kernels.profile(lambda: program(*arguments)) if config.profile else [], traced.jaxpr.jaxpr


def timed(call: Callable, repeats: int) -> list[float]:
  """Seconds of each of `repeats` calls, after one that is not timed; their results are waited for."""
  jax.block_until_ready(call())
  seconds = []
  for _ in range(repeats):
    start = time.monotonic()
    jax.block_until_ready(call())
    seconds.append(time.monotonic() - start)
  return seconds


_COLUMNS = {  # heading -> (field, format)
  "method": ("method", "{}"),
  "dtype": ("dtype", "{}"),
  "width x height": ("size", "{}"),
  "batch": ("batch", "{}"),
  "evaluations": ("evaluations", "{}"),
  "s per pair": ("seconds", "{:.4g}"),
  "spread": ("spread", "{:.2g}"),
  "TFLOP/s": ("tflops", "{:.3g}"),
  "of the peak": ("peak_share", "{:.0%}"),
  "GB moved": ("bytes", "{:.3g}"),
  "bound, s": ("bound_seconds", "{:.4g}"),
  "of the bound": ("bound_share", "{:.0%}"),
  "bound by": ("bound_by", "{}"),
  "memory, GB": ("memory_bytes", "{:.2f}"),
  "compile, s": ("compile_seconds", "{:.1f}"),
  "times faster than the peer": ("times_faster", "{:.3g}"),
}


def markdown(rows: list[dict]) -> str:
  """One line per row; what a row does not have is a dash, what went wrong stands in place of its seconds."""
  columns = [heading for heading, (field, _) in _COLUMNS.items() if any(field in row for row in rows)]
  return table(columns, ([_cell(row, *_COLUMNS[heading]) for heading in columns] for row in rows), text=3)


def _cell(row: dict, field: str, form: str) -> str:
  if field not in row:
    return row.get("error", "–") if field == "seconds" else "–"
  return form.format(row[field] / 1e9 if field in ("memory_bytes", "bytes") else row[field])
