"""How does a name stand in a table, a page, a plot or JSON, whatever characters a file system allows in it?

Names come from files and folders of anybody: one helper per format, for all jobs. Pure functions of text.
"""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

_SURROGATES = re.compile("[\ud800-\udfff]+")  # what Python makes of the bytes of a name that is not UTF-8
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_MARKDOWN = re.compile(r"([\\`*_\[\]|])")
_TEX = {
  "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
  ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}", "`": r"\textasciigrave{}",
  **{character: "\\" + character for character in "&%$#_{}"},
}  # fmt: skip
_LONGEST = 60  # characters of a name beside a plot


def shown(name: str) -> str:
  """The name with U+FFFD for what is no text: bytes of a file name that are not UTF-8. It can be encoded."""
  return _SURROGATES.sub("\ufffd", name)


def markdown(text: str) -> str:
  """For a cell of a table: one line that means itself, in Markdown and in the HTML that becomes of it."""
  text = _CONTROLS.sub(" ", shown(text)).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
  # An underscore between letters or digits means nothing in Markdown, and stands in half of all names.
  return re.sub(r"(?<=[^\W_])\\_(?=[^\W_])", "_", _MARKDOWN.sub(r"\\\1", text))


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, text: int = 1) -> str:
  """Markdown of cells that are escaped already. text: how many columns from the left hold text; the others are
  numbers."""
  lines = [header, [*["---"] * text, *["---:"] * (len(header) - text)], *rows]
  return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def tex(text: str) -> str:
  """For LaTeX's running text."""
  return "".join(_TEX.get(character, character) for character in _CONTROLS.sub(" ", shown(text)))


def csv_cell(text: str) -> str:
  """Text that a spreadsheet takes for text: with an apostrophe before what it would compute, as OWASP advises."""
  computed = text.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
  # A carriage return would end the line for some readers, and Python does not quote it.
  return "'" * computed + shown(text).replace("\r", " ")


def ascii_label(text: str) -> str:
  """For fonts that have ASCII alone: `?` for every other character."""
  return re.sub(r"[^\x20-\x7e]", "?", shown(text))


def plot_label(text: str) -> str:
  """For Matplotlib: no formula, one line, and no longer than leaves room for the plot."""
  text = _CONTROLS.sub(" ", shown(text))
  if len(text) > _LONGEST:
    text = f"{text[: _LONGEST // 2 - 1]}…{text[-_LONGEST // 2 :]}"
  return text.replace("$", r"\$")


def json_text(content: Any, indent: int = 1) -> str:
  """Strict JSON with a last line end. Names that are not UTF-8 read back as they are: `\\udce9` stands for the byte."""
  text = json.dumps(content, indent=indent, allow_nan=False, ensure_ascii=False) + "\n"
  return text.encode("utf-8", "backslashreplace").decode()
