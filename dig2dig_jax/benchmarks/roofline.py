"""What bounds a program on this machine, its arithmetic or its memory, and how near is it to that bound?

The roofline of Williams, Waterman and Patterson 2009, pass by pass: a pass of f operations and b bytes takes at least
max(f / F, b / B) seconds on a machine of F operations and B bytes a second, and a program at least the sum over its
passes, which run one after the other. (The roofline of the whole program, from all its operations and bytes, is lower:
it would have the passes that wait for memory run beside those that wait for arithmetic.)
"""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dig2dig_jax.benchmarks.traffic import Pass
from dig2dig_jax.escape import plot_label
from dig2dig_jax.files import replacing

# Numbers of a stream: far more than any cache holds.
_STREAM = {"gpu": 2**28, "tpu": 2**28, "cpu": 2**25}


class Machine(NamedTuple):
  """Operations and bytes a second that it reaches, measured or by its maker."""

  flops: float
  bytes: float


# NVIDIA's data sheet of the H100 SXM5 80GB: dense bfloat16, HBM3.
H100 = Machine(989e12, 3.35e12)
H100_FLOAT32 = Machine(66.9e12, 3.35e12)  # outside of the tensor cores, which round


class Bound(NamedTuple):
  """Least seconds of a program; arithmetic, memory: those of its passes that either bounds."""

  arithmetic: float
  memory: float

  @property
  def seconds(self) -> float:
    return self.arithmetic + self.memory

  @property
  def words(self) -> str:
    """`arithmetic 71%`: what bounds most of it, and how much."""
    name, share = ("arithmetic", self.arithmetic) if self.arithmetic >= self.memory else ("memory", self.memory)
    return f"{name} {share / max(self.seconds, 1e-30):.0%}"


def bound(passes: Iterable[Pass], machine: Machine) -> Bound:
  arithmetic = memory = 0.0
  for one in passes:
    work, traffic = one.flops / machine.flops, one.bytes / machine.bytes
    if work > traffic:
      arithmetic += work * one.runs
    else:
      memory += traffic * one.runs
  return Bound(arithmetic, memory)


def stream_peak(timed: Callable[[Callable, int], list[float]], *, repeats: int = 3) -> float:
  """Bytes a second of a pass that reads and writes 2^28 float32, 2^25 on a CPU. timed: (call, repeats) -> seconds of
  each."""
  numbers = _STREAM.get(jax.default_backend(), _STREAM["cpu"])
  x = jnp.zeros(numbers, jnp.float32)
  program = jax.jit(lambda x: x + 1).lower(x).compile()
  return 8 * numbers / statistics.median(timed(lambda: program(x), repeats + 1))


def write_plot(path: Path, rows: Sequence[Mapping], machines: Mapping[str, Machine]) -> None:
  """Operations a second of each row over its operations per byte, under the two roofs of each dtype's machine.

  rows: with `method`, `dtype`, `size`, `batch`, `tflops` and `intensity`. Needs Matplotlib.
  """
  from matplotlib.figure import Figure

  figure = Figure(figsize=(7, 4.5), layout="constrained")
  axis = figure.subplots()
  found = [row["intensity"] for row in rows]
  span = np.geomspace(min([1.0, *found]) / 2, 4 * max([machine.flops / machine.bytes for machine in machines.values()]
                                                      + found), 200)  # fmt: skip
  for number, (dtype, machine) in enumerate(machines.items()):
    roof = np.minimum(machine.flops, span * machine.bytes) / 1e12
    axis.loglog(span, roof, color=f"C{number}", label=f"{dtype}: {machine.flops / 1e12:.3g} TFLOP/s, "
                f"{machine.bytes / 1e9:.3g} GB/s")  # fmt: skip
    for row in rows:
      if row["dtype"] == dtype:
        axis.plot(row["intensity"], row["tflops"], "o", color=f"C{number}")
        label = plot_label(f"{row['method']}, {row['size']} x {row['batch']}")
        axis.annotate(label, (row["intensity"], row["tflops"]), fontsize=7, xytext=(4, -8), textcoords="offset points")
  axis.set_xlabel("operations per byte")
  axis.set_ylabel("TFLOP/s")
  axis.grid(alpha=0.3)
  axis.legend(fontsize=7)
  with replacing(path) as temporary:
    figure.savefig(temporary, format="png", dpi=120)
