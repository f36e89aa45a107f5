"""What becomes of two volumes that were read? One grid, one range and one noise for each, then slice by slice one
method."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dig2dig_jax.data.ranges import Setting
from dig2dig_jax.errors import UserError
from dig2dig_jax.fusing import ledger
from dig2dig_jax.fusing.fuser import Fuser
from dig2dig_jax.fusing.programs import Programs
from dig2dig_jax.methods.base import Method
from dig2dig_jax.priors.prior import Prior
from dig2dig_jax.volumes import noise, slices, slicewise
from dig2dig_jax.volumes.volume import Volume


@dataclasses.dataclass(frozen=True, kw_only=True)
class VolumeConfig:
  """names: of the two sources, in the method's order. ranges: their settings, see `volumes.intensity`. reference: name
  of the one whose grid is taken; empty for the finer. middle: only the middle slice. restore: whether noise is looked
  for. seed, batch_size (slices per device and call; 0 chooses), tile, overlap: see `Fuser`. bucket: padded sides are
  multiples of it. bit_depth: 8 or 16. settings: flags that decide voxels, JSON-able, for the record. programs: folder
  of compiled ones, None for none. compiling, progress: told of a program that is compiled, and of how many slices are
  done of all."""

  names: Sequence[str]
  ranges: Mapping[str, Setting] = dataclasses.field(default_factory=dict)
  reference: str = ""
  middle: bool = False
  restore: bool = True
  seed: int = 0
  batch_size: int = 1
  bucket: int = 128
  tile: int | None = None
  overlap: int = 128
  bit_depth: int = 8
  settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  programs: Path | None = None
  compiling: Callable[[tuple[int, ...]], None] = lambda shape: None
  progress: Callable[[int, int], Any] = lambda done, count: None


def fused(
  volumes: Sequence[Volume], config: VolumeConfig, method: Method, prior: Any, tell: Callable[[str], Any]
) -> Volume:
  """The fused volume on the reference's grid, or its middle slice. tell: is given a line about each thing that was
  decided. prior: a `Prior`, or DRFusion's network. UserError where the volumes do not meet, or do not fit memory."""
  stack, lines = slices.of_volumes(volumes, config.names, settings=config.ranges, reference=config.reference)
  for line in (*(note for volume in volumes for note in volume.notes), *lines):
    tell(line)
  colour = any(volume.is_colour for volume in volumes)
  if colour and config.bit_depth != 8:
    raise UserError(f"--bit_depth={config.bit_depth}: expected 8 for volumes in colour, found more; leave it out")
  denoise: Callable[[np.ndarray], np.ndarray] | None = None
  if config.restore and isinstance(prior, Prior):
    denoise, lines = noise.found(stack, prior, seed=config.seed)
    for line in lines:
      tell(line)
  chosen = [stack.middle()] if config.middle else list(range(stack.depth))
  if config.middle:
    tell(f"one slice alone, number {chosen[0] + 1} of {stack.depth}, the middle of those that both cover")
  ranges = {name: list(found[:2]) for name, found in zip(stack.names, stack.ranges, strict=True)}
  identity = ledger.identity({**config.settings, "seed": config.seed, "bucket": config.bucket}, prior.params)
  fuser = Fuser(
    method,
    prior.params,
    seed=config.seed,
    devices=jax.local_devices(),
    keep=lambda trace: (),
    tile=config.tile,
    overlap=config.overlap,
    programs=Programs(config.programs, f"volumes {identity.flags} {identity.weights} {prior.config!r}"),
    compiling=config.compiling,
  )
  voxels = slicewise.fused(
    stack,
    chosen,
    fuser,
    batch_size=config.batch_size,
    bucket=config.bucket,
    bit_depth=config.bit_depth,
    colour=colour,
    denoise=denoise,
    done=lambda count: config.progress(count, len(chosen)),
  )
  for line in fuser.notes:
    tell(line)
  settings = {"flags": identity.flags, "weights": identity.weights, "ranges": ranges, "slices": chosen,
              "reference": stack.names[[volume is stack.reference for volume in volumes].index(True)],
              "without_uids": [_hash(volume) for volume in volumes if not volume.identity.headers]}  # fmt: skip
  return _result(voxels, volumes, stack, chosen[0], json.dumps(settings, sort_keys=True))


def _hash(volume: Volume) -> str:
  """Of what a volume is, where its files do not say so by UIDs."""
  return hashlib.sha256(volume.affine.tobytes() + np.ascontiguousarray(volume.voxels).tobytes()).hexdigest()[:32]


def _result(voxels: np.ndarray, volumes: Sequence[Volume], stack: slices.Slices, first: int, settings: str) -> Volume:
  """With the geometry of its grid and the identity of its sources."""
  frame = stack.reference
  affine = frame.affine.copy()
  affine[:3, 3] += first * affine[:3, 2]
  headers = frame.identity.headers[first : first + len(voxels)]
  identity = frame.identity._replace(
    headers=headers,
    made_of=tuple(header for volume in volumes for header in volume.identity.headers),
    settings=settings,
  )
  window = (0.0, 255.0 if voxels.dtype == np.uint8 else 65535.0)
  return Volume(voxels, affine, "fused " + " + ".join(stack.names), "", "", window, identity)
