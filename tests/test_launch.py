"""Does the command line do what it says, and end with the status that scripts rely on?"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
from absl import flags
from absl.testing import flagsaver
from conftest import SIMPLE_LOOPS_FLAGS
from scenes import read, write_pair
from toys import conv_denoiser, conv_params

import launch
from dig2dig_jax import metrics
from dig2dig_jax.cli import common
from dig2dig_jax.cli import fuse as cli_fuse
from dig2dig_jax.errors import UserError
from dig2dig_jax.sampling.parametrisation import Parametrisation
from dig2dig_jax.sampling.schedule import NoiseSchedule

ROOT = pathlib.Path(launch.__file__).resolve().parent
FLAG_FILES = sorted([*ROOT.glob("*.flags"), *ROOT.glob("presets/*.flags")])
SUMMARY = (
  r"(?P<done>\d+) pairs? fused, (?P<failed>\d+) failed; \d+\.\d\d s per pair, "
  r"at most (?P<evaluations>\d+) network evaluations? per pair; "
  r"(?P<programs>\d+) programs? compiled or loaded in \d+\.\d s; results in (?P<out>\S+)\n"
)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
  root = tmp_path_factory.mktemp("pairs")
  for name in ("p", "q"):
    write_pair(root, name, (24, 28), channels={"ir": 1, "vi": 3})
  return root


@pytest.fixture
def run(capsys, tmp_path, quick_compile):
  """launch.py in this process: run(*flags) -> (status, stdout, stderr)."""

  def call(*arguments):
    with flagsaver.flagsaver():
      status = launch.main(launch.parse(["launch.py", "--compile_cache=", f"--out={tmp_path / 'out'}", *arguments]))
    out, err = capsys.readouterr()
    # Of the defaults, which are what most of these tests run: tests/benchmarks/test_published.py has it.
    return status, out, "".join(line for line in err.splitlines(True) if not line.startswith("note: --strength=1: "))

  return call


def as_process(*arguments, **environment):
  # As a user's shell would: no JAX_PLATFORMS, output into a pipe.
  env = {name: value for name, value in os.environ.items() if name != "JAX_PLATFORMS"} | environment
  command = [sys.executable, str(ROOT / "launch.py"), *arguments]
  return subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_the_whole_way_through_a_process(pairs, tiny_prior, tmp_path):
  found = as_process(
    "--flagfile=vif.flags", f"--prior={tiny_prior}", f"--data={pairs}", f"--out={tmp_path}", "--compile_cache=",
    "--bucket=32", JAX_DISABLE_MOST_OPTIMIZATIONS="1", XLA_FLAGS=SIMPLE_LOOPS_FLAGS,
  )
  assert found.returncode == 0, found.stderr
  summary = re.fullmatch(SUMMARY, found.stdout)
  assert summary, found.stdout
  assert summary["done"] == "2" and summary["failed"] == "0" and summary["programs"] == "1"
  assert summary["evaluations"] == "2" and summary["out"] == str(tmp_path)
  compiling, *lines = found.stderr.splitlines()  # the pairs are nothing but noise
  assert compiling == "compiling for 32 x 32 pixels (first time for this size, about 20 s)"
  assert [line.partition(" of standard")[0] for line in lines] == ["note: ir: noise", "note: vi: noise"]
  assert read(tmp_path / "p.png").shape == (24, 28, 3)
  settings = json.loads((tmp_path / "run.json").read_text())["settings"]
  assert settings["prior"] == str(tiny_prior) and settings["options"]["window"] == "spectrum"


@pytest.mark.slow
def test_drfusion_fuses_with_the_weights_that_ship(run, pairs, tmp_path):
  status, out, err = run(
    "--flagfile=vif.flags", "--method=drfusion", f"--data={pairs}", f"--out={tmp_path}", "--compile_cache=",
    "--bucket=32",
  )  # fmt: skip
  assert status in (0, None), err
  assert re.fullmatch(SUMMARY, out)["done"] == "2" and read(tmp_path / "p.png").shape == (24, 28, 3)
  assert json.loads((tmp_path / "run.json").read_text())["settings"]["method"] == "drfusion"


def test_help_names_the_flags_and_is_no_error():
  found = as_process("--help")
  assert found.returncode == 0 and found.stderr == ""
  assert "--dig_temperature" in found.stdout and "fuse every pair of a folder" in found.stdout


@pytest.mark.parametrize(
  "arguments, message",
  [
    ((), "--data: expected a folder, found nothing; add --data=FOLDER"),
    (("--data={tmp}/missing",), "/missing: expected a folder .*; check --data"),
    (("--data={pairs}", "--sources=ir,uv"), "expected a folder for source 'uv', found ir, vi; .*--sources="),
    (("--data={pairs}", "--sources=ir"), "--sources=ir: expected two or more different names, separated by commas"),
    (("--data={pairs}", "--dig_temperature=0"), "--dig_temperature=0.0: expected above 0"),
    (("--data={pairs}", "--spacing=cubic"), "expected .*'cubic'; "),
    (("--data={pairs}", "--chroma_from=uv"), "--chroma_from=uv: expected one of --sources=ir,vi"),
    (("--data={pairs}", "--batch_size=-1"), "--batch_size=-1: expected 0 to 65536"),
    (("--data={pairs}", "--tile=100"), "--tile=100: expected a multiple of 64"),
    (("--data={pairs}", "--tile=128", "--overlap=65"), "--overlap=65: expected 0 to half of --tile"),
    (("--data={pairs}", "--process_id=1"), "--num_processes, --process_id: expected both"),
    (("--data={pairs}", "--process_id=2", "--num_processes=2"), "--process_id=2: expected 0 to 1"),
    (("--data={pairs}", "--split=few"), "--split=few: expected a file with a name per line"),
    (("--manifest={tmp}/none.jsonl",), "none.jsonl: expected a manifest, found No such file"),
    (("--data={pairs}", "--dtype=int8"), "--dtype=int8: expected one of float32"),
    (("--data={pairs}", "--prior={tmp}/none"), "/none: expected a folder with card.json and .*; make one with"),
    (("--job=evaluate", "--data={pairs}"), "expected images to denoise, found none; check --data"),
    (("--job=benchmark", "--data={tmp}/missing"), "/missing: expected a folder .*; check --data"),
    (("--job=evaluate", "--suite=detection", "--data={pairs}"), "--suite=detection: expected --detector=MODEL.onnx"),
    (("--job=evaluate", "--fused={tmp}/none", "--data={pairs}"), "/none: expected a folder of images"),
    (("--job=report", "--fused={pairs}/ir", "--data={pairs}", "--page_mb=0"), "--page_mb=0.0: expected above 0"),
    (("--job=report", "--fused={pairs}/ir", "--data={pairs}", "--lpips={tmp}"), "expected lpips.safetensors and card"),
    (("--job=train", "--steps=25", "--data={pairs}"), "--steps=25: expected more than the 200 of the warm-up"),
  ],
)
def test_bad_input_is_one_line_and_status_2(run, pairs, tiny_prior, tmp_path, arguments, message):
  arguments = [argument.format(tmp=tmp_path, pairs=pairs) for argument in arguments]
  words = " ".join(arguments)
  runs_prior = not re.search("--job=(report|train)|--fused|detection", words)
  status, out, err = run(*([f"--prior={tiny_prior}"] if runs_prior else []), *arguments)
  assert (status, out) == (2, "")
  assert err.startswith("error: ") and err.endswith("\n") and err.count("\n") == 1
  assert re.search(message, err), err


@pytest.mark.parametrize(
  "arguments, message",
  [
    (("--dig_temprature=1",), "Unknown command line flag 'dig_temprature'. Did you mean: dig_temperature"),
    (("--job=dance",), "job=dance: value should be one of <fuse|evaluate|report|benchmark|train>"),
    (("--steps=many",), "error: --steps=many: expected a whole number; see --help"),
    (("--eta=much",), "error: --eta=much: expected a number; see --help"),
    (("--maps=3",), "error: --maps=3: expected true, false or no value; see --help"),
    (("--flagfile=none.flags",), "error: --flagfile=none.flags: expected a file, a flag a line, found No such file or "
     "directory; check the path"),
    (("--flagfile", "docs"), "error: --flagfile=docs: expected a file, a flag a line, found Is a directory; check"),
    (("--flagfile=docs/examples_vif.png",), "error: --flagfile: expected a file of text, a flag a line, found 'utf-8'"),
  ],
)  # fmt: skip
def test_bad_flags_are_one_line_and_status_2(run, capsys, monkeypatch, arguments, message):
  monkeypatch.chdir(ROOT)
  with pytest.raises(SystemExit) as end:
    run(*arguments)
  out, err = capsys.readouterr()
  assert end.value.code == 2 and out == ""
  assert err.startswith("error: ") and err.count("\n") == 1 and message in err


def test_a_flag_file_alone_takes_the_examples_and_data_wins_in_any_order(monkeypatch):
  found = []
  monkeypatch.setattr(cli_fuse, "run", lambda: found.append(common.data()) or 0)
  monkeypatch.chdir(ROOT)
  for arguments in (("--flagfile=vif.flags",), ("--data=mine", "--flagfile=vif.flags")):
    with flagsaver.flagsaver():
      assert launch.main(launch.parse(["launch.py", "--compile_cache=", *arguments])) == 0
  assert found == [ROOT / "examples" / "vif", pathlib.Path("mine")]


def test_what_is_typed_wins_over_a_flag_file_wherever_it_stands(monkeypatch):
  monkeypatch.chdir(ROOT)
  for arguments in (("--steps=7", "--job=report", "--flagfile=vif.flags"), ("--flagfile", "vif.flags", "--steps=7",
                                                                           "--job=report")):  # fmt: skip
    with flagsaver.flagsaver():
      launch.parse(["launch.py", *arguments])
      assert flags.FLAGS.job == "report" and flags.FLAGS.steps == 7


def test_words_that_are_no_flags_are_refused(run):
  status, _, err = run("examples/vif")
  assert status == 2 and "examples/vif" in err and "--data=FOLDER" in err


def test_a_failed_pair_is_status_3(run, tmp_path, monkeypatch):
  class Prior:
    params, noise, directory, config = conv_params(), NoiseSchedule("linear", 1000), "toy", None
    parametrisation, kernels = Parametrisation(), "off"
    denoiser = staticmethod(conv_denoiser)

  monkeypatch.setattr(common, "prior", Prior)
  for name in ("good", "bad"):
    write_pair(tmp_path / "data", name, (8, 8), channels={"ir": 1, "vi": 1})
  (tmp_path / "data" / "vi" / "bad.png").write_text("")
  (tmp_path / "data" / "vi" / "more.txt").write_text("")
  status, out, err = run(f"--data={tmp_path / 'data'}", "--steps=2", "--strength=0.9", "--dig_interval=1", "--bucket=8")
  assert status == 3
  compiling, notes, failures = err.splitlines()
  assert compiling.startswith("compiling for 8 x 8 pixels")
  assert notes.startswith("note: ") and "more.txt" in notes
  assert failures.startswith("failed: ") and "vi/bad.png" in failures and "empty file" in failures
  assert re.fullmatch(SUMMARY, out)["failed"] == "1"
  assert (tmp_path / "out" / "good.png").exists()


def test_a_report_of_a_folder_is_written_and_what_fails_is_status_3(run, pairs, tmp_path, monkeypatch):
  monkeypatch.setattr(metrics, "PROTOCOLS", {"panel": ("EN",)})
  write_pair(tmp_path, "p", (24, 28), channels={"fused": 1})
  status, out, err = run("--job=report", f"--data={pairs}", f"--fused={tmp_path / 'fused'}", "--nobaselines")
  assert status == 3 and err.startswith(f"failed: {tmp_path / 'fused'}: expected an image named 'q', found none;")
  assert "| fused |" in out and out.endswith(f"page written to {tmp_path / 'out' / 'report.html'}\n")
  assert (tmp_path / "out" / "report.html").stat().st_size > 10_000


def test_a_damaged_prior_is_one_line_and_status_2(run, pairs, tiny_prior, tmp_path):
  shutil.copytree(tiny_prior, tmp_path / "prior")
  weights = tmp_path / "prior" / "model.safetensors"
  weights.write_bytes(weights.read_bytes()[:-9] + b"corrupted")
  status, out, err = run(f"--data={pairs}", f"--prior={tmp_path / 'prior'}")
  assert (status, out) == (2, "")
  assert re.fullmatch("error: .*model.safetensors: expected sha256 .*; the file is damaged .*\n", err), err


def test_the_list_names_pairs_and_runs_nothing(run, pairs, tmp_path):
  status, out, err = run(f"--data={pairs}", "--list", "--bucket=16")
  entries = [json.loads(line) for line in out.splitlines()]
  assert status == 0 and not err and not (tmp_path / "out").exists()
  assert [entry["id"] for entry in entries] == ["p", "q"]
  assert entries[0]["size"] == [24, 28] and entries[0]["bucket"] == [32, 32]
  assert entries[0]["files"] == {source: str(pairs / source / "p.png") for source in ("ir", "vi")}


def test_flags_of_another_method_are_named_and_left(capsys):
  with flagsaver.flagsaver():
    launch.parse(["launch.py", "--method=ddfm", "--bands=4", "--steps=7", "--em_rho=0.1"])
    options = common.method_options()
  assert (options.steps, options.em_rho, options.em_lambda) == (7, 0.1, 0.5)
  assert capsys.readouterr().err == "note: --method=ddfm does not use --bands\n"
  with flagsaver.flagsaver():  # no steps are one pass, which flag files of Dig2DIG ask for
    launch.parse(["launch.py", "--method=ddfm", "--steps=0"])
    assert common.method_options().steps == 100
  assert capsys.readouterr().err == "note: --steps=0, one pass, is supported by dig2dig only; --method=ddfm takes 100\n"


def test_ccf_in_few_steps_is_noted_before_the_run(run, pairs, tmp_path):
  for steps, noted in ((20, 1), (100, 0)):
    arguments = ("--method=ccf", f"--steps={steps}", f"--data={pairs}", f"--prior={tmp_path}/none", f"--out={tmp_path}")
    status, _, err = run(*arguments)
    assert status == 2 and err.count(f"note: --steps={steps}: the released CCF takes 200 steps") == noted, err


def test_fast_leaves_the_loop_out_and_keeps_the_rest_of_a_flag_file(monkeypatch):
  monkeypatch.chdir(ROOT)
  with flagsaver.flagsaver():
    looped = ["launch.py", "--flagfile=vif.flags", "--steps=10", "--dig_window=cumulative", "--base=uniform"]
    launch.parse(looped)
    tuned = common.method_options()
    launch.parse([*looped, "--fast"])
    fast = common.method_options()
  assert (fast.steps, fast.strength, fast.scale) == (0, 1.0, 1) and tuned.steps == 10
  assert (fast.temperature, fast.bands, fast.t_high) == (tuned.temperature, tuned.bands, tuned.t_high)
  with flagsaver.flagsaver(), pytest.raises(UserError, match="--fast: expected --method=dig2dig, found ddfm"):
    launch.parse(["launch.py", "--method=ddfm", "--fast"])
    common.method_options()


def test_there_are_flag_files():
  assert ROOT / "vif.flags" in FLAG_FILES


@pytest.mark.parametrize("path", FLAG_FILES, ids=lambda path: path.name)
def test_flag_files_name_flags_that_exist_with_values_that_run(path):
  with flagsaver.flagsaver():
    assert launch.parse(["launch.py", f"--flagfile={path}"]) == ["launch.py"]
    if flags.FLAGS.job in ("fuse", "benchmark"):
      common.method_options().validate(1000)
      common.codec()
