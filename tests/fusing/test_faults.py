"""Does a run go on where it can, stop in one line where it cannot, and start again where it stopped?"""

import json
import os
import resource
import shutil
import signal
import tempfile
from pathlib import Path

import jax
import numpy as np
import pytest
import scale
from scenes import read
from toys import conv_params, conv_prior

from dig2dig_jax.errors import UserError
from dig2dig_jax.files import sweep
from dig2dig_jax.fusing import faults, job, results, streaming
from dig2dig_jax.fusing.batches import batches
from dig2dig_jax.fusing.fuser import Fuser
from dig2dig_jax.fusing.processes import Place
from dig2dig_jax.methods.codec import luminance_codec
from dig2dig_jax.methods.dig2dig import dig2dig
from dig2dig_jax.methods.options import Dig2DigOptions
from dig2dig_jax.record import make_folder

pytestmark = pytest.mark.usefixtures("quick_compile", "one_method")
OPTIONS = Dig2DigOptions(steps=2, strength=0.8, window="cumulative", temperature=0.01)
PAIRS = 6


@pytest.fixture
def data(tmp_path):
  return scale.make_pairs(tmp_path / "data", PAIRS, 1)


def run(data, out, *, place=Place(0, 1), **changes):  # noqa: B008
  method = dig2dig(conv_prior(), luminance_codec(1), options=OPTIONS)
  config = job.FuseConfig(data=data, out=out, sources=("ir", "vi"), bucket=16, sheet=False, **changes)
  return job.run(config, method, conv_params(), place=place)


def test_a_rerun_skips_what_is_done_whatever_the_number_of_processes(data, tmp_path):
  out = tmp_path / "out"
  assert (run(data, out, place=Place(1, 3)).done, run(data, out, place=Place(1, 3)).skipped) == (2, 2)
  stamps = {path: path.stat().st_mtime_ns for path in out.glob("*.png")}
  rest = run(data, out)
  assert (rest.done, rest.skipped) == (4, 2)
  assert ", 0 failed, 2 done before; " in rest.summary()
  assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items()), "touched again"
  scale.check(data, out)
  again = run(data, out, place=Place(0, 2))
  assert (again.done, again.skipped, again.programs) == (0, 3, 0)
  entry = scale.entries(out)[0]
  assert entry["flags"]["bucket"] == 16 and entry["versions"]["jax"] == jax.__version__ and entry["seconds"] >= 0


def test_other_flags_are_refused_and_overwrite_does_all_again(data, tmp_path):
  out = tmp_path / "out"
  run(data, out)
  with pytest.raises(UserError, match=r"0000.png: .* other flags \(seed: 0 then, 1 now\); add --overwrite"):
    run(data, out, seed=1)
  before = read(out / "0000.png")
  assert run(data, out, seed=1, overwrite=True).done == PAIRS
  assert np.any(read(out / "0000.png") != before)
  assert run(data, out, seed=1).skipped == PAIRS
  assert run(data, out, seed=1, batch_size=3).skipped == PAIRS, "the batch decides no pixel"


def test_results_never_land_on_their_sources(data):
  with pytest.raises(UserError, match="--out=.*ir: expected a folder beside the images, found the sources' own"):
    run(data, data / "ir")


def test_sigterm_finishes_what_is_under_way_and_tells_what_is_left(data, tmp_path, monkeypatch):
  write_png, out = results.write_png, tmp_path / "out"

  def stop_at_the_second(path, *args, **kw):
    write_png(path, *args, **kw)
    if path.stem == "0001":
      os.kill(os.getpid(), signal.SIGTERM)

  monkeypatch.setattr(results, "write_png", stop_at_the_second)
  report = run(data, out)
  assert 2 <= report.done < PAIRS and not report.failed
  assert report.left == PAIRS - report.done
  assert report.summary().endswith(f"; stopped by SIGTERM, {report.left} pairs left for the same command")
  assert len(scale.log_lines(out)) == report.done == len(list(out.glob("*.png")))
  monkeypatch.undo()
  assert run(data, out).done == report.left
  scale.check(data, out)


def test_a_result_that_is_not_finite_is_its_pairs_own_fault(data, tmp_path, monkeypatch):
  start = Fuser.start

  def poisoned(self, images, ids):
    fused, kept = start(self, images, ids)
    return fused.at[1, 3, 3].set(np.nan), kept

  monkeypatch.setattr(Fuser, "start", poisoned)
  report = run(data, tmp_path / "out", batch_size=3)
  assert report.done == 4 and len(report.failed) == 2
  assert all("expected finite pixels, found " in line and "NaN" in line for line in report.failed)
  assert len(scale.log_lines(tmp_path / "out")) == 4


def test_a_batch_that_the_device_cannot_hold_is_named(data, tmp_path, monkeypatch):
  calls = []

  def scarce(self, images, ids):
    calls.append(1)
    if len(calls) == 1:
      raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.\nmore")
    return start(self, images, ids)

  start = Fuser.start
  monkeypatch.setattr(Fuser, "start", scarce)
  report = run(data, tmp_path / "out", batch_size=2)
  assert report.done == 4 and [line[:4] for line in report.failed] == ["0000", "0001"]
  assert "RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.; lower --batch_size or --tile" in report.failed[0]


@pytest.mark.parametrize(
  "error, advice",
  [
    ("INTERNAL: CUDA_ERROR_ECC: x",
     "the device failed: INTERNAL: CUDA_ERROR_ECC: x; run the same command again, finished pairs are kept"),
    ("INTERNAL: CUDA_ERROR_OUT_OF_MEMORY: x", "the device gave INTERNAL: CUDA_ERROR_OUT_OF_MEMORY: x; lower "
     "--batch_size or --tile; its batch needs 3.00 GB, 2.50 GB are free"),
    ("", "the device failed: JaxRuntimeError; run the same"),
  ],
)  # fmt: skip
def test_the_advice_fits_the_fault(error, advice):
  found = faults.line("p", jax.errors.JaxRuntimeError(error + "\nmore" if error else ""), needed=3e9, available=2.5e9)
  assert found.startswith(f"p: expected a result, {advice}") and "\n" not in found


def test_a_vanished_folder_ends_the_run_in_one_line_and_keeps_what_is_done(data, tmp_path, monkeypatch):
  out = tmp_path / "out"
  start = Fuser.start

  def remove_then(self, images, ids):
    shutil.rmtree(data, ignore_errors=True)
    return start(self, images, ids)

  monkeypatch.setattr(Fuser, "start", remove_then)
  monkeypatch.setattr(streaming, "batches", lambda *args, ahead, **kw: batches(*args, ahead=0, **kw))
  with pytest.raises(UserError, match="data/ir: expected the folder in which pairs were found, found it gone") as fault:
    run(data, out)
  assert "\n" not in str(fault.value)
  assert [json.loads(line)["id"] for line in scale.log_lines(out)] == ["0000"]


def test_a_full_disk_ends_the_run_in_one_line(data, tmp_path):
  out = tmp_path / "out"
  before = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (200, before[1]))  # no image is as small
  try:
    with pytest.raises(UserError, match="out/.*: expected a place to write, found File too large; ") as fault:
      run(data, out)
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
  assert "\n" not in str(fault.value)
  assert not list(out.glob("*.png")) and not list(out.glob(".*.tmp")) and not scale.log_lines(out)
  assert run(data, out).done == PAIRS


@pytest.fixture
def nobody():
  """File permissions do not hold for the superuser: the test takes another user's, and needs nothing if it has."""
  if os.geteuid():
    yield
    return
  os.seteuid(65534)
  try:
    yield
  finally:
    os.seteuid(0)


def test_a_read_only_folder_is_refused_in_one_line(nobody):
  with tempfile.TemporaryDirectory() as name:  # tmp_path is closed to others
    folder = Path(name)
    (folder / "closed").mkdir(mode=0o555)
    for out in (folder / "closed", folder / "closed" / "new"):
      with pytest.raises(UserError, match=f"{out}: expected a .*write.*; change --out") as fault:
        make_folder(out)
      assert "\n" not in str(fault.value)


def test_what_killed_writers_left_is_swept_and_what_is_fresh_is_not(tmp_path):
  old, fresh, other = (tmp_path / name for name in (f".{'0' * 32}.tmp", f".{'1' * 32}.tmp", ".mine.tmp"))
  for path in (old, fresh, other):
    path.write_text("x")
  os.utime(old, (1000, 1000))
  os.utime(other, (1000, 1000))
  link = tmp_path / f".{'2' * 32}.tmp"
  link.symlink_to(other)
  sweep(tmp_path, now=fresh.stat().st_mtime)
  assert not old.exists() and fresh.exists() and other.exists() and link.is_symlink()
