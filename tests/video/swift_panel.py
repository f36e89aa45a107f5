"""The table of docs/video.md: how far results by the swift network are from those by the prior.

  python tests/video/swift_panel.py roadscene=DATA/vif/roadscene tno=DATA/vif/tno mri_ct=DATA/mif/mri_ct:medical
      [--pairs=8] [--side=192] [--sigma=0,10,25] [--swift=FOLDER]

Squares in the middle of pairs that are spread over each set, with noise of sigma of 255 in both sources, independent in
all channels; found and removed by the program itself. Scores are against the sources without noise, PSNR and SSIM
against their fusion. A cell is the value by the prior and the change by swift, in per cent of it.
"""

import argparse
import pathlib
import sys

import jax
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import dig2dig_jax as d2d
from dig2dig_jax import metrics
from dig2dig_jax.assets import SWIFT
from dig2dig_jax.benchmarks.degraded import similarity
from dig2dig_jax.benchmarks.pairs import loaded, spread
from dig2dig_jax.data.images import to_uint8
from dig2dig_jax.data.pairs import find_pairs

MEASURES = (*metrics.PROTOCOLS["panel"], "target_contrast")


def squares(folder, sources, count, side):
  """Of each pair: its sources, uint8 [side, side, 1 or 3]."""
  for pair in spread(find_pairs(folder, sources)[0], count):
    images = to_uint8(loaded(pair, side).sources)
    yield [image[..., :1] if np.all(image == image[..., :1]) else image for image in images]


def noisy(pair, sigma, seed):
  rng = np.random.default_rng(seed)
  found = [image + rng.normal(0, sigma, image.shape) if sigma else image for image in pair]
  return [np.uint8(np.clip(np.rint(image), 0, 255)) for image in found]


def gray(image):
  return metrics.to_gray(image[..., None] if image.ndim == 2 else image)


def scored(pair, image, clean):
  """{measure: value}."""
  found = metrics.score([metrics.to_gray(one) for one in pair], gray(image), MEASURES)
  return found | dict(zip(("PSNR", "SSIM"), similarity(gray(clean), gray(image)), strict=True))


def compared(pairs, sigma, task, priors):
  """{kind: {measure: mean over pairs}}, and the number of pairs whose results are equal."""
  options = {"task": task, "value_range": "full", "palette": "off", "valid": "off", "restore": "noise"}
  values, equal = {kind: [] for kind in priors}, 0
  for number, pair in enumerate(pairs):
    sources = noisy(pair, sigma, number)
    images = {kind: d2d.fuse_images(sources, prior=prior, **options) for kind, prior in priors.items()}
    clean = d2d.fuse_images(pair, prior=priors["prior"], **options) if sigma else None
    for kind, image in images.items():
      values[kind].append(scored(pair, image, images["prior"] if clean is None else clean))
    equal += np.array_equal(*images.values())
  means = {kind: {name: np.mean([row[name] for row in rows]) for name in rows[0]} for kind, rows in values.items()}
  return means, equal


def change(first, second):
  return "equal" if np.isinf(first) else f"{first:.4g} {100 * (second / first - 1):+.2f} %"


def main():
  parser = argparse.ArgumentParser()
  parser.add_argument("sets", nargs="+", metavar="NAME=FOLDER[:TASK[:SOURCE,SOURCE]]")
  parser.add_argument("--pairs", type=int, default=8, help="0 for all")
  parser.add_argument("--side", type=int, default=192)
  parser.add_argument("--sigma", default="0,10,25")
  parser.add_argument("--swift", type=pathlib.Path, default=SWIFT, help="folder of the swift network")
  asked = parser.parse_args()
  prior = d2d.load_prior(d2d.EMBEDDED)
  priors = {"prior": prior, "swift": d2d.with_swift(prior, asked.swift)}
  columns = [*MEASURES, "PSNR", "SSIM"]
  print(f"| set, pairs | noise | {' | '.join(columns)} | equal |")
  print(f"|---|---:|{' ---: |' * (1 + len(columns))}")
  for one in asked.sets:
    name, _, place = one.partition("=")
    folder, task, sources = (place.split(":") + ["", ""])[:3]
    task = task or "thermal"
    names = sources.split(",") if sources else d2d.preset(task).sources
    pairs = list(squares(folder, names, asked.pairs, asked.side))
    for sigma in map(float, asked.sigma.split(",")):
      found, equal = compared(pairs, sigma, task, priors)
      cells = [change(*(found[kind][column] for kind in priors)) for column in columns]
      print(f"| {name}, {len(pairs)} | {sigma:g} | {' | '.join(cells)} | {equal} |", flush=True)


if __name__ == "__main__":
  jax.config.update("jax_platforms", "cpu")
  main()
