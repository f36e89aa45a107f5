"""OpenCV's exposure fusion (Mertens et al. 2007), all weights at 1, as its tutorial has it."""

import argparse
from pathlib import Path

import cv2
import numpy as np


def main(first: Path, second: Path, out: Path) -> None:
  out.mkdir(parents=True, exist_ok=True)
  merge = cv2.createMergeMertens()
  for path in sorted(first.glob("*.png")):
    fused = merge.process([cv2.imread(str(path)), cv2.imread(str(second / path.name))])
    cv2.imwrite(str(out / path.name), np.clip(np.rint(fused * 255), 0, 255).astype(np.uint8))


if __name__ == "__main__":
  parser = argparse.ArgumentParser(description=__doc__)
  for name in ("first", "second", "out"):
    parser.add_argument(name, type=Path, help="a folder of PNGs")
  main(**vars(parser.parse_args()))
