"""Buckets, and mirror padding against numpy.pad."""

import numpy as np
import pytest

from dig2dig_jax.data import padding


@pytest.mark.parametrize("size, multiple, expected", [
  ((1, 1), 32, (32, 32)), ((32, 64), 32, (32, 64)), ((33, 63), 32, (64, 64)), ((7, 9), 1, (7, 9)),
])
def test_bucket_size(size, multiple, expected):
  assert padding.bucket_size(*size, multiple=multiple) == expected


@pytest.mark.parametrize("arguments", [(0, 4, 8), (4, 4, 0)])
def test_bucket_size_refuses_nonsense(arguments):
  with pytest.raises(ValueError, match="positive"):
    padding.bucket_size(*arguments[:2], multiple=arguments[2])


@pytest.mark.parametrize("size, padded", [
  ((5, 7), (8, 8)), ((5, 7), (5, 7)), ((3, 2), (32, 33)), ((1, 4), (6, 6)), ((1, 1), (8, 8)),
])
def test_reflect_pad_is_numpys_reflection(size, padded):
  image = np.random.default_rng(0).random((2, *size, 3)).astype(np.float32)
  margin = [(0, 0), (0, padded[0] - size[0]), (0, padded[1] - size[1]), (0, 0)]
  result = padding.reflect_pad(image, padded)
  np.testing.assert_array_equal(result, np.pad(image, margin, mode="reflect"))
  np.testing.assert_array_equal(padding.crop(result, size), image)


def test_sizes_that_cannot_be():
  image = np.zeros((4, 4, 3), np.float32)
  with pytest.raises(ValueError, match="cannot pad 4x4 to the smaller 3x8"):
    padding.reflect_pad(image, (3, 8))
  with pytest.raises(ValueError, match="cannot crop 4x4 to the larger 3x8"):
    padding.crop(image, (3, 8))
