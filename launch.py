"""What did the user ask for? Reads the flags, once, and hands plain arguments to a job.

  python launch.py --flagfile=vif.flags --data=FOLDER --out=FOLDER      fuse every pair of a folder
  python launch.py --job=evaluate --data=FOLDER --fused=FOLDER,FOLDER   scores of fused images, of any program
  python launch.py --job=report --data=FOLDER --fused=FOLDER,FOLDER     the same, as a page with pictures
  python launch.py --job=evaluate --suite=prior --data=FOLDER           denoising PSNR of a prior
  python launch.py --job=benchmark --data=FOLDER                        methods and baselines, scored
  python launch.py --flagfile=train.flags --data=FOLDER --out=FOLDER    train a prior

Exit status: 0 all done, 2 bad input (one line says what and how to mend it), 3 some pairs failed.
"""

import contextlib
import importlib
import sys

import jax
from absl import app, logging
from absl import flags as absl_flags

from dig2dig_jax.cli import flags
from dig2dig_jax.errors import UserError

absl_flags.adopt_module_key_flags(flags)  # --help lists them


def parse(argv) -> list[str]:
  """Reads the flags; a bad one ends the process with status 2 and one line. Libraries speak from WARNING up."""
  try:
    rest = absl_flags.FLAGS(argv)
  except absl_flags.Error as error:
    print(f"error: {' '.join(str(error).split())}; see --help", file=sys.stderr)
    sys.exit(2)
  except SystemExit:  # absl ends --help with 1, but who asks for help and gets it has met no error
    sys.exit(0)
  if absl_flags.FLAGS["verbosity"].using_default_value:
    absl_flags.FLAGS.verbosity = logging.WARNING  # absl's own is INFO: JAX would tell of every kind of device it misses
  return rest


def main(argv) -> int:
  for stream in (sys.stdout, sys.stderr):  # names of files may be bytes that no terminal can show
    with contextlib.suppress(AttributeError):  # no text stream of a terminal or file
      stream.reconfigure(errors="replace")
  if len(argv) > 1:
    print(f"error: unexpected arguments {argv[1:]}; flags look like --data=FOLDER", file=sys.stderr)
    return 2
  if flags.PRECISION.value != "default":
    jax.config.update("jax_default_matmul_precision", flags.PRECISION.value)
  if flags.CACHE.value:
    jax.config.update("jax_compilation_cache_dir", flags.CACHE.value)
  try:
    # A job's own libraries are imported when it is asked for: together they take as long as JAX itself.
    return importlib.import_module(f"dig2dig_jax.cli.{flags.JOB.value}").run()
  except UserError as error:
    print(f"error: {error}", file=sys.stderr)
    return 2


if __name__ == "__main__":
  app.run(main, flags_parser=parse)
