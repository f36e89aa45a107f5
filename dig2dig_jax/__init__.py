"""Training-free diffusion image fusion in JAX: what may be imported.

`fuse(method, params, key, images)` is a pure function for one pair; jit it, vmap it over pairs, differentiate it.
`fuse_images(["ir.png", "vi.png"])` fuses files or arrays with a task's tuned settings, `fuse_volumes("ct", "pet")`
volumes, `fuse_video("ir.mp4", "vi.mp4")` the frames of two clips.

Names are imported when they are first asked for, so that `dig2dig --help` needs no JAX.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
  from dig2dig_jax.alignment.estimate import Alignment
  from dig2dig_jax.alignment.files import Aligned, align
  from dig2dig_jax.assets import DRFUSION, EMBEDDED
  from dig2dig_jax.data.images import Image, read_image, write_png
  from dig2dig_jax.errors import UserError
  from dig2dig_jax.front.images import fuse_images
  from dig2dig_jax.front.preset import Preset, preset
  from dig2dig_jax.guidance.classifier import classifier_guidance
  from dig2dig_jax.guidance.controlled import controlled
  from dig2dig_jax.guidance.expectation_maximization import expectation_maximization
  from dig2dig_jax.guidance.guided import guided
  from dig2dig_jax.guidance.quadratic import chain, consistent_eps, dps, likelihood_strength, quadratic, stateless
  from dig2dig_jax.guidance.weighting import Weighting, cumulative_dig, dig_spectrum, interval_dig, uniform
  from dig2dig_jax.methods.assembly import assemble
  from dig2dig_jax.methods.base import Method, Reverse
  from dig2dig_jax.methods.ccf import ccf
  from dig2dig_jax.methods.codec import Codec, luminance_codec, rgb_codec
  from dig2dig_jax.methods.cost import evaluations
  from dig2dig_jax.methods.ddfm import ddfm
  from dig2dig_jax.methods.dig2dig import dig2dig
  from dig2dig_jax.methods.drfusion import drfusion
  from dig2dig_jax.methods.fuse import FusionTrace, fuse
  from dig2dig_jax.methods.options import CcfOptions, DdfmOptions, Dig2DigOptions, DrFusionOptions, MethodOptions
  from dig2dig_jax.metrics import METRICS, score
  from dig2dig_jax.priors.checkpoint import load_checkpoint, save_checkpoint
  from dig2dig_jax.priors.prior import CustomPrior, DrFusionNetwork, Prior, load_drfusion, load_prior
  from dig2dig_jax.priors.swift import Swift, with_swift
  from dig2dig_jax.restoration.blind_restorer import BlindRestorer
  from dig2dig_jax.restoration.degradation import Degradation
  from dig2dig_jax.restoration.restorer import Restorer
  from dig2dig_jax.sampling.denoiser import network_denoiser
  from dig2dig_jax.sampling.mean_colour import mean_colour
  from dig2dig_jax.sampling.parametrisation import Parametrisation
  from dig2dig_jax.sampling.sampler import sample
  from dig2dig_jax.sampling.schedule import NoiseSchedule, make_schedule
  from dig2dig_jax.sampling.transition import ancestral, ddim, dpm_solver_pp_2m
  from dig2dig_jax.sampling.types import Correction, Denoiser, Guidance, Prediction, StatefulDenoiser, Step, Transition
  from dig2dig_jax.video.fuse import fuse_video
  from dig2dig_jax.volumes.fuse import fuse_volumes
  from dig2dig_jax.volumes.read import read_volume
  from dig2dig_jax.volumes.volume import Volume
  from dig2dig_jax.volumes.write import write_volume

# Where each public name is defined.
_HOME = {
  "alignment.estimate": ("Alignment",),
  "alignment.files": ("Aligned", "align"),
  "assets": ("DRFUSION", "EMBEDDED"),
  "data.images": ("Image", "read_image", "write_png"),
  "errors": ("UserError",),
  "front.images": ("fuse_images",),
  "front.preset": ("Preset", "preset"),
  "guidance.classifier": ("classifier_guidance",),
  "guidance.controlled": ("controlled",),
  "guidance.guided": ("guided",),
  "guidance.expectation_maximization": ("expectation_maximization",),
  "guidance.quadratic": ("chain", "consistent_eps", "dps", "likelihood_strength", "quadratic", "stateless"),
  "guidance.weighting": ("Weighting", "cumulative_dig", "dig_spectrum", "interval_dig", "uniform"),
  "methods.assembly": ("assemble",),
  "methods.base": ("Method", "Reverse"),
  "methods.ccf": ("ccf",),
  "methods.codec": ("Codec", "luminance_codec", "rgb_codec"),
  "methods.cost": ("evaluations",),
  "methods.ddfm": ("ddfm",),
  "methods.dig2dig": ("dig2dig",),
  "methods.drfusion": ("drfusion",),
  "methods.fuse": ("FusionTrace", "fuse"),
  "methods.options": ("CcfOptions", "DdfmOptions", "Dig2DigOptions", "DrFusionOptions", "MethodOptions"),
  "metrics": ("METRICS", "score"),
  "priors.checkpoint": ("load_checkpoint", "save_checkpoint"),
  "priors.prior": ("CustomPrior", "DrFusionNetwork", "Prior", "load_drfusion", "load_prior"),
  "priors.swift": ("Swift", "with_swift"),
  "restoration.blind_restorer": ("BlindRestorer",),
  "restoration.degradation": ("Degradation",),
  "restoration.restorer": ("Restorer",),
  "sampling.denoiser": ("network_denoiser",),
  "sampling.mean_colour": ("mean_colour",),
  "sampling.parametrisation": ("Parametrisation",),
  "sampling.sampler": ("sample",),
  "sampling.schedule": ("NoiseSchedule", "make_schedule"),
  "sampling.transition": ("ancestral", "ddim", "dpm_solver_pp_2m"),
  "sampling.types": ("Correction", "Denoiser", "Guidance", "Prediction", "StatefulDenoiser", "Step", "Transition"),
  "video.fuse": ("fuse_video",),
  "volumes.fuse": ("fuse_volumes",),
  "volumes.read": ("read_volume",),
  "volumes.volume": ("Volume",),
  "volumes.write": ("write_volume",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}
__version__ = "0.1.0"
__all__ = sorted([*_MODULE_OF, "__version__"])


def __getattr__(name: str):
  if name not in _MODULE_OF:
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
  found = getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
  globals()[name] = found
  return found


def __dir__() -> list[str]:
  return sorted({*globals(), *__all__})
