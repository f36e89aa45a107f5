"""Full-range BT.601 against Pillow, the definition and itself."""

import jax
import jax.numpy as jnp
import numpy as np
import PIL.Image
import pytest

from dig2dig_jax.ops import color


@pytest.fixture
def rgb():
  return np.random.default_rng(0).integers(0, 256, (2, 16, 24, 3)).astype(np.uint8)


def _scaled(levels):
  return (levels / 127.5 - 1).astype(np.float32)


def test_forward_agrees_with_pillow_within_a_level(rgb):
  ours = np.asarray(color.rgb_to_ycbcr(_scaled(rgb)))
  # Levels: Y from -1..1 to 0..255; chroma is centred at level 128 in a file.
  levels = ours * 127.5 + np.array([127.5, 128, 128])
  for image, expected in zip(levels, rgb, strict=True):
    pillow = np.asarray(PIL.Image.fromarray(expected).convert("YCbCr"), float)
    assert np.abs(image - pillow).max() <= 1


def test_inverse_agrees_with_pillow_within_a_level(rgb):
  ycbcr = np.asarray(PIL.Image.fromarray(rgb[0]).convert("YCbCr"))
  pillow = np.asarray(PIL.Image.fromarray(ycbcr, "YCbCr").convert("RGB"), float)
  ours = color.ycbcr_to_rgb(((ycbcr - np.array([127.5, 128, 128])) / 127.5).astype(np.float32))
  assert np.abs(np.clip((np.asarray(ours) + 1) * 127.5, 0, 255) - pillow).max() <= 1


def test_round_trip_costs_only_float_rounding(rgb):
  x = _scaled(rgb)
  np.testing.assert_allclose(color.ycbcr_to_rgb(color.rgb_to_ycbcr(x)), x, atol=1e-6)


def test_definition():
  r, g, b = 0.3, -0.6, 0.9
  y = 0.299 * r + 0.587 * g + 0.114 * b
  np.testing.assert_allclose(
    color.rgb_to_ycbcr(jnp.array([r, g, b])), [y, (b - y) / 1.772, (r - y) / 1.402], atol=1e-7)


def test_extremes_stay_in_range_and_gray_has_no_chroma():
  corners = np.stack(np.meshgrid(*[[-1.0, 1.0]] * 3), -1).reshape(-1, 3).astype(np.float32)
  ycbcr = np.asarray(color.rgb_to_ycbcr(corners))
  assert np.abs(ycbcr).max() <= 1 + 1e-6
  np.testing.assert_allclose([ycbcr.min(0), ycbcr.max(0)], [[-1] * 3, [1] * 3], atol=1e-6)
  gray = np.linspace(-1, 1, 11, dtype=np.float32)[:, None].repeat(3, 1)
  np.testing.assert_allclose(color.rgb_to_ycbcr(gray), gray * [1, 0, 0], atol=1e-7)


@pytest.mark.parametrize("leading", [(), (5,), (2, 3, 4)])
def test_luma_is_the_first_channel_on_any_leading_axes(leading):
  x = jax.random.uniform(jax.random.key(0), (*leading, 3), minval=-1)
  y = color.luma(x)
  assert y.shape == (*leading, 1)
  np.testing.assert_allclose(y, color.rgb_to_ycbcr(x)[..., :1], atol=1e-7)


def test_runs_under_jit_and_keeps_float32_for_bfloat16():
  x = jnp.full((4, 3), 0.5, jnp.bfloat16)
  assert jax.jit(color.rgb_to_ycbcr)(x).dtype == jnp.float32


def test_refuses_integers_and_wrong_channels():
  with pytest.raises(AssertionError):
    color.luma(np.zeros((2, 3), np.uint8))
  with pytest.raises(AssertionError):
    color.luma(np.zeros((2, 4), np.float32))
