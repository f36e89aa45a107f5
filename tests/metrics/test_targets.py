"""Do the measures of warm targets say what their definition says, beside NumPy's?"""

import cv2
import numpy as np
import pytest

from dig2dig_jax import metrics

NAMES = metrics.PROTOCOLS["targets"]


@pytest.fixture(scope="module", autouse=True)
def programs(quick_compile):
  """Compiled quickly."""


@pytest.fixture
def scene():
  """(infrared with two warm targets, visible, average), odd sizes."""
  rng = np.random.default_rng(0)
  visible, infrared = np.rint(rng.uniform(60, 120, (2, 75, 90)))
  infrared[20:30, 30:34] += 110
  infrared[50:58, 60:64] += 120
  return infrared, visible, np.rint((infrared + visible) / 2)


def expected(infrared, fused):
  count = int(0.015 * infrared.size)
  hot = infrared >= np.sort(infrared.ravel())[-count]
  outer, inner = (cv2.dilate(hot.astype(np.uint8), np.ones((side, side))) > 0 for side in (29, 7))
  ring = outer & ~inner
  return (fused[hot].mean() - fused[ring].mean()) / (infrared[hot].mean() - infrared[ring].mean())


def test_contrast_is_the_targets_less_their_surroundings(scene):
  infrared, visible, average = scene
  found = metrics.score([infrared, visible], average, NAMES)
  assert found["target_contrast"] == pytest.approx(expected(infrared, average), rel=1e-9)
  assert 0.3 < found["target_contrast"] < 0.7
  assert metrics.score([infrared, visible], infrared, NAMES)["target_contrast"] == pytest.approx(1)
  assert metrics.score([infrared, visible], 255 - infrared, NAMES)["target_contrast"] == pytest.approx(-1)


def test_darker_and_brighter_are_shares_beyond_every_source(scene):
  infrared, visible, _ = scene
  fused = np.minimum(infrared, visible)
  fused[:10] -= 13  # seen
  fused[10:20] -= 12
  found = metrics.score([infrared, visible], fused, NAMES)
  assert found["darker"] == pytest.approx(10 / 75) and found["brighter"] == 0
  found = metrics.score([255 - infrared, 255 - visible], 255 - fused, NAMES)
  assert found["brighter"] == pytest.approx(10 / 75) and found["darker"] == 0


def test_without_a_target_there_is_no_contrast(scene):
  _, visible, average = scene
  assert np.isnan(metrics.score([np.full_like(visible, 80), visible], average, NAMES)["target_contrast"])
