"""Files as cameras write them: `python tests/cameras.py FOLDER` writes a hand-held bracket with a moving object, a
focus stack with focus breathing, and a radiometric JPEG, all made from the photographs of `examples/`."""

import argparse
import pathlib

import cv2
import flir_files
import numpy as np
import PIL.Image
import skimage.data

from examples import make_examples as scenes

STOPS = (-2.0, 0.0, 2.0)
MARGIN = 8  # pixels
PLANES, BREATHING = 5, 0.003  # focal planes; by which share the image grows from one to the next


def main(folder: pathlib.Path) -> None:
  """Writes FOLDER/bracket/IMG_000N.JPG, FOLDER/stack/plane_N.png and FOLDER/FLIR0001.jpg."""
  for name in ("bracket", "stack"):
    (folder / name).mkdir(parents=True, exist_ok=True)
  for number, (image, stops) in enumerate(zip(bracket(), STOPS, strict=True), 1):
    exif = PIL.Image.Exif()
    details = exif.get_ifd(0x8769)
    details[0x829A], details[0x829D], details[0x8827] = 2.0**stops / 250, 8.0, 100  # seconds, aperture, sensitivity
    details[0x9003], details[0x9291] = "2026:05:01 12:00:00", f"{20 * number:02d}"
    PIL.Image.fromarray(image).save(folder / "bracket" / f"IMG_{number:04d}.JPG", quality=92, exif=exif)
  for number, image in enumerate(stack(), 1):
    PIL.Image.fromarray(image).save(folder / "stack" / f"plane_{number}.png")
  (folder / "FLIR0001.jpg").write_bytes(radiometric())


def bracket() -> list[np.ndarray]:
  """uint8 [H, W, 3] each: exposures, moved and turned a little between them, as a hand does; a balloon rises."""
  light = scenes.halved(scenes.to_linear(skimage.data.rocket()))
  found = []
  for number, stops in enumerate(STOPS):
    seen = light * 1.0
    for part, colour in ((1.0, (0.30, 0.05, 0.04)), (0.55, (0.45, 0.30, 0.05))):
      balloon = scenes.ellipse(seen.shape, 70 + 28 * number, 86 - 22 * number, 15 * part, 19 * part)
      seen = scenes.paint(seen, balloon, np.array(colour))
    turn, shift = np.deg2rad((0.6, 0.0, -0.8)[number]), ((3.4, -2.2), (0, 0), (-4.1, 2.7))[number]
    matrix = np.float64([[np.cos(turn), -np.sin(turn), shift[0]], [np.sin(turn), np.cos(turn), shift[1]]])
    seen = scenes.noisy(_warped(seen, matrix) * 2**stops, np.random.default_rng(number))
    found.append(np.uint8(np.rint(255 * scenes.to_display(seen))))
  return found


def stack() -> list[np.ndarray]:
  """uint8 [H, W, 3] each: a cat's face from near to far, larger from plane to plane."""
  light = scenes.to_linear(skimage.data.cat())[44:268, 96:400]
  rows, columns = np.mgrid[:224, :304][..., None]
  depth = np.clip(np.hypot((columns - 159) / 1.1, rows - 161) / 170, 0, 1) * (PLANES - 1)
  blurred = np.stack([light, *(scenes.defocus(light, 1.6 * step) for step in range(1, PLANES))])
  found = []
  for plane in range(PLANES):
    away = np.clip(np.abs(depth - plane), 0, PLANES - 1)
    below = np.minimum(away.astype(int), PLANES - 2)
    share = away - below
    seen = np.take_along_axis(blurred, below[None], 0)[0] * (1 - share)
    seen = seen + np.take_along_axis(blurred, below[None] + 1, 0)[0] * share
    grown = cv2.getRotationMatrix2D((151.5, 111.5), 0, 1 + BREATHING * plane)
    found.append(np.uint8(np.rint(255 * scenes.to_display(_warped(seen, grown)))))
  return found


def _warped(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
  """Without the edge, beyond which a camera would have seen more."""
  size = image.shape[1::-1]
  return cv2.warpAffine(np.float32(image), matrix, size, flags=cv2.INTER_CUBIC)[MARGIN:-MARGIN, MARGIN:-MARGIN]


def radiometric() -> bytes:
  """Temperatures of a hot cup with its photograph of twice the pixels, as cameras of FLIR write them."""
  infrared, visible = scenes.dim_cafe()
  photograph = np.uint8(np.rint(255 * scenes.to_display(visible * 3)))
  photograph = cv2.resize(photograph, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
  counts = np.uint16(12000 + 9000 * scenes.to_display(infrared)[..., 0])
  return flir_files.file(counts, photograph=photograph)


if __name__ == "__main__":
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("folder", type=pathlib.Path, metavar="FOLDER")
  main(parser.parse_args().folder)
