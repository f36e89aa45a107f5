"""Does the 552.8 M-parameter layout fit on this machine, from a PyTorch file to an image and back?

  python -m convert.full_size --out=DIR [--name=256x256_diffusion_uncond] [--keep]

Random weights of the full layout go PyTorch -> folder -> launch.py -> image, and folder -> PyTorch, each in a process
of its own. Prints seconds and peak memory of each, in GB and in multiples of the weights' float32 size; that of an idle
process with JAX is taken off. Needs Linux, and three times the file's size on disk.
"""

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dig2dig_jax.data.images import read_image, write_png
from dig2dig_jax.models.official import OFFICIAL
from dig2dig_jax.models.shapes import parameter_shapes
from dig2dig_jax.porting.to_torch import torch_axes, torch_name

ROOT = Path(__file__).resolve().parents[2]
_MEASURED = """
import runpy, sys
sys.argv = {argv!r}
try:
  {code}
finally:
  # Not ru_maxrss, which a process inherits from the one that started it.
  peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
  print("PEAK", peak.split()[1], file=sys.stderr)
"""
_MODULE = "runpy.run_module({module!r}, run_name='__main__')"
_SCRIPT = "runpy.run_path('launch.py', run_name='__main__')"
_IDLE = "import jax, flax, orbax.checkpoint; jax.devices()"
_LOAD = "from dig2dig_jax.priors.prior import load_prior; load_prior({prior!r})"


def write_random(path: Path, name: str) -> int:
  """A PyTorch state dict of the layout with normal weights of 1/sqrt(fan-in); returns its bytes."""
  import torch

  random, tensors = np.random.default_rng(0), {}
  for leaf, shape in parameter_shapes(OFFICIAL[name].config).items():
    scale = 1 / np.sqrt(max(1, np.prod(shape[:-1])))
    values = random.standard_normal(shape, np.float32) * np.float32(scale)
    tensors[torch_name(leaf)] = torch.from_numpy(np.ascontiguousarray(torch_axes(values, leaf)))
  torch.save(tensors, path)
  return 4 * sum(tensor.numel() for tensor in tensors.values())


def run(code: str, argv: list[str]) -> tuple[float, float]:
  """(seconds, peak resident bytes) of a child process. RuntimeError with its words if it fails."""
  start = time.monotonic()
  child = subprocess.run(
    [sys.executable, "-c", _MEASURED.format(argv=argv, code=code)], cwd=ROOT, capture_output=True, text=True
  )
  peak = [line for line in child.stderr.splitlines() if line.startswith("PEAK")]
  if child.returncode or not peak:
    raise RuntimeError(f"{' '.join(argv) or code}: {child.stderr[-2000:]}")
  return time.monotonic() - start, float(peak[-1].split()[1]) * 1024


def same_bits(first: Path, second: Path) -> bool:
  """Whether two PyTorch state dicts hold the same tensors."""
  import torch

  a, b = (torch.load(path, weights_only=True, mmap=True) for path in (first, second))
  return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def main(arguments: Sequence[str] | None = None) -> int:
  """The command line."""
  parser = argparse.ArgumentParser(
    prog="python -m convert.full_size", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a folder for the files")
  parser.add_argument("--name", choices=sorted(OFFICIAL), default="256x256_diffusion_uncond", help="the layout")
  parser.add_argument("--size", type=int, default=128, help="side of the fused image in pixels")
  parser.add_argument("--keep", action="store_true", help="leave the files there")
  options = parser.parse_args(arguments)
  out = options.out.absolute()
  out.mkdir(parents=True, exist_ok=True)
  pt, prior, back = out / "random.pt", out / "prior", out / "back.pt"
  size = write_random(pt, options.name)
  for name in ("ir", "vi"):
    pixels = read_image(ROOT / "examples" / "vif" / name / "coffee.png").pixels[: options.size, : options.size]
    write_png(out / "pairs" / name / "coffee.png", pixels)
  _, idle = run(_IDLE, [])
  module = "convert.guided_diffusion"
  print(f"{options.name}: {size / 4 / 1e6:.1f} M parameters, {size / 1e9:.2f} GB as float32; idle {idle / 1e9:.2f} GB")
  for words, code, argv in (
    ("PyTorch to folder", _MODULE.format(module=module),
     ["convert", f"--pt={pt}", f"--name={options.name}", f"--out={prior}"]),
    ("loading", _LOAD.format(prior=str(prior)), []),
    ("launch.py, one pair, one pass", _SCRIPT,
     ["launch.py", "--flagfile=vif.flags", f"--data={out / 'pairs'}", f"--out={out / 'fused'}", f"--prior={prior}",
      "--steps=0", "--bucket=64", "--dig_chunk=1", "--compile_cache="]),
    ("folder to PyTorch", _MODULE.format(module=module),
     ["convert", "--to=torch", f"--prior={prior}", f"--out={back}"]),
  ):  # fmt: skip
    seconds, peak = run(code, argv)
    print(f"{words}: {seconds:.0f} s, peak {peak / 1e9:.2f} GB, {(peak - idle) / size:.2f} x the weights", flush=True)
  print(f"image: {out / 'fused' / 'coffee.png'}")
  print(f"PyTorch to Flax to PyTorch: {'the same bits' if same_bits(pt, back) else 'OTHER BITS'}")
  if not options.keep:
    for path in (pt, back):
      path.unlink()
    shutil.rmtree(prior)
  return 0


if __name__ == "__main__":
  sys.exit(main())
