"""OpenAI's guided-diffusion checkpoints: which network is each, and what does it become here?

  python -m convert.guided_diffusion --pt=FILE --name=256x256_diffusion_uncond [--out=DIR] [--dtype=float32]

writes a folder that `--prior=DIR` takes.
"""

import argparse
import dataclasses
import hashlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from convert.torch_file import read_state_dict
from convert.torch_tree import ConversionError, convert_tree, nest
from dig2dig_jax.checkpoint import STORAGE_DTYPES, save_checkpoint
from dig2dig_jax.errors import UserError
from dig2dig_jax.models.config import UNetConfig, classifier_config, diffusion_config, super_resolution_config
from dig2dig_jax.models.shapes import parameter_shapes

_URL = "https://openaipublic.blob.core.windows.net/diffusion/jul-2021/{name}.pt"


@dataclasses.dataclass(frozen=True)
class Official:
  """A released checkpoint: its network and its noise schedule (of 1000 steps); a classifier's is that of the model of
  the same size, which it guides."""

  name: str
  config: UNetConfig
  schedule: str = "linear"

  @property
  def url(self) -> str:
    return _URL.format(name=self.name)


# What every released diffusion model shares, and most of them.
_ALL = {"num_res_blocks": 2, "learn_sigma": True, "resblock_updown": True, "attention_resolutions": "32,16,8"}
_WIDE = _ALL | {"num_channels": 256, "num_head_channels": 64}

OFFICIAL: dict[str, Official] = {
  official.name: official
  for official in (
    Official(
      "64x64_diffusion",
      diffusion_config(
        image_size=64,
        **_ALL
        | {
          "num_res_blocks": 3,
          "num_channels": 192,
          "num_head_channels": 64,
          "class_cond": True,
          "dropout": 0.1,
          "use_new_attention_order": True,
        },
      ),
      "cosine",
    ),
    Official("128x128_diffusion", diffusion_config(image_size=128, num_channels=256, class_cond=True, **_ALL)),
    Official("256x256_diffusion", diffusion_config(image_size=256, class_cond=True, **_WIDE)),
    Official("256x256_diffusion_uncond", diffusion_config(image_size=256, **_WIDE)),
    Official("512x512_diffusion", diffusion_config(image_size=512, class_cond=True, **_WIDE)),
    Official("64_256_upsampler", super_resolution_config(large_size=256, num_channels=192, class_cond=True, **_ALL)),
    Official(
      "128_512_upsampler",
      super_resolution_config(
        large_size=512,
        num_channels=192,
        num_head_channels=64,
        class_cond=True,
        **_ALL | {"attention_resolutions": "32,16"},
      ),
    ),
    Official("lsun_bedroom", diffusion_config(image_size=256, dropout=0.1, **_WIDE)),
    Official("lsun_cat", diffusion_config(image_size=256, dropout=0.1, **_WIDE)),
    Official("lsun_horse", diffusion_config(image_size=256, dropout=0.1, **_WIDE)),
    Official("lsun_horse_nodropout", diffusion_config(image_size=256, **_WIDE)),
    Official("64x64_classifier", classifier_config(image_size=64, classifier_depth=4), "cosine"),
    Official("128x128_classifier", classifier_config(image_size=128)),
    Official("256x256_classifier", classifier_config(image_size=256)),
    Official("512x512_classifier", classifier_config(image_size=512)),
  )
}


def convert(
  state_dict: Mapping[str, np.ndarray], config: UNetConfig, *, source: str = "state dict"
) -> dict[str, Any]:
  """Nested float32 parameters of the network of `config`. Raises ConversionError, which also says what the state dict
  looks like, where they are not that network's. `source` names it in the error."""
  try:
    return nest(convert_tree(state_dict, parameter_shapes(config), source=source))
  except ConversionError as error:
    shapes = {name: tuple(array.shape) for name, array in state_dict.items()}
    raise ConversionError(f"{error}; it looks like {describe(shapes)}, not {_describe_config(config)}") from error


def describe(shapes: Mapping[str, tuple[int, ...]]) -> str:
  """What kind of network has tensors of these names and shapes, in words, for messages."""
  stem = shapes.get("input_blocks.0.0.weight", ())
  if len(stem) != 4:
    return "no guided-diffusion network"
  if any(name.startswith("output_blocks.") for name in shapes):
    kind = "an upsampler" if stem[1] == 6 else "a diffusion model"
  else:
    kind = "a classifier"
  blocks = len({name.split(".")[1] for name in shapes if name.startswith("input_blocks.")})
  return _words(kind, "label_emb.weight" in shapes, stem[0], blocks)


def _describe_config(config: UNetConfig) -> str:
  kind = "a classifier" if config.pool else "an upsampler" if config.super_resolution else "a diffusion model"
  levels = len(config.channel_mult)
  blocks = levels * (config.num_res_blocks + 1)
  return _words(kind, config.num_classes is not None, int(config.channel_mult[0] * config.model_channels), blocks)


def _words(kind: str, conditional: bool, width: int, blocks: int) -> str:
  return f"{kind} ({'with' if conditional else 'without'} classes, first width {width}, {blocks} input blocks)"


def main(arguments: Sequence[str] | None = None) -> int:
  """The command line. Returns the exit status: 0, or 2 for a fault that the user can mend."""
  parser = argparse.ArgumentParser(prog="python -m convert.guided_diffusion", description=__doc__.splitlines()[0])
  parser.add_argument("--pt", required=True, type=Path, metavar="FILE", help="the downloaded checkpoint")
  parser.add_argument("--name", required=True, choices=sorted(OFFICIAL), help="which of OpenAI's checkpoints it is")
  parser.add_argument("--out", type=Path, metavar="DIR", help="the folder to write (default: checkpoints/NAME)")
  parser.add_argument("--dtype", choices=STORAGE_DTYPES, default="float32", help="of storage")
  options = parser.parse_args(arguments)
  official, out = OFFICIAL[options.name], options.out or Path("checkpoints") / options.name
  try:
    write(options.pt, official, out, dtype=options.dtype)
  except UserError as error:
    print(error, file=sys.stderr)
    return 2
  print(out)
  return 0


def write(pt: Path, official: Official, out: Path, *, dtype: str = "float32") -> None:
  """Converts the file `pt`, which should be `official`, into the checkpoint folder `out`. Raises UserError."""
  params = convert(read_state_dict(pt), official.config, source=str(pt))
  with open(pt, "rb") as file:
    digest = hashlib.file_digest(file, "sha256").hexdigest()
  card = {"name": official.name, "url": official.url, "source_file": pt.name, "source_sha256": digest}
  schedule = {"name": official.schedule, "num_timesteps": 1000}
  save_checkpoint(out, params=params, config=official.config, schedule=schedule, card=card, dtype=dtype)


if __name__ == "__main__":
  sys.exit(main())
