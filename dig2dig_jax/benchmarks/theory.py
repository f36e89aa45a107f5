"""Does the bound hold that Dig2DIG is built on? Covariances of weights and guidance, and errors, to a known ideal.

Two degraded copies of one photograph have an ideal fusion: the photograph. Where one copy is blurred (or noisy), the
other is as it was. Per step of the reverse run: sum over sources of Cov(w_k, B_k) (see `benchmarks.probe`), and the
error of the clean estimate; at the end: the error that was realised. Dig2DIG Eq. 5, appendix A.
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

from dig2dig_jax.benchmarks.probe import covariance_probe, error_probe
from dig2dig_jax.data.images import list_images, read_image
from dig2dig_jax.data.padding import bucket_size, crop, reflect_pad
from dig2dig_jax.data.pairs import content_id
from dig2dig_jax.errors import UserError
from dig2dig_jax.escape import markdown, table
from dig2dig_jax.evaluation.denoising import psnr
from dig2dig_jax.figures import plots, sheet
from dig2dig_jax.guidance.quadratic import chain
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
DEGRADATIONS = ("blur", "noise")
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
  if degradation == "blur":
    worse = jnp.broadcast_to(gaussian_blur(ideal, BLUR), (2, *ideal.shape))
  elif degradation == "noise":
    worse = ideal[None] + NOISE * jax.random.normal(noise_key, (2, *ideal.shape))
  else:
    raise ValueError(f"degradation: expected one of {DEGRADATIONS}, found {degradation!r}")
  share = jnp.stack([mask, 1 - mask])
  return jnp.clip(share * ideal[None] + (1 - share) * worse, -1, 1)


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
  sheet into `out`. UserError without images that can be read, and for rows of different or no steps."""
  if len({options.steps for options in rows.values()}) != 1 or next(iter(rows.values())).steps == 0:
    raise UserError("--suite=theory follows the reverse steps; expected --steps above 0")
  paths = list_images(data)[: limit or None]
  if not paths:
    raise UserError(f"{data}: expected photographs, found none; check --data")
  make_folder(out)
  programs = {name: _program(prior, codec, options) for name, options in rows.items()}
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
          "error": told["corrected_error"],
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


def _program(prior: Prior, codec: Codec, options: Dig2DigOptions):
  method = make_method(prior, codec, options=options)

  def one(params, key, copies, ideal):
    ideal = codec.encode(ideal[None])[0]
    probed = chain(covariance_probe(ideal), method.guidance, error_probe(ideal))
    fused, trace = fuse(method.replace(guidance=probed), params, key, copies)
    return fused, trace.steps

  return jax.jit(one)


def _markdown(found) -> str:
  header = ["degradation", "weights", "images", "Cov(w, B), summed ↑", "images with it above 0", "last error ↓",
            "PSNR, dB ↑"]  # fmt: skip
  lines = []
  for kind, rows in found.items():
    for name, runs in rows.items():
      sums = np.array([run["covariance"].sum() for run in runs])
      error = np.mean([run["error"][-1] for run in runs])
      decibel = np.mean([run["psnr"] for run in runs])
      counts = [str(len(runs)), f"{sums.mean():.3g}", str(np.sum(sums > 0))]
      lines.append([kind, markdown(name), *counts, f"{error:.5f}", f"{decibel:.2f}"])
  return table(header, lines, text=2)
