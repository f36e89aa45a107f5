"""Does the same command give the same images whatever became of what earlier runs kept, and of the folder for it?"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import zlib

import jax
import numpy as np
import pytest
from absl.testing import flagsaver
from conftest import SIMPLE_LOOPS_FLAGS
from scenes import read, write_pair
from toys import conv_denoiser, conv_params, conv_prior

import launch
from dig2dig_jax.cli import common
from dig2dig_jax.fusing import compile_cache, job, programs
from dig2dig_jax.fusing.fuser import Fuser
from dig2dig_jax.methods.codec import luminance_codec
from dig2dig_jax.methods.dig2dig import dig2dig
from dig2dig_jax.methods.options import Dig2DigOptions
from dig2dig_jax.sampling.parametrisation import Parametrisation
from dig2dig_jax.sampling.schedule import NoiseSchedule

ROOT = pathlib.Path(launch.__file__).resolve().parent
# launch.py, keeping programs however quickly they compile.
COMMAND = """
import sys, jax
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_disable_most_optimizations", True)
import launch
from absl import app
app.run(launch.main, sys.argv, flags_parser=launch.parse)
"""


@pytest.fixture(scope="module")
def arguments(tmp_path_factory, tiny_prior):
  root = tmp_path_factory.mktemp("kept")
  for name in ("p", "q"):
    write_pair(root / "data", name, (24, 28), channels={"ir": 1, "vi": 3})
  return ["launch.py", "--flagfile=vif.flags", "--steps=2", "--strength=0.9", f"--prior={tiny_prior}",
          f"--data={root / 'data'}", "--bucket=32", "--nosheet"]  # fmt: skip


def images(out):
  return [read(out / f"{name}.png") for name in ("p", "q")]


class Prior:
  """Two convolutions, for tests of bookkeeping."""

  params, noise, directory, config = conv_params(), NoiseSchedule("linear", 1000), "toy", None
  parametrisation, kernels = Parametrisation(), "off"
  denoiser = staticmethod(conv_denoiser)


@pytest.fixture
def command(arguments, tmp_path, capsys, monkeypatch, quick_compile):
  """command(out, *flags, cache=) -> (images, what was said), as a process that knows nothing of those before it."""
  settings = {"jax_enable_compilation_cache": True, "jax_persistent_cache_min_compile_time_secs": 0.0}
  before = {name: getattr(jax.config, name) for name in settings}
  monkeypatch.chdir(ROOT)
  monkeypatch.setattr(common, "prior", Prior)

  def run(out, *flags, cache=tmp_path / "cache"):
    jax.clear_caches()
    with flagsaver.flagsaver():
      rest = [argument for argument in arguments if "--flagfile" not in argument]  # its six bands take long to trace
      given = launch.parse([*rest, "--dig_interval=1", f"--out={tmp_path / out}", f"--compile_cache={cache}", *flags])
      status = launch.main(given)
    compile_cache.stop()
    out_text, said = capsys.readouterr()
    assert status == 0 and "2 pairs fused, 0 failed" in out_text, out_text + said
    return images(tmp_path / out), re.sub(r"^compiling for .*\n", "", said, flags=re.M)

  for name, value in settings.items():
    jax.config.update(name, value)
  yield run
  compile_cache.stop()
  for name, value in before.items():
    jax.config.update(name, value)


def by_process(arguments, out, cache, devices):
  xla_flags = f"--xla_force_host_platform_device_count={devices} {SIMPLE_LOOPS_FLAGS}"
  env = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": xla_flags}
  rest = [argument for argument in arguments[1:] if "--flagfile" not in argument]  # its six bands take long to trace
  command = [sys.executable, "-c", COMMAND, *rest, "--dig_interval=1", f"--out={out}", f"--compile_cache={cache}"]
  found = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)
  said = re.sub(r"^compiling for .*\n", "", found.stderr, flags=re.M)
  assert found.returncode == 0 and not said, found.stdout + found.stderr
  return images(out)


def kept(folder):
  return list(folder.glob("*.program")), list(folder.glob("compiled/*/jit_fuse_*-cache.*"))


def flip(path):
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 0x10
  path.write_bytes(content)


def cut(path):
  os.truncate(path, path.stat().st_size // 2)


def test_eight_runs_give_the_same_images_whatever_was_kept_before(command, tmp_path, monkeypatch):
  cache = tmp_path / "cache"
  first, said = command("1")
  (program,), (entry,) = kept(cache)
  assert not said
  same = [command("2", "--maps")]
  assert kept(cache) == ([program], [entry]), "maps change no program"
  package = tmp_path / "package"
  package.mkdir()
  (package / "changed.py").write_text("# as after a git pull\n")
  with monkeypatch.context() as patch:
    patch.setattr(programs, "_PACKAGE", package)
    same.append(command("3"))
  assert len(kept(cache)[0]) == 2 and kept(cache)[1] == [entry], "what XLA made outlives a change of no program"
  for path in kept(cache)[0]:
    path.unlink()
  same.append(command("4"))
  same.append(command("4b"))  # where executables were serialised again it was this one that failed
  assert not any(said for _, said in same)
  for path in kept(cache)[1]:
    path.unlink()
  same.append(command("5"))
  assert not same[-1][1]
  for number, damage in (("6", flip), ("7", cut)):
    for path in (*kept(cache)[0], *kept(cache)[1]):
      damage(path)
    same.append(command(number))
    notes = same[-1][1].splitlines()
    assert len(notes) == 2 and "1 damaged entries, removed" in notes[1] + notes[0], notes
    assert "no longer loads (ValueError), compiled again" in notes[1] + notes[0]
    same.append(command(f"{number} again"))
    assert not same[-1][1], "what was damaged was replaced"
  shutil.rmtree(cache)
  same.append(command("8"))
  compiled_entries = kept(cache)[1]
  same.append(command("9"))
  assert compiled_entries == kept(cache)[1], "the second run finds what the first one compiled"
  for found, _ in same:
    for image, reference in zip(found, first, strict=True):
      np.testing.assert_array_equal(image, reference)
  assert not list(cache.glob("compiled/*/process-*")), "a process leaves its folder"


@pytest.mark.slow
def test_eight_devices_load_what_eight_devices_kept(arguments, tmp_path):
  first = by_process(arguments, tmp_path / "first", tmp_path / "cache", 8)
  before = kept(tmp_path / "cache")
  assert [len(found) for found in before] == [1, 1]
  again = by_process(arguments, tmp_path / "again", tmp_path / "cache", 8)
  assert kept(tmp_path / "cache") == before
  for image, reference in zip(again, first, strict=True):
    np.testing.assert_array_equal(image, reference)


@pytest.mark.parametrize("place", ["a file in the way", "a home that is none", "/proc"])
def test_without_a_folder_to_write_to_there_is_one_note_and_all_pairs(command, tmp_path, place):
  (tmp_path / "file").write_text("x")
  cache = {"a file in the way": tmp_path / "file", "a home that is none": tmp_path / "file" / "x", "/proc": "/proc/x"}
  _, said = command(f"no folder: {place.replace('/', '')}", cache=cache[place])
  assert said.count("\n") == 1 and said.startswith(f"note: --compile_cache={cache[place]}: expected a folder to write")


def test_a_disk_that_fills_later_is_a_note_and_compiles_once(tmp_path, monkeypatch):
  assert compile_cache.use(tmp_path) is None
  try:
    cache = compile_cache.active()
    (cache.folder / "jit_torn-1-cache").write_bytes(b"x\x9c half of what JAX meant to write")

    def full(path):
      raise OSError(28, "No space left on device")

    cache.publish()
    (cache.folder / "jit_whole-1-cache").write_bytes(zlib.compress(b"program"))
    monkeypatch.setattr(compile_cache, "replacing", full)
    cache.publish()
    (note,) = cache.notes
    assert "a compiled program is not cached (the disk took a part of it)" in note
    assert not list(tmp_path.glob("compiled/*/*-cache.*"))
  finally:
    compile_cache.stop()


def test_what_killed_processes_left_is_swept_and_what_works_is_not(tmp_path):
  one, left = compile_cache.CompileCache(tmp_path), compile_cache.CompileCache(tmp_path)
  left._lock.close()  # as the system does for a process that is killed
  other = compile_cache.CompileCache(tmp_path)
  assert one.folder.exists() and not left.folder.exists()
  for cache in (one, other):
    cache.close()
  assert not list(tmp_path.glob("compiled/*/*"))


def broken(*arguments):
  raise jax.errors.JaxRuntimeError("NOT_FOUND: Function fusion.1 not found (type id: 1)\nmore")


class Late:
  """An array whose computation failed: told when it is asked for."""

  def __array__(self, *args, **kw):
    broken()

  block_until_ready = __array__


@pytest.mark.parametrize("when", ["at once", "late"])
def test_a_kept_program_that_does_not_run_costs_a_compilation_and_no_pair(small, monkeypatch, when):
  data, out, run = small
  reference = run(out / "first")

  def spoilt(self, jitted, arguments):
    late = lambda *arguments: (Late(), (Late(), None, None))  # noqa: E731
    return programs.Program(broken if when == "at once" else late, True)

  monkeypatch.setattr(programs.Programs, "_compiled", spoilt)
  monkeypatch.setattr(Fuser, "plan", lambda self, shape, batch_size: self._program((1, *shape, 3), 0) and Plan)
  monkeypatch.setattr(jax, "device_get", lambda tree: jax.tree.map(np.asarray, tree))
  report = run(out / "second")
  assert (report.done, report.failed) == (3, [])
  assert report.notes == ["a cached program does not run (NOT_FOUND: Function fusion.1 not found (type id: 1)): "
                          "removed, "
                          "compiled again"]
  assert reference.done == 3
  for path in (out / "first").glob("*.png"):
    np.testing.assert_array_equal(read(path), read(out / "second" / path.name))


class Plan:
  batch, tile = 1, 0


@pytest.fixture
def small(tmp_path, quick_compile):
  """(data, folder, run(out)) of three pairs by two convolutions, with programs kept."""
  for name in "abc":
    write_pair(tmp_path / "data", name, (24, 28), channels={"ir": 1, "vi": 1})
  options = Dig2DigOptions(steps=2, strength=0.8, window="cumulative", temperature=0.01)
  noise = NoiseSchedule("linear", 1000)
  method = dig2dig(conv_prior(noise), luminance_codec(1), options=options)

  def run(out):
    config = job.FuseConfig(data=tmp_path / "data", out=out, sources=("ir", "vi"), bucket=16, sheet=False,
                             program_cache=tmp_path / "programs")  # fmt: skip
    return job.run(config, method, conv_params())

  return tmp_path / "data", tmp_path, run


def test_a_program_of_this_run_that_fails_is_the_devices_fault(small, monkeypatch):
  data, out, run = small
  monkeypatch.setattr(Fuser, "start", lambda self, images, ids: broken())
  report = run(out / "out")
  assert report.done == 0 and len(report.failed) == 3
  assert report.failed[0].endswith("the device failed: NOT_FOUND: Function fusion.1 not found (type id: 1); run the "
                                   "same command again, finished pairs are kept")
