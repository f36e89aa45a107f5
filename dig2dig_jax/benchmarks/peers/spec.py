"""Which peers are there, and by which command does each fuse? A small TOML file, or a folder of checkouts.

  [GIFNet]                                   # the row's name
  adapter = "gifnet"                         # a checkout that `adapters` knows, by its own program
  checkout = "checkouts/GIFNet"              # from this file's own folder
  python = "/envs/gifnet/bin/python"         # who runs it; the one that runs this program by default
  [Mine]
  command = "python fuse.py {a} {b} {out}"   # folders of PNGs of the same names, and where to write such
  tasks = ["thermal"]                        # all by default
  licence = "MIT"

`each = true` starts the command for every pair, with files in place of folders. `env` adds variables.
"""

import shlex
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from dig2dig_jax.benchmarks.peers.adapters import ADAPTERS
from dig2dig_jax.data.guess import TASKS
from dig2dig_jax.errors import UserError

_FIELDS = {"adapter": str, "checkout": str, "python": str, "command": str, "tasks": list, "licence": str, "each": bool,
           "env": dict}  # fmt: skip


class Peer(NamedTuple):
  """command: words with {a}, {b} (the sources in the order of --sources) and {out}, and {task} where it is asked for.
  each: whether these are files of one pair, else folders. tasks: which it is for. licence: of its code, in words.
  env: variables that it gets beside those of this process."""

  name: str
  command: tuple[str, ...]
  each: bool = False
  tasks: tuple[str, ...] = tuple(TASKS)
  licence: str = "not stated"
  env: Mapping[str, str] = MappingProxyType({})


def read(place: Path) -> list[Peer]:
  """The peers of a TOML file, or of a folder that has a checkout named as each of ADAPTERS. UserError for another."""
  if place.is_dir():
    known = {name.casefold(): name for name in ADAPTERS}
    found = {known[path.name.casefold()]: path for path in sorted(place.iterdir()) if path.name.casefold() in known}
    if not found:
      raise UserError(f"{place}: expected checkouts named {', '.join(ADAPTERS)}, found none; clone one, or give a TOML")
    return [_adapted(name, {"adapter": name}, path) for name, path in found.items()]
  try:
    tables = tomllib.loads(place.read_text(encoding="utf-8"))
  except OSError as error:
    raise UserError(f"{place}: expected a TOML file of peers, or a folder, found {error.strerror}") from error
  except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
    raise UserError(f"{place}: expected TOML, found {' '.join(str(error).split())}") from error
  return [_peer(name, fields, place) for name, fields in tables.items()]


def _peer(name: str, fields: Any, place: Path) -> Peer:
  if not isinstance(fields, dict):
    raise UserError(f"{place}: expected a table [{name}], found {name} = {fields!r}")
  if not name or "/" in name or name[0] in ".~":
    raise UserError(f"{place}: expected names that are valid for a folder, found [{name}]")
  for key, value in fields.items():
    if key not in _FIELDS:
      raise UserError(f"{place}: [{name}]: expected {', '.join(_FIELDS)}, found {key}")
    if not isinstance(value, _FIELDS[key]):
      raise UserError(f"{place}: [{name}]: expected {key} to be a {_FIELDS[key].__name__}, found {value!r}")
  if ("adapter" in fields) == ("command" in fields):
    found = "both" if "command" in fields else "none"
    raise UserError(f"{place}: [{name}]: expected a command or an adapter, found {found}")
  if wrong := [task for task in fields.get("tasks", ()) if task not in TASKS]:
    raise UserError(f"{place}: [{name}]: expected tasks among {', '.join(TASKS)}, found {wrong[0]}")
  if "adapter" in fields:
    if fields["adapter"] not in ADAPTERS or "checkout" not in fields:
      raise UserError(f"{place}: [{name}]: expected an adapter among {', '.join(ADAPTERS)} and its checkout = FOLDER, "
                      f"found {fields['adapter']} and {fields.get('checkout', 'no checkout')}")
    return _adapted(name, fields, place.parent / Path(fields["checkout"]).expanduser())
  words = _words(fields["command"], name, place)
  return _with(Peer(name, words, fields.get("each", False)), fields)


def _words(command: str, name: str, place: Path) -> tuple[str, ...]:
  try:
    words = tuple(shlex.split(command))
  except ValueError as error:
    raise UserError(f"{place}: [{name}]: expected a command, found {command!r} ({error})") from error
  if missing := [hole for hole in ("{a}", "{b}", "{out}") if not any(hole in word for word in words)]:
    raise UserError(f"{place}: [{name}]: expected a command with {{a}}, {{b}} and {{out}}, found no {missing[0]}")
  return words


def _adapted(name: str, fields: Mapping[str, Any], checkout: Path) -> Peer:
  adapter = ADAPTERS[fields["adapter"]]
  if not (checkout / adapter.sign).exists():
    raise UserError(f"{checkout}: expected a checkout of {adapter.repository} with {adapter.sign}, found none; "
                    "clone it there, with its weights")
  words = adapter.command(fields.get("python", sys.executable), checkout.resolve())
  return _with(Peer(name, words, tasks=adapter.tasks, licence=adapter.licence), fields)


def _with(peer: Peer, fields: Mapping[str, Any]) -> Peer:
  changes: dict[str, Any] = {key: tuple(value) for key, value in fields.items() if key == "tasks"}
  changes |= {key: fields[key] for key in ("licence",) if key in fields}
  changes |= {"env": {name: str(value) for name, value in fields.get("env", {}).items()}}
  return peer._replace(**changes)


def for_task(peers: Sequence[Peer], task: str | None) -> list[Peer]:
  """Those that are for a task; all where it is not known."""
  return [peer for peer in peers if task is None or task in peer.tasks]
