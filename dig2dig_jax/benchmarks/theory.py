"""Does the bound hold that Dig2DIG is built on, and do its gains lower it? Both of its sides, on known ideals.

Two degraded copies of one photograph have an ideal fusion: the photograph. Where one copy is blurred (or noisy), the
other is as it was; `unequal` is blur where the second copy is brighter, too, so that its guidance is longer everywhere.
Per step of the reverse run: the error of the clean estimate before and after it was corrected, and the right side of
the bound (see `benchmarks.probe`); at the end: the error that was realised. Dig2DIG Eq. 5, appendix A.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from dig2dig_jax.benchmarks.probe import bound_probe, oracle
from dig2dig_jax.data.images import list_images, read_image
from dig2dig_jax.data.padding import bucket_size, crop, reflect_pad
from dig2dig_jax.data.pairs import content_id
from dig2dig_jax.errors import UserError
from dig2dig_jax.escape import markdown, table
from dig2dig_jax.evaluation.denoising import psnr
from dig2dig_jax.figures import plots, sheet
from dig2dig_jax.guidance.quadratic import likelihood_strength
from dig2dig_jax.methods.codec import Codec
from dig2dig_jax.methods.fuse import fuse
from dig2dig_jax.methods.options import Dig2DigOptions
from dig2dig_jax.methods.registry import make_method
from dig2dig_jax.ops.filters import gaussian_blur
from dig2dig_jax.priors.prior import Prior
from dig2dig_jax.record import make_folder, write_text

BLUR = 3.0  # standard deviation in pixels of the blurred halves
NOISE = 25 / 127.5  # and of the noise of the noisy ones, images in [-1, 1]
REGION = 24.0  # pixels over which the mask is smooth
OFFSET = 0.3  # of the second copy of `unequal`, images in [-1, 1]
DEGRADATIONS = ("blur", "noise", "unequal")
UNIFORM, ORACLE = "uniform", "oracle"
_EVERY = 5  # steps from one line of the steps' table to the next
_SHEET_ROWS = 4


class Report(NamedTuple):
  """text: the table in Markdown. failed: one line per photograph that cannot be read. notes: pictures that could not be
  made."""

  text: str
  failed: list[str]
  notes: list[str]
  left_out: tuple[str, ...] = ()


def degraded_copies(key: jax.Array, ideal: jax.Array, degradation: str) -> jax.Array:
  """[H, W, 3] in [-1, 1] -> two copies [2, H, W, 3]: each is degraded where the other is not, by a random smooth mask
  with soft edges that gives about half of the image to each. degradation: one of DEGRADATIONS."""
  mask_key, noise_key = jax.random.split(key)
  field = gaussian_blur(jax.random.normal(mask_key, (*ideal.shape[:2], 1)), REGION)
  mask = jax.nn.sigmoid(8 * (field - jnp.median(field)) / jnp.std(field))
  if degradation in ("blur", "unequal"):
    worse = jnp.broadcast_to(gaussian_blur(ideal, BLUR), (2, *ideal.shape))
  elif degradation == "noise":
    worse = ideal[None] + NOISE * jax.random.normal(noise_key, (2, *ideal.shape))
  else:
    raise ValueError(f"degradation: expected one of {DEGRADATIONS}, found {degradation!r}")
  share = jnp.stack([mask, 1 - mask])
  copies = share * ideal[None] + (1 - share) * worse
  if degradation == "unequal":
    copies = copies.at[1].add(OFFSET)
  return jnp.clip(copies, -1, 1)


def run(
  prior: Prior,
  codec: Codec,
  rows: Mapping[str, Dig2DigOptions],
  data: Path,
  out: Path,
  *,
  limit: int = 0,
  bucket: int = 64,
  seed: int = 0,
) -> Report:
  """Runs every row on two degraded copies of each photograph of `data`; writes theory.{md,json}, a plot and a contact
  sheet into `out`. The row of the name `oracle` has the weights that the bound wants, whatever its own; that of the
  name `uniform` is what the others are told from. Weights are per pixel in all of them: `bands` is taken as 1.

  UserError without images that can be read, and for rows of different or no steps."""
  if len({options.steps for options in rows.values()}) != 1 or next(iter(rows.values())).steps == 0:
    raise UserError("--suite=theory analyses the reverse steps; expected --steps above 0")
  paths = list_images(data)[: limit or None]
  if not paths:
    raise UserError(f"{data}: expected photographs, found none; check --data")
  make_folder(out)
  rows = {name: dataclasses.replace(options, bands=options.bands if options.bandwise else 1, salience=0.0,
                                    brightness=options.brightness if options.bandwise else 0.0)
          for name, options in rows.items()}  # fmt: skip
  programs = {name: _program(prior, codec, options, name == ORACLE) for name, options in rows.items()}
  make_copies = jax.jit(degraded_copies, static_argnames="degradation")
  found: dict[str, dict[str, list[dict]]] = {kind: {name: [] for name in rows} for kind in DEGRADATIONS}
  tiles: list[np.ndarray | None] = []
  read: list[str] = []
  failed: list[str] = []
  notes: list[str] = []
  for path in tqdm(paths, unit="image", disable=None):
    try:
      ideal = read_image(path).pixels
    except UserError as error:
      failed.append(str(error))
      continue
    read.append(path.name)
    size = ideal.shape[:2]
    padded = jnp.asarray(reflect_pad(ideal, bucket_size(*size, multiple=bucket)))
    ideal = codec.decode(codec.encode(padded[None])[0], jnp.repeat(padded[None], 2, axis=0))
    key = jax.random.fold_in(jax.random.key(seed), content_id(path.stem))
    for kind in DEGRADATIONS:
      copies = make_copies(key, padded, degradation=kind)
      shown = [("ideal", crop(np.asarray(ideal), size)), *(("copy", crop(np.asarray(copy), size)) for copy in copies)]
      for name, program in programs.items():
        fused, trace = jax.device_get(program(prior.params, key, copies, padded))
        fused = crop(fused, size)
        told = trace.guidance
        found[kind][name].append({
          "t": trace.t,
          "covariance": told["covariance"].sum(axis=-1),
          "projected": told["projected"].sum(axis=-1),
          "norm": told["norm"],
          "agreement": told["agreement"],
          "before": told["error"],
          "error": told["corrected_error"],
          "bound": told["bound"],
          "strength": told["strength"],
          "psnr": psnr(fused, crop(np.asarray(ideal), size)),
        })  # fmt: skip
        shown.append((name, fused))
      if len(tiles) < _SHEET_ROWS:
        tiles.append(sheet.try_row(shown, notes))
  if not read:
    raise UserError(failed[0])
  text = _markdown(found)
  write_text(out / "theory.md", text)
  record = {
    "data": str(data),
    "prior": str(prior.directory),
    "seed": seed,
    "images": read,
    "rows": {name: dataclasses.asdict(options) for name, options in rows.items()},
    "found": found,
  }
  write_text(out / "theory.json", json.dumps(record, indent=1, default=lambda array: array.tolist()) + "\n")
  sheet.try_write(out / "contact_sheet.png", [row for row in tiles if row is not None], notes)
  with sheet.for_show(out / "theory.png", notes):
    plots.write_theory(out / "theory.png", found)
  return Report(text, failed, notes)


def _program(prior: Prior, codec: Codec, options: Dig2DigOptions, best: bool):
  method = make_method(prior, codec, options=options)
  # Gains per band make one image of the sources; the bound speaks of weights per pixel, which they have too.
  method = method.replace(weighting=method.weighting._replace(compose=None))
  strength = likelihood_strength(options.strength) if options.strength_schedule == "likelihood" else None

  def amount(step):
    return options.strength if strength is None else strength(step)

  def one(params, key, copies, ideal):
    ideal = codec.encode(ideal[None])[0]
    probed = bound_probe(ideal, method.guidance, amount)
    fused, trace = fuse(method.replace(guidance=oracle(ideal, probed) if best else probed), params, key, copies)
    return fused, trace.steps

  return jax.jit(one)


def _markdown(found) -> str:
  header = ["degradation", "weights", "images", "Cov(w, B), summed ↑", "images with it above 0",
            "weight on the better source ↑", "bound violated", "bound - error, mean", "last error ↓",
            "predicted from uniform by the covariance", "PSNR, dB ↑"]  # fmt: skip
  lines, steps = [], []
  for kind, rows in found.items():
    for name, runs in rows.items():
      sums = np.array([run["covariance"].sum() for run in runs])
      slack = np.array([run["bound"] - run["error"] for run in runs])
      told = [base["error"][-1] - 2 * np.sum(run["strength"] * run["covariance"])
              for base, run in zip(rows.get(UNIFORM, runs), runs, strict=True)]  # fmt: skip
      lines.append([
        kind, markdown(name), str(len(runs)), f"{sums.mean():.3g}", str(np.sum(sums > 0)),
        f"{np.mean([run['agreement'].mean() for run in runs]):.3f}", f"{np.sum(slack < -1e-6)} of {slack.size} steps",
        f"{slack.mean():.5f}", f"{np.mean([run['error'][-1] for run in runs]):.5f}", f"{np.mean(told):.5f}",
        f"{np.mean([run['psnr'] for run in runs]):.2f}",
      ])  # fmt: skip
      steps += [[kind, markdown(name), *line] for line in _steps(runs)]
  of_steps = ["degradation", "weights", "timestep", "error before", "error after", "bound", "E[w] E[B]", "Cov(w, B)",
              "longer guidance / shorter"]  # fmt: skip
  return f"{table(header, lines, text=2)}\n{table(of_steps, steps, text=2)}"


def _steps(runs) -> list[list[str]]:
  """Lines of both sides at some of the steps and at the last, means over the images."""
  count = len(runs[0]["t"])
  mean = {name: np.mean([run[name] for run in runs], axis=0)
          for name in ("before", "error", "bound", "projected", "covariance")}  # fmt: skip
  norms = np.array([run["norm"] for run in runs])
  ratio = np.mean(norms.max(axis=-1) / np.maximum(norms.min(axis=-1), 1e-9), axis=0)
  return [
    [str(int(runs[0]["t"][i])), *(f"{mean[name][i]:.5f}" for name in mean), f"{ratio[i]:.2f}"]
    for i in sorted({*range(0, count, _EVERY), count - 1})
  ]
