"""The table of docs/video.md: how fast clips are fused, from files to a file, and where the time goes.

  python tests/video/speed_table.py                 # all rows; --frames=60 --rows=clean,swift,prior --rounds=5 --parts

Synthetic clips of 640 x 480, two moving scenes at 25 frames a second, of which both have noise of 10 of 255 or none
that is removed. Every row is the median of some runs of `video.job` into an H.264 file, each in a process of its own,
one run of each row in turn, since a machine's speed changes; what is counted begins after the first frames, when
programs are compiled and queues full. CPU time is that of the process, all threads. The first frame includes loading
the networks and compiling, without programs kept from earlier runs.
"""

import argparse
import dataclasses
import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import jax
import made_clips as made
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import dig2dig_jax as d2d
from dig2dig_jax.methods.registry import make_method
from dig2dig_jax.methods.sequence import looks_for_noise, without_restoring
from dig2dig_jax.video import allocation, encode, job, stream
from dig2dig_jax.video.clip import open_clip
from dig2dig_jax.video.config import VideoConfig

SIZE, RATE, NOISE = (480, 640), 25, 10.0
ROWS = {
  "clean": ("clean clips", 0.7, False),
  "swift": ("noise in both, removed by the swift network", NOISE, True),
  "prior": ("noise in both, removed by the prior", NOISE, False),
}
WARM = 10  # frames before the count begins, while queues fill; 2 of the prior's, which is too slow to fill any


def clips_of(folder, noise, frames):
  """The two clips, written where they are not there yet."""
  folder = folder / f"noise_{noise:g}_{frames}"
  if not folder.is_dir():
    made.write_both(folder, count=frames, rate=RATE, infrared_rate=RATE, sound=False, size=SIZE, noise=noise,
                    drift=20.0)  # fmt: skip
  return {"ir": open_clip(folder / "ir.mp4"), "vi": open_clip(folder / "vi.mp4")}


def set_up(clips, swift):
  """(config, method, options, prior) as `dig2dig video` has them."""
  prior = d2d.load_prior(d2d.EMBEDDED)
  prior = d2d.with_swift(prior) if swift else prior
  chosen = d2d.preset("thermal").options
  options = without_restoring(chosen)
  config = VideoConfig(restore=looks_for_noise(chosen))
  return config, make_method(prior, d2d.luminance_codec(1), options=options), options, prior


def measured(clips, swift, out, warm):
  """(frames a second, CPU ms a frame, seconds until the first frame, most memory in GB so far)."""
  begun = time.perf_counter()
  config, method, options, prior = set_up(clips, swift)
  marks = []
  progress = lambda done, count: marks.append((time.perf_counter(), time.process_time()))  # noqa: E731
  job.run(clips, out, dataclasses.replace(config, progress=progress), method, options, prior)
  count = len(marks) - 1 - warm
  wall, cpu = (marks[-1][k] - marks[warm][k] for k in (0, 1))
  first = marks[0][0] - begun
  return count / wall, 1000 * cpu / count, first, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def parts(clips, swift, folder, frames):
  """(name, CPU ms a frame, clock ms a frame) of what a frame goes through, each by itself."""
  config, method, options, prior = set_up(clips, swift)
  flow = job.flow_of(clips, config, method, options, prior, lambda line: None)

  def timed(name, work):
    begun = time.perf_counter(), time.process_time()
    count = work()
    return name, 1000 * (time.process_time() - begun[1]) / count, 1000 * (time.perf_counter() - begun[0]) / count

  ready = []

  def decode():
    ready.extend(one for one, _ in zip(stream._ready(flow, 0), range(frames), strict=False))
    return len(ready)

  yield timed("decoding and preparing", decode)
  state = flow.start()
  _, state = jax.block_until_ready(flow.program(flow.params, ready[0].images, state))
  images = []

  def compute():
    nonlocal state
    for one in ready:
      found, state = flow.program(flow.params, one.images, state)
      images.append(jax.device_get(found.image))
    return len(ready)

  yield timed("the program", compute)

  def write():
    with encode.Segment(folder / "part.mp4", flow.prepared.size, clips["vi"].rate) as segment:
      for image in images:
        segment.add(image[: SIZE[0], : SIZE[1]])
    return len(images)

  yield timed("encoding", write)


def main():
  parser = argparse.ArgumentParser()
  parser.add_argument("--frames", type=int, default=110)
  parser.add_argument("--rows", default="clean,swift,prior")
  parser.add_argument("--rounds", type=int, default=1)
  parser.add_argument("--parts", action="store_true")
  parser.add_argument("--one", help=argparse.SUPPRESS)  # a folder of clips: one run of one row, in this process
  asked = parser.parse_args()
  names = asked.rows.split(",")
  if asked.one:
    one(pathlib.Path(asked.one), names[0], asked.frames, by_parts=asked.parts)
    return
  with tempfile.TemporaryDirectory() as folder:
    found = {name: [] for name in names}
    for _ in range(asked.rounds):
      for name in names:
        found[name].append(child(folder, name, asked.frames))
    print("| clips | frames per second | CPU time per frame | first frame after | memory |\n|---|---:|---:|---:|---:|")
    for name in names:
      rate, cpu, first, memory = np.median(found[name], axis=0)
      print(f"| {ROWS[name][0]} | {rate:.3g} | {cpu:.0f} ms | {first:.0f} s | {memory:.2f} GB |", flush=True)
      for part, cpu, wall in child(folder, name, asked.frames, "--parts") if asked.parts else ():
        print(f"| – {part} | {1000 / wall:.3g} | {cpu:.0f} ms | | |", flush=True)
  if {"swift", "prior"} <= set(names):
    ratios = [swift[0] / prior[0] for swift, prior in zip(found["swift"], found["prior"], strict=True)]
    print(f"\nswift beside the prior, round by round: {', '.join(f'{ratio:.1f}' for ratio in ratios)} times as fast; "
          f"median {np.median(ratios):.1f}")  # fmt: skip


def child(folder, name, frames, *words):
  """What `one` prints in a process of its own, as `dig2dig video` is: a run leaves threads and memory behind."""
  command = [sys.executable, __file__, f"--one={folder}", f"--rows={name}", f"--frames={frames}", *words]
  return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1])


def one(folder, name, frames, *, by_parts):
  _, noise, swift = ROWS[name]
  count, warm = (8, 2) if name == "prior" else (frames, WARM)
  clips = clips_of(folder, noise, count)
  if by_parts:
    found = list(parts(clips, swift, folder, count))
  else:
    out = folder / f"{name}.mp4"
    found = measured(clips, swift, out, warm)
    out.unlink()
  print(json.dumps(found))


if __name__ == "__main__":
  jax.config.update("jax_platforms", "cpu")
  allocation.keep_freed()  # as dig2dig video does
  main()
