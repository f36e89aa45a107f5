"""Do pairs of many sizes form full batches of one size, each pair once and the unreadable ones named?"""

import numpy as np
import pytest
from scenes import write_pair

from dig2dig_jax.data.pairs import content_id, find_pairs
from dig2dig_jax.fusing.batches import batches

SIZES = {"a": (16, 16), "b": (9, 30), "c": (13, 10), "d": (16, 32), "e": (1, 5), "f": (17, 16)}
BUCKETS = {"a": (16, 16), "b": (16, 32), "c": (16, 16), "d": (16, 32), "e": (16, 16), "f": (32, 16)}


@pytest.fixture
def pairs(tmp_path):
  for name, size in SIZES.items():
    write_pair(tmp_path, name, size, channels={"ir": 1, "vi": 3})
  return find_pairs(tmp_path, ("ir", "vi"))[0]


def test_every_pair_once_in_a_batch_of_its_bucket(pairs):
  failed = []
  found = list(batches(pairs, batch_size=2, bucket=16, failed=failed))
  # Full batches first, as they fill up, then what is left, in the order of arrival.
  assert [[pair.name for pair in batch.pairs] for batch in found] == [["a", "c"], ["b", "d"], ["e"], ["f"]]
  assert not failed
  for batch in found:
    assert batch.images.dtype == np.float32 and batch.ids.dtype == np.uint32
    assert batch.images.shape == (2, 2, *BUCKETS[batch.pairs[0].name], 3) and batch.ids.shape == (2,)
    for pair, image, number in zip(batch.pairs, batch.images, batch.ids, strict=False):
      height, width = SIZES[pair.name]
      np.testing.assert_array_equal(image[:, :height, :width], pair.sources)
      assert number == content_id(pair.name)


def test_a_remainder_is_filled_up_by_its_last_pair(pairs):
  *_, last = batches(pairs[:1] + pairs[2:3], batch_size=4, bucket=16, failed=[])
  assert [pair.name for pair in last.pairs] == ["a", "c"]
  assert list(last.ids) == [content_id(name) for name in "accc"]
  np.testing.assert_array_equal(last.images[2], last.images[1])
  assert np.any(last.images[0] != last.images[1])


def test_padding_does_not_depend_on_the_data_set(pairs):
  (alone,) = batches(pairs[2:3], batch_size=1, bucket=16, failed=[])
  among, *_ = batches(pairs, batch_size=2, bucket=16, failed=[])
  assert among.pairs[1].name == "c"
  np.testing.assert_array_equal(alone.images[0], among.images[1])


def test_the_unreadable_is_named_and_the_rest_goes_on(pairs):
  pairs[0].files["vi"].write_bytes(b"")
  failed = []
  found = list(batches(pairs, batch_size=1, bucket=16, failed=failed))
  assert [batch.pairs[0].name for batch in found] == list("bcdef")
  (line,) = failed
  assert str(pairs[0].files["vi"]) in line and "empty file" in line


def test_nothing_is_read_before_it_is_needed(pairs):
  pairs[-1].files["ir"].unlink()
  failed = []
  next(batches(pairs, batch_size=1, bucket=16, failed=failed))
  assert not failed
