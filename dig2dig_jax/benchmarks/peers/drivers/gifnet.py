"""GIFNet (Cheng et al., CVPR 2025) by its own test.py: gifnet.py CHECKOUT TASK A B OUT.

Its README: infrared first and a visible image in RGB, two planes or exposures both in RGB, of medical pairs the
functional image first; what has no colours is read as gray.
"""

import os
import sys
from pathlib import Path

from PIL import Image


def main(checkout: Path, task: str, first: Path, second: Path, out: Path) -> None:
  import own_cpu  # beside this script

  if task == "medical":
    first, second = second, first
  colours = [any(Image.open(path).mode == "RGB" for path in folder.glob("*.png")) for folder in (first, second)]
  words = [f"--test_ir_root={first}", f"--test_vis_root={second}", f"--save_path={out}{os.sep}"]
  words += ["--IR_IS_RGB"] * colours[0] + ["--VIS_IS_RGB"] * colours[1]
  own_cpu.prepare()
  os.chdir(checkout)
  own_cpu.script(str(checkout / "test.py"), words)


if __name__ == "__main__":
  main(Path(sys.argv[1]), sys.argv[2], *map(Path, sys.argv[3:6]))
