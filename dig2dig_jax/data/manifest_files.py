"""Which files do the texts of a manifest mean? Paths, addresses of stores, or images in shards by where they stand.

  ir/0001.png    s3://images/ir/0001.png    shards/a-000.tar#512:2560:2048#0001.ir.png

`--list` writes the third kind, so that who reads such a list need not look through the shards.
"""

import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from dig2dig_jax.stores import kinds
from dig2dig_jax.stores.address import is_address, typed_place
from dig2dig_jax.stores.shard import Member

_SHARDS = 1024  # of which the paths are kept


def text_of(file) -> str:
  """By which a manifest anywhere on this machine means this file."""
  return kinds.reference(file, file.shard.absolute()) if isinstance(file, Member) else str(file.absolute())


def beside(folder) -> Callable[[Sequence[str]], list]:
  """What finds files by texts relative to a folder, of this machine or of a store: texts of local paths, and paths in
  stores and in shards."""
  begin = os.path.join(folder, "") if isinstance(folder, Path) else None

  def under(file: str):
    if "://" in file and is_address(file):
      return typed_place(file)
    if begin is None:
      return folder / file
    return file if file.startswith("/") else begin + file

  @functools.lru_cache(_SHARDS)
  def shard(file: str):
    found = under(file)
    return Path(found) if isinstance(found, str) else found

  def one(file: str):
    parts = kinds.parts(file) if "#" in file else None
    return under(file) if parts is None else kinds.member(shard(parts.shard), parts)

  def found(files: Sequence[str]) -> list:
    together = "\n".join(files)
    if "#" in together or begin is None or "://" in together:
      return [one(file) for file in files]
    return [file if file.startswith("/") else begin + file for file in files]

  return found


def within(shards: Sequence) -> Callable[[Sequence[str]], list]:
  """What finds images in these shards, by texts in which a shard is its number and suffix."""

  def one(file: str) -> Member:
    parts = kinds.parts(file)
    assert parts is not None  # it was written by `shards.find`
    return kinds.member(shards[int(parts.shard.partition(".")[0])], parts)

  return lambda files: [one(file) for file in files]
