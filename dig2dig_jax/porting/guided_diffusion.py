"""OpenAI's guided-diffusion checkpoints, and others of that family, to priors and back.

  python -m convert.guided_diffusion --name=256x256_diffusion_uncond        downloads and converts a released one
  python -m convert.guided_diffusion --pt=FILE [--name=... | --config=...]  converts a file; says what it was taken for
  python -m convert.guided_diffusion --to=torch --prior=DIR --out=FILE.pt   writes a state dict of a prior

The first two write a folder that `--prior=DIR` takes (checkpoints/NAME, or --out).
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from flax import traverse_util

from dig2dig_jax.errors import UserError
from dig2dig_jax.files import typed_path
from dig2dig_jax.models.config import UNetConfig
from dig2dig_jax.models.official import OFFICIAL, Official
from dig2dig_jax.models.shapes import parameter_shapes
from dig2dig_jax.porting import download, recognise, to_torch
from dig2dig_jax.porting.torch_file import read_state_dict
from dig2dig_jax.porting.torch_tree import ConversionError, convert_tree, nest
from dig2dig_jax.priors import card as cards
from dig2dig_jax.priors import tensor_file
from dig2dig_jax.priors.checkpoint import CARD, FORMATS, STORAGE_DTYPES, load_checkpoint, save_checkpoint
from dig2dig_jax.sampling.parametrisation import Parametrisation

VERSION = 2  # of the conversion: raised when the same file would give other parameters


def convert(
  state_dict: Mapping[str, np.ndarray], config: UNetConfig, *, source: str = "state dict"
) -> dict[str, Any]:
  """Nested float32 parameters of the network of `config`. Raises ConversionError, which also says what the state dict
  looks like, where they are not that network's. `source` names it in the error."""
  try:
    return nest(convert_tree(state_dict, parameter_shapes(config), source=source))
  except ConversionError as error:
    found, wanted = recognise.describe(_shapes(state_dict)), recognise.describe_config(config)
    raise ConversionError(f"{error}; it looks like {found}, not {wanted}") from error


def main(arguments: Sequence[str] | None = None) -> int:
  """The command line. Returns the exit status: 0, or 2 for a fault that the user can mend."""
  parser = argparse.ArgumentParser(
    prog="python -m convert.guided_diffusion", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument("--name", choices=sorted(OFFICIAL), help="which of OpenAI's checkpoints it is")
  parser.add_argument(
    "--pt", type=typed_path, metavar="FILE", help="the checkpoint; downloaded by --name if it is not given"
  )
  parser.add_argument("--config", metavar="FLAGS", help="network of --pt: FILE.json or image_size=64,num_channels=...")
  predicts = "what it predicts: eps (noise), x0, v, flow or flow=TIME_SCALE, edm or edm=SIGMA_DATA"
  parser.add_argument("--parametrisation", metavar="NAME", default="eps", help=predicts)
  parser.add_argument("--out", type=typed_path, metavar="DIR", help="the folder to write (default: checkpoints/NAME)")
  parser.add_argument("--dtype", choices=STORAGE_DTYPES, default="float32", help="of storage")
  parser.add_argument("--format", choices=FORMATS, default="safetensors", help="of the parameters")
  parser.add_argument("--to", choices=("flax", "torch"), default="flax", help="direction")
  parser.add_argument("--prior", type=typed_path, metavar="DIR", help="with --to=torch: the prior to export")
  options = parser.parse_args(arguments)
  try:
    if options.to == "torch":
      return _export(options)
    return _import(options)
  except UserError as error:
    print(error, file=sys.stderr)
    return 2


def _export(options) -> int:
  if options.prior is None or options.out is None:
    raise UserError("--to=torch: expected --prior=DIR and --out=FILE.pt")
  # Turned as they are read, so that no second copy of a large model is ever in memory.
  loaded = load_checkpoint(options.prior, place=to_torch.torch_array)
  to_torch.require_expressible(loaded.config, source=str(options.prior))
  if (found := cards.parametrisation(loaded.card)).name != "eps":
    print(f"{options.out}: the file holds no word of it: the network predicts {found.to_dict()}")
  flat = traverse_util.flatten_dict(loaded.params, sep="/")
  to_torch.write(options.out, {to_torch.torch_name(path): leaf for path, leaf in flat.items()})
  print(options.out)
  return 0


def _import(options) -> int:
  if options.name and options.config:
    raise UserError("--name and --config both identify the network: give one of them")
  if options.pt is None and options.name is None:
    raise UserError("expected --name of a released checkpoint, or --pt=FILE; see --help")
  out = options.out or Path("checkpoints") / (options.name or options.pt.stem)
  pt = options.pt or _fetched(OFFICIAL[options.name], out)
  try:
    parametrisation = Parametrisation.parse(options.parametrisation)
  except ValueError as error:
    raise UserError(f"--parametrisation={options.parametrisation}: {error}") from error
  tensors = read_state_dict(pt)
  if options.config:
    (config, schedule), url = recognise.configured(options.config), None
  elif options.name:
    config, schedule, url = OFFICIAL[options.name].config, OFFICIAL[options.name].schedule, OFFICIAL[options.name].url
  else:
    official, words = recognise.detect(_shapes(tensors), source=str(pt))
    print(f"{pt}: {words}")
    config, schedule, url = official.config, official.schedule, official.url
  card = {
    "name": options.name or options.pt.stem,
    "url": url,
    "source_file": pt.name,
    "source_bytes": pt.stat().st_size,
    "source_sha256": tensor_file.sha256(pt),
    "conversion": VERSION,
  }
  params = convert(tensors, config, source=str(pt))
  save_checkpoint(
    out,
    params=params,
    config=config,
    schedule={"name": schedule, "num_timesteps": 1000},
    card=card,
    dtype=options.dtype,
    formats=options.format,
    parametrisation=parametrisation,
  )
  print(out)
  return 0


def _fetched(official: Official, out: Path) -> Path:
  return download.fetch(official.url, size=official.size, sha256=official.sha256, earlier=_known_hash(out))


def _known_hash(out: Path) -> str | None:
  """The source's hash that an earlier conversion into the same folder recorded."""
  try:
    return cards.read(out / CARD).get("source_sha256")
  except UserError:  # none, or one that is about to be replaced
    return None


def _shapes(tensors: Mapping[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
  return {name: tuple(array.shape) for name, array in tensors.items()}


if __name__ == "__main__":
  sys.exit(main())
