"""The table of docs/video.md: how far results by the swift network are from those by the prior, on noisy pairs.

  python tests/video/swift_panel.py roadscene=DATA/vif/roadscene tno=DATA/vif/tno mri_ct=DATA/mif/mri_ct:medical
      [--pairs=8] [--side=192] [--sigma=0,10,25]

Squares in the middle of pairs that are spread over each set, with noise of sigma of 255 in both sources, independent in
all channels; found and removed by the program itself. Scores are against the sources without noise; the last column is
the number of pairs whose results are equal, and the mean PSNR of one result to the other for the rest.
"""

import argparse
import pathlib
import sys

import jax
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import dig2dig_jax as d2d
from dig2dig_jax import metrics
from dig2dig_jax.data.images import list_images, read_image

MEASURES = (*metrics.PROTOCOLS["panel"], "target_contrast")


def squares(folder, sources, count, side):
  """Of each pair: its sources, uint8 [side, side, 1 or 3]."""
  files = list_images(folder / sources[0])
  for place in np.unique(np.linspace(0, len(files) - 1, count).round().astype(int)):
    pair = []
    for source in sources:
      pixels = read_image(next((folder / source).glob(f"{files[place].stem}.*"))).pixels
      top, left = ((extent - side) // 2 for extent in pixels.shape[:2])
      square = np.uint8(np.rint(127.5 * (pixels[max(top, 0) :, max(left, 0) :][:side, :side] + 1)))
      pair.append(square[..., :1] if np.all(square == square[..., :1]) else square)
    yield pair


def noisy(pair, sigma, seed):
  rng = np.random.default_rng(seed)
  found = [image + rng.normal(0, sigma, image.shape) if sigma else image for image in pair]
  return [np.uint8(np.clip(np.rint(image), 0, 255)) for image in found]


def scored(pair, image):
  sources = [metrics.to_gray(one) for one in pair]
  return metrics.score(sources, metrics.to_gray(image[..., None] if image.ndim == 2 else image), MEASURES)


def psnr(one, other):
  error = np.mean(np.square(one.astype(float) - other))
  return np.inf if error == 0 else 10 * np.log10(255**2 / error)


def main():
  parser = argparse.ArgumentParser()
  parser.add_argument("sets", nargs="+")
  parser.add_argument("--pairs", type=int, default=8)
  parser.add_argument("--side", type=int, default=192)
  parser.add_argument("--sigma", default="0,10,25")
  asked = parser.parse_args()
  prior = d2d.load_prior(d2d.EMBEDDED)
  priors = {"prior": prior, "swift": d2d.with_swift(prior)}
  print(f"| set, pairs | noise | {' | '.join(MEASURES)} | PSNR of the two |")
  print(f"|---|---:|{' ---: |' * (1 + len(MEASURES))}")
  for one in asked.sets:
    name, _, place = one.partition("=")
    folder, _, task = place.partition(":")
    task = task or "thermal"
    pairs = list(squares(pathlib.Path(folder), d2d.preset(task).sources if task == "thermal" else
                         tuple(folder.rstrip("/").rsplit("/", 1)[-1].split("_")), asked.pairs, asked.side))  # fmt: skip
    for sigma in map(float, asked.sigma.split(",")):
      values, apart = {"prior": [], "swift": []}, []
      for number, pair in enumerate(pairs):
        sources = noisy(pair, sigma, number)
        images = {kind: d2d.fuse_images(sources, task=task, prior=own, value_range="full", palette="off", valid="off",
                                        restore="noise") for kind, own in priors.items()}  # fmt: skip
        for kind, image in images.items():
          values[kind].append(list(scored(pair, image).values()))
        apart.append(psnr(images["prior"], images["swift"]))
      first, second = (np.mean(values[kind], axis=0) for kind in ("prior", "swift"))
      cells = " | ".join(f"{a:.4f} {b - a:+.4f}" for a, b in zip(first, second, strict=True))
      equal = int(np.isinf(apart).sum())
      far = [f"{equal} equal"] if equal else []
      far += [f"{np.mean([x for x in apart if np.isfinite(x)]):.1f} dB"] if equal < len(apart) else []
      print(f"| {name}, {len(pairs)} | {sigma:g} | {cells} | {', '.join(far)} |", flush=True)


if __name__ == "__main__":
  jax.config.update("jax_platforms", "cpu")
  main()
