"""How many photographs are mistaken for images in the colours of a palette, and how many thermal images recognised?

  python tests/palette_counts.py --photographs=FOLDER[,FOLDER] --thermal=FOLDER[,FOLDER]

Each thermal image is coloured by `jet` and by `inferno` and compressed as JPEG of quality 75, as a camera saves it.
"""

import argparse
import io
import pathlib
import sys

import numpy as np
import PIL.Image

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from dig2dig_jax.data import images, palette, palettes  # noqa: E402
from dig2dig_jax.data.ranges import read_alone  # noqa: E402

QUALITY, PALETTES = 75, ("jet", "inferno")


def compressed(rgb: np.ndarray, quality: int = QUALITY) -> np.ndarray:
  """uint8 [H, W, 3] after JPEG with chroma of half the size."""
  file = io.BytesIO()
  PIL.Image.fromarray(rgb).save(file, "JPEG", quality=quality)
  return np.asarray(PIL.Image.open(file))


def mistaken(folder: pathlib.Path, every: int = 1) -> tuple[int, list[pathlib.Path]]:
  """(photographs looked at, those of them that count as an image in a palette's colours)."""
  paths = images.list_images(folder)[::every]
  return len(paths), [path for path in paths if palette.recognise(images.read_samples(path)) is not None]


def recognised(folder: pathlib.Path, name: str) -> tuple[int, int]:
  """(thermal images, those recognised as in this palette's colours)."""
  paths = images.list_images(folder)
  levels = (np.uint8(np.rint((read_alone(path).pixels[..., 0] + 1) * 127.5)) for path in paths)
  return len(paths), sum(palette.recognise(compressed(palettes.table(name)[own])) == name for own in levels)


def folders(text: str) -> list[pathlib.Path]:
  found = [pathlib.Path(name) for name in text.split(",")]
  if absent := [folder for folder in found if not folder.is_dir()]:
    raise argparse.ArgumentTypeError(f"{absent[0]}: expected a folder of images, found none; check the path")
  return found


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--photographs", type=folders, default=[], metavar="FOLDER[,FOLDER]")
  parser.add_argument("--thermal", type=folders, default=[], metavar="FOLDER[,FOLDER]")
  given = parser.parse_args()
  if given.photographs:
    counts = [mistaken(folder) for folder in given.photographs]
    print(f"{sum(count for count, _ in counts)} photographs, {sum(len(found) for _, found in counts)} "
          "taken for an image in the colours of a palette")  # fmt: skip
    for path in (path for _, found in counts for path in found):
      print(f"  {path}")
  for name in PALETTES if given.thermal else ():
    counts = [recognised(folder, name) for folder in given.thermal]
    print(f"{sum(count for count, _ in counts)} thermal images in {name}, JPEG of quality {QUALITY}: "
          f"{sum(found for _, found in counts)} recognised")  # fmt: skip


if __name__ == "__main__":
  main()
