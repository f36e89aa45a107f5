"""Is every pair fused once and identically, with any processes and devices, even if they are killed at any moment?

  python tests/scale.py layouts --pairs=300 --sizes=40     1 x 1, 1 x 4 and 2 x 2 processes x devices, compared
  python tests/scale.py kills --pairs=300 --sizes=40 --kills=10     killed with -9 and restarted with other counts
  python tests/scale.py chaos --rounds=100                 faults of ten kinds at random moments, then a normal run
  python tests/scale.py memory --pairs=1000                resident memory of one process over many small pairs
  python tests/scale.py startup                            seconds until the first fused pair, without and with a cache
  python tests/scale.py tiles                              whole and tiled fusion by the embedded prior, in dB

The tests call the same functions with small numbers. Two convolutions replace the network, and devices are simulated.
"""

import argparse
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

import jax
import numpy as np

TESTS = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(TESTS.parent), str(TESTS)]
BUCKET = 16


def make_pairs(root, count, sizes):
  """`count` pairs of `sizes` sizes, up to 8 buckets; the same for the same numbers."""
  from scenes import write_pair

  rng = random.Random(0)
  shapes = [(rng.randint(17, 64), rng.randint(17, 32)) for _ in range(sizes)]
  for i in range(count):
    write_pair(root, f"{i:04d}", shapes[i % sizes], channels={"ir": 1, "vi": 3 if i % 2 else 1})
  return root


def work(data, out, process, processes, batch_size, pause, cache=None):
  """One process's share, with a pause after every image, so that there is time to be killed. cache: of programs."""
  import jax
  from toys import conv_params, conv_prior

  from dig2dig_jax.cli.output import say
  from dig2dig_jax.fusing import job, results
  from dig2dig_jax.fusing.processes import Place
  from dig2dig_jax.methods.codec import luminance_codec
  from dig2dig_jax.methods.dig2dig import dig2dig
  from dig2dig_jax.methods.options import Dig2DigOptions

  jax.config.update("jax_disable_most_optimizations", True)
  if pause:
    write_png = results.write_png

    def slow(*args, **kw):
      time.sleep(pause)
      write_png(*args, **kw)

    results.write_png = slow
  options = Dig2DigOptions(steps=2, strength=0.8, window="cumulative", temperature=0.01)
  from dig2dig_jax.sampling.schedule import NoiseSchedule

  noise = NoiseSchedule("linear", 1000)
  method = dig2dig(conv_prior(noise), luminance_codec(1), options=options)
  config = job.FuseConfig(data=data, out=out, sources=("ir", "vi"), bucket=BUCKET, batch_size=batch_size, sheet=False,
                           program_cache=cache)  # fmt: skip
  report = job.run(config, method, conv_params(), place=Place(process, processes))
  say(report.summary())
  return report


def start(data, out, process=0, processes=1, *, devices=1, batch_size=2, pause=0.0):
  """A process of its own doing `work`."""
  # Small networks, run a few times: what compiles quickly (`conftest.SIMPLE_LOOPS`) is what is over first.
  flags = f"--xla_force_host_platform_device_count={devices} --xla_cpu_parallel_codegen_split_count=1"
  flags += " --xla_cpu_use_fusion_emitters=false" if jax.__version_info__ < (0, 11) else ""
  command = [sys.executable, __file__, "work", f"--data={data}", f"--out={out}", f"--process={process}",
             f"--processes={processes}", f"--batch_size={batch_size}", f"--pause={pause}"]  # fmt: skip
  env = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags, "PYTHONDONTWRITEBYTECODE": "1"}
  return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(running):
  """Waits for processes; all must end well."""
  for process in running:
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, f"status {process.returncode}: {out}{err}"


def log_lines(out):
  """Of finished pairs."""
  lines = [line for path in (out / "log").glob("*.jsonl") for line in path.read_text().splitlines()]
  return [line for line in lines if '"id":' in line]


def entries(out):
  """What the log tells of each finished pair, as often as it was finished."""
  from dig2dig_jax.fusing import ledger

  return [entry for several in ledger.read(out).values() for entry in several]


def check(data, out, reference=None):
  """All pairs are there, whole, once in the log with the hash of the file, and as in `reference` within a grey level.
  Returns the largest difference."""
  import hashlib

  from scenes import read

  found = entries(out)
  names = sorted(path.stem for path in (data / "ir").iterdir())
  assert sorted(entry["id"] for entry in found) == names, "each pair once"
  largest = 0
  for entry in found:
    path = out / f"{entry['id']}.png"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == entry["sha256"], f"{path}: not what was logged"
    image = read(path)
    assert list(image.shape[:2]) == entry["size"]
    if reference is not None:
      largest = max(largest, int(np.abs(image.astype(int) - read(reference / path.name)).max()))
  assert largest <= 1, f"{largest} grey levels from the reference"
  return largest


def layouts(root, pairs, sizes):
  data = make_pairs(root / "data", pairs, sizes)
  finish([start(data, root / "1x1", batch_size=1)])
  check(data, root / "1x1")
  finish([start(data, root / "1x4", devices=4)])
  finish([start(data, root / "2x2", process, 2, devices=2) for process in range(2)])
  found = {name: check(data, root / name, root / "1x1") for name in ("1x4", "2x2")}
  shares = [path.read_text().count('{"id":') for path in sorted((root / "2x2" / "log").glob("*.jsonl"))]
  print(f"{pairs} pairs of {sizes} sizes, each once; largest difference from 1x1 in grey levels: {found}; {shares} by "
        "process")
  return found


def kills(root, pairs, sizes, times, *, pause=0.02, counts=(1, 2, 3), seed=0):
  """Kills all processes of a run with -9, `times` times at random moments, then lets the last run end."""
  data = make_pairs(root / "data", pairs, sizes)
  rng, progress = random.Random(seed), []
  for _ in range(times):
    count = rng.choice(counts)
    before = len(log_lines(root / "out"))
    running = [start(data, root / "out", process, count, pause=pause) for process in range(count)]
    goal, deadline = before + rng.randint(0, max(1, pairs // (times + 2))), time.monotonic() + 60
    while len(log_lines(root / "out")) < goal and time.monotonic() < deadline:
      time.sleep(0.003)
    time.sleep(rng.uniform(0, 2 * pause))
    for process in running:
      process.send_signal(signal.SIGKILL)
      process.wait()
    progress.append(len(log_lines(root / "out")))
  finish([start(data, root / "out", process, 2) for process in range(2)])
  finish([start(data, root / "plain", batch_size=1)])
  check(data, root / "plain")
  largest = check(data, root / "out", root / "plain")
  print(f"killed {times} times, lines in the log after each: {progress}; all {pairs} pairs once, none torn, largest "
        f"difference from an undisturbed run {largest}")
  return progress


def memory(root, pairs):
  """MB resident after each tenth of the pairs, in a process of its own."""
  data = make_pairs(root / "data", pairs, 4)
  running = start(data, root / "out")
  page, statm = os.sysconf("SC_PAGE_SIZE"), pathlib.Path(f"/proc/{running.pid}/statm")
  found: dict[int, float] = {}
  while running.poll() is None:
    try:
      resident = int(statm.read_text().split()[1]) * page / 1e6
      found.setdefault(10 * len(log_lines(root / "out")) // pairs, resident)
    except (OSError, IndexError):
      break
    time.sleep(0.02)
  finish([running])
  steady = [resident for tenth, resident in sorted(found.items()) if tenth >= 3]
  middle = (max(steady) + min(steady)) / 2
  spread = max(steady) / middle - 1
  print(f"{pairs} pairs: MB resident by tenths {[round(found[key]) for key in sorted(found)]}; from the third tenth on "
        f"{middle:.0f} +- {spread:.1%}")
  return spread


def startup(root):
  """Seconds from the start of the process to that of the first pair's computation: first run, second run."""
  found = []
  for name in ("cold", "warm"):
    command = [sys.executable, str(TESTS.parent / "launch.py"), "--flagfile=vif.flags", "--bucket=64", "--nosheet",
               f"--compile_cache={root / 'cache'}", f"--out={root / name}"]  # fmt: skip
    begun = time.monotonic()
    running = subprocess.Popen(command, cwd=TESTS.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (lines := log_lines(root / name)):
      assert running.poll() is None, running.communicate()
      time.sleep(0.02)
    found.append(time.monotonic() - begun - json.loads(lines[0])["took"])
    finish([running])
    record = json.loads((root / name / "run.json").read_text())
    programs = f"{record['programs']} programs compiled or loaded in {record['compile_seconds']:.1f} s"
    print(f"{name}: {found[-1]:.1f} s until the first pair; {programs} in all")
  print(f"second / first: {found[1] / found[0]:.2f}")
  return found


def tiles(root, *, size=(768, 1024), sides=(512, 256), flags=("--steps=0", "--strength=1.0")):
  """PSNR of tiled against whole fusion of an example pair that is enlarged to `size`: {side: dB}. With --steps=0 a
  fused image follows the gains; `flags` may ask for the loop."""
  import cv2
  from scenes import read

  height, width = size
  for source in ("ir", "vi"):
    path = min((TESTS.parent / "examples" / "vif" / source).iterdir())
    pixels = cv2.resize(cv2.imread(str(path)), (width, height), interpolation=cv2.INTER_CUBIC)
    (root / "data" / source).mkdir(parents=True)
    cv2.imwrite(str(root / "data" / source / "pair.png"), pixels)
  for side in (0, *sides):
    places = f"--data={root / 'data'}", f"--out={root / str(side)}"
    tile = f"--tile={side}", f"--overlap={side // 4}"
    command = [sys.executable, "launch.py", "--flagfile=vif.flags", "--nosheet", *places, *tile, *flags]
    finish([subprocess.Popen(command, cwd=TESTS.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)])
  whole = read(root / "0" / "pair.png").astype(float)
  found = {}
  for side in sides:
    error = read(root / str(side) / "pair.png") - whole
    found[side] = 10 * np.log10(255**2 / max(np.mean(error**2), 1e-9))
    largest = np.abs(error).max()
    print(f"tiles of {side}, overlap {side // 4}: {found[side]:.1f} dB, at most {largest:.0f} grey levels from whole")
  return found


def main():
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("what", choices=["layouts", "kills", "chaos", "memory", "startup", "tiles", "work"])
  numbers = {"rounds": 100, "seed": 0, "pairs": 300, "sizes": 40, "kills": 10, "process": 0, "processes": 1}
  numbers["batch_size"] = 1
  for name, default in numbers.items():
    parser.add_argument(f"--{name}", type=int, default=default)
  parser.add_argument("--pause", type=float, default=0.0)
  parser.add_argument("--data", type=pathlib.Path)
  parser.add_argument("--out", type=pathlib.Path)
  given = parser.parse_args()
  if given.what == "work":
    work(given.data, given.out, given.process, given.processes, given.batch_size, given.pause)
    return
  if given.what == "chaos":
    import chaos

    sys.exit(1 if chaos.run(given.rounds, seed=given.seed) else 0)
  with tempfile.TemporaryDirectory() as folder:
    root = pathlib.Path(folder)
    if given.what == "layouts":
      layouts(root, given.pairs, given.sizes)
    elif given.what == "kills":
      kills(root, given.pairs, given.sizes, given.kills)
    elif given.what == "memory":
      memory(root, given.pairs)
    elif given.what == "startup":
      startup(root)
    else:
      tiles(root)


if __name__ == "__main__":
  main()
