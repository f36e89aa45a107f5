"""What do the flags say of the method? Its options, the prior and the codec: all that needs neither images nor their
libraries."""

import dataclasses
from pathlib import Path

from dig2dig_jax.assets import EMBEDDED
from dig2dig_jax.cli import flags, usage
from dig2dig_jax.cli.output import note
from dig2dig_jax.errors import UserError
from dig2dig_jax.methods.codec import Codec, luminance_codec, rgb_codec
from dig2dig_jax.methods.dig2dig import one_pass
from dig2dig_jax.methods.options import Dig2DigOptions, DrFusionOptions, MethodOptions, UserOptions
from dig2dig_jax.methods.registry import METHODS, user_options
from dig2dig_jax.priors.prior import Prior, load_prior
from dig2dig_jax.priors.swift import with_swift


def method_options() -> MethodOptions | DrFusionOptions:
  kind = METHODS[flags.METHOD.value][0] if flags.METHOD.value in METHODS else UserOptions
  known = {field.name for field in dataclasses.fields(kind)}
  given = {name: flag.value for name, flag in flags.OPTIONS.items() if flag.value is not None}
  if "functional" in given:
    given["functional"] = number_of("functional", given["functional"])
  # DRFusion has rows of its own there.
  of_rows = {"sigma_y", "correct", "ensemble"} if usage.job() == "benchmark:degraded" else set()
  if unused := [f"--{flags.OPTIONS[name].name}" for name in given if name not in known | of_rows]:
    note(f"note: --method={flags.METHOD.value} does not use {', '.join(unused)}")
  if given.get("steps") == 0 and "steps" in known and kind is not Dig2DigOptions:  # of a task's flag file
    note(f"note: --steps=0, one pass, is supported by dig2dig only; --method={flags.METHOD.value} takes {kind().steps}")
    del given["steps"]
  given = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items() if name in known}
  options = user_options(flags.METHOD.value, **given) if kind is UserOptions else kind(**given)
  if flags.GAINS.value == "swift":
    one_band = isinstance(options, Dig2DigOptions) and options.bandwise and (options.steps == 0 or flags.FAST.value)
    if not one_band:
      raise UserError("--gains=swift: expected gains per band in one pass, found another method or reverse steps; add "
                      "--dig_window=spectrum --steps=0, or leave it out")  # fmt: skip
  if not flags.FAST.value:
    return options
  if not isinstance(options, Dig2DigOptions):
    raise UserError(f"--fast: expected --method=dig2dig, found {flags.METHOD.value}; lower --steps instead")
  return one_pass(options)


def number_of(flag: str, source: str) -> int:
  """Among --sources."""
  if source not in flags.SOURCES.value:
    raise UserError(f"--{flag}={source}: expected one of --sources={','.join(flags.SOURCES.value)}")
  return flags.SOURCES.value.index(source)


def prior(*, dtype: str | None = None) -> Prior:
  """Of --prior. dtype: in place of --dtype."""
  directory = Path(flags.PRIOR.value) if flags.PRIOR.value else EMBEDDED
  found = load_prior(directory, dtype=dtype or flags.DTYPE.value, label=flags.CLASS_LABEL.value,
                     kernels=flags.KERNELS.value)  # fmt: skip
  return with_swift(found) if flags.GAINS.value == "swift" and flags.JOB.value != "train" else found


def codec() -> Codec:
  if flags.COLOUR.value == "rgb":
    return rgb_codec(stretch=flags.STRETCH.value)
  chroma = flags.CHROMA_FROM.value or flags.SOURCES.value[-1]
  return luminance_codec(number_of("chroma_from", chroma), stretch=flags.STRETCH.value)


def integer(flag: str, text: str, most: int = 10**6) -> int:
  return whole(flag, text, least=1, most=most)


def whole(flag: str, text: str, least: int = 0, most: int = 10**6) -> int:
  if not text.isdecimal() or len(text) > 9 or not least <= int(text) <= most:
    raise UserError(f"--{flag}={text}: expected whole numbers from {least} to {most}, such as 1,2,4")
  return int(text)
