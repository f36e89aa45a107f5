"""`dig2dig figure`: the comparison of images that papers print, from a small text file."""

from dig2dig_jax.cli.output import say
from dig2dig_jax.errors import UserError
from dig2dig_jax.figures import comparison, spec
from dig2dig_jax.files import typed_path

HELP = """dig2dig figure SPEC.toml -o FILE.pdf

Draws the comparison that papers on fusion print: sources and methods side by side, with enlarged boxes, arrows and
labels. Writes a PDF and a PNG beside it; -o FILE.png writes the PNG only. The images may come from any program, in
folders with equal file names. dig2dig report writes a first SPEC.toml to start from. docs/evaluation.md.

  width = 181                      # SPEC.toml. In millimetres; an IEEE column is 88.9
  rows = ["01", "02"]              # scenes: file names without extension
  [images]                         # label = folder, relative to SPEC.toml, in order; or files, without rows
  Infrared = "data/ir"
  Ours = "out/dig2dig"
  [[box]]                          # any number; row = "01" restricts it to that scene; colour = "#ffd400"
  at = [120, 80]                   # left and top edge in pixels
  size = [60, 45]
  [[arrow]]                        # any number; row = and image = restrict it likewise
  tip = [150, 90]
  from = "upper left"

Also before [images]: columns = 4 (images per line), zoom = "below" or "inset", font = 8 (points), dpi = 300 (PNG).

  --overwrite                      overwrite the results of an earlier run

Exit status: 0 done, 2 bad input."""


def run(words: list[str]) -> int:
  """Draws what the words ask for; prints what was written. UserError for what cannot be."""
  files = [word for word in words if not word.startswith("-")]
  outs = [word.removeprefix("--out=") for word in words if word.startswith("--out=")]
  for word in words:
    if word.startswith("-") and word != "--overwrite" and not word.startswith("--out="):
      raise UserError(f"dig2dig figure: expected -o FILE.pdf or --overwrite, found {word}; see dig2dig figure --help")
  if len(files) != 1:
    found = " and ".join(files) or "nothing"
    raise UserError(f"dig2dig figure: expected one file in TOML, found {found}; see dig2dig figure --help")
  if not outs:
    raise UserError("dig2dig figure: expected -o FILE.pdf, found no output; add it")
  out = typed_path(outs[-1])
  try:
    written = comparison.write(out, spec.read(typed_path(files[0])), overwrite="--overwrite" in words)
  except OSError as error:
    raise UserError(f"{out}: expected to write there, found {error.strerror or error}; choose another -o") from error
  say(f"written: {', '.join(map(str, written))}")
  return 0
