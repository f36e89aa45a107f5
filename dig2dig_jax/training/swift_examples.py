"""What does the prior say of noisy crops? Asked once, kept in files, and drawn from by every step of the swift network.

An example is float16 [size, size, 7]: the noisy planes (mean, u, v of `models.swift`), the prior's estimate of the
clean ones, and the deviation of the mean's noise. Gray crops have zeros for u and v. Half of the noisy crops are
clipped to [-1, 1], as cameras do. Example number i depends on (folder, seed, i) and on the prior only, batch number i
on those and the seed.
"""

import dataclasses
import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from dig2dig_jax.data.domains import Crops
from dig2dig_jax.files import replacing
from dig2dig_jax.models import swift
from dig2dig_jax.models.swift import SwiftConfig
from dig2dig_jax.priors.prior import Prior
from dig2dig_jax.restoration.splitting import denoised, deviation_of
from dig2dig_jax.sampling import schedule

CHUNK = 64  # examples in a file


@dataclasses.dataclass(frozen=True)
class ExamplesConfig:
  """count: of examples, a multiple of `CHUNK`. size: pixels on a side."""

  count: int = 3072
  size: int = 96


def examples(folder: Path, data: Path, prior: Prior, model: SwiftConfig, config: ExamplesConfig, seed: int) -> Any:
  """[count] of examples, as a list of arrays [CHUNK, size, size, 7] that are read from `folder` where they lie. Those
  that are not there are made first."""
  weights = hashlib.sha256()
  for leaf in jax.tree.leaves(prior.params):
    weights.update(np.ascontiguousarray(leaf).tobytes())
  identity = repr((data.name, seed, config.size, model.least, model.most, weights.hexdigest()))
  name = hashlib.sha256(identity.encode()).hexdigest()[:12]
  crops = Crops(data, size=config.size, seed=seed)
  found = []
  folder.mkdir(parents=True, exist_ok=True)
  for chunk in tqdm(range(config.count // CHUNK), desc="examples", unit="file", mininterval=5, disable=None):
    path = folder / f"{name}_{chunk:04d}.npy"
    if not path.is_file():
      made = _made(crops, prior, model, range(chunk * CHUNK, (chunk + 1) * CHUNK), seed)
      with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, made)
    found.append(np.load(path, mmap_mode="r"))
  return found


def batches(
  found: list[np.ndarray], *, batch_size: int, seed: int, first_batch: int = 0, process: int = 0, processes: int = 1
) -> Iterator[np.ndarray]:
  """Endless: float32 [batch_size / processes, size, size, 7] of this process, from batch number `first_batch` on."""
  number = first_batch
  while True:
    drawn = np.random.default_rng((seed, number)).integers(len(found) * CHUNK, size=batch_size)
    yield np.stack([found[i // CHUNK][i % CHUNK] for i in drawn[process::processes]]).astype(np.float32)
    number += 1


def _made(crops: Crops, prior: Prior, model: SwiftConfig, numbers: range, seed: int) -> np.ndarray:
  table = schedule.steps_at(prior.noise.tables(), range(prior.noise.num_timesteps))
  deviations = np.asarray(deviation_of(table))  # of every channel's noise: sqrt(3) of the mean's
  rows = []
  for index in numbers:
    rng = np.random.default_rng((seed, index, 2))
    clean = crops[index].astype(np.float32) / 127.5 - 1
    gray = not np.any(clean != clean[..., :1])
    wanted = np.sqrt(3) / 127.5 * np.exp(rng.uniform(np.log(model.least), np.log(model.most)))
    place = int(np.abs(np.log(deviations) - np.log(wanted)).argmin())
    own = deviations[place] / np.sqrt(3) if gray else deviations[place]
    noise = rng.standard_normal((*clean.shape[:2], 1 if gray else 3), np.float32)
    noisy = clean + np.float32(own) * noise
    rows.append((np.clip(noisy, -1, 1) if rng.random() < 0.5 else noisy, place, gray))
  noisy, places, gray = (np.stack(column) for column in zip(*rows, strict=True))
  ask = _asked(prior.denoiser)
  keys = jax.vmap(functools.partial(jax.random.fold_in, jax.random.key(seed)))(jnp.asarray(numbers))
  parts = [slice(first, first + 16) for first in range(0, len(places), 16)]
  told = [ask(prior.params, keys[part], noisy[part], jax.tree.map(lambda row, part=part: row[places[part]], table),
              gray[part]) for part in parts]  # fmt: skip
  level = np.broadcast_to(deviations[places][:, None, None, None] / np.sqrt(3), (*noisy.shape[:3], 1))
  planes = [np.concatenate(jax.device_get(swift.planes(image)), axis=-1) for image in (noisy, np.concatenate(told))]
  for one in planes:
    one[gray, ..., 1:] = 0  # but for rounding
  return np.concatenate([*planes, level], axis=-1).astype(np.float16)


@functools.lru_cache(maxsize=2)
def _asked(denoiser):
  """The prior's estimates of a few crops."""

  def one(params, key, image, step, gray):
    return denoised(key, image, step, denoiser(params), gray=gray)

  return jax.jit(jax.vmap(one, in_axes=(None, 0, 0, 0, 0)))
