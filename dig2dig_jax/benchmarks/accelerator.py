"""What is measured when a GPU or TPU is available for minutes: the rows of docs/performance.md, kernels off and on.

  python -m dig2dig_jax.benchmarks.accelerator --out=FOLDER [--minutes=8] [--small]

Each row runs in its own process with a share of the time; a row that exceeds it is reported and stopped, and one that
would start too late is not started. Results are written to FOLDER as they come, in a folder per row. --small: the same
commands at sizes for which two idle CPU cores take three minutes, to check that they run. Needs only JAX, Flax and a
checkout.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dig2dig_jax.assets import ROOT
from dig2dig_jax.record import make_folder

_KERNELS = [sys.executable, "-m", "dig2dig_jax.benchmarks.kernel_rows"]
_SPEED = [sys.executable, str(ROOT / "launch.py"), "--job=benchmark", "--suite=speed"]
_ACCUMULATED, _CLOSED = f"--flagfile={ROOT / 'presets' / 'accumulated_vif.flags'}", f"--flagfile={ROOT / 'vif.flags'}"
_LARGE = ["--random_prior=256x256_diffusion_uncond", "--steps=25"]
_TINY = ["--random_prior=image_size=32,num_channels=32,num_res_blocks=1,channel_mult=1,attention_resolutions=16",
         "--steps=2", "--dig_interval=1"]  # fmt: skip


class Task(NamedTuple):
  """seconds: that it may take at most."""

  name: str
  command: list[str]
  seconds: float


def tasks(out: Path, *, small: bool) -> list[Task]:
  """Those that say most come first: kernels alone, the large layout, then the embedded prior."""
  large = _TINY if small else _LARGE
  common = [f"--dtypes={'float32' if small else 'bfloat16'}", "--compile_cache="]

  def speed(name: str, flags: Sequence[str], size: str, batch: int, repeats: int, kernels: str, seconds: float) -> Task:
    size, batch = ("16x16", 1) if small else (size, batch)
    asked = [*flags, f"--sizes={size}", f"--batch_sizes={batch}", f"--repeats={1 if small else repeats}"]
    seconds *= 4 if small else 1  # where nobody waits for a lent device, and others may be at work
    return Task(name, [*_SPEED, *asked, *common, f"--kernels={kernels}", f"--out={out / name}"], seconds)

  fast = [_ACCUMULATED, "--fast", *([] if not small else large[:1])]
  closed = [_CLOSED, *([] if not small else [large[0], "--steps=2"])]
  # The network that stands in comes with the embedded prior, at any size.
  swift = [_CLOSED, "--gains=swift"]
  rows = [Task("kernels", [*_KERNELS, f"--out={out / 'kernels.json'}", *(["--small"] if small else [])], 60)]
  for kernels in ("off", "on"):
    rows.append(speed(f"large_256_{kernels}", [_ACCUMULATED, *large], "256x256", 8, 2, kernels, 110))
  rows += [speed(f"embedded_{kernels}", fast, "640x480", 16, 5, kernels, 60) for kernels in ("off", "on")]
  rows += [speed(f"closed_form_{kernels}", closed, "640x480", 16, 5, kernels, 60) for kernels in ("off", "on")]
  rows += [speed(f"swift_{kernels}", swift, "640x480", 16, 5, kernels, 40) for kernels in ("off", "on")]
  rows.append(speed("large_1024", [_ACCUMULATED, *large, "--profile"], "1024x768", 1, 2, "off", 120))
  return rows


def run(found: Sequence[Task], out: Path, *, seconds: float) -> int:
  """Runs what fits into `seconds`; the number of tasks that failed or were left."""
  make_folder(out)
  end, missed = time.monotonic() + seconds, 0
  for task in found:
    left = end - time.monotonic()
    if left < min(task.seconds, 20):
      print(f"{task.name}: not begun, {left:.0f} s were left; raise --minutes", flush=True)
      missed += 1
      continue
    begun = time.monotonic()
    try:
      done = subprocess.run(task.command, cwd=ROOT, capture_output=True, text=True, timeout=min(task.seconds, left))
      text, status = done.stdout + (done.stderr[-2000:] if done.returncode else ""), done.returncode
    except subprocess.TimeoutExpired:
      text, status = "", f"stopped after {min(task.seconds, left):.0f} s"
    (out / f"{task.name}.txt").write_text(f"{' '.join(task.command)}\n\n{text}", encoding="utf-8")
    told = f", status {status}" if status else ""
    print(f"## {task.name}: {time.monotonic() - begun:.0f} s{told}\n\n{text}", flush=True)
    missed += bool(status)
  return missed


def main(arguments: Sequence[str] | None = None) -> int:
  parser = argparse.ArgumentParser(prog="python -m dig2dig_jax.benchmarks.accelerator", description=__doc__,
                                   formatter_class=argparse.RawTextHelpFormatter)  # fmt: skip
  parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where the results go")
  parser.add_argument("--minutes", type=float, default=8.0, help="for all together (default 8)")
  parser.add_argument("--small", action="store_true", help="tiny sizes")
  options = parser.parse_args(arguments)
  out = options.out.absolute()  # the rows run in the checkout
  missed = run(tasks(out, small=options.small), out, seconds=60 * options.minutes)
  print(f"{missed} rows are missing" if missed else "all rows are there", flush=True)
  return 1 if missed else 0


if __name__ == "__main__":
  sys.exit(main())
