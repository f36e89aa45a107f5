"""`dig2dig show`: what the program sees in an image, in a volume, or in the folder of a prior."""

from pathlib import Path

import numpy as np

from dig2dig_jax import strict_json
from dig2dig_jax.cli import launcher
from dig2dig_jax.cli.output import say
from dig2dig_jax.data import kinds as formats
from dig2dig_jax.data import palette, validity
from dig2dig_jax.data.images import read_decoded
from dig2dig_jax.data.ranges import read_alone
from dig2dig_jax.errors import UserError
from dig2dig_jax.files import typed_path
from dig2dig_jax.volumes import kinds


def run(words: list[str]) -> int:
  """Prints some lines for every file or folder, or what is wrong with it; the exit status."""
  if not words:
    raise UserError("dig2dig show: expected images, volumes, or folders of priors, found nothing")
  status = 0
  for word in words:
    path = kinds.split_series(word)[0]
    try:
      lines = _volume(word) if kinds.kind(path) else _prior(path) if path.is_dir() else _image(path)
    except UserError as error:
      launcher.refuse(str(error))
      status = 2
      continue
    say("\n".join([str(typed_path(word)), *(f"  {line}" for line in lines)]))
  return status


def _volume(word: str) -> list[str]:
  from dig2dig_jax.cli import volumes

  return volumes.described(word)


def _prior(path: Path) -> list[str]:
  from dig2dig_jax.priors.card import PARAMETRISATION
  from dig2dig_jax.priors.checkpoint import CARD
  card = path / CARD
  if not card.is_file():
    raise UserError(f"{path}: expected a prior's folder, with {CARD}, found none; give image files, or such a folder")
  try:
    found = strict_json.parse(card.read_bytes(), most=2**20)
  except (OSError, ValueError) as error:
    raise UserError(f"{card}: expected a readable card, found {error}; convert or train it again") from None
  return [f"{name}: {value}" for name, value in found.items() if not isinstance(value, dict) or name == PARAMETRISATION]


def _image(path: Path) -> list[str]:
  import jax

  from dig2dig_jax.restoration import blind, noise_level, sharpness

  decoded = read_decoded(path)
  with path.open("rb") as file:
    kind = formats.sniff(file.read(formats.HEAD))
  samples = decoded.samples
  height, width, channels = samples.shape
  image = read_alone(path)
  noise = jax.jit(noise_level.estimate)(image.pixels[..., 1])
  deviation = float(noise.deviation)
  area = validity.find(decoded.samples, decoded.alpha, how="auto")
  lost = sharpness.estimate(image.pixels[..., 1])
  removed = ", which is removed before fusion" if deviation > blind.FROM else ""
  return [
    f"{width} x {height}, {'colour' if image.is_colour else 'gray'} in {channels} of {samples.dtype}",
    f"format: {decoded.told or kind}",
    *([f"colours of the palette {name}"] if (name := palette.recognise(samples)) else []),
    f"values {np.min(samples):g} to {np.max(samples):g}, mean {np.mean(samples):.4g}"
    + (", degrees Celsius" if decoded.celsius else ""),
    f"noise of standard deviation {127.5 * deviation:.1f} of 255{removed}",
    f"lost: {lost.stages or 'nothing found'}",
    f"valid: {'everywhere' if area is None else f'{100 * area.mean():.1f} %'}",
  ]
