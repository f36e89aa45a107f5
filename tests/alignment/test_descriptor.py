"""What the learned maps are: bounded, nothing outside, and moving with the image."""

import jax
import made
import numpy as np

from dig2dig_jax.alignment import descriptor, structure

MAPS = jax.jit(descriptor.maps)


def of(image, mask):
  return np.asarray(MAPS(descriptor.embedded(), np.float32(image) / 255, np.float32(mask)))


def test_maps_are_bounded_and_nothing_outside():
  image, mask = made.scene(3, 96, 128), np.ones((96, 128))
  mask[:, :40] = 0
  found = of(image, mask)
  assert found.shape == (96, 128, structure.DIRECTIONS + 8)
  assert not found[:, :41].any() and found[10:-10, 50:-10].any(axis=-1).all()
  assert np.linalg.norm(found, axis=-1).max() < 2 * np.sqrt(2)  # two of length 1, and their means
  other = np.where(mask > 0, image, 255 - image)
  np.testing.assert_array_equal(of(other, mask), found)


def test_maps_move_with_the_image():
  large = made.scene(4, 120, 160)
  everywhere = np.ones((96, 128))
  here, there = of(large[:96, :128], everywhere), of(large[4:100, 6:134], everywhere)
  inside = here[20:-20, 22:-20], there[16:-24, 16:-26]
  means = [part - part.mean((0, 1)) for part in inside]  # of the whole image, they are subtracted
  assert np.abs(means[0] - means[1]).max() < 0.05 * np.abs(means[0]).max()


def test_what_was_learned_beats_edges_where_tones_differ():
  """The network's answers at one place agree, relative to those at others, in images of two kinds."""
  image = made.scene(5, 96, 128)
  one, other = (of(kind, np.ones(image.shape))[12:-12, 12:-12, structure.DIRECTIONS :]
                for kind in (image, made.other_kind(image)))  # fmt: skip
  same = (one * other).sum(-1).mean()
  elsewhere = np.mean([(one * np.roll(other, shift, (0, 1))).sum(-1).mean() for shift in ((20, 30), (33, -25))])
  assert same > elsewhere + 0.1
