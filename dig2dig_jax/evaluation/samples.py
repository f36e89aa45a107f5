"""What does a prior know of images? Sheets of unconditional samples, and of crops that it denoised in one step."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dig2dig_jax.data.crops import CropConfig, crop_batches
from dig2dig_jax.data.images import write_png
from dig2dig_jax.evaluation.denoising import nearest_timestep
from dig2dig_jax.priors.prior import Prior
from dig2dig_jax.record import make_folder
from dig2dig_jax.sampling import process, schedule
from dig2dig_jax.sampling.mean_colour import mean_colour
from dig2dig_jax.sampling.sampler import sample
from dig2dig_jax.sampling.schedule import NoiseSchedule
from dig2dig_jax.sampling.transition import TRANSITIONS
from dig2dig_jax.sampling.types import Denoiser

SIGMAS = (15, 50, 100)  # of the denoising sheet, of 255
_BATCH = 8
_COLOUR_CROPS = 2048


class Colours(NamedTuple):
  """Of the mean colours of images of one size: mean [3], covariance [3, 3], in [-1, 1]."""

  mean: np.ndarray
  covariance: np.ndarray


def run(
  prior: Prior,
  out: Path,
  *,
  count: int = 16,
  size: int = 128,
  steps: int = 250,
  transition: str = "ancestral",
  seed: int = 0,
  colours_of: Path | None = None,
) -> Path:
  """Writes `samples.png`, a square of `count` unconditional samples of size x size pixels; returns its path.

  colours_of: folder of images whose mean colours the samples' are distributed like, in place of what the network says
  of them (`sampling.mean_colour`). Raises UserError for one that cannot be read, or has smaller images.
  """
  make_folder(out)
  path = out / "samples.png"
  colours = None if colours_of is None else mean_colours(colours_of, size=size, seed=seed)
  images = samples(prior.denoiser, prior.params, prior.noise, count=count, size=size, steps=steps,
                   transition=transition, seed=seed, colours=colours)  # fmt: skip
  write_png(path, tiled(images, columns=int(np.ceil(np.sqrt(count)))))
  return path


def mean_colours(folder: Path, *, size: int, seed: int = 0) -> Colours:
  """Of random crops of the images in a folder, drawn as in training."""
  batches = crop_batches(folder, config=CropConfig(size=size), batch_size=64, seed=seed)
  means = np.concatenate([next(batches).mean(axis=(1, 2)) for _ in range(_COLOUR_CROPS // 64)])
  return Colours(means.mean(axis=0), np.cov(means, rowvar=False).astype(np.float32))


def samples(
  denoiser: Callable[..., Denoiser],
  params,
  noise: NoiseSchedule,
  *,
  count: int,
  size: int,
  steps: int,
  transition: str = "ancestral",
  seed: int = 0,
  colours: Colours | None = None,
) -> np.ndarray:
  """[count, size, size, 3] in [-1, 1], drawn from noise with clean estimates clipped, as guided-diffusion does.
  Sample number i depends on seed, i and the colours only."""
  kept = schedule.spacing_timesteps(noise.num_timesteps, steps, "uniform", name=noise.name)
  rows = schedule.steps(noise.tables(kept))
  own = {"variance": "fixed_large"} if transition == "ancestral" else {}

  def draw(params, index):
    start_key, key = jax.random.split(jax.random.fold_in(jax.random.key(seed), index))
    x_init = jax.random.normal(start_key, (size, size, 3))
    x_0, _ = sample(
      key,
      x_init,
      denoise=denoiser(params),
      correct=None if colours is None else mean_colour(*colours),
      transition=TRANSITIONS[transition](**own),
      steps=rows,
    )
    return jnp.clip(x_0, -1, 1)

  batched = jax.jit(jax.vmap(draw, in_axes=(None, 0)))
  batch = min(count, _BATCH)
  starts = range(0, count, batch)
  return np.concatenate([np.asarray(batched(params, start + jnp.arange(batch))) for start in starts])[:count]


def denoised(
  denoiser: Callable[..., Denoiser], params, noise: NoiseSchedule, crops: np.ndarray, *, seed: int = 0
) -> np.ndarray:
  """A row per crop [N, size, size, 3]: the crop, then for each of SIGMAS the noisy crop and its one-step estimate."""
  tables = noise.tables()
  levels = [nearest_timestep(tables.alphas_cumprod, sigma) for sigma in SIGMAS]
  rows = schedule.steps_at(tables, levels)

  @jax.jit
  def restore(params, crops, key, row):
    noisy = process.q_sample(crops, jax.random.normal(key, crops.shape), row.alpha_bar)
    clean = jax.vmap(lambda x: denoiser(params)(x, row).x0)(noisy)
    return noisy / jnp.sqrt(row.alpha_bar), clean

  tiles = [crops]
  for number in range(len(SIGMAS)):
    row = jax.tree.map(lambda table, number=number: table[number], rows)
    tiles += [np.asarray(tile) for tile in restore(params, crops, jax.random.key(seed), row)]
  return np.stack(tiles, axis=1).reshape(-1, *crops.shape[1:])


def tiled(images: np.ndarray, *, columns: int) -> np.ndarray:
  """[N, h, w, 3] -> one image of `columns` tiles a row, two white pixels between them."""
  gap = 2
  rows = -(-len(images) // columns)
  height, width = images.shape[1:3]
  sheet = np.ones((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), np.float32)
  for number, image in enumerate(images):
    top, left = number // columns * (height + gap), number % columns * (width + gap)
    sheet[top : top + height, left : left + width] = np.clip(image, -1, 1)
  return sheet
