"""What does one training step do? Epsilon prediction on guided-diffusion's noise process, AdamW, an average of weights.

Pure functions: `init_state`, and `make_step(...) -> step(state, batch) -> (state, metrics)` to be jitted once.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

TIME_SAMPLINGS = ("uniform", "mixed")
WEIGHTINGS = ("none", "min_snr")


@dataclasses.dataclass(frozen=True)
class StepConfig:
  """Everything of the recipe that shapes a step.

  time_sampling: `uniform` over t, or `mixed`: half of the draws uniform over t, half uniform over the log of the
    noise-to-signal ratio. A quarter of the linear schedule's timesteps hold all noise below half of the image's range,
    which is what denoising and information gains live on.
  weighting: of the squared error of epsilon; `min_snr` is min(SNR, 5) / SNR (Hang et al. 2023, arXiv 2303.09556).
  decay_share: share of the steps, at the end, over which the rate falls. accumulate: parts that a batch is taken in,
    one after the other, for less memory; the update is the same to rounding.
  """

  learning_rate: float = 4e-4
  warmup_steps: int = 200
  total_steps: int = 10_000
  decay_share: float = 0.5
  weight_decay: float = 1e-2
  clip_norm: float = 1.0
  ema_decay: float = 0.999
  time_sampling: str = "mixed"
  weighting: str = "none"
  accumulate: int = 1

  def __post_init__(self):
    if self.time_sampling not in TIME_SAMPLINGS:
      raise ValueError(f"time_sampling: expected one of {TIME_SAMPLINGS}, found {self.time_sampling!r}")
    if self.weighting not in WEIGHTINGS:
      raise ValueError(f"weighting: expected one of {WEIGHTINGS}, found {self.weighting!r}")
    if not 0 < self.decay_share <= 1:
      raise ValueError(f"decay_share: expected above 0 and at most 1, found {self.decay_share}")


class TrainState(NamedTuple):
  step: jax.Array  # int32, steps taken
  params: Any  # float32 master weights
  ema: Any  # exponential moving average of params: what is shipped
  opt_state: Any


def optimizer(config: StepConfig) -> optax.GradientTransformation:
  """AdamW with a linear warm-up, a constant rate, and a linear decay to 2 % of it over the last `decay_share` of steps.

  Before the decay the rate does not depend on the length of the run, so a run may be lengthened while it goes (Haegele
  et al. 2024, arXiv 2405.18392).
  """
  decay_steps = max(1, round(config.decay_share * config.total_steps))
  peak = config.learning_rate
  schedule = optax.join_schedules(
    [
      optax.linear_schedule(0.0, peak, config.warmup_steps),
      optax.constant_schedule(peak),
      optax.linear_schedule(peak, 0.02 * peak, decay_steps),
    ],
    [config.warmup_steps, max(config.warmup_steps, config.total_steps - decay_steps)],
  )
  return optax.chain(
    optax.clip_by_global_norm(config.clip_norm),
    optax.adamw(schedule, b1=0.9, b2=0.99, weight_decay=config.weight_decay, mask=decay_mask),
  )


def decay_mask(params):
  """Weight decay acts on kernels, not on biases and norms."""
  return jax.tree.map(lambda leaf: leaf.ndim > 1, params)


def init_state(params, config: StepConfig) -> TrainState:
  params = jax.tree.map(jnp.asarray, params)
  return TrainState(jnp.zeros((), jnp.int32), params, jax.tree.map(jnp.copy, params), optimizer(config).init(params))


def time_distribution(alphas_cumprod: np.ndarray, time_sampling: str) -> np.ndarray:
  """Probability of each timestep, float64 [T]."""
  uniform = np.full(len(alphas_cumprod), 1 / len(alphas_cumprod))
  if time_sampling == "uniform":
    return uniform
  log_ratio = np.log((1 - alphas_cumprod) / alphas_cumprod)
  per_log = np.gradient(log_ratio)
  return (uniform + per_log / per_log.sum()) / 2


def make_step(apply: Callable, alphas_cumprod: np.ndarray, config: StepConfig, *, seed: int) -> Callable:
  """`apply(params, x [N, H, W, 3], t [N]) -> eps [N, H, W, 3]`; alphas_cumprod: float64 [T].

  The returned `step(state, batch)` draws its noise from fold_in(key(seed), state.step): nothing else is random.
  """
  table = jnp.asarray(alphas_cumprod, jnp.float32)
  cumulative = jnp.asarray(np.cumsum(time_distribution(alphas_cumprod, config.time_sampling)), jnp.float32)

  def noised(key, batch):
    time_key, noise_key = jax.random.split(key)
    # One stratified draw per example: the levels of a batch are spread evenly, which steadies the loss.
    n = batch.shape[0]
    quantile = (jnp.arange(n) + jax.random.uniform(time_key, (n,))) / n
    t = jnp.clip(jnp.searchsorted(cumulative, quantile), 0, len(alphas_cumprod) - 1)
    alpha_bar = table[t][:, None, None, None]
    noise = jax.random.normal(noise_key, batch.shape)
    return jnp.sqrt(alpha_bar) * batch + jnp.sqrt(1 - alpha_bar) * noise, t, noise

  def loss_fn(params, x_t, t, noise):
    error = jnp.mean(jnp.square(apply(params, x_t, t) - noise), axis=(1, 2, 3))
    if config.weighting == "min_snr":
      snr = table[t] / (1 - table[t])
      error = error * jnp.minimum(snr, 5.0) / snr
    return jnp.mean(error)

  return make_update(loss_fn, noised, config, seed=seed)


def make_update(loss_fn: Callable, draw: Callable, config: StepConfig, *, seed: int) -> Callable:
  """`step(state, batch)` of any loss: `draw(key, batch) -> examples`, a tuple of arrays [N, ...] with all that is
  random; `loss_fn(params, *examples)` a mean over them. The key is fold_in(key(seed), state.step)."""
  tx = optimizer(config)

  def loss_and_gradient(params, examples):
    if config.accumulate == 1:
      return jax.value_and_grad(loss_fn)(params, *examples)
    # Every part takes examples from the whole batch, so that parts are spread over devices as the batch is.
    parts = jax.tree.map(lambda x: x.reshape(-1, config.accumulate, *x.shape[1:]).swapaxes(0, 1), examples)

    def add(total, part):
      return jax.tree.map(jnp.add, total, jax.value_and_grad(loss_fn)(params, *part)), None

    zero = jnp.zeros(()), jax.tree.map(jnp.zeros_like, params)
    return jax.tree.map(lambda x: x / config.accumulate, jax.lax.scan(add, zero, parts)[0])

  def step(state: TrainState, batch) -> tuple[TrainState, dict[str, jax.Array]]:
    key = jax.random.fold_in(jax.random.key(seed), state.step)
    loss, grads = loss_and_gradient(state.params, draw(key, batch))
    updates, opt_state = tx.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    # The average forgets the random start quickly: its decay grows with the step.
    decay = jnp.minimum(config.ema_decay, (1.0 + state.step) / (10.0 + state.step))
    ema = optax.incremental_update(params, state.ema, 1 - decay)
    metrics = {"loss": loss, "gradient_norm": optax.global_norm(grads)}
    return TrainState(state.step + 1, params, ema, opt_state), metrics

  return step
