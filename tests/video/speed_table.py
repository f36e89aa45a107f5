"""The table of docs/video.md: how fast clips are fused, from files to a file, and where the time goes.

  python tests/video/speed_table.py                 # all rows; --frames=60 --rows=clean,swift,prior --parts

Synthetic clips of 640 x 480, two moving scenes at 25 frames a second, of which both have noise of 10 of 255 or none
that is removed. Every row is a run of `video.job` into an H.264 file; what is counted begins after the first frames,
when programs are compiled and queues full. CPU time is that of the process, all threads.
"""

import argparse
import dataclasses
import pathlib
import resource
import sys
import tempfile
import time

import jax
import made_clips as made

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import dig2dig_jax as d2d
from dig2dig_jax.methods.registry import make_method
from dig2dig_jax.methods.sequence import looks_for_noise, without_restoring
from dig2dig_jax.video import encode, job, stream
from dig2dig_jax.video.clip import open_clip
from dig2dig_jax.video.config import VideoConfig

SIZE, RATE, NOISE = (480, 640), 25, 10.0
ROWS = {
  "clean": ("clean clips", 0.7, False),
  "swift": ("noise in both, removed by the swift network", NOISE, True),
  "prior": ("noise in both, removed by the prior", NOISE, False),
}
WARM = 10  # frames before the count begins; of the prior's, which has no queue to fill, 2


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
  """(frames a second, CPU ms a frame, most memory in GB so far)."""
  config, method, options, prior = set_up(clips, swift)
  marks = []
  progress = lambda done, count: marks.append((time.perf_counter(), time.process_time()))  # noqa: E731
  job.run(clips, out, dataclasses.replace(config, progress=progress), method, options, prior)
  count = len(marks) - 1 - warm
  wall, cpu = (marks[-1][k] - marks[warm][k] for k in (0, 1))
  return count / wall, 1000 * cpu / count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


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
  parser.add_argument("--parts", action="store_true")
  asked = parser.parse_args()
  with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    print("| one run | frames per second | CPU time per frame | memory |\n|---|---:|---:|---:|", flush=True)
    for name in asked.rows.split(","):
      label, noise, swift = ROWS[name]
      slow = name == "prior"
      frames, warm = (8, 2) if slow else (asked.frames, WARM)
      clips = clips_of(folder, noise, frames)
      rate, cpu, memory = measured(clips, swift, folder / f"{name}.mp4", warm)
      print(f"| {label} | {rate:.3g} | {cpu:.0f} ms | {memory:.2f} GB |", flush=True)
      if asked.parts:
        for part, cpu, wall in parts(clips, swift, folder, frames):
          print(f"| – {part} | {1000 / wall:.3g} | {cpu:.0f} ms | |", flush=True)


if __name__ == "__main__":
  jax.config.update("jax_platforms", "cpu")
  main()
