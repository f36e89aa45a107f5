"""How do the images of a pair come to lie on each other? By a transform that is found for it, or one that is known."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dig2dig_jax.alignment import frames, spline, stored, transforms, warp
from dig2dig_jax.alignment.confidence import ACCEPTED
from dig2dig_jax.alignment.estimate import Alignment, estimate
from dig2dig_jax.alignment.frames import Enlarge
from dig2dig_jax.data.images import Image
from dig2dig_jax.errors import UserError

OTHERWISE = ("warn", "skip")
_ONE = threading.Lock()  # threads read pairs; the device aligns one at a time
_SHOWN = 5  # lines about single pairs


class Aligner(NamedTuple):
  """model: of `estimate`, where nothing is known. otherwise: where an alignment is not to be believed, `warn` takes the
  source as it is, in the reference's pixels where its aspect allows that, `skip` refuses the pair. reference: name of
  the source that the others are brought to; empty for the largest, among equals the first that is not `last`. known:
  transforms to take in place of an estimate."""

  model: str = "auto"
  otherwise: str = "warn"
  reference: str = ""
  last: str = ""
  known: stored.Transforms | None = None

  def decisive(self) -> dict[str, Any]:
    """What decides pixels but the images, JSON-able."""
    if self.known is not None:
      return {"transforms": self.known.record()}
    reference = self.reference or f"largest, not {self.last}"
    return {"model": self.model, "otherwise": self.otherwise, "reference": reference}

  def __call__(
    self, images: Mapping[str, Image], files: Mapping[str, Path], enlarge: Enlarge | None = None
  ) -> tuple[dict[str, Image], dict[str, dict[str, Any]]]:
    """(the images in the reference's frame, what was done to each but the reference, JSON-able). enlarge: for sources
    of fewer pixels. UserError, naming the file, for one that cannot be brought there, or is refused."""
    reference = self.frame_of(images)
    frame, found, told = images[reference], {}, {}
    for source, image in images.items():
      if source == reference:
        found[source] = image
        continue
      known = self._transform(frame, image, source, files)
      matrix, flow, confidence = known.matrix, known.flow, known.confidence
      used = self.known is not None or confidence >= ACCEPTED
      told[source] = {"matrix": stored.rounded(matrix), "confidence": round(confidence, 4), "used": used,
                      "reference": reference}  # fmt: skip
      if isinstance(known, Alignment):
        told[source] |= {"bounded": known.bounded} if self.model == "flow" else {}
        told[source] |= {"features": known.features} if known.features else {}
      if flow is not None:
        told[source]["flow"] = stored.rounded_flow(flow)
      if used:
        finer, matrix = _finer(source, image, matrix, frame.pixels.shape[:2], enlarge)
        told[source] |= {"restored": True} if finer is not image else {}
        found[source] = placed(finer, matrix, frame.pixels.shape[:2], files[source], flow)
        continue
      if self.otherwise == "skip":
        raise UserError(f"{files[source]}: expected an image that can be aligned with {files[reference]}, found "
                        f"a confidence of {confidence:.2f}, below {ACCEPTED}; left out, --align_or=warn fuses it as it "
                        "is")
      size, own = frame.pixels.shape[:2], image.pixels.shape[:2]
      if not frames.agree(own, size):
        raise UserError(f"{files[source]}: expected the aspect of {files[reference]}, {size[0]}x{size[1]} (height x "
                        f"width), or an image that can be aligned with it, found {own[0]}x{own[1]} and a confidence of "
                        f"{confidence:.2f}, below {ACCEPTED}; align them by hand for --transforms=, or, if it shows "
                        "the whole frame, squeezed, take --resize=stretch alone")
      found[source] = image
      if own != size:
        found[source], resized = frames.resized(source, image, size, enlarge)
        told[source] |= resized
    return found, told

  def frame_of(self, images: Mapping[str, Image]) -> str:
    """The source that the others are brought to. UserError where it is not among them."""
    return frames.reference_of(images, self.known.reference if self.known is not None else self.reference, self.last)

  def _transform(self, frame: Image, image: Image, source: str, files) -> Alignment | stored.Placed:
    if self.known is None:
      with _ONE:
        return estimate(frame.pixels, image.pixels, model=self.model, reference_mask=frame.valid,
                        source_mask=image.valid)  # fmt: skip
    if source not in self.known.sources:
      raise UserError(f"--transforms: expected a transform of {source}, found those of "
                      f"{', '.join(self.known.sources)}; write it again with dig2dig align")
    known = self.known.sources[source]
    for path, size, expected in ((files[source], image.pixels.shape[:2], known.size),
                                 (files[self.known.reference], frame.pixels.shape[:2], self.known.size)):
      if tuple(size) != tuple(expected):
        raise UserError(f"{path}: expected {expected[0]}x{expected[1]} (height x width) as in --transforms, found "
                        f"{size[0]}x{size[1]}; take transforms of such images")
    return known


def _finer(
  source: str, image: Image, matrix: np.ndarray, size: frames.Size, enlarge: Enlarge | None
) -> tuple[Image, np.ndarray]:
  """(the image in about as many pixels as the reference has of what it shows, if `enlarge` makes them, the matrix to
  these pixels)."""
  shape, scale = image.pixels.shape[:2], warp.scale(matrix, size)
  finer = tuple(round(side / scale) for side in shape)
  if enlarge is None or image.valid is not None or not 0 < scale < 1:
    return image, matrix
  pixels = enlarge(source, image.pixels, finer)
  if pixels is None:
    return image, matrix
  return image._replace(pixels=pixels), transforms.scaling(finer[1] / shape[1], finer[0] / shape[0]) @ matrix


def placed(
  image: Image, matrix: np.ndarray, size: tuple[int, int], path: Path, flow: np.ndarray | None = None
) -> Image:
  """An image in the frame of its reference, of `size`. UserError, naming the file, where it lies outside."""
  try:
    pixels, valid = warp.onto(image.pixels, matrix, size, image.valid, flow)
  except UserError as error:
    raise UserError(f"{path}: {error}") from error
  if valid is not None and not valid.any():
    raise UserError(f"{path}: expected to lie on its reference, found none of it there; check the transforms")
  return image._replace(pixels=pixels, valid=valid, celsius=_celsius(image, matrix, size, flow))


def _celsius(image: Image, matrix: np.ndarray, size: tuple[int, int], flow: np.ndarray | None) -> np.ndarray | None:
  if image.celsius is None:
    return None
  known = np.isfinite(image.celsius)
  degrees, valid = warp.onto(np.where(known, image.celsius, np.nanmin(image.celsius)), matrix, size, known, flow)
  return degrees if valid is None else np.where(valid, degrees, np.nan)


def bent(flow: np.ndarray | None, bounded: float) -> str:
  """For the user, of what `flow` found in addition to a matrix."""
  if flow is None:
    return "no displacement supported"
  held = "" if bounded == 1 else f", multiplied by {bounded:.2f} to keep its gradient below {spline.STEEPEST}"
  return f"displaced by up to {spline.largest(np.asarray(flow)):.1f} px{held}"


def lines(
  told: Sequence[tuple[str, Mapping[str, Mapping[str, Any]]]], *, way_out: str = "--restore=noise"
) -> list[str]:
  """For the user, of (name of a pair, what `Aligner` or `Frames` says of it): how many were aligned, which were not,
  and how sources of other sizes came into the frame."""
  found = []
  for source in dict.fromkeys(source for _, one in told for source in one):
    mine = [(name, one[source]) for name, one in told if "used" in one.get(source, ())]
    if not mine:
      continue
    used, reference = sum(one["used"] for _, one in mine), mine[0][1]["reference"]
    of_all = f"{len(mine)} pair{'' if len(mine) == 1 else 's'}"
    if used:
      found.append(f"{source}: aligned with {reference} in {used} of {of_all}")
    else:
      found.append(f"{source}: not aligned with {reference}{'' if len(mine) == 1 else f' in any of {of_all}'}")
    found += _of_flows(source, [(name, one) for name, one in mine if one.keys() & {"bounded", "flow"} and one["used"]])
    refused = [(name, one["confidence"]) for name, one in mine if not one["used"]]
    found += [f"{name}: {source} cannot be aligned (confidence {confidence:.2f}, below {ACCEPTED}), fused as it is"
              for name, confidence in refused[:_SHOWN]]  # fmt: skip
    if len(refused) > _SHOWN:
      found.append(f"{source}: {len(refused) - _SHOWN} more pairs fused as they are; the log says which")
    if restored := sum(one.get("restored", False) and one["used"] for _, one in mine):
      found.append(f"{source}: of fewer pixels than {reference}, restored with the prior in {restored} of {of_all}; "
                   f"{way_out} resamples it bicubically")
  return found + frames.lines(told, way_out=way_out)


def _of_flows(source: str, mine: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
  """Lines about displacements, of (name of a pair, what was done to the source) where one was looked for or known."""
  if not mine:
    return []
  largest = [spline.largest(np.array(one["flow"])) for _, one in mine if "flow" in one]
  found = [f"{source}: displaced in {len(largest)} of {len(mine)} pair{'' if len(mine) == 1 else 's'}"
           f"{f', by up to {max(largest):.1f} px' if largest else ', no displacement supported'}"]  # fmt: skip
  if sum("flow" in one and "bounded" not in one for _, one in mine) > 1:
    found.append(f"{source}: all pairs take the displacement of --transforms, which belongs to the distances of one "
                 "scene; if these are several, find the transforms with --align=auto")  # fmt: skip
  return found + [f"{name}: {source} {bent(np.array(one['flow']), one['bounded'])}"
                  for name, one in mine if one.get("bounded", 1) < 1][:_SHOWN]  # fmt: skip
