"""DRFusion's released weights (`net_params*.pkl`, a state dict of its `Net`) to a folder that --prior takes.

  python -m convert.drfusion --pt=FILE [--out=DIR]
  python launch.py --method=drfusion --prior=DIR --data=FOLDER
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dig2dig_jax.errors import UserError
from dig2dig_jax.files import typed_path
from dig2dig_jax.models.drfusion_unet import DrFusionConfig
from dig2dig_jax.models.shapes import parameter_shapes
from dig2dig_jax.porting.torch_file import read_state_dict
from dig2dig_jax.porting.torch_tree import ConversionError, convert_tree, nest
from dig2dig_jax.priors import tensor_file
from dig2dig_jax.priors.checkpoint import STORAGE_DTYPES, save_checkpoint

VERSION = 1  # of the conversion: raised when the same file would give other parameters
# Parameters of the released class that nothing reads: they had no gradient in training and change no output.
UNUSED = ("input_help_scale_factor", "merge_scale_factor")


def described(shapes: Mapping[str, tuple[int, ...]], *, source: str = "state dict") -> DrFusionConfig:
  """The configuration of a state dict, from its width and its learned levels. ConversionError without them."""
  if "unet.inBlock.bias" not in shapes or "alpha" not in shapes:
    raise ConversionError(f"{source}: expected DRFusion's weights, found no unet.inBlock.bias or no alpha")
  try:
    return DrFusionConfig(width=shapes["unet.inBlock.bias"][0], steps=shapes["alpha"][0])
  except (ValueError, IndexError) as error:
    raise ConversionError(f"{source}: expected DRFusion's weights, found {error}") from error


def convert(
  state_dict: Mapping[str, np.ndarray], *, source: str = "state dict"
) -> tuple[dict[str, Any], DrFusionConfig]:
  """(nested float32 parameters, configuration). Every tensor but `UNUSED` fills one parameter, or ConversionError.

  A transposed convolution's kernel (I, O, h, w) goes through the rule of ordinary ones: Flax takes it as the kernel of
  the convolution that it transposes.
  """
  config = described({name: tuple(array.shape) for name, array in state_dict.items()}, source=source)
  used = {name: array for name, array in state_dict.items() if name not in UNUSED}
  return nest(convert_tree(used, parameter_shapes(config), source=source)), config


def main(arguments: Sequence[str] | None = None) -> int:
  """The command line. Returns the exit status: 0, or 2 for a fault that the user can mend."""
  parser = argparse.ArgumentParser(
    prog="python -m convert.drfusion", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument("--pt", type=typed_path, metavar="FILE", required=True, help="the released state dict")
  parser.add_argument("--out", type=typed_path, metavar="DIR", help="the folder to write (default: checkpoints/NAME)")
  parser.add_argument("--dtype", choices=STORAGE_DTYPES, default="float32", help="of storage")
  options = parser.parse_args(arguments)
  try:
    tensors = read_state_dict(options.pt)
    params, config = convert(tensors, source=str(options.pt))
    out = options.out or Path("checkpoints") / options.pt.stem
    card = {
      "name": options.pt.stem,
      "source_file": options.pt.name,
      "source_bytes": options.pt.stat().st_size,
      "source_sha256": tensor_file.sha256(options.pt),
      "conversion": VERSION,
    }
    schedule = {"name": "learned", "num_timesteps": config.steps}
    save_checkpoint(out, params=params, config=config, schedule=schedule, card=card, dtype=options.dtype)
  except UserError as error:
    print(error, file=sys.stderr)
    return 2
  print(out)
  return 0


if __name__ == "__main__":
  sys.exit(main())
