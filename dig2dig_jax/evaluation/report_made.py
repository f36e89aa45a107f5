"""How were the images of a report made, as far as their folders tell? Records, curves, and no places of a machine."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dig2dig_jax.fusing import ledger

# From the root, or from a drive of Windows, down to the last part, which stays. A word, a dot or a slash before it
# makes it the middle of a relative path or of an address.
_PLACE = re.compile(r"""(?<![\w./~\\])(?:/|[A-Za-z]:[\\/]|~[\w.-]*/)(?:[^/\\\s"'=,:;<>]+[/\\])+""")


def placeless(text: str, folders: Sequence[Path] = ()) -> str:
  """The text with `…/NAME` for every path from the root or the home folder. folders: known ones, whose names may hold
  blanks."""
  known = {str(folder.absolute().parent) for folder in folders} | {str(Path.home()), str(Path.cwd())}
  for place in sorted(known - {"/", "."}, key=len, reverse=True):
    text = text.replace(place + "/", "…/")
  return _PLACE.sub("…/", text)


def of_run(method: str, record: Mapping | None, hide, here: Mapping[str, Any]) -> dict[str, Any]:
  """For the page: command, main facts and the whole record of a run, its strings through `hide`. here: the environment
  of the report, which stands on the page already: of the run's own what differs."""
  if record is None:
    return {"method": method, "record": None}
  record = _hidden(record, hide)
  settings = record.get("settings", {})
  names = ("method", "prior", "seed", "dtype", "batch_size")
  facts = {name: settings[name] for name in names if name in settings}
  facts |= {name: value for name, value in record.get("environment", {}).items() if here.get(name) != value}
  facts |= {name: _rounded(record[name]) for name in ("done", "seconds", "evaluations") if name in record}
  return {"method": method, "command": settings.get("command"), "facts": facts,
          "record": json.dumps(record, indent=1, ensure_ascii=False)}  # fmt: skip


def _rounded(value: Any) -> Any:
  if not isinstance(value, float):
    return value
  return f"{value:.3g}" if value < 1000 else round(value)


def json_file(path: Path, notes: list[str]):
  """What a run left behind; None where it left nothing, with a note where that cannot be read."""
  if not path.exists():
    return None
  try:
    found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
      raise ValueError(f"a {type(found).__name__}")
    return found
  except (OSError, ValueError) as error:
    notes.append(f"{path}: expected JSON, found {error}; the page omits it")
    return None


def curves(folder: Path, record: Mapping | None, sources: Sequence[str], notes: list[str]) -> dict[str, dict] | None:
  """A run's curves with the sources in this page's order; None, with a note, where they are of other sources."""
  lines = {pair: found[-1] for pair, found in ledger.read(folder, notes).items()}
  rows = {pair: line["curves"] for pair, line in lines.items() if "curves" in line} or None
  own = list((record or {}).get("settings", {}).get("sources", sources))
  if rows and not set(sources) <= set(own):
    found = ", ".join(own)
    notes.append(f"{folder}: expected curves of {', '.join(sources)}, found {found}; the page omits them")
    return None
  order = [own.index(source) for source in sources if source in own]
  return rows and {
    name: {"t": row["t"], **{field: np.array(row[field])[:, order] for field in ("weight", "residual")}}
    for name, row in rows.items()
  }


def _hidden(value: Any, hide) -> Any:
  if isinstance(value, str):
    return hide(value)
  if isinstance(value, Mapping):
    return {hide(str(name)): _hidden(one, hide) for name, one in value.items()}
  return [_hidden(one, hide) for one in value] if isinstance(value, list) else value
