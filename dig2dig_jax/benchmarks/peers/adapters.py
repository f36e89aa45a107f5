"""By which command does a checkout fuse a folder of pairs? Known repositories, each by its own program and weights.

A driver of `drivers` stands between: it lays the files out as the repository's README asks, and lets what asks for a
GPU run where there is none. It runs in the interpreter that the user names, so that PyTorch stays out of this one.
"""

from pathlib import Path
from typing import NamedTuple

from dig2dig_jax.data.guess import TASKS

DRIVERS = Path(__file__).parent / "drivers"
ALL = tuple(TASKS)


class Adapter(NamedTuple):
  """repository: on GitHub. sign: a file by which a checkout is known. tasks: which its README fuses. licence: as the
  repository states it."""

  repository: str
  sign: str
  tasks: tuple[str, ...]
  licence: str
  driver: str

  def command(self, python: str, checkout: Path) -> tuple[str, ...]:
    """Words with {a}, {b}, {out} and {task}."""
    return (python, str(DRIVERS / self.driver), str(checkout), "{task}", "{a}", "{b}", "{out}")


_NONE = "none stated: not to be copied"
ADAPTERS: dict[str, Adapter] = {
  "gifnet": Adapter("AWCXV/GIFNet", "model/Final.model", ALL, _NONE, "gifnet.py"),
  "gbff": Adapter("DMinjie/GBFF", "Checkpoint_final/VIF.pth", ALL, _NONE, "gbff.py"),
  "ifcnn": Adapter("uzeful/IFCNN", "Code/snapshots/IFCNN-MAX.pth", ALL, _NONE, "ifcnn.py"),
  "mmdrfuse": Adapter("yanglinDeng/MMDRFuse", "pretrained_models/student.model", ("thermal", "medical"), _NONE,
                      "mmdrfuse.py"),
  "reconet": Adapter("dlut-dimt/ReCoNet", "archive/params.pth", ("thermal", "medical"), "MIT", "reconet.py"),
}  # fmt: skip
