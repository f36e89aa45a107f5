"""Does a fused video have every frame, time stamp and sound of its visible source, whatever interrupts its making?"""

import functools
import gc
import itertools
import os
import re
import shutil
import signal
import sys
import threading
import weakref
from fractions import Fraction

import cv2
import numpy as np
import pytest

av = pytest.importorskip("av", reason="no PyAV here: pip install dig2dig_jax[video]")
import made_clips as made  # noqa: E402
from absl.testing import flagsaver  # noqa: E402

from dig2dig_jax.cli import main  # noqa: E402
from dig2dig_jax.errors import UserError  # noqa: E402
from dig2dig_jax.fusing.progress import Progress  # noqa: E402
from dig2dig_jax.video import container, scoring, stream  # noqa: E402
from dig2dig_jax.video.clip import open_clip  # noqa: E402
from dig2dig_jax.video.config import VideoConfig  # noqa: E402

pytest_plugins = ("video_runs",)


def stamps(path):
  with av.open(str(path)) as file:
    return [frame.pts * file.streams.video[0].time_base for frame in file.decode(video=0)]


def sound(path):
  with av.open(str(path)) as file:
    return [(packet.pts * packet.time_base, bytes(packet)) for packet in file.demux(audio=0) if packet.size]


def test_frames_time_stamps_and_sound_are_the_visible_ones(clips, undisturbed):
  out, report = undisturbed
  assert report.frames == 20 and report.cuts == [12] and not report.stopped_by
  assert stamps(out) == stamps(clips[1])
  assert sound(out) == sound(clips[1]) and len(sound(out)) > 10
  assert [path.name for path in out.parent.iterdir()] == ["out.mp4"], "something was left behind"
  notes = " ".join(report.notes)
  assert "ir: 10 frames a second, vi: 25; every frame of vi" in notes and "new scenes start at frame 13:" in notes


def test_the_file_shows_what_was_fused(clips, undisturbed, fuse, tmp_path):
  report = fuse(*clips, tmp_path / "png")
  assert report.frames == 20
  images = [open_clip(tmp_path / "png").at(k) for k in range(20)]
  video = [frame.read() for frame in open_clip(undisturbed[0]).frames()]
  assert len(video) == 20 and images[0].shape == video[0].shape == (32, 48, 3)
  assert np.mean(np.abs((np.float32(images) - np.float32(video)) @ [0.299, 0.587, 0.114])) < 2.5  # colours are halved
  assert np.mean(np.abs(np.float32(images) - np.float32(video))) < 4
  assert np.ptp(np.float32(images[0]).mean(axis=(0, 1))) > 1, "no colour"
  with pytest.raises(UserError, match="expected an empty folder, found images"):
    fuse(*clips, tmp_path / "png")


def test_irregular_stamps_stay_and_other_segments_change_none(fuse, tmp_path):
  scene = made.Scene((32, 48))
  pts = [1000, 1450, 1900, 2900, 3000, 3600, 5000]
  base = Fraction(1, 1000)
  made.write(tmp_path / "vi.mkv", [scene.at(k / 2)[1] for k in range(7)], rate=25, pts=pts, time_base=base)
  made.write(tmp_path / "ir.mp4", [scene.at(k / 2)[0] for k in range(120)], rate=25)
  for name in ("out.mkv", "out.mp4"):
    fuse(tmp_path / "ir.mp4", tmp_path / "vi.mkv", tmp_path / name, segment=3)
    assert stamps(tmp_path / name) == stamps(tmp_path / "vi.mkv") == [pts * base for pts in pts]


class Killed(BaseException):
  """What no code catches."""


@pytest.mark.parametrize("at", [3, 9, 14])
def test_a_killed_run_goes_on_to_the_same_file(clips, undisturbed, fuse, tmp_path, at):
  def die(done, count):
    if done == at:
      raise Killed

  out = tmp_path / "out.mp4"
  with pytest.raises(Killed):
    fuse(*clips, out, progress=die)
  parts = out.with_name("out.mp4.parts")
  assert not out.exists() and len(list(parts.glob("*.mp4"))) == (at - 1) // 7
  (parts / f".{32 * 'a'}.tmp").write_bytes(b"torn")
  with (parts / "segments.jsonl").open("a") as log:
    log.write('{"number": 9, "pts": [')  # a line whose writer was killed
  with pytest.raises(UserError, match=r"found those of other flags; add --overwrite"):
    fuse(*clips, out, seed=1)
  report = fuse(*clips, out)
  assert (report.frames, report.before) == (20, (at - 1) // 7 * 7)
  assert out.read_bytes() == undisturbed[0].read_bytes() and not parts.exists()


@pytest.fixture(scope="module")
def numbered(clips, fuse, tmp_path_factory):
  """Contents of the images of a run into a folder that nobody stopped."""
  out = tmp_path_factory.mktemp("numbered")
  fuse(*clips, out)
  return _contents(out)


def _contents(folder):
  return {path.name: path.read_bytes() for path in folder.glob("*.png")}


@pytest.mark.parametrize("at, lost", [(3, None), (9, None), (9, "000002.png")])
def test_a_killed_run_into_a_folder_goes_on_to_the_same_images(clips, fuse, numbered, tmp_path, at, lost):
  def die(done, count):
    if done == at:
      raise Killed

  with pytest.raises(Killed):
    fuse(*clips, tmp_path / "out", progress=die)
  if lost:
    (tmp_path / "out" / lost).unlink()
  report = fuse(*clips, tmp_path / "out")
  assert report.before == (0 if lost else (at - 1) // 7 * 7) and len(numbered) == 20
  assert any("missing or changed: all are made again" in line for line in report.notes) == bool(lost)
  assert _contents(tmp_path / "out") == numbered and not (tmp_path / "out.parts").exists()


def test_images_that_no_run_began_are_not_written_over(clips, fuse, numbered, tmp_path):
  (tmp_path / "out").mkdir()
  (tmp_path / "out" / "000001.png").write_bytes(b"mine")
  for _ in range(2):
    with pytest.raises(UserError, match="expected an empty folder, found images"):
      fuse(*clips, tmp_path / "out")
  assert _contents(tmp_path / "out") == {"000001.png": b"mine"} and not (tmp_path / "out.parts").exists()


def test_other_frames_in_the_same_place_are_another_source(clips, fuse, tmp_path):
  def die(done, count):
    if done == 9:
      raise Killed

  own = [shutil.copy(place, tmp_path / place.name) for place in clips]
  with pytest.raises(Killed):
    fuse(*own, tmp_path / "out.mp4", progress=die)
  os.utime(own[1], (1000, 1000))
  with pytest.raises(UserError, match="found those of other sources; add --overwrite"):
    fuse(*own, tmp_path / "out.mp4")


def test_a_damaged_segment_is_made_again(clips, undisturbed, fuse, tmp_path):
  def die(done, count):
    if done == 16:
      raise Killed

  out = tmp_path / "out.mp4"
  with pytest.raises(Killed):
    fuse(*clips, out, progress=die)
  first = out.with_name("out.mp4.parts") / "000000.mp4"
  first.write_bytes(first.read_bytes()[:-1] + b"?")
  assert fuse(*clips, out).before == 0
  assert out.read_bytes() == undisturbed[0].read_bytes()


@pytest.fixture
def run(capsys, one_program, tiny_prior):
  """dig2dig video in this process: run(*words) -> (status, stdout, stderr)."""

  def call(*words):
    extra = [f"--prior={tiny_prior}", "--compile_cache=", "--bucket=16", "--bands=4", "--restore=off"]
    with flagsaver.flagsaver():
      status = main.main(["video", *map(str, words), *extra])
    return status, *capsys.readouterr()

  return call


def test_ctrl_c_says_how_far_and_the_same_command_goes_on(clips, run, tmp_path, monkeypatch):
  monkeypatch.setattr("dig2dig_jax.cli.video.VideoConfig", functools.partial(VideoConfig, segment=7))
  at = Progress.at
  monkeypatch.setattr(Progress, "at", lambda self, done: done == 10 and os.kill(os.getpid(), signal.SIGINT))
  out = tmp_path / "new" / "out.mp4"
  status, told, _ = run(*clips, "-o", out)
  assert status == 130 and not out.exists()
  assert "stopped by Ctrl-C: 7 of 20 frames are kept; the same command goes on from there" in told
  assert f"segments in {out}.parts" in told
  monkeypatch.setattr(Progress, "at", at)
  status, told, notes = run(*clips[::-1], "-o", out, "--score")
  assert status == 0 and "20 frames fused, 7 of them by an earlier run" in told and f"written: {out}" in told
  assert "warping error: fused" in told and f"note: {clips[0]} is the infrared clip" in notes
  status, _, refused = run(*clips, "-o", out)
  assert status == 2 and "expected nothing there, found a file" in refused
  assert run(*clips, f"--score={out}")[0] == 0


def test_a_cut_of_two_frame_rates_is_in_two_steps_and_neither_is_scored(tmp_path):
  infrared, visible = map(open_clip, made.write_both(tmp_path, count=20, size=(96, 128), cut=0.42, sound=False))
  assert scoring.flicker(infrared, visible, visible).pairs == 17  # of 19: the visible clip cuts at 11, infrared at 12


@pytest.mark.parametrize(
  ("words", "said"),
  [
    (("{ir}",), "expected two clips, infrared and visible, found 1"),
    (("{ir}", "{ir}", "-o", "o.mp4"), "expected two different clips"),
    (("{ir}", "{vi}"), "expected -o FUSED.mp4"),
    (("{ir}", "{vi}", "-o", "o.gif"), "expected .mp4, .m4v, .mov, .mkv, or a folder"),
    (("{ir}", "{vi}", "-o", "o.mp4", "--align=auto"), "--align=auto: expected registered clips"),
    (("{ir}", "{vi}", "-o", "o.mp4", "--offset=soon"), "--offset=soon: expected seconds"),
    (("{ir}", "{vi}", "-o", "o.mp4", "--steady=0"), "--steady=0: expected the share"),
    (("{ir}", "{vi}", "-o", "o.mp4", "--bit_depth=16"), "--bit_depth=16: expected 8 for a video file"),
    (("{ir}", "nowhere.mp4", "-o", "o.mp4"), "nowhere.mp4: expected a video"),
    (("{ir}", "torn.mp4", "-o", "o.mp4"), "torn.mp4: expected a whole video, found a damaged file"),
    (("{ir}", "text.mp4", "-o", "o.mp4"), "text.mp4: expected a whole video, found a damaged file"),
    (("{ir}", "wide.mp4", "-o", "o.mp4"), "expected frames of the same aspect as .*dig2dig align"),
    (("{ir}", "{vi}", "-o", "theirs.mp4", "--overwrite"), "theirs.mp4: expected nothing or a result of this program"),
    (("{ir}", "{vi}", "-o", "o.mp4", "--offset=99"), "expected frames at the times of those of the other clip"),
  ],
)
def test_what_cannot_be_is_one_line_and_status_2(run, clips, tmp_path, monkeypatch, words, said):
  monkeypatch.chdir(tmp_path)
  whole = clips[1].read_bytes()
  (tmp_path / "torn.mp4").write_bytes(whole[: len(whole) // 2])
  (tmp_path / "text.mp4").write_text("no video\n" * 100)
  (tmp_path / "theirs.mp4").write_bytes(whole)
  if "wide.mp4" in words:
    made.write(tmp_path / "wide.mp4", [made.Scene((32, 96)).at(0)[1]], rate=25)
  status, told, notes = run(*(word.format(ir=clips[0], vi=clips[1]) for word in words))
  errors = [line for line in notes.splitlines() if not line.startswith("note: ")]
  assert status == 2 and told == "" and len(errors) == 1 and errors[0].startswith("error: "), notes
  assert re.search(said, errors[0]), errors[0]
  assert (tmp_path / "theirs.mp4").read_bytes() == whole and not (tmp_path / "o.mp4").exists()


def test_other_methods_fuse_frame_by_frame_and_say_so(clips, run, tmp_path):
  words = ("--weights=uniform", "--dig_window=cumulative", "--base=uniform", "--target=0", "--undershoot=-1")
  status, told, notes = run(*clips, "-o", tmp_path / "out", *words)
  assert status == 0 and "20 frames fused" in told
  assert "note: frames are fused independently: averaging weights over time needs" in notes
  assert len(list((tmp_path / "out").glob("*.png"))) == 20


def test_noise_is_removed_from_all_frames_alike(fuse, tmp_path):
  scene = made.Scene((32, 48), noise=14)
  for name, k in (("ir", 0), ("vi", 1)):
    frames = [scene.at(number / 25)[k] for number in range(5)]
    made.write(tmp_path / f"{name}.mp4", frames, rate=25, options={"crf": "0"})
  places = tmp_path / "ir.mp4", tmp_path / "vi.mp4"
  restored, plain = fuse(*places, tmp_path / "restored", restore=True), fuse(*places, tmp_path / "plain")
  assert sum("removed from all frames alike" in note for note in restored.notes) == 2 and not plain.notes
  images = [open_clip(tmp_path / name).at(2).astype(int) for name in ("restored", "plain")]
  assert np.abs(images[0] - images[1]).mean() > 1


def test_few_frames_live_at_a_time_however_long_the_clips(clips, fuse, tmp_path, monkeypatch):
  live, most = [0], []

  class Samples(np.ndarray):
    """Can be asked whether it lives."""

  def gone():
    live[0] -= 1

  decoded = container.Container._decoded

  def counted(self, frame):
    found = decoded(self, frame).view(Samples)
    weakref.finalize(found, gone)
    live[0] += 1
    most.append(live[0])
    return found

  monkeypatch.setattr(container.Container, "_decoded", counted)
  counts = []
  for name, length in (("short", 12), ("long", 60)):
    visible = tmp_path / f"{name}.mp4"
    scene = made.Scene((32, 48))
    made.write(visible, (scene.at(k / 25)[1] for k in range(length)), rate=25)
    gc.collect()
    most.clear()
    infrared = tmp_path / f"ir_{name}.mp4"
    made.write(infrared, (scene.at(k / 25)[0] for k in range(length)), rate=25)
    report = fuse(infrared, visible, tmp_path / f"out_{name}.mp4")
    assert report.frames == length
    counts.append(max(most))
  assert counts[1] <= max(counts[0], 2 * 9 + 2 * stream.AHEAD + 6), counts


def test_the_thread_that_reads_ends_with_whoever_stops_early(clips):
  frames = stream._ahead(iter_forever())
  assert [next(frames) for _ in range(3)] == [0, 1, 2]
  frames.close()
  assert not [thread for thread in threading.enumerate() if thread.name == "frames"]


def iter_forever():
  yield from itertools.count()


def test_a_table_tells_the_flicker_of_several_clips(clips, undisturbed, tmp_path, capsys):
  """The infrared clip has fewer frames than the visible one: a copy of the visible one changes as that does."""
  assert main.main(["evaluate", "--video", *map(str, clips), str(undisturbed[0]), str(clips[1])]) == 0
  head, line, fused, copy = [[cell.strip() for cell in row.strip("| ").split("|")]
                             for row in capsys.readouterr().out.splitlines()]  # fmt: skip
  assert head == ["clip", "warping error", "ir", "vi", "excess", "pairs of frames"] and len(line) == len(head)
  assert fused[0] == "out.mp4" and copy[0] == "vi.mp4" and fused[5] == copy[5] == "18"  # 19, less the cut
  assert copy[1] == copy[3] == fused[3] and float(copy[4]) == 0 < float(fused[4])
  (tmp_path / "one").mkdir()
  cv2.imwrite(str(tmp_path / "one" / "1.png"), np.zeros((16, 24), np.uint8))
  assert main.main(["evaluate", "--video", *3 * [str(tmp_path / "one")]]) == 0
  assert "| one | – | – | – | – | 0 |" in capsys.readouterr().out
  assert main.main(["evaluate", "--video", *map(str, clips)]) == 2
  assert "expected IR VI FUSED, two clips and one or more fused from them, found 2" in capsys.readouterr().err


def test_without_pyav_a_line_names_what_to_install(clips, monkeypatch):
  monkeypatch.setitem(sys.modules, "av", None)
  with pytest.raises(UserError, match=r"expected PyAV .*python -m pip install 'dig2dig_jax\[video\]'"):
    open_clip(clips[0])
