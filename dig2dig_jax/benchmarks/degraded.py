"""How close does fusion of degraded sources come to fusion of the clean ones? A table per degradation.

Clean pairs are reduced to luminance and degraded here, both sources alike unless a case says otherwise. Every row is
held against Dig2DIG's fusion of the clean sources (`to clean`), against what its own rule makes of the clean sources
(`to own`: a network that fuses otherwise is not at fault for that), and scored against the clean sources as usual.
`inputs` is the PSNR of the degraded sources as they went into the fusion: how well a row restores, before it fuses.
`low-pass` is PSNR of images without what low resolution cannot hold: of the inputs, and of the fused image to the
clean fusion.
"""

import dataclasses
import json
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from tqdm import tqdm

from dig2dig_jax import metrics
from dig2dig_jax.benchmarks.degraded_rows import DIG, Fusers, Row, Runner, rows_of
from dig2dig_jax.benchmarks.pairs import middle_of
from dig2dig_jax.data import validity
from dig2dig_jax.data.degraded_pairs import split
from dig2dig_jax.data.images import to_uint8
from dig2dig_jax.data.pairs import LoadedPair, load_pair
from dig2dig_jax.errors import UserError, one_line
from dig2dig_jax.evaluation.table import csv_text, json_text, markdown
from dig2dig_jax.figures import sheet
from dig2dig_jax.fusing.config import FuseConfig
from dig2dig_jax.fusing.fuser import Fuser
from dig2dig_jax.methods.base import Method
from dig2dig_jax.ops import color
from dig2dig_jax.record import make_folder, write_text
from dig2dig_jax.restoration.degradation import Degradation, parse
from dig2dig_jax.restoration.restorer import Restorer

SHEET_ROWS = 6
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
LOW_PASS = 2.0  # pixels, standard deviation: leaves a quarter of an amplitude at the highest frequency of a x4 image


class Report(NamedTuple):
  """text: the tables of means in Markdown. left_out: one line per file without a partner. failed: one line per pair
  that cannot be read, fused or scored: it counts for no row. notes: pictures that could not be made."""

  text: str
  left_out: list[str]
  failed: list[str]
  notes: list[str]


def run(
  restorer_of: Callable[[dict[str, Degradation]], Restorer],
  dig2dig: tuple[Method, dict],
  config: FuseConfig,
  *,
  drfusion: tuple[Method, dict] | None = None,
  cases: tuple[str, ...] = tuple(CASES),
  limit: int = 0,
  middle: int = 0,
  held_out: bool = False,
) -> Report:
  """Degrades, restores, fuses and scores; scores.{md,csv,json}, settings.json and contact_sheet.png go into a folder
  per case under `config.out`.

  restorer_of: the restorer of given degradations. dig2dig: (method, parameters). drfusion: (method whose
  output is `channels`, parameters); its row is left out without. limit: first pairs only. middle: side of
  the square in the middle of every pair to take; 0 is all of it. held_out: only the pairs that DRFusion's training
  leaves out. Raises UserError for an unknown case, and when no pair can be read.
  """
  if unknown := [name for name in cases if name not in CASES]:
    raise UserError(f"--cases={unknown[0]}: expected names among {', '.join(CASES)}")
  found, left_out = config.find()
  pairs: list[LoadedPair] = []
  failed: list[str] = []
  notes: list[str] = []
  tally = validity.Tally(config.sources)
  for pair in (split(found)[1] if held_out else found)[: limit or None]:
    try:
      pairs.append(gray_middle(load_pair(pair), middle))
      tally.add(pairs[-1].valid)
    except UserError as error:
      failed.append(str(error))
  if not pairs:
    raise UserError(failed[0] if failed else f"{config.data}: expected held-out pairs, found none; check --data")
  make_folder(config.out)
  fusers = Fusers(_runner(dig2dig, config), drfusion and _runner(drfusion, config))
  # What every rule makes of the clean sources.
  ideals = [{rule: fuse(pair.sources) for rule, fuse in fusers.rules(pair.name).items()} for pair in pairs]
  texts = []
  for case in cases:
    degradations = _degradations(case, config.sources)
    degraded = [not one.clean for one in degradations.values()]
    restorer = restorer_of(degradations)
    scores: dict[str, list[dict[str, float]]] = {}
    shown, names = [], []
    for pair, ideal in tqdm(list(zip(pairs, ideals, strict=True)), unit="pair", desc=case, disable=None):
      try:
        rows = rows_of(pair, case, restorer, fusers, config.seed)
        scored = {name: _score(pair, row, ideal, degraded) | {"seconds": row.seconds} for name, row in rows.items()}
      except Exception as error:  # of this pair alone: too small for a measure, too large for memory
        failed.append(f"{pair.name}: expected scores of {case}, found {one_line(error)}; left out for all its rows")
        continue
      names.append(pair.name)
      for name, found in scored.items():
        scores.setdefault(name, []).append(found)
      if len(shown) < SHEET_ROWS:
        tiles = [(f"{pair.name} {s}", p) for s, p in zip(config.sources, pair.sources, strict=True)]
        tiles += [(name, row.fused) for name, row in rows.items()]
        shown.append(sheet.try_row([*tiles, ("clean fusion", ideal[DIG])], notes))
    if not names:
      raise UserError(failed[-1])
    settings = {
      "case": case,
      "degradations": {source: dataclasses.asdict(one) for source, one in degradations.items()},
      "restore_steps": restorer.steps,
      "middle": middle,
      "held_out": held_out,
      **validity.decisive(config.valid),
      "data": str(config.data),
      "seed": config.seed,
      **config.settings,
    }
    texts.append(_write(config.out / case, scores, names, settings))
    sheet.try_write(config.out / case / "contact_sheet.png", [row for row in shown if row is not None], notes)
  return Report("\n".join(texts), left_out, failed, notes + tally.lines())


def _runner(method: tuple[Method, dict], config: FuseConfig) -> Runner:
  return Runner(Fuser(*method, seed=config.seed), config.bucket)


def gray_middle(pair: LoadedPair, middle: int) -> LoadedPair:
  """Luminance in three channels; of the square of side `middle` in the pair's middle, 0 for all."""
  sources = middle_of(np.repeat(pair.sources @ color.LUMA, 3, axis=-1), middle)
  return pair._replace(sources=np.ascontiguousarray(sources))


def _degradations(case: str, sources: tuple[str, ...]) -> dict[str, Degradation]:
  stages, sigma = CASES[case]
  affected = sources[:1] if case.startswith("first") else sources
  return parse(",".join(f"{s}:{stages}" for s in affected), ",".join(f"{s}:{sigma}" for s in affected), sources)


def _score(pair: LoadedPair, row: Row, ideal: dict[str, np.ndarray], degraded: list[bool]) -> dict[str, float]:
  found = metrics.to_gray(to_uint8(row.fused))
  wanted, own = (metrics.to_gray(to_uint8(ideal[rule])) for rule in (DIG, row.rule))
  restorable = [(y, z) for y, z, one in zip(pair.sources, row.inputs, degraded, strict=True) if one]

  def restored(shown: Callable = lambda image: image) -> float:
    values = [peak_signal_noise_ratio(shown(y), shown(np.clip(z, -1, 1)), data_range=2) for y, z in restorable]
    return float(np.mean(values))

  sources = [metrics.to_gray(to_uint8(source)) for source in pair.sources]
  (psnr, ssim), (own_psnr, own_ssim) = similarity(wanted, found), similarity(own, found)
  return {
    "PSNR to clean": psnr,
    "SSIM to clean": ssim,
    "PSNR to own": own_psnr,
    "SSIM to own": own_ssim,
    "inputs": restored(),
    "low-pass inputs": restored(_low_pass),
    "low-pass PSNR to clean": peak_signal_noise_ratio(_low_pass(wanted), _low_pass(found), data_range=255),
    **metrics.score(sources, found),
  }


def similarity(wanted: np.ndarray, found: np.ndarray) -> tuple[float, float]:
  """PSNR in dB and SSIM (Wang et al. 2004) of gray levels [H, W] 0..255."""
  ssim = structural_similarity(
    wanted, found, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
  )
  with np.errstate(divide="ignore"):  # of equal images
    return float(peak_signal_noise_ratio(wanted, found, data_range=255)), float(ssim)


def _low_pass(image: np.ndarray) -> np.ndarray:
  return cv2.GaussianBlur(np.asarray(image, np.float64), (0, 0), LOW_PASS, borderType=cv2.BORDER_REFLECT)


def _write(out, scores, names: list[str], settings: dict) -> str:
  make_folder(out)
  text = markdown(scores)
  write_text(out / "scores.md", text)
  write_text(out / "scores.csv", csv_text(scores, images=names))
  write_text(out / "scores.json", json_text(scores, images=names))
  write_text(out / "settings.json", json.dumps(settings, indent=1, default=str) + "\n")
  return f"Case {settings['case']}\n\n{text}"
