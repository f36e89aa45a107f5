"""How is a degraded source restored? Plug-and-play restoration with the diffusion prior as the denoiser.

A source is observed as z = A y + n, n ~ N(0, sigma^2 I). Half-quadratic splitting (Zhang et al., arXiv 2008.13751)
alternates, over decreasing noise levels r of the prior, a step towards the observation and one towards the prior:

  x <- x + A^T (A A^T + (sigma^2 / r^2) I)^-1 (z - A x),      x <- D_r(x).

Noise alone (A the identity) takes one evaluation of D at r = sigma: the prior's estimate of the posterior mean.

A gray image in three channels has the same noise in each, which a prior of colour images mistakes for detail. So
z is lifted to independent noise: z + sqrt(3) r (e - mean_c e), e normal, has noise of standard deviation sqrt(3) r in
every channel, independent over channels, and the same mean over channels, which is all the information in z.
"""

import jax
import jax.numpy as jnp
import numpy as np

from dig2dig_jax.ops.arrays import Array, Image, Scalar
from dig2dig_jax.restoration.operators import Operator
from dig2dig_jax.sampling import schedule
from dig2dig_jax.sampling.schedule import NoiseSchedule
from dig2dig_jax.sampling.types import Denoiser, GrayDenoiser, Step

# Noise levels between which an operator is inverted, as standard deviations of images in [-1, 1]: 49 and 1 of 255.
COARSE, FINE = 49 / 127.5, 1 / 127.5
# Weight of the observation relative to the denoiser, which is not an exact posterior mean (arXiv 2008.13751,
# section 4.2: 0.23).
TRUST = 0.23


def levels(noise: NoiseSchedule, *, sigma: float, steps: int, gray: bool, only_noise: bool) -> Step:
  """Step [R] of the restoration, noisiest first: of all that the prior was trained on.

  sigma: of the observation's noise, images in [-1, 1]. only_noise: A is the identity, which takes one level, at sigma.
  Otherwise `steps` levels from COARSE (or 2 sigma) down to sigma (or FINE), evenly in the logarithm.
  """
  full = noise.tables()
  deviation = np.sqrt((1 - full.alphas_cumprod) / full.alphas_cumprod)
  wanted = np.array([sigma]) if only_noise else np.geomspace(max(COARSE, 2 * sigma), max(FINE, sigma), steps)
  lifted = np.sqrt(3) * wanted if gray else wanted
  return schedule.steps_at(full, np.abs(np.log(deviation) - np.log(lifted)[:, None]).argmin(axis=1))


def deviation_of(step: Step) -> Array:
  """Standard deviation of a step's noise, of images in [-1, 1]."""
  return jnp.sqrt((1 - step.alpha_bar) / step.alpha_bar)


def lift(key: Array, image: Image, deviation: Scalar) -> Image:
  """Gray [H, W, 3] with noise of `deviation` / sqrt(3), the same in all channels -> noise of `deviation`, independent
  over channels, with the same mean over channels."""
  noise = jax.random.normal(key, image.shape)
  return image + deviation * (noise - noise.mean(axis=-1, keepdims=True))


def denoised(
  key: Array, image: Image, step: Step, denoise: Denoiser, *, gray: bool | Array
) -> Array:
  """The prior's estimate of the clean image from `image` [H, W, 3] with noise of the step's level (of that level /
  sqrt(3), if gray)."""

  def lifted(denoise: Denoiser) -> Image:
    independent = jnp.where(gray, lift(key, image, deviation_of(step)), image)
    x0 = denoise(jnp.sqrt(step.alpha_bar) * independent, step).x0
    return jnp.where(gray, x0.mean(axis=-1, keepdims=True), x0)

  if isinstance(denoise, GrayDenoiser):
    return denoise.estimate(image, step, gray=gray, otherwise=lifted)
  return lifted(denoise)


def restore(
  key: Array,
  observed: Array,
  operator: Operator,
  sigma: Array | float,
  steps: Step,
  denoise: Denoiser,
  *,
  gray: bool,
) -> Array:
  """The source [H, W, 3] of an observation [h, w, 3].

  Args:
    key: of the lift; unused where the image is in colour.
    observed: A y + n, about [-1, 1].
    operator: A, on [H, W].
    sigma: of n, in the observation's units.
    steps: of `levels`.
    denoise: the prior.
    gray: whether the channels are equal, and so is their noise.
  """
  deviation2 = (1 - steps.alpha_bar) / steps.alpha_bar / (3 if gray else 1)
  rho = TRUST * sigma**2 / deviation2
  mean = jnp.broadcast_to(observed.mean(axis=(0, 1), keepdims=True), (*operator.size, observed.shape[-1]))
  one_level = steps.t.shape[0] == 1
  x = mean + operator.solve(observed - operator.apply(mean), 0.0 if one_level else rho[0])

  def body(x, level):
    step, rho = level
    x = x + operator.solve(observed - operator.apply(x), rho)
    return denoised(jax.random.fold_in(key, step.index), x, step, denoise, gray=gray), None

  return jax.lax.scan(body, x, (steps, rho))[0]
