"""How well does fusion cope with unannounced degradations? A table per case, and one of all cases' mean ranks.

Clean pairs are reduced to luminance and damaged here (`damage.KINDS`): the first source, the second, or both. All rows
use the same fusion rule: with its own detection and restoration, with none, after classical restoration, and after
restoration with the true parameters. Scores are those of the panel, against the clean sources; PSNR and SSIM compare
with the first row's own fusion of the clean sources without restoration.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from dig2dig_jax import metrics
from dig2dig_jax.benchmarks.damage import KINDS, Damage
from dig2dig_jax.benchmarks.degraded import Report, gray_middle, similarity
from dig2dig_jax.benchmarks.degraded_rows import Rule
from dig2dig_jax.benchmarks.pairs import spread
from dig2dig_jax.data.images import to_uint8
from dig2dig_jax.data.pairs import LoadedPair, content_id, load_pair
from dig2dig_jax.errors import UserError, one_line
from dig2dig_jax.escape import table
from dig2dig_jax.evaluation.compare import mean_ranks
from dig2dig_jax.evaluation.table import csv_text, json_text, markdown
from dig2dig_jax.figures import sheet
from dig2dig_jax.fusing.config import FuseConfig
from dig2dig_jax.record import make_folder, write_text
from dig2dig_jax.restoration import classical
from dig2dig_jax.restoration.degradation import Degradation, parse
from dig2dig_jax.restoration.restorer import Restorer

OURS, PLAIN, TOLD = "Dig2DIG", "Dig2DIG, --restore=off", "told, then Dig2DIG"
AFFECTED = ("first", "second", "both")
SHEET_ROWS = 4


class Rules(NamedTuple):
  """Of one rule of fusion: `blind` detects and restores, `again` does so with another seed, `plain` uses the
  sources as they are."""

  blind: Rule
  again: Rule
  plain: Rule


def run(
  rules: Rules,
  restorer_of: Callable[[dict[str, Degradation]], Restorer],
  config: FuseConfig,
  *,
  cases: tuple[str, ...] = tuple(KINDS),
  affected: tuple[str, ...] = AFFECTED,
  limit: int = 0,
  middle: int = 0,
) -> Report:
  """Damages, fuses and scores. scores.{md,csv,json}, settings.json and contact_sheet.png go into a folder per case and
  affected source under `config.out`, the table of all into summary.md.

  restorer_of: as in `degraded.run`. cases: names of `damage.KINDS`. limit: pairs, spread evenly over the folder; 0 for
  all. middle: side of the square in the middle of every pair; 0 for all of it. Raises UserError for an unknown name,
  and where no pair can be read.
  """
  for flag, names, known in (("cases", cases, KINDS), ("affected", affected, AFFECTED)):
    if unknown := [name for name in names if name not in known]:
      raise UserError(f"--{flag}={unknown[0]}: expected names among {', '.join(known)}")
  found, left_out = config.find()
  pairs: list[LoadedPair] = []
  failed: list[str] = []
  for pair in spread(found, limit):
    try:
      loaded = gray_middle(load_pair(pair), middle)
      whole = np.stack([KINDS["none"](source, np.random.default_rng(0)) for source in loaded.sources])
      pairs.append(loaded._replace(sources=whole))
    except UserError as error:
      failed.append(str(error))
  if not pairs:
    raise UserError(failed[0])
  make_folder(config.out)
  notes: list[str] = []
  texts: list[str] = []
  summary: list[dict[str, str]] = []
  clean = {pair.name: rules.plain(pair.sources, pair.name) for pair in pairs}
  for kind in cases:
    for which in affected if kind != "none" else ("both",):
      case = f"{kind}_{which}" if kind != "none" else "clean"
      touched = [which in (name, "both") for name in AFFECTED[:2]]
      scores: dict[str, list[dict[str, float]]] = {}
      names, shown, apart = [], [], []
      for pair in tqdm(pairs, unit="pair", desc=case, disable=None):
        try:
          observed = _observed(pair, case, KINDS[kind], touched, config.seed)
          images = _rows(pair, observed, kind, touched, rules, restorer_of, config.sources)
          scored = {name: _score(pair, image, clean[pair.name]) for name, image in images.items()}
        except Exception as error:  # concerns this pair only: too small for a measure, too large for memory
          failed.append(f"{pair.name}: expected scores of {case}, found {one_line(error)}; left out for all its rows")
          continue
        names.append(pair.name)
        other = rules.again(observed, pair.name)
        apart.append(similarity(*(metrics.to_gray(to_uint8(image)) for image in (images[OURS], other)))[0])
        for name, values in scored.items():
          scores.setdefault(name, []).append(values)
        if len(shown) < SHEET_ROWS:
          tiles = [(f"{pair.name} {s}", z) for s, z in zip(config.sources, observed, strict=True)]
          shown.append(sheet.try_row([*tiles, *images.items(), ("clean fusion", clean[pair.name])], notes))
      if not names:
        raise UserError(failed[-1])
      text, ranks = _write(config, case, scores, names, shown, notes, middle)
      texts.append(text)
      summary.append(_line(case, scores, ranks, min(apart)))
  texts.append(_summary(config.out, summary))
  return Report("\n".join(texts), left_out, failed, notes)


def _observed(pair: LoadedPair, case: str, damage: Damage, touched: list[bool], seed: int) -> np.ndarray:
  """[K, H, W, 3], with noise that depends on the pair, the case and the source alone."""
  sources = []
  for number, (source, hit) in enumerate(zip(pair.sources, touched, strict=True)):
    rng = np.random.default_rng([seed, content_id(pair.name), content_id(case), number])
    sources.append(damage(source, rng) if hit else source)
  return np.stack(sources)


def _rows(pair: LoadedPair, observed, kind: str, touched, rules: Rules, restorer_of, sources) -> dict[str, np.ndarray]:
  name, damage = pair.name, KINDS[kind]
  rows = {OURS: rules.blind(observed, name), PLAIN: rules.plain(observed, name)}
  if kind == "none":
    return rows
  if damage.sigma or damage.stages != "none":
    # For a blurred source in 8 bits, the true sigma is that of rounding.
    sigma = damage.sigma or 1 / np.sqrt(12)
    which = [source for source, hit in zip(sources, touched, strict=True) if hit]
    told = parse(",".join(f"{s}:{damage.stages}" for s in which), ",".join(f"{s}:{sigma}" for s in which), sources)
    restorer = restorer_of(told)
    size = observed.shape[1:3]
    restored = np.stack([restorer.restore(s, z, size, name) for s, z in zip(sources, observed, strict=True)])
    rows[TOLD] = rules.plain(restored, name)
  for label, restore in classical.blindly(kind).items():
    restored = np.stack([restore(z) if hit else z for z, hit in zip(observed, touched, strict=True)])
    rows[f"{label}, then Dig2DIG"] = rules.plain(restored, name)
    levels = metrics.BASELINES["Laplacian pyramid"]([metrics.to_gray(to_uint8(z)) for z in restored])
    rows[f"{label}, then pyramid"] = np.repeat(levels[..., None] / 127.5 - 1, 3, axis=-1)
  return rows


def _score(pair: LoadedPair, fused: np.ndarray, clean: np.ndarray) -> dict[str, float]:
  found = metrics.to_gray(to_uint8(fused))
  sources = [metrics.to_gray(to_uint8(source)) for source in pair.sources]
  psnr, ssim = similarity(metrics.to_gray(to_uint8(clean)), found)
  return {**metrics.score(sources, found, metrics.PROTOCOLS["panel"]), "PSNR to clean": psnr, "SSIM to clean": ssim}


def _write(config: FuseConfig, case, scores, names, shown, notes, middle) -> tuple[str, dict[str, float]]:
  out = config.out / case
  make_folder(out)
  panel = metrics.PROTOCOLS["panel"]
  values = {row: {name: np.array([score[name] for score in found]) for name in panel} for row, found in scores.items()}
  ranks = mean_ranks(values, {name: metrics.METRICS[name].higher_is_better for name in panel})
  text = markdown(scores, further={"mean rank ↓": {row: f"{rank:.2f}" for row, rank in ranks.items()}})
  write_text(out / "scores.md", text)
  write_text(out / "scores.csv", csv_text(scores, images=names))
  write_text(out / "scores.json", json_text(scores, images=names))
  told = {"case": case, "middle": middle, "data": str(config.data), "seed": config.seed, **config.settings}
  write_text(out / "settings.json", json.dumps(told, indent=1, default=str) + "\n")
  sheet.try_write(out / "contact_sheet.png", [row for row in shown if row is not None], notes)
  return f"Case {case}\n\n{text}", ranks


def _line(case: str, scores, ranks: Mapping[str, float], apart: float) -> dict[str, str]:
  """Of a case: mean ranks, the panel's measure that is furthest behind what a reference gives, the seeds' distance."""
  means = {row: {name: np.mean([score[name] for score in found]) for name in metrics.PROTOCOLS["panel"]}
           for row, found in scores.items()}  # fmt: skip
  line = {"case": case, **{row: f"{rank:.2f}" for row, rank in ranks.items()}}
  for reference in (TOLD, PLAIN):
    if reference in means and (reference == TOLD or case == "clean"):
      behind = {name: (value - means[OURS][name]) * (1 if metrics.METRICS[name].higher_is_better else -1)
                for name, value in means[reference].items()}  # fmt: skip
      worst = max(behind, key=behind.get)
      line[f"most behind {reference}"] = f"{behind[worst]:.4f} ({worst})"
  return line | {"least PSNR of two seeds": "equal" if np.isinf(apart) else f"{apart:.1f}"}


def _summary(out: Path, lines: list[dict[str, str]]) -> str:
  columns = list(dict.fromkeys(name for line in lines for name in line))
  text = table(columns, ([line.get(name, "–") for name in columns] for line in lines))
  write_text(out / "summary.md", text)
  return f"Mean ranks of the panel\n\n{text}"
