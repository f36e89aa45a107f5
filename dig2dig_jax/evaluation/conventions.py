"""Which definitions do programs and papers mean by the name of one measure? Families of conventions, in words.

A paper prints "VIF": of both sources together or on average, of images as they are or stretched, by one toolkit or
another. `FAMILIES` has what is computed here under each name, `PREPARATIONS` what is done to the images before. The
measures themselves are those of `dig2dig_jax.metrics`; where a program's own arithmetic makes another number of one of
them, `saturated` has it.
"""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from dig2dig_jax import metrics
from dig2dig_jax.evaluation import saturated

UNIT = ((1.0, ""), (1 / 255, "of images in 0..1"))  # for measures that are in grey levels
NATS = ((1.0, "in bits"), (float(np.log(2)), "in nats"))


class Measure(NamedTuple):
  """name: as METRICS has it, or of `function`. over: "sum" or "mean", where METRICS' value is that of one value per
  source, so that other ways to join these are conventions too; empty where it is of all sources together. scales:
  (factor, words) that its value is printed in. function: (gray sources, gray fused image) -> value, of a measure that
  METRICS lacks."""

  name: str
  words: str
  over: str = ""
  scales: tuple[tuple[float, str], ...] = ((1.0, ""),)
  function: Callable[[Sequence[np.ndarray], np.ndarray], float] | None = None


_VIFF = Measure("VIFF", "VIFF of Han et al. 2013, which MEFB prints as VIF")
_MEF_MS = Measure("MEF_MS_SSIM", "MEF-SSIM at three scales, which Tang's and thfylsty's programs print as MS_SSIM")
_QABF = (
  Measure("Qabf", "Hong's program, as all toolkits have it"),
  Measure("Qabf_petrovic", "Petrović and Xydeas 2005, edges of Sobel / 8"),
)
_NMI = Measure("NMI", "normalised by Hossny et al. 2008", "sum")

# By the name that is printed.
FAMILIES = {
  "EN": (Measure("EN", "entropy of 256 levels", scales=NATS),),
  "SD": (
    Measure("SD", "of the population", scales=UNIT),
    Measure("SD_sample", "of a sample, N - 1", scales=UNIT),
    Measure("SD_uint8", "in MATLAB's uint8, where differences below 0 become 0 and squares above 255 become 255",
            function=saturated.standard_deviation),
  ),
  "SF": (
    Measure("SF", "differences averaged over those that exist", scales=UNIT),
    Measure("SF_vifb", "differences averaged over all pixels (VIFB, MEFB)", scales=UNIT),
  ),
  "AG": (
    Measure("AG", "central differences, over h w (CDDFuse)", scales=UNIT),
    Measure("AG_tang", "central differences, over (h - 1)(w - 1) (Tang, VIFB, MEFB)", scales=UNIT),
    Measure("AG_forward", "forward differences (thfylsty)", scales=UNIT),
  ),
  "EI": (
    Measure("EI", "Sobel, border repeated (VIFB, MEFB)", scales=UNIT),
    Measure("EI_skimage", "Sobel / 4 (scikit-image)", scales=UNIT),
    Measure("EI_zoo", "Sobel, border of zeros (IVIF_ZOO)", scales=UNIT),
  ),
  "MI": (Measure("MI", "mutual information", "sum", scales=NATS), _NMI),
  "NMI": (_NMI,),
  "Qncie": (Measure("Qncie", "nonlinear correlation, Wang et al. 2008"),),
  "CE": (Measure("CE", "over the levels that both images have (VIFB, MEFB)", "mean"),),
  "FMI": (
    Measure("FMI", "of pixels", "mean"),
    Measure("FMI_gradient", "of gradients", "mean"),
    Measure("FMI_dct", "of the cosine transform", "mean"),
  ),
  "MSE": (Measure("MSE", "of levels", "mean", scales=((1.0, ""), (255.0**-2, "of images in 0..1"))),),
  "RMSE": (
    Measure("RMSE", "root of each source's MSE", "mean", scales=UNIT),
    Measure("RMSE_vifb", "root of the sum of squares, over h w (VIFB, MEFB)", "mean", scales=UNIT),
  ),
  "PSNR": (
    Measure("PSNR", "peak 255, of the mean of both MSE"),
    Measure("PSNR_mean", "peak 255, of each source", "mean"),
    Measure("PSNR_cdd", "peak the fused image's own maximum, of the mean of both MSE (CDDFuse)"),
    Measure("PSNR_tang", "peak 255 with MSE on 0..1, 48.13 dB too much (Tang)"),
    Measure("PSNR_vifb", "of a root that is none (VIFB, MEFB)"),
  ),
  "CC": (
    Measure("CC", "Pearson's", "mean"),
    Measure("CC_uint8", "in MATLAB's uint8, where differences below 0 become 0 and products above 255 become 255",
            function=saturated.correlation),
  ),
  "SCD": (Measure("SCD", "Aslantas and Bendes 2015", scales=((1.0, ""), (0.5, "half of it: mean over two sources"))),),
  "SSIM": (
    Measure("SSIM", "Gaussian windows of 11, inside, L = 255 (VIFB)", "sum"),
    Measure("SSIM_uniform", "square windows of 7, inside, L = 255 (scikit-image)", "sum"),
    Measure("SSIM_cdd", "square windows of 7, inside, L = 2 on levels 0..255 (CDDFuse, DDFM)", "sum"),
    Measure("SSIM_hybrid", "Gaussian windows of 11, inside, L = 1 on levels 0..255 (HybridFusion)", "sum"),
    Measure("SSIM_matlab", "Gaussian windows of 11, border repeated, L = 255 (MATLAB)", "mean"),
    Measure("SSIM_tang", "Gaussian windows of 11, border repeated, L = 1 on levels 0..255 (Tang)", "mean"),
    Measure("MEF_SSIM", "MEF-SSIM of Ma et al. 2015, which Tang's first program printed as SSIM"),
  ),
  "MS_SSIM": (
    Measure("MS_SSIM", "Wang's five scales, L = 255", "sum"),
    Measure("MS_SSIM_zoo", "Wang's five scales, L = 1 on levels 0..255 (IVIF_ZOO)", "sum"),
    _MEF_MS,
  ),
  "MEF_SSIM": (Measure("MEF_SSIM", "one scale"), _MEF_MS),
  "VIF": (
    Measure("VIF", "pixel domain, undefined where a source is flat (Tang)", "sum"),
    Measure("VIF_cdd", "pixel domain, 1 where a source is flat (CDDFuse)", "sum"),
    _VIFF,
  ),
  "VIFF": (_VIFF, Measure("VIF", "VIF in the pixel domain, which CDDFuse's program calls VIFF", "sum")),
  "Qabf": _QABF,
  "Labf": (Measure("Labf", "Petrović and Xydeas 2005"),),
  "Nabf": (
    Measure("Nabf", "as Kumar amended it, 2013"),
    Measure("Nabf_petrovic", "Petrović's own"),
  ),
  "Qcb": (Measure("Qcb", "Chen and Blum 2009"),),
  "Qcv": (Measure("Qcv", "Chen and Varshney 2007"),),
}  # fmt: skip
_OTHER_NAMES = {"MEFSSIM": "MEF_SSIM", "MEFMSSSIM": "MEF_SSIM", "STD": "SD", "ENTROPY": "EN", "NCIE": "Qncie"}


def family(printed: str) -> str | None:
  """The name in FAMILIES that a printed one means, whatever its case and marks (Q^{AB/F}, MS-SSIM); None for others."""
  key = re.sub(r"[^A-Z0-9]", "", printed.upper())
  known = {re.sub(r"[^A-Z0-9]", "", name.upper()): name for name in FAMILIES}
  return known.get(key) or _OTHER_NAMES.get(key)


def joined(measure: Measure, values: Sequence[float], names: Sequence[str]) -> dict[str, float]:
  """{words: value} of every way to join the values of K sources, `names`; the toolkits' own way first."""
  found = {"sum over the sources": float(np.sum(values)), "mean over the sources": float(np.mean(values))}
  if measure.over == "mean":
    found = dict(reversed(found.items()))
  found |= {"the smaller of the sources'": float(np.min(values)), "the larger of the sources'": float(np.max(values))}
  return found | {f"of {name} alone": float(value) for name, value in zip(names, values, strict=True)}


def _stretched(image: np.ndarray) -> np.ndarray:
  low, high = image.min(), image.max()
  return image if low == high else (image - low) / (high - low) * 255


def _gray(image: np.ndarray) -> np.ndarray:
  """Levels with their fractions, [H, W, 1 or 3] -> [H, W]. In thousandths, so that whole levels stay whole."""
  return image @ [299.0, 587.0, 114.0] / 1000 if image.shape[-1] == 3 else image[..., 0]


def _cut(image: np.ndarray) -> np.ndarray:
  return np.floor(image + 1e-6)  # what is whole but for its last bits is whole


def as_stored(sources: Sequence[np.ndarray], fused: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
  """Levels [H, W, 1 or 3] with fractions -> whole gray ones [H, W], as `evaluate` scores them."""
  *sources, fused = (metrics.to_gray(np.rint(image)) for image in (*sources, fused))
  return sources, fused


def _cut_off(sources, fused):
  *sources, fused = (_cut(_gray(_cut(image))) for image in (*sources, fused))
  return sources, fused


def _mean_of_channels(sources, fused):
  *sources, fused = (np.rint(np.rint(image).mean(axis=-1)) for image in (*sources, fused))
  return sources, fused


def _fused_stretched(sources, fused):
  sources, fused = as_stored(sources, fused)
  return sources, np.rint(_stretched(fused))


def _fused_stretched_and_cut(sources, fused):
  sources, fused = as_stored(sources, fused)
  return sources, _cut(_stretched(fused))


def _all_stretched(sources, fused):
  sources, fused = as_stored(sources, fused)
  return [np.rint(_stretched(source)) for source in sources], np.rint(_stretched(fused))


# words -> (sources, fused), levels [H, W, 1 or 3] with fractions -> whole gray ones [H, W]
PREPARATIONS = {
  "as stored, rounded": as_stored,
  "fractions cut off": _cut_off,  # of 16 bits on the way to 8, and of colours on the way to gray
  "gray as the channels' mean": _mean_of_channels,
  "fused image stretched to 0..255": _fused_stretched,
  "fused image stretched to 0..255, fractions cut off": _fused_stretched_and_cut,
  "every image stretched to 0..255": _all_stretched,
}
