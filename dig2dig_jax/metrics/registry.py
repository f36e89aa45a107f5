"""Which measures are there, which convention does a name mean, and which do a paper's tables have?

A plain name is this project's recommendation; a suffix names the toolkit or the convention, which the function's
docstring explains.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from dig2dig_jax.metrics import (
  activity,
  exposure,
  feature,
  fidelity,
  gradient,
  information,
  perception,
  statistics,
  structure,
  targets,
)


class Metric(NamedTuple):
  """`function(sources [K, H, W], fused [H, W], size) -> scalar`, pure and jittable.

  higher_is_better; fills_array: the image must fill its array, so that every image size compiles a program of its own.
  """

  function: Callable
  higher_is_better: bool
  fills_array: bool = False


def _petrovic(field: str) -> Callable:
  return lambda sources, fused, size: getattr(gradient.petrovic(sources, fused, size), field)


METRICS = {
  # Of the fused image alone.
  "EN": Metric(information.entropy, True),
  "SD": Metric(statistics.standard_deviation, True),
  "SD_sample": Metric(partial(statistics.standard_deviation, sample=True), True),
  "SF": Metric(activity.spatial_frequency, True),
  "SF_vifb": Metric(partial(activity.spatial_frequency, divide="pixels"), True),
  "AG": Metric(activity.average_gradient, True),
  "AG_tang": Metric(partial(activity.average_gradient, divide="differences"), True),
  "AG_forward": Metric(activity.average_gradient_forward, True),
  "EI": Metric(activity.edge_intensity, True),
  "EI_skimage": Metric(partial(activity.edge_intensity, gain=0.25), True),
  "EI_zoo": Metric(partial(activity.edge_intensity, border="zero"), True),
  # Information.
  "MI": Metric(information.mutual_information, True),
  "MI_nats": Metric(information.mutual_information_nats, True),
  "MI_min": Metric(information.mutual_information_min, True),
  "NMI": Metric(information.normalised_mutual_information, True),
  "Qncie": Metric(information.nonlinear_correlation, True),
  "CE": Metric(information.cross_entropy, False),
  "FMI": Metric(feature.fmi, True),
  "FMI_gradient": Metric(partial(feature.fmi, feature="gradient"), True),
  "FMI_dct": Metric(partial(feature.fmi, feature="dct"), True),
  # Distance and correlation.
  "MSE": Metric(statistics.mean_squared_error, False),
  "MSE_tang": Metric(partial(statistics.mean_squared_error, peak=1), False),
  "RMSE": Metric(statistics.root_mean_squared_error, False),
  "RMSE_vifb": Metric(statistics.rmse_vifb, False),
  "PSNR": Metric(statistics.psnr, True),
  "PSNR_sum": Metric(partial(statistics.psnr, variant="sum"), True),
  "PSNR_mean": Metric(partial(statistics.psnr, variant="mean"), True),
  "PSNR_cdd": Metric(partial(statistics.psnr, variant="cdd"), True),
  "PSNR_tang": Metric(partial(statistics.psnr, variant="tang"), True),
  "PSNR_vifb": Metric(partial(statistics.psnr, variant="vifb"), True),
  "CC": Metric(statistics.correlation, True),
  "SCD": Metric(statistics.sum_of_correlations_of_differences, True),
  # Structure.
  "SSIM": Metric(structure.ssim, True),
  "SSIM_mean": Metric(partial(structure.ssim, reduce="mean"), True),
  "SSIM_min": Metric(partial(structure.ssim, reduce="min"), True),
  "SSIM_uniform": Metric(partial(structure.ssim, window="uniform"), True),
  "SSIM_cdd": Metric(partial(structure.ssim, window="uniform", data_range=2), True),
  "SSIM_hybrid": Metric(partial(structure.ssim, data_range=1), True),
  "SSIM_tang": Metric(partial(structure.ssim, reduce="mean", data_range=1, border="edge"), True),
  "SSIM_matlab": Metric(partial(structure.ssim, reduce="mean", border="edge"), True),
  "MS_SSIM": Metric(structure.ms_ssim, True),
  "MS_SSIM_zoo": Metric(partial(structure.ms_ssim, data_range=1), True),
  "MEF_SSIM": Metric(exposure.mef_ssim, True),
  "MEF_MS_SSIM": Metric(exposure.mef_ms_ssim, True),
  "VIF": Metric(fidelity.vif, True),
  "VIF_min": Metric(partial(fidelity.vif, reduce="min"), True),
  "VIF_cdd": Metric(partial(fidelity.vif, flat=1.0), True),
  "VIFF": Metric(fidelity.viff, True),
  # Edges.
  "Qabf": Metric(gradient.q_abf, True),
  "Qabf_petrovic": Metric(_petrovic("kept"), True),
  "Labf": Metric(_petrovic("lost"), False),
  "Nabf": Metric(_petrovic("artifacts"), False),
  "Nabf_petrovic": Metric(_petrovic("artifacts_petrovic"), False),
  # Models of vision.
  "Qcb": Metric(perception.q_cb, True, fills_array=True),
  "Qcv": Metric(perception.q_cv, False, fills_array=True),
  # What shines in the first source.
  "target_contrast": Metric(targets.target_contrast, True),
  "darker": Metric(targets.darker, False),
  "brighter": Metric(targets.brighter, False),
}

# Columns of every table by default.
DEFAULT = ("EN", "SD", "Qabf", "VIF", "VIF_min", "SSIM", "SSIM_min", "SCD", "MSE", "CC")

# panel: what tells a fusion from an average, a copy and noise; common: what most papers print; two papers' columns;
# targets: warm ones, of the first source.
PROTOCOLS = {
  "panel": ("MEF_MS_SSIM", "Qabf_petrovic", "Nabf", "VIFF", "SCD", "VIF_min", "SSIM_min"),
  "ddfm": ("EN", "SD", "MI_nats", "VIF_cdd", "Qabf", "SSIM_cdd", "SF", "AG", "SCD"),
  "dig2dig": ("PSNR_sum", "SSIM_uniform", "SSIM", "MSE", "Nabf", "CC", "SD", "EI_skimage", "EN", "AG", "SF", "MI"),
  "targets": ("target_contrast", "darker", "brighter"),
  "common": ("EN", "SD", "Qabf", "VIF", "SSIM", "MSE", "CC"),
  "all": tuple(METRICS),
}
