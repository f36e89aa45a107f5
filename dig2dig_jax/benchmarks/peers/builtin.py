"""Which peers need no checkout? This project, OpenCV's Mertens, and enfuse, focus-stack, OpenFocus where installed."""

import shutil
import sys

from dig2dig_jax.benchmarks.peers.adapters import DRIVERS
from dig2dig_jax.benchmarks.peers.spec import Peer

OURS = "dig2dig"
_ENFUSE = ("enfuse", "--output={out}")
# As enfuse's manual has it for focus stacks; for brackets it is the default.
_FOCUS = ("--exposure-weight=0", "--saturation-weight=0", "--contrast-weight=1", "--hard-mask")


def peers() -> tuple[list[Peer], list[str]]:
  """(those that can run here, a line for each that is not installed)."""
  own = (sys.executable, "-m", "dig2dig_jax", "fuse", "{pairs}", "-o", "{out}")
  mertens = (sys.executable, str(DRIVERS / "mertens.py"), "{a}", "{b}", "{out}")
  found = [
    Peer(OURS, own, licence="this project"),
    Peer("OpenCV Mertens", mertens, tasks=("exposure", "focus"), licence="Apache-2.0"),
  ]
  missing = []
  if shutil.which("enfuse"):
    found.append(Peer("enfuse, exposure", (*_ENFUSE, "{a}", "{b}"), True, ("exposure",), "GPL-2+"))
    found.append(Peer("enfuse, focus", (*_ENFUSE, *_FOCUS, "{a}", "{b}"), True, ("focus",), "GPL-2+"))
  else:
    missing.append("enfuse: not installed, so its rows are left out; apt-get install enfuse")
  if shutil.which("focus-stack"):
    found.append(Peer("focus-stack", ("focus-stack", "--output={out}", "{a}", "{b}"), True, ("focus",), "MIT"))
  else:
    missing.append("focus-stack: not installed, so its row is left out; github.com/PetteriAimonen/focus-stack")
  if shutil.which("openfocus"):
    words = ("openfocus", "--cpu", "--input", "{a}", "{b}", "--output", "{out}")
    found.append(Peer("OpenFocus", words, True, ("focus",), "MIT"))
  return found, missing
