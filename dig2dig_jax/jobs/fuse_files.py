"""What does the fuse job write beside the fused images? Maps of conditions, tiles of the sheet, curves, its record."""

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np

from dig2dig_jax.data.pairs import LoadedPair
from dig2dig_jax.files import claim
from dig2dig_jax.jobs import plots, sheet
from dig2dig_jax.jobs.fuse_config import FuseConfig, FuseReport
from dig2dig_jax.jobs.processes import Place
from dig2dig_jax.jobs.record import environment, explained, write_text
from dig2dig_jax.sampling.sampler import Trace


def write_selection(config: FuseConfig, name: str, steps: Trace) -> None:
  """conditions/NAME.png: which of CCF's conditions acted at which step."""
  path = config.out / "conditions" / f"{name}.png"
  plots.write_selection(path, config.conditions, t=steps.t, **steps.guidance)


def tiles(config: FuseConfig, pair: LoadedPair, image, weights) -> list[tuple[str, np.ndarray]]:
  """Of a row of the contact sheet: sources, fused image, weights [K, H, W, 1]; of two sources one map tells both."""
  sources = [(f"{pair.name} {name}", pixels) for name, pixels in zip(config.sources, pair.sources, strict=True)]
  maps = [(f"weight {name}", sheet.heat(weight)) for name, weight in zip(config.sources, weights, strict=True)]
  return [*sources, ("fused", image), *(maps[:1] if len(maps) == 2 else maps)]


def curves(steps: Trace) -> dict[str, jax.Array]:
  """t [S], weight [S, K], residual [S, K] over the padded image: what a report plots, small enough for every pair."""
  return {"t": steps.t, "weight": steps.weight, "residual": steps.residual}


def rounded(curves: dict[str, np.ndarray]) -> dict[str, list]:
  """For a line of the ledger."""
  return {name: np.round(np.float64(values), 5).tolist() for name, values in curves.items()}


def claim_record(config: FuseConfig, place: Place, *, known: bool) -> None:
  """To be called before anything is computed. UserError where somebody else's file is in the record's place. known: the
  folder has a log of this program's, so that a record there is its own too."""
  path = _record(config, place)
  with explained(path):
    claim(path, known=known)


def _record(config: FuseConfig, place: Place) -> Path:
  return config.out / ("run.json" if place.process == 0 else f"run-{place.process}.json")


def write_record(config: FuseConfig, report: FuseReport, place: Place) -> None:
  """`run.json`: settings, versions, hardware and outcome, so that a folder of images can be reproduced."""
  record = {
    "settings": {**config.decisive(), **config.machine, "dataset": config.dataset, "data": str(config.data)},
    "jax": jax.__version__,
    "device": jax.local_devices()[0].device_kind,
    "environment": environment(),
    "process": list(place),
    **dataclasses.asdict(report),
  }
  write_text(_record(config, place), json.dumps(record, indent=1, default=str) + "\n")
