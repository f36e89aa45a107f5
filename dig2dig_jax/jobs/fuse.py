"""The fuse job: every pair of a folder through one compiled method, written as PNG.

The only place with a batch axis: `jit(vmap(fuse))`, one program per bucket, parameters as arguments.
"""

import dataclasses
import json
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from dig2dig_jax.data.images import write_png
from dig2dig_jax.data.padding import crop
from dig2dig_jax.data.pairs import LoadedPair, find_pairs, load_pair
from dig2dig_jax.errors import UserError
from dig2dig_jax.jobs import plots, sheet
from dig2dig_jax.jobs.batches import Batch, batches
from dig2dig_jax.jobs.record import make_folder, write_text
from dig2dig_jax.jobs.restorer import Restorer
from dig2dig_jax.methods.base import FusionTrace, Method, evaluations, fuse
from dig2dig_jax.sampling.sampler import Trace

SHEET_ROWS = 12


@dataclasses.dataclass(frozen=True)
class FuseConfig:
  """data: folder with one sub-folder per name in `sources`. bucket: padded sides are multiples of it (pixels).
  bit_depth: of the PNGs, 8 or 16; 0 takes the sources' largest. sheet: write a contact sheet of the first pairs.
  maps: write every weight map as PNG, and what CCF selected per step. conditions: names of CCF's conditions.
  restorer: of degraded sources, None for clean ones. settings: what the run record says of method, prior and flags."""

  data: Path
  out: Path
  sources: tuple[str, ...]
  seed: int = 0
  batch_size: int = 1
  bucket: int = 128
  bit_depth: int = 8
  sheet: bool = True
  maps: bool = False
  conditions: tuple[str, ...] = ()
  restorer: Restorer | None = None
  settings: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class FuseReport:
  """What happened: printed by the job, returned to callers."""

  done: int = 0
  failed: list[str] = dataclasses.field(default_factory=list)  # one line per pair
  left_out: list[str] = dataclasses.field(default_factory=list)  # one line per file without partner, or no image
  seconds: float = 0.0  # from the first image read to the last written, compilation excluded
  compile_seconds: float = 0.0
  programs: int = 0
  evaluations: int = 0  # network evaluations per pair

  def summary(self) -> str:
    rate = f"{self.seconds / self.done:.2f} s per pair" if self.done else "nothing fused"
    return (
      f"{self.done} pairs fused, {len(self.failed)} failed; {rate}, {self.evaluations} network evaluations per pair; "
      f"{self.programs} programs compiled or loaded in {self.compile_seconds:.1f} s"
    )


class Fuser:
  """A method compiled per batch shape. Call with (images [B, K, H, W, 3], ids [B]) -> (fused [B, H, W, 3], trace)."""

  def __init__(self, method: Method, params, *, seed: int):
    self._params = params
    self._programs: dict[tuple[int, ...], jax.stages.Compiled] = {}
    self.compile_seconds = 0.0

    def run(params, images, ids):
      def one(images, pair_id):
        return fuse(method, params, jax.random.fold_in(jax.random.key(seed), pair_id), images)

      return jax.vmap(one)(images, ids)

    self._run = jax.jit(run)

  @property
  def programs(self) -> int:
    return len(self._programs)

  def __call__(self, images: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, FusionTrace]:
    arguments = self._params, jnp.asarray(images), jnp.asarray(ids)
    if images.shape not in self._programs:
      start = time.monotonic()
      self._programs[images.shape] = self._run.lower(*arguments).compile()
      self.compile_seconds += time.monotonic() - start
    return jax.device_get(self._programs[images.shape](*arguments))


def run(config: FuseConfig, method: Method, params) -> FuseReport:
  """Fuses every complete pair of `config.data`. A pair that fails is reported and the others are done.

  Raises UserError when no pair can be found at all.
  """
  if config.bit_depth not in (0, 8, 16):
    raise UserError(f"--bit_depth={config.bit_depth}: expected 8, 16 or 0 for the sources' own")
  pairs, left_out = find_pairs(config.data, config.sources)
  make_folder(config.out)
  fuser = Fuser(method, params, seed=config.seed)
  report = FuseReport(left_out=left_out, evaluations=evaluations(method, len(config.sources)))
  load = load_pair
  if config.restorer is not None:
    load, report.evaluations = config.restorer.load, report.evaluations + config.restorer.evaluations
  rows: list[np.ndarray] = []
  start = time.monotonic()
  with tqdm(total=len(pairs), unit="pair", disable=None) as bar:
    grouped = batches(pairs, batch_size=config.batch_size, bucket=config.bucket, failed=report.failed, load=load)
    for batch in grouped:
      fused, trace = fuser(batch.images, batch.ids)
      _write(config, batch, fused, trace, report, rows)
      bar.n = report.done + len(report.failed)
      bar.refresh()
  report.compile_seconds, report.programs = fuser.compile_seconds, fuser.programs
  report.seconds = time.monotonic() - start - fuser.compile_seconds
  if rows:
    sheet.write_sheet(config.out / "report" / "contact_sheet.png", rows)
  _write_record(config, report)
  return report


def _write(config, batch: Batch, fused, trace: FusionTrace, report: FuseReport, rows: list[np.ndarray]):
  for i, pair in enumerate(batch.pairs):
    size = pair.sources.shape[1:3]
    image = crop(fused[i], size)
    if not any(pair.is_colour):
      image = image[..., :1]
    weights = crop(trace.weights[i, -1], size)  # the last update's: what the final image was blended with
    try:
      write_png(config.out / f"{pair.name}.png", image, bit_depth=config.bit_depth or max(pair.bit_depths))
      if config.maps:
        for name, weight in zip(config.sources, weights, strict=True):
          write_png(config.out / "weights" / f"{pair.name}_{name}.png", weight * 2 - 1)
        if config.conditions:
          _write_selection(config, pair.name, jax.tree.map(lambda leaf, i=i: leaf[i], trace.steps))
    except UserError as error:
      report.failed.append(str(error))
      continue
    report.done += 1
    if config.sheet and len(rows) < SHEET_ROWS:
      rows.append(sheet.row(_tiles(config, pair, image, weights)))


def _write_selection(config: FuseConfig, name: str, steps: Trace) -> None:
  path = config.out / "conditions" / f"{name}.png"
  plots.write_selection(path, config.conditions, t=steps.t, **steps.guidance)


def _tiles(config, pair: LoadedPair, image, weights):
  sources = [(f"{pair.name} {name}", pixels) for name, pixels in zip(config.sources, pair.sources, strict=True)]
  maps = [(f"weight {name}", sheet.heat(weight)) for name, weight in zip(config.sources, weights, strict=True)]
  return [*sources, ("fused", image), *(maps[:1] if len(maps) == 2 else maps)]


def _write_record(config: FuseConfig, report: FuseReport):
  """`run.json`: settings, versions, hardware and outcome, so that a folder of images can be reproduced."""
  record = {
    "settings": {**config.settings, "seed": config.seed, "sources": config.sources, "data": str(config.data)},
    "jax": jax.__version__,
    "device": jax.devices()[0].device_kind,
    **dataclasses.asdict(report),
  }
  write_text(config.out / "run.json", json.dumps(record, indent=1, default=str) + "\n")
