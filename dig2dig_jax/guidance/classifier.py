"""How does a noisy classifier guide? Classifier guidance in its DDIM form, as one more `Guidance`.

Dhariwal and Nichol, arXiv 2105.05233, algorithm 2: eps <- eps - sqrt(1 - alpha_bar) s grad_x log p(label | x_t), and x0
follows from it. Chain it before a fusion guidance to draw the fused image towards a class.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from dig2dig_jax.guidance.quadratic import stateless
from dig2dig_jax.ops.arrays import Array, Image
from dig2dig_jax.sampling import process
from dig2dig_jax.sampling.types import Guidance


def classifier_guidance(logits: Callable, label: int, *, scale: float = 1.0) -> Guidance:
  """Guidance towards a class (Dhariwal and Nichol, arXiv 2105.05233, algorithm 2).

  Args:
    logits: `logits(x [1, H, W, C], t [1]) -> [1, classes]`, of the noised image.
    label: number of the class.
    scale: strength; 1 is Bayes' rule.

  Returns:
    A `Guidance`.
  """

  def log_probability(x, t):
    return jax.nn.log_softmax(logits(x[None], t[None]).astype(jnp.float32))[0, label]

  def f(prediction, sources, *, x_t, step, **kw):
    score = scale * jax.grad(log_probability)(x_t, step.t)
    return condition_score(prediction, score, x_t, step)

  return stateless(f)


def condition_score(prediction, score: Array, x_t: Image, step):
  """The prediction under an added score [H, W, C] = grad_x log p(label | x_t); x0 is not clipped again."""
  eps = prediction.eps - jnp.sqrt(1 - step.alpha_bar) * score
  return prediction._replace(x0=process.x0_from_eps(x_t, eps, step.alpha_bar), eps=eps)
