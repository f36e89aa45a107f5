"""`dig2dig export`: the swift path as files that run without this package, ONNX and programs of `jax.export`."""

from collections.abc import Sequence
from pathlib import Path

from dig2dig_jax.assets import SWIFT
from dig2dig_jax.cli.output import say
from dig2dig_jax.errors import UserError
from dig2dig_jax.files import typed_path

HELP = """dig2dig export -o FOLDER

Writes the network of --gains=swift as files that run without this package: swift_gray.onnx and swift_colour.onnx for
onnxruntime, swift_gray.jax and swift_colour.jax for jax.export. Sides may be any multiples of 16. docs/video.md.

  --size=WIDTHxHEIGHT    also write fused_WIDTHxHEIGHT.jax, which fuses an infrared and a visible frame of that size
  --swift=FOLDER         checkpoint folder of the network; by default the one shipped with the package

Requires pip install 'dig2dig_jax[export]'. Exit status: 0 done, 2 bad input."""


def run(words: Sequence[str]) -> int:
  """The exit status. UserError for what cannot be."""
  given = {}
  for word in words:
    name, equals, value = word.removeprefix("--").partition("=")
    if not word.startswith("--") or not equals or not value or name not in ("out", "size", "swift"):
      raise UserError(f"dig2dig export: expected -o FOLDER, --size= or --swift=, found {word}; see dig2dig export "
                      "--help")  # fmt: skip
    given[name] = value
  if "out" not in given:
    raise UserError("dig2dig export: expected -o FOLDER, found no output; add it")
  size = _size(given["size"]) if "size" in given else None
  out = typed_path(given["out"])
  from dig2dig_jax.models.swift import SwiftConfig
  from dig2dig_jax.porting import swift_onnx
  from dig2dig_jax.priors import checkpoint
  from dig2dig_jax.video import export

  folder = typed_path(given["swift"]) if "swift" in given else SWIFT
  loaded = checkpoint.load_checkpoint(folder)
  if not isinstance(loaded.config, SwiftConfig):
    raise UserError(f"{folder}: expected a swift network, found another; train one with --flagfile=train_swift.flags")
  export.make_folder(out)
  written: list[Path] = []
  for kind in ("gray", "colour"):
    written += [out / f"swift_{kind}.onnx", out / f"swift_{kind}.jax"]
    swift_onnx.write(written[-2], loaded.config, loaded.params, gray=kind == "gray")
    export.write(written[-1], export.clean(loaded.config, loaded.params, gray=kind == "gray"))
  if size is not None:
    written.append(out / f"fused_{size[0]}x{size[1]}.jax")
    export.write(written[-1], export.fused(loaded.config, loaded.params, size[::-1]))
  say(f"written: {', '.join(str(path) for path in written)}")
  return 0


def _size(text: str) -> tuple[int, int]:
  """(width, height)."""
  width, _, height = text.partition("x")
  if not (width.isdecimal() and height.isdecimal() and 16 <= int(width) <= 8192 and 16 <= int(height) <= 8192):
    raise UserError(f"--size={text}: expected WIDTHxHEIGHT, 16 to 8192, such as 640x480")
  return int(width), int(height)
