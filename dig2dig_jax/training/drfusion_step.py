"""What does one training step of DRFusion do? The published losses, through all reverse steps, for a batch of pairs.

The gradient goes through the scan; where asked, the network is recomputed on the way back (`jax.checkpoint`), so that
memory holds one evaluation of it whatever the number of steps.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from dig2dig_jax.guidance.guided import guided
from dig2dig_jax.models.drfusion_unet import DrFusionConfig, DrFusionNet
from dig2dig_jax.models.shapes import parameter_shapes
from dig2dig_jax.sampling import joint_observation as joint
from dig2dig_jax.sampling.sampler import sample
from dig2dig_jax.sampling.transition import ddim
from dig2dig_jax.training.drfusion_loss import losses
from dig2dig_jax.training.step import StepConfig, make_update

# Where training keeps the learned levels. Nothing in the published loss does: pairs under all but the last step draw
# alpha towards 0, and below it the first root is no number.
ALPHA_RANGE = (0.02, 0.9999)
_HEADS = ("unet/outBlock_2/kernel", "unet/fusion_outBlock_2/kernel")
_PIXEL_PATH = ("inBlock", "downBlock_2_0/op", "upBlock_10_0/op", "fusionBlock_10_0/op")


def initial_params(config: DrFusionConfig, *, seed: int) -> dict:
  """Nested parameters to begin with: kernels normal with variance 1 / fan-in, biases 0, norms 1, alpha 1/2; and two
  things without which a run of thousands of steps learns to return its input and stays there:

  - the last convolution of every residual block and of both heads is 0, as in guided-diffusion: the run starts at the
    observations, and blocks add to what is there.
  - the pixels of x reach the heads. The network has no skip at full resolution, so that noise has to go through half
    of it; the first convolution, the first down-sampling and the last up-sampling begin as a copy of x, its 2 x 2
    blocks as channels, and pixels again, with both signs (SiLU keeps one). Widths below 12 have no room for that.

  Drawn by NumPy: compiling 360 draws takes XLA longer than a hundred steps.
  """
  random, flat = np.random.default_rng(seed), {}
  for path, shape in parameter_shapes(config).items():
    kind = path.rpartition("/")[2]
    if path.endswith("conv2_3/kernel") or path in _HEADS:
      flat[path] = np.zeros(shape, np.float32)
    elif kind == "kernel":
      flat[path] = (random.standard_normal(shape) / np.sqrt(np.prod(shape[:-1]))).astype(np.float32)
    else:
      flat[path] = np.full(shape, {"scale": 1.0, "alpha": 0.5, "bias": 0.0}[kind], np.float32)
  if config.width >= 12:
    _pass_pixels(flat)
  return traverse_util.unflatten_dict(flat, sep="/")


def _pass_pixels(flat: dict[str, np.ndarray]) -> None:
  first, down, *ups = (flat[f"unet/{name}/kernel"] for name in _PIXEL_PATH)
  first[..., :3] = 0
  down[..., :12] = 0
  for up in ups:
    up[:, :, :6] = 0  # [3, 3, out, in]: a transposed kernel
  for channel in range(3):
    first[1, 1, channel, channel] = 1
    for row in range(2):
      for column in range(2):
        block = 4 * channel + 2 * row + column
        down[1 + row, 1 + column, channel, block] = 1
        for up in ups:
          up[1 + row, 1 + column, channel, block] = 1
          up[1 + row, 1 + column, 3 + channel, block] = -1


def sampler(
  module: DrFusionNet, *, train: bool = False, recompute: bool = True, last_only: bool = False
) -> Callable:
  """`(params, sources [N, 2, H, W, 1] in [0, 1], keys [N] of the dropout) -> [N, H, W, 3]`, the last step's output.
  Without `train` there is no dropout, and keys may be left out. recompute: see the file's head. last_only: starts at
  the last step's noise level."""

  def one(params, sources, key):
    steps = joint.learned_steps(params["alpha"])
    if last_only:
      steps = jax.tree.map(lambda table: table[-1:], steps)

    def denoise(x_t, step):
      rngs = {"dropout": jax.random.fold_in(key, step.index)} if train else {}
      run = lambda weights, x, t: module.apply({"params": weights}, x, t, train=train, rngs=rngs)  # noqa: E731
      return joint.noise_and_mask_denoiser(run, params)(x_t, step)

    x, _ = sample(
      key,
      joint.start(sources, steps),
      denoise=jax.checkpoint(denoise) if recompute else denoise,
      # The masks of the network take the place of weights.
      correct=guided(joint.joint_observation(), sources, jnp.full((1, 2, 1, 1, 1), 0.5), denoise=denoise),
      transition=ddim(),
      steps=steps,
      unroll=train and jax.default_backend() == "cpu",
    )
    return x

  def run(params, sources, keys=None):
    keys = jax.random.split(jax.random.key(0), sources.shape[0]) if keys is None else keys
    return jax.vmap(one, in_axes=(None, 0, 0))(params, sources, keys)

  return run


def make_drfusion_step(
  module: DrFusionNet,
  config: StepConfig,
  *,
  seed: int,
  recompute: bool = True,
  full_every: int = 1,
  detach: bool = False,
) -> Callable:
  """`step(state, batch)` as `training.step.make_update` makes it, alpha kept in ALPHA_RANGE; batch [N, 4, H, W, 1] of
  `degraded_batches`.

  full_every: one pair in this many of the batch runs all steps, the others only the last one, at a third of the cost; a
  batch must hold a multiple of it. The sources' estimates of all earlier steps are replaced by the observations (lambda
  is 1 there), and the noise that the step before predicted is put back before the last one predicts it again: as long
  as the network does not tell steps apart, its output cancels, no weight has a gradient, and the run stays where it
  returns its input. A run of one step has no such cancellation.

  detach: see `drfusion_loss.losses`.
  """
  whole = sampler(module, train=True, recompute=recompute)
  last = sampler(module, train=True, recompute=recompute, last_only=True)

  def total(output, params, batch, keys):
    return losses(output(params, batch[:, :2], keys), batch[:, 2:], detach=detach).total

  def loss_fn(params, batch, keys):
    if full_every == 1:
      return total(whole, params, batch, keys)
    groups = (batch.reshape(-1, full_every, *batch.shape[1:]), keys.reshape(-1, full_every))
    all_steps = total(whole, params, *(group[:, 0] for group in groups))
    rest = (group[:, 1:].reshape(-1, *group.shape[2:]) for group in groups)
    return (all_steps + (full_every - 1) * total(last, params, *rest)) / full_every

  def draw(key, batch):
    return batch, jax.random.split(key, batch.shape[0])

  update = make_update(loss_fn, draw, config, seed=seed)

  def step(state, batch):
    state, metrics = update(state, batch)
    return state._replace(params={**state.params, "alpha": jnp.clip(state.params["alpha"], *ALPHA_RANGE)}), metrics

  return step
