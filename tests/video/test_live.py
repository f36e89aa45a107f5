"""Do sources that run come out as they run: the newest frames, in real time, on a guarded page or into a pipe?"""

import io
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from fractions import Fraction
from pathlib import Path

import made_clips as made
import numpy as np
import pytest
from video_options import OPTIONS

from dig2dig_jax.cli import live as command
from dig2dig_jax.errors import UserError
from dig2dig_jax.methods.codec import luminance_codec
from dig2dig_jax.methods.registry import make_method
from dig2dig_jax.video import job, live
from dig2dig_jax.video.clip import open_clip
from dig2dig_jax.video.config import VideoConfig

pytestmark = [pytest.mark.usefixtures("quick_compile"), pytest.mark.skipif(made.av is None, reason="no PyAV")]
pytest_plugins = ("video_runs",)
SIZE = (32, 48)


@pytest.fixture(scope="module")
def flow(clips, prior):
  """20 visible frames at 25 a second, infrared ones at 10."""
  method = make_method(prior, luminance_codec(1), options=OPTIONS)
  opened = {name: open_clip(place) for name, place in zip(("ir", "vi"), clips, strict=True)}
  found = job.flow_of(opened, VideoConfig(bucket=16, restore=False), method, OPTIONS, prior, lambda line: None)
  live.compile_first(found)
  return found


def test_files_play_in_real_time(flow):
  begun, tally = time.monotonic(), live.Tally()
  arrived = [0]
  found = []
  for shown in live.fused(flow, tally=lambda count: arrived.__setitem__(0, count)):
    found.append(shown)
    tally.add(shown)
  assert time.monotonic() - begun > 19 / 25  # the clip's own length, however fast this machine is
  assert [shown.number for shown in found] == sorted({shown.number for shown in found}) and found[-1].number == 19
  assert all(shown.image.shape == (*SIZE, 3) and shown.image.dtype == np.uint8 for shown in found)
  assert min(shown.latency for shown in found) < 0.5
  assert f"{20 - len(found)} of 20 frames passed over" in tally.line(arrived[0])


def test_the_newest_frame_counts_for_who_is_slow(flow):
  numbers = []
  for shown in live.fused(flow):
    numbers.append(shown.number)
    time.sleep(0.15)
  assert len(numbers) < 12 and numbers[-1] == 19 and np.diff(numbers).max() > 1


def test_frames_end_with_the_infrared_ones(flow):
  clips = {"ir": flow.clips["ir"], "vi": Longer(flow.clips["vi"])}
  numbers = [shown.number for shown in live.fused(flow._replace(clips=clips))]
  # The last infrared frame is due at 0.7 s and counts for 0.15 s, and visible ones come every 0.04 s to 1.56 s.
  assert 19 <= numbers[-1] <= 30


class Longer:
  """A clip twice as long."""

  def __init__(self, clip):
    self._clip, self.path = clip, clip.path

  def frames(self):
    for turn in range(2):
      for frame in self._clip.frames():
        yield frame._replace(number=frame.number + 20 * turn, time=frame.time + Fraction(20 * turn, 25))


class Slow(io.BytesIO):
  """A pipe into which somebody writes a frame now and then."""

  def read(self, size=-1):
    time.sleep(0.01)
    return super().read(size)


def test_raw_frames_of_a_pipe(prior):
  rng = np.random.default_rng(0)
  frames = rng.integers(0, 256, (25, *SIZE, 1), np.uint8)
  clips = {
    "ir": live.Raw(Path("ir"), Slow(frames.tobytes()), SIZE, 1),
    "vi": live.Raw(Path("vi"), Slow(np.repeat(frames, 3, axis=-1).tobytes()), SIZE, 3),
  }
  live.begin(clips)
  np.testing.assert_array_equal(clips["ir"].sample(9), frames[:9])
  method = make_method(prior, luminance_codec(1), options=OPTIONS)
  flow = job.flow_of(clips, VideoConfig(bucket=16, restore=False), method, OPTIONS, prior, lambda line: None)
  found = list(live.fused(flow))
  assert found[-1].number == 25 - 9 - 1
  # Two sources that are the same are what is fused of them.
  assert np.abs(found[-1].image.astype(int) - frames[-1]).max() <= 1
  cut = live.Raw(Path("cut"), io.BytesIO(frames.tobytes()[:-5]), SIZE, 1)
  with pytest.raises(UserError, match="cut: expected frames of 1536 bytes, found 1531 at the end"):
    list(cut.arriving())
  with pytest.raises(UserError, match="expected 9 frames and more, found 2"):
    live.Raw(Path("short"), io.BytesIO(frames[:2].tobytes()), SIZE, 1).begin()


def test_the_page_is_guarded_and_moves():
  stream = pytest.importorskip("dig2dig_jax.app.stream", reason="no starlette: pip install dig2dig_jax[app]")
  pictures = stream.Pictures()
  stop = threading.Event()

  def run():
    level = 0
    while not stop.is_set():
      pictures.show(np.full((*SIZE, 3), level % 256, np.uint8))
      level += 40
      time.sleep(0.01)

  with stream.Page(pictures) as page:
    shower = threading.Thread(target=run)
    shower.start()
    try:
      with urllib.request.urlopen(page.address, timeout=10) as answer:
        assert b'<img src="frames"' in answer.read()
      with urllib.request.urlopen(f"{page.address}frames", timeout=10) as answer:
        assert answer.headers.get_content_type() == "multipart/x-mixed-replace"
        content = b"".join(answer.read(400) for _ in range(12))
      parts = [part for part in content.split(b"--frame") if b"\xff\xd8" in part]
      assert len(parts) >= 3 and parts[1] != parts[2]  # JPEG after JPEG, and they differ
      wrong = page.address.replace(page.address.split("/")[3], "x" * 32)
      for address, headers in ((wrong, {}), (page.address, {"Host": "elsewhere"}),
                               (page.address, {"Origin": "http://elsewhere"})):  # fmt: skip
        with pytest.raises(urllib.error.HTTPError) as refused:
          urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=10)
        assert refused.value.code == 403
        refused.value.close()
    finally:
      stop.set()
      shower.join()


def test_what_cannot_be_a_source_is_said():
  for place in ("raw:x", "raw:x:640:1", "raw:x:640x480:2", "raw::640x480:1"):
    with pytest.raises(UserError, match="expected raw:PATH:WIDTHxHEIGHT:CHANNELS"):
      command.source(place)
  for words, expected in ((["a"], "two sources"), (["a", "b", "--out=x.mp4"], "use dig2dig video to write files"),
                          (["a", "b", "--gains=x"], "swift or prior"), (["a", "b", "--seconds=0"], "above 0")):
    with pytest.raises(UserError, match=expected):
      command.run(words)


@pytest.mark.slow
def test_the_command_writes_raw_frames(clips, tiny_prior):
  words = ["live", *map(str, clips), "-o", "-", "--restore=off", "--gains=prior", f"--prior={tiny_prior}"]
  done = subprocess.run([sys.executable, "-m", "dig2dig_jax", *words], capture_output=True, check=True, timeout=200)
  assert len(done.stdout) % (SIZE[0] * SIZE[1] * 3) == 0 and len(done.stdout) > 0
  assert b"latency" in done.stderr and Fraction(len(done.stdout), SIZE[0] * SIZE[1] * 3) <= 20
