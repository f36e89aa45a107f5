"""Which fused images lie in shards? Those of a run's `--results=`: samples with an image, named as their line says."""

import json

from dig2dig_jax.data import images
from dig2dig_jax.data.naming import matching
from dig2dig_jax.data.shards import KINDS, files
from dig2dig_jax.stores.shard import AnyPath, Kind, Member, Sample, samples

_TEXTS = ("json", "log")  # fields with the line of the log
_IMAGE = "image"  # the field of an image where fields have no suffix


def kind_of(place: AnyPath) -> Kind | None:
  """Of the shards that `place` is, or that a folder has; None without any."""
  for kind in KINDS.values():
    if place.suffix.lower() == kind.suffix:
      return kind
  there = {path.suffix.lower() for path in place.iterdir()} if place.is_dir() else set()
  return next((kind for kind in KINDS.values() if kind.suffix in there), None)


def index(place: AnyPath, kind: Kind, left_out: list[str]) -> dict[str, Member]:
  """{matching name: image} of all samples in these shards. Samples without an image, and all but the first of one name,
  are lines in `left_out`. UserError for a shard that cannot be read."""
  found: dict[str, Member] = {}
  for file in files(place, kind):
    for sample in samples(file, kind):
      if (image := _image(sample)) is None:
        there = ", ".join(sample.members) or "nothing"
        left_out.append(f"{file}: sample {sample.name}: expected a fused image, found the fields {there}; left out")
        continue
      name = _name(sample)
      if (first := found.setdefault(matching(name), image)) is not image:
        left_out.append(f"{image}: expected one fused image named '{name}', found {first} too; the first is taken")
  return found


def _image(sample: Sample) -> Member | None:
  return next((member for field, member in sample.members.items()
               if field == _IMAGE or f".{field.lower()}" in images.EXTENSIONS), None)  # fmt: skip


def _name(sample: Sample) -> str:
  """As the line of the log has it: in a tar file no name has a point, which stands there as `_`."""
  text = next((sample.members[field] for field in _TEXTS if field in sample.members), None)
  if text is None or "_" not in sample.name:
    return sample.name
  try:
    told = json.loads(text.read_bytes())
  except (OSError, ValueError):
    return sample.name
  name = told.get("id") if isinstance(told, dict) else None
  return name if isinstance(name, str) else sample.name
