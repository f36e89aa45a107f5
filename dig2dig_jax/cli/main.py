"""`dig2dig COMMAND`: what is typed becomes the flags of launch.py, which run. Help needs no JAX."""

import sys
from collections.abc import Sequence

from dig2dig_jax.cli import interrupt
from dig2dig_jax.cli.output import note

HELP = """dig2dig: fuse registered images of one scene into one, with a diffusion prior.

  dig2dig fuse IR.png VISIBLE.png -o FUSED.png     two or more files (infrared + visible, exposures, ...)
  dig2dig fuse FLIR.jpg -o FUSED.png               one radiometric file: its temperatures and its photograph
  dig2dig fuse FOLDER -o OUT                       every pair, bracket or stack of a folder, as cameras leave them
  dig2dig fuse CT_FOLDER PET_FOLDER -o OUT.nii.gz  two volumes, DICOM series or NIfTI files
  dig2dig video IR.mp4 VISIBLE.mp4 -o OUT.mp4      two clips, with the frames and the sound of the visible one
  dig2dig live /dev/video0 /dev/video1             two cameras, pipes or files, on a page of this machine
  dig2dig evaluate --data=FOLDER --fused=FOLDER    scores of fused images, of any program
  dig2dig report --data=FOLDER --fused=FOLDER      the same, as a page with pictures
  dig2dig figure SPEC.toml -o FIGURE.pdf           images side by side with enlarged boxes, for a paper
  dig2dig benchmark --data=FOLDER                  methods and plain fusions, scored
  dig2dig train --data=FOLDER --out=FOLDER         train a prior
  dig2dig align IR.png VISIBLE.png -o FOLDER       files brought onto each other, and the transforms of that; or FOLDER
  dig2dig convert guided_diffusion|drfusion|lpips|verify ...   weights of PyTorch programs
  dig2dig app                                      a page to drop images on, in the browser of this machine
  dig2dig export -o FOLDER                         the swift path as files that run without this package
  dig2dig show FILE ...                            what the program sees in an image, a volume, a prior's folder
  dig2dig status OUT                               how far a run of many pairs is, and what failed

  --task=thermal|medical|focus|exposure            which tuned settings; guessed, and said, if left out
  -o, --out                                        the fused image (.png), or the folder of results

`dig2dig COMMAND --help` lists the flags. Exit status: 0 all done, 2 bad input (one line says what and how to mend it),
3 some pairs failed, 130 Ctrl-C.
"""
COMMANDS = ("fuse", "evaluate", "report", "benchmark", "train", "align", "convert", "show", "status", "video", "app",
            "figure", "live", "export")


def main(arguments: Sequence[str] | None = None) -> int:
  """Runs the command line without the program's name; returns the exit status."""
  words = list(sys.argv[1:] if arguments is None else arguments)
  if not words or words[0] in ("-h", "--help", "help"):
    print(HELP, end="")
    return 0
  command, rest = words[0], words[1:]
  if command == "--version":
    from dig2dig_jax import __version__

    print(__version__)
    return 0
  if command not in COMMANDS:
    print(f"error: {command}: expected a command among {', '.join(COMMANDS)}; see dig2dig --help", file=sys.stderr)
    return 2
  try:
    with interrupt.ends_at_once():
      from dig2dig_jax.cli import commands

      return commands.run(command, rest)
  except KeyboardInterrupt:
    note("stopped")
    return interrupt.INTERRUPTED


def start() -> None:
  """Runs this process's command line and ends it."""
  try:
    status = main()
    interrupt.over()
  except KeyboardInterrupt:
    interrupt.over()
    note("stopped")
    status = interrupt.INTERRUPTED
  sys.exit(status)


if __name__ == "__main__":
  start()
