"""How long does the released DDFM need for a pair, with our weights, on this device?

Runs the sampler of a local checkout of Zhaozixiang1228/MMIF-DDFM as its sample.py does: float32, one pair, `ddim` at
100 of 1000 steps, lambda 0.5, rho 0.001; without its PNG of every step, which is in its favour.
"""

import dataclasses
import sys
import time
from pathlib import Path

import numpy as np
from flax import traverse_util

from dig2dig_jax.errors import UserError
from dig2dig_jax.models.config import UNetConfig
from dig2dig_jax.porting import to_torch
from dig2dig_jax.porting.verify import SHARED

_SAMPLER = {
  "sampler": "ddim", "steps": 1000, "noise_schedule": "linear", "model_mean_type": "epsilon",
  "model_var_type": "learned_range", "dynamic_threshold": False, "clip_denoised": True, "rescale_timesteps": False,
}  # fmt: skip


class DdfmPeer:
  """Call with (params, config, height, width) -> (seconds per pair, evaluations). The network is built once.

  steps: of a whole run, that the seconds are for; measured: of them that are really run, after one to warm up, since
  all cost the same. UserError without PyTorch or the checkout.
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
    # What guided-diffusion's network has no option for is changed on the built module: a space-to-depth stem around
    # it, the number of groups, the attention in the middle.
    plain = dataclasses.replace(config, patch=1, norm_groups=32, middle_attention=True)
    options = {name: getattr(config, name) for name in SHARED}
    options |= {"image_size": config.image_size, "attention_resolutions": config.attention_ds}
    options |= {"in_channels": 3 * config.patch**2, "out_channels": config.out_channels * config.patch**2}
    model = self._unet.UNetModel(**options)
    for module in model.modules():
      if isinstance(module, torch.nn.GroupNorm):
        module.num_groups = config.norm_groups
    if not config.middle_attention:
      model.middle_block[1] = torch.nn.Identity()
    flat = traverse_util.flatten_dict(params, sep="/")
    tensors = to_torch.state_dict({name: np.asarray(leaf, np.float32) for name, leaf in flat.items()}, plain)
    model.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in tensors.items()})
    return _with_stem(torch, model, config.patch).eval().to(self._device)


def _with_stem(torch, network, patch: int):
  """The network on patch x patch blocks of pixels, ordered [row, column, channel] as models/guided_unet.py does."""

  class Stem(torch.nn.Module):
    def __init__(self):
      super().__init__()
      self.network = network

    def forward(self, x, timesteps):
      n, c, h, w = x.shape
      blocks = x.reshape(n, c, h // patch, patch, w // patch, patch).permute(0, 3, 5, 1, 2, 4)
      y = self.network(blocks.reshape(n, patch * patch * c, h // patch, w // patch), timesteps)
      y = y.reshape(n, patch, patch, -1, h // patch, w // patch).permute(0, 3, 4, 1, 5, 2)
      return y.reshape(n, -1, h, w)

  return network if patch == 1 else Stem()
