"""How do the sources correct a prediction? Guidances, and how they combine.

Each is a `Guidance(init, update)` pair; `update(prediction, state, sources, *, x_t, step, key, weights, denoise)`.
Sources are [K, H, W, C] in [-1, 1]; weights [K, H, W, 1] are convex over K.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from dig2dig_jax.guidance import spectrum
from dig2dig_jax.ops import pyramid
from dig2dig_jax.ops.arrays import Image, Images, Weights
from dig2dig_jax.sampling import process
from dig2dig_jax.sampling.types import Guidance, Prediction

BASE_RULES = ("uniform", "dig", "mean", "brightest")
# Scale of the softmax over brightness in [-1, 1] of the rule `brightest`: a difference of it gives 0.73 and 0.27.
BRIGHTNESS_TEMPERATURE = 0.05
# Window of a band's local energy, standard deviation in the band's own pixels: enough to cover zero crossings.
SALIENCE_WINDOW = 0.6


def stateless(f: Callable[..., Prediction]) -> Guidance:
  """Guidance without memory.

  Args:
    f: `f(prediction, sources, *, x_t, step, key, weights, denoise) -> prediction`; arguments that it does not use go
      into `**_`.

  Returns:
    A `Guidance` whose state is empty.
  """
  return Guidance(lambda sources: (), lambda prediction, state, sources, **kw: (f(prediction, sources, **kw), state))


def chain(*guidances: Guidance) -> Guidance:
  """Applies guidances in order, each with its own state and key.

  Args:
    guidances: the first receives the network's prediction, each of the others the output of the one before it.

  Returns:
    A `Guidance`.
  """

  def init(sources):
    return tuple(guidance.init(sources) for guidance in guidances)

  def update(prediction, state, sources, *, key, **kw):
    states = []
    for guidance, own, own_key in zip(guidances, state, jax.random.split(key, len(guidances)), strict=True):
      prediction, own = guidance.update(prediction, own, sources, key=own_key, **kw)
      states.append(own)
    return prediction, tuple(states)

  def diagnose(state):
    told = [guidance.diagnose(own) for guidance, own in zip(guidances, state, strict=True)]
    return {name: value for part in told for name, value in part.items()}

  return Guidance(init, update, diagnose)


def consistent_eps() -> Guidance:
  """Re-derives eps from x_t and the corrected x0, so that x_t = sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) eps again.

  Returns:
    A `Guidance`, to be placed last in a `chain`.
  """

  def f(prediction, sources, *, x_t, step, **kw):
    return prediction._replace(eps=process.eps_from_x0(x_t, prediction.x0, step.alpha_bar))

  return stateless(f)


def blend(
  sources: Images,
  weights: Weights,
  *,
  levels: int = 1,
  base: str = "uniform",
  salience: float = 0.0,
  brightness: float = 0.0,
) -> Image:
  """The weighted mean of the sources, per pixel (levels = 1) or per band of a Laplacian pyramid of `levels`.

  Per band, the weights enter as their Gaussian pyramid, and the coarsest band follows its own rule: `uniform` (1 / K),
  `dig` (the weights), `mean` (the weights averaged over the image) or `brightest` (a softmax of the
  sources' brightness there).
  With DIG on the coarsest band, regions that are dark in one source and bright in the other turn into blotches that
  follow the weight map.

  salience: the weights of every detail band are multiplied by exp(salience x the source's share of the band's local
  energy) (the salience measure of Burt and Kolczynski 1993), and made convex again. 0 leaves them as they are. Gains
  are smoothed over many pixels and cannot tell which source has the edge; the energy of a band can.

  brightness: they are multiplied by exp(brightness x the source's mean over channels at the band's level) too. For
  sources that are bright where they contain information, such as bone in CT: with `brightest` on the coarsest band,
  edges then come rather from the source that determines the region's brightness.
  """
  levels = min(levels, pyramid.max_levels(*sources.shape[1:3]))
  if levels == 1:
    return jnp.sum(weights * sources, axis=0)
  bands = pyramid.laplacian_pyramid(sources, levels)
  weight_bands = pyramid.gaussian_pyramid(weights, levels)
  if base == "uniform":
    weight_bands[-1] = jnp.full_like(weight_bands[-1], 1 / sources.shape[0])
  elif base == "mean":
    weight_bands[-1] = jnp.broadcast_to(weights.mean(axis=(1, 2), keepdims=True), weight_bands[-1].shape)
  elif base == "brightest":
    weight_bands[-1] = jax.nn.softmax(bands[-1].mean(axis=-1, keepdims=True) / BRIGHTNESS_TEMPERATURE, axis=0)
  elif base != "dig":
    raise ValueError(f"base: expected one of {BASE_RULES}, found {base!r}")
  if salience or brightness:
    values = pyramid.gaussian_pyramid(sources.mean(axis=-1, keepdims=True), levels)
    for level, band in enumerate(bands[:-1]):
      score = brightness * values[level] + (salience * _energy_share(band) if salience else 0.0)
      weight_bands[level] = jax.nn.softmax(jnp.log(weight_bands[level]) + score, axis=0)
  return pyramid.collapse([jnp.sum(w * b, axis=0) for w, b in zip(weight_bands, bands, strict=True)])


def _energy_share(band: Images) -> Weights:
  """In [0, 1]: each source's share of the local energy of the detail band. Where no source
  has detail, the weights stay."""
  return spectrum.share(spectrum.band_gain(band, band, window=SALIENCE_WINDOW))


def likelihood_strength(variance: float) -> Callable:
  """lambda_t = (1 - alpha_bar) / (alpha_bar r^2), at most 1, for p(y | x_t) = N(y; x0, r^2 I): Dig2DIG Eq. 3 in x0.

  Args:
    variance: r^2, of images in [-1, 1]; above 0.

  Returns:
    A function of the step, for `quadratic` and `dps`.
  """

  def strength(step):
    return jnp.minimum((1 - step.alpha_bar) / (step.alpha_bar * variance), 1.0)

  return strength


def quadratic(strength: float | Callable = 1.0, **bands) -> Guidance:
  """Dig2DIG's guided update in x0 space: x0 <- x0 + lambda_t sum_k w_k (y_k - x0), per pixel or per band.

  Because the weights are convex in every band, the weighted residuals sum to `blend(sources) - x0`.

  Args:
    strength: lambda in [0, 1], or a function of the step.
    bands: options of `blend`.

  Returns:
    A `Guidance`; eps is left to `consistent_eps`.
  """

  def f(prediction, sources, *, step, weights, **kw):
    target = blend(sources, weights, **bands)
    amount = strength(step) if callable(strength) else strength
    return prediction._replace(x0=prediction.x0 + amount * (target - prediction.x0))

  return stateless(f)


def dps(strength: float | Callable = 1.0, **bands) -> Guidance:
  """The same likelihood without the Jacobian-free approximation: the gradient goes through the network.

  x0 <- x0 + lambda_t sqrt(alpha_bar) J^T (sum_k w_k y_k - x0), J = d x0 / d x_t. Where J = I / sqrt(alpha_bar) this is
  `quadratic`. One more forward pass and one backward pass per step.

  Args:
    strength: lambda in [0, 1], or a function of the step.
    bands: options of `blend`.

  Returns:
    A `Guidance`; eps is left to `consistent_eps`.
  """

  def f(prediction, sources, *, x_t, step, weights, denoise, **kw):
    target = blend(sources, weights, **bands)
    x0, pull = jax.vjp(lambda x: denoise(x, step).x0, x_t)
    amount = strength(step) if callable(strength) else strength
    (direction,) = pull(target - x0)
    return prediction._replace(x0=prediction.x0 + amount * jnp.sqrt(step.alpha_bar) * direction)

  return stateless(f)


GUIDANCES = {"quadratic": quadratic, "dps": dps}
