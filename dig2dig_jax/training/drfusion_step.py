"""What does one training step of DRFusion do? The published losses, through all reverse steps, for a batch of pairs.

The gradient goes through the scan; where asked, the network is recomputed on the way back (`jax.checkpoint`), so that
memory holds one evaluation of it whatever the number of steps.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from dig2dig_jax.models.drfusion_unet import DrFusionConfig, DrFusionNet
from dig2dig_jax.models.shapes import parameter_shapes
from dig2dig_jax.sampling import joint_observation as joint
from dig2dig_jax.sampling.sampler import sample
from dig2dig_jax.sampling.transition import ddim
from dig2dig_jax.training.drfusion_loss import losses
from dig2dig_jax.training.step import StepConfig, make_update


def initial_params(config: DrFusionConfig, *, seed: int) -> dict:
  """Nested parameters to begin with: kernels normal with variance 1 / fan-in, biases 0, norms 1, alpha 1/2.

  Drawn by NumPy: compiling 360 draws takes XLA longer than a hundred steps.
  """
  random, flat = np.random.default_rng(seed), {}
  for path, shape in parameter_shapes(config).items():
    kind = path.rpartition("/")[2]
    if kind == "kernel":
      flat[path] = (random.standard_normal(shape) / np.sqrt(np.prod(shape[:-1]))).astype(np.float32)
    else:
      flat[path] = np.full(shape, {"scale": 1.0, "alpha": 0.5, "bias": 0.0}[kind], np.float32)
  return traverse_util.unflatten_dict(flat, sep="/")


def sampler(module: DrFusionNet, *, train: bool = False, recompute: bool = True) -> Callable:
  """`(params, sources [N, 2, H, W, 1] in [0, 1], keys [N] of the dropout) -> [N, H, W, 3]`, the last step's output.
  Without `train` there is no dropout, and keys may be left out. recompute: see the file's head."""

  def one(params, sources, key):
    steps = joint.learned_steps(params["alpha"])

    def denoise(x_t, step):
      rngs = {"dropout": jax.random.fold_in(key, step.index)} if train else {}
      run = lambda weights, x, t: module.apply({"params": weights}, x, t, train=train, rngs=rngs)  # noqa: E731
      return joint.noise_and_mask_denoiser(run, params)(x_t, step)

    x, _ = sample(
      key,
      joint.start(sources, steps),
      sources,
      denoise=jax.checkpoint(denoise) if recompute else denoise,
      guidance=joint.joint_observation(),
      transition=ddim(),
      steps=steps,
      weights=jnp.full((1, 2, 1, 1, 1), 0.5),  # the masks of the network take their place
      interval=1,
      unroll=train,
    )
    return x

  def run(params, sources, keys=None):
    keys = jax.random.split(jax.random.key(0), sources.shape[0]) if keys is None else keys
    return jax.vmap(one, in_axes=(None, 0, 0))(params, sources, keys)

  return run


def make_drfusion_step(module: DrFusionNet, config: StepConfig, *, seed: int, recompute: bool = True) -> Callable:
  """`step(state, batch)` as `training.step.make_update` makes it; batch [N, 4, H, W, 1] of `degraded_batches`."""
  output = sampler(module, train=True, recompute=recompute)

  def loss_fn(params, batch, keys):
    return losses(output(params, batch[:, :2], keys), batch[:, 2:]).total

  def draw(key, batch):
    return batch, jax.random.split(key, batch.shape[0])

  return make_update(loss_fn, draw, config, seed=seed)
