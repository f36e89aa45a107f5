"""`dig2dig COMMAND`: translates what is typed into flags of launch.py and runs them. Help needs no JAX."""

import sys
from collections.abc import Sequence

from dig2dig_jax.cli import interrupt
from dig2dig_jax.cli.output import note

HELP = """dig2dig: fuse registered images of one scene into a single image, with a diffusion prior.

  dig2dig fuse IR.png VISIBLE.png -o FUSED.png     two or more files (infrared + visible, exposures, ...)
  dig2dig fuse FLIR.jpg -o FUSED.png               one radiometric file: its temperatures and its photograph
  dig2dig fuse FOLDER -o OUT                       every pair, bracket or stack in a folder, as cameras write them
  dig2dig fuse CT_FOLDER PET_FOLDER -o OUT.nii.gz  two volumes, DICOM series or NIfTI files
  dig2dig video IR.mp4 VISIBLE.mp4 -o OUT.mp4      two clips, with the frame times and sound of the visible one
  dig2dig live /dev/video0 /dev/video1             two cameras, pipes or files, shown on a local web page
  dig2dig evaluate --data=FOLDER --fused=FOLDER    score fused images from any program
  dig2dig report --data=FOLDER --fused=FOLDER      the same, as an HTML page with pictures
  dig2dig figure SPEC.toml -o FIGURE.pdf           images side by side with enlarged boxes, for a paper
  dig2dig benchmark --data=FOLDER                  run and score the methods and simple baselines
  dig2dig train --data=FOLDER --out=FOLDER         train a prior
  dig2dig align IR.png VISIBLE.png -o FOLDER       align images with each other and write the transforms; or a FOLDER
  dig2dig convert guided_diffusion|drfusion|lpips|verify ...   convert or verify PyTorch weights
  dig2dig app                                      a local web page on which to drop images
  dig2dig export -o FOLDER                         the swift network as files that run without this package
  dig2dig show FILE ...                            what the program detects in an image, a volume or a prior's folder
  dig2dig status OUT                               progress and failures of a run over many pairs

  --task=thermal|medical|focus|exposure            settings to use; inferred and reported if omitted
  -o, --out                                        the fused image (.png), or the folder of results

`dig2dig COMMAND --help` lists the flags. Exit status: 0 all done, 2 bad input (one line says what is wrong and how to
fix it), 3 some pairs failed, 130 Ctrl-C.
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
