"""How much memory would a compiled program take on a device, and how much is there?"""

from pathlib import Path

import jax

# Shares of what is free that a program may plan with: XLA's figure is exact for its own buffers, but two batches are in
# flight at once, and a host also decodes and encodes images.
_DEVICE_SHARE, _HOST_SHARE = 0.9, 0.8


def needed(program: jax.stages.Compiled, params) -> int | None:
  """Bytes on each device beside the parameters, which lie there already; None where the compiler tells nothing."""
  analysis = program.memory_analysis()
  if analysis is None:
    return None
  held = analysis.argument_size_in_bytes + analysis.output_size_in_bytes - analysis.alias_size_in_bytes
  weights = sum(leaf.nbytes for leaf in jax.tree.leaves(params))
  return analysis.temp_size_in_bytes + max(0, held - weights)


def available(devices: list[jax.Device]) -> int | None:
  """Bytes that a program may use on each of these devices now; None if unknown."""
  stats = [device.memory_stats() for device in devices]
  if all(known and "bytes_limit" in known for known in stats):
    return int(_DEVICE_SHARE * min(known["bytes_limit"] - known.get("bytes_in_use", 0) for known in stats))
  if devices[0].platform != "cpu":
    return None
  free = [amount for amount in (_host(), _container()) if amount is not None]
  return int(_HOST_SHARE * min(free) / len(devices)) if free else None


def _host() -> int | None:
  """What Linux thinks that a new program could have without swapping."""
  try:
    for line in Path("/proc/meminfo").read_text().splitlines():
      if line.startswith("MemAvailable:"):
        return int(line.split()[1]) * 1024
  except OSError:
    pass
  return None


def _container(group: Path = Path("/sys/fs/cgroup")) -> int | None:
  """What is left of the limit of a container or batch job (cgroup version 2); files in the cache can be given up."""
  try:
    limit = (group / "memory.max").read_text().strip()
    stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    if limit == "max":
      return None
    return int(limit) - int((group / "memory.current").read_text()) + int(stat.get("inactive_file", 0))
  except (OSError, ValueError):
    return None
