"""Are the schedule tables guided-diffusion's, and do the spacings keep their promises?"""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from dig2dig_jax.errors import UserError
from dig2dig_jax.sampling import schedule
from dig2dig_jax.sampling.types import Step

TABLES = (
  "betas",
  "alphas_cumprod",
  "posterior_variance",
  "posterior_log_variance_clipped",
  "posterior_mean_coef1",
  "posterior_mean_coef2",
)
RESPACINGS = ("25", "50", "100", "250", "ddim25", "ddim50", "ddim100", "10,15,20", "5,10,10,25")


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_full_tables_match_reference(golden, name):
  expected = np.load(golden(f"diffusion/schedule_{name}_1000.npz"))
  full = schedule.make_schedule(name)
  for table in TABLES:
    np.testing.assert_allclose(getattr(full, table), expected[table], rtol=1e-12, err_msg=table)
  raw = np.load(golden(f"diffusion/respaced_{name}.npz"))["raw_betas_250_steps"]
  np.testing.assert_allclose(schedule.betas(name, 250), raw, rtol=1e-12)


@pytest.mark.parametrize("spec", RESPACINGS)
@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_respaced_tables_match_reference(golden, name, spec):
  stored = np.load(golden(f"diffusion/respaced_{name}.npz"))
  prefix = spec.replace(",", "_") + "/"
  expected = {key.removeprefix(prefix): stored[key] for key in stored.files if key.startswith(prefix)}
  kept = schedule.make_schedule(name, timesteps=schedule.space_timesteps(1000, spec))
  np.testing.assert_array_equal(kept.timesteps, expected["timesteps"])
  for table in TABLES:
    np.testing.assert_allclose(getattr(kept, table), expected[table], rtol=1e-12, err_msg=table)
  if "alphas_cumprod_prev" in expected:
    a = kept.alphas_cumprod
    derived = {
      "alphas_cumprod_prev": kept.alphas_cumprod_prev,
      "alphas_cumprod_next": np.append(a[1:], 0.0),
      "sqrt_alphas_cumprod": np.sqrt(a),
      "sqrt_one_minus_alphas_cumprod": np.sqrt(1 - a),
      "log_one_minus_alphas_cumprod": np.log(1 - a),
      "sqrt_recip_alphas_cumprod": np.sqrt(1 / a),
      "sqrt_recipm1_alphas_cumprod": np.sqrt(1 / a - 1),
    }
    for table, value in derived.items():
      np.testing.assert_allclose(value, expected[table], rtol=1e-12, err_msg=table)


def test_space_timesteps_matches_reference(golden):
  expected = np.load(golden("diffusion/space_timesteps_more.npz"))
  for key in expected.files:
    num_timesteps, spec = key.split("__")
    kept = schedule.space_timesteps(int(num_timesteps), spec.replace("_", ","))
    np.testing.assert_array_equal(kept, expected[key], err_msg=key)


def test_space_timesteps_refuses_what_reference_refuses(golden):
  outcomes = json.loads(golden("diffusion/meta.json").read_text())["space_timesteps_errors"]
  assert {outcome for *_, outcome in outcomes} == {"ok", "ValueError"}
  for num_timesteps, spec, outcome in outcomes:
    if outcome == "ok":
      assert len(schedule.space_timesteps(num_timesteps, spec)) == int(spec.removeprefix("ddim"))
    else:
      with pytest.raises(UserError, match=spec):
        schedule.space_timesteps(num_timesteps, spec)


def test_network_sees_original_timesteps(golden):
  cases = json.loads(golden("diffusion/meta.json").read_text())["timestep_remapping"]
  cases = [case for case in cases if not case["rescale_timesteps"]]
  assert len(cases) == 5
  for case in cases:
    kept = schedule.make_schedule(
      num_timesteps=case["steps"], timesteps=schedule.space_timesteps(case["steps"], case["respacing"])
    )
    run = schedule.steps(kept)
    np.testing.assert_array_equal(np.asarray(run.t)[::-1][case["t"]], case["seen_by_model"])


@pytest.mark.parametrize("spec", ["x", "25,", "ddim", "ddim5,5", "-3", "0", "2.5"])
def test_unreadable_respacing_names_what_is_accepted(spec):
  with pytest.raises(UserError, match="10,15,20"):
    schedule.space_timesteps(1000, spec)


@pytest.mark.parametrize("steps", [1, 2, 3, 15, 25, 50, 250, 999, 1000])
@pytest.mark.parametrize("spacing", [spacing for spacing in schedule.SPACINGS if spacing != "ddim"])
@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_spacing_is_distinct_and_spans_the_range(name, spacing, steps):
  kept = schedule.spacing_timesteps(1000, steps, spacing, name=name)
  assert kept.shape == (steps,) and kept.dtype.kind == "i"
  assert np.all(np.diff(kept) > 0)
  assert kept[-1] == 999 and (kept[0] == 0 or steps == 1)


def test_quadratic_takes_larger_steps_at_high_noise():
  gaps = np.diff(schedule.spacing_timesteps(1000, 25, "quadratic"))
  assert np.all(np.diff(gaps) >= -1)  # rounding of a growing sequence
  assert gaps[-1] > 70 and gaps[0] <= 2


def test_logsnr_gaps_are_equal_where_timesteps_are_dense():
  full = schedule.make_schedule("cosine")
  log_snr = np.log(full.alphas_cumprod / (1 - full.alphas_cumprod))
  kept = schedule.spacing_timesteps(1000, 15, "logsnr", name="cosine")
  inside = (kept[:-1] > 20) & (kept[1:] < 950)  # at the ends a single timestep may be more than a gap
  assert inside.sum() >= 5
  ideal = (log_snr[-1] - log_snr[0]) / 14
  np.testing.assert_allclose(np.diff(log_snr[kept])[inside], ideal, rtol=0.05)


def test_uniform_ddim_and_sections_are_the_reference_rules():
  np.testing.assert_array_equal(
    schedule.spacing_timesteps(1000, 25, "uniform"), schedule.space_timesteps(1000, "25")
  )
  np.testing.assert_array_equal(schedule.spacing_timesteps(1000, 25, "ddim"), np.arange(0, 1000, 40))
  np.testing.assert_array_equal(
    schedule.spacing_timesteps(1000, 45, "10,15,20"), schedule.space_timesteps(1000, "10,15,20")
  )


@pytest.mark.parametrize(
  "steps, spacing, message",
  [
    (25, "cubic", "uniform, quadratic, logsnr"),
    (25, "10,15,20", "add up to 25"),
    (0, "uniform", "1 to 1000"),
    (401, "ddim", "ddim401"),
    (1001, "uniform", "1 to 1000"),
  ],
)
def test_bad_spacing_is_refused(steps, spacing, message):
  with pytest.raises(UserError, match=message):
    schedule.spacing_timesteps(1000, steps, spacing)


@pytest.mark.usefixtures("unchecked")
def test_bad_schedules_are_refused():
  with pytest.raises(UserError, match="expected linear, cosine, flow, edm"):
    schedule.make_schedule("sigmoid")
  with pytest.raises(UserError, match="more than 20"):
    schedule.linear_betas(20)
  for timesteps in ([], [3, 3], [5, 2], [-1, 4], [10, 1000], [0.5, 2.0]):
    with pytest.raises(UserError, match="increasing integers"):
      schedule.make_schedule(timesteps=timesteps)


def test_tables_are_read_only_float64():
  kept = schedule.make_schedule(timesteps=[0, 10, 999])
  for table in (*TABLES, "alphas_cumprod_prev"):
    assert getattr(kept, table).dtype == np.float64
    with pytest.raises(ValueError, match="read-only"):
      getattr(kept, table)[0] = 0.0
  assert kept.original_steps == 1000


def test_steps_are_noisiest_first_and_chained():
  kept = schedule.make_schedule(timesteps=schedule.space_timesteps(1000, "25"))
  run = schedule.steps(kept)
  assert isinstance(run, Step) and all(leaf.shape == (25,) for leaf in run)
  assert run.index.dtype == run.t.dtype == jnp.int32 and run.alpha_bar.dtype == jnp.float32
  np.testing.assert_array_equal(run.index, np.arange(25))
  np.testing.assert_array_equal(run.t, kept.timesteps[::-1])
  np.testing.assert_array_equal(run.alpha_bar_prev[:-1], run.alpha_bar[1:])
  assert run.alpha_bar_prev[-1] == 1 and np.all(run.alpha_bar_prev[:-1] < 1)
  np.testing.assert_allclose(np.exp(run.log_beta), kept.betas[::-1], rtol=1e-6)
  np.testing.assert_allclose(run.posterior_log_variance[-1], np.log(kept.posterior_variance[1]), rtol=1e-6)


def test_single_step_run_is_finite():
  run = schedule.steps(schedule.make_schedule(timesteps=schedule.spacing_timesteps(1000, 1, "uniform")))
  assert run.t.tolist() == [999] and run.alpha_bar_prev.tolist() == [1.0]
  assert all(np.all(np.isfinite(leaf)) for leaf in run)


def test_steps_at_any_level_in_any_order():
  full = schedule.make_schedule()
  levels = schedule.steps_at(full, [600, 20, 0, 999])
  np.testing.assert_array_equal(levels.t, [600, 20, 0, 999])
  np.testing.assert_array_equal(levels.index, np.arange(4))
  np.testing.assert_allclose(levels.alpha_bar, full.alphas_cumprod[[600, 20, 0, 999]], rtol=1e-7)
  np.testing.assert_allclose(levels.alpha_bar_prev, np.append(1.0, full.alphas_cumprod)[[600, 20, 0, 999]], rtol=1e-7)
  one = schedule.steps_at(full, 20)
  assert all(leaf.shape == () for leaf in one)
  assert one.t == 20 and one.alpha_bar == levels.alpha_bar[1]
  # A thinned run and the full schedule agree on what a timestep's noise level is.
  run = schedule.steps(schedule.make_schedule(timesteps=schedule.space_timesteps(1000, "25")))
  np.testing.assert_allclose(schedule.steps_at(full, run.t).alpha_bar, run.alpha_bar, rtol=1e-6)


@pytest.mark.parametrize("ts", [[1000], [-1], [5, 2000], 3000, [1.5]])
def test_steps_at_refuses_unknown_timesteps(ts):
  with pytest.raises(UserError, match="from 0 to 999"):
    schedule.steps_at(schedule.make_schedule(), ts)
