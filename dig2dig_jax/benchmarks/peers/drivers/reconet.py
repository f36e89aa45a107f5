"""ReCoNet (Huang et al., ECCV 2022) by its own archive/fuse.py.

Its weights are those of the paper (v0). Infrared first; of medical pairs the second source (CT, PET, SPECT) stands for
the infrared one. --stretch: what is outside 0..1 is cut off and the rest stretched to 0..255 before it is rounded, as
CDDFuse's test program stretches its own; so has CDDFuse's table 5 it (docs/conventions.md).
"""

import argparse
import sys
from pathlib import Path


def main(checkout: Path, task: str, first: Path, second: Path, out: Path, stretch: bool) -> None:
  import own_cpu  # beside this script

  own_cpu.prepare()
  sys.path.insert(0, str(checkout))
  import cv2
  import torch
  from archive.fuse import Fuse

  out.mkdir(parents=True, exist_ok=True)
  fuse = Fuse(checkout / "archive" / "params.pth")
  if task == "medical":
    first, second = second, first
  for path in sorted(first.glob("*.png")):
    pair = [fuse._imread(folder / path.name).unsqueeze(0).to(fuse.device) for folder in (first, second)]
    with torch.no_grad():
      image = fuse.net(pair)[0][-1].squeeze().cpu().numpy()
    if stretch:
      image = image.clip(0, 1)
      image = (image - image.min()) / ((image.max() - image.min()) or 1)
    cv2.imwrite(str(out / path.name), (image * 255).clip(0, 255).round().astype("uint8"))


if __name__ == "__main__":
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("checkout", type=Path)
  parser.add_argument("task")
  for name in ("first", "second", "out"):
    parser.add_argument(name, type=Path, help="a folder of PNGs")
  parser.add_argument("--stretch", action="store_true")
  main(**vars(parser.parse_args()))
