"""Torchvision's AlexNet and the heads of the lpips package to weights for LPIPS.

  python -m convert.lpips                                        downloads both (245 MB) and converts
  python -m convert.lpips --alexnet=FILE.pth --heads=FILE.pth    converts files of your own

The heads are the file weights/v0.1/alex.pth of the lpips package. Writes a folder that `--lpips=DIR` takes.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from dig2dig_jax.errors import UserError
from dig2dig_jax.files import replacing, typed_path
from dig2dig_jax.models import lpips
from dig2dig_jax.porting import download
from dig2dig_jax.porting.torch_file import read_state_dict
from dig2dig_jax.porting.torch_tree import ConversionError, convert_tree
from dig2dig_jax.priors import tensor_file

ALEXNET = "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"  # its name ends in the file's hash
HEADS = "https://github.com/richzhang/PerceptualSimilarity/raw/master/lpips/weights/v0.1/alex.pth"
_OUT = Path("checkpoints") / "lpips"


def convert(alexnet: Mapping[str, np.ndarray], heads: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Flat parameters {path: array} from two state dicts, each tensor used once but those of the classifier.

  Raises ConversionError for tensors that are missing, too many or of other shapes.
  """
  target = {path.removeprefix("alex/"): shape for path, shape in lpips.shapes().items() if path.startswith("alex/")}
  features = {name: tensor for name, tensor in alexnet.items() if not name.startswith("classifier.")}
  flat = {f"alex/{path}": tensor for path, tensor in convert_tree(features, target, source="AlexNet").items()}
  # Saved as lin0.model.1.weight of shape [1, C, 1, 1]; negative ones would not be a distance's.
  expected = {f"lin{number}.model.1.weight": (1, channels, 1, 1)
              for number, (channels, *_) in enumerate(lpips.LAYERS.values())}  # fmt: skip
  found = {name: tuple(tensor.shape) for name, tensor in heads.items()}
  if found != expected:
    raise ConversionError(f"heads: expected {expected}, found {found}")
  for number, name in enumerate(expected):
    if np.min(heads[name]) < 0:
      raise ConversionError(f"heads: expected weights of at least 0, found {np.min(heads[name])} in {name}")
    flat[f"heads/{number}"] = np.asarray(heads[name], np.float32).reshape(-1)
  return flat


def write(folder: Path, flat: Mapping[str, np.ndarray], card: Mapping) -> None:
  """Writes lpips.safetensors and card.json, each whole or not at all."""
  folder.mkdir(parents=True, exist_ok=True)
  with replacing(folder / "lpips.safetensors") as temporary:
    digest = tensor_file.write(temporary, lpips.shapes(), flat.__getitem__, dtype="float32")
  with replacing(folder / "card.json") as temporary:
    temporary.write_text(json.dumps({**card, "sha256": digest}, indent=1) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
  """The command line. Returns the exit status: 0, or 2 for a fault that the user can mend."""
  parser = argparse.ArgumentParser(
    prog="python -m convert.lpips", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument(
    "--alexnet", type=typed_path, metavar="FILE", help="torchvision's AlexNet; downloaded if not given"
  )
  parser.add_argument(
    "--heads", type=typed_path, metavar="FILE", help="lpips/weights/v0.1/alex.pth; downloaded if not given"
  )
  parser.add_argument(
    "--out", type=typed_path, metavar="DIR", default=_OUT, help=f"the folder to write (default: {_OUT})"
  )
  options = parser.parse_args(arguments)
  try:
    alexnet, heads = options.alexnet or download.fetch(ALEXNET), options.heads or download.fetch(HEADS)
    flat = convert(read_state_dict(alexnet), read_state_dict(heads))
    hashes = {"alexnet_sha256": tensor_file.sha256(alexnet), "heads_sha256": tensor_file.sha256(heads)}
    if options.alexnet is None and not hashes["alexnet_sha256"].startswith("7be5be79"):
      raise UserError(f"{alexnet}: expected a SHA-256 that begins with 7be5be79, found another; remove the file")
    write(options.out, flat, {"name": "LPIPS 0.1, alex", **hashes})
  except UserError as error:
    print(error, file=sys.stderr)
    return 2
  except OSError as error:
    print(f"{options.out}: expected a place to write, found {error.strerror}; change --out", file=sys.stderr)
    return 2
  print(options.out)
  return 0


if __name__ == "__main__":
  sys.exit(main())
