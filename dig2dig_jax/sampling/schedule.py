"""Which noise levels does a run visit? Tables in float64 numpy; row 0 is the least noisy, as in guided-diffusion.

A schedule of T trained timesteps (`BETAS`) is thinned to the S timesteps of a run
(`space_timesteps`, `spacing_timesteps`); `make_schedule` re-derives betas and posterior for the thinned chain, and
`steps` casts it once to float32, noisiest first, as the `xs` of the sampler's scan.
"""

import dataclasses
from collections.abc import Iterable
from typing import SupportsIndex

import jax.numpy as jnp
import numpy as np

from dig2dig_jax.errors import UserError
from dig2dig_jax.sampling.types import Step

SPACINGS = ("uniform", "quadratic", "logsnr", "ddim")


@dataclasses.dataclass(frozen=True, eq=False)
class Schedule:
  """Float64 tables [S] of a (thinned) chain, least noisy first, read-only. Hashed by identity: static under `jit`."""

  timesteps: np.ndarray  # int, increasing: what the network was trained on
  betas: np.ndarray
  alphas_cumprod: np.ndarray
  alphas_cumprod_prev: np.ndarray  # of the next less noisy row; 1 in row 0
  posterior_variance: np.ndarray  # of q(x_{t-1} | x_t, x_0); 0 in row 0
  posterior_log_variance_clipped: np.ndarray  # its log, row 0 taking the value of row 1
  posterior_mean_coef1: np.ndarray  # of x_0
  posterior_mean_coef2: np.ndarray  # of x_t
  original_steps: int  # T


@dataclasses.dataclass(frozen=True)
class NoiseSchedule:
  """The noise process on which a network was trained. name: one of `BETAS`, or `learned` if the network holds its own
  levels. num_timesteps: T."""

  name: str
  num_timesteps: int

  def tables(self, timesteps: Iterable[SupportsIndex] | None = None) -> Schedule:
    """Of all its timesteps, or thinned to these. UserError for a name that is not in `BETAS`."""
    return make_schedule(self.name, num_timesteps=self.num_timesteps, timesteps=timesteps)


def linear_betas(n: int) -> np.ndarray:
  """Betas [n], linear from 1e-4 to 0.02 for n = 1000 and scaled by 1000 / n otherwise. n must exceed 20 (beta < 1)."""
  if n <= 20:
    raise UserError(f"linear schedule: expected more than 20 timesteps, found {n}; raise it or use the cosine schedule")
  return np.linspace(1e-4 * 1000 / n, 0.02 * 1000 / n, n, dtype=np.float64)


def cosine_betas(n: int) -> np.ndarray:
  """Betas [n] whose signal level follows cos^2((u + 0.008) / 1.008 * pi / 2), u = t / n, each at most 0.999."""
  level = np.cos((np.arange(n + 1) / n + 0.008) / 1.008 * np.pi / 2) ** 2
  return np.minimum(1 - level[1:] / level[:-1], 0.999)


def flow_betas(n: int) -> np.ndarray:
  """Betas [n] whose shares of noise in a rectified flow, s = sqrt(1 - alpha_bar) / (sqrt(alpha_bar) + sqrt(1 -
  alpha_bar)), are (t + 1/2) / n: the middles of n equal parts of [0, 1], since s = 1 has no image left."""
  share = (np.arange(n) + 0.5) / n
  return _betas_of_levels((1 - share) ** 2 / ((1 - share) ** 2 + share**2))


def edm_betas(n: int) -> np.ndarray:
  """Betas [n] whose noise to signal, sigma = sqrt((1 - alpha_bar) / alpha_bar), goes from 0.002 to 80 evenly in
  sigma^(1/7) (Karras et al. 2022, Eq. 5)."""
  sigma = np.linspace(0.002 ** (1 / 7), 80 ** (1 / 7), n) ** 7
  return _betas_of_levels(1 / (1 + sigma**2))


def _betas_of_levels(level: np.ndarray) -> np.ndarray:
  return 1 - level / np.append(1.0, level[:-1])


BETAS = {"linear": linear_betas, "cosine": cosine_betas, "flow": flow_betas, "edm": edm_betas}


def betas(name: str, n: int) -> np.ndarray:
  """Betas [n] of the schedule called `name`. UserError for a name that is not in `BETAS`."""
  if name not in BETAS:
    raise UserError(f"noise schedule: expected {', '.join(BETAS)}, found {name!r}; use one of these")
  return BETAS[name](n)


def space_timesteps(num_timesteps: int, spec: str) -> np.ndarray:
  """Kept timesteps, increasing ints, by guided-diffusion's rules.

  "" keeps all; "ddimN" takes the smallest whole stride from 0 that gives exactly N; "a,b,c" cuts the range into equal
  sections and spreads a, b, c timesteps over them, ends of each section included; "N" is one section.
  UserError if the spec cannot be read or asks for more timesteps than there are.
  """
  accepted = "'' (all), a count '25', counts per section '10,15,20' or a stride 'ddim25'"
  if spec == "":
    return np.arange(num_timesteps)
  stride_only = spec.startswith("ddim")
  try:
    counts = [int(part) for part in spec.removeprefix("ddim").split(",")]
  except ValueError:
    counts = []
  if not counts or min(counts) < 0 or sum(counts) == 0 or (stride_only and len(counts) > 1):
    raise UserError(f"timestep respacing: expected {accepted}, found {spec!r}; use one of these")
  if stride_only:
    for stride in range(1, num_timesteps):
      kept = np.arange(0, num_timesteps, stride)
      if len(kept) == counts[0]:
        return kept
    raise UserError(
      f"timestep respacing: expected a count that some whole stride over {num_timesteps} timesteps gives, "
      f"found {spec!r}; use '{counts[0]}' for an uneven stride"
    )
  chosen: list[int] = []
  start = 0
  for section, count in enumerate(counts):
    size = num_timesteps // len(counts) + (section < num_timesteps % len(counts))
    if count > size:
      raise UserError(
        f"timestep respacing: expected at most {size} timesteps in section {section + 1} of {len(counts)}, "
        f"found {count} in {spec!r}; lower it"
      )
    between = (size - 1) / (count - 1) if count > 1 else 1.0
    position = 0.0  # accumulated, not multiplied: rounding of ties must agree with what checkpoints were sampled with
    for _ in range(count):
      chosen.append(start + round(position))
      position += between
    start += size
  return np.array(chosen)


def spacing_timesteps(num_timesteps: int, steps: int, spacing: str, *, name: str = "linear") -> np.ndarray:
  """Exactly `steps` distinct timesteps, increasing ints, from 0 to num_timesteps - 1 (a single one: the noisiest).

  `spacing`: "uniform" in t; "quadratic", t ~ i^2, so gaps grow with the noise (paper section 4.5); "logsnr", uniform in
  log(alpha_bar / (1 - alpha_bar)) of the schedule `name`; "ddim", guided-diffusion's constant integer stride, ending
  below num_timesteps - 1; or counts per section "a,b,c" that add up to `steps`.
  UserError for anything else, for more steps than timesteps, and for a number of steps that no stride gives.
  """
  if not 1 <= steps <= num_timesteps:
    raise UserError(f"steps: expected 1 to {num_timesteps}, found {steps}; change the number of steps")
  if "," in spacing:
    kept = space_timesteps(num_timesteps, spacing)
    if len(kept) != steps:
      raise UserError(f"spacing: expected sections that add up to {steps} steps, found {spacing!r}; change either")
    return kept
  if spacing not in SPACINGS:
    raise UserError(
      f"spacing: expected {', '.join(SPACINGS)} or counts per section such as '10,15,20', found {spacing!r}; use one"
    )
  if steps == 1:
    return np.array([num_timesteps - 1])  # a run of one step starts from noise
  if spacing == "uniform":
    return space_timesteps(num_timesteps, str(steps))
  if spacing == "ddim":
    return space_timesteps(num_timesteps, f"ddim{steps}")
  if spacing == "quadratic":
    wanted = (num_timesteps - 1) * np.linspace(0, 1, steps) ** 2
  else:
    level = np.cumprod(1 - betas(name, num_timesteps))
    noise_to_signal = np.log1p(-level) - np.log(level)
    low, high = float(noise_to_signal[0]), float(noise_to_signal[-1])
    wanted = np.interp(np.linspace(low, high, steps), noise_to_signal, np.arange(num_timesteps))
  # Rounding makes the densest end collide: push repeated timesteps up, then hold everything below the top.
  rank = np.arange(steps)
  kept = np.maximum.accumulate(np.rint(wanted).astype(int) - rank) + rank
  return np.minimum(kept, num_timesteps - steps + rank)


def make_schedule(
  name: str = "linear", *, num_timesteps: int = 1000, timesteps: Iterable[SupportsIndex] | None = None
) -> Schedule:
  """Tables of a noise schedule, or of a subset of its timesteps.

  A kept row has alpha_bar of the full schedule and beta_i = 1 - alpha_bar_i / alpha_bar_{i-1} over the kept rows.

  Args:
    name: one of `BETAS`.
    num_timesteps: T, of the full schedule.
    timesteps: the rows to keep, increasing integers in [0, T); None keeps all.

  Returns:
    A `Schedule` of float64 tables [T] or [len(timesteps)], cleanest level first.

  Raises:
    UserError: for an unknown name, and for timesteps that do not increase within [0, T).
  """
  full = np.cumprod(1 - betas(name, num_timesteps))
  kept = np.arange(num_timesteps) if timesteps is None else np.asarray(list(timesteps))
  increasing = kept.size > 0 and kept.dtype.kind in "iu" and np.all(np.diff(kept) > 0)
  if not increasing or kept[0] < 0 or kept[-1] >= num_timesteps:
    raise UserError(
      f"timesteps: expected increasing integers from 0 to {num_timesteps - 1}, found {kept.tolist()}; correct the list"
    )
  beta = betas(name, num_timesteps) if len(kept) == num_timesteps else 1 - full[kept] / np.append(1.0, full[kept[:-1]])
  level = np.cumprod(1 - beta)
  level_prev = np.append(1.0, level[:-1])
  variance = beta * (1 - level_prev) / (1 - level)
  tables = dict(
    timesteps=kept,
    betas=beta,
    alphas_cumprod=level,
    alphas_cumprod_prev=level_prev,
    posterior_variance=variance,
    # Row 0 has variance 0. A chain of one step has no row 1 to borrow from, nor any noise to scale: beta is as good.
    posterior_log_variance_clipped=np.log(np.append(variance[1:2] if len(kept) > 1 else beta, variance[1:])),
    posterior_mean_coef1=beta * np.sqrt(level_prev) / (1 - level),
    posterior_mean_coef2=(1 - level_prev) * np.sqrt(1 - beta) / (1 - level),
  )
  for table in tables.values():
    table.setflags(write=False)
  return Schedule(**tables, original_steps=num_timesteps)


def _rows(schedule: Schedule, rows: np.ndarray | np.integer) -> Step:
  def cast(table):
    return jnp.asarray(table[rows], jnp.float32)

  return Step(
    index=jnp.arange(rows.size, dtype=jnp.int32).reshape(rows.shape),
    t=jnp.asarray(schedule.timesteps[rows], jnp.int32),
    alpha_bar=cast(schedule.alphas_cumprod),
    alpha_bar_prev=cast(schedule.alphas_cumprod_prev),
    log_beta=cast(np.log(schedule.betas)),
    posterior_log_variance=cast(schedule.posterior_log_variance_clipped),
  )


def steps(schedule: Schedule) -> Step:
  """The run as a stacked Step [S], noisiest first; the only cast from float64 to float32 / int32."""
  return _rows(schedule, np.arange(len(schedule.timesteps))[::-1])


def steps_at(schedule: Schedule, ts) -> Step:
  """Steps at the trained timesteps `ts` (int or ints [n], any order; index counts them): Step of shape [] or [n].

  Meant for a full schedule, where every t exists; UserError for a t that the schedule has not kept.
  """
  wanted = np.asarray(ts)
  rows = np.searchsorted(schedule.timesteps, wanted)
  found = schedule.timesteps[np.minimum(rows, len(schedule.timesteps) - 1)]
  if np.any(found != wanted):
    missing = np.extract(found != wanted, wanted).tolist()
    raise UserError(
      f"timesteps: expected some of the schedule's {len(schedule.timesteps)}, from {schedule.timesteps[0]} to "
      f"{schedule.timesteps[-1]}, found {missing}; use the full schedule and timesteps inside it"
    )
  return _rows(schedule, rows)
