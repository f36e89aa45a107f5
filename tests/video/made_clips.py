"""A made scene in infrared and visible light, as two cameras on one mount see it: files for tests and for a first try.

  python tests/video/made_clips.py FOLDER [SECONDS]  # FOLDER/ir.mp4 (10 frames a second), FOLDER/vi.mp4 (25, sound)

A warm walker crosses a textured ground that sways slowly; the infrared camera corrects its gain from time to time;
both have noise. Where a cut is asked for, another scene begins.
"""

import argparse
import itertools
import pathlib
from fractions import Fraction

import cv2
import numpy as np

try:
  import av
except ImportError:  # tests of files skip then
  av = None

SCENES = 2
WALK = 0.35  # of the frame's width per second


class Scene:
  """What two cameras see at a time in seconds. noise: standard deviation, of 255. drift: most pixels of the ground
  a second, to and fro.
  gain: how much the infrared camera's gain jumps, as a share. cut: seconds, from which it is another scene."""

  def __init__(self, size=(96, 128), *, seed=0, noise=2.0, drift=4.0, gain=0.06, cut=None):
    self.size, self.noise, self.drift, self.gain, self.cut = size, noise, drift, gain, cut
    self._rng = np.random.default_rng(seed)
    self._ground = [[_texture(self._rng, size, channels) for channels in (1, 3)] for _ in range(SCENES)]

  def clean(self, time):
    """(infrared uint8 [H, W, 1], visible uint8 [H, W, 3]) without noise."""
    scene = int(self.cut is not None and time >= self.cut)
    height, width = self.size
    sway = 20 * (1 - np.cos(self.drift * time / 20))  # pixels
    shift = np.float32([[1, 0, -4 - sway], [0, 1, -4 - 0.4 * sway]])
    infrared, visible = (cv2.warpAffine(ground, shift, (width, height), borderMode=cv2.BORDER_REFLECT).reshape(
      height, width, -1) for ground in self._ground[scene])
    figure = walker(self.size, (0.15 + 0.55 * scene + WALK * time) % 1.2 - 0.1)
    infrared = 40 + 90 * infrared + 110 * figure
    infrared = infrared * (1 + self.gain * (int(time * 2) % 2))
    visible = (25 + 110 * visible) * (1 + 0.9 * scene) * (1 - 0.75 * figure)
    return (np.clip(image, 0, 255) for image in (infrared, visible))

  def at(self, time):
    """The same as cameras give it, uint8."""
    noisy = [image + self._rng.normal(0, self.noise, image.shape) for image in self.clean(time)]
    return [np.clip(np.rint(image), 0, 255).astype(np.uint8) for image in noisy]


def _texture(rng, size, channels):
  """[H + 60, W + 60, channels] in about 0 to 1."""
  height, width = size[0] + 60, size[1] + 60
  found = np.zeros((height, width, channels), np.float32)
  for cell, amount in ((40, 0.5), (12, 0.3), (4, 0.2)):
    coarse = rng.uniform(0, 1, (height // cell + 2, width // cell + 2, channels)).astype(np.float32)
    found += amount * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).reshape(found.shape)
  return found


def walker(size, place):
  """[H, W, 1] in 0 to 1: a soft upright figure whose centre is at this share of the width."""
  height, width = size
  y, x = np.mgrid[:height, :width].astype(np.float32)
  distance = np.hypot((x - place * width) / (0.05 * width), (y - 0.55 * height) / (0.22 * height))
  return (1 / (1 + np.exp(np.clip(12 * (distance - 1), -30, 30))))[..., None]


def write(
  path, frames, *, rate, codec="libx264", pix_fmt="yuv420p", sound=False, pts=None, time_base=None, options=None
):
  """A video of frames uint8 or uint16 [H, W, 1 or 3]; pts: their time stamps, where they are not regular."""
  frames, count = iter(frames), 0
  first = next(frames)
  path.parent.mkdir(parents=True, exist_ok=True)
  with av.open(str(path), "w") as container:
    stream = container.add_stream(codec, rate=rate, options=options or ({"crf": "12"} if codec == "libx264" else {}))
    stream.height, stream.width, stream.pix_fmt = *first.shape[:2], pix_fmt
    if time_base is not None:
      stream.time_base = stream.codec_context.time_base = time_base
    voice = _voice(container) if sound else None
    for k, image in enumerate(itertools.chain([first], frames)):
      count, frame = k + 1, _frame(image)
      frame.pts, frame.time_base = (k if pts is None else pts[k]), time_base or Fraction(1, rate)
      container.mux(stream.encode(frame))
    container.mux(stream.encode())
    if voice is not None:
      _speak(container, voice, count / rate)


def _frame(image):
  if image.dtype == np.uint16:
    return av.VideoFrame.from_ndarray(image[..., 0], format="gray16le")
  rgb = np.ascontiguousarray(np.repeat(image, 3 // image.shape[-1], axis=-1))
  return av.VideoFrame.from_ndarray(rgb, format="rgb24")


def _voice(container):
  stream = container.add_stream("aac", rate=16000)
  stream.layout = "mono"
  return stream


def _speak(container, stream, seconds):
  wave = (8000 * np.sin(np.arange(int(16000 * seconds)) / 8)).astype(np.int16)[None]
  frame = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
  frame.sample_rate, frame.pts, frame.time_base = 16000, 0, Fraction(1, 16000)
  resampler = av.AudioResampler("fltp", "mono", 16000, frame_size=1024)
  for part in [*resampler.resample(frame), *resampler.resample(None)]:
    container.mux(stream.encode(part))
  container.mux(stream.encode())


def write_both(folder, *, count=30, rate=25, infrared_rate=10, sound=True, **scene):
  """FOLDER/ir.mp4 and FOLDER/vi.mp4 of one scene; count: visible frames."""
  infrared, visible = Scene(**scene), Scene(**scene)
  times = [k / rate for k in range(count)]
  write(folder / "vi.mp4", [visible.at(time)[1] for time in times], rate=rate, sound=sound)
  many = -(-count * infrared_rate // rate)
  write(folder / "ir.mp4", [infrared.at(k / infrared_rate)[0] for k in range(many)], rate=infrared_rate)
  return folder / "ir.mp4", folder / "vi.mp4"


if __name__ == "__main__":
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("folder", type=pathlib.Path, metavar="FOLDER")
  parser.add_argument("seconds", type=float, nargs="?", default=6.0, metavar="SECONDS")
  given = parser.parse_args()
  if given.seconds <= 0:
    parser.error(f"expected SECONDS above 0, found {given.seconds:g}")
  write_both(given.folder, count=round(25 * given.seconds), size=(480, 640), noise=3.0, drift=20.0,
             cut=given.seconds / 2)  # fmt: skip
  print(f"written: {given.folder / 'ir.mp4'} and {given.folder / 'vi.mp4'}")
