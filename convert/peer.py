"""How long does the released DDFM need for a pair, with our weights, on this device?

Runs the sampler of a local checkout of Zhaozixiang1228/MMIF-DDFM as its sample.py does: float32, one pair, `ddim` at
100 of 1000 steps, lambda 0.5, rho 0.001; without its PNG of every step, which is in its favour.
"""

import sys
import time
from pathlib import Path

import numpy as np
from flax import traverse_util

from convert import to_torch
from convert.verify import SHARED
from dig2dig_jax.errors import UserError
from dig2dig_jax.models.config import UNetConfig

_SAMPLER = {
  "sampler": "ddim", "steps": 1000, "noise_schedule": "linear", "model_mean_type": "epsilon",
  "model_var_type": "learned_range", "dynamic_threshold": False, "clip_denoised": True, "rescale_timesteps": False,
}  # fmt: skip


class DdfmPeer:
  """Call with (params, config, height, width) -> (seconds per pair, evaluations). The network is built once.

  steps: of a whole run, that the seconds are for; measured: of them that are really run, after one to warm up, since
  all cost the same. UserError without PyTorch or the checkout, and for a network that guided-diffusion cannot build.
  """

  def __init__(self, checkout: Path, *, steps: int = 100, measured: int | None = None):
    self._steps, self._measured = steps, measured or steps
    sys.path.insert(0, str(checkout))
    try:
      import torch
      from guided_diffusion import gaussian_diffusion, unet
    except ImportError as error:
      raise UserError(f"--peer={checkout}: expected PyTorch and a checkout of MMIF-DDFM, found {error}") from error
    finally:
      sys.path.remove(str(checkout))
    self._torch, self._unet, self._diffusion = torch, unet, gaussian_diffusion
    self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    self._model = None

  def __call__(self, params, config: UNetConfig, height: int, width: int) -> tuple[float, int]:
    torch = self._torch
    if self._model is None:
      self._model = self._build(params, config)
    random = np.random.default_rng(0)
    sources = [torch.from_numpy(random.uniform(-1, 1, (1, 1, height, width)).astype(np.float32)) for _ in range(2)]
    infrared, visible = (source.to(self._device) for source in sources)
    self._sample(2, infrared, visible)
    return self._sample(self._measured, infrared, visible) * self._steps / self._measured, self._steps

  def _sample(self, steps: int, infrared, visible) -> float:
    torch = self._torch
    sampler = self._diffusion.create_sampler(**_SAMPLER, timestep_respacing=str(steps))
    start_image = torch.randn((1, 3, *infrared.shape[2:]), device=self._device)
    start = time.monotonic()
    with torch.no_grad():
      sampler.p_sample_loop(
        model=self._model, x_start=start_image, record=False, I=infrared, V=visible, save_root="", img_index="0",
        lamb=0.5, rho=0.001,
      ).cpu()  # fmt: skip
    return time.monotonic() - start

  def _build(self, params, config: UNetConfig):
    torch = self._torch
    to_torch.require_expressible(config, source="--peer")
    options = {name: getattr(config, name) for name in SHARED}
    options |= {"image_size": config.image_size, "in_channels": 3, "attention_resolutions": config.attention_ds}
    model = self._unet.UNetModel(**options).eval()
    flat = traverse_util.flatten_dict(params, sep="/")
    tensors = to_torch.state_dict({name: np.asarray(leaf, np.float32) for name, leaf in flat.items()}, config)
    model.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in tensors.items()})
    return model.to(self._device)
