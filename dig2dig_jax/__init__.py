"""Training-free diffusion image fusion in JAX: what may be imported.

`fuse(method, params, key, images)` is a pure function for one pair; jit it, vmap it over pairs, differentiate it.
`fuse_images(["ir.png", "vi.png"])` fuses files or arrays with a task's tuned settings.
"""

from dig2dig_jax.errors import UserError
from dig2dig_jax.front import Preset, fuse_images, preset
from dig2dig_jax.methods.base import Codec, FusionTrace, Method, evaluations, fuse, luminance_codec, rgb_codec
from dig2dig_jax.methods.dig2dig import dig2dig
from dig2dig_jax.methods.drfusion import drfusion
from dig2dig_jax.methods.options import Dig2DigOptions, DrFusionOptions
from dig2dig_jax.priors.checkpoint import EMBEDDED, load_checkpoint, save_checkpoint
from dig2dig_jax.priors.prior import DrFusionNetwork, Prior, load_drfusion, load_prior

__all__ = [
  "EMBEDDED",
  "Codec",
  "Dig2DigOptions",
  "DrFusionNetwork",
  "DrFusionOptions",
  "FusionTrace",
  "Method",
  "Preset",
  "Prior",
  "UserError",
  "dig2dig",
  "drfusion",
  "evaluations",
  "fuse",
  "fuse_images",
  "load_checkpoint",
  "load_drfusion",
  "load_prior",
  "luminance_codec",
  "preset",
  "rgb_codec",
  "save_checkpoint",
]
