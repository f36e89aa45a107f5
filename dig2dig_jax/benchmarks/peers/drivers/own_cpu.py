"""A repository's own script where there is no GPU, of today's packages: `torch.load` and `.cuda()` mean the CPU there.

What old scripts ask of SciPy (`scipy.misc.imread` and `imsave`, gone since 1.2) is put in its place as SciPy's manual
described it: an image as an array, and floats written with their own least as 0 and largest as 255.
"""

import functools
import runpy
import sys
import types
from pathlib import Path


def prepare() -> None:
  """Where PyTorch has no GPU; where it has one, nothing changes."""
  import torch

  register = torch.library.register_fake
  try:
    import torchvision
  except RuntimeError:  # its compiled operators are of another build of PyTorch; none of them is needed here
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
      del sys.modules[name]
    torch.library.register_fake = lambda name, *rest, **more: (
      (lambda function: function) if str(name).startswith("torchvision::") else register(name, *rest, **more)
    )
    import torchvision  # noqa: F401
  except ImportError:
    pass  # a script that needs it says so
  finally:
    torch.library.register_fake = register
  if torch.cuda.is_available():
    return
  torch.load = functools.partial(torch.load, map_location="cpu")
  torch.Tensor.cuda = lambda self, *_, **__: self
  torch.nn.Module.cuda = lambda self, *_, **__: self


def scipy_misc() -> None:
  import numpy as np
  import scipy
  from PIL import Image

  def imread(name, flatten=False, mode=None):
    image = Image.open(name)
    return np.array(image.convert(mode) if mode else image)

  def imsave(name, array):
    array = np.asarray(array)
    if array.dtype != np.uint8:
      low, high = array.min(), array.max()
      array = np.rint((array - low) * (255.0 / ((high - low) or 1))).clip(0, 255).astype(np.uint8)
    Image.fromarray(array).save(name)

  misc = types.ModuleType("scipy.misc")
  misc.imread, misc.imsave = imread, imsave
  sys.modules["scipy.misc"], scipy.misc = misc, misc


def script(path: str, arguments: list[str]) -> None:
  """Runs it as its own README does, with its folder first on the path."""
  sys.path.insert(0, str(Path(path).parent))
  sys.argv = [path, *arguments]
  runpy.run_path(path, run_name="__main__")
