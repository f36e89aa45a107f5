"""Do point features settle an alignment where they can, and say nothing where they cannot?"""

import cv2
import made
import numpy as np
import pytest

from dig2dig_jax.alignment import confidence, evidence, features, transforms
from dig2dig_jax.alignment.fit import Fit
from dig2dig_jax.alignment.transforms import corner_error

SIZE = (220, 300)
PRIOR = np.float32((*[np.inf] * 4, 0.008, 0.008, 0.006, 0.006))
START = np.zeros(transforms.PARAMETERS)


@pytest.fixture(scope="module")
def exposures():
  """(an image, a darker one that lies elsewhere, where it shows the scene, the matrix)."""
  tilt = np.array([[1, 0.002, 0], [0.002, 1, 0], [2e-5, -1e-5, 1]])
  matrix = made.similarity((6.0, -4.0), 1.03, 1.5, SIZE) @ tilt
  source, mask = made.moved(made.darker(made.spots(0, *SIZE)), matrix)
  return made.spots(0, *SIZE), source, mask, matrix


def asked(image, source, mask):
  return features.agreement([np.float32(image), np.float32(source)], [np.ones(SIZE, bool), mask], START, PRIOR)


def in_pixels(parameters):
  frame = transforms.frame(*SIZE)
  return frame @ transforms.homography(parameters, np) @ np.linalg.inv(frame)


def test_features_of_two_exposures_agree_to_a_fraction_of_a_pixel_on_a_perspective(exposures):
  image, source, mask, matrix = exposures
  found = asked(image, source, mask)
  assert found.settled and found.count >= 100 and found.within < 0.5 and found.between < 0.3
  assert corner_error(in_pixels(found.parameters), matrix, *SIZE) < 0.3


def test_nothing_is_settled_between_two_scenes_or_without_a_plane(exposures):
  image, source, mask, _ = exposures
  other, _ = made.moved(made.spots(1, *SIZE), np.eye(3))
  strange = asked(image, other, mask)
  assert strange is None or not strange.settled
  waves = np.stack(np.meshgrid(np.arange(SIZE[1]), np.arange(SIZE[0])), -1).astype(np.float32)
  waves[..., 0] += 4 * np.sin(waves[..., 1] / 20)  # no homography follows
  bent = asked(image, cv2.remap(image, *np.moveaxis(waves, -1, 0), cv2.INTER_CUBIC), np.ones(SIZE, bool))
  assert not bent.settled and bent.between > 1
  assert asked(image, np.zeros(SIZE, np.uint8), mask) is None


def test_what_is_not_valid_does_not_take_part(exposures):
  image, source, mask, _ = exposures
  mask = mask.copy()
  mask[:, :100] = False
  misleading, _ = made.moved(made.darker(made.spots(0, *SIZE)), made.similarity((2.0, 3.0), 1.0, 0.0, SIZE))
  found = [asked(image, np.where(mask, source, filled), mask) for filled in (np.uint8(0), misleading)]
  np.testing.assert_array_equal(found[0].parameters, found[1].parameters)
  assert found[0].settled


def test_halves_that_disagree_are_not_believed():
  one, other = np.zeros((2, transforms.PARAMETERS), np.float32)
  gain = np.zeros(len(evidence.ALL), np.float32)
  other[0] = 0.03  # half diagonals to the side
  apart = evidence.apart((Fit(one, gain), Fit(other, gain)), SIZE)
  assert apart == pytest.approx(0.03, rel=1e-5)
  assert confidence.of_halves((Fit(one, gain), Fit(other, gain)), SIZE) < 0.01
  assert confidence.of_halves((Fit(one, gain), Fit(one, gain)), SIZE) > 0.99
