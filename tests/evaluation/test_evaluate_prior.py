"""Is the denoising score of a prior the PSNR of what it was given to denoise?"""

import json

import jax.numpy as jnp
import numpy as np
import pytest
from scenes import scene, write
from skimage.metrics import peak_signal_noise_ratio

from dig2dig_jax.errors import UserError
from dig2dig_jax.evaluation import denoising
from dig2dig_jax.sampling.schedule import NoiseSchedule, make_schedule
from dig2dig_jax.sampling.types import Prediction

pytestmark = pytest.mark.usefixtures("quick_compile")


class Stub:
  """A prior that is a function of (x_t, step)."""

  params, noise, directory = {}, NoiseSchedule("linear", 1000), "stub"

  def __init__(self, x0):
    self._x0 = x0

  def denoiser(self, params):
    return lambda x_t, step: Prediction(self._x0(x_t, step), x_t)


def scores(stub, data, out, **options):
  table = denoising.run(stub, data, out, **options)
  return table, json.loads((out / "prior_psnr.json").read_text())


def test_psnr_is_that_of_scikit_image():
  rng = np.random.default_rng(0)
  truth = rng.uniform(-1, 1, (9, 8, 3)).astype(np.float32)
  estimate = truth + rng.normal(0, 0.2, truth.shape)
  expected = peak_signal_noise_ratio(truth, np.clip(estimate, -1, 1), data_range=2)
  assert denoising.psnr(estimate, truth) == pytest.approx(expected, rel=1e-9)
  assert denoising.psnr(truth + 100, np.ones_like(truth) * 0.9) == pytest.approx(20 * np.log10(2 / 0.1), abs=1e-4)


@pytest.mark.parametrize("sigma", denoising.SIGMAS)
def test_the_nearest_timestep_has_the_noise_level(sigma):
  alphas = make_schedule("linear", num_timesteps=1000).alphas_cumprod
  t = denoising.nearest_timestep(alphas, sigma)
  levels = [127.5 * np.sqrt(1 / a - 1) for a in alphas]
  assert abs(levels[t] - sigma) == min(abs(level - sigma) for level in levels)
  assert levels[t] == pytest.approx(sigma, rel=0.15)


def test_an_oracle_has_the_score_of_its_error(tmp_path):
  photograph = np.repeat(scene(1, 64, 64, 1) // 2 + 50, 3, axis=-1)  # gray, away from both ends of the range
  write(tmp_path / "data" / "1.png", photograph)
  clean = jnp.asarray(photograph, jnp.float32) / 127.5 - 1
  table, report = scores(Stub(lambda x_t, step: clean + 0.02), tmp_path / "data", tmp_path / "out")
  for kind in ("colour", "gray"):
    for sigma in denoising.SIGMAS:
      # An error of 1 % of the range everywhere is 40 dB.
      assert report[f"prior, {kind}"]["mean"][f"sigma {sigma}"] == pytest.approx(40, abs=0.01)
  for sigma in (5, 15):  # little is clipped
    assert report["noisy, gray"]["mean"][f"sigma {sigma}"] == pytest.approx(20 * np.log10(255 / sigma), abs=0.1)
  assert table.splitlines()[2].startswith("| prior, colour | 1 | 40.0")


def test_the_network_sees_the_image_and_noise_of_its_timestep(tmp_path):
  """Scaled back, its input is the noisy image that the other denoisers get; sizes are padded and cropped back."""
  for name, size in (("1", (40, 70)), ("2", (64, 64)), ("3", (5, 5))):
    write(tmp_path / "data" / f"{name}.png", scene(int(name), *size))
  stub = Stub(lambda x_t, step: x_t / jnp.sqrt(step.alpha_bar))
  _, report = scores(stub, tmp_path / "data", tmp_path / "out", limit=2)
  assert list(report["prior, colour"]["images"]) == ["1.png", "2.png"]
  for sigma in denoising.SIGMAS:
    names = ("prior", "noisy", "wavelet")
    prior, noisy, wavelet = (report[f"{name}, colour"]["mean"][f"sigma {sigma}"] for name in names)
    assert prior == pytest.approx(noisy, abs=0.5)
    assert sigma < 25 or wavelet > noisy


def test_gray_rows_have_one_look_at_the_image(tmp_path):
  """As papers have it: whoever averages three channels gains nothing. The network's noise has independent channels."""
  write(tmp_path / "data" / "2.png", np.full((96, 96, 3), 128, np.uint8))
  stub = Stub(lambda x_t, step: jnp.broadcast_to((x_t / jnp.sqrt(step.alpha_bar)).mean(-1, keepdims=True), x_t.shape))
  _, report = scores(stub, tmp_path / "data", tmp_path / "out")
  for sigma in denoising.SIGMAS[:3]:  # little is clipped
    prior, noisy = (report[f"{name}, gray"]["mean"][f"sigma {sigma}"] for name in ("prior", "noisy"))
    assert prior == pytest.approx(noisy, abs=0.2) == pytest.approx(20 * np.log10(255 / sigma), abs=0.2)
  field = np.random.default_rng(0).standard_normal((200, 200, 1)).astype(np.float32)
  noise = denoising._independent(field, np.random.default_rng(1))
  np.testing.assert_allclose(noise.mean(axis=-1, keepdims=True), field, atol=1e-5)
  np.testing.assert_allclose(np.cov(noise.reshape(-1, 3).T), 3 * np.eye(3), atol=0.05)


def test_the_seed_draws_the_noise_and_a_name_keeps_it(tmp_path):
  write(tmp_path / "data" / "2.png", scene(2, 64, 64))
  stub = Stub(lambda x_t, step: x_t)
  alone = scores(stub, tmp_path / "data", tmp_path / "out")[1]["noisy, colour"]["images"]["2.png"]
  other = scores(stub, tmp_path / "data", tmp_path / "out", seed=1)[1]["noisy, colour"]["images"]["2.png"]
  write(tmp_path / "data" / "1.png", scene(1, 64, 64))
  among = scores(stub, tmp_path / "data", tmp_path / "out")[1]["noisy, colour"]["images"]["2.png"]
  assert alone == among != other


def test_an_empty_folder_is_refused(tmp_path):
  with pytest.raises(UserError, match="expected images to denoise, found none; check --data"):
    denoising.run(Stub(None), tmp_path, tmp_path / "out")
