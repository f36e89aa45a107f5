"""What blocks of code do the documents hold, and which commands are in them?

A block of commands (`sh`) or of Python is run by a test, or stands under a comment `<!-- not run: REASON -->`, which
tests/test_doc_blocks.py counts.
"""

import itertools
import pathlib
import re
import shlex
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "examples" / "README.md", *sorted(
  [*ROOT.glob("docs/*.md"), *ROOT.glob("checkpoints/*/*.md")]
)]  # fmt: skip
FENCE = re.compile(r"(?:^<!-- not run: ([^\n]*?) -->\n)?^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
  """name: file and line, as an editor opens it. left_out: why it is not run, empty where it is."""

  name: str
  language: str
  text: str
  left_out: str


def blocks() -> list[Block]:
  """All of them, in the order of the pages."""
  found = []
  for page in PAGES:
    text = page.read_text(encoding="utf-8")
    for match in FENCE.finditer(text):
      line = text.count("\n", 0, match.start(3))
      found.append(Block(f"{page.relative_to(ROOT)}:{line}", match[2], match[3], match[1] or ""))
  return found


def commands(block: Block) -> list[list[str]]:
  """The command lines of a block, in words: comments are left out, lines that a \\ joins are one. Of a script of a
  scheduler also what `srun` and the like start."""
  text = re.sub(r"\\\n\s*", " ", block.text)
  found: list[list[str]] = []
  begun = ""
  for line in text.splitlines():
    begun += line
    try:
      words = shlex.split(begun, comments=True)
    except ValueError:  # a quotation that goes on in the next line
      begun += "\n"
      continue
    begun = ""
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
      words = words[1:]
    if words:
      found.append(words)
  assert not begun, f"{block.name}: a quotation that does not end"
  return found


def of_yaml(value) -> list[list[str]]:
  """The command lines with launch.py in what a YAML file holds, as texts or as lists of words."""
  if isinstance(value, str):
    return [shlex.split(value)] if "launch.py" in value else []
  if isinstance(value, list) and "launch.py" in value:
    return [value]
  members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
  return [words for member in members for words in of_yaml(member)]


def programs(words: list[str]) -> list[tuple[str, list[str]]]:
  """[(`launch`, `dig2dig`, `make`, `pip` or a module, as `convert.NAME`, its words)]: what a command line starts, or a
  script in it."""
  found = []
  inner = [word for word in words if " " in word and "launch.py" in word]  # a script in quotes
  for script in inner:
    found += [program for part in script.split("&&") for program in programs(shlex.split(part))]
  if inner:
    return found
  for at, word in enumerate(words):
    rest = [part for part in words[at + 1 :] if part not in ("&", "...")]
    rest = list(itertools.takewhile(lambda part: part not in ("|", ">"), rest))
    if word == "launch.py":
      found.append(("launch", rest))
    elif pathlib.PurePath(word).name == "dig2dig":
      found.append(("dig2dig", rest))
    elif re.fullmatch(r"(convert|examples|dig2dig_jax)(\.\w+)+", word):
      found.append((word, rest))
    elif re.fullmatch(r"tests/\w+\.py", word):
      found.append((word.removesuffix(".py").replace("/", "."), rest))
    elif word in ("make", "pip") and at == 0:
      found.append((word, rest))
    else:
      continue
    if "|" not in words[at:]:
      break
  return found
