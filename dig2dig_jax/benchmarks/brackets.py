"""Is a fused bracket as bright as its well exposed frames, and free of black and white that none of them has?

Beside the flags' Dig2DIG stands the fusion of Mertens, Kautz and Van Reeth (2007) as OpenCV has it, on each bracket as
it is and on a lopsided one made of it: its best exposed frame, and the same 3, 4, 5 and 6 stops darker.
"""

import json
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from dig2dig_jax import metrics
from dig2dig_jax.benchmarks.degraded import Report
from dig2dig_jax.benchmarks.degraded_rows import Rule
from dig2dig_jax.benchmarks.pairs import loaded, spread
from dig2dig_jax.data.images import to_uint8
from dig2dig_jax.errors import UserError, one_line
from dig2dig_jax.escape import table
from dig2dig_jax.figures import sheet
from dig2dig_jax.fusing.config import FuseConfig
from dig2dig_jax.record import make_folder, write_text

CASES = ("real", "lopsided")
STOPS = (0, 3, 4, 5, 6)  # of the lopsided bracket, below its frame that is lit
_GAMMA = 2.2
_BELL = 0.2  # deviation of the well exposed values around middle grey, of a range of 1: Mertens' sigma
_BLACK, _WHITE = 5, 250  # grey levels of 255
_SLACK = 2  # grey levels by which a mean may leave the frames' without being seen
SHEET_ROWS = 6


class Exposed(NamedTuple):
  """Of one fused image. brightness: its mean. black, white: shares of its pixels that are and that no frame has there.
  All of luminance, in grey levels 0..255."""

  brightness: float
  black: float
  white: float


def run(fuse: Rule, config: FuseConfig, *, cases: tuple[str, ...] = CASES, limit: int = 0, middle: int = 0) -> Report:
  """Fuses and measures; brackets.md, brackets.json and contact_sheet.png go into `config.out`.

  fuse: the rule of two and of more frames. cases: of CASES. limit: brackets, spread evenly; 0 for all. middle: side of
  the square in the middle; 0 for all of it. UserError for an unknown case, and where no bracket can be read."""
  if unknown := [name for name in cases if name not in CASES]:
    raise UserError(f"--cases={unknown[0]}: expected names among {', '.join(CASES)}")
  found, left_out = config.find()
  failed, notes, shown, records = [], [], [], []
  for pair in tqdm(spread(found, limit), unit="bracket", disable=None):
    try:
      frames = loaded(pair, middle).sources
      for case in cases:
        bracket = frames if case == "real" else lopsided(frames)
        images = {"Dig2DIG": fuse(bracket, pair.name), "Mertens": mertens(bracket)}
        low, high = sorted(_brightness(bracket[index]) for index in best(bracket))
        measured = {name: exposed(image, bracket)._asdict() for name, image in images.items()}
        records.append({"bracket": pair.name, "case": case, "best exposed": [low, high], **measured})
        if len(shown) < SHEET_ROWS * len(cases):
          tiles = [(f"{pair.name} {case}, {number}", frame) for number, frame in enumerate(bracket[:2], 1)]
          shown.append(sheet.try_row([*tiles, *images.items()], notes))
    except Exception as error:  # of this bracket alone: a broken file, too large for memory
      failed.append(f"{pair.name}: expected a fused bracket, found {one_line(error)}; it is left out")
  if not records:
    raise UserError(failed[0] if failed else f"{config.data}: expected brackets, found none; check --data")
  make_folder(config.out)
  text = markdown(records)
  write_text(config.out / "brackets.md", text)
  told = {"data": str(config.data), "middle": middle, "seed": config.seed, **config.settings, "brackets": records}
  write_text(config.out / "brackets.json", json.dumps(told, indent=1, default=str) + "\n")
  sheet.try_write(Path(config.out) / "contact_sheet.png", [row for row in shown if row is not None], notes)
  return Report(text, left_out, failed, notes)


def lopsided(frames: np.ndarray) -> np.ndarray:
  """[5, H, W, 3] of [K, H, W, 3]: the best exposed frame and darker ones, as 8-bit files would have them."""
  lit = (frames[best(frames)[0]].astype(np.float64) + 1) / 2
  darker = [np.rint(255 * lit * 2.0 ** (-stops / _GAMMA)) for stops in STOPS]
  return np.stack(darker).astype(np.float32) / 127.5 - 1


def best(frames: np.ndarray) -> list[int]:
  """The two frames of [K, H, W, 3] with the most pixels near middle grey, the better first."""
  exposedness = [np.exp(-0.5 * np.square(_gray(frame) / 255 - 0.5) / _BELL**2).mean() for frame in frames]
  return np.argsort(exposedness)[::-1][:2].tolist()


def mertens(frames: np.ndarray) -> np.ndarray:
  """[H, W, 3] in [-1, 1]: OpenCV's fusion of [K, H, W, 3], with its own settings."""
  found = cv2.createMergeMertens().process([np.ascontiguousarray(to_uint8(frame)) for frame in frames])
  return np.clip(found, 0, 1).astype(np.float32) * 2 - 1


def exposed(fused: np.ndarray, frames: np.ndarray) -> Exposed:
  """Of an image [H, W, 3] fused of frames [K, H, W, 3], all in [-1, 1]."""
  image, grays = _gray(fused), np.stack([_gray(frame) for frame in frames])
  black = (image <= _BLACK) & (grays > _BLACK).all(axis=0)
  white = (image >= _WHITE) & (grays < _WHITE).all(axis=0)
  return Exposed(float(image.mean()), float(black.mean()), float(white.mean()))


def markdown(records: list[dict]) -> str:
  """A line per bracket, and whether the fused image's brightness is between the two best exposed frames'."""
  header = ["bracket", "case", "best exposed", "Dig2DIG: brightness", "black, white that no frame has", "between",
            "Mertens: brightness", "black, white that no frame has", "between"]  # fmt: skip
  lines = []
  for record in records:
    low, high = record["best exposed"]
    line = [record["bracket"], record["case"], f"{low:.0f} and {high:.0f}"]
    for name in ("Dig2DIG", "Mertens"):
      own = record[name]
      between = low - _SLACK <= own["brightness"] <= high + _SLACK
      line += [f"{own['brightness']:.0f}", f"{own['black']:.2%}, {own['white']:.2%}", "yes" if between else "no"]
    lines.append(line)
  return table(header, lines, text=2)


def _gray(image: np.ndarray) -> np.ndarray:
  return metrics.to_gray(to_uint8(image)).astype(np.float64)


def _brightness(image: np.ndarray) -> float:
  return float(_gray(image).mean())
