"""Which kinds of shards are there, and how does a text say where in one an image stands?

  SHARD#WHERE:BYTES#NAME: of a tar file `first byte:byte behind`, of Parquet `row group:row:column`, of ArrayRecord
  `record:field`; BYTES may be empty.
"""

import re
from typing import NamedTuple
from urllib.parse import quote, unquote

from dig2dig_jax.stores import array_record, parquet, webdataset
from dig2dig_jax.stores.shard import Kind, Member

KINDS = {"webdataset": webdataset.KIND, "parquet": parquet.KIND, "array_record": array_record.KIND}
_BY_SUFFIX = {kind.suffix: kind for kind in KINDS.values()}
_SUFFIXES = "|".join(re.escape(suffix) for suffix in _BY_SUFFIX)
_REFERENCE = re.compile(rf"(?is)(.+({_SUFFIXES}))#([^#:]+(?::[^#:]+)+:\d*)#(.+)")


class Parts(NamedTuple):
  """Of such a text. where: as the kind's `read` takes it."""

  shard: str
  kind: Kind
  where: tuple
  size: int | None
  name: str


def reference(member: Member, shard) -> str:
  """The text for an image in a shard that goes by the name `shard`."""
  where = [quote(str(part), safe="") for part in member.where]
  return f"{shard}#{':'.join(where)}:{'' if member.size is None else member.size}#{member.path_in_shard}"


def parts(text: str) -> Parts | None:
  """What such a text says; None for another."""
  if (match := _REFERENCE.fullmatch(text)) is None:
    return None
  kind = _BY_SUFFIX[match[2].lower()]
  *where, size = match[3].split(":")
  if len(where) != len(kind.where) or not all(
    part.isdecimal() for of, part in zip(kind.where, where, strict=True) if of is int
  ):
    return None
  found = tuple(of(unquote(part)) for of, part in zip(kind.where, where, strict=True))
  return Parts(match[1], kind, found, int(size) if size else None, match[4])


def member(shard, parts: Parts) -> Member:
  """The image that they mean, in this shard."""
  return Member(shard, parts.name, parts.kind.read, parts.where, parts.size)
