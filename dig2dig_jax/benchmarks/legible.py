"""Is text legible in the fused image that no source shows in full? OCR of fused pages, compared with OCR of the page.

  python -m dig2dig_jax.benchmarks.legible make focus out/text --pages=12
  python launch.py --flagfile=mff.flags --data=out/text --out=out/text_fused
  python -m dig2dig_jax.benchmarks.legible score out/text "dig2dig=out/text_fused"

`make` draws pages of random words, and two frames of each: two planes of focus, or two exposures, each of which shows
one half. `score` reads pages, frames, fused images and the plain fusions by RapidOCR (`pip install
rapidocr-onnxruntime`, models in ONNX in the package). The reference is the reading of the page.
"""

import argparse
import collections
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dig2dig_jax import escape
from dig2dig_jax.benchmarks import command
from dig2dig_jax.data.datasets import DataConfig
from dig2dig_jax.errors import UserError
from dig2dig_jax.evaluation import compare, folders
from dig2dig_jax.files import replacing
from dig2dig_jax.record import explained, make_folder

FRAMES = {"focus": ("a", "b"), "exposure": ("under", "over")}
WHOLE = "page"
_SIZE = (320, 480)
_LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ2345678"  # without those that look alike
_STOPS = 8.0  # between the two halves' light, and between the exposures
_GAMMA = 2.2
_NOISE = 4.0  # grey levels, of each exposure
_BLUR = 4.0  # pixels, deviation, of what is out of focus

Read = Callable[[np.ndarray], str]


def page(random: np.random.Generator, size: tuple[int, int] = _SIZE, letters: int = 18) -> np.ndarray:
  """uint8 [H, W, 3]: words of five letters in lines, dark on a light ground of slow shades. letters: their height."""
  height, width = size
  coarse = random.uniform(185, 235, (4, 6, 3)).astype(np.float32)
  image = Image.fromarray(np.rint(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)).astype(np.uint8))
  draw, font = ImageDraw.Draw(image), ImageFont.load_default(letters)
  step = int(5.2 * letters)  # of a word and the gap behind it
  for top in range(letters, height - 2 * letters, 2 * letters):
    for left in range(letters, width - step + letters, step):
      word = "".join(random.choice(list(_LETTERS), 5))
      draw.text((left, top), word, fill=tuple(random.integers(10, 70, 3).tolist()), font=font)
  return np.asarray(image)


def frames(kind: str, whole: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
  """Two frames uint8 [H, W, 3] of a page, each of which shows one half of it: the near and the far plane, or in half
  light the dark exposure, which holds the bright half, and the bright one."""
  height, width = whole.shape[:2]
  edge = width / 2 + width / 12 * np.sin(np.linspace(0, random.uniform(4, 8), height) + random.uniform(0, 6))
  left = (np.arange(width) < edge[:, None]).astype(np.float32)
  first = cv2.GaussianBlur(left, (0, 0), 2)[..., None]
  sharp = whole.astype(np.float32)
  if kind == "focus":
    blurred = cv2.GaussianBlur(sharp, (0, 0), _BLUR)
    found = [first * sharp + (1 - first) * blurred, first * blurred + (1 - first) * sharp]
  else:
    light = (sharp / 255) ** _GAMMA * (first + (1 - first) * 2**-_STOPS)
    found = [255 * np.clip(light * gain, 0, 1) ** (1 / _GAMMA) for gain in (1, 2**_STOPS)]
    found = [image + random.normal(0, _NOISE, image.shape) for image in found]
  one, two = (np.clip(np.rint(image), 0, 255).astype(np.uint8) for image in found)
  return one, two


def make(kind: str, out: Path, pages: int, seed: int = 0) -> None:
  """Writes `out`/page, and the two frames of every page in folders of FRAMES[kind]."""
  for number in range(pages):
    random = np.random.default_rng([seed, number])
    whole = page(random)
    for name, image in zip((WHOLE, *FRAMES[kind]), (whole, *frames(kind, whole, random)), strict=True):
      make_folder(out / name)
      with explained(out / name), replacing(out / name / f"{number:03d}.png") as temporary:
        Image.fromarray(image).save(temporary, format="PNG")


def agreement(read: str, whole: str) -> float:
  """Of two readings: twice the words that both have over all words of both, in 0..1 and without order; NaN where
  neither has a word."""
  first, second = collections.Counter(read.split()), collections.Counter(whole.split())
  total = first.total() + second.total()
  return 2 * (first & second).total() / total if total else float("nan")


def score(out: Path, fused: Mapping[str, Path], read: Read) -> str:
  """Markdown: of each method the mean agreement with the page, its interval, and Wilcoxon's test against the first by
  Holm. UserError for an image that is missing, and where nothing on the pages can be read."""
  kind = next((kind for kind, names in FRAMES.items() if (out / names[0]).is_dir()), None)
  if kind is None:
    raise UserError(f"{out}: expected folders that `legible make` wrote, found none")
  methods = {**fused, WHOLE: out / WHOLE}
  found = {method: folders.index(folder, []) for method, folder in methods.items()}
  scores: dict[str, list[float]] = {}
  for pair in DataConfig(out, FRAMES[kind]).find()[0]:
    failed: list[str] = []
    images = folders.load(pair, methods, found, failed)
    if images is None:
      raise UserError(failed[0])
    whole = read(images.methods.pop(WHOLE))
    for method, image in folders.with_baselines(images).methods.items():
      scores.setdefault(method, []).append(agreement(read(image), whole))
  values = {method: {"agreement": np.array(row)} for method, row in scores.items()}
  if not np.isfinite(next(iter(values.values()))["agreement"]).any():
    raise UserError(f"{out / WHOLE}: expected pages with words, read none; make them anew")
  first = next(iter(values))
  tests = compare.differences(values, first)["agreement"]
  rows = []
  for method, row in values.items():
    own, test = compare.summarise(row["agreement"]), tests.get(method)
    against = ["–", "–"] if test is None else [f"{0 - test.mean:+.3f}", f"{test.adjusted:.3g}"]
    rows.append([escape.markdown(method), f"{own.mean:.3f}", f"{own.low:.3f} to {own.high:.3f}", *against])
  heads = ["read in", "agreement ↑", "95 % of the mean", f"{escape.markdown(first)} better by", "p by Holm"]
  return f"{len(next(iter(scores.values())))} pages, {kind}\n\n" + escape.table(heads, rows)


def reader() -> Read:
  """RapidOCR's words of an image uint8 [H, W, 1 or 3]. UserError where it is not installed."""
  try:
    from rapidocr_onnxruntime import RapidOCR
  except ImportError as error:
    raise UserError("legible: reading takes RapidOCR; do: pip install rapidocr-onnxruntime") from error
  engine = RapidOCR()

  def read(image: np.ndarray) -> str:
    found, _ = engine(np.ascontiguousarray(np.broadcast_to(image, (*image.shape[:2], 3))[..., ::-1]))
    return " ".join(line[1] for line in found or [])

  return read


def main(words: Sequence[str]) -> int:
  parser = argparse.ArgumentParser(prog="python -m dig2dig_jax.benchmarks.legible", description=__doc__)
  commands = parser.add_subparsers(dest="command", required=True)
  made = commands.add_parser("make")
  made.add_argument("kind", choices=tuple(FRAMES))
  made.add_argument("out", type=Path)
  made.add_argument("--pages", type=int, default=12)
  made.add_argument("--seed", type=int, default=0)
  scored = commands.add_parser("score")
  scored.add_argument("out", type=Path)
  scored.add_argument("fused", nargs="+", metavar="NAME=FOLDER")
  asked = parser.parse_args(words)
  return command.status(lambda: _asked(asked))


def _asked(asked: argparse.Namespace) -> str:
  if asked.command == "make":
    make(asked.kind, asked.out, asked.pages, asked.seed)
    return ""
  return score(asked.out, command.named_folders(asked.fused), reader())


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
