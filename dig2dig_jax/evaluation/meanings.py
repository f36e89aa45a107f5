"""What does a measure ask of a fused image? A name and a sentence for who reads a table, and what wins it cheaply.

Definitions and sources stand in `dig2dig_jax.metrics`; here they are said in words.
"""

from typing import NamedTuple


class Meaning(NamedTuple):
  """name: in full. asks: one sentence. cheaply: which plain fusion it favours; empty where none."""

  name: str
  asks: str
  cheaply: str = ""


_NOISE = "noise raises it"
_COPY = "a copy of one source does well"
_MEAN = "the average of the sources does well"

# By the name without its convention; the convention is in CONVENTIONS.
MEANINGS = {
  "EN": Meaning("entropy", "How evenly are the grey levels in use? In bits, 0 to 8; sources play no part.", _NOISE),
  "SD": Meaning("standard deviation", "How strong is the contrast of the whole image? Sources play no part.", _NOISE),
  "SF": Meaning("spatial frequency", "How much do neighbouring pixels differ? The sources play no part.", _NOISE),
  "AG": Meaning("average gradient", "How steep are the slopes of brightness? The sources play no part.", _NOISE),
  "EI": Meaning("edge intensity", "How strong are the edges? The sources play no part.", _NOISE),
  "MI": Meaning("mutual information", "How much do grey levels of the sources tell about those of the fused image?",
                _COPY),
  "NMI": Meaning("normalised mutual information", "Mutual information as a share of the images' own entropies.", _COPY),
  "Qncie": Meaning("nonlinear correlation", "How much information do the sources and the fused image share? 0.8 to 1.",
                   _COPY),
  "CE": Meaning("cross entropy", "How unlike are the histograms of a source and of the fused image? In bits.", _COPY),
  "FMI": Meaning("feature mutual information",
                 "How much do small patterns of the sources tell about those of the fused image? 0 to 1.", _COPY),
  "MSE": Meaning("mean squared error", "How far are grey levels from the sources', squared and on average?", _MEAN),
  "RMSE": Meaning("root mean squared error", "How far are grey levels from the sources'?", _MEAN),
  "PSNR": Meaning("peak signal-to-noise ratio", "How near are grey levels to the sources'? In decibels.", _MEAN),
  "CC": Meaning("correlation", "Do grey levels rise and fall with the sources'? −1 to 1.", _MEAN),
  "SCD": Meaning("sum of the correlations of differences",
                 "Is what the fused image adds to one source the other source? −2 to 2 for two sources."),
  "SSIM": Meaning("structural similarity", "Are brightness, contrast and structure those of the sources, window by "
                  "window?", _MEAN),
  "MS_SSIM": Meaning("structural similarity at five scales", "Are contrast and structure those of the sources, from "
                     "fine to coarse?", _MEAN),
  "MEF_SSIM": Meaning("structural similarity to the best patches",
                      "Does every patch look as the strongest of the sources' patches there? 0 to 1."),
  "MEF_MS_SSIM": Meaning("structural similarity to the best patches, at three scales",
                         "Does every patch look as the strongest of the sources' patches there, from fine to coarse? "
                         "0 to 1."),
  "VIF": Meaning("visual information fidelity",
                 "How much of what the eye learns from the sources can it still learn from the fused image?", _COPY),
  "VIFF": Meaning("visual information fidelity for fusion",
                  "How much of the visual information of the sources is kept, the weaker rendered source counting at "
                  "every place? About 0 to 1."),
  "Qabf": Meaning("edges kept", "Which share of the sources' edges arrived, in strength and direction? 0 to 1."),
  "Labf": Meaning("edges lost", "Which share of the sources' edges is weaker in the fused image? 0 to 1."),
  "Nabf": Meaning("edges added", "Which share of edges is in no source: noise and artifacts? 0 to 1.", _COPY),
  "Qcb": Meaning("contrast as seen", "Is local contrast as a model of the eye sees it kept? 0 to 1."),
  "Qcv": Meaning("difference as seen", "How far is the fused image from the sources where they have edges, as a model "
                 "of the eye sees it?", _COPY),
  "target_contrast": Meaning("contrast of targets",
                             "How much do the hottest 1.5 % of the first source's pixels stand out, as a share of how "
                             "much they do there?", _COPY),
  "darker": Meaning("darker than all sources", "Which share of pixels is over 12 grey levels darker than every source?",
                    _MEAN),
  "brighter": Meaning("brighter than all sources",
                      "Which share of pixels is over 12 grey levels brighter than every source?", _MEAN),
  "LPIPS": Meaning("learned perceptual similarity", "How far are features of a network from the sources'? Counts in no "
                   "rank.", _COPY),
}  # fmt: skip
CONVENTIONS = {
  "min": "of the source that fares worst, so that a copy of the other one does not help",
  "mean": "mean over the sources",
  "sum": "sum over the sources",
  "nats": "in nats in place of bits",
  "sample": "deviation of a sample",
  "petrovic": "by Petrović and Xydeas, 2005",
  "cdd": "as CDDFuse and DDFM compute it",
  "hybrid": "as HybridFusion's program computes it",
  "tang": "as Tang's toolkit computes it",
  "vifb": "as VIFB and MEFB compute it",
  "matlab": "as MATLAB computes it",
  "zoo": "as IVIF_ZOO computes it",
  "skimage": "as scikit-image computes it",
  "uniform": "in square windows of 7 pixels",
  "forward": "of forward differences",
  "gradient": "of patterns of the gradient",
  "dct": "of patterns of the cosine transform",
}


def meaning(name: str) -> Meaning:
  """Of a column, with its convention behind the name in full. KeyError for a name that is not among them."""
  if name in MEANINGS:
    return MEANINGS[name]
  base, _, convention = name.rpartition("_")
  found = MEANINGS[base]
  # What a copy or an average wins on all sources together it loses on the one that fares worst.
  return Meaning(f"{found.name}, {CONVENTIONS[convention]}", found.asks, "" if convention == "min" else found.cheaply)
