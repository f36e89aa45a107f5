"""Which methods are there, by name? Each as the class of its options and its constructor."""

import hashlib
import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dig2dig_jax.errors import UserError, one_line
from dig2dig_jax.methods.base import Method, PriorLike
from dig2dig_jax.methods.ccf import ccf
from dig2dig_jax.methods.codec import Codec
from dig2dig_jax.methods.ddfm import ddfm
from dig2dig_jax.methods.dig2dig import dig2dig
from dig2dig_jax.methods.drfusion import drfusion
from dig2dig_jax.methods.options import OPTIONS, DrFusionOptions, MethodOptions, UserOptions

METHODS: dict[str, tuple[type[MethodOptions | DrFusionOptions], Callable[..., Method]]] = {
  name: (OPTIONS[name], constructor)
  for name, constructor in (("dig2dig", dig2dig), ("ddfm", ddfm), ("ccf", ccf), ("drfusion", drfusion))
}


def user_options(method: str, **values: Any) -> UserOptions:
  """Options of `module:function`, which is imported: a module on Python's path, or a file of the working folder.
  UserError, one line, where it cannot be."""
  make = _imported(method)
  file = inspect.getsourcefile(make)
  content = Path(file).read_bytes() if file else b""
  return UserOptions(**values, method=method, sha256=hashlib.sha256(content).hexdigest())


def _imported(method: str) -> Callable[..., Method]:
  module, _, function = method.partition(":")
  if "" not in sys.path and os.getcwd() not in sys.path:
    sys.path.insert(0, os.getcwd())
  try:
    found = getattr(importlib.import_module(module), function)
  except (Exception, SystemExit) as error:  # of anybody's code
    raise UserError(f"--method={method}: expected a function that can be imported, found {one_line(error)}; name it "
                    "module:function, of a file here or of an installed package") from error  # fmt: skip
  if not inspect.isfunction(found):
    raise UserError(f"--method={method}: expected a function, found {type(found).__name__}")
  return found


def where(error: BaseException) -> str:
  """An error of anybody's code in one line, with the place that raised it."""
  package = str(Path(__file__).parents[1])
  frames = [frame for frame in traceback.extract_tb(error.__traceback__)
            if "site-packages" not in frame.filename and not frame.filename.startswith(package)]  # fmt: skip
  last = frames[-1] if frames and "importlib" not in frames[-1].filename else None
  return one_line(error) if last is None else f"{one_line(error)} ({Path(last.filename).name}, line {last.lineno})"


def make_method(
  prior: PriorLike, codec: Codec, *, options: MethodOptions | DrFusionOptions
) -> Method:
  """The method whose options these are. Raises UserError for values out of range, and for `options.reuse` above 1 of a
  prior that cannot."""
  if isinstance(options, UserOptions):
    options.validate(prior.noise.num_timesteps)
    try:
      found = _imported(options.method)(prior, codec, options=options)
    except UserError:
      raise
    except Exception as error:  # of anybody's code
      raise UserError(f"--method={options.method}: expected a Method of (prior, codec, *, options), found "
                      f"{where(error)}") from error  # fmt: skip
    if not isinstance(found, Method):
      raise UserError(f"--method={options.method}: expected it to return a Method, found {type(found).__name__}")
    return found
  for kind, constructor in METHODS.values():
    if type(options) is kind:
      return constructor(prior, codec, options=options)
  raise ValueError(f"options: expected those of one of {', '.join(METHODS)}, found {type(options).__name__}")
