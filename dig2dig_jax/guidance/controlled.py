"""How does CCF select and apply its conditions? One optimiser step on the clean estimate per reverse step.

The k conditions of largest weight act at a step; GradNorm (Chen et al. 2018, arXiv 1711.02257) then moves the weights
towards equal progress of all conditions. The optimiser keeps its moments over the steps although the image
changes, and eps remains that of the network: both as released (CCF, arXiv 2411.01573).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from dig2dig_jax.errors import UserError
from dig2dig_jax.guidance.conditions import CONDITIONS, Condition
from dig2dig_jax.ops.arrays import Array
from dig2dig_jax.sampling.types import Guidance


class DescentState(NamedTuple):
  """opt: the optimiser's. weights [n]: of the next step. first [n]: losses of the first step. used [n], selected [n]:
  weights of the step just taken, and which conditions acted (bool)."""

  opt: Any
  weights: Array
  first: Array
  used: Array
  selected: Array


def controlled(
  conditions: Sequence[str] | Mapping[str, Condition] = tuple(CONDITIONS)[:8],
  *,
  optimiser: optax.GradientTransformation | None = None,
  top_k: int = 3,
  always: Condition = CONDITIONS["mse"],
  alpha: float = 1.5,
  first_ids: Sequence[int] | None = None,
) -> Guidance:
  """CCF's guidance.

  Args:
    conditions: names of `CONDITIONS`, or a user's own {name: condition}.
    optimiser: optimiser of the image; Adam with learning rate 0.03 if None.
    top_k: number of conditions selected at a step; among equal weights the first ones.
    always: condition that is added to each selected one, with weight 1.
    alpha: GradNorm's: 0 balances gradients, larger values favour conditions that lag behind.
    first_ids: conditions selected at the first step, where all weights are equal; by default the first top_k.

  Returns:
    A `Guidance`, whose state records which conditions were `selected`.

  Raises:
    UserError: for an unknown name.
    ValueError: for a `top_k` that is not 1 to the number of conditions.
  """
  functions = _functions(conditions)
  count = len(functions)
  if not 1 <= top_k <= count:
    raise ValueError(f"top_k: expected 1 to the {count} conditions, found {top_k}")
  optimiser = optimiser or optax.adam(0.03)
  by_index = jnp.zeros(count, bool).at[jnp.asarray(first_ids if first_ids is not None else range(top_k))].set(True)

  def init(sources):
    ones, none = jnp.ones(count), jnp.zeros(count, bool)
    return DescentState(optimiser.init(jnp.zeros(sources.shape[1:])), ones, ones, ones, none)

  def update(prediction, state, sources, *, step, weights, **kw):
    # One by one: a Jacobian of the stacked losses would run every backward pass once per condition.
    told = [jax.value_and_grad(function)(prediction.x0, sources, weights) for function in (*functions, always)]
    losses, jacobian = (jnp.stack(parts) for parts in zip(*told, strict=True))
    largest = jnp.zeros(count, bool).at[jax.lax.top_k(state.weights, top_k)[1]].set(True)
    selected = jnp.where(step.index == 0, by_index, largest)
    amounts = jnp.append(jnp.where(selected, state.weights, 0), float(top_k))  # `always` once for each selected
    gradient = jnp.tensordot(amounts, jacobian, axes=1)
    change, opt = optimiser.update(gradient, state.opt, prediction.x0)
    first = jnp.where(step.index == 0, losses[:-1], state.first)
    norms = jnp.sqrt(jnp.sum(jnp.square(jacobian[:-1]), axis=(1, 2, 3)))
    moved = gradnorm(state.weights, norms, losses[:-1] / first, alpha=alpha)
    return prediction._replace(x0=optax.apply_updates(prediction.x0, change)), DescentState(
      opt, moved, first, state.weights, selected
    )

  return Guidance(init, update, lambda state: {"weights": state.used, "selected": state.selected})


def gradnorm(weights: Array, norms: Array, progress: Array, *, alpha: float = 1.5) -> Array:
  """One step of GradNorm of rate 1: [n] weights, renormalised to sum n.

  norms: of each condition's gradient; progress: its loss over its first loss. Where the relative progress is negative
  (SSIM may change sign) its power is undefined, and that weight moves by the renormalisation alone, as in the original.
  """
  weighted = jnp.abs(weights) * norms
  rate = progress / progress.mean()
  target = weighted.mean() * jnp.where(rate >= 0, jnp.maximum(rate, 0) ** alpha, jnp.nan)
  direction = jnp.nan_to_num(jnp.sign(weighted - target))
  weights = weights - direction * norms * jnp.sign(weights) / weights.size
  return weights.size * weights / weights.sum()


def _functions(conditions) -> list[Callable]:
  if isinstance(conditions, Mapping):
    return list(conditions.values())
  if unknown := [name for name in conditions if name not in CONDITIONS]:
    raise UserError(f"--conditions={unknown[0]}: expected names among {', '.join(CONDITIONS)}")
  return [CONDITIONS[name] for name in conditions]
