"""What does a peer make of the staged pairs, and what does that cost? Its command in a child process, measured.

All peers run one after another on the same cores. The first pair runs alone before: what a program needs to begin, and
compilation, are in its seconds, and a peer that cannot run is told early.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from dig2dig_jax.benchmarks.peers import meter
from dig2dig_jax.benchmarks.peers.spec import Peer
from dig2dig_jax.benchmarks.peers.stage import Staged
from dig2dig_jax.errors import UserError
from dig2dig_jax.record import explained, make_folder

_SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".jpg", ".jpeg")


class Cost(NamedTuple):
  """seconds, cpu_seconds: of the whole run, by the clock and of the cores, per pair. first: CPU seconds of the first
  pair alone. peak: megabytes of memory that the largest of its processes held at most."""

  seconds: float
  cpu_seconds: float
  first: float
  peak: float


def fuse(peer: Peer, staged: Staged, alone: Staged, task: str, out: Path) -> Cost:
  """Writes NAME.png for every pair into `out`; what the peer printed is in `out`/../NAME.log. UserError where its
  command fails or an image is missing.

  staged: all pairs; alone: the first of them."""
  make_folder(out)
  log = out.with_name(f"{out.name}.log")
  with tempfile.TemporaryDirectory() as folder:
    begun = _run(peer, alone, task, Path(folder) / "first", log)
    used = _run(peer, staged, task, Path(folder) / "all", log)
    for name, number in staged.numbers.items():
      _keep(peer, Path(folder) / "all", number, out / f"{name}.png", log)
  count = len(staged.numbers)
  wall, cpu = sum(one["seconds"] for one in used), sum(one["cpu_seconds"] for one in used)
  peak = max(one["peak_bytes"] for one in [*begun, *used])
  return Cost(wall / count, cpu / count, sum(one["cpu_seconds"] for one in begun), peak / 2**20)


def _run(peer: Peer, staged: Staged, task: str, out: Path, log: Path) -> list[dict[str, float]]:
  out.mkdir()
  a, b = (staged.root / source for source in staged.sources)
  holes = {"{task}": task, "{pairs}": str(staged.root)}
  if not peer.each:
    return [_metered(peer, _filled(peer, holes | {"{a}": str(a), "{b}": str(b), "{out}": str(out)}), log)]
  files = ((f"{number}.png", out / f"{number}.png") for number in staged.numbers.values())
  return [_metered(peer, _filled(peer, holes | {"{a}": str(a / name), "{b}": str(b / name), "{out}": str(to)}), log)
          for name, to in files]  # fmt: skip


def _filled(peer: Peer, holes: dict[str, str]) -> list[str]:
  words = list(peer.command)
  for hole, text in holes.items():
    words = [word.replace(hole, text) for word in words]
  return words


def _metered(peer: Peer, words: Sequence[str], log: Path) -> dict[str, float]:
  report = Path(tempfile.mkstemp(suffix=".json")[1])
  try:
    with explained(log), log.open("ab") as lines:
      code = subprocess.run(
        [sys.executable, "-I", meter.__file__, str(report), *words], stdout=lines, stderr=lines, check=False,
        env=os.environ | dict(peer.env),
      ).returncode  # fmt: skip
    if code:
      raise UserError(f"{peer.name}: expected its command to succeed, found status {code}: {_last(log)}; see {log}")
    return json.loads(report.read_text(encoding="utf-8"))
  finally:
    report.unlink(missing_ok=True)


def _last(log: Path) -> str:
  """The last line that says something."""
  lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
  return lines[-1][:200] if lines else "nothing printed"


def _keep(peer: Peer, folder: Path, number: str, to: Path, log: Path) -> None:
  found = next((path for suffix in _SUFFIXES if (path := folder / f"{number}{suffix}").is_file()), None)
  if found is None:
    raise UserError(f"{peer.name}: expected a fused image {number}.png in {{out}}, found none; see {log}")
  with explained(to), Image.open(found) as image:
    image.convert("L" if image.mode in ("1", "L") else "RGB").save(to)
