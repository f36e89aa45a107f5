"""A DRFusion network of random weights, small enough to compile in seconds."""

from pathlib import Path

import numpy as np
from flax import traverse_util

from dig2dig_jax.models.drfusion_unet import DrFusionConfig
from dig2dig_jax.models.shapes import parameter_shapes
from dig2dig_jax.priors.prior import DrFusionNetwork
from dig2dig_jax.sampling.schedule import NoiseSchedule

CONFIG = DrFusionConfig(width=8, groups=4, steps=2)


def params(seed=0):
  """Nested parameters, alpha of the seed's own."""
  rng = np.random.default_rng(seed)
  flat = {
    path: (rng.normal(size=shape) / np.sqrt(max(1, np.prod(shape[:-1])))).astype(np.float32)
    for path, shape in parameter_shapes(CONFIG).items()
  }
  flat["alpha"] = np.array([0.9, 0.6], np.float32)
  return traverse_util.unflatten_dict(flat, sep="/")


def toy() -> DrFusionNetwork:
  """As `load_drfusion` returns it."""
  return DrFusionNetwork(params(), CONFIG, NoiseSchedule("learned", 2), "float32", Path("toy"))
