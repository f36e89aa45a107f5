"""Small stand-ins: short schedules, random images, a nonlinear convolutional network, a transition that is watched."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np

from dig2dig_jax.priors.prior import CustomPrior
from dig2dig_jax.sampling import schedule
from dig2dig_jax.sampling.denoiser import eps_denoiser
from dig2dig_jax.sampling.schedule import NoiseSchedule
from dig2dig_jax.sampling.types import Transition


def run_steps(count, spacing="uniform"):
  """Step [count] of the linear schedule."""
  return schedule.steps(schedule.make_schedule(timesteps=schedule.spacing_timesteps(1000, count, spacing)))


# NumPy takes rows and draws: JAX would compile a program for every index and shape.
def row(steps, index):
  return jax.tree.map(lambda table: jnp.asarray(np.asarray(table)[index]), steps)


def images(seed, *shape):
  """Float32 in [-0.9, 0.9]."""
  return np.random.default_rng(seed).uniform(-0.9, 0.9, shape).astype(np.float32)


def normal(seed, *shape):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def convex(seed, *shape):
  """Random weights [..., K, H, W, 1], convex over K and far from uniform."""
  positive = np.exp(3 * normal(seed, *shape))
  return positive / positive.sum(axis=-4, keepdims=True)


def conv_params(seed=0, channels=3, width=4):
  shapes = {"in": (3, 3, channels, width), "out": (3, 3, width, channels)}
  return {name: 0.4 * normal(seed + i, *shape) for i, (name, shape) in enumerate(shapes.items())}


def conv_apply(params, x, t):
  """eps [N, H, W, C] of x [N, H, W, C] and t [N]: two 3 x 3 convolutions that depend on t."""

  def conv(x, kernel):
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

  level = (t / 1000).reshape(-1, 1, 1, 1)
  return 0.7 * x * level + conv(jnp.tanh(conv(x, params["in"]) + level), params["out"])


def conv_denoiser(params):
  return eps_denoiser(conv_apply, params)


NOISE = NoiseSchedule("linear", 1000)


def conv_prior(noise=NOISE):
  return CustomPrior(conv_denoiser, noise)


def watched(transition, path: dict):
  """The transition, writing every x_{t-1} to path[step index]. Read `path` after `jax.effects_barrier()`."""

  def write(index, x):
    path[int(index)] = np.asarray(x)

  def update(key, x_t, prediction, step, state):
    x_prev, state = transition.update(key, x_t, prediction, step, state)
    jax.debug.callback(write, step.index, x_prev)
    return x_prev, state

  return Transition(transition.init, update)


def counted(denoise, calls: list):
  """The denoiser, appending the timestep of every evaluation that really runs, one per image, vmapped or not."""

  def wrapped(x_t, step):
    jax.debug.callback(lambda t, _: calls.append(int(t)), step.t, x_t.sum())
    return denoise(x_t, step)

  return wrapped


def meant_for(platform):
  """A context in which a kernel may be lowered for a GPU that is not here: newer versions of JAX ask which one."""
  if platform != "cuda" or not hasattr(jax.sharding, "AbstractDevice"):
    return contextlib.nullcontext()
  kind = jax.sharding.AbstractDevice("NVIDIA H100 80GB HBM3", num_cores=132, platform="gpu")
  mesh = jax.sharding.AbstractMesh((1,), ("x",), axis_types=(jax.sharding.AxisType.Auto,), abstract_device=kind)
  return jax.sharding.use_abstract_mesh(mesh)
