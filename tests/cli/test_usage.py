"""Is a flag of another job refused, wherever it is typed, and does a flag file go on serving several jobs?"""

import os
import pathlib
import re
import shlex
import subprocess
import sys

import pytest
from absl.testing import flagsaver

import launch
from dig2dig_jax.cli import common, declare, flags, launcher, usage
from dig2dig_jax.cli import fuse as cli_fuse
from dig2dig_jax.errors import UserError

ROOT = pathlib.Path(launch.__file__).resolve().parent
PAGES = [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("checkpoints/**/*.md"), ROOT / "launch.py"]


@pytest.fixture
def checked(monkeypatch):
  """checked(*flags): the command line up to where its job would begin."""
  monkeypatch.chdir(ROOT)

  def call(*arguments):
    with flagsaver.flagsaver():
      launch.parse(["launch.py", *arguments])
      usage.check(launcher._typed)

  return call


@pytest.mark.parametrize(
  "arguments, message",
  [
    (("--learning_rate=3", "--detector=foo"), "--learning_rate is of --job=train; --detector is of --job=evaluate "
     "--suite=detection: expected flags of --job=fuse; leave them out, or change --job"),
    (("-learning_rate", "3"), "--learning_rate is of --job=train: expected flags of --job=fuse; leave it out"),
    (("--noclassical",), "--classical is of --job=evaluate --suite=prior: expected flags of --job=fuse"),
    (("--seed", "3", "--maps", "--job=report"), "--seed is of .*; --maps is of --job=fuse: expected .*--job=report"),
    (("--job=report", "--em_rho=1"), "--em_rho is of --job=fuse and --job=benchmark .* with --method=ddfm: "),
    (("--job=benchmark", "--suite=speed", "--rows=DDFM"), "--rows is of --job=benchmark --suite=tables: "),
    (("--job=benchmark", "--figure=1", "--table=3"), "--table is of .* expected flags of --job=benchmark --figure;"),
    (("--job=train", "--families=noise"), "--families is of --job=train --network=drfusion: "),
    (("--job=train", "--network=drfusion", "--blocks=2"), "--blocks is of --job=train --network=prior: "),
    (("--job=benchmark", "--suite=theory", "--split=test"), "--split is of .* flags of --job=benchmark --suite=theory"),
    (("--job=evaluate", "--suite=speed"), "--suite=speed: expected one of prior, samples, fused, detection"),
    (("--flagfile=vif.flags", "--job=report", "--salience=3"), "--salience is of --job=fuse and .* --method=dig2dig"),
  ],
)  # fmt: skip
def test_what_another_job_knows_is_refused_with_that_job(checked, arguments, message):
  with pytest.raises(UserError, match=message) as found:
    checked(*arguments)
  assert "\n" not in str(found.value)


@pytest.mark.parametrize(
  "arguments",
  [
    ("--flagfile=vif.flags", "--job=benchmark"),
    ("--job=report", "--flagfile=vif.flags"),
    ("--flagfile", "vif.flags", "--job", "evaluate"),
    ("--flagfile=train.flags", "--job=fuse"),
    ("--flagfile=train_drfusion.flags", "--network=prior", "--blocks=2"),
    ("--out", "--learning_rate"),  # a value
    ("--job=benchmark", "--figure=1,5", "--suite=tables", "--boxes=a:1,2,3,4"),
  ],
)
def test_flags_of_a_file_and_of_the_job_itself_are_taken(checked, arguments):
  checked(*arguments)


@pytest.mark.parametrize(
  "argument, message",
  [
    ("--sigma=ir:3 --restore_steps=0", "--restore_steps=0: expected 1 to 1000"),
    ("--dig_temperature=nan", "--dig_temperature=nan: expected above 0"),
    ("--job=report --page_mb=inf", "--page_mb=inf: expected above 0"),
    ("--job=report --limit=-1", "--limit=-1: expected at least 0"),
    ("--seed=4294967296", "--seed=4294967296: expected 0 to 4294967295"),
    (f"--steps={10**30}", "--steps=10+: expected 0 to"),
    (f"--batch_size={10**12}", "--batch_size=10+: expected 0 to 65536"),
    ("--num_processes=-1", "--num_processes=-1: expected at least 1"),
    ("--sources=ir,", "--sources=ir,: expected names that can be a folder's"),
    ("--sources=ir,../vi", "expected names that can be a folder's"),
    ("--sources=ir --chroma_from=vi", "--sources=ir: expected two or more different names, separated by commas"),
    ("--sources=", "--sources=: expected two or more different names"),
    ("--sources=ir,vi,ir", "--sources=ir,vi,ir: expected two or more different names"),
    ("--job=benchmark --suite=speed --sources=ir", "--sources=ir: expected two or more different names"),
    ("--out=", "--out=: expected a path"),
    ("--coordinator=here", "--coordinator=here: expected HOST:PORT"),
    ("--job=benchmark --suite=speed --dtypes=float32,int8", "--dtypes=float32,int8: expected one of float32"),
  ],
)
def test_values_out_of_bounds_are_refused(checked, argument, message):
  with pytest.raises(UserError, match=message):
    checked(*argument.split())


@pytest.mark.parametrize("name", ["matmul_precision=foo", "out=a\nb\x1b[31m/\0"])
def test_an_error_is_one_line_whatever_the_value(name, capsys, tmp_path):
  with flagsaver.flagsaver(), pytest.raises(SystemExit) as end:
    sys.exit(launch.main(launch.parse(["launch.py", "--compile_cache=", f"--data={tmp_path}", f"--{name}"])))
  err = capsys.readouterr().err
  assert end.value.code == 2 and err.startswith("error: ") and err.count("\n") == 1 and err[:-1].isprintable()


def commands():
  for page in PAGES:
    text = page.read_text().replace("\\\n", " ")
    for block in re.findall(r"```\w*\n(.*?)```|`([^`]*launch\.py[^`]*)`", text, re.DOTALL):
      lines = block[0].splitlines() or [" ".join(block[1].split())]
      for line in lines:
        if "launch.py -" in line and "[python" not in line:
          shown = line.partition("launch.py ")[2].partition("  #")[0].removesuffix("'")
          yield pytest.param(shown, id=f"{page.name}: {shown[:60]}")


@pytest.mark.parametrize("line", commands())
def test_every_command_that_is_shown_is_taken(checked, line):
  words = [word for word in shlex.split(line) if word.startswith("--")]
  if words != ["--help"]:
    checked(*words)


def test_help_has_every_flag_once_under_its_group(capsys):
  with pytest.raises(SystemExit) as end:
    launch.parse(["launch.py", "-h"])
  out = capsys.readouterr().out
  assert end.value.code == 0 and max(map(len, out.splitlines())) <= usage.WIDTH
  assert re.findall(r"^(\w.*):$", out, re.M) == [
    "common", "fuse", "method", "degraded sources", "alignment", "machine", "evaluate, report", "benchmark", "train",
  ]  # fmt: skip
  shown = re.findall(r"^  --(\w+)", out, re.M)
  assert sorted(shown) == sorted([*declare.DECLARED, "flagfile", "helpfull"])
  assert "Peak learning rate of the schedule. [train]" in out
  assert "[fuse; benchmark: tables, figures, speed, theory, degraded, unannounced, questions, brackets]" in out


def test_home_is_expanded_in_every_flag_of_a_place(monkeypatch, tmp_path):
  monkeypatch.setenv("HOME", str(tmp_path))
  with flagsaver.flagsaver():
    launch.parse(["launch.py", "--out=~/fused", "--data=~/a,~/b", "--fused=~/x,y", "--prior=~", "--compile_cache=~/c"])
    assert flags.OUT.value == f"{tmp_path}/fused" and flags.DATA.value == f"{tmp_path}/a,{tmp_path}/b"
    assert flags.FUSED.value == [f"{tmp_path}/x", "y"] and flags.PRIOR.value == str(tmp_path)
    assert flags.CACHE.value == f"{tmp_path}/c"


def test_a_user_without_a_home_has_no_cache_and_is_told(monkeypatch, capsys):
  monkeypatch.setattr(pathlib.Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
  monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
  assert flags.cache_folder() == ""
  monkeypatch.setattr(cli_fuse, "run", lambda: 0)
  with flagsaver.flagsaver(compile_cache=""):
    assert launch.main(launch.parse(["launch.py"])) == 0
  assert re.fullmatch("note: expected a home folder .*--compile_cache=FOLDER names one\n", capsys.readouterr().err)


def test_ctrl_c_in_any_job_is_a_word_and_status_130(monkeypatch, capsys):
  def run():
    raise KeyboardInterrupt

  monkeypatch.setattr(cli_fuse, "run", run)
  with flagsaver.flagsaver():
    assert launch.main(launch.parse(["launch.py", "--compile_cache="])) == 130
  assert capsys.readouterr() == ("", "stopped\n")


def test_a_reader_that_leaves_and_closed_streams_end_nothing(tmp_path):
  command = [sys.executable, "launch.py", "--list", "--data=examples/vif", "--compile_cache="]
  options = {"cwd": ROOT, "stderr": subprocess.PIPE, "text": True, "timeout": 120}
  reader, writer = os.pipe()
  os.close(reader)
  found = subprocess.run(command, stdout=writer, **options)
  os.close(writer)
  assert (found.returncode, found.stderr) == (0, "")
  for closing in (">&-", ">&- 2>&-"):
    found = subprocess.run(f"{shlex.join(command)} {closing}", shell=True, **options)
    assert (found.returncode, found.stderr) == (0, ""), closing


def test_options_of_another_method_are_still_a_note(capsys):
  with flagsaver.flagsaver():
    launch.parse(["launch.py", "--method=ddfm", "--dig_draws=2", "--bands=4"])
    usage.check(launcher._typed)
    common.method_options()
  assert capsys.readouterr().err == "note: --method=ddfm does not use --bands\n"


def test_no_folder_for_temporary_files_is_one_line(monkeypatch, capsys):
  def none():
    raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

  monkeypatch.setattr("tempfile.gettempdir", none)
  assert launch.main(["launch.py"]) == 2
  assert "expected a folder for temporary files, found none that can be written to" in capsys.readouterr().err


def test_flags_of_one_command_are_not_the_next_ones():
  seen = []
  for words in (["--seed=7", "--job=fuse"], ["--job=fuse"]):
    assert launcher.launch(words, lambda: seen.append(flags.SEED.value) or 0) == 0
  assert seen == [7, flags.SEED.default]
