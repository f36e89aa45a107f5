"""Does a run say that the sources of its first pair lie apart, only where they do, and never at the cost of a run?"""

import dataclasses

import cv2
import made
import numpy as np
import pytest
from absl.testing import flagsaver
from scenes import write
from toys import conv_params, conv_prior

from dig2dig_jax.alignment import hint
from dig2dig_jax.alignment.estimate import Alignment
from dig2dig_jax.alignment.frames import Frames
from dig2dig_jax.alignment.transforms import corners, mapped
from dig2dig_jax.cli import common, launcher
from dig2dig_jax.fusing import job, look
from dig2dig_jax.methods.codec import luminance_codec
from dig2dig_jax.methods.dig2dig import dig2dig
from dig2dig_jax.methods.options import Dig2DigOptions

pytestmark = pytest.mark.usefixtures("quick_compile", "one_method")
OPTIONS = Dig2DigOptions(steps=1, window="cumulative", temperature=0.01)
SIZE = (150, 200)
MATRIX = made.similarity((6.0, -4.0), 1.04, 1.5)
FARTHEST = np.linalg.norm(mapped(MATRIX, corners(*SIZE)) - corners(*SIZE), axis=-1).max()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  """Of one scene: a, b, which lies on it, and c, which does not."""
  root = tmp_path_factory.mktemp("data")
  moved, seen = made.moved(made.other_kind(made.scene(0)), MATRIX)
  for source, pixels in {"a": made.scene(0), "b": made.darker(made.scene(0))}.items():
    write(root / source / "x.png", pixels[..., None])
  write(root / "c" / "x.png", np.dstack([moved] * 3 + [np.uint8(255 * seen)]))
  return root


@pytest.fixture
def quick_estimate(monkeypatch):
  """In place of the alignment, whose tests are others and whose programs are several."""

  def found(matrix, confidence=0.99):
    asked = []
    alignment = Alignment(matrix, confidence, 2.0, "auto")
    monkeypatch.setattr(hint, "estimate", lambda *_, **masks: asked.append(masks) or alignment)
    return asked

  return found


def run(data, out, sources, **changes):
  method = dig2dig(conv_prior(), luminance_codec(1), options=OPTIONS)
  config = job.FuseConfig(data=data, out=out, sources=sources, bucket=16, sheet=False, frames=Frames(), looks=True)
  return job.run(dataclasses.replace(config, **changes), method, conv_params())


def told(report):
  return [note for note in report.notes if "--align=auto" in note or "lie apart" in note]


def seen(data, *sources):
  config = job.FuseConfig(data=data, out=data, sources=sources, frames=Frames())
  return look.look(config.find()[0][0], config)


def test_the_source_of_a_stack_that_lies_apart_is_found_and_none_that_does_not(data, quick_estimate):
  asked = quick_estimate(MATRIX)
  found = seen(data, "a", "b", "c")
  assert found[:3] == ("x", "c", "a") and found.pixels == pytest.approx(FARTHEST) and not found.fault
  assert len(asked) == 1 and not asked[0]["source_mask"].all()  # b is not doubted; what c does not show is left out
  assert seen(data, "a", "b") == look.Look("x")
  quick_estimate(MATRIX, confidence=0.4)
  assert seen(data, "a", "c") == look.Look("x")  # --align=auto would not align it either
  quick_estimate(np.linalg.inv(MATRIX))
  assert seen(data, "a", "c") == look.Look("x")  # the quick look found something else


def test_a_run_tells_of_its_first_pair_once_and_none_that_is_done(data, tmp_path, quick_estimate, monkeypatch):
  monkeypatch.setattr(hint, "doubt", lambda *_, **__: hint.Doubt(MATRIX, 2.0))
  asked = quick_estimate(MATRIX)
  report = run(data, tmp_path / "out", ("a", "c"))
  assert told(report) == [f"c: in pair x lies up to {FARTHEST:.0f} px from a (at its corners); if the sources are not "
                          "registered, --align=auto aligns them"]  # fmt: skip
  again = run(data, tmp_path / "out", ("a", "c"))
  assert again.skipped == 1 and not told(again) and len(asked) == 1
  assert not told(run(data, tmp_path / "unasked", ("a", "c"), looks=False)) and len(asked) == 1


def test_what_fits_or_cannot_be_seen_is_not_doubted():
  scene = made.scene(0)
  moved, seen = made.moved(scene, MATRIX)
  assert hint.doubt(scene, moved, None, seen).preferred > 1
  assert hint.doubt(scene, made.other_kind(scene)) is None
  assert hint.doubt(scene, moved, None, np.zeros(SIZE, bool)) is None
  assert hint.doubt(scene, np.full(SIZE, 7.0)) is None
  assert hint.doubt(scene, made.scene(8)) is None
  assert hint.doubt(*(cv2.resize(image, (84, 63)) for image in (scene, moved))) is None


def test_a_fault_costs_a_line_and_no_run_and_an_unreadable_pair_is_passed_over(data, tmp_path, monkeypatch):
  for source in ("a", "c"):
    write(tmp_path / "data" / source / "y.png", made.scene(0)[..., None])
    (tmp_path / "data" / source / "x.png").write_bytes(b"no image")

  def broken(*_, **__):
    raise MemoryError("of the device")

  monkeypatch.setattr(hint, "doubt", broken)
  report = run(tmp_path / "data", tmp_path / "out", ("a", "c"))
  assert (report.done, len(report.failed)) == (1, 1)
  assert told(report) == ["y: not looked at whether its sources lie apart (not enough memory (of the device))"]


def test_of_several_looks_the_first_that_found_something_is_told():
  faults, found = look.Look("x", fault="one"), look.Look("y", "b", "a", 12.4)
  assert look.lines([]) == look.lines([look.Look("x")]) == []
  assert look.lines([faults, look.Look("z"), faults]) == ["x: not looked at whether its sources lie apart (one)"]
  (line,) = look.lines([faults, found, found])
  assert line.startswith("b: in pair y lies up to 12 px from a")


@pytest.mark.parametrize(
  ("flags", "looks"),
  [([], True), (["--align=off"], False), (["--flagfile={}"], False), (["--align=auto"], False),
   (["--resize=stretch"], True), (["--job=report"], False)],
)  # fmt: skip
def test_a_run_looks_where_nobody_said_whether_to_align(flags, looks, tmp_path):
  (tmp_path / "own.flags").write_text("--align=off\n")
  with flagsaver.flagsaver():
    launcher.parse(["dig2dig", f"--data={tmp_path}", *(flag.format(tmp_path / "own.flags") for flag in flags)])
    assert common.fuse_config().looks == looks


@pytest.mark.slow
def test_the_alignment_itself_agrees(data, tmp_path):
  report = run(data, tmp_path / "out", ("a", "c"))
  (line,) = told(report)
  assert abs(float(line.split("up to ")[1].split(" px")[0]) - FARTHEST) <= 1
