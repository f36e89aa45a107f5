"""What does the fuse job write beside the fused images? Maps, tiles of the sheet, curves, its record."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import jax
import numpy as np
import tifffile

from dig2dig_jax.alignment.ghosts import Moved
from dig2dig_jax.data.images import write_png
from dig2dig_jax.data.pairs import LoadedPair
from dig2dig_jax.figures import plots, sheet
from dig2dig_jax.files import TIFF_MARK, claim, is_free, replacing, taken, temperatures_of
from dig2dig_jax.fusing.config import FuseConfig, FuseReport
from dig2dig_jax.fusing.processes import Place
from dig2dig_jax.record import environment, explained, write_text
from dig2dig_jax.sampling.sampler import Trace


def write_maps(config: FuseConfig, name: str, weights: np.ndarray, moved: Mapping[str, Moved]) -> None:
  """weights/NAME_SOURCE.png of weights [K, H, W, 1]: black is 0, white 1. moved/NAME_SOURCE.png, white where something
  moved, for the sources in which something did."""
  for path, weight in zip(_maps(config, name), weights, strict=True):
    write_png(path, weight * 2 - 1)
  for source, found in moved.items():
    write_png(config.out / "moved" / f"{name}_{source}.png", np.float32(2) * found.area[..., None] - 1)


def write_selection(config: FuseConfig, name: str, steps: Trace) -> None:
  """conditions/NAME.png: which of CCF's conditions acted at which step."""
  plots.write_selection(_selection(config, name), config.conditions, t=steps.t, selected=steps.guidance["selected"],
                        weights=steps.guidance["weights"])


def write_temperatures(config: FuseConfig, name: str, pair: LoadedPair) -> str:
  """NAME_celsius.tif of the first source that has temperatures: float32 degrees Celsius in the frame of the fused
  image, NaN where there are none. Returns that source's name, empty where no source has any; then nothing is written.
  UserError where a foreign file is in its place."""
  source = next((source for source in config.sources if source in pair.celsius), "")
  if not source:
    return ""
  degrees, size = pair.celsius[source], pair.sources.shape[1:3]
  if degrees.shape != size:  # the pair was brought to the size of a larger source
    degrees = cv2.resize(degrees, size[::-1], interpolation=cv2.INTER_LINEAR)
  path = temperatures_of(config.out / f"{name}.png")
  with explained(path):
    if not is_free(path, TIFF_MARK):
      raise taken(path)
    with replacing(path) as temporary:
      degrees = degrees.astype(np.float32)
      tifffile.imwrite(temporary, degrees, metadata=None, software="dig2dig_jax", description="degrees Celsius")
  return source


def has_temperatures(config: FuseConfig, name: str, line: Mapping[str, Any]) -> bool:
  """Whether a pair has the temperatures that `config` asks for, of the run that this line of the log tells of, or was
  found to have no source with any."""
  if not config.temperatures:
    return True
  found = line.get("celsius")
  return found == "" or isinstance(found, str) and temperatures_of(config.out / f"{name}.png").is_file()


def has_maps(config: FuseConfig, name: str, line: Mapping[str, Any]) -> bool:
  """Whether a pair has the maps that `config` asks for, of the very run that this line of the log tells of: those of a
  run that was written over may lie there too."""
  if not config.maps:
    return True
  paths = [*_maps(config, name), *([_selection(config, name)] if config.conditions else [])]
  return line.get("maps") is True and all(path.is_file() for path in paths)


def _maps(config: FuseConfig, name: str) -> list[Path]:
  return [config.out / "weights" / f"{name}_{source}.png" for source in config.sources]


def _selection(config: FuseConfig, name: str) -> Path:
  return config.out / "conditions" / f"{name}.png"


def tiles(config: FuseConfig, pair: LoadedPair, image, weights) -> list[tuple[str, np.ndarray]]:
  """Of a row of the contact sheet: sources, fused image, weights [K, H, W, 1]; of two sources one map tells both."""
  sources = [(f"{pair.name} {name}", pixels) for name, pixels in zip(config.sources, pair.sources, strict=True)]
  maps = [(f"weight {name}", sheet.heat(weight)) for name, weight in zip(config.sources, weights, strict=True)]
  return [*sources, ("fused", image), *(maps[:1] if len(maps) == 2 else maps)]


def curves(steps: Trace) -> dict[str, jax.Array]:
  """t [S], weight [S, K], residual [S, K] over the padded image: what a report plots, small enough for every pair."""
  return {"t": steps.t} | {name: steps.guidance[name] for name in ("weight", "residual")}


def rounded(curves: dict[str, np.ndarray]) -> dict[str, list]:
  """For a line of the ledger."""
  return {name: np.round(np.float64(values), 5).tolist() for name, values in curves.items()}


def claim_record(config: FuseConfig, place: Place, *, known: bool) -> None:
  """To be called before anything is computed. UserError where a foreign file is in the record's place. known: the
  folder has a log of this program's, so that a record there is its own too."""
  path = _record(config, place)
  with explained(path):
    claim(path, known=known)


def _record(config: FuseConfig, place: Place) -> Path:
  return config.out / ("run.json" if place.process == 0 else f"run-{place.process}.json")


def write_record(config: FuseConfig, report: FuseReport, place: Place) -> None:
  """`run.json`: settings, versions, hardware and outcome, so that a folder of images can be reproduced."""
  record = {
    "settings": {
      **config.decisive(), **config.machine, "maps": config.maps, "dataset": config.dataset, "data": str(config.data),
    },
    "jax": jax.__version__,
    "device": jax.local_devices()[0].device_kind,
    "environment": environment(),
    "process": list(place),
    **dataclasses.asdict(report),
  }
  write_text(_record(config, place), json.dumps(record, indent=1, default=str) + "\n")
