"""What did the user ask for in flags? Reads them, once, and hands plain arguments to a job."""

import contextlib
import importlib
import os
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from absl import app, logging
from absl import flags as absl_flags
from absl.testing import flagsaver

from dig2dig_jax.cli import declare, flags, interrupt, usage
from dig2dig_jax.cli.output import note, say
from dig2dig_jax.errors import UserError
from dig2dig_jax.stores.address import redacted

USAGE = """launch.py: everything that dig2dig does, controlled by flags.

  python launch.py --flagfile=vif.flags --data=FOLDER --out=FOLDER      fuse every pair of a folder
  python launch.py --job=evaluate --data=FOLDER --fused=FOLDER,FOLDER   score fused images from any program
  python launch.py --job=report --data=FOLDER --fused=FOLDER,FOLDER     the same, as an HTML page with pictures
  python launch.py --job=evaluate --suite=prior --data=FOLDER           denoising PSNR of a prior
  python launch.py --job=benchmark --data=FOLDER                        run and score methods and baselines
  python launch.py --flagfile=train.flags --data=FOLDER --out=FOLDER    train a prior

Exit status: 0 all done, 2 bad input (one line says what is wrong and how to fix it), 3 some pairs failed, 130 Ctrl-C.
"""
absl_flags.adopt_module_key_flags(declare)  # --helpshort lists them
_LONGEST = 1000  # characters of an error: a value may be of any length
_typed: list[str] = []  # names of the flags on the command line itself


def parse(argv) -> list[str]:
  """Reads the flags; a bad one ends the process with status 2 and one line. Libraries speak from WARNING up."""
  if {"-h", "-help", "--help"} & set(argv[1:]):
    try:
      say(_help(argv), end="")
    except UserError as error:
      refuse(str(error))
      sys.exit(2)
    sys.exit(0)
  try:
    rest = absl_flags.FLAGS(_files_first(argv))
  except absl_flags.CantOpenFlagFileError as error:
    refuse(_about_flag_file(error))
    sys.exit(2)
  except UnicodeDecodeError as error:  # of a flag file, whose name it does not tell
    refuse(f"--flagfile: expected a file of text, a flag a line, found {error}; check the path")
    sys.exit(2)
  except (absl_flags.Error, OSError, ValueError) as error:  # the last two: of a flag file
    refuse(f"{_in_our_words(' '.join(str(error).split()))}; see --help")
    sys.exit(2)
  except SystemExit:  # absl ends --helpfull with 1, but printing help is no error
    sys.exit(0)
  _typed[:] = declare.given(argv)
  if absl_flags.FLAGS["verbosity"].using_default_value:
    absl_flags.FLAGS.verbosity = logging.WARNING  # absl's own is INFO: JAX would tell of every kind of device it misses
  return rest


# What absl and Python say of a value, and what is meant. absl shows some errors as the tuple of their arguments.
_MEANT = (
  (r"^flag (--\S+?): \('Non-boolean argument to boolean flag', '[^']*'\)", r"\1: expected true, false or no value"),
  (r"^flag (--\S+?): invalid literal for int\(\) with base 10: .*", r"\1: expected a whole number"),
  (r"^flag (--\S+?): could not convert string to float: .*", r"\1: expected a number"),
)


def _in_our_words(message: str) -> str:
  for theirs, ours in _MEANT:
    message = re.sub(theirs, ours, message)
  return message


def _files_first(argv) -> list[str]:
  """Flag files before all else, in their order: what is typed wins over what a file says, wherever it stands."""
  files, others, words = [], [], iter(argv[1:])
  for word in words:
    name, _, value = word.lstrip("-").partition("=")
    if word.startswith("-") and name == "flagfile":
      files += [word] if value else [word, *(next(words, None),)]
    else:
      others.append(word)
  return [argv[0], *(word for word in files if word is not None), *others]


def _help(argv) -> str:
  job = next((word.partition("=")[2] for word in argv[1:] if word.startswith("--job=")), None)
  if argv[0] != "dig2dig" or job is None:
    return usage.text(USAGE)
  return usage.text(f"dig2dig {job}: its flags, each as --name=value; `dig2dig --help` shows how it is called.", job)


def stopped() -> int:
  note("stopped")
  return interrupt.INTERRUPTED


def launch(words: Sequence[str], run: Callable[[], int] | None = None) -> int:
  """`main` of flags that a command of `dig2dig` stands for; the exit status. Flags are as before afterwards: a process
  may run several commands."""
  with flagsaver.flagsaver():
    try:
      rest = parse(["dig2dig", *words])
    except SystemExit as end:  # help, or a flag that cannot be read, which has been said
      return int(end.code or 0)
    return main(rest, run)


def main(argv, run: Callable[[], int] | None = None) -> int:
  """Does what the flags ask for, or `run` in place of their job; the exit status."""
  for stream in (sys.stdout, sys.stderr):  # names of files may be bytes that no terminal can show
    with contextlib.suppress(AttributeError):  # no text stream of a terminal or file
      stream.reconfigure(errors="replace")
  if len(argv) > 1:
    refuse(f"unexpected arguments {argv[1:]}; flags look like --data=FOLDER")
    return 2
  try:
    usage.check(_typed)
    _set_up_jax()
    # A job's libraries are imported only for that job: together they take as long as JAX itself.
    job = "speed" if usage.job() == "benchmark:speed" else flags.JOB.value
    _check_temporary()  # which libraries ask for while they are imported
    run = run or importlib.import_module(f"dig2dig_jax.cli.{job}").run
    interrupt.begins()
    return run()
  except UserError as error:
    refuse(str(error))
    return 2
  except KeyboardInterrupt:
    return stopped()


def _check_temporary() -> None:
  try:
    tempfile.gettempdir()
  except FileNotFoundError as error:
    raise UserError(f"expected a folder for temporary files, found none that can be written to ({error.strerror}); "
                    "free some space, or set TMPDIR") from None


def _set_up_jax() -> None:
  import jax  # takes seconds, which who only asks for help need not wait

  if flags.PRECISION.value != "default":
    try:
      jax.config.update("jax_default_matmul_precision", flags.PRECISION.value)
    except ValueError as error:
      raise UserError(f"--matmul_precision={flags.PRECISION.value}: expected a name known to JAX, such as float32, "
                      "tensorfloat32 or bfloat16") from error  # fmt: skip
  if flags.CACHE.value:
    from dig2dig_jax.fusing import compile_cache

    if told := compile_cache.use(Path(flags.CACHE.value)):
      note(f"note: {told}")
      absl_flags.FLAGS.compile_cache = ""
  elif "compile_cache" not in _typed and not flags.cache_folder():
    note("note: expected a home folder for the cache of compiled programs, found none; every run compiles again, "
         "unless "
         "--compile_cache=FOLDER names one")  # fmt: skip


def _about_flag_file(error: absl_flags.CantOpenFlagFileError) -> str:
  cause = error.__context__  # absl's own text begins with an ERROR:: beside ours
  if not isinstance(cause, OSError) or not cause.strerror:
    return f"--flagfile: {' '.join(str(error).split())}"
  return f"--flagfile={cause.filename}: expected a file, a flag a line, found {cause.strerror}; check the path"


def refuse(message: str) -> None:
  """One line, whatever was in the values."""
  message = redacted(message)
  note(f"error: {message if len(message) <= _LONGEST else f'{message[:_LONGEST]}...'}")


def _open_streams() -> None:
  """Where a stream was closed (`>&-`), the next file to be opened would take its place and get what is printed."""
  for number, name in enumerate(("stdin", "stdout", "stderr")):
    try:
      os.fstat(number)
    except OSError:
      os.open(os.devnull, os.O_RDWR)  # takes the lowest free number: this one
      setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))


def start() -> None:
  """Runs the flags of this process's command line and ends it."""
  _open_streams()
  try:
    with interrupt.ends_at_once():
      app.run(_whole, flags_parser=parse)
  except KeyboardInterrupt:
    interrupt.over()
    sys.exit(stopped())


def _whole(argv) -> int:
  status = main(argv)
  interrupt.over()
  return status
