"""Is any command line refused in one line, or run? Random flags with random values, in this process.

Nothing heavy can start: data is an empty folder, and what needs none is replaced by a word.
"""

import contextlib
import functools
import io
import math
import pathlib
import sys
from unittest import mock

import jax
import numpy as np
from absl import flags as absl_flags
from absl.testing import flagsaver

import launch
from dig2dig_jax.cli import benchmark, common, declare, evaluate, method, speed
from dig2dig_jax.cli import flags as known
from dig2dig_jax.methods.registry import METHODS

REFUSED, RAN = "refused", "ran"
JOBS = sorted(declare.jobs(*known.JOBS))
KEPT = ("job", "suite", "network", "figure", "data")  # set for every case; the rest is drawn
NUMBERS = (
  "nan", "inf", "-inf", "1e400", "-1e400", "-1", "0", "1", "2", "0.5", "64", "1e-300", "1e30", "2147483648",
  "4294967296", "-2147483649", "1_0", "٣", str(10**12), str(10**30), "9" * 5000, "0x10", "True", "many",
)  # fmt: skip
TEXTS = (
  "", " ", ",", "a,,b", ",a", "a,a", "ü", "日本", "e\u0301", "\udcff", "a\nb", "a\x1b[31mb", "a\u2028b", "x" * 300,
  "x" * 5000, "x," * 3000, "/" * 5000, "..", "../x", "~", "~nobody/x", ";", "%s{}", "-1", "--out", "no", "all",
)  # fmt: skip
SHAPED = (
  "ir:nan", "ir:-1", "ir:auto", "vi:1e400", "ir:blur(nan)", "ir:blur(1e400)", f"ir:average({10**30})",
  "ir:average(0)", "ir:mask(nowhere.png)", "ir:rows(" + "9" * 5000 + ")", "uv:none", "ir:blur(", "a:1,2,3,4",
  "a:1,2,3," + "9" * 5000, "512x384", f"{10**12}x1", "0x0", "x", "1x" + "9" * 5000, "1,5", "7", "uniform", "ddim",
  "10,10,5", "ddim" + "9" * 5000, "dig", "ssim", "cumulative", "interval", "likelihood", "dps", "released", "float32",
  "bfloat16", "int8", "panel", "panel,common", "toy", "methods", "noise25", "fog", "DDFM; CCF", "localhost:1",
  "localhost", ":", "ancestral",
)  # fmt: skip


def command(rng: np.random.Generator, folder: pathlib.Path) -> tuple[list[str], set[str], bool]:
  """(A job, as its flags name it, and one to four flags, mostly its own, with whatever behind them; the names of those
  flags; whether one of them must be what is refused: the flag is another job's, or no job could have its value)."""
  job = str(rng.choice(JOBS))
  name, _, variant = job.partition(":")
  choice = {"": [], "figures": ["--figure=1"]}.get(variant, declare.variant_flag(job).split()[1:])
  own = [flag for flag in declare.DECLARED if flag not in KEPT and job in declare.JOBS_OF[flag]]
  drawn, values, hopeless = [], {}, False
  for _ in range(rng.integers(1, 5)):
    flag = str(rng.choice(own if rng.random() < 0.9 else list(declare.DECLARED)))
    if flag in KEPT and flag != "suite":
      continue
    values[flag] = value = _value(rng, flag, folder)
    hopeless |= job not in declare.JOBS_OF[flag]
    drawn += [[f"--{flag}={value}"], [f"-{flag}={value}"], [f"--{flag}", value], [f"--no{flag}"]][
      rng.choice(4, p=(0.7, 0.1, 0.15, 0.05))
    ]
  data = [f"--data={folder / 'empty'}"] if job in declare.JOBS_OF["data"] else []
  line = ["launch.py", f"--job={name}", "--compile_cache=", f"--out={folder / 'out'}", *choice, *data, *drawn]
  hopeless |= any(_hopeless(flag, value) for flag, value in values.items() if f"--no{flag}" not in drawn)
  return line, set(values), hopeless and "suite" not in values


def _hopeless(flag: str, value: str) -> bool:
  with contextlib.suppress(ValueError):
    kind = absl_flags.FLAGS[flag].flag_type()
    return kind == "float" and not math.isfinite(float(value)) or kind == "int" and not -(2**32) < int(value) < 2**32
  return False


def check(rng: np.random.Generator, folder: pathlib.Path) -> str:
  """Draws one command line and runs it. AssertionError, with the command, unless it is refused in a line or ran."""
  (folder / "empty").mkdir(parents=True, exist_ok=True)
  (folder / "file.txt").write_text("no image\n")
  line, drawn, hopeless = command(rng, folder)
  try:
    status, err = outcome(line, folder)
  except BaseException as error:
    raise AssertionError(f"{_shown(line)}: {type(error).__name__}: {str(error)[:300]}") from error
  errors = [text for text in err.splitlines() if text.startswith("error: ")]
  others = [text for text in err.splitlines() if not text.startswith(("error: ", "note: ", "failed: "))]
  assert not others, f"{_shown(line)}: {others[:3]}"
  if status == 2:
    assert len(errors) == 1 and len(errors[0]) < 1100, f"{_shown(line)}: {errors}"
    # What stands behind a flag that takes no value is a flag of its own: `--list -1`.
    strays = [f"Unknown command line flag '{word.lstrip('-')}'" for word in line[1:] if word.startswith("-")]
    named = any(part in errors[0] for part in (*drawn, "unexpected arguments", *strays))
    assert named or not hopeless, f"{_shown(line)}: refused for another reason, {errors[0][:300]}"
    return REFUSED
  assert status in (0, 3) and not errors and not hopeless, f"{_shown(line)}: {status}, {errors}"
  return RAN


def outcome(line: list[str], folder: pathlib.Path) -> tuple[int, str]:
  """(exit status, standard error) of a command line; nothing of this process is changed."""
  out, err = io.StringIO(), io.StringIO()
  before = {name: getattr(jax.config, name) for name in ("jax_default_matmul_precision", "jax_compilation_cache_dir")}
  try:
    with (
      flagsaver.flagsaver(), _nothing_heavy(), contextlib.chdir(folder), mock.patch.object(sys, "argv", line),
      contextlib.redirect_stdout(out), contextlib.redirect_stderr(err),
    ):  # fmt: skip
      try:
        return launch.main(launch.parse(line)), err.getvalue()
      except SystemExit as end:
        return end.code, err.getvalue()
  finally:
    for name, value in before.items():
      jax.config.update(name, value)


@contextlib.contextmanager
def _nothing_heavy():
  def unreachable(*arguments, **options):
    raise RuntimeError("no coordinator here")

  with contextlib.ExitStack() as stack:
    for module, name in ((speed.speed, "run"), (benchmark.metric_speed, "run"), (evaluate.samples, "run")):
      stack.enter_context(mock.patch.object(module, name, lambda *arguments, **options: "ran"))
    for module, name in ((method, "load_prior"), (common, "load_drfusion"), (benchmark, "load_drfusion")):
      stack.enter_context(mock.patch.object(module, name, _once(getattr(module, name))))
    stack.enter_context(mock.patch.object(jax.distributed, "initialize", unreachable))
    yield


@functools.cache
def _once(load):
  """The same network is read once: every case reads one."""
  return functools.cache(load)


def _value(rng: np.random.Generator, flag: str, folder: pathlib.Path) -> str:
  default = declare.DECLARED[flag].holder.default
  usual = ",".join(default) if isinstance(default, list) else str(default)
  places = [str(folder / name) for name in ("missing", "file.txt", "empty", "file.txt/x")]
  pools = (NUMBERS, TEXTS, SHAPED, places, (usual, *METHODS, "true", "false"))
  pool = pools[rng.choice(len(pools), p=(0.35, 0.2, 0.2, 0.15, 0.1))]
  return str(pool[rng.integers(len(pool))])


def _shown(line: list[str]) -> str:
  return " ".join(repr(word if len(word) < 120 else f"{word[:100]}...({len(word)})") for word in line)
