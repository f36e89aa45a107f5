"""Can a file only fail alone, whatever stage its fault comes up at?"""


import cv2
import numpy as np
import pytest
import scale
from scenes import write_pair
from toys import conv_params, conv_prior

from dig2dig_jax.data import images, ranges
from dig2dig_jax.data.datasets import DataConfig
from dig2dig_jax.errors import UserError
from dig2dig_jax.fusing import batches, job, results, shares, streaming
from dig2dig_jax.methods.codec import luminance_codec
from dig2dig_jax.methods.dig2dig import dig2dig
from dig2dig_jax.methods.options import Dig2DigOptions

pytestmark = pytest.mark.usefixtures("quick_compile", "one_method")
OPTIONS = Dig2DigOptions(steps=0, window="cumulative", temperature=0.01)  # one pass: every run compiles it
NAMES = ("a", "b", "c")


def run(data, out, **changes):
  method = dig2dig(conv_prior(), luminance_codec(1), options=OPTIONS)
  config = job.FuseConfig(data=data, out=out, sources=("ir", "vi"), bucket=16, sheet=False, **changes)
  return job.run(config, method, conv_params())


@pytest.fixture
def data(tmp_path):
  for name in NAMES:
    write_pair(tmp_path / "data", name, (16, 16), channels={"ir": 1, "vi": 3})
  return tmp_path / "data"


def failing(function, error, concerns):
  """The function, raising `error` where `concerns` is true of its arguments."""

  def call(*args, **kw):
    if concerns(*args):
      raise error
    return function(*args, **kw)

  return call


FAULTS = [MemoryError("Unable to allocate 14.6 TiB"), TypeError("'<' not supported\nbetween"), RecursionError("deep"),
          ValueError("")]  # fmt: skip


@pytest.mark.parametrize("error", FAULTS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("stage", ["decode", "pad", "weights", "write"])
def test_a_fault_at_any_stage_is_one_line_of_that_pair(data, tmp_path, monkeypatch, stage, error):
  if stage == "decode":
    monkeypatch.setattr(images.decode, "decode", _once(images.decode.decode, error, at=3))  # the first of pair b
  elif stage == "pad":
    monkeypatch.setattr(batches, "reflect_pad", _once(batches.reflect_pad, error, at=2))
  elif stage == "weights":
    monkeypatch.setattr(results, "crop", _once(results.crop, error, at=2))
  else:
    own = lambda path, *rest: path.stem == "b"  # noqa: E731
    monkeypatch.setattr(results, "write_png", failing(results.write_png, error, own))
  monkeypatch.setattr(job, "_ahead", lambda *args: 0)  # in order
  monkeypatch.setattr(streaming, "_WRITERS", 1)
  report = run(data, tmp_path / "out")
  (line,) = report.failed
  assert report.done == 2 and "b" in line and "\n" not in line
  assert ("memory" if isinstance(error, MemoryError) else type(error).__name__) in line
  monkeypatch.undo()
  assert run(data, tmp_path / "out").done == 1
  scale.check(data, tmp_path / "out")


def _once(function, error, *, at):
  calls = []

  def call(*args, **kw):
    calls.append(1)
    if len(calls) == at:
      raise error
    return function(*args, **kw)

  return call


@pytest.mark.parametrize("size", [(0, 0), (-1, 5), ((16, 2), 16), (None, 3), ("16", 16), (2**70, 1)])
def test_a_size_that_no_image_has_does_not_end_the_plan(data, tmp_path, monkeypatch, size):
  monkeypatch.setattr(shares, "read_size", lambda path: size if path.stem == "b" else (16, 16))
  report = run(data, tmp_path / "out")
  assert report.done == 3 and not report.failed, "the header is a hint for planning"


def test_a_file_of_terabytes_fails_alone(data, tmp_path):
  with (data / "ir" / "b.png").open("r+b") as file:
    try:
      file.truncate(15 * 10**12)
    except OSError:
      pytest.skip("this file system holds no sparse file of 15 TB")
  report = run(data, tmp_path / "out")
  assert report.done == 2 and len(report.failed) == 1 and "ir/b.png" in report.failed[0]


def test_cameras_names_of_one_stem_leave_out_that_pair_alone(data, tmp_path):
  (data / "ir" / "b.jpg").write_bytes((data / "ir" / "b.png").read_bytes())
  report = run(data, tmp_path / "out")
  assert report.done == 2 and any("expected one file named 'b'" in line for line in report.left_out)


def test_a_narrow_source_is_said_logged_and_decides_what_is_up_to_date(data, tmp_path):
  out = tmp_path / "out"
  for name in NAMES:
    gray = cv2.imread(str(data / "ir" / f"{name}.png"), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(data / "ir" / f"{name}.png"), (28500 + 10 * gray.astype(np.uint16)).astype(np.uint16))
  report = run(data, out)
  assert report.done == 3 and any(line.startswith("range of ir: 285") for line in report.notes)
  low, high = scale.entries(out)[0]["ranges"]["ir"]
  assert 28500 <= low < high <= 31050
  assert run(data, out).skipped == 3
  with pytest.raises(UserError, match="ranges: .* then, None now"):
    run(data, out, ranges={"ir": "full"})
  assert run(data, out, ranges={"ir": "full"}, overwrite=True).done == 3
  assert "ranges" not in scale.entries(out)[-1]


def test_ranges_pass_over_what_cannot_be_read(data, tmp_path):
  (data / "ir" / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(16) + b"\x10")
  found, lines = ranges.assign(DataConfig(data, ("ir", "vi")).find_files()[0], {})
  assert len(found) == 3 and not lines
