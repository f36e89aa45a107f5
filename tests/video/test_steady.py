"""Do carried weights flicker less than single frames', and leave no trail behind what moves or was cut?"""

import made_clips as made
import numpy as np
import pytest
from video_options import OPTIONS

from dig2dig_jax.methods.codec import luminance_codec
from dig2dig_jax.methods.registry import make_method
from dig2dig_jax.metrics.flicker import Flicker
from dig2dig_jax.restoration.noise_level import Noise
from dig2dig_jax.video import steady
from dig2dig_jax.video.program import program

pytest_plugins = ("video_runs",)
pytestmark = pytest.mark.usefixtures("quick_compile")
SIZE = (48, 64)


@pytest.fixture(scope="module")
def step(prior, quick_compile):
  """step(share) -> (images, state) -> (gray levels, cut, state)."""
  known = {}

  def of(share):
    if share not in known:
      method = make_method(prior, luminance_codec(1), options=OPTIONS)
      noise = Noise(*3 * [np.zeros(2, np.float32)])
      known[share] = program(method, OPTIONS, prior.noise, noise=noise, gray=(True, False), seed=0, share=share)
    return known[share]

  return of


def fused(run, prior, frames, state=None):
  """(gray frames, numbers of cuts, state)."""
  state = steady.start(2, SIZE, OPTIONS.bands) if state is None else state
  found, cuts = [], []
  for number, (infrared, visible) in enumerate(frames):
    images = np.stack([np.repeat(infrared, 3, axis=-1), visible]).astype(np.float32) / 127.5 - 1
    one, state = run(prior.params, images, state)
    found.append(gray(np.asarray(one.image)))
    cuts += [number] if one.cut else []
  return found, cuts, state


def gray(image):
  return np.rint(image.astype(np.float64) @ [0.299, 0.587, 0.114]) if image.shape[-1] == 3 else image[..., 0]


def measured(frames, results):
  flicker = Flicker()
  for sources, result in zip(frames, results, strict=True):
    flicker.add([gray(source) for source in sources], result)
  return flicker.found()


def test_flicker_is_less_than_frame_by_frame_and_the_picture_nearer_to_the_clean_one(step, prior):
  scene = made.Scene(SIZE, noise=3, drift=4)
  frames = [scene.at(k / 25) for k in range(12)]
  clean = [[image for image in scene.clean(k / 25)] for k in range(12)]
  ideal, _, _ = fused(step(1.0), prior, clean)
  single, _, _ = fused(step(1.0), prior, frames)
  carried, cuts, _ = fused(step(steady.SHARE), prior, frames)
  assert cuts == []
  before, after = measured(frames, single), measured(frames, carried)
  assert after.excess < 0.9 * before.excess and after.error < before.error
  far = lambda found: np.mean([np.square(a - b).mean() for a, b in zip(found[3:], ideal[3:], strict=True)])  # noqa: E731
  assert far(carried) < far(single)


def test_nothing_bleeds_over_a_cut(step, prior):
  one, other = made.Scene(SIZE, seed=1), made.Scene(SIZE, seed=2, cut=0)
  first, second = ([scene.at(k / 25) for k in range(4)] for scene in (one, other))
  found, cuts, _ = fused(step(steady.SHARE), prior, [*first, *second])
  alone, _, _ = fused(step(steady.SHARE), prior, second)
  assert cuts == [4]
  for a, b in zip(found[4:], alone, strict=True):
    np.testing.assert_array_equal(a, b)


def test_a_jump_of_the_cameras_gain_is_no_cut(step, prior):
  dark = made.Scene(SIZE, noise=0, drift=0)
  frames = [[np.uint8(np.clip(image * gain, 0, 255)) for image in dark.clean(0)] for gain in (1, 1, 1.15, 1.15)]
  assert fused(step(steady.SHARE), prior, frames)[1] == []


def test_what_moves_leaves_no_trail(step, prior):
  scene = made.Scene(SIZE, noise=0, drift=0)
  frames = [[np.uint8(image) for image in scene.clean(k / 10)] for k in range(8)]
  carried, _, _ = fused(step(steady.SHARE), prior, frames)
  single, _, _ = fused(step(1.0), prior, frames)
  assert max(np.abs(a - b).mean() for a, b in zip(carried, single, strict=True)) < 0.5


def test_a_state_comes_back_from_a_file(step, prior, tmp_path):
  scene = made.Scene(SIZE)
  frames = [scene.at(k / 25) for k in range(4)]
  found, _, _ = fused(step(steady.SHARE), prior, frames)
  _, _, state = fused(step(steady.SHARE), prior, frames[:2])
  np.savez(tmp_path / "state.npz", **{name: np.asarray(one) for name, one in steady.as_arrays(state).items()})
  with np.load(tmp_path / "state.npz") as arrays:
    again, _, _ = fused(step(steady.SHARE), prior, frames[2:], steady.of_arrays(dict(arrays)))
  np.testing.assert_array_equal(again, found[2:])
