"""Does fusion help a detector? Mean average precision on the images of fused folders, by COCO's protocol.

mAP50 counts a detection as right at an overlap (IoU) of 0.5 with a label; mAP50-95 is the mean over ten thresholds from
0.5 to 0.95. pycocotools computes both. The sources stand in the table as methods of their own: what fusion has to beat.
"""

import contextlib
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from dig2dig_jax import escape
from dig2dig_jax.data.datasets import DataConfig
from dig2dig_jax.errors import UserError
from dig2dig_jax.evaluation import folders as fused_folders
from dig2dig_jax.evaluation import labels as detection_labels
from dig2dig_jax.evaluation.detector import Detections
from dig2dig_jax.evaluation.labels import Labels
from dig2dig_jax.fusing.outputs import refuse_sources
from dig2dig_jax.record import environment, make_folder, write_text


class Report(NamedTuple):
  """text: the table in Markdown. left_out, failed: as of `evaluate_fused`. scores {method: (mAP50, mAP50-95)}."""

  text: str
  left_out: list[str]
  failed: list[str]
  scores: dict[str, tuple[float, float]]


def run(
  fused: Mapping[str, Path],
  data: DataConfig,
  labels: Path,
  out: Path,
  detect: Callable[[np.ndarray], Detections],
  *,
  classes: Sequence[int] = (),
  baselines: bool = True,
  limit: int = 0,
) -> Report:
  """Runs the detector on every image of every folder and source; writes detection.json and .md into `out`.

  labels: see `detection_labels`. classes: the detector's class for each label category, in ascending order of theirs;
  the category's own number (YOLO) or place (COCO) if empty. UserError when no image can be used.
  """
  pairs, left_out = data.find()
  refuse_sources(out, pairs)
  folders = {method: fused_folders.index(folder, left_out) for method, folder in fused.items()}
  left_out = left_out + fused_folders.superfluous(folders, pairs)
  failed: list[str] = []
  sizes: dict[str, tuple[int, int]] = {}
  found: dict[str, dict[str, Detections]] = {}
  make_folder(out)
  for pair in tqdm(pairs[: limit or None], unit="pair", disable=None):
    images = fused_folders.load(pair, fused, folders, failed)
    if images is None:
      continue
    if baselines:
      images = fused_folders.with_baselines(images)
    methods = {name: image for name, image in images.methods.items() if not name.startswith("copy of ")}
    sizes[pair.name] = next(iter(images.sources.values())).shape[:2]
    for method, image in (methods | {f"source {name}": image for name, image in images.sources.items()}).items():
      found.setdefault(method, {})[pair.name] = detect(image)
  if not sizes:
    raise UserError(f"{data.place}: expected images that all of {', '.join(fused)} have, found none; {failed[0]}")
  truth = detection_labels.read(labels, sizes)
  mapping = _mapping(truth, classes, coco=labels.suffix == ".json")
  scores = {method: average_precision(truth, rows, mapping) for method, rows in found.items()}
  text = _markdown(scores, len(sizes), sum(map(len, truth.objects.values())))
  record = {
    "images": list(sizes),
    "categories": truth.categories,
    "scores": {method: {"mAP50": _plain(row[0]), "mAP50-95": _plain(row[1])} for method, row in scores.items()},
    "environment": environment(),
  }
  write_text(out / "detection.json", escape.json_text(record))
  write_text(out / "detection.md", text)
  return Report(text, left_out, failed, scores)


def average_precision(
  labels: Labels, detections: Mapping[str, Detections], mapping: Mapping[int, int]
) -> tuple[float, float]:
  """(mAP50, mAP50-95), 0..1, over the categories that have labels; NaN when none has. mapping: {detector's class:
  category}; detections of other classes do not count."""
  try:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval
  except ImportError as error:
    raise UserError("mAP needs pycocotools, which is not installed; do: pip install -e '.[detect]'") from error
  names = {name: number for number, name in enumerate(labels.objects, start=1)}
  truth = [
    {"image_id": names[name], "category_id": category, "bbox": box, "area": box[2] * box[3], "iscrowd": crowd}
    for name, objects in labels.objects.items() for category, box, crowd in objects
  ]  # fmt: skip
  if not truth:
    return np.nan, np.nan
  results = [
    {"image_id": names[name], "category_id": mapping[int(kind)], "bbox": box.tolist(), "score": float(score)}
    for name, rows in detections.items() for box, score, kind in zip(*rows, strict=True) if int(kind) in mapping
  ]  # fmt: skip
  if not results:
    return 0.0, 0.0
  with contextlib.redirect_stdout(io.StringIO()):  # the library talks
    coco = COCO()
    coco.dataset = {
      "info": {},
      "images": [{"id": number} for number in names.values()],
      "categories": [{"id": category} for category in labels.categories],
      "annotations": [{**label, "id": number} for number, label in enumerate(truth, start=1)],
    }
    coco.createIndex()
    evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
  precision = evaluation.eval["precision"][:, :, :, 0, -1]  # [threshold, recall, category], all areas, 100 detections
  present = precision[0, 0] > -1  # categories with labels
  return float(precision[0][:, present].mean()), float(precision[:, :, present].mean())


def _mapping(labels: Labels, classes: Sequence[int], *, coco: bool) -> dict[int, int]:
  if not classes:
    return {place if coco else category: category for place, category in enumerate(labels.categories)}
  if len(classes) != len(labels.categories):
    raise UserError(f"--detector_classes: expected one number for each of the {len(labels.categories)} categories "
                    f"{labels.categories}, found {len(classes)}")  # fmt: skip
  return dict(zip(classes, labels.categories, strict=True))


def _markdown(scores: Mapping[str, tuple[float, float]], images: int, objects: int) -> str:
  rows = []
  for method, row in scores.items():
    rows.append([escape.markdown(method), *("–" if np.isnan(value) else f"{value:.4f}" for value in row)])
  table = escape.table(["method", "mAP50 ↑", "mAP50-95 ↑"], rows)
  return f"{images} images, {objects} labelled objects\n\n{table}"


def _plain(value: float) -> float | None:
  return None if np.isnan(value) else value
