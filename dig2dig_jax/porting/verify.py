"""Does a converted network compute what it should? One line that can be compared across machines, or against PyTorch.

  python -m convert.verify --prior=DIR [--guided_diffusion=CHECKOUT]

The line holds a hash of the weights, which is exact, and statistics of the output for a fixed input, which agree to the
digits shown where arithmetic is float32. With a checkout of openai/guided-diffusion and PyTorch, the same weights run
there, and the largest difference is held against 1e-4 of the output's range.
"""

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from flax import traverse_util

from dig2dig_jax.errors import UserError
from dig2dig_jax.files import typed_path
from dig2dig_jax.models.config import UNetConfig
from dig2dig_jax.models.shapes import network
from dig2dig_jax.porting import to_torch
from dig2dig_jax.priors.checkpoint import load_checkpoint

TIMESTEP = 500
SHARED = (
  "model_channels", "out_channels", "num_res_blocks", "channel_mult", "num_heads", "num_head_channels",
  "num_heads_upsample", "use_scale_shift_norm", "resblock_updown", "use_new_attention_order",
)  # fmt: skip


def fixed_inputs(config: UNetConfig) -> tuple[tuple, dict]:
  """(positional, keyword) arguments of the network: one image of the smallest size that it is made for."""
  random = np.random.RandomState(0)
  side = config.image_size if config.pool else min(config.image_size, max(32, config.size_multiple))
  x = random.standard_normal((1, side, side, 3)).astype(np.float32)
  keywords: dict = {}
  if config.num_classes is not None:
    keywords["labels"] = np.zeros(1, np.int32)
  if config.super_resolution:
    keywords["low_res"] = random.standard_normal((1, side // 4, side // 4, 3)).astype(np.float32)
  return (x, np.full(1, TIMESTEP, np.int32)), keywords


def weights_hash(flat: dict[str, np.ndarray]) -> str:
  """SHA-256 over the parameters as float32, by sorted name."""
  digest = hashlib.sha256()
  for path in sorted(flat):
    digest.update(path.encode())
    digest.update(np.ascontiguousarray(flat[path], np.float32).tobytes())
  return digest.hexdigest()


def line(flat: dict[str, np.ndarray], output: np.ndarray) -> str:
  """What to compare."""
  first = " ".join(f"{value:.3f}" for value in output.reshape(-1)[:4])
  count = sum(leaf.size for leaf in flat.values())
  return (
    f"parameters {count} weights sha256 {weights_hash(flat)[:16]} output mean {output.mean():.4f} "
    f"std {output.std():.4f} first {first}"
  )


def reference_output(checkout: Path, flat: dict[str, np.ndarray], config: UNetConfig) -> np.ndarray:
  """The same weights on the same input through guided-diffusion's own network [N, H, W, C]. UserError without it."""
  sys.path.insert(0, str(checkout))
  try:
    import torch
    from guided_diffusion import unet
  except ImportError as error:
    raise UserError(f"{checkout}: expected PyTorch and a checkout of openai/guided-diffusion, found {error}") from error
  finally:
    sys.path.remove(str(checkout))
  options = {name: getattr(config, name) for name in SHARED}
  options |= {"image_size": config.image_size, "in_channels": 3, "attention_resolutions": config.attention_ds}
  if config.pool:
    options |= {"pool": config.pool}
    kind = unet.EncoderUNetModel
  else:
    options |= {"num_classes": config.num_classes}
    kind = unet.SuperResModel if config.super_resolution else unet.UNetModel
  model = kind(**options).eval()
  tensors = to_torch.state_dict(flat, config)
  model.load_state_dict({name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in tensors.items()})
  (x, t), keywords = fixed_inputs(config)
  names = {"labels": "y", "low_res": "low_res"}
  last = {names[name]: _channels_first(torch, array) for name, array in keywords.items()}
  with torch.no_grad():
    output = model(_channels_first(torch, x), torch.from_numpy(t).long(), **last).numpy()
  return output.transpose(0, 2, 3, 1) if output.ndim == 4 else output


def _channels_first(torch, array: np.ndarray):
  if array.ndim != 4:
    return torch.from_numpy(array).long()
  return torch.from_numpy(np.ascontiguousarray(array.transpose(0, 3, 1, 2)))


def main(arguments: Sequence[str] | None = None) -> int:
  """The command line. Returns 0; 2 for a fault that the user can mend; 1 where the outputs disagree."""
  parser = argparse.ArgumentParser(
    prog="python -m convert.verify", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument("--prior", type=typed_path, required=True, metavar="DIR", help="the converted network")
  parser.add_argument("--guided_diffusion", type=typed_path, metavar="DIR", help="a checkout to compare with")
  options = parser.parse_args(arguments)
  try:
    loaded = load_checkpoint(options.prior)
    positional, keywords = fixed_inputs(loaded.config)
    apply = jax.jit(lambda params, x, t, **kw: network(loaded.config).apply({"params": params}, x, t, **kw))
    output = np.asarray(apply(loaded.params, *positional, **keywords))
    flat = traverse_util.flatten_dict(loaded.params, sep="/")
    print(line(flat, output))
    if options.guided_diffusion is None:
      return 0
    expected = reference_output(options.guided_diffusion, flat, loaded.config)
  except UserError as error:
    print(error, file=sys.stderr)
    return 2
  difference, allowed = np.abs(output - expected).max(), 1e-4 * max(1.0, np.abs(expected).max())
  print(f"guided-diffusion: largest difference {difference:.2e} ({'agrees' if difference <= allowed else 'DISAGREES'})")
  return 0 if difference <= allowed else 1


if __name__ == "__main__":
  sys.exit(main())
