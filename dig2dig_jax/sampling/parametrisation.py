"""What does a network's output mean, and what is the network given? Noise, image, velocity, flow, or EDM's.

All are read on the variance-preserving image x_t = sqrt(a) x0 + sqrt(1 - a) eps of the sampler, with a = alpha_bar.
A network that was trained on another mixture of the same x0 and eps is given that mixture and the time that belongs to
it: both follow from a, so that any noise schedule may be run with any network.

  eps   noise, eps                                                    DDPM, Ho et al. 2020 (arXiv 2006.11239)
  x0    the clean image
  v     sqrt(a) eps - sqrt(1 - a) x0                                  Salimans and Ho 2022 (arXiv 2202.00512)
  flow  eps - x0, at (1 - s) x0 + s eps                               rectified flow, Liu et al. 2022 (arXiv 2209.03003)
  edm   F in c_skip y + c_out F(c_in y, c_noise), y = x0 + sigma eps  Karras et al. 2022 (arXiv 2206.00364, table 1)
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp

from dig2dig_jax.ops.arrays import Array, Image
from dig2dig_jax.sampling import process
from dig2dig_jax.sampling.types import Step

NAMES = ("eps", "x0", "v", "flow", "edm")
_MOST = 1e6
_NUMBERS = {"time_scale": "flow", "sigma_data": "edm"}  # field -> the parametrisation that it belongs to


@dataclasses.dataclass(frozen=True)
class Parametrisation:
  """name: one of `NAMES`. time_scale: a flow network receives s in [0, 1] times this (1000 for those of the family of
  Stable Diffusion 3, 1 for most others). sigma_data: standard deviation of the training images, of `edm`.
  ValueError for another name, and for a number that is not above 0 and at most a million."""

  name: str = "eps"
  time_scale: float = 1000.0
  sigma_data: float = 0.5

  def __post_init__(self):
    if self.name not in NAMES:
      raise ValueError(f"parametrisation: expected one of {', '.join(NAMES)}, found {repr(self.name)[:60]}")
    for field in _NUMBERS:
      value = getattr(self, field)
      if not 0 < value <= _MOST:
        raise ValueError(f"parametrisation, {field}: expected a number above 0 to {_MOST:g}, found {repr(value)[:60]}")

  def to_dict(self) -> dict[str, Any]:
    """The name, and the number where its kind has one: what a checkpoint's card says."""
    return {"name": self.name} | {field: getattr(self, field) for field, kind in _NUMBERS.items() if kind == self.name}

  @classmethod
  def parse(cls, text: str) -> "Parametrisation":
    """`v`, or with the number of its kind, `flow=1` and `edm=0.5`. ValueError for anything else."""
    name, equals, number = text.partition("=")
    if not equals:
      return cls(name)
    field = next((field for field, kind in _NUMBERS.items() if kind == name), None)
    try:
      return cls.from_dict({"name": name, field or "a number": float(number)})
    except ValueError as error:
      raise ValueError(f"{error}; write one of {', '.join(NAMES)}, flow=NUMBER or edm=NUMBER") from error

  @classmethod
  def from_dict(cls, fields: Any) -> "Parametrisation":
    """Inverse of `to_dict`. ValueError for what it would not write, but for a number left at its default."""
    if not isinstance(fields, Mapping) or "name" not in fields:
      raise ValueError(f"parametrisation: expected fields by name, 'name' among them, found {repr(fields)[:60]}")
    if fields["name"] not in NAMES:  # of a file: it may be of any type
      raise ValueError(f"parametrisation: expected one of {', '.join(NAMES)}, found {repr(fields['name'])[:60]}")
    own = cls(name=fields["name"])
    known = ["name", *(field for field, kind in _NUMBERS.items() if kind == own.name)]
    if unknown := [repr(field)[:60] for field in fields if field not in known]:
      raise ValueError(f"parametrisation {own.name}: expected {', '.join(known)}, found {', '.join(unknown[:3])}")
    for field in known[1:]:
      if field in fields and type(fields[field]) not in (int, float):
        raise ValueError(f"parametrisation, {field}: expected a number, found {repr(fields[field])[:60]}")
    return cls(**fields)


class Reading(NamedTuple):
  """x [H, W, C] and time []: what the network is given at a step. read: of its output [H, W, C], float32, -> x0."""

  x: Image
  time: Array
  read: Callable[[Image], Image]


def reading(parametrisation: Parametrisation, x_t: Image, step: Step) -> Reading:
  """How a network of this parametrisation is called on x_t [H, W, C] of `step`, and how x0 follows from its output."""
  a = step.alpha_bar
  signal, noise = jnp.sqrt(a), jnp.sqrt(1 - a)
  if parametrisation.name == "x0":
    return Reading(x_t, step.t, lambda output: output)
  if parametrisation.name == "v":
    return Reading(x_t, step.t, lambda v: signal * x_t - noise * v)
  if parametrisation.name == "flow":
    share = noise / (signal + noise)  # s: the ratio of noise to image is the same in both mixtures
    mixed = x_t / (signal + noise)
    return Reading(mixed, parametrisation.time_scale * share, lambda flow: mixed - share * flow)
  if parametrisation.name == "edm":
    # With sigma = noise / signal and y = x_t / signal, each of EDM's four, multiplied out so that none is infinite:
    deviation = parametrisation.sigma_data
    spread = jnp.sqrt(1 - a + a * deviation**2)  # of x_t, where images have that deviation
    skip, out = signal * deviation**2 / spread**2, noise * deviation / spread
    sigma_log = -process.half_log_snr(a)
    return Reading(x_t / spread, sigma_log / 4, lambda output: skip * x_t + out * output)
  return Reading(x_t, step.t, lambda eps: process.x0_from_eps(x_t, eps, a))
