"""MMDRFuse (Deng et al., ACM MM 2024) by its own test_student.py: mmdrfuse.py CHECKOUT TASK A B OUT.

It reads IR/1.png, IR/2.png ... and VIS/ beside it; of medical pairs, which its README does not have, the second source
(PET, SPECT, CT) stands for the visible one.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path


def main(checkout: Path, task: str, first: Path, second: Path, out: Path) -> None:
  import own_cpu  # beside this script

  own_cpu.prepare()
  own_cpu.scipy_misc()
  import torch

  sys.path.insert(0, str(checkout))
  from args_fusion import args

  names = sorted(path.name for path in first.glob("*.png"))
  with tempfile.TemporaryDirectory() as folder:
    for side, source in (("IR", first), ("VIS", second)):
      (Path(folder) / side).mkdir()
      for number, name in enumerate(names, start=1):
        (Path(folder) / side / f"{number}.png").symlink_to((source / name).resolve())
    results = Path(folder) / "results"
    args.test_imgs_path, args.save_outputs_path, args.test_nums = f"{folder}{os.sep}", f"{results}{os.sep}", len(names)
    args.cuda = int(torch.cuda.is_available())
    os.chdir(checkout)
    own_cpu.script(str(checkout / "test_student.py"), [])
    for number, name in enumerate(names, start=1):
      shutil.copy(results / f"{number}.png", out / name)


if __name__ == "__main__":
  main(Path(sys.argv[1]).resolve(), sys.argv[2], *map(Path, sys.argv[3:6]))
