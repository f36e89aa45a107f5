"""How good a denoiser is a prior? PSNR of its one-step clean estimate, beside classical denoisers on the same noise."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from dig2dig_jax.data.images import list_images, read_image
from dig2dig_jax.data.padding import bucket_size, crop, reflect_pad
from dig2dig_jax.data.pairs import content_id
from dig2dig_jax.errors import UserError
from dig2dig_jax.evaluation.table import json_text, markdown
from dig2dig_jax.ops.color import luma
from dig2dig_jax.priors.prior import Prior
from dig2dig_jax.record import make_folder, write_text
from dig2dig_jax.restoration.classical import DENOISERS
from dig2dig_jax.sampling import schedule

SIGMAS = (5, 15, 25, 50, 100)  # standard deviations of the noise, of 255
GRAY = 3**0.5  # of noise that is independent in three channels, to the noise of their mean


def psnr(estimate: np.ndarray, truth: np.ndarray) -> float:
  """Peak signal-to-noise ratio in dB of images in [-1, 1], clipped there first: peak to peak 2."""
  return float(10 * np.log10(4 / np.mean((np.clip(estimate, -1, 1) - truth) ** 2)))


def nearest_timestep(alphas_cumprod: np.ndarray, sigma: float) -> int:
  """The timestep whose noise-to-signal ratio is closest to sigma of 255: sigma = 127.5 sqrt((1 - a) / a)."""
  return int(np.argmin(np.abs(127.5 * np.sqrt((1 - alphas_cumprod) / alphas_cumprod) - sigma)))


def _independent(field: np.ndarray, rng: np.random.Generator) -> np.ndarray:
  """One field of noise [H, W, 1] as noise [H, W, 3], GRAY times as strong, independent in the three channels, whose
  mean over them is the field: what a single look at a gray image says, in the form that a prior of colour knows."""
  drawn = GRAY * rng.standard_normal((*field.shape[:2], 3)).astype(np.float32)
  return field + drawn - drawn.mean(axis=-1, keepdims=True)


def run(prior: Prior, data: Path, out: Path, *, limit: int = 0, seed: int = 0, classical: bool = True) -> str:
  """Scores every image of a folder, in colour and as gray; writes `prior_psnr.json`, returns a Markdown table.

  Gray means luminance with one field of noise, as papers on gray images have it. The prior knows noise that is
  independent in three channels, so it is fed the noisy image with noise added that is 0 on the mean over channels
  (`_independent`), which tells it nothing more; its answer is scored as luminance. classical: run wavelets and
  non-local means too, which take most of the time.
  """
  paths = list_images(data)[: limit or None]
  if not paths:
    raise UserError(f"{data}: expected images to denoise, found none; check --data")
  make_folder(out)
  tables = prior.noise.tables()
  levels = {}
  for kind, factor in (("colour", 1.0), ("gray", GRAY)):
    timesteps = [nearest_timestep(tables.alphas_cumprod, factor * sigma) for sigma in SIGMAS]
    levels[kind] = factor, schedule.steps_at(tables, timesteps)
  denoise = jax.jit(lambda params, x, step: prior.denoiser(params)(x, step).x0)

  scores: dict[str, list[dict[str, float]]] = {}
  for path in tqdm(paths, unit="image", disable=None):
    colour = read_image(path).pixels
    gray = np.asarray(luma(jnp.asarray(colour)))
    for kind, clean in (("colour", colour), ("gray", gray)):
      factor, steps = levels[kind]
      rng = np.random.default_rng((seed, content_id(path.stem)))
      noise = rng.standard_normal(clean.shape).astype(np.float32)
      fed = noise if kind == "colour" else _independent(noise, rng)
      row: dict[str, dict[str, float]] = {}
      for i, sigma in enumerate(SIGMAS):
        noisy = clean + noise * np.float32(sigma / 127.5)
        step = jax.tree.map(lambda table, i=i: table[i], steps)
        size = bucket_size(*clean.shape[:2], multiple=64)  # few programs for many sizes
        network_sigma = np.float32(factor * sigma / 127.5)
        x_t = reflect_pad(clean + fed * np.float32(sigma / 127.5), size) / np.sqrt(1 + network_sigma**2)
        estimate = crop(np.asarray(denoise(prior.params, jnp.asarray(x_t), step)), clean.shape[:2])
        estimates = {
          "prior": estimate if kind == "colour" else np.asarray(luma(jnp.asarray(estimate))),
          "noisy": noisy,
        }
        if classical:
          exact = noisy.astype(np.float64)
          estimates |= {name: remove(exact, sigma / 127.5) for name, remove in sorted(DENOISERS.items(), reverse=True)}
        for name, estimate in estimates.items():
          row.setdefault(f"{name}, {kind}", {})[f"sigma {sigma}"] = psnr(estimate, clean)
      for name, values in row.items():
        scores.setdefault(name, []).append(values)
  write_text(out / "prior_psnr.json", json_text(scores, images=[path.name for path in paths]))
  return markdown(scores)
