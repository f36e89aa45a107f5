"""What does the site hold beside the files of docs/? Pages made from the repository's files and from its declarations.

Run by mkdocs (`hooks` of mkdocs.yml). Files are rendered where they lie: what is not below docs/ (the change log, the
READMEs of priors) becomes a page in memory, and names of files in the text become links where the site has them.
"""

import base64
import contextlib
import importlib
import io
import json
import re
import sys
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

# Page of the site -> file of the repository.
ELSEWHERE = {
  "changelog.md": "CHANGELOG.md",
  "contributing.md": "CONTRIBUTING.md",
  "priors/embedded.md": "checkpoints/embedded/README.md",
  "priors/drfusion.md": "checkpoints/drfusion/README.md",
  "priors/swift.md": "checkpoints/swift/README.md",
  "priors/descriptor.md": "checkpoints/descriptor/README.md",
}
# Rooms of the package, as the reference groups them.
ROOMS = {
  "fusing": ("Fusing", ("front", "methods", "alignment", "video", "volumes")),
  "guidance": ("Guidance and weights", ("guidance", "restoration")),
  "sampling": ("Sampling and noise schedules", ("sampling",)),
  "priors": ("Priors", ("priors", "assets")),
  "images": ("Images, measures, errors", ("data", "metrics", "errors")),
}
FENCED = re.compile(r"^([ ]*)(```|~~~).*?^\1\2[ ]*$", re.DOTALL | re.MULTILINE)
# Names of files in code, alone between backticks, not within a link.
NAMED = re.compile(r"(?<!\[)`([\w./]+\.md)`(?!\])")
SHOWN = 1  # of mkdocstrings' heading levels, below the page's


def on_files(files, config):
  """Adds the pages that are no files of docs/."""
  made = {page: (ROOT / source).read_text(encoding="utf-8") for page, source in ELSEWHERE.items()}
  made |= reference() | {"reference/command_line.md": command_line()}
  for page, text in made.items():
    files.append(File.generated(config, page, content=text))
  for path in sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")):
    text, pictures = notebook(path)
    files.append(File.generated(config, f"notebooks/{path.stem}.md", content=text))
    for name, content in pictures.items():
      files.append(File.generated(config, f"notebooks/{name}", content=content))
  return files


def on_page_markdown(markdown, page, config, files):
  """Names of documents become links, and links to files outside docs/ lead to the page that was made of them."""
  pages = {source: made for made, source in ELSEWHERE.items()}
  here = page.file.src_uri
  source = ELSEWHERE.get(here, f"docs/{here}")
  depth = "../" * here.count("/")

  def target(name):
    """The page of a file that is named from the root of the repository, or None."""
    wanted = pages.get(name) or (name.removeprefix("docs/") if name.startswith("docs/") else None)
    return depth + wanted if wanted and wanted != here and files.get_file_from_path(wanted) else None

  def linked(found):
    where = target(found[1])
    return f"[`{found[1]}`]({where})" if where else found[0]

  def moved(found):
    """Relative links of a file that lies elsewhere in the repository."""
    if "://" in found[2] or found[2].startswith("#"):
      return found[0]
    path = (ROOT / source).parent.joinpath(found[2]).resolve().relative_to(ROOT).as_posix()
    return f"{found[1]}({depth}{path.removeprefix('docs/')})"

  def mended(text):
    text = re.sub(r"(!?\[[^\]]*\])\(([^)\s]+)\)", moved, text) if here in ELSEWHERE else text
    return NAMED.sub(linked, text)

  parts, end = [], 0
  for block in FENCED.finditer(markdown):
    parts += [mended(markdown[end : block.start()]), block[0]]
    end = block.end()
  return "".join([*parts, mended(markdown[end:])])


def reference():
  """{page: text} of every public name, by room, from the table that says where each is defined."""
  import dig2dig_jax

  made, left = {}, dict(dig2dig_jax._HOME)
  for page, (title, rooms) in ROOMS.items():
    lines = [f"# {title}", "", "Names that `import dig2dig_jax as d2d` gives; generated from their docstrings.", ""]
    for module in [module for module in left if module.split(".")[0] in rooms]:
      for name in left.pop(module):
        lines += [f"::: dig2dig_jax.{module}.{name}", ""]
    made[f"reference/{page}.md"] = "\n".join(lines)
  if left:
    raise ValueError(f"ROOMS: expected the rooms of all public names, none is given for {', '.join(left)}")
  return made


def command_line():
  """Help of every command, as it prints it."""
  from dig2dig_jax.cli import main

  lines = [
    "# Command line", "", "What `dig2dig --help` and `dig2dig COMMAND --help` print. `python launch.py` takes the same",
    "flags, with `--job=COMMAND`. Options of the methods, with their bounds: `docs/options.md`.", "",
  ]  # fmt: skip
  for command in ("", *main.COMMANDS):
    words = [command, "--help"] if command else ["--help"]
    if command == "convert":
      text = "".join(_help_of_converter(name) for name in ("guided_diffusion", "drfusion", "lpips", "verify"))
    else:
      told = io.StringIO()
      with contextlib.redirect_stdout(told):
        status = main.main(words)
      if status or not told.getvalue():
        raise ValueError(f"dig2dig {' '.join(words)}: expected its help, found status {status}")
      text = told.getvalue()
    lines += [f"## {f'dig2dig {command}'.strip()}", "", "```text", text.rstrip(), "```", ""]
  return "\n".join(lines)


def _help_of_converter(name):
  told = io.StringIO()
  with contextlib.redirect_stdout(told), contextlib.suppress(SystemExit):
    importlib.import_module(f"dig2dig_jax.porting.{name}").main(["--help"])
  return told.getvalue() + "\n"


def notebook(path):
  """(Markdown, {name: content of a picture}) of a notebook with its outputs."""
  book, lines, pictures = json.loads(path.read_text(encoding="utf-8")), [], {}
  for number, cell in enumerate(book["cells"]):
    text = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
      lines += [text, ""]
      continue
    lines += ["```python", text, "```", ""]
    for output in cell["outputs"]:
      data = output.get("data", {})
      told = "".join(output.get("text", data.get("text/plain", "")))
      if "image/png" in data:
        name = f"{path.stem}_{number}.png"
        pictures[name] = base64.b64decode("".join(data["image/png"]))
        lines += [f"![Output of the cell above]({name})", ""]
      elif told.strip():
        lines += ["```text", told.rstrip(), "```", ""]
  lines += [f"*A notebook: `docs/notebooks/{path.name}` in the repository.*", ""]
  return "\n".join(lines), pictures
