"""Were two different images given at all? A file that was copied where another belongs fuses to itself, unnoticed."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from dig2dig_jax.data.images import Image

_SHOWN = 5  # lines about single pairs
_COARSE = 61  # pixels between those that are compared first: other images differ there


def found(images: Mapping[str, Image], files: Mapping[str, Path]) -> list[str]:
  """A line for every image that has the pixels and the valid area of an earlier one of its scene, both by source."""
  told = []
  for k, (source, other) in enumerate(images.items()):
    first = next((one for one in itertools.islice(images, k) if _same(images[one], other)), None)
    if first is not None:
      one, two = _names(files[first], files[source])
      adds = "nothing to fuse" if len(images) == 2 else f"{two} adds nothing"
      told.append(f"{one} and {two} have the same content; {adds}")
  return told


def lines(told: Sequence[str]) -> list[str]:
  """For the user, of what was `found` in all pairs."""
  more = [f"{len(told) - _SHOWN} more images have the content of another of their scene"] if len(told) > _SHOWN else []
  return [*told[:_SHOWN], *more]


def _names(one: Path, other: Path) -> tuple[str, str]:
  """Of files, with their folders' where those alone tell them apart."""
  if one.name != other.name:
    return one.name, other.name
  return f"{one.parent.name}/{one.name}", f"{other.parent.name}/{other.name}"


def _same(one: Image, other: Image) -> bool:
  """The coarse look comes first, so that a stack of large images costs next to nothing."""
  a, b, coarse = one.pixels, other.pixels, np.s_[::_COARSE, ::_COARSE]
  if a.shape != b.shape or not np.array_equal(a[coarse], b[coarse]) or not np.array_equal(a, b):
    return False
  if one.valid is None or other.valid is None:
    return one.valid is other.valid
  return np.array_equal(one.valid, other.valid)
