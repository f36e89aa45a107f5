"""Is what is called flicker 0 where the sources say so, and as large as it was made elsewhere?"""

import cv2
import numpy as np
import pytest

from dig2dig_jax.metrics.flicker import Flicker


def texture(seed, size=(72, 96)):
  rng = np.random.default_rng(seed)
  coarse = rng.uniform(40, 200, (size[0] // 6, size[1] // 6)).astype(np.float32)
  return cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)


def moving(image, count, speed):
  """Frames of an image that goes to the right."""
  height, width = image.shape
  return [cv2.warpAffine(image, np.float32([[1, 0, speed * k], [0, 1, 0]]), (width, height),
                         borderMode=cv2.BORDER_REFLECT) for k in range(count)]  # fmt: skip


def found(sources, fused):
  flicker = Flicker()
  for *each, result in zip(*sources, fused, strict=True):
    flicker.add(each, result)
  return flicker.found()


def test_a_copy_of_a_source_does_not_flicker_however_it_moves():
  source, other = moving(texture(0), 6, 2.0), moving(texture(1), 6, 2.0)
  result = found([source, other], source)
  assert result.pairs == 5 and result.excess < 0.3 and result.error < 4
  assert len(result.sources) == 2


def test_brightness_that_no_source_changes_is_flicker_of_its_size():
  still = [texture(0)] * 7
  result = found([still, still], [image + 5 * (k % 2) for k, image in enumerate(still)])
  assert result.sources == (0.0, 0.0)
  assert result.error == pytest.approx(5, rel=1e-3) and result.excess == pytest.approx(5, rel=1e-3)


def test_what_one_source_changes_is_no_flicker():
  still = [texture(0)] * 6
  blinking = [image + 6 * (k % 2) for k, image in enumerate(still)]
  result = found([still, blinking], blinking)
  assert result.error > 4 and result.excess < 0.5


def test_a_target_that_moves_in_one_source_alone_is_followed_there():
  ground = [texture(0)] * 6
  infrared = moving(texture(3), 6, 2.0)
  assert found([ground, infrared], infrared).excess < 0.5


def test_a_cut_counts_for_nothing():
  frames = [texture(0)] * 3 + [255 - texture(5)] * 3
  assert found([frames], frames).error < 1
  assert np.isnan(found([frames[:1]], frames[:1]).error)


def test_a_cut_that_one_source_shows_a_frame_later_counts_for_nothing_in_both_steps():
  early, late = ([texture(0)] * count + [255 - texture(5)] * (7 - count) for count in (3, 4))
  result = found([early, late], [(a + b) / 2 for a, b in zip(early, late, strict=True)])
  assert result.pairs == 4 and result.error == 0


def test_a_source_of_noise_alone_cuts_nothing():
  rng = np.random.default_rng(0)
  frames, noise = [texture(0)] * 4, [np.float32(90 + rng.normal(0, 8, (72, 96))) for _ in range(4)]
  assert found([frames, noise], frames).pairs == 3


def test_other_shapes_are_refused():
  flicker = Flicker()
  with pytest.raises(ValueError, match="expected sources"):
    flicker.add([np.zeros((8, 8))], np.zeros((8, 8)))
  flicker.add([np.zeros((20, 20))], np.zeros((20, 20)))
  with pytest.raises(ValueError, match="of one size"):
    flicker.add([np.zeros((20, 24))], np.zeros((20, 24)))
