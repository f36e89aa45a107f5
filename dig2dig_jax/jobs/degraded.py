"""How close does fusion of degraded sources come to fusion of the clean ones? A table per degradation.

Clean pairs are reduced to luminance and degraded here, both sources alike unless a case says otherwise. Every row is
held against Dig2DIG's fusion of the clean sources (PSNR, SSIM), and scored against the clean sources as usual. `inputs`
is the PSNR of what went into the fusion: how well a row restores, before it fuses.
"""

import dataclasses
import json
import time
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from skimage.restoration import denoise_nl_means, denoise_wavelet
from tqdm import tqdm

from dig2dig_jax import metrics
from dig2dig_jax.data.images import to_uint8
from dig2dig_jax.data.padding import bucket_size, crop, reflect_pad
from dig2dig_jax.data.pairs import LoadedPair, content_id, find_pairs, load_pair
from dig2dig_jax.errors import UserError
from dig2dig_jax.jobs import sheet
from dig2dig_jax.jobs.degradation import Degradation, parse
from dig2dig_jax.jobs.fuse import FuseConfig
from dig2dig_jax.jobs.fuser import Fuser
from dig2dig_jax.jobs.record import make_folder, write_text
from dig2dig_jax.jobs.restorer import Restorer
from dig2dig_jax.jobs.table import csv_text, json_text, markdown
from dig2dig_jax.methods.base import Method

SHEET_ROWS = 6
_LUMA = np.array([[0.299], [0.587], [0.114]], np.float32)
# case -> (stages, sigma of 8-bit values), of every source; or of the first alone, the others clean.
CASES: dict[str, tuple[str, float]] = {
  "noise15": ("none", 15),
  "noise25": ("none", 25),
  "noise50": ("none", 50),
  "blur": ("blur(2)", 2),
  "x4": ("average(4)", 0),
  "composite": ("blur(1.2)+average(2)", 10),
  "first_x4": ("average(4)", 0),
}
PLAIN, OURS = "Dig2DIG on the degraded sources", "Dig2DIG, training-free restoration"


class Runner(NamedTuple):
  """A method compiled, with its seed and padding: (sources [K, H, W, 3], name) -> fused [H, W, 3]."""

  fuser: Fuser
  bucket: int

  def __call__(self, sources: np.ndarray, name: str) -> np.ndarray:
    size = sources.shape[1:3]
    padded = reflect_pad(sources, bucket_size(*size, multiple=self.bucket))
    return crop(self.fuser(padded[None], np.array([content_id(name)], np.uint32))[0][0], size)


def run(
  restorer_of: Callable[[dict[str, Degradation]], Restorer],
  dig2dig: tuple[Method, dict],
  config: FuseConfig,
  *,
  drfusion: tuple[Method, dict] | None = None,
  cases: tuple[str, ...] = tuple(CASES),
  limit: int = 0,
  middle: int = 0,
) -> str:
  """Degrades, restores, fuses and scores; scores.{md,csv,json}, settings.json and contact_sheet.png go into a folder
  per case under `config.out`. Returns the tables of means, in Markdown.

  restorer_of: the restorer of given degradations. dig2dig, drfusion: (method, parameters); DRFusion's row is left out
  without one. limit: first pairs only. middle: side of the square in the middle of every pair to take; 0 is all of it.
  Raises UserError for an unknown case, and when a pair cannot be read.
  """
  if unknown := [name for name in cases if name not in CASES]:
    raise UserError(f"--cases={unknown[0]}: expected names among {', '.join(CASES)}")
  pairs = [_gray(load_pair(pair), middle) for pair in find_pairs(config.data, config.sources)[0][: limit or None]]
  make_folder(config.out)
  fuse = Runner(Fuser(*dig2dig, seed=config.seed), config.bucket)
  trained = Runner(Fuser(*drfusion, seed=config.seed), config.bucket) if drfusion else None
  targets = [fuse(pair.sources, pair.name) for pair in pairs]
  texts = []
  for case in cases:
    degradations = _degradations(case, config.sources)
    restorer = restorer_of(degradations)
    scores: dict[str, list[dict[str, float]]] = {}
    rows = []
    for pair, target in tqdm(list(zip(pairs, targets, strict=True)), unit="pair", desc=case, disable=None):
      fused = _case(pair, case, restorer, fuse, trained, config.seed)
      for name, (image, inputs, seconds) in fused.items():
        scores.setdefault(name, []).append(_score(pair, image, inputs, target) | {"seconds": seconds})
      if len(rows) < SHEET_ROWS:
        tiles = [(f"{pair.name} {s}", p) for s, p in zip(config.sources, pair.sources, strict=True)]
        shown = [(name, image) for name, (image, _, _) in fused.items()]
        rows.append(sheet.row([*tiles, *shown, ("clean fusion", target)]))
    settings = {
      "case": case,
      "degradations": {source: dataclasses.asdict(one) for source, one in degradations.items()},
      "restore_steps": restorer.steps,
      "middle": middle,
      "data": str(config.data),
      "seed": config.seed,
      **config.settings,
    }
    texts.append(_write(config.out / case, scores, [pair.name for pair in pairs], rows, settings))
  return "\n".join(texts)


def _gray(pair: LoadedPair, middle: int) -> LoadedPair:
  sources = np.repeat(pair.sources @ _LUMA, 3, axis=-1)
  if middle:
    top, left = ((side - min(side, middle)) // 2 for side in sources.shape[1:3])
    sources = sources[:, top : top + middle, left : left + middle]
  return pair._replace(sources=np.ascontiguousarray(sources))


def _degradations(case: str, sources: tuple[str, ...]) -> dict[str, Degradation]:
  stages, sigma = CASES[case]
  affected = sources[:1] if case.startswith("first") else sources
  return parse(",".join(f"{s}:{stages}" for s in affected), ",".join(f"{s}:{sigma}" for s in affected), sources)


def _observed(pair: LoadedPair, case: str, degradations, seed: int) -> dict[str, np.ndarray]:
  """Of every source, with noise that depends on the pair, the case and the source alone."""
  observed = {}
  for number, (source, degradation) in enumerate(degradations.items()):
    clean = pair.sources[number]
    rng = np.random.default_rng([seed, content_id(pair.name), content_id(case), number])
    z = np.asarray(degradation.operator(clean.shape[:2]).apply(clean))
    noise = rng.normal(size=(*z.shape[:2], 1)) * degradation.deviation(z)
    observed[source] = (z + noise).astype(np.float32)
  return observed


def _case(pair: LoadedPair, case: str, restorer: Restorer, fuse: Runner, trained: Runner | None, seed: int):
  """{row: (fused [H, W, 3], what went into the fusion [K, H, W, 3], seconds)}."""
  size = pair.sources.shape[1:3]
  observed = _observed(pair, case, restorer.degradations, seed)
  enlarged = np.stack([_enlarged(z, size) for z in observed.values()])
  rows = {}

  def timed(restored: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
    start = time.monotonic()
    return restored(), time.monotonic() - start

  def add(name: str, combine: Callable, inputs: np.ndarray, before: float = 0.0) -> None:
    fused, seconds = timed(lambda: combine(inputs))
    rows[name] = fused, inputs, before + seconds

  def dig(sources):
    return fuse(sources, pair.name)

  def mean(sources):
    return sources.mean(axis=0)

  add(PLAIN, dig, enlarged)
  for name, denoise in (("non-local means", _non_local_means), ("wavelet", _wavelet)):
    classical = timed(
      lambda denoise=denoise: np.stack(
        [_classical(z, restorer.degradations[source], size, denoise) for source, z in observed.items()]
      )
    )
    add(f"{name}, then Dig2DIG", dig, *classical)
    add(f"{name}, then average", mean, *classical)
  ours = timed(lambda: np.stack([restorer.restore(source, z, size, pair.name) for source, z in observed.items()]))
  add(f"{OURS}, average", mean, *ours)
  add(OURS, dig, *ours)
  if trained is not None:
    add("DRFusion", lambda sources: trained(sources, pair.name), enlarged)
  return rows


def _enlarged(z: np.ndarray, size: tuple[int, int]) -> np.ndarray:
  if z.shape[:2] == size:
    return z
  return cv2.resize(z, size[::-1], interpolation=cv2.INTER_CUBIC)


def _classical(z: np.ndarray, degradation: Degradation, size: tuple[int, int], denoise: Callable) -> np.ndarray:
  """Denoised at its known sigma; then enlarged bicubically, or a blur inverted with Tikhonov's regularisation 0.01."""
  if degradation.clean:
    return z
  sigma = degradation.deviation(z)
  if sigma > 0:
    z = np.repeat(denoise(z[..., 0].astype(np.float64), sigma)[..., None], 3, axis=-1).astype(np.float32)
  if degradation.stages and degradation.scale == 1:
    operator, mean = degradation.operator(size), np.full((*size, 3), z.mean(), np.float32)
    return mean + np.asarray(operator.solve(z - operator.apply(mean), 0.01))
  return _enlarged(z, size)


def _non_local_means(gray: np.ndarray, sigma: float) -> np.ndarray:
  return denoise_nl_means(gray, h=0.8 * sigma, sigma=sigma, fast_mode=True, patch_size=5, patch_distance=6)


def _wavelet(gray: np.ndarray, sigma: float) -> np.ndarray:
  return denoise_wavelet(gray, sigma=sigma, mode="soft", method="BayesShrink", rescale_sigma=True)


def _score(pair: LoadedPair, image: np.ndarray, inputs: np.ndarray, target: np.ndarray) -> dict[str, float]:
  found, wanted = (metrics.to_gray(to_uint8(pixels)) for pixels in (image, target))
  options = {"data_range": 255, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
  restored = [
    peak_signal_noise_ratio(clean, np.clip(z, -1, 1), data_range=2)
    for clean, z in zip(pair.sources, inputs, strict=True)
    if not np.array_equal(clean, z)
  ]
  sources = [metrics.to_gray(to_uint8(source)) for source in pair.sources]
  return {
    "PSNR to clean": peak_signal_noise_ratio(wanted, found, data_range=255),
    "SSIM to clean": structural_similarity(wanted, found, **options),
    "inputs": float(np.mean(restored)) if restored else float("nan"),
    **metrics.score(sources, found),
  }


def _write(out, scores, names: list[str], rows: list[np.ndarray], settings: dict) -> str:
  make_folder(out)
  sheet.write_sheet(out / "contact_sheet.png", rows)
  text = markdown(scores)
  write_text(out / "scores.md", text)
  write_text(out / "scores.csv", csv_text(scores, images=names))
  write_text(out / "scores.json", json_text(scores, images=names))
  write_text(out / "settings.json", json.dumps(settings, indent=1, default=str) + "\n")
  return f"Case {settings['case']}\n\n{text}"
