"""Are the measures those of the public toolkits? Golden triplets of many sizes, toolkit by toolkit.

All triplets lie in the corner of one larger array, as `score` lays them, so that one program serves them all, and that
the array around an image does not matter is part of the test.
"""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import golden_path

from dig2dig_jax import metrics

TRIPLETS = ("smooth", "odd_noise", "large", "saturated", "identical", "const_fused", "const_source", "const_all")
SPEC = "_spec_float64"  # an independent NumPy program, itself checked against the toolkits

# Our name -> (golden metric, beginning of the toolkit's function). Independent programs.
TOOLKITS = {
  "EN": ("EN", "mefb:metricsEntropy [uint8 in]"),
  "SD": ("SD", "tang2023:SD_evaluation(255)"),
  "SD_sample": ("SD", "thfylsty:std2"),
  "SF": ("SF", "tang2023:SF_evaluation(255)"),
  "SF_vifb": ("SF", "vifb:"),
  "AG": ("AG", "cddfuse:Evaluator.AG [float64 in]"),
  "AG_tang": ("AG", "tang2023:AG_evaluation(255)"),
  "AG_forward": ("AG", "thfylsty:Definition"),
  "EI": ("EI", "mefb:metricsEdge_intensity"),
  "EI_skimage": ("EI", "skimage:"),
  "EI_zoo": ("EI", "ivif_zoo:"),
  "MI": ("MI", "tang2023:MI_evaluation(double255)"),
  "MI_nats": ("MI", "cddfuse:Evaluator.MI [float64 in]"),
  "NMI": ("NMI", "mefb:"),
  "Qncie": ("Qncie", "mefb:"),
  "CE": ("CE", "mefb:"),
  "FMI": (SPEC, "FMI_none_crop32x40"),
  "FMI_gradient": (SPEC, "FMI_gradient_crop32x40"),
  "FMI_dct": (SPEC, "FMI_dct_crop32x40"),
  "MSE": ("MSE", "cddfuse:Evaluator.MSE [float64 in]"),
  "MSE_tang": ("MSE", "tang2023:MSE_evaluation(255)"),
  "RMSE": (SPEC, "RMSE"),
  "RMSE_vifb": ("RMSE", "vifb:"),
  "PSNR": (SPEC, "PSNR_of_mean_mse"),
  "PSNR_sum": (SPEC, "PSNR_sum"),
  "PSNR_cdd": ("PSNR", "cddfuse:Evaluator.PSNR [float64 in]"),
  "PSNR_tang": ("PSNR", "tang2023:PSNR_evaluation(255)"),
  "PSNR_vifb": ("PSNR", "vifb:"),
  "CC": ("CC", "tang2023:CC_evaluation"),
  "SCD": ("SCD", "tang2023:analysis_SCD(255)"),
  "SSIM": ("SSIM", "skimage:SSIM sum gaussian"),
  "SSIM_uniform": ("SSIM", "skimage:SSIM sum uint8"),
  "SSIM_cdd": ("SSIM", "cddfuse:Evaluator.SSIM [float64 in]"),
  "SSIM_tang": ("SSIM", "tang2023:mean(double255)"),
  "SSIM_matlab": ("SSIM", "thfylsty:mean(uint8)"),
  "MS_SSIM": (SPEC, "MS_SSIM_sum"),
  "MS_SSIM_zoo": ("MS_SSIM", "ivif_zoo:"),
  "MEF_SSIM": ("MEF_SSIM", "tang2023:"),
  "MEF_MS_SSIM": ("MEF_MS_SSIM", "tang2023:analysis_ms_ssim(255)"),
  "VIF": ("VIF", "tang2023:sum vifp_mscale(255)"),
  "VIF_cdd": ("VIF", "cddfuse:Evaluator.VIFF [float64 in]"),
  "VIFF": ("VIFF", "mefb:"),
  "Qabf": ("Qabf", "tang2023:analysis_Qabf(255)"),
  "Qabf_petrovic": (SPEC, "Petrovic_QABF"),
  "Labf": (SPEC, "Petrovic_LABF"),
  "Nabf": ("Nabf", "tang2023:analysis_nabf(F,A,B)(255)"),
  "Nabf_petrovic": (SPEC, "Petrovic_NABF"),
  "Qcb": ("Qcb", "thfylsty:metricChenBlum(double)"),
  "Qcv": ("Qcv", "thfylsty:metricChen"),
}
# Relative; 1e-10 elsewhere. ZOO computes in float32, and MATLAB's ssim is a copy of the documented formula; C2 = 0.0036
# or 9e-4 magnifies the rounding of flat patches, ours and theirs alike.
TOLERANCES = {"EI_zoo": 2e-7, "MS_SSIM_zoo": 5e-6, "SSIM_cdd": 5e-9, "SSIM_tang": 5e-8, "VIFF": 1e-9}
# FMI: where windows are flat the original's value is decided by rounding.
FMI_TRIPLETS = ("smooth", "odd_noise", "large", "identical")


def load(name):
  with np.load(golden_path("metrics/goldens.npz")) as arrays:
    sources, fused = [arrays[f"{name}_A"], arrays[f"{name}_B"]], arrays[f"{name}_F"]
  expected = json.loads(golden_path("metrics/goldens.json").read_text())["golden"][name]
  return sources, fused, expected


def value(expected, group, function):
  """The golden number; None where it was not computed or the toolkit crashed."""
  found = [number for key, number in expected.get(group, {}).items() if key.startswith(function)]
  return None if not found or found[0] is None or str(found[0]).startswith("ERROR") else float(found[0])


@pytest.fixture(scope="module")
def scores(quick_compile):
  """{triplet: {metric: value}} of everything; FMI of the golden crop."""
  found = {}
  names = tuple(name for name in metrics.METRICS if not name.startswith("FMI"))
  features = ("FMI", "FMI_gradient", "FMI_dct")
  patch = pytest.MonkeyPatch()
  patch.setattr(metrics, "_MULTIPLE", 256)
  for triplet in TRIPLETS:
    sources, fused, _ = load(triplet)
    found[triplet] = metrics.score(sources, fused, names)
    patch.setattr(metrics, "_MULTIPLE", 64)
    found[triplet] |= metrics.score([source[:32, :40] for source in sources], fused[:32, :40], features)
    patch.setattr(metrics, "_MULTIPLE", 256)
  patch.undo()
  return found


def test_every_name_has_a_golden_or_is_a_variant_of_one():
  own = set(metrics.PROTOCOLS["targets"])  # in no toolkit: beside NumPy in test_targets.py
  variants = {"MI_min", "PSNR_mean", "SSIM_hybrid", "SSIM_mean", "SSIM_min", "VIF_min"}
  assert set(metrics.METRICS) - set(TOOLKITS) - own == variants
  for names in metrics.PROTOCOLS.values():
    assert set(names) <= set(metrics.METRICS)


@pytest.mark.parametrize("name", TRIPLETS)
def test_every_toolkit_agrees(scores, name):
  _, _, expected = load(name)
  compared = 0
  for metric, (group, function) in TOOLKITS.items():
    golden = value(expected, group, function)
    if golden is None or (metric.startswith("FMI") and name not in FMI_TRIPLETS):
      continue
    tolerance = TOLERANCES.get(metric, 1e-10)
    np.testing.assert_allclose(scores[name][metric], golden, rtol=tolerance, atol=1e-11, err_msg=metric)
    compared += 1
  assert compared >= 40


@pytest.mark.parametrize("name", TRIPLETS)
def test_each_source_and_the_smaller(scores, name):
  _, _, expected = load(name)
  vif = np.array([expected["VIF"][f"tang2023:vifp_mscale({k},F)(255)"] for k in "AB"], float)
  gaussian = "gaussian (sigma 1.5, population cov, data_range 255)"
  ssim = np.array([expected["SSIM"][f"skimage:ssim(F,{k}) {gaussian}"] for k in "AB"], float)
  close = {"rtol": 1e-10, "atol": 1e-11}
  np.testing.assert_allclose(scores[name]["VIF_min"], np.min(vif), **close)  # np.min keeps a NaN
  np.testing.assert_allclose(scores[name]["SSIM_min"], np.min(ssim), **close)
  np.testing.assert_allclose(scores[name]["SSIM_mean"], np.mean(ssim), **close)
  np.testing.assert_allclose(scores[name]["PSNR_mean"], scores[name]["PSNR_sum"] / 2, **close)


def test_petrovics_shares_add_up(scores):
  for name in TRIPLETS:
    shares = [scores[name][metric] for metric in ("Qabf_petrovic", "Labf", "Nabf")]
    np.testing.assert_allclose(sum(shares), 1, rtol=1e-12)


def test_single_precision_holds_for_whoever_jits_the_functions_himself(scores, quick_compile):
  # Counting, flatness and equality are exact in float32 too; what is left is rounding of sums and of cancellation.
  sources, fused, _ = load("smooth")
  names = {*metrics.PROTOCOLS["panel"], *metrics.PROTOCOLS["ddfm"], *metrics.PROTOCOLS["dig2dig"]}
  sources, fused = jnp.stack([jnp.float32(source) for source in sources]), jnp.float32(fused)
  found = jax.jit(lambda a, b: {name: metrics.METRICS[name].function(a, b, b.shape) for name in names})(sources, fused)
  for name, number in found.items():
    assert number.dtype == jnp.float32, name
    tolerance = 1e-4 if name in ("VIF_min", "VIFF", "VIF_cdd", "SSIM_cdd", "MEF_MS_SSIM") else 1e-5
    np.testing.assert_allclose(number, scores["smooth"][name], rtol=tolerance, err_msg=name)
