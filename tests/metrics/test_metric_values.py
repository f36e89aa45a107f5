"""Do the measures do the right thing where no toolkit can say: three sources, flat, tiny and unfit images?"""

import cv2
import jax.numpy as jnp
import numpy as np
import pytest
from skimage import filters
from skimage.metrics import structural_similarity

from dig2dig_jax import metrics
from dig2dig_jax.metrics import structure

ALL = tuple(metrics.METRICS)
BATCHED = ("EN", "MI", "AG", "CC", "SSIM", "SSIM_tang", "MEF_MS_SSIM", "VIF", "Qabf", "Nabf", "FMI_dct")
# How single sources make up three; what the toolkits say of two is in test_metric_goldens.
MEANS = ("MSE", "RMSE", "CC", "CE", "SSIM_mean", "PSNR_mean", "FMI")
SUMS = ("VIF", "SSIM", "MI", "MI_nats", "NMI", "PSNR_sum")
BLIND = {"SD", "SD_sample", "EN", "SF", "SF_vifb", "AG", "AG_tang", "AG_forward", "EI", "EI_skimage", "EI_zoo"}


@pytest.fixture(scope="module", autouse=True)
def programs(quick_compile):
  patch = pytest.MonkeyPatch()
  patch.setattr(metrics, "_MULTIPLE", 64)
  yield
  patch.undo()


@pytest.fixture(scope="module")
def images():
  rng = np.random.default_rng(0)
  smooth = [cv2.GaussianBlur(rng.uniform(0, 255, (48, 56)), (0, 0), 1.5) for _ in range(4)]
  return [np.rint(image) for image in smooth]


@pytest.fixture(scope="module")
def three(images):
  return metrics.score(images[:3], images[3], ALL)


@pytest.fixture(scope="module")
def twice(images):
  """([3, 2, H, W] each of the three sources twice, as a pair; [3, H, W] the fused image three times)."""
  return np.stack([[source, source] for source in images[:3]]), np.stack([images[3]] * 3)


@pytest.fixture(scope="module")
def singles(twice):
  """Measures of each of these pairs, scored as one batch."""
  names = tuple(dict.fromkeys((*sorted(BLIND), *MEANS, *SUMS, "Qabf", *BATCHED)))
  found = metrics.score_batch(*twice, names)
  assert all(values.dtype == np.float64 for values in found.values())
  return [{name: values[index] for name, values in found.items()} for index in range(3)]


def test_ssim_of_hybridfusion_is_that_of_scikit_image_inside_with_its_range(images):
  ours = metrics.score(images[:2], images[3], ("SSIM_hybrid",))["SSIM_hybrid"]
  kinds = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1, "full": True}
  theirs = [structural_similarity(image, images[3], **kinds)[1][5:-5, 5:-5].mean() for image in images[:2]]
  assert ours == pytest.approx(sum(theirs), rel=1e-9)


def test_three_sources_sum_mean_and_minimum(images, three, singles):
  def each(name, share=1.0):
    return np.array([single[name] * share for single in singles])

  for name in BLIND:
    assert np.ptp(each(name)) == 0 and three[name] == pytest.approx(singles[0][name], rel=1e-12)
  for name in MEANS:
    np.testing.assert_allclose(three[name], np.mean(each(name)), rtol=1e-9, err_msg=name)
  for name in SUMS:
    np.testing.assert_allclose(three[name], np.sum(each(name, 0.5)), rtol=1e-12, err_msg=name)
  for name in ("VIF", "SSIM"):
    np.testing.assert_allclose(three[f"{name}_min"], np.min(each(name, 0.5)), rtol=1e-12)
  np.testing.assert_allclose(three["MI_min"], np.min(each("MI_nats", 0.5)), rtol=1e-12)
  weights = [np.sum(np.hypot(*sobel(source))) for source in images[:3]]
  np.testing.assert_allclose(three["Qabf"], np.average(each("Qabf"), weights=weights), rtol=1e-12)


def sobel(image):
  padded = np.pad(image, 1)
  across = padded[:, 2:] - padded[:, :-2]
  down = padded[2:] - padded[:-2]
  return (across[:-2] + 2 * across[1:-1] + across[2:], down[:, :-2] + 2 * down[:, 1:-1] + down[:, 2:])


def test_scd_of_three_sources_subtracts_the_mean_of_the_others(images, three):
  a, b, c, fused = images
  expected = sum(np.corrcoef((fused - (y + z) / 2).ravel(), x.ravel())[0, 1]
                 for x, y, z in ((a, b, c), (b, a, c), (c, a, b)))
  np.testing.assert_allclose(three["SCD"], expected, rtol=1e-12)


def test_reference_patches_of_mef_ssim_patch_by_patch(images):
  # The definition read aloud, for one patch in the middle of an image of that size alone.
  *sources, fused = (image[10:21, 10:21] for image in images)
  window = np.outer(*2 * [np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)])
  window /= window.sum()
  plain = [source - source.mean() for source in sources]
  norms = np.array([np.linalg.norm(patch) for patch in plain])
  consistency = np.linalg.norm(sum(plain)) / norms.sum()
  weights = ((norms + 0.001) / 11) ** min(np.tan(np.pi / 2 * consistency), 10)
  shares = weights / weights.sum() / (norms + 0.001)
  reference = sum(share * patch for share, patch in zip(shares, plain, strict=True))
  reference *= (norms.max() + 0.001) / np.linalg.norm(reference)
  f = fused - np.sum(window * fused)
  r = reference - np.sum(window * reference)
  quality = (2 * np.sum(window * f * r) + 7.65**2) / (np.sum(window * f * f) + np.sum(window * r * r) + 7.65**2)
  assert metrics.score(sources, fused, ("MEF_SSIM",))["MEF_SSIM"] == pytest.approx(quality, rel=1e-9)


def test_order_of_the_sources_does_not_matter(images, three):
  backward = metrics.score(images[2::-1], images[3], ALL)
  for name in metrics.METRICS:
    # Which of two sources with no gain at all speaks is a matter of order in VIFF; targets are the first source's.
    if name not in ("VIFF", "target_contrast"):
      np.testing.assert_allclose(three[name], backward[name], rtol=1e-9, err_msg=name)


def test_a_batch_is_its_images_and_what_lies_around_them_does_not_matter(twice, singles, monkeypatch):
  monkeypatch.setattr(metrics, "_MULTIPLE", 1)
  for index, single in enumerate(singles):
    alone = metrics.score_batch(*(images[index : index + 1] for images in twice), BATCHED)
    for name in BATCHED:
      np.testing.assert_allclose(alone[name][0], single[name], rtol=1e-9, err_msg=name)


def test_better_means_what_the_registry_says(images):
  # Every measure of fidelity prefers the average to noise; some know nothing of fidelity.
  *sources, _ = images
  noise = np.random.default_rng(1).integers(0, 256, sources[0].shape)
  average = np.rint(np.average(sources, axis=0, weights=(0.4, 0.3, 0.3)))
  good, bad = (metrics.score(sources, fused, ALL) for fused in (average, noise))
  # Joint histograms of so few pixels need fewer levels, or noise that hits every pair of levels once tells all.
  counted = ("MI", "MI_nats", "MI_min", "NMI", "Qncie")
  *coarse, coarse_average, coarse_noise = (image // 64 * 64 for image in (*sources, average, noise))
  for scores, fused in ((good, coarse_average), (bad, coarse_noise)):
    found = metrics.score(coarse, fused, ALL)  # a program that is there
    scores.update({name: found[name] for name in counted})
  for name, metric in metrics.METRICS.items():
    # Noise loses no edge strength (Labf); the cross-entropy is of histograms; MS-SSIM needs a larger image.
    if name not in BLIND | {"Labf", "CE", "MS_SSIM", "MS_SSIM_zoo", "PSNR_cdd"}:
      assert (good[name] > bad[name]) == metric.higher_is_better, name


def test_entropy_counts_levels():
  quarters = np.repeat([[0, 80, 160, 255]], 6, axis=0)
  assert metrics.score([quarters] * 2, quarters, ("EN",))["EN"] == 2.0
  flat = np.full((6, 4), 9)
  assert str(metrics.score([quarters] * 2, flat, ("EN",))["EN"]) == "0.0"
  found = metrics.score([quarters, quarters[:, ::-1]], quarters, ("MI", "MI_min"))
  assert found == {"MI": pytest.approx(4), "MI_min": pytest.approx(2 * np.log(2))}


def test_black_everything_is_undefined_not_an_error():
  black = np.zeros((48, 56))
  found = metrics.score([black] * 3, black, ALL)
  undefined = {"Qabf", "VIF", "VIF_min", "SCD", "CC", "NMI", "Qcb", "Qcv", "MS_SSIM", "MS_SSIM_zoo", "PSNR_cdd"}
  undefined.add("target_contrast")
  assert {name for name, value in found.items() if np.isnan(value)} == undefined
  assert found["EN"] == found["SD"] == found["MSE"] == found["Nabf"] == 0
  assert found["SSIM"] == pytest.approx(3) and found["VIF_cdd"] == 3 and found["PSNR_sum"] == np.inf


def test_flat_sources_and_copies(images):
  flat = np.full_like(images[0], 255)  # whichever comes first
  for sources in ([images[0], images[2], flat], [flat, images[0], images[2]]):
    found = metrics.score(sources, images[1], ALL)
    undefined = {"VIF", "VIF_min", "CC", "SCD", "Qcb", "Qcv", "MS_SSIM", "MS_SSIM_zoo"}
    undefined |= {"target_contrast"} if sources[0] is flat else set()
    assert {name for name, value in found.items() if np.isnan(value)} == undefined
  copy = metrics.score(images[:3], images[0], ALL)
  assert {name for name, value in copy.items() if np.isnan(value)} == {"MS_SSIM", "MS_SSIM_zoo"}
  assert np.isnan(metrics.score(images[:2], images[0], ("SCD",))["SCD"])  # of two, nothing is left of the other
  assert copy["PSNR_sum"] == np.inf and copy["Nabf"] == 0


@pytest.mark.parametrize(
  "size, undefined",
  [
    (41, set()),
    pytest.param(40, {"VIF", "VIFF", "MEF_MS_SSIM"}, marks=pytest.mark.slow),
    (11, {"VIF", "VIFF", "MEF_MS_SSIM"}),
    (10, {"VIF", "VIFF", "MEF_MS_SSIM", "SSIM"}),
  ],
)
def test_images_smaller_than_the_window_are_undefined(size, undefined):
  a, b, fused = np.random.default_rng(size).integers(1, 256, (3, size, 45))
  names = ("EN", "SD", "VIF", "VIF_min", "VIFF", "SSIM", "SSIM_min", "CC", "SCD", "Qabf", "MEF_MS_SSIM", "Nabf", "AG")
  found = metrics.score([a, b], fused, names)
  assert {name.removesuffix("_min") for name, value in found.items() if np.isnan(value)} == undefined


def test_ms_ssim_of_odd_sizes_pads_with_zeros():
  rng = np.random.default_rng(0)
  a, b = (np.rint(cv2.GaussianBlur(rng.uniform(0, 255, (163, 177)), (0, 0), 2)) for _ in range(2))
  found = metrics.score([a, a], b, ("MS_SSIM",))["MS_SSIM"]
  product = 1.0
  for scale, power in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
    taps = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    taps /= taps.sum()

    def blur(x, taps=taps):
      return cv2.sepFilter2D(x, cv2.CV_64F, taps, taps)[5:-5, 5:-5]

    means = blur(a), blur(b)
    covariance = blur(a * b) - means[0] * means[1]
    spread = blur(a * a) - means[0] ** 2 + blur(b * b) - means[1] ** 2
    similarity = (2 * covariance + 58.5225) / (spread + 58.5225)
    if scale == 4:
      similarity *= (2 * means[0] * means[1] + 6.5025) / (means[0] ** 2 + means[1] ** 2 + 6.5025)
    product *= max(similarity.mean(), 0) ** power
    a, b = halved(a), halved(b)
  assert found == pytest.approx(2 * product, rel=1e-9)


def halved(image):
  padded = np.pad(image, [(n % 2, n % 2) for n in image.shape])
  h, w = (n // 2 for n in padded.shape)
  return padded[: 2 * h, : 2 * w].reshape(h, 2, w, 2).mean(axis=(1, 3))


def test_uniform_window_is_scikit_images(images, three):
  from skimage.metrics import structural_similarity

  expected = sum(structural_similarity(image, images[3], data_range=255.0) for image in images[:3])
  np.testing.assert_allclose(three["SSIM_uniform"], expected, rtol=1e-12)
  with pytest.raises(ValueError, match="gaussian"):
    structure.ssim(jnp.stack(images[:2]), jnp.asarray(images[3]), (48, 56), window="box")


def test_an_unknown_name_is_refused(images):
  with pytest.raises(ValueError, match="expected names among EN, .*found 'ENTROPY'"):
    metrics.score(images[:2], images[2], ("EN", "ENTROPY"))
  with pytest.raises(ValueError, match=r"\[B, K, H, W\]"):
    metrics.score_batch(np.zeros((2, 2, 8, 8)), np.zeros((2, 8, 9)))


@pytest.mark.parametrize("sources, fused, reason", [
  (1, np.zeros((8, 8)), "two or more"),
  (2, np.zeros((8, 9)), "size of the fused"),
  (2, np.zeros((8, 8, 3)), "gray image"),
  (2, np.full((8, 8), 0.5), "whole levels"),
  (2, np.full((8, 8), 256.0), "whole levels"),
  (2, np.full((8, 8), np.nan), "whole levels"),
])
def test_unfit_images_are_refused(sources, fused, reason):
  with pytest.raises(ValueError, match=reason):
    metrics.score([np.zeros((8, 8))] * sources, fused)


def test_to_gray_rounds_the_exact_luminance():
  rgb = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
  thousandths = rgb.astype(np.int64) @ [299, 587, 114]
  nearest = (thousandths + 500) // 1000
  is_tie = thousandths % 1000 == 500
  assert is_tie.any()
  np.testing.assert_array_equal(metrics.to_gray(rgb), nearest - (is_tie & (nearest % 2 == 1)))
  # OpenCV, as the CDD toolkit calls it: in float32, where a tie may go either way.
  opencv = np.rint(cv2.cvtColor(rgb.astype(np.float32), cv2.COLOR_RGB2GRAY))
  np.testing.assert_array_equal(np.where(is_tie, 0, metrics.to_gray(rgb)), np.where(is_tie, 0, opencv))
  levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
  for image in (levels, levels[..., None], np.repeat(levels[..., None], 3, axis=-1), levels.astype(np.float32)):
    gray = metrics.to_gray(image)
    assert gray.dtype == np.float64
    np.testing.assert_array_equal(gray, levels)


@pytest.mark.parametrize("image, reason", [
  (np.full((4, 4, 3), -1.0), "0..255"), (np.full((4, 4), np.nan), "0..255"), (np.full((4, 4), 256), "0..255"),
  (np.zeros((4, 4, 2)), "shape"), (np.zeros(4), "shape"), (np.zeros((0, 4)), "shape"),
])
def test_to_gray_refuses_other_ranges_and_shapes(image, reason):
  with pytest.raises(ValueError, match=reason):
    metrics.to_gray(image)


def test_the_papers_edge_intensity_is_that_of_scikit_image_and_a_quarter_of_ours(images, three):
  magnitude = np.hypot(filters.sobel_h(images[3]), filters.sobel_v(images[3]))
  assert three["EI_skimage"] == pytest.approx(magnitude.mean(), rel=1e-12)
  assert three["EI"] == pytest.approx(4 * three["EI_skimage"], rel=1e-12)  # README's printed means were divided by it
  assert "EI_skimage" in metrics.PROTOCOLS["dig2dig"] and "EI" not in metrics.PROTOCOLS["dig2dig"]
