"""The table of docs/video.md: what weights that are averaged over time do to flicker, on synthetic clips.

  python tests/video/steady_table.py

Clips of 192 x 256 pixels, 30 frames at 25 a second, noise of 3 of 255 in both, gain jumps of 6 % in the infrared one.
Noise this weak is not restored, so that no network is evaluated.
"""

import argparse
import dataclasses
import pathlib
import sys

import jax
import made_clips as made
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import dig2dig_jax as d2d
from dig2dig_jax.methods.registry import make_method
from dig2dig_jax.metrics.flicker import Flicker
from dig2dig_jax.restoration.noise_level import Noise
from dig2dig_jax.video import steady
from dig2dig_jax.video.program import program

SIZE, FRAMES, RATE = (192, 256), 30, 25
CASES = (("0 pixels per second", 0, None), ("8", 8, None), ("60", 60, None), ("8, and a cut", 8, 0.6))


def gray(image):
  """[H, W] grey levels."""
  return np.rint(image.astype(np.float64) @ [0.299, 0.587, 0.114]) if image.shape[-1] == 3 else image[..., 0]


def fused(run, prior, bands, frames):
  """The fused frames in grey levels, with weights carried from frame to frame."""
  state, found = steady.start(2, SIZE, bands), []
  for infrared, visible in frames:
    images = np.stack([np.repeat(infrared, 3, axis=-1), visible]).astype(np.float32) / 127.5 - 1
    one, state = run(prior.params, images, state)
    found.append(gray(np.asarray(one.image)))
  return found


def measured(frames, results):
  """The warping error and its excess over the sources, in levels of 255."""
  flicker = Flicker()
  for sources, result in zip(frames, results, strict=True):
    flicker.add([gray(source) for source in sources], result)
  return flicker.found()


def lines():
  """The rows of the table."""
  prior = d2d.load_prior(d2d.EMBEDDED)
  options = dataclasses.replace(d2d.preset("thermal").options, restore="off")
  method, noise = make_method(prior, d2d.luminance_codec(1), options=options), Noise(*3 * [np.zeros(2, np.float32)])
  runs = {name: program(method, options, prior.noise, noise=noise, gray=(True, False), seed=0, share=share)
          for name, share in (("independent", 1.0), ("steady", steady.SHARE))}  # fmt: skip
  for case, drift, cut in CASES:
    scene = made.Scene(SIZE, noise=3, drift=drift, gain=0.06, cut=cut)
    frames = [scene.at(k / RATE) for k in range(FRAMES)]
    clean = [list(scene.clean(k / RATE)) for k in range(FRAMES)]
    ideal = fused(runs["independent"], prior, options.bands, clean)
    for number, (name, run) in enumerate(runs.items()):
      results = fused(run, prior, options.bands, frames)
      found = measured(frames, results)
      far = np.sqrt(np.mean([np.square(a - b).mean() for a, b in zip(results, ideal, strict=True)]))
      yield f"| {case if not number else ''} | {name} | {found.error:.2f} | {found.excess:.2f} | {far:.2f} |"


if __name__ == "__main__":
  argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
  jax.config.update("jax_platforms", "cpu")
  print("| ground motion, up to | weights | warping error | excess | to the noise-free fusion |\n"
        "| --- | --- | ---: | ---: | ---: |")  # fmt: skip
  for line in lines():
    print(line, flush=True)
