"""GBFF (arXiv 2504.08937) by its own test_*.py, whose folders are written into them: gbff.py CHECKOUT TASK A B OUT.

They read Testset/, Checkpoint_final/ and write Results/ where they are started: a scratch folder has all three.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

# task -> (script, folders of the first and the second source, folder of results)
SCRIPTS = {
  "thermal": ("test_vif.py", "VIF/IR", "VIF/VIS", "VIF"),
  "medical": ("test_mif.py", "MIF/MRI", "MIF/PET", "MIF"),
  "focus": ("test_mff.py", "MFF/Source_A", "MFF/Source_B", "MFF"),
  "exposure": ("test_mef.py", "MEF/UNDER", "MEF/OVER", "MEF_FINAL"),
}


def main(checkout: Path, task: str, first: Path, second: Path, out: Path) -> None:
  import own_cpu  # beside this script

  script, a, b, results = SCRIPTS[task]
  with tempfile.TemporaryDirectory() as folder:
    for name, source in ((a, first), (b, second)):
      (Path(folder) / "Testset" / name).parent.mkdir(parents=True, exist_ok=True)
      (Path(folder) / "Testset" / name).symlink_to(source.resolve(), target_is_directory=True)
    weights = Path(folder) / "Checkpoint_final"
    weights.mkdir()
    for path in (checkout / "Checkpoint_final").glob("*.pth"):
      for name in (path.name, f"{path.stem}_FINAL.pth"):  # the script of exposures names its weights so
        (weights / name).symlink_to(path.resolve())
    own_cpu.prepare()
    os.chdir(folder)
    own_cpu.script(str(checkout / script), [])
    for path in (Path(folder) / "Results" / results).iterdir():
      shutil.copy(path, out / path.name)


if __name__ == "__main__":
  main(Path(sys.argv[1]).resolve(), sys.argv[2], *map(Path, sys.argv[3:6]))
