"""`dig2dig figure`: the comparison of images that papers print, from a small text file."""

from dig2dig_jax.cli.output import say
from dig2dig_jax.errors import UserError
from dig2dig_jax.figures import comparison, spec
from dig2dig_jax.files import typed_path

HELP = """dig2dig figure SPEC.toml -o FILE.pdf

The comparison that papers on fusion print: sources and methods side by side, boxes enlarged, arrows, names. As PDF and,
beside it, PNG; -o FILE.png is that alone. Any program's images, in folders of the same file names. dig2dig report
writes a first such file. docs/evaluation.md.

  width = 181                      # SPEC.toml. Millimetres: a column of IEEE's is 88.9
  rows = ["01", "02"]              # scenes, by file names without their endings
  [images]                         # label = folder from here, in order; or files, without rows
  Infrared = "data/ir"
  Ours = "out/dig2dig"
  [[box]]                          # any number; row = "01" has it in that scene alone; colour = "#ffd400"
  at = [120, 80]                   # left and upper edge, pixels
  size = [60, 45]
  [[arrow]]                        # any number; row = and image = likewise
  tip = [150, 90]
  from = "upper left"

Before [images] also: columns = 4 images in a line, zoom = "below" or "inset", font = 8 points, dpi = 300 of the PNG.

  --overwrite                      write over what an earlier run wrote there

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
