"""Is what a source lost found where it lost something, told right, and nothing found where it is whole?"""

import cv2
import numpy as np
import pytest
from scipy.fft import idctn

from dig2dig_jax.restoration import operators, sharpness


def scene(seed: int, size: tuple[int, int] = (200, 260), fall: float = 2.5) -> np.ndarray:
  """A random field with the spectrum of scenes, in levels of 0..255."""
  frequency = np.hypot(*np.meshgrid(*(np.arange(side) / (2 * side) for side in size), indexing="ij"))
  frequency[0, 0] = np.inf
  field = idctn(np.random.default_rng(seed).normal(size=size) * frequency ** (-fall / 2), norm="ortho")
  return np.clip(127.5 + 45 * field / field.std(), 0, 255)


def found(levels: np.ndarray) -> sharpness.Lost:
  return sharpness.estimate((np.rint(levels) / 127.5 - 1).astype(np.float32))


@pytest.mark.parametrize("fall", [2.2, 2.5, 2.9])
def test_a_whole_scene_lost_nothing(fall):
  assert found(scene(0, fall=fall)) == sharpness.Lost()
  noisy = scene(0, fall=fall) + np.random.default_rng(1).normal(size=(200, 260)) * 5
  assert found(noisy) == sharpness.Lost()


@pytest.mark.parametrize("blur", [1.5, 2.5, 3.5])
def test_a_blur_is_found_with_its_width(blur):
  for seed in range(3):
    lost = found(cv2.GaussianBlur(scene(seed), (0, 0), blur))
    assert lost.scale == 1 and lost.blur == pytest.approx(blur, rel=0.12)
    assert lost.sigma * 127.5 == pytest.approx(np.sqrt(1 / 12), rel=0.1)  # of the rounding
    assert lost.stages == f"blur({lost.blur:g})"


@pytest.mark.parametrize("kernel", operators.KERNELS)
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_an_enlargement_is_found_with_its_kernel_or_not_at_all(scale, kernel):
  rows, columns = operators.enlarged_matrices((240, 320), scale, kernel)
  lost = [found(rows @ scene(seed, (240, 320)) @ columns.T) for seed in range(3)]
  stages = {one.stages for one in lost}
  told = f"enlarged({scale},{kernel})"
  if (scale, kernel) in ((2, "sharp"), (3, "linear")):  # near a blur's curve: not always sure
    assert stages <= {told, ""}
  else:
    assert stages == {told} and {(one.scale, one.kernel, one.blur) for one in lost} == {(scale, kernel, 0)}


@pytest.mark.parametrize(("soft", "scale", "kernel"), [(1.2, 2, "linear"), (1.5, 3, "sharp"), (1.8, 3, "cubic")])
def test_an_enlargement_of_a_soft_scene_is_not_taken_for_a_larger_one(soft, scale, kernel):
  rows, columns = operators.enlarged_matrices((240, 320), scale, kernel)
  stages = {found(rows @ cv2.GaussianBlur(scene(seed, (240, 320)), (0, 0), soft) @ columns.T).stages
            for seed in range(3)}  # fmt: skip
  assert stages == {f"enlarged({scale},{kernel})"}, "of a sharp scene, 4 times would be the closest"


def test_a_soft_scene_lost_nothing():
  assert {found(cv2.GaussianBlur(scene(seed), (0, 0), 1.0)).stages for seed in range(3)} == {""}


def test_no_blur_is_found_where_no_curve_is_close():
  """Of so rough a surface, an enlargement is nearer to a blur than to an enlargement, but near to neither."""
  rows, columns = operators.enlarged_matrices((240, 320), 4, "sharp")
  assert {found(rows @ scene(seed, (240, 320), 1.0) @ columns.T).stages for seed in range(2)} == {""}


def test_a_blur_in_noise_is_found_as_long_as_the_noise_is_slight():
  blurred = cv2.GaussianBlur(scene(0), (0, 0), 2)
  noise = np.random.default_rng(1).normal(size=blurred.shape)
  assert found(blurred + 0.8 * noise).blur == pytest.approx(2, rel=0.12)
  assert found(blurred + 3 * noise) == sharpness.Lost()


@pytest.mark.parametrize("image", [np.zeros((40, 40)), np.zeros((128, 128)), np.eye(128) * 2 - 1])
def test_what_is_small_flat_or_no_scene_lost_nothing(image):
  assert sharpness.estimate(image.astype(np.float32)).stages == ""


def test_compression_is_no_enlargement():
  for quality in (60, 75, 85):
    levels = np.rint(scene(0, (240, 320))).astype(np.uint8)
    packed = cv2.imencode(".jpg", levels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    assert found(cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE).astype(float)).scale == 1


def test_finer_levels_tell_no_less():
  rows, columns = operators.enlarged_matrices((240, 320), 2, "linear")
  enlarged = rows @ scene(0, (240, 320)) @ columns.T
  coarse, fine = (sharpness.estimate(np.float32(step * np.rint(enlarged / step) / 127.5 - 1)) for step in (1, 1 / 257))
  assert coarse.stages == fine.stages == "enlarged(2,linear)"
