"""`dig2dig fuse` of two volumes, DICOM or NIfTI, and what `dig2dig show` says of one."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dig2dig_jax.assets import ROOT
from dig2dig_jax.cli import common, flags, interrupt, launcher, sequence
from dig2dig_jax.cli.output import note, say
from dig2dig_jax.data import ranges
from dig2dig_jax.errors import UserError
from dig2dig_jax.files import typed_path
from dig2dig_jax.methods.registry import make_method
from dig2dig_jax.methods.sequence import looks_for_noise, without_restoring
from dig2dig_jax.volumes import intensity, roles, write
from dig2dig_jax.volumes.job import VolumeConfig, fused
from dig2dig_jax.volumes.read import read_volume
from dig2dig_jax.volumes.volume import Volume, box, directions

# Flags of --job=fuse that mean nothing for two volumes, and what is so.
_REFUSED = {
  "two volumes by name": ("data", "manifest", "dataset", "split", "list", "examples"),
  "volumes that lie where their files say": ("align", "align_or", "transforms"),
  "a volume alone to be written": ("maps", "sheet"),
  "volumes that are neither blurred nor reduced": ("degradation", "sigma", "restore_steps"),
  "no valid area but the fields of view": ("valid",),
  "one process": ("distributed", "coordinator", "num_processes", "process_id"),
}


def run(places: Sequence[str], task: str | None, given: list[str]) -> int:
  """Fuses the volumes at two places and writes the result; the exit status. UserError for what cannot be."""
  names = {word.lstrip("-").partition("=")[0]: word for word in given}
  sequence.refuse(names, _REFUSED)
  if task not in (None, "medical"):
    raise UserError(f"--task={task}: expected medical for volumes; leave it out, or fuse slices as images")
  if len(places) != 2:
    if len(places) == 1:
      read_volume(places[0])  # of a folder of several series it names them
    raise UserError(f"dig2dig fuse: expected two volumes (folders of DICOM, or NIfTI files), found {len(places)} "
                    f"place{'' if len(places) == 1 else 's'}; give both, such as CT_FOLDER PET_FOLDER")  # fmt: skip
  if os.path.realpath(places[0]) == os.path.realpath(places[1]):
    raise UserError(f"{places[0]}: expected two different volumes, found one of them twice")
  values = {name: word.partition("=")[2] for name, word in names.items()}
  if not values.get("out"):
    raise UserError("dig2dig fuse: expected -o FUSED.nii.gz, or -o FOLDER for DICOM, found no output; add it")
  out = typed_path(values["out"])
  write.kind_of(out)
  volumes = [roles.with_modality(read_volume(place)) for place in places]
  asked = values["sources"].split(",") if "sources" in values else None
  sources, order, line = roles.ordered(volumes, asked)
  note(f"note: {line}" + ("" if asked else "; --sources=NAME,NAME names them otherwise"))
  reference = _reference(values.get("reference", ""), places, sources)
  kept = [word for word in given if word.lstrip("-").partition("=")[0] not in ("sources", "out", "reference")]
  ordered = [sources[k] for k in order]
  command = [f"--flagfile={ROOT / 'mif.flags'}", "--job=fuse", f"--sources={','.join(ordered)}",
             f"--reference={reference}", f"--out={out}", *kept]  # fmt: skip
  return launcher.launch(command, lambda: _fuse([volumes[k] for k in order], out))


def _reference(asked: str, places: Sequence[str], names: Sequence[str]) -> str:
  """The name of a source, given by it or by its place; empty for none."""
  if not asked or asked in names:
    return asked
  for place, name in zip(places, names, strict=True):
    if os.path.realpath(typed_path(place)) == os.path.realpath(typed_path(asked)):
      return name
  raise UserError(f"--reference={asked}: expected {' or '.join(names)}, or one of {', '.join(map(str, places))}")


def _fuse(volumes: list[Volume], out: Path) -> int:
  """By the flags, which have been read. The volumes are in the order of --sources."""
  interrupt.begins()
  write.check(out, volumes, overwrite=flags.OVERWRITE.value)
  options = common.method_options()
  common.say_notes(options)
  prior = common.network_prior()
  config = VolumeConfig(
    names=flags.SOURCES.value,
    ranges=ranges.parse(flags.RANGE.value, flags.SOURCES.value),
    reference=flags.REFERENCE.value,
    middle=write.kind_of(out) == write.PNG,
    restore=looks_for_noise(options),
    seed=flags.SEED.value,
    batch_size=flags.BATCH_SIZE.value,
    bucket=flags.BUCKET.value,
    tile=flags.TILE.value,
    overlap=flags.OVERLAP.value,
    bit_depth=_bit_depth(volumes),
    settings={"method": flags.METHOD.value, "options": dataclasses.asdict(options), **common.pixel_settings(),
              "tile": flags.TILE.value, "overlap": flags.OVERLAP.value, **common.network_settings(prior)},
    programs=Path(flags.CACHE.value) if flags.CACHE.value else None,
    compiling=lambda shape: note(f"compiling for slices of {shape[3]} x {shape[2]} pixels"),
  )  # fmt: skip
  method = make_method(prior, common.codec(), options=without_restoring(options))
  with sequence.progress("slice") as at:
    config = dataclasses.replace(config, progress=at)
    found = fused(volumes, config, method, prior, lambda line: note(f"note: {line}"))
  say(f"written: {write.write_volume(out, found, overwrite=flags.OVERWRITE.value)}")
  return 0


def _bit_depth(volumes: Sequence[Volume]) -> int:
  """0, the deepest source's, is 16 for volumes, but of colours."""
  return flags.BIT_DEPTH.value or (8 if any(volume.is_colour for volume in volumes) else 16)


def described(place: str) -> list[str]:
  """Lines about a volume, for `dig2dig show`."""
  volume = roles.with_modality(read_volume(place))
  size, spacing = (" x ".join(f"{one:.4g}" for one in values) for values in (volume.size, volume.spacing))
  unit = f" {volume.unit}" if volume.unit else ""
  low, high = (f"{one:g}" for one in (volume.voxels.min(), volume.voxels.max()))
  spans = ", ".join(f"{least:.1f} to {most:.1f}" for least, most in box(volume).T)
  found, _ = intensity.of_volumes({"it": volume}, {})
  window = "none in its header" if volume.window is None else f"{volume.window[0]:g} to {volume.window[1]:g}{unit}"
  return [
    f"volume of {size} voxels, {'colour' if volume.is_colour else volume.modality or 'modality unknown'}",
    f"spacing {spacing} mm, axes {directions(volume.affine)}, from {spans} mm (LPS)",
    f"values {low} to {high}{unit}, mean {np.mean(volume.voxels):.4g}",
    f"window: {window}; black and white in fusion: {found['it'].low:g} to {found['it'].high:g}{unit}",
    f"frame of reference: {volume.identity.frame or 'not told'}",
    *volume.notes,
  ]
