"""What does a compiled program spend its time on? Its operations as the profiler saw them, by kind.

On a GPU the operations are kernels; on a CPU they are XLA's thunks, of which several may run side by side.
"""

import collections
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax

from dig2dig_jax.escape import table

# The first pattern that a name contains decides. GPU libraries name their kernels, XLA its fusions by what they hold.
_KINDS = (
  ("YNNPACK: convolutions, products, sums", r"^ynn"),
  ("attention", r"sdpa|flash|fmha|attention"),
  ("convolution", r"conv|fprop|dgrad|wgrad|implicit|winograd"),
  ("matrix product", r"gemm|cublas|nvjet|cutlass|dot|matmul|onednn"),
  ("Fourier transform", r"fft"),
  ("sum or mean, with what is fused into it", r"reduce"),
  ("copy or transpose", r"copy|memcpy|memset|transpose"),
  ("element by element", r"fusion|wrapped|broadcast|select|add|multiply|convert|rng|iota|concatenate|slice"),
)
_ENCLOSING = re.compile(r"^(while|call|conditional|end: )")  # hold others, which are counted themselves


class Operation(NamedTuple):
  """name: of the kernel or thunk; seconds: of all `count` runs together."""

  name: str
  kind: str
  seconds: float
  count: int


def profile(call: Callable) -> list[Operation]:
  """Operations of one run of `call`, whose results are waited for; the longest first. Run it once before."""
  with tempfile.TemporaryDirectory() as folder:
    with jax.profiler.trace(folder):
      jax.block_until_ready(call())
    [path] = Path(folder).rglob("*.xplane.pb")  # one per process
    data = jax.profiler.ProfileData.from_file(str(path))
  seconds, counts = collections.Counter(), collections.Counter()
  on_gpu = any(_of_gpu(plane) for plane in data.planes)
  for plane in data.planes:
    if on_gpu and not _of_gpu(plane):
      continue
    for line in plane.lines:
      if on_gpu and not line.name.startswith("Stream"):
        continue  # the same kernels again, grouped by what asked for them
      for event in line.events:
        stats = dict(event.stats)
        name = event.name if on_gpu else str(stats.get("hlo_op", ""))
        if name and not _ENCLOSING.match(event.name):
          seconds[name] += event.duration_ns / 1e9
          counts[name] += 1
  return [Operation(name, kind(name), total, counts[name]) for name, total in seconds.most_common()]


def _of_gpu(plane) -> bool:
  return plane.name.startswith("/device:GPU")


def kind(name: str) -> str:
  """Of an operation, by its name."""
  return next((kind for kind, pattern in _KINDS if re.search(pattern, name.lower())), "other")


def markdown(operations: list[Operation], *, longest: int = 12) -> str:
  """Seconds and share by kind, then the operations that took longest."""
  total = sum(operation.seconds for operation in operations) or 1.0
  kinds, counts = collections.Counter(), collections.Counter()
  for operation in operations:
    kinds[operation.kind] += operation.seconds
    counts[operation.kind] += operation.count
  by_kind = [[name, f"{time:.4f}", f"{time / total:.0%}", str(counts[name])] for name, time in kinds.most_common()]
  by_time = [[f"`{name[:90]}`", of, f"{time:.4f}", f"{time / total:.0%}", str(count)]
             for name, of, time, count in operations[:longest]]  # fmt: skip
  columns = ["seconds", "share", "runs"]
  return table(["kind", *columns], by_kind) + "\n" + table(["longest", "kind", *columns], by_time, text=2)
