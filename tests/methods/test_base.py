"""Does `fuse` do one pair and nothing else: same result in any batch, the stated cost, colours as promised?"""

import gaussian
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toys

from dig2dig_jax.guidance import quadratic, weighting
from dig2dig_jax.methods.base import Method, Reverse
from dig2dig_jax.methods.codec import luminance_codec, rgb_codec
from dig2dig_jax.methods.cost import evaluations
from dig2dig_jax.methods.fuse import fuse
from dig2dig_jax.sampling import transition
from dig2dig_jax.sampling.denoiser import eps_denoiser

pytestmark = pytest.mark.usefixtures("quick_compile")

PARAMS = toys.conv_params()
STEPS = toys.run_steps(6)
DIG = weighting.interval_dig(STEPS, interval=2, weights={"temperature": 0.05}, errors={})


def method(**changes):
  parts = dict(
    codec=rgb_codec(),
    denoiser=lambda params: eps_denoiser(toys.conv_apply, params),
    weighting=DIG,
    guidance=quadratic.chain(quadratic.quadratic(0.6), quadratic.consistent_eps()),
    reverse=Reverse(lambda params: STEPS, transition.ddim(eta=0.5)),
  )
  return Method(**{**parts, **changes})


def compiled(method):
  """(images, seed=0, params=PARAMS) -> (fused, trace): one program for all calls of one shape."""
  whole = jax.jit(lambda params, seed, images: fuse(method, params, jax.random.key(seed), images))
  return lambda images, seed=0, params=PARAMS: whole(params, seed, images)


def test_result_does_not_depend_on_the_batch():
  m, pairs, ids = method(), toys.images(0, 3, 2, 8, 7, 3), np.arange(3)

  @jax.jit
  def batch(params, images, ids):
    return jax.vmap(lambda y, i: fuse(m, params, jax.random.fold_in(jax.random.key(0), i), y))(images, ids)

  fused, trace = batch(PARAMS, pairs, ids)
  assert fused.shape == (3, 8, 7, 3) and fused.dtype == jnp.float32
  assert trace.weights.shape == (3, 3, 2, 8, 7, 1) and trace.steps.guidance["weight"].shape == (3, 6, 2)
  for order in ([2, 0, 1], [1]):
    again, again_trace = batch(PARAMS, pairs[order], ids[order])
    np.testing.assert_allclose(again, fused[jnp.array(order)], atol=1e-5)
    np.testing.assert_allclose(again_trace.weights, trace.weights[jnp.array(order)], atol=1e-4)
  assert np.abs(fused[0] - fused[1]).max() > 0.1
  other_key, _ = batch(PARAMS, pairs[:1], ids[1:2])
  assert np.abs(other_key[0] - fused[0]).max() > 1e-3, "the key must matter, or the batch could not"


@pytest.mark.parametrize(
  ("count", "changes", "expected"),
  [
    (3, {}, 6 + 3 * 3),
    (2, {"weighting": weighting.uniform()}, 6),
    (2, {"weighting": DIG, "reverse": None, "guidance": quadratic.quadratic()}, 2 * 3),
  ],
)
def test_evaluations_are_the_network_calls_that_run(count, changes, expected):
  calls = []
  changed = method(**changes)
  counting = changed.replace(denoiser=lambda params: toys.counted(changed.denoiser(params), calls))
  compiled(counting)(toys.images(1, count, 6, 5, 3))[0].block_until_ready()
  jax.effects_barrier()
  assert len(calls) == expected == evaluations(changed, PARAMS, count)
  if changed.reverse is not None:
    assert sorted(calls[-6:], reverse=True) == STEPS.t.tolist(), "one evaluation per step"


def test_one_pass_is_the_blend_of_the_last_row():
  images = toys.images(2, 3, 5, 4, 3)
  fused, trace = compiled(method(reverse=None, guidance=quadratic.quadratic(1.0)))(images)
  assert trace.steps is None and trace.weights.shape == (3, 3, 5, 4, 1)
  np.testing.assert_allclose(fused, quadratic.blend(images, trace.weights[-1]), atol=1e-6)
  half, _ = compiled(method(reverse=None, guidance=quadratic.quadratic(0.5)))(images)
  np.testing.assert_allclose(half, (fused + images.mean(axis=0)) / 2, atol=1e-6)  # starts from the mean


def test_luminance_codec_keeps_gray_gray_and_the_chroma_of_its_source():
  """Textbook BT.601: Y = 0.299 R + 0.587 G + 0.114 B; B - Y and R - Y carry the colour."""
  coefficients = np.array([0.299, 0.587, 0.114], np.float32)

  def split(x):
    luma = np.asarray(x) @ coefficients
    return luma, x[..., 2] - luma, x[..., 0] - luma

  gray = np.repeat(toys.images(3, 8, 7, 1), 3, axis=-1)
  colour = 0.3 * toys.images(4, 2, 8, 7, 3)  # mild, so that nothing clips
  run = compiled(method(codec=luminance_codec(1), guidance=quadratic.quadratic(1.0)))
  fused, trace = run(np.stack([gray * 0.3, colour[0], colour[1]]))
  for ours, source in zip(split(fused)[1:], split(colour[0])[1:], strict=True):
    np.testing.assert_allclose(ours, source, atol=1e-6)
  lumas = np.stack([split(image)[0] for image in (gray * 0.3, *colour)])
  blend = (np.asarray(trace.weights[-1, ..., 0]) * lumas).sum(axis=0)  # strength 1: the last row decides
  np.testing.assert_allclose(split(fused)[0], blend, atol=1e-5)
  gray_fused, _ = run(np.stack([gray, -gray, gray[::-1]]))
  np.testing.assert_allclose(gray_fused[..., :1] - gray_fused, 0, atol=1e-6)


def test_codecs_clip_and_never_stretch():
  images = toys.images(5, 2, 4, 4, 3)
  for codec in (rgb_codec(), luminance_codec(0)):
    np.testing.assert_array_equal(codec.decode(jnp.full((4, 4, 3), 5.0), jnp.zeros((2, 4, 4, 3))), 1.0)
    assert codec.encode(jnp.asarray(images)).shape == images.shape
  inside = jnp.asarray(images[0])
  np.testing.assert_array_equal(rgb_codec().decode(inside, images), inside)
  encoded = luminance_codec(1).encode(jnp.asarray(images))
  np.testing.assert_array_equal(encoded[..., 0], encoded[..., 2])
  np.testing.assert_allclose(luminance_codec(1).decode(encoded[1], jnp.asarray(images)), images[1], atol=1e-6)


def test_fused_sources_start_from_noise_of_the_key():
  """Unguided on a prior that is one image: every key ends there; on a wide prior keys end elsewhere."""
  images = toys.images(6, 2, 5, 4, 3)
  plain = Reverse(lambda params: STEPS, transition.ddim())
  unguided = dict(guidance=quadratic.chain(), weighting=weighting.uniform(), reverse=plain)
  run = compiled(method(denoiser=lambda spread: gaussian.denoiser(0.25, spread), **unguided))
  for spread, same in ((0.0, True), (0.3, False)):
    first, second = (run(images, seed, spread)[0] for seed in (0, 1))
    assert (np.abs(first - second).max() < 1e-5) == same
    if same:
      np.testing.assert_allclose(first, 0.25, atol=1e-5)


@pytest.mark.parametrize(
  ("images", "words"),
  [
    (np.zeros((1, 4, 4, 3), np.float32), "two or more sources, found 1; stack all of a scene"),
    (np.zeros((2, 4, 4, 1), np.float32), r"expected \[K, H, W, 3\], found \[2, 4, 4, 1\]; stack the sources"),
    (np.zeros((4, 4, 3), np.float32), r"expected \[K, H, W, 3\], found \[4, 4, 3\]"),
    (np.zeros((2, 0, 4, 3), np.float32), r"expected \[K, H, W, 3\], found \[2, 0, 4, 3\]"),
    (np.zeros((2, 4, 4, 3), np.uint8), "expected floats in .*, found uint8; take images / 127.5 - 1 .*fuse_images"),
    ([np.zeros((4, 4, 3)), np.zeros((4, 5, 3))], "expected one shape, found"),
    ([], "two or more sources, found 0"),
    ("vi.png", "expected floats in .*, found str"),
  ],
  ids=lambda value: value[:30] if isinstance(value, str) else "",
)
@pytest.mark.usefixtures("unchecked")
def test_what_is_no_stack_of_images_is_refused_before_anything_runs(images, words):
  with pytest.raises(ValueError, match=f"images: .*{words}"):
    fuse(method(), PARAMS, jax.random.key(0), images)
  if isinstance(images, np.ndarray):  # shapes and dtypes are known while a program is traced, too
    with pytest.raises(ValueError, match=f"images: .*{words}"):
      compiled(method())(images)


def test_values_out_of_range_are_refused_where_they_are_known():
  for image, words in (
    (255 * np.random.default_rng(0).random((4, 4, 3)), "found 0.* to 2.*; scale them first: .* images / 127.5 - 1 of"),
    (np.full((4, 4, 3), np.nan), "found nan to nan"),
    (np.full((4, 4, 3), np.inf), "found 0 to inf"),
    (np.full((64, 64, 3), 0.5) + np.where(np.arange(64 * 64 * 3) == 5000, np.nan, 0).reshape(64, 64, 3), "found nan"),
  ):
    with pytest.raises(ValueError, match=rf"images: expected values in \[-1, 1\], {words}"):
      fuse(method(), PARAMS, jax.random.key(0), jnp.stack([jnp.zeros(image.shape), image]))


def test_half_precision_is_taken_in_and_computed_as_float32():
  images = toys.images(3, 2, 6, 5, 3)
  run = jax.jit(fuse, static_argnums=0)
  half, _ = run(method(reverse=None), PARAMS, jax.random.key(0), jnp.asarray(images, jnp.float16))
  whole, _ = run(method(reverse=None), PARAMS, jax.random.key(0), jnp.asarray(images, jnp.float16).astype(jnp.float32))
  assert half.dtype == jnp.float32
  np.testing.assert_allclose(half, whole, atol=1e-6)


@pytest.mark.usefixtures("unchecked")
def test_chroma_is_taken_of_a_source_that_is_there():
  images = toys.images(7, 2, 8, 8, 3)
  for source in (5, 2, -3):
    run = compiled(method(codec=luminance_codec(source)))
    with pytest.raises(ValueError, match=rf"chroma_from={source}: expected a source of 2, 0 to 1; .*chroma_from=1"):
      run(images)
  for wrong in ("vi", 1.0, True, None):
    with pytest.raises(ValueError, match="chroma_from: expected the number of a source, found"):
      luminance_codec(wrong)


def test_stretch_takes_the_image_to_the_full_range():
  images = np.repeat(toys.images(50, 2, 4, 4, 1), 3, axis=-1)
  x0 = np.linspace(-1.3, 0.4, 16, dtype=np.float32).reshape(4, 4, 1) + np.zeros(3, np.float32)
  for codec in (rgb_codec(stretch=True), luminance_codec(0, stretch=True)):
    stretched = np.asarray(codec.decode(jnp.asarray(x0), jnp.asarray(images)))
    np.testing.assert_allclose(stretched, (x0 + 1.3) / 1.7 * 2 - 1, atol=1e-5)  # before clipping, not after
    flat = np.asarray(codec.decode(jnp.full((4, 4, 3), 0.3), jnp.asarray(images)))
    np.testing.assert_allclose(flat, 0.3, atol=1e-6)


def test_a_method_is_a_static_argument_and_has_a_short_repr():
  m, images = method(reverse=None), toys.images(2, 3, 5, 4, 3)
  program = jax.jit(lambda *arguments: fuse(*arguments), static_argnums=0)  # with a cache of its own
  one = program(m, PARAMS, jax.random.key(0), images)[0]
  again = program(m.replace(), PARAMS, jax.random.key(0), images)[0]
  np.testing.assert_array_equal(one, again)
  assert program._cache_size() == 1, "an equal method is the same program"
  assert repr(m) == "Method(codec=Codec(gray=False), reverse=None)" and len(repr(method())) < 80
