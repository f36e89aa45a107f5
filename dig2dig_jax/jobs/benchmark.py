"""Does Dig2DIG beat what is trivial? Methods and baselines on one folder of pairs: scores, and a contact sheet.

Scores are of the gray 8-bit images, by `dig2dig_jax.metrics` (definitions there). The sheet stands beside the table
because no score sees blotches and halos.
"""

import dataclasses
import json

import numpy as np
from tqdm import tqdm

from dig2dig_jax import metrics
from dig2dig_jax.data.images import to_uint8
from dig2dig_jax.data.padding import crop
from dig2dig_jax.data.pairs import find_pairs
from dig2dig_jax.errors import UserError
from dig2dig_jax.jobs import sheet
from dig2dig_jax.jobs.batches import batches
from dig2dig_jax.jobs.fuse import SHEET_ROWS, FuseConfig, Fuser
from dig2dig_jax.jobs.record import make_folder, write_text
from dig2dig_jax.jobs.table import csv_text, json_text, markdown
from dig2dig_jax.methods.base import Codec, evaluations
from dig2dig_jax.methods.dig2dig import Dig2DigOptions, dig2dig
from dig2dig_jax.prior import Prior


def variants(tuned: Dig2DigOptions) -> dict[str, Dig2DigOptions]:
  """The rows of the table that are methods, by name; `tuned` is what the flags ask for."""
  return {
    "fixed guidance": dataclasses.replace(tuned, weights="uniform"),
    "Dig2DIG, literal": Dig2DigOptions(chunk=tuned.chunk),
    "Dig2DIG, one pass": dataclasses.replace(tuned, steps=0, strength=1.0, strength_schedule="constant"),
    "Dig2DIG, tuned": tuned,
  }


def run(prior: Prior, codec: Codec, config: FuseConfig, tuned: Dig2DigOptions, *, limit: int = 0) -> str:
  """Fuses and scores; writes scores.{md,csv,json}, settings.json and contact_sheet.png into `config.out`.

  Returns the table of means, in Markdown.

  Raises UserError when a pair cannot be read: means over different pairs cannot be compared.
  """
  pairs, _ = find_pairs(config.data, config.sources)
  pairs = pairs[: limit or None]
  methods = {
    name: dig2dig(prior.denoiser, codec, noise=prior.noise, options=options)
    for name, options in variants(tuned).items()
  }
  fusers = {name: Fuser(method, prior.params, seed=config.seed) for name, method in methods.items()}
  make_folder(config.out)
  scores: dict[str, list[dict[str, float]]] = {}
  names: list[str] = []
  rows: list[np.ndarray] = []
  failed: list[str] = []
  with tqdm(total=len(pairs), unit="pair", disable=None) as bar:
    for batch in batches(pairs, batch_size=config.batch_size, bucket=config.bucket, failed=failed):
      if failed:
        raise UserError(failed[0])
      fused = {name: fuser(batch.images, batch.ids)[0] for name, fuser in fusers.items()}
      for i, pair in enumerate(batch.pairs):
        gray = [metrics.to_gray(to_uint8(source)) for source in pair.sources]
        images = {name: fuse(gray) for name, fuse in metrics.BASELINES.items()}
        images |= {
          name: metrics.to_gray(to_uint8(crop(result[i], pair.sources.shape[1:3]))) for name, result in fused.items()
        }
        names.append(pair.name)
        for name, image in images.items():
          scores.setdefault(name, []).append(metrics.score(gray, image))
        if len(rows) < SHEET_ROWS:
          shown = {**dict(zip(config.sources, gray, strict=True)), **images}
          rows.append(sheet.row([(name, image[..., None] / 127.5 - 1) for name, image in shown.items()]))
        bar.update()
  if failed:
    raise UserError(failed[0])
  settings = {
    "data": str(config.data),
    "prior": str(prior.directory),
    "seed": config.seed,
    "tuned": dataclasses.asdict(tuned),
    "evaluations": {name: evaluations(method, len(config.sources)) for name, method in methods.items()},
  }
  sheet.write_sheet(config.out / "contact_sheet.png", rows)
  table = markdown(scores)
  write_text(config.out / "scores.md", table)
  write_text(config.out / "scores.csv", csv_text(scores, images=names))
  write_text(config.out / "scores.json", json_text(scores, images=names))
  write_text(config.out / "settings.json", json.dumps(settings, indent=1) + "\n")
  return table
