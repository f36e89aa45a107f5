"""When and where does the prior recover each source? The paper's figures 1 and 5 for pairs and boxes of your own.

Figure 1: gains over the intervals of a run (Dig2DIG Eq. 8); they differ between sources, places and times. Figure 5:
gains accumulated from the noisiest level on. Each as curves of the mean over the whole image and over boxes, with their
spread over noise draws, as maps, and as numbers in gains.csv.
"""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from dig2dig_jax.data import validity
from dig2dig_jax.data.padding import crop
from dig2dig_jax.data.pairs import LoadedPair
from dig2dig_jax.errors import UserError
from dig2dig_jax.escape import csv_cell
from dig2dig_jax.figures import plots, sheet
from dig2dig_jax.fusing.batches import batches
from dig2dig_jax.fusing.config import FuseConfig
from dig2dig_jax.guidance.gain import restoration_errors
from dig2dig_jax.guidance.weighting import weights_from_gains
from dig2dig_jax.methods.codec import Codec
from dig2dig_jax.methods.options import Dig2DigOptions
from dig2dig_jax.priors.prior import Prior
from dig2dig_jax.record import make_folder, write_text
from dig2dig_jax.sampling import schedule

FIGURES = {"1": "gain per interval", "5": "cumulative gain"}
LEVELS = 13  # noise levels of the curves
DRAWS = 4  # noise draws where the options ask for one: a spread needs two
_MAPS = 6  # levels of the sheet of maps


class Report(NamedTuple):
  """written: the plots. failed: one line per pair that cannot be read. notes: pictures that could not be made."""

  written: list[Path]
  failed: list[str]
  notes: list[str]
  left_out: tuple[str, ...] = ()


class Box(NamedTuple):
  """A rectangle in pixels, from the top left corner."""

  name: str
  left: int
  top: int
  width: int
  height: int


def parse_boxes(text: str) -> tuple[Box, ...]:
  """Boxes from `name:left,top,width,height`, separated by semicolons. UserError for anything else, and for two of
  one name."""
  boxes: dict[str, Box] = {}
  for part in filter(None, (part.strip() for part in text.split(";"))):
    name, _, numbers = part.rpartition(":")
    values = numbers.split(",")
    if not name or len(values) != 4 or not all(value.strip().isdecimal() and len(value) < 10 for value in values):
      raise UserError(f"--boxes={part}: expected name:left,top,width,height in whole pixels")
    box = Box(name, *map(int, values))
    if min(box.width, box.height) < 1:
      raise UserError(f"--boxes={part}: expected a width and a height of at least 1")
    if name in boxes:
      raise UserError(f"--boxes={part}: expected a distinct name for each box, found {name} twice; rename one")
    boxes[name] = box
  return tuple(boxes.values())


def run(
  prior: Prior,
  codec: Codec,
  config: FuseConfig,
  options: Dig2DigOptions,
  *,
  figures: tuple[str, ...],
  boxes: tuple[Box, ...] = (),
  limit: int = 0,
) -> Report:
  """Writes figure1/ and figure5/ into `config.out`: a plot and a sheet of maps per pair, and gains.csv.

  Raises UserError for an unknown figure, a box outside of its image, and where no pair can be read."""
  if unknown := [name for name in figures if name not in FIGURES]:
    raise UserError(f"--figure={unknown[0]}: expected names among {', '.join(FIGURES)}")
  options.validate(prior.noise.num_timesteps)
  pairs, _ = config.find()
  pairs = pairs[: limit or None]
  draws = options.draws if options.draws > 1 else DRAWS
  spaced = schedule.spacing_timesteps(prior.noise.num_timesteps, LEVELS, options.spacing, name=prior.noise.name)
  tables = prior.noise.tables()
  levels = schedule.steps_at(tables, spaced[::-1])
  measured = jax.jit(lambda params, key, images: _errors(prior, codec, options, levels, draws, params, key, images))
  tables_of_gains: dict[str, list[list]] = {figure: [] for figure in figures}
  written: list[Path] = []
  failed: list[str] = []
  notes: list[str] = []
  tally = validity.Tally(config.sources)
  for figure in figures:
    make_folder(config.out / f"figure{figure}")
  with tqdm(total=len(pairs), unit="pair", disable=None) as bar:
    for batch in batches(pairs, batch_size=1, bucket=config.bucket, failed=failed):
      pair = batch.pairs[0]
      tally.add(pair.valid)
      regions = _regions(pair, boxes)
      key = jax.random.fold_in(jax.random.key(config.seed), int(batch.ids[0]))
      errors = np.asarray(measured(prior.params, key, jnp.asarray(batch.images[0])))
      errors = crop(errors, pair.sources.shape[1:3])
      for figure in figures:
        gains = errors[:, :-1] - errors[:, 1:] if figure == "1" else errors[:, :1] - errors[:, 1:]
        t = np.asarray(levels.t)[1:]
        curves = {
          region: {name: gains[:, :, k][(..., *window, 0)].mean(axis=(-2, -1)) for k, name in enumerate(config.sources)}
          for region, window in regions.items()
        }
        path = config.out / f"figure{figure}" / f"{pair.name}.png"
        tables_of_gains[figure] += _lines(pair.name, curves, t)
        maps = path.with_name(f"{pair.name}_maps.png")
        with sheet.for_show(path, notes):
          plots.write_gains(path, curves, t=t, label=f"{FIGURES[figure]} ({options.distance})")
          written.append(path)
        with sheet.for_show(maps, notes):
          notes += sheet.write_sheet(maps, _maps(config, options, pair, gains.mean(axis=0), t))
      bar.update()
  if len(failed) == len(pairs):
    raise UserError(failed[0])
  for figure, lines in tables_of_gains.items():
    write_text(config.out / f"figure{figure}" / "gains.csv", _csv(lines))
  return Report(written, failed, notes + tally.lines())


def _errors(prior, codec, options, levels, draws, params, key, images):
  """Restoration errors of every draw on its own: [draws, L, K, H, W, 1]."""
  sources, denoise = codec.encode(images), prior.denoiser(params)
  measure = {"distance": options.distance, "shared_noise": options.shared_noise, "chunk": options.chunk}
  return jax.lax.map(
    lambda draw_key: restoration_errors(draw_key, sources, levels, denoise, **measure), jax.random.split(key, draws)
  )


def _regions(pair: LoadedPair, boxes: tuple[Box, ...]) -> dict[str, tuple[slice, slice]]:
  height, width = pair.sources.shape[1:3]
  for box in boxes:
    if box.left + box.width > width or box.top + box.height > height:
      raise UserError(f"--boxes={box.name}: expected inside of pair {pair.name}, {width}x{height} pixels, found {box}")
  windows = {
    box.name: (slice(box.top, box.top + box.height), slice(box.left, box.left + box.width)) for box in boxes
  }
  return {"whole image": (slice(None), slice(None)), **windows}


def _maps(config: FuseConfig, options: Dig2DigOptions, pair: LoadedPair, gains: np.ndarray, t: np.ndarray):
  """A row per shown level: the gain of every source, on one scale for all, and the weight of the first source."""
  shown = np.unique(np.linspace(0, len(t) - 1, _MAPS).round().astype(int))
  weights = np.asarray(
    weights_from_gains(
      jnp.asarray(gains[shown]), temperature=options.temperature, smoothing=options.smoothing,
      normalise=options.normalise,
    )
  )  # fmt: skip
  scale = 2 * np.quantile(np.abs(gains[shown]), 0.99) + 1e-12
  rows = [sheet.row([(f"{pair.name} {name}", image) for name, image in zip(config.sources, pair.sources, strict=True)])]
  for level, weight in zip(shown, weights, strict=True):
    maps = [
      (f"gain {name}, t={t[level]}", sheet.heat(np.clip(0.5 + gains[level, k] / scale, 0, 1)))
      for k, name in enumerate(config.sources)
    ]
    rows.append(sheet.row([*maps, (f"weight {config.sources[0]}", sheet.heat(weight[0]))]))
  return rows


def _lines(pair: str, curves: Mapping[str, Mapping[str, np.ndarray]], t: np.ndarray) -> list[list]:
  return [
    [*map(csv_cell, (pair, region, source)), int(level), float(values[:, i].mean()), float(values[:, i].var(ddof=1))]
    for region, sources in curves.items()
    for source, values in sources.items()
    for i, level in enumerate(t)
  ]


def _csv(lines: list[list]) -> str:
  text = io.StringIO()
  writer = csv.writer(text, lineterminator="\n")
  writer.writerow(["pair", "region", "source", "timestep", "mean_over_draws", "variance_over_draws"])
  writer.writerows(lines)
  return text.getvalue()
