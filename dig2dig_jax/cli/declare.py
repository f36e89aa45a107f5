"""How is a flag declared? With the jobs that know it and the values that it may have, beside its default and its help.

A job is named `fuse`, or `evaluate:fused` where it has variants (`VARIANTS`); `evaluate` stands for all of them. What a
flag does not say here nobody else says: who refuses a flag or prints the help asks this table.
"""

import math
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from absl import flags

from dig2dig_jax.checks import ANY_WHOLE, FINITE, Check

# job -> its variants; how the command line names one: see `variant_flag`.
VARIANTS = {
  "fuse": (),
  "evaluate": ("prior", "samples", "fused", "detection"),
  "report": (),
  "benchmark": (
    "tables", "figures", "speed", "metrics", "theory", "degraded", "unannounced", "left_out", "ranks", "questions",
    "alignment", "brackets",
  ),  # fmt: skip
  "train": ("prior", "drfusion", "swift"),
}
_PART, _PATH = 255, 4095  # bytes of a file's name and of a path, on the common file systems


class Declared(NamedTuple):
  holder: flags.FlagHolder
  jobs: frozenset[str]
  group: str
  text: str
  check: Check | None
  of_list: Check | None = None  # of all members of a list together


DECLARED: dict[str, Declared] = {}  # in the order of the help
JOBS_OF: dict[str, frozenset[str]] = {}
_group = ["common"]


def group(name: str) -> None:
  """The heading of what is declared from here on."""
  _group[0] = name


def jobs(*names: str) -> frozenset[str]:
  """fuse, evaluate:prior,fused, train -> fuse, evaluate:prior, evaluate:fused, train:prior, train:drfusion."""
  found = set()
  for name in names:
    job, _, some = name.partition(":")
    variants = some.split(",") if some else VARIANTS[job]
    found |= {f"{job}:{variant}" for variant in variants} or {job}
  return frozenset(found)


def variant_flag(job: str) -> str:
  """How a command line names it: `evaluate:fused` -> `--job=evaluate --suite=fused`."""
  job, _, variant = job.partition(":")
  if not variant:
    return f"--job={job}"
  return f"--job={job} " + ("--figure" if variant == "figures" else
                            f"--{'network' if job == 'train' else 'suite'}={variant}")  # fmt: skip


def in_words(of: frozenset[str]) -> str:
  """`fuse; benchmark: speed, theory; train`."""
  parts = []
  for job, variants in VARIANTS.items():
    mine = [variant for variant in variants if f"{job}:{variant}" in of]
    if job in of or mine and len(mine) == len(variants):
      parts.append(job)
    elif mine:
      parts.append(f"{job}: {', '.join(mine)}")
  return "; ".join(parts)


def _kept(holder: flags.FlagHolder, text: str, of: Sequence[str], check: Check | None) -> flags.FlagHolder:
  DECLARED[holder.name] = Declared(holder, jobs(*of), _group[0], text, check)
  JOBS_OF[holder.name] = DECLARED[holder.name].jobs
  return holder


def string(name: str, default: str | None, text: str, *of: str, check: Check | None = None):
  return _kept(flags.DEFINE_string(name, default, text), text, of, check)


def enum(name: str, default: str | None, names: Sequence[str], text: str, *of: str):
  return _kept(flags.DEFINE_enum(name, default, names, text), text, of, None)


def boolean(name: str, default: bool | None, text: str, *of: str, check: Check | None = None):
  return _kept(flags.DEFINE_bool(name, default, text), text, of, check)


def integer(name: str, default: int | None, text: str, *of: str, check: Check | None = None):
  return _kept(flags.DEFINE_integer(name, default, text), text, of, check or ANY_WHOLE)


def number(name: str, default: float | None, text: str, *of: str, check: Check | None = None):
  """A finite one."""
  wanted = check or FINITE
  finite = Check(lambda value: math.isfinite(value) and wanted.holds(value), wanted.expected)
  return _kept(flags.DEFINE_float(name, default, text), text, of, finite)


def names(name: str, default: Any, text: str, *of: str, check: Check | None = None, of_list: Check | None = None):
  """Several, separated by commas; `check` is of each, `of_list` of all together."""
  holder = _kept(flags.DEFINE_list(name, default, text), text, of, check)
  DECLARED[name] = DECLARED[name]._replace(of_list=of_list)
  return holder


def given(argv: Sequence[str]) -> list[str]:
  """Names of the flags that a command line itself names, without those of its flag files; read as absl reads them."""
  found, rest = [], iter(argv[1:])
  for word in rest:
    if not word.startswith("-") or not word.strip("-"):
      break
    name, equals, _ = word.removeprefix("-").removeprefix("-").partition("=")
    if name not in flags.FLAGS and name.startswith("no") and name[2:] in flags.FLAGS:
      name = name[2:]
    elif not equals and (name == "undefok" or name in flags.FLAGS and not flags.FLAGS[name].boolean):
      next(rest, None)  # its value
    found.append(name)
  return list(dict.fromkeys(found))


class _Path(flags.ArgumentParser):
  """`~` is the home folder, as in a shell, which leaves it alone behind `--out=`."""

  def parse(self, argument: str) -> str:
    if "\0" in argument:
      raise ValueError("expected a path, found a zero byte in it")
    found = os.path.expanduser(argument)
    size = len(os.fsencode(found))
    if size > _PATH or max(len(os.fsencode(part)) for part in found.split("/")) > _PART:
      raise ValueError(f"expected a path of names of at most {_PART} bytes each, found {size} bytes; shorten it")
    return found


class _Paths(flags.ListParser):
  """Several, separated by commas."""

  def parse(self, argument) -> list[str]:
    return [_Path().parse(part) for part in super().parse(argument)]


class _JoinedPaths(_Path):
  """One, or several separated by commas, as the text that was given: DRFusion learns from several folders."""

  def parse(self, argument: str) -> str:
    return ",".join(_Path().parse(part) for part in argument.split(","))


_SOME = Check(lambda value: value != "", "a path")


def path(name: str, default: str | None, text: str, *of: str, empty: bool = False, several: bool = False):
  """empty: an empty one means something. several: also a list, which the job takes apart."""
  parser, serializer = _JoinedPaths() if several else _Path(), flags.ArgumentSerializer()
  return _kept(flags.DEFINE(parser, name, default, text, serializer=serializer), text, of, None if empty else _SOME)


def paths(name: str, default: Any, text: str, *of: str):
  return _kept(flags.DEFINE(_Paths(), name, default, text, serializer=flags.ListSerializer(",")), text, of, _SOME)
