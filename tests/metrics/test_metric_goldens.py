"""Are the measures those of the public toolkits? Golden triplets, toolkit by toolkit, to float64 rounding."""

import json

import numpy as np
import pytest

from dig2dig_jax import metrics
from dig2dig_jax.metrics import information, structure

TRIPLETS = ("smooth", "odd_noise", "large", "saturated", "identical", "const_fused", "const_source", "const_all")

# Our name -> (golden metric, the toolkit's function). Independent programs, in float64 (CDD's float32 mode is not).
TOOLKITS = {
  "EN": ("EN", "mefb:metricsEntropy [uint8 in]"),
  "SD": ("SD", "tang2023:SD_evaluation(255)"),
  "Qabf": ("Qabf", "tang2023:analysis_Qabf(255)"),
  "VIF": ("VIF", "tang2023:sum vifp_mscale(255)"),
  "SSIM": ("SSIM", "skimage:SSIM sum gaussian"),
  "SCD": ("SCD", "tang2023:analysis_SCD(255)"),
  "MSE": ("MSE", "cddfuse:Evaluator.MSE [float64 in]"),
  "CC": ("CC", "tang2023:CC_evaluation"),
}


def load(golden, name):
  with np.load(golden("metrics/goldens.npz")) as arrays:
    sources, fused = [arrays[f"{name}_A"], arrays[f"{name}_B"]], arrays[f"{name}_F"]
  expected = json.loads(golden("metrics/goldens.json").read_text())["golden"][name]
  return sources, fused, expected


def close(found, expected, tolerance=5e-12, **options):
  np.testing.assert_allclose(found, float(expected), rtol=tolerance, atol=tolerance, **options)


@pytest.mark.parametrize("name", TRIPLETS)
def test_every_toolkit_agrees(golden, name):
  sources, fused, expected = load(golden, name)
  found = metrics.score(sources, fused)
  assert list(found) == list(metrics.METRICS)
  for metric, (group, function) in TOOLKITS.items():
    close(found[metric], expected[group][function], err_msg=metric)


@pytest.mark.parametrize("name", TRIPLETS)
def test_each_source_and_the_smaller(golden, name):
  sources, fused, expected = load(golden, name)
  vif = [expected["VIF"][f"tang2023:vifp_mscale({k},F)(255)"] for k in "AB"]
  ssim = [expected["SSIM"][f"skimage:ssim(F,{k}) gaussian (sigma 1.5, population cov, data_range 255)"] for k in "AB"]
  uniform = [expected["SSIM"][f"skimage:ssim(F,{k}) uint8 default (uniform 7, data_range 255)"] for k in "AB"]
  # np.min keeps a NaN, Python's min may lose it.
  close(structure.vif_min(sources, fused), np.min(np.array(vif, float)))
  close(structure.ssim_min(sources, fused), np.min(np.array(ssim, float)))
  close(structure.ssim_min(sources, fused, window="uniform"), np.min(np.array(uniform, float)))
  close(structure.ssim(sources, fused, window="uniform"), np.sum(np.array(uniform, float)))


@pytest.mark.parametrize("name", TRIPLETS)
def test_ssim_of_the_ddfm_tables(golden, name):
  sources, fused, expected = load(golden, name)
  # C2 = 0.0036 magnifies the rounding of flat patches, ours and theirs alike.
  close(structure.ssim(sources, fused, window="uniform", data_range=2.0),
        expected["SSIM"]["cddfuse:Evaluator.SSIM [float64 in]"], tolerance=5e-9)


@pytest.mark.parametrize("name", TRIPLETS)
def test_mutual_information_in_bits_and_nats(golden, name):
  sources, fused, expected = load(golden, name)
  found = information.mutual_information(sources, fused)
  close(found, expected["MI"]["tang2023:MI_evaluation(double255)"])
  close(found * np.log(2), expected["MI"]["cddfuse:Evaluator.MI [float64 in]"])
