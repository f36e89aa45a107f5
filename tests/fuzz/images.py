"""Image files, whole and mutated: each is an image of the announced size, or refused in one line that names it."""

import pathlib

import numpy as np

from dig2dig_jax.data import decode, images
from dig2dig_jax.errors import UserError

from . import _image_files, _mutations


def check(rng: np.random.Generator, folder: pathlib.Path) -> str:
  made = _image_files.make(rng)
  how, data = _mutations.mutate(rng, made)
  path = folder / f"case {rng.integers(4)}.{made.format}"
  path.write_bytes(data)
  end = _try(path, made if how == "whole" else None)
  assert not (how.startswith("too few") and end == "image"), f"{how}, and yet an image"
  return f"{made.format} {how} -> {end}"


def _try(path, whole):
  size = decode.read_size(path)
  assert size is None or all(type(n) is int and n > 0 for n in size), f"read_size gave {size}"
  if whole and whole.readable:
    assert size == whole.size, f"{whole}: read_size gave {size}"
  try:
    samples = images.read_samples(path)
    assert samples.ndim == 3 and samples.shape[-1] in (1, 3) and samples.size, f"samples of shape {samples.shape}"
    assert size is None or samples.shape[:2] in (size, size[::-1]), f"read_size {size}, samples {samples.shape}"
    if whole:
      assert samples.shape[:2] == whole.size, f"{whole}: samples {samples.shape}"
    pixels = images.read_image(path).pixels
  except UserError as error:
    message = str(error)
    assert message.startswith(f"{path}: expected ") and ", found " in message, f"another form: {message!r}"
    assert len(message.splitlines()) == 1 and message.isprintable(), f"not one line: {message!r}"
    assert not (whole and whole.readable), f"{whole} refused: {message}"
    return "refused"
  assert pixels.dtype == np.float32 and pixels.shape == (*samples.shape[:2], 3), f"pixels {pixels.shape}"
  assert np.isfinite(pixels).all() and np.abs(pixels).max() <= 1, "pixels outside [-1, 1]"
  return "image"
