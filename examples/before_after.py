"""The sources and the fused image of a bundled scene, side by side in one file: README's first picture.

  python -m examples.before_after examples/mff cat out/mff docs/examples_mff.png

FOLDER has one folder per source, FUSED the fused image of the same name.
"""

import argparse
from pathlib import Path

import numpy as np

from dig2dig_jax.data.images import read_image, write_png

_GAP = 8  # white pixels between two images


def side_by_side(images: list[np.ndarray]) -> np.ndarray:
  """[H, W, 3] of images [H, W, 3] of one size, in [-1, 1], from left to right with a white gap between them."""
  gap = np.ones((images[0].shape[0], _GAP, 3), images[0].dtype)
  parts = [part for image in images for part in (gap, image)]
  return np.concatenate(parts[1:], axis=1)


if __name__ == "__main__":
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  for name in ("folder", "name", "fused", "out"):
    parser.add_argument(name)
  args = parser.parse_args()
  files = [*sorted(Path(args.folder).glob(f"*/{args.name}.png")), Path(args.fused) / f"{args.name}.png"]
  write_png(Path(args.out), side_by_side([read_image(file).pixels for file in files]))
