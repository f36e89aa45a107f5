"""How often is a warped pair brought back, and how often is it believed what should not be?

Every pair of a folder is warped by a seeded transform (`warps`) and aligned; and it is aligned with the warped image of
another pair, which should be refused. The error is the mean distance of the reference's four corners, and beside it the
mean over what both images show, parallax included. Registered pairs are registered as well as their publishers could:
where a pair lies off its own registration as it is published, by how much is part of every error. Errors are therefore
also counted from what the same program finds for the pair before it is warped, which is how well it repeats itself; and
there are cases whose registration is known (`known_pairs`).

Two rows are of homographies that fit the true place of every pixel best, which no aligner knows. One, where there is
parallax, shows what that leaves to any matrix. The other, of published pairs, shows what that and the registration of
the pair leave, which is taken to be as the program finds it.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from dig2dig_jax.alignment.confidence import ACCEPTED
from dig2dig_jax.alignment.estimate import estimate
from dig2dig_jax.benchmarks import other_aligners, warps
from dig2dig_jax.benchmarks.known_pairs import KINDS, Known
from dig2dig_jax.benchmarks.known_pairs import known as registered
from dig2dig_jax.benchmarks.placements import Placement, best_homography, corner_error, overlap_error
from dig2dig_jax.data.pairs import Pair
from dig2dig_jax.errors import UserError
from dig2dig_jax.escape import table
from dig2dig_jax.record import environment, make_folder, write_text

NEAR, FAR = 3.0, 5.0  # pixels
_OTHER = 3  # pairs further on is the other scene
OURS, FLOWING = "dig2dig", "dig2dig, flow"
BEST, BEST_AS_ALIGNED = "any homography at best", "any homography at best, pair as aligned"
CASES = tuple(kind + cameras for kind in KINDS for cameras in warps.RANGES)
PUBLISHED = tuple(warps.RANGES)


class Row(NamedTuple):
  """One pair, one method. cameras: the case. error: at the corners. overlap: the mean over what both images show.
  repeat: the error at the corners from the pair's own alignment. other: the confidence in a pair of two scenes. None
  where it was not asked. Errors in pixels of the reference."""

  pair: str
  cameras: str
  method: str
  error: float
  overlap: float
  repeat: float | None
  confidence: float
  other: float | None
  seconds: float


def run(
  pairs: Sequence[Pair], out: Path, *, cases: Sequence[str] = (), limit: int = 0, seed: int = 0, peers: bool = True
) -> str:
  """Writes alignment.json and .md into `out`; returns the Markdown table.

  Args:
    pairs: registered pairs, of which the second source is warped.
    cases: of `CASES`; `PUBLISHED` by default.
    limit: so many pairs, spread evenly; 0 takes all.
    seed: of the warps.
    peers: the aligners of `other_aligners` as rows too, in the range of mounted cameras.
  """
  if unknown := [name for name in cases if name not in CASES]:
    raise UserError(f"--cases={unknown[0]}: expected among {', '.join(CASES)}")
  if len(pairs) < 2:
    raise UserError(f"expected two or more pairs, to distinguish scenes, found {len(pairs)}; see --data")
  make_folder(out)
  chosen = np.linspace(0, len(pairs) - 1, min(limit or len(pairs), len(pairs))).round().astype(int).tolist()
  others = other_aligners.others() if peers else {}
  rows, known, told = [], {}, []
  for case in cases or PUBLISHED:
    kind, cameras = next((kind, case.removeprefix(kind)) for kind in reversed(KINDS) if case.startswith(kind))
    if kind not in known:
      found = {k: registered(pairs[k], kind, [seed, k, 1], _ours) for k in chosen}
      known = {kind: {k: pair for k, pair in found.items() if pair is not None}}
      if len(known[kind]) < 2:
        raise UserError(f"--cases={case}: expected two pairs or more that SIFT can register, found {len(known[kind])}; "
                        "leave it out for sources of two modalities")
      if len(known[kind]) < len(chosen):
        told.append(f"{case}: SIFT registers {len(known[kind])} of {len(chosen)} pairs; the others are left out\n")
    places = list(known[kind])
    away = _OTHER % len(places) or 1
    for place, k in enumerate(tqdm(places, unit="pair", desc=case, disable=None)):
      pair, other = known[kind][k], known[kind][places[(place + away) % len(places)]].reference
      warped = warps.warp(pair.source, np.random.default_rng([seed, k]), warps.RANGES[cameras], pair.valid)
      rows.append(_row(pairs[k].name, case, OURS, _ours, pair, other, warped))
      if warps.RANGES[cameras].parallax:
        rows.append(_row(pairs[k].name, case, FLOWING, _flowing, pair, None, warped))
        rows.append(_row(pairs[k].name, case, BEST, _best(pair, warped), pair, None, warped))
      if pair.own is not None and pair.own.confidence >= ACCEPTED:
        aligned = _best(pair, warped, pair.own.matrix)
        rows.append(_row(pairs[k].name, case, BEST_AS_ALIGNED, aligned, pair, None, warped))
      if cameras == "mounted":
        rows += [_row(pairs[k].name, case, name, align, pair, None, warped) for name, align in others.items()]
  text = markdown(rows) + "".join(told)
  record = {"rows": [row._asdict() for row in rows], "environment": environment()}
  write_text(out / "alignment.json", json.dumps(record, indent=1) + "\n")
  write_text(out / "alignment.md", text)
  return text


def _row(name, case, method, align, pair: Known, other: np.ndarray | None, warped: warps.Warped) -> Row:
  """align: a way of `other_aligners` or of ours. other: the scene that should be refused."""
  size = pair.reference.shape
  start = time.monotonic()
  found = Placement(*align(pair.reference, warped.image, warped.mask))
  seconds = time.monotonic() - start
  scale = max(size) / max(warped.image.shape[:2])  # a source of a quarter of the resolution has larger errors
  error = scale * corner_error(found, warped.matrix, *size)
  overlap = scale * overlap_error(found, warped, size)
  repeat = None
  if other is not None and pair.own is not None:
    repeat = scale * corner_error(found, warped.matrix @ pair.own.matrix, *size)
  of_other = None if other is None else align(other, warped.image, warped.mask)[1]
  return Row(name, case, method, error, overlap, repeat, found.confidence, of_other, seconds)


def _ours(reference, source, mask):
  found = estimate(reference, source, source_mask=mask)
  return found.matrix, found.confidence


def _flowing(reference, source, mask):
  found = estimate(reference, source, source_mask=mask, model="flow")
  return found.matrix, found.confidence, found.flow


def _best(pair: Known, warped: warps.Warped, own: np.ndarray | None = None):
  """Finds the best homography, whatever the images."""
  placed = best_homography(warped, pair.reference.shape, own), 1.0
  return lambda *_: placed


def markdown(rows: Sequence[Row]) -> str:
  """A row per method and range of cameras; ours for even and odd pairs too: thresholds are of the even."""
  head = ["cameras", "method", "pairs", "accepted", f"accepted, within {NEAR:g} px", "median of accepted, px",
          f"accepted, beyond {FAR:g} px", f"accepted, over the overlap within {NEAR:g} px",
          "median over the overlap of accepted, px", f"accepted, repeats within {NEAR:g} px", "other scenes refused",
          "s per pair"]  # fmt: skip
  lines = []
  for cameras in dict.fromkeys(row.cameras for row in rows):
    for method in dict.fromkeys(row.method for row in rows if row.cameras == cameras):
      mine = [row for row in rows if (row.cameras, row.method) == (cameras, method)]
      parts = {method: mine}
      if method == OURS:
        parts |= {f"{method}, even pairs": mine[::2], f"{method}, odd pairs": mine[1::2]}
      lines += [[cameras, name, *_figures(part)] for name, part in parts.items() if part]
  return table(head, lines, text=2)


def _figures(rows: Sequence[Row]) -> list[str]:
  accepted = [row for row in rows if row.confidence >= ACCEPTED]
  errors = np.array([row.error for row in accepted])
  others = [row.other for row in rows if row.other is not None]
  overlaps = [row for row in accepted if row.overlap <= NEAR]
  repeats = [row for row in accepted if row.repeat is not None and row.repeat <= NEAR]
  return [
    str(len(rows)),
    f"{100 * len(accepted) / len(rows):.0f} %",
    f"{100 * np.sum(errors <= NEAR) / len(rows):.0f} %",
    f"{np.median(errors):.2f}" if len(errors) else "",
    f"{100 * np.mean(errors > FAR):.0f} %" if len(errors) else "",
    f"{100 * len(overlaps) / len(rows):.0f} %",
    f"{np.median([row.overlap for row in accepted]):.2f}" if accepted else "",
    f"{100 * len(repeats) / len(rows):.0f} %" if any(row.repeat is not None for row in rows) else "",
    f"{100 * np.mean(np.array(others) < ACCEPTED):.0f} %" if others else "",
    f"{np.median([row.seconds for row in rows]):.2f}",
  ]
