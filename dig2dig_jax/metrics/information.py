"""How much information is in the fused image, and how much of it came from the sources? EN, MI, NMI, Qncie, CE.

Every measure here takes (sources [K, H, W], fused [H, W], size) as `canvas` explains, grey levels 0..255, and gives a
scalar. They count grey levels, so values are rounded to the nearest one.
"""

import math

import jax
import jax.numpy as jnp

from dig2dig_jax.metrics.canvas import Size, inside

_LEVELS = 256


def entropy(sources: jax.Array, fused: jax.Array, size: Size) -> jax.Array:
  """EN = -sum p log2 p over the 256 grey levels of `fused`, 0..8 bits; 0 for a flat image. The sources play no part."""
  del sources
  return _nats(_histogram(fused, size), fused.dtype) / math.log(2)


def mutual_information(sources: jax.Array, fused: jax.Array, size: Size) -> jax.Array:
  """MI in bits: the sum over the K sources of H(X) + H(F) - H(X, F)."""
  return mutual_information_nats(sources, fused, size) / math.log(2)


def mutual_information_nats(sources: jax.Array, fused: jax.Array, size: Size) -> jax.Array:
  """MI in nats, as the DDFM tables and VIFB print it."""
  return jnp.sum(jnp.stack(_per_source(sources, fused, size)[2]))


def mutual_information_min(sources: jax.Array, fused: jax.Array, size: Size) -> jax.Array:
  """Smallest over the sources of MI(X, F), in nats: a copy of one source has little of the other."""
  return jnp.min(jnp.stack(_per_source(sources, fused, size)[2]))


def normalised_mutual_information(sources: jax.Array, fused: jax.Array, size: Size) -> jax.Array:
  """NMI = 2 sum_k MI(X_k, F) / (H(X_k) + H(F)), 0..K (Hossny et al. 2008; MEFB). NaN when a source and F are flat."""
  own, target, shared = _per_source(sources, fused, size)
  return sum(2 * information / (entropy_ + target) for entropy_, information in zip(own, shared, strict=True))


def nonlinear_correlation(sources: jax.Array, fused: jax.Array, size: Size) -> jax.Array:
  """Qncie = 1 + sum_i (l_i / n) log256(l_i / n), l the eigenvalues of the n = K + 1 images' matrix of nonlinear
  correlations MI(X, Y) / log 256, unit diagonal (Wang et al. 2008). About 0.8, when nothing is shared, to 1."""
  images = jnp.concatenate([sources, fused[None]])
  count = images.shape[0]
  entropies = [_nats(_histogram(image, size), fused.dtype) for image in images]
  matrix = jnp.eye(count, dtype=fused.dtype)
  for i in range(count):
    for j in range(i):
      joint = _nats(_joint(images[i], images[j], size), fused.dtype)
      shared = (entropies[i] + entropies[j] - joint) / math.log(_LEVELS)
      matrix = matrix.at[i, j].set(shared).at[j, i].set(shared)
  share = jnp.linalg.eigvalsh(matrix) / count
  logarithm = jnp.log(jnp.where(share > 0, share, 1)) / math.log(_LEVELS)
  return 1 + jnp.sum(share * logarithm)


def cross_entropy(sources: jax.Array, fused: jax.Array, size: Size) -> jax.Array:
  """CE: the mean over the sources of sum p_X log2(p_X / p_F) over the levels that both have (VIFB, MEFB). Bits; may be
  negative, because levels that only one image has are left out."""
  target = _histogram(fused, size).astype(fused.dtype)
  target = target / jnp.sum(target)
  values = []
  for source in sources:
    own = _histogram(source, size).astype(fused.dtype)
    own = own / jnp.sum(own)
    both = jnp.logical_and(own > 0, target > 0)
    values.append(jnp.sum(own * jnp.log2(jnp.where(both, own, 1) / jnp.where(both, target, 1))))
  return jnp.mean(jnp.stack(values))


def _per_source(sources, fused, size):
  """Entropy of each source, of F, and what each source shares with it. Nats."""
  target = _nats(_histogram(fused, size), fused.dtype)
  own = [_nats(_histogram(source, size), fused.dtype) for source in sources]
  joints = [_nats(_joint(source, fused, size), fused.dtype) for source in sources]
  return own, target, [x + target - joint for x, joint in zip(own, joints, strict=True)]


def _levels(image: jax.Array) -> jax.Array:
  return jnp.clip(jnp.rint(image), 0, _LEVELS - 1).astype(jnp.int32)


def _histogram(image: jax.Array, size: Size) -> jax.Array:
  return _counts(_levels(image), size, _LEVELS)


def _joint(a: jax.Array, b: jax.Array, size: Size) -> jax.Array:
  return _counts(_levels(a) * _LEVELS + _levels(b), size, _LEVELS**2)


def _counts(values: jax.Array, size: Size, length: int) -> jax.Array:
  # Whole numbers: a float32 histogram would stop counting at 2^24 pixels.
  here = inside(values.shape, size).astype(jnp.int32)
  return jnp.zeros(length, jnp.int32).at[values.ravel()].add(here.ravel())


def _nats(counts: jax.Array, dtype) -> jax.Array:
  """Entropy of a histogram. Empty bins add nothing: p log p -> 0."""
  p = counts.astype(dtype) / jnp.sum(counts).astype(dtype)
  return jnp.sum(p * jnp.log(1 / jnp.where(p > 0, p, 1)))  # not -sum(p log p), which makes a flat image -0.0
