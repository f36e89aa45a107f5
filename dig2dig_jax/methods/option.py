"""How is an option declared? As the field of a dataclass that holds its default, its help, its flag and its values.

The flags of the command line, their help, their bounds, the table in docs/options.md and what Python refuses come from
here: nothing is said of an option anywhere else. No JAX is imported, so that help is quick.
"""

import dataclasses
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from dig2dig_jax.checks import Check, one_of
from dig2dig_jax.errors import UserError


class Declaration(NamedTuple):
  """help: a sentence. flag: its name on the command line. check: of a value, of every member of a tuple. kind:
  `string`, `number`, `integer`, `boolean`, `names`, or `source`: the number of a source that the command
  line names."""

  help: str
  flag: str
  check: Check | None
  kind: str


_KINDS = {bool: "boolean", int: "integer", float: "number", str: "string", tuple: "names"}


def option(
  default: Any, help: str, *, check: Check | None = None, choices: Sequence[str] = (), flag: str = "", kind: str = ""
) -> Any:
  """A dataclass field. choices: the only values, said in the help. flag: where it is not the field's name."""
  if choices:
    check, help = one_of(choices), f"{help}: {', '.join(choices)}"
  return dataclasses.field(
    default=default, metadata={"option": Declaration(help, flag, check, kind or _KINDS[type(default)])}
  )


def declared(kind: type) -> Iterator[tuple[str, Declaration]]:
  """(name, declaration) of every option of a class, its flag's name filled in."""
  for field in dataclasses.fields(kind):
    found = field.metadata["option"]
    yield field.name, found._replace(flag=found.flag or field.name)


def check_each(options: Any) -> None:
  """UserError, naming the flag, for a value that its declaration does not allow."""
  for name, found in declared(type(options)):
    value = getattr(options, name)
    for one in value if isinstance(value, tuple) else (value,):
      if found.check is not None and not _holds(found.check, one):
        raise UserError(f"--{found.flag}={one}: expected {found.check.expected}")


def of_kind(options: Any, kind: type) -> None:
  """ValueError for options that are not of this class."""
  if not isinstance(options, kind):
    raise ValueError(f"options: expected {kind.__name__}, found {type(options).__name__}")


def _holds(check: Check, value: Any) -> bool:
  try:
    return check.holds(value)
  except TypeError:  # text where a number belongs
    return False


def in_python(message: str, kind: type) -> str:
  """A message that names flags, as it reads where a class's options are arguments."""
  fields = {found.flag: name for name, found in declared(kind)}
  return re.sub(r"--(\w+)", lambda flag: fields.get(flag[1], flag[0]), message)


def require(*checks: tuple[bool, str, str, Any]) -> None:
  """UserError for the first (holds, flag, what is expected, what was found) that does not hold."""
  for holds, flag, expected, found in checks:
    if not holds:
      raise UserError(f"--{flag}={found}: expected {expected}")
