"""How do the log and the planner cope with a million pairs, and with hundreds of workers that come and go?

  python tests/fleet.py rerun --pairs=1000000              a run with nothing left to do: seconds, MB, bytes of log
  python tests/fleet.py simulate --pairs=1000000           512 workers, simulated clock, preemption, faulty store

`rerun` is the real job on real files (small ones, with many hard links each). `simulate` runs the real planner, log,
index and second run of failed pairs; devices, the store and the clock are simulated.
"""

import argparse
import hashlib
import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile
import time

TESTS = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(TESTS.parent), str(TESTS)]
_LINKS = 50_000  # names that a file may have on common file systems
CURVES = {"t": [999 - 100 * i for i in range(10)], "weight": [[0.51234, 0.48766]] * 10, "residual": [[0.1, 0.2]] * 10}


def settings(manifest, out, **changes):
  from dig2dig_jax.fusing.config import FuseConfig

  return FuseConfig(pathlib.Path(), ("ir", "vi"), manifest=manifest, out=out, bucket=16, sheet=False, **changes)


def work(manifest, out):
  """The job on all pairs; prints what it took, from the start of the process on."""
  from toys import conv_params, conv_prior

  from dig2dig_jax.fusing import job
  from dig2dig_jax.methods.codec import luminance_codec
  from dig2dig_jax.methods.dig2dig import dig2dig
  from dig2dig_jax.methods.options import Dig2DigOptions

  method = dig2dig(conv_prior(), luminance_codec(1), options=Dig2DigOptions(steps=2, weights="uniform"))
  begun = time.monotonic()
  report = job.run(settings(manifest, out), method, conv_params())
  print(json.dumps({"done": report.done, "skipped": report.skipped, "failed": len(report.failed), "notes": report.notes,
                    "job": time.monotonic() - begun, "cpu": time.process_time(),
                    "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def write_finished(root, pairs, *, told=True, old=False):
  """A folder as a run of one process leaves it. told: sizes in the manifest; old: lines as before, all in each."""
  from scenes import scene, write
  from toys import conv_params

  from dig2dig_jax.fusing import ledger

  out, manifest = root / "out", root / "pairs.jsonl"
  with manifest.open("w") as lines:
    for number in range(pairs):
      name = f"{number:07d}"
      size = {"size": [32, 32]} if told else {}
      lines.write(json.dumps({"id": name, "files": {"ir": f"ir/{name}.png", "vi": f"vi/{name}.png"}, **size}) + "\n")
  for folder in (root / "ir", root / "vi", out):
    folder.mkdir(parents=True)
    write(root / "first.png", scene(0, 32, 32, 1))
    for number in range(pairs):
      path = folder / f"{number:07d}.png"
      if number % _LINKS == 0:
        first = path
        shutil.copyfile(root / "first.png", path)
      else:
        os.link(first, path)
  size, digest = (root / "first.png").stat().st_size, hashlib.sha256((root / "first.png").read_bytes()).hexdigest()
  run = ledger.identity(settings(manifest, out).decisive(), conv_params())
  entry = {"seed": 0, "fingerprint": run.fingerprint, "sha256": digest, "bytes": size, "size": [32, 32], "tile": 0,
           "seconds": 0.123, "device": "cpu", "versions": ledger.versions(), "curves": CURVES,
           "sources": {"ir": size, "vi": size}, "weights": run.weights, "flags": run.flags}  # fmt: skip
  with ledger.Ledger(out) as log:
    for number in range(pairs):
      whole = {"id": f"{number:07d}", **entry}
      log.write_line(json.dumps({**whole, "finished": "2026-01-01T00:00:00+00:00"})) if old else log.append(whole)
  return manifest, out


def rerun(root, pairs, *, told=True, old=False):
  """[{seconds, job, mb, ...}] of the first run after all is done, which makes the index, and of the second."""
  manifest, out = write_finished(root, pairs, told=told, old=old)
  found = []
  for _ in range(2):
    begun = time.monotonic()
    command = [sys.executable, __file__, "work", f"--manifest={manifest}", f"--out={out}"]
    env = {**os.environ, "JAX_PLATFORMS": "cpu"}
    told_by = subprocess.run(command, env=env, stdout=subprocess.PIPE, check=True, text=True).stdout.splitlines()[-1]
    found.append({**json.loads(told_by), "seconds": time.monotonic() - begun})
    assert (found[-1]["skipped"], found[-1]["done"], found[-1]["failed"]) == (pairs, 0, 0), found[-1]
  files = {path.relative_to(out): path.stat().st_size for path in (out / "log").rglob("*") if path.is_file()}
  bytes_each = sum(files.values()) / pairs
  for what, one in zip(("index made", "index asked"), found, strict=True):
    print(f"{pairs} finished pairs, nothing to do, {what}: {one['seconds']:.1f} s, of which the job "
          f"{one['job']:.1f} s; {one['cpu']:.1f} s of processor time, at most {one['mb']:.0f} MB resident")
  told_files = ", ".join(f"{name} {size / pairs:.0f}" for name, size in sorted(files.items()) if size > pairs)
  print(f"{bytes_each:.0f} bytes on disk a pair: {told_files}")
  return found, bytes_each


def main():
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("what", choices=["rerun", "simulate", "work"])
  parser.add_argument("--pairs", type=int, default=100_000)
  parser.add_argument("--workers", type=int, default=512)
  parser.add_argument("--untold", action="store_true", help="sizes are not in the manifest")
  parser.add_argument("--old", action="store_true", help="write the log in the format of earlier versions")
  parser.add_argument("--manifest", type=pathlib.Path)
  parser.add_argument("--out", type=pathlib.Path)
  given = parser.parse_args()
  if given.what == "work":
    work(given.manifest, given.out)
    return
  with tempfile.TemporaryDirectory() as folder:
    if given.what == "rerun":
      rerun(pathlib.Path(folder), given.pairs, told=not given.untold, old=given.old)
    else:
      import fleet_simulation

      fleet_simulation.run(pathlib.Path(folder), given.pairs, given.workers)


if __name__ == "__main__":
  main()
