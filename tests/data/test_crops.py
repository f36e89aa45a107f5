"""Are batches of crops a function of folder, seed and number, and crops of what they should be?"""

import itertools

import numpy as np
import pytest
from scenes import scene, write

from dig2dig_jax.data.crops import CropConfig, crop_batches
from dig2dig_jax.errors import UserError

CONFIG = CropConfig(size=16)


def take(count, folder, config=CONFIG, *, batch_size=4, seed=0, **options):
  return list(itertools.islice(crop_batches(folder, config=config, batch_size=batch_size, seed=seed, **options), count))


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
  """Three images, so that a batch of four is more than the folder; one is only just large enough."""
  folder = tmp_path_factory.mktemp("photographs")
  for index, size in enumerate(((40, 56), (64, 33), (16, 17))):
    write(folder / f"{index}.png", scene(index, *size))
  return folder


def test_shape_range_and_type(photographs):
  for batch in take(5, photographs):
    assert batch.shape == (4, 16, 16, 3) and batch.dtype == np.float32
    assert batch.min() >= -1 and batch.max() <= 1 + 1e-6
    assert batch.std() > 0.2


def test_a_batch_depends_on_the_seed_and_its_number_alone(photographs):
  first, second = take(6, photographs), take(6, photographs)
  np.testing.assert_array_equal(first, second)
  # A run that starts at batch 4 sees what the others saw from there.
  np.testing.assert_array_equal(take(2, photographs, first_batch=4), first[4:])
  assert np.any(take(1, photographs, seed=1)[0] != first[0])
  assert len({batch.tobytes() for batch in first}) == 6


def test_every_epoch_has_every_image_in_another_order(tmp_path):
  for level in (10, 90, 170, 250):
    write(tmp_path / f"{level}.png", np.full((20, 20, 3), level, np.uint8))
  batches = take(8, tmp_path)
  orders = [tuple(np.rint((batch[:, 0, 0, 0] + 1) * 127.5).astype(int)) for batch in batches]
  assert all(sorted(order) == [10, 90, 170, 250] for order in orders)
  assert len(set(orders)) > 1


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_share_of_gray_crops(tmp_path, share):
  write(tmp_path / "a.png", scene(0, 24, 24))
  (batch,) = take(1, tmp_path, CropConfig(size=8, gray_share=share), batch_size=400)
  gray = np.all(batch == batch[..., :1], axis=(1, 2, 3)).mean()
  assert gray == pytest.approx(share, abs=0.1 if 0 < share < 1 else 0)


def test_crops_are_windows_of_the_image_turned_or_mirrored(photographs):
  config = CropConfig(size=16, gray_share=0.0, max_scale=1.0)
  crops = np.concatenate(take(5, photographs, config))
  windows = set()
  for index, size in enumerate(((40, 56), (64, 33), (16, 17))):
    image = scene(index, *size)
    for view in np.lib.stride_tricks.sliding_window_view(image, (16, 16), axis=(0, 1)).reshape(-1, 3, 16, 16):
      windows.add(np.moveaxis(view, 0, -1).tobytes())
  for crop in np.rint((crops + 1) * 127.5).astype(np.uint8):
    turned = [np.rot90(side, turn) for side in (crop, crop[:, ::-1]) for turn in range(4)]
    assert any(np.ascontiguousarray(version).tobytes() in windows for version in turned)


def test_larger_windows_are_averaged_to_the_crop(tmp_path):
  """A checkerboard of single pixels keeps its contrast where pixels are kept, and loses it where they are averaged."""
  board = 255 * (np.indices((64, 64)).sum(axis=0) % 2).astype(np.uint8)
  write(tmp_path / "a.png", np.repeat(board[..., None], 3, axis=-1))
  (batch,) = take(1, tmp_path, batch_size=200)
  contrast = batch.std(axis=(1, 2, 3))
  assert np.mean(contrast > 0.99) == pytest.approx(0.5, abs=0.15)
  assert np.mean(contrast < 0.9) > 0.3


def test_folders_that_cannot_be_learned_from_are_refused(photographs, tmp_path):
  with pytest.raises(UserError, match="expected training images, found none; check --data"):
    crop_batches(tmp_path, config=CONFIG, batch_size=1, seed=0)
  with pytest.raises(UserError, match="missing: expected a folder of images"):
    crop_batches(tmp_path / "missing", config=CONFIG, batch_size=1, seed=0)
  with pytest.raises(UserError, match=r"at least 32 pixels a side, found 1 smaller ones \(2.png\); .*--crop_size"):
    crop_batches(photographs, config=CropConfig(size=32), batch_size=1, seed=0)
  (tmp_path / "broken.png").write_bytes(b"")
  with pytest.raises(UserError, match="broken.png: expected an image, found an empty file"):
    crop_batches(tmp_path, config=CONFIG, batch_size=1, seed=0)


def test_processes_share_the_batches_of_one(photographs):
  whole = take(3, photographs, batch_size=4)
  parts = [
    list(itertools.islice(crop_batches(photographs, config=CONFIG, batch_size=4, seed=0, process=p, processes=2), 3))
    for p in range(2)
  ]
  for batch, rows in zip(whole, zip(*parts, strict=True), strict=True):
    np.testing.assert_array_equal(batch, np.concatenate(rows))
  with pytest.raises(ValueError, match="a multiple of the 3 processes, found 4"):
    crop_batches(photographs, config=CONFIG, batch_size=4, seed=0, processes=3)
