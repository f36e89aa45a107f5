"""The table of docs/video.md on long clips: flicker, drift, memory, and a run that is killed three times.

  python tests/video/film.py FOLDER [--seconds=80] [--noise=8]

Makes FOLDER/ir.mp4 and FOLDER/vi.mp4 of the photographs of examples/vif (320 x 240, 25 frames a second): a camera that
pans and zooms over one scene, a cut, the other scene; a warm walker; noise in both; an infrared gain that jumps. Fuses
them by the swift network as a whole, killed and resumed, and frame by frame, each in a process of its own.
"""

import argparse
import dataclasses
import json
import pathlib
import signal
import subprocess
import sys
import time

import cv2
import jax
import made_clips as made
import numpy as np
import speed_table

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from dig2dig_jax.metrics import to_gray
from dig2dig_jax.metrics.flicker import Flicker
from dig2dig_jax.video import allocation, encode, job
from dig2dig_jax.video.clip import open_clip

ROOT = pathlib.Path(__file__).resolve().parents[2]
SIZE, RATE = (240, 320), 25
SCENES = ("cameraman", "coffee")
PERIOD = 10  # seconds, in which all that moves and changes returns: halves of a film are of several
KILLED_AT = (0.2, 0.5, 0.8)  # of the segments
STRETCH, EVERY = 15, 75  # frames that flicker is measured in, of so many
FIRST, LOOK = 200, 50  # frame from which memory is compared, and every so many


class Film:
  """What two cameras see, as `made_clips.Scene`. noise: standard deviation, of 255."""

  def __init__(self, seconds, noise, seed=0):
    self.seconds, self.noise, self._rng = seconds, noise, np.random.default_rng(seed)
    folder = ROOT / "examples" / "vif"
    self._images = [[cv2.imread(str(folder / kind / f"{name}.png"))[..., ::-1].astype(np.float32)
                     for kind in ("ir", "vi")] for name in SCENES]  # fmt: skip

  def at(self, time):
    """(infrared uint8 [H, W, 1], visible uint8 [H, W, 3])."""
    infrared, visible = self._images[int(time >= self.seconds / 2)]
    height, width = visible.shape[:2]
    turn = 2 * np.pi * time / PERIOD
    side = (0.62 + 0.08 * np.sin(turn)) * min(height, width * SIZE[0] / SIZE[1])  # rows that are seen
    scale = side / SIZE[0]
    middle = 0.5 + 0.12 * np.array([np.sin(turn + 2), np.sin(turn)])  # of the width and height
    matrix = np.float32([[scale, 0, middle[0] * width - scale * SIZE[1] / 2],
                         [0, scale, middle[1] * height - scale * SIZE[0] / 2]])  # fmt: skip
    seen = [cv2.warpAffine(image, matrix, SIZE[::-1], flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
                           borderMode=cv2.BORDER_REFLECT) for image in (infrared, visible)]  # fmt: skip
    walker = made.walker(SIZE, 2.8 * time / PERIOD % 1.4 - 0.2)
    gain = 1 + 0.06 * (int(4 * time / PERIOD) % 2)
    warm = gain * (seen[0].mean(axis=-1, keepdims=True) * (1 - walker) + 210 * walker)
    dark = seen[1] * (1 - 0.6 * walker)
    noisy = [image + self._rng.normal(0, self.noise, image.shape) for image in (warm, dark)]
    return [np.clip(np.rint(image), 0, 255).astype(np.uint8) for image in noisy]


def make(folder, seconds, noise):
  """The two clips, where they are not there."""
  for name, k in (("ir", 0), ("vi", 1)):
    if not (folder / f"{name}.mp4").is_file():
      film = Film(seconds, noise, seed=k)
      made.write(folder / f"{name}.mp4", (film.at(number / RATE)[k] for number in range(round(RATE * seconds))),
                 rate=RATE)  # fmt: skip


def fuse(folder, out, *, steady, restore):
  """In this process; prints resident memory in MB from frame `FIRST` on, every so many frames."""
  clips = {name: open_clip(folder / f"{name}.mp4") for name in ("ir", "vi")}
  allocation.keep_freed()  # as dig2dig video does
  config, method, options, prior = speed_table.set_up(clips, swift=True)
  memory = {}

  def note(done, count):
    if done >= FIRST and done % LOOK == 0:
      pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
      memory[done] = pages * 4096 / 2**20

  config = dataclasses.replace(config, progress=note, restore=restore, share=config.share if steady else 1.0)
  report = job.run(clips, out, config, method, options, prior)
  print(json.dumps({"memory": memory, "before": report.before, "cuts": report.cuts}))


def child(folder, out, *words):
  """The process that fuses into `out`."""
  command = [sys.executable, __file__, str(folder), f"--into={out}", *words]
  return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def told(process):
  """What a child printed. RuntimeError where it failed."""
  said, _ = process.communicate()
  if process.returncode:
    raise RuntimeError(f"a run ended with status {process.returncode}")
  return json.loads(said.splitlines()[-1])


def killed(folder, out, count):
  """Runs that are killed when so many segments stand; then one to the end. Returns how many frames that one found."""
  log = out.with_name(out.name + ".parts") / "segments.jsonl"
  for segments in [int(share * count) for share in KILLED_AT]:
    process = child(folder, out)
    while process.poll() is None and (not log.is_file() or len(log.read_bytes().splitlines()) <= segments):
      time.sleep(0.1)
    if process.poll() is not None:
      raise RuntimeError(f"the run that was to be killed ended by itself, with status {process.returncode}")
    process.send_signal(signal.SIGKILL)
    process.wait()
  return told(child(folder, out))["before"]


def frames_of(path):
  """[H, W] grey levels of every frame."""
  for frame in open_clip(path).frames():
    yield np.clip(to_gray(frame.read().astype(np.float32)), 0, 255)


def average(folder, out):
  """The pixel average of both clips, by the encoder that results have."""
  with encode.Segment(out, SIZE, open_clip(folder / "vi.mp4").rate) as segment:
    for pair in zip(*(open_clip(folder / f"{name}.mp4").frames() for name in ("ir", "vi")), strict=True):
      infrared, visible = (frame.read().astype(np.float32) for frame in pair)
      segment.add(np.uint8(np.rint((infrared + visible) / 2)))


def scored(folder, out):
  """(warping error, excess, [drift of each scene, levels a minute]): of the difference of the mean brightness to the
  sources', between a scene's first and last period."""
  found, apart = [], []
  together = zip(*(frames_of(path) for path in (folder / "ir.mp4", folder / "vi.mp4", out)), strict=True)
  for number, (*sources, fused) in enumerate(together):
    apart.append(fused.mean() - np.mean([source.mean() for source in sources]))
    if number % EVERY == 0:
      found.append(Flicker())
    if number % EVERY < STRETCH:
      found[-1].add(sources, fused)
  each = [one.found() for one in found]
  pairs = sum(one.pairs for one in each)
  error, excess = (np.sqrt(sum(one.pairs * getattr(one, name) ** 2 for one in each if one.pairs) / pairs)
                   for name in ("error", "excess"))  # fmt: skip
  half, period = len(apart) // 2, round(PERIOD * RATE)
  minutes = (half - period) / (60 * RATE)
  scenes = apart[:half], apart[half:]
  return error, excess, [(np.mean(part[-period:]) - np.mean(part[:period])) / minutes for part in scenes]


def main():
  parser = argparse.ArgumentParser()
  parser.add_argument("folder", type=pathlib.Path)
  parser.add_argument("--seconds", type=float, default=80)
  parser.add_argument("--noise", type=float, default=8)
  parser.add_argument("--into", type=pathlib.Path)
  parser.add_argument("--alone", action="store_true")
  parser.add_argument("--keep_noise", action="store_true")
  asked = parser.parse_args()
  if asked.into:
    fuse(asked.folder, asked.into, steady=not asked.alone, restore=not asked.keep_noise)
    return
  folder = asked.folder
  make(folder, asked.seconds, asked.noise)
  count = round(RATE * asked.seconds)
  whole = told(child(folder, folder / "steady.mp4"))
  held = whole["memory"].values()
  print(f"{count} frames, new scene at frame {whole['cuts']}; resident memory from frame {FIRST} on: {min(held):.0f} "
        f"to {max(held):.0f} MB ({100 * (max(held) / min(held) - 1):.1f} %)", flush=True)  # fmt: skip
  before = killed(folder, folder / "killed.mp4", count // 50)
  same = (folder / "killed.mp4").read_bytes() == (folder / "steady.mp4").read_bytes()
  print(f"killed three times and resumed ({before} frames found by the last run): "
        f"{'the same file' if same else 'ANOTHER FILE'}", flush=True)  # fmt: skip
  average(folder, folder / "average.mp4")
  told(child(folder, folder / "alone.mp4", "--alone"))
  told(child(folder, folder / "noisy.mp4", "--alone", "--keep_noise"))
  print("| clip | warping error | excess | drift of the scenes, levels a minute |\n| --- | ---: | ---: | ---: |")
  for name, label in (("average", "pixel average"), ("noisy", "frame by frame, noise kept"),
                      ("alone", "frame by frame, swift"), ("steady", "as it is, swift")):  # fmt: skip
    error, excess, drift = scored(folder, folder / f"{name}.mp4")
    print(f"| {label} | {error:.2f} | {excess:.2f} | {' and '.join(f'{one:+.2f}' for one in drift)} |", flush=True)


if __name__ == "__main__":
  jax.config.update("jax_platforms", "cpu")
  main()
