"""Is a known transform found again, across modalities, sizes and masks, and is a pair of two scenes refused?"""

import cv2
import jax
import made
import numpy as np
import pytest

from dig2dig_jax import align
from dig2dig_jax.alignment import confidence, descriptor, spline, stored, structure, warp
from dig2dig_jax.alignment.aligner import Aligner, lines
from dig2dig_jax.alignment.estimate import estimate
from dig2dig_jax.alignment.levels import are_scans
from dig2dig_jax.alignment.transforms import corner_error, mapped
from dig2dig_jax.data.images import Image

pytestmark = pytest.mark.usefixtures("simple_loops")
SIZE = (150, 200)
MOVED = made.similarity((5.0, -4.0), 1.06, 2.0)


@pytest.fixture(scope="module")
def image():
  return made.scene(0)


def test_structure_knows_no_sign_and_nothing_outside(image):
  mask = np.ones(image.shape, np.float32)
  mask[:, :60] = 0
  gray = np.float32(image) / 255
  there, turned = (np.asarray(structure.orientations(one, mask)) for one in (gray, 1 - gray))
  np.testing.assert_allclose(there, turned, atol=1e-4)
  assert np.all(there[:, :60] == 0) and np.abs(there[:, 70:]).max() > 0.2
  disturbed = np.where(mask == 0, 0.9, gray)
  np.testing.assert_allclose(np.asarray(structure.orientations(np.float32(disturbed), mask)), there, atol=1e-5)


def test_a_large_turn_is_found_from_the_grid_of_starts(image):
  matrix = made.similarity((14.0, -9.0), 0.82, -7.0)
  source, mask = made.moved(made.other_kind(image), matrix)
  found = estimate(image, source, source_mask=mask)
  assert found.accepted and corner_error(found.matrix, matrix, *SIZE) < 1.0
  assert found.features == 0  # none agree between two kinds of image


def test_exposures_are_aligned_by_their_features():
  matrix = MOVED @ np.array([[1, 0.002, 0], [0.002, 1, 0], [2e-5, -1e-5, 1]])
  source, mask = made.moved(made.darker(made.spots(0)), matrix)
  found = estimate(made.spots(0), source, source_mask=mask)
  assert found.accepted and found.features >= 60 and corner_error(found.matrix, matrix, *SIZE) < 0.3


def test_a_perspective_is_found_where_it_is_asked_for(image):
  matrix = MOVED @ np.array([[1, 0.01, 0], [0, 1.01, 0], [6e-5, -4e-5, 1]])
  source, mask = made.moved(image, matrix)
  found = estimate(image, source, source_mask=mask, model="homography")
  assert corner_error(found.matrix, matrix, *SIZE) < 0.6 < corner_error(MOVED, matrix, *SIZE)


def test_a_source_of_a_third_of_the_pixels_is_found_in_its_own_pixels(image):
  third = made.similarity((2.0, 1.0)) @ np.eye(3)
  matrix = np.array([[1 / 3, 0, -1 / 3], [0, 1 / 3, -1 / 3], [0, 0, 1]]) @ third
  source, mask = made.moved(image, matrix, (50, 67))
  found = estimate(image, source, source_mask=mask)
  assert found.accepted and corner_error(found.matrix, matrix, *SIZE) < 0.4


@pytest.mark.slow
def test_a_whole_frame_that_was_squeezed_is_found(image):
  squeezed = np.array([[0.4, 0, -0.3], [0, 0.6, -0.2], [0, 0, 1]])
  source, _ = made.moved(made.other_kind(image), squeezed, (90, 80))
  found = estimate(image, source)
  assert found.accepted and corner_error(found.matrix, squeezed, *SIZE) < 0.5
  assert not estimate(image, made.moved(made.other_kind(made.scene(7)), squeezed, (90, 80))[0]).accepted


def test_a_known_displacement_is_found_applied_kept_and_told(tmp_path):
  """What the reference shows at p, the source shows at own (p + waves(p)); made the other way round."""
  source, own = made.scene(0, 190, 250), made.similarity((25.0, 20.0)) @ MOVED
  points = np.stack(np.meshgrid(np.arange(SIZE[1]), np.arange(SIZE[0])), -1).astype(np.float64)
  x, y = np.moveaxis(points, -1, 0)
  waves = 4 * np.stack([np.sin(2 * np.pi * y / SIZE[0]), np.cos(1.5 * np.pi * x / SIZE[1])], -1)
  truth = mapped(own, points + waves)
  reference = cv2.remap(source, *np.moveaxis(np.float32(truth), -1, 0), cv2.INTER_CUBIC)
  pixels = {"vi": reference, "ir": made.other_kind(source)}
  images = {name: Image(np.repeat(np.float32(gray)[..., None] / 127.5 - 1, 3, -1), False, 8, None, None)
            for name, gray in pixels.items()}  # fmt: skip
  files = {name: tmp_path / name for name in images}
  aligned, told = Aligner("flow", reference="vi")(images, files)
  matrix, grid = np.array(told["ir"]["matrix"]), np.array(told["ir"]["flow"])
  inner = np.s_[15:-15, 15:-15]
  away = [np.linalg.norm(mapped(matrix, points + displaced) - truth, axis=-1)[inner].mean()
          for displaced in (0, spline.at(grid, points, SIZE))]  # fmt: skip
  assert away[1] < 0.8 and 3 * away[1] < away[0]
  expected = made.other_kind(reference)
  error = [np.abs(127.5 * one[..., 0] + 127.5 - expected)[inner].mean()
           for one in (aligned["ir"].pixels, warp.onto(images["ir"].pixels, matrix, SIZE)[0])]  # fmt: skip
  assert error[0] < 0.6 * error[1]
  line, more = lines([("one", told)])
  assert line == "ir: aligned with vi in 1 of 1 pair" and more.startswith("ir: displaced in 1 of 1 pair, by up to ")
  placed = stored.Placed(matrix, source.shape, 1.0, grid)
  stored.write(tmp_path / "t.json", stored.Transforms("vi", SIZE, {"ir": placed}))
  again, _ = Aligner(known=stored.read(tmp_path / "t.json"))(images, files)
  np.testing.assert_allclose(again["ir"].pixels, aligned["ir"].pixels, atol=0.02)  # of 2: grids are rounded to 0.001 px


def test_two_scenes_and_an_empty_image_are_refused(image):
  refused = align(image, made.other_kind(made.scene(7)), model="flow")
  assert refused.image is None and refused.alignment.confidence < 0.5 and refused.alignment.flow is None
  assert not estimate(image, np.full(SIZE, 9, np.uint8)).accepted
  with pytest.raises(ValueError, match="model: expected one of auto, flow, translation"):
    estimate(image, image, model="optical")


def test_heads_on_black_are_asked_for_more(image):
  head = np.zeros(SIZE, bool)
  head[30:120, 50:150] = True
  scan, everywhere = np.where(head, image // 2 + 120, 0).astype(np.uint8), np.ones(SIZE, bool)
  of_scenes, of_scans, of_both = (confidence.of_gain(0.75, scans=are_scans(images, [everywhere] * 2))
                                  for images in ([image, image], [scan, scan], [scan, image]))  # fmt: skip
  assert of_scans < 0.5 < of_scenes == of_both


def test_a_scan_is_compared_with_what_was_taught_on_scans(image, monkeypatch):
  head = np.zeros(SIZE, bool)
  head[30:120, 50:150] = True
  asked, embedded = [], descriptor.embedded
  monkeypatch.setattr(descriptor, "embedded", lambda scans=False: asked.append(scans) or embedded(scans))
  estimate(image, image)
  estimate(*2 * [np.where(head, image // 2 + 120, 0).astype(np.uint8)])
  assert asked == [False, True]
  assert jax.tree.map(np.shape, embedded(True)) == jax.tree.map(np.shape, embedded(False))


def test_ct_is_aligned_with_mri_of_a_patient_who_was_not_taught_and_no_other_slice(shared_data):
  mri, ct, other = (cv2.imread(str(shared_data / "mif/mri_ct" / name), cv2.IMREAD_GRAYSCALE)
                    for name in ("mri/15.png", "ct/15.png", "ct/20.png"))  # fmt: skip
  source, mask = made.moved(ct, MOVED)
  found = estimate(mri, source, source_mask=mask)
  assert found.accepted and corner_error(found.matrix, MOVED, *mri.shape) < 3
  assert not estimate(mri, other).accepted


def test_what_is_outside_of_the_mask_does_not_matter(image):
  source, mask = made.moved(image, MOVED)
  mask[:, :70] = False
  noise = np.random.default_rng(3).integers(0, 256, SIZE).astype(np.uint8)
  found = [estimate(image, np.where(mask, source, filled), source_mask=mask) for filled in (np.uint8(0), noise)]
  np.testing.assert_allclose(found[0].matrix, found[1].matrix, atol=0.01)  # pixels: levels are resampled at its border
  assert found[0].accepted and corner_error(found[0].matrix, MOVED, *SIZE) < 0.7


def test_the_warp_brings_it_back_in_its_own_range(image):
  deep = image.astype(np.uint16) * 100 + 5000
  source, mask = made.moved(deep, MOVED)
  warped, valid = warp.onto(source[..., None], MOVED, SIZE, mask)
  assert warped.dtype == np.uint16 and warped.shape == (*SIZE, 1) and valid is not None
  assert source.min() <= warped.min() and warped.max() <= source.max()
  inner = valid[10:-10, 10:-10]
  away = np.abs(warped[10:-10, 10:-10, 0].astype(int) - deep[10:-10, 10:-10])[inner]
  assert np.median(away) < 300 and 0.8 < valid.mean() < 1
  assert warp.onto(deep, np.eye(3), SIZE) == (pytest.approx(deep), None)


def test_the_front_door_takes_arrays_and_says_no(image):
  source, mask = made.moved(made.other_kind(image), MOVED)
  found = align(image, np.dstack([source, np.uint8(mask) * 255]), model="flow")
  assert corner_error(found.alignment.matrix, MOVED, *SIZE) < 0.5  # across modalities
  assert found.alignment.accepted and found.image.shape == (*SIZE, 1) and not found.valid.all()
  assert found.alignment.flow is None  # a matrix explains it
  with pytest.raises(ValueError, match="source: expected uint8, uint16 or floats"):
    align(image, image.astype(np.int32))
