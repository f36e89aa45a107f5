"""What does an object detector see? Any ONNX model of three common output layouts, run by onnxruntime on the CPU.

Input: one float32 image [1, 3, S, T], RGB in 0..1, the picture scaled to fit and padded with gray, as YOLO models are
trained. Outputs, by `layout`:
  yolov5  [1, N, 5 + C]: centre, size, objectness, class scores; score = objectness x class
  yolov8  [1, 4 + C, N]: centre, size, class scores
  boxes   [1, N, 6]: corners x1 y1 x2 y2, score, class, already free of duplicates
"""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from dig2dig_jax.errors import UserError

LAYOUTS = ("yolov5", "yolov8", "boxes")
_PAD = 114
_LIMIT = 100  # detections per image, as COCO's protocol counts


class Detections(NamedTuple):
  """boxes [n, 4] as x, y, width, height in pixels of the image; scores [n]; classes [n], whole numbers from 0."""

  boxes: np.ndarray
  scores: np.ndarray
  classes: np.ndarray


class Detector:
  """`detector(image uint8 [H, W, 1 or 3]) -> Detections`. UserError for a file that is no such model."""

  def __init__(self, path: Path, *, layout: str, size: int = 640, threshold: float = 0.001, overlap: float = 0.65):
    """size: side of the input where the model leaves it open. threshold: least score; a small one is needed for whole
    precision-recall curves. overlap: IoU above which the weaker of two boxes of a class is a duplicate."""
    if layout not in LAYOUTS:
      raise UserError(f"--detector_layout={layout}: expected one of {', '.join(LAYOUTS)}")
    try:
      import onnxruntime
    except ImportError as error:
      raise UserError(f"{path}: running it needs onnxruntime; do: pip install -e '.[detect]'") from error
    if not path.is_file():
      raise UserError(f"{path}: expected an ONNX model, found no file; check --detector")
    try:
      self._session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no common public base
      raise UserError(f"{path}: expected an ONNX model, found {str(error).splitlines()[0]}; export it again") from error
    (entry, *more), outputs = self._session.get_inputs(), self._session.get_outputs()
    if more or len(entry.shape) != 4 or entry.type != "tensor(float)":
      raise UserError(f"{path}: expected one float32 input [1, 3, S, T], found {entry.type} {entry.shape} "
                      f"and {len(more)} more; export it again")  # fmt: skip
    self._path, self._layout, self._input, self._output = path, layout, entry.name, outputs[0].name
    self._size = tuple(side if isinstance(side, int) else size for side in entry.shape[2:])
    self._threshold, self._overlap = threshold, overlap

  def __call__(self, image: np.ndarray) -> Detections:
    pixels, scale, offset = letterbox(image, self._size)
    try:
      (output,) = self._session.run([self._output], {self._input: pixels})
    except Exception as error:
      reason = str(error).splitlines()[0]
      raise UserError(f"{self._path}: expected to take an image {pixels.shape}, found: {reason}") from error
    boxes, scores, classes = self._read(np.asarray(output, np.float64))
    boxes[:, :2] = (boxes[:, :2] - offset) / scale
    boxes[:, 2:] /= scale
    order = np.argsort(-scores, kind="stable")[:_LIMIT]
    return Detections(boxes[order], scores[order], classes[order])

  def _read(self, output: np.ndarray):
    layout = self._layout
    if output.ndim != 3 or output.shape[0] != 1 or (layout == "boxes" and output.shape[2] != 6) or (
      layout == "yolov5" and output.shape[2] < 6
    ) or (layout == "yolov8" and output.shape[1] < 5):  # fmt: skip
      raise UserError(f"{self._path}: expected an output in the layout --detector_layout={layout}, found "
                      f"{output.shape}")
    rows = output[0].T if layout == "yolov8" else output[0]
    if layout == "boxes":
      keep = rows[:, 4] >= self._threshold
      rows = rows[keep]
      corners = np.concatenate([rows[:, :2], rows[:, 2:4] - rows[:, :2]], axis=1)
      return corners, rows[:, 4], rows[:, 5].astype(np.int64)
    confidence = rows[:, 5:] * rows[:, 4:5] if layout == "yolov5" else rows[:, 4:]
    place, classes = np.nonzero(confidence >= self._threshold)  # a box may stand for several classes
    scores = confidence[place, classes]
    boxes = np.concatenate([rows[:, :2] - rows[:, 2:4] / 2, rows[:, 2:4]], axis=1)[place]
    if not len(boxes):
      return boxes, scores, classes
    kept = cv2.dnn.NMSBoxesBatched(boxes, scores, classes.astype(np.int32), self._threshold, self._overlap)
    kept = np.asarray(kept, np.int64).reshape(-1)
    return boxes[kept], scores[kept], classes[kept]


def letterbox(image: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, float, np.ndarray]:
  """([1, 3, height, width] float32 in 0..1, scale, offset (x, y)): the image enlarged or reduced to fit, centred on
  gray. A point p of the image is at p * scale + offset."""
  height, width = image.shape[:2]
  scale = min(size[0] / height, size[1] / width)
  inner = max(1, round(height * scale)), max(1, round(width * scale))
  rgb = np.repeat(image, 3 // image.shape[-1], axis=-1)
  resized = cv2.resize(rgb, inner[::-1], interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
  top, left = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
  canvas = np.full((*size, 3), _PAD, np.uint8)
  canvas[top : top + inner[0], left : left + inner[1]] = resized
  pixels = canvas.transpose(2, 0, 1)[None].astype(np.float32) / 255
  return np.ascontiguousarray(pixels), scale, np.array([left, top], np.float64)
