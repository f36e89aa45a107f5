"""Is one method better than another on these images? Means with intervals, ranks and paired tests of scores.

Scores: {method: {metric: array [N]}}, the same N images in the same order everywhere. NaN is undefined and left out and
counted; infinite values (the PSNR of a copy) stay, and make a mean infinite. Pure functions; no file, no flag.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

RESAMPLES = 2000  # of the bootstrap
LEVEL = 0.95  # of confidence
ALPHA = 0.05  # a difference is beyond chance below it

Scores = Mapping[str, Mapping[str, np.ndarray]]


class Summary(NamedTuple):
  """mean, standard deviation (N - 1) and bounds of the mean's interval over the defined values; how many had none.

  NaN where it does not exist: everything without a defined value, deviation and bounds of a single or infinite one."""

  mean: float
  deviation: float
  low: float
  high: float
  undefined: int


class Difference(NamedTuple):
  """Mean of (method - reference) over the `images` where both are finite, the bounds of its interval, and the two-sided
  p-value of Wilcoxon's signed-rank test, NaN below two images; `adjusted`: by Holm over all comparisons of a metric."""

  mean: float
  low: float
  high: float
  p: float
  adjusted: float
  images: int


def summarise(values: np.ndarray, *, seed: int = 0) -> Summary:
  """Mean, spread and bootstrap interval (percentiles of RESAMPLES means over images) of the scores [N] of a metric."""
  values = np.asarray(values, np.float64)
  defined = values[~np.isnan(values)]
  undefined = len(values) - len(defined)
  if not len(defined):
    return Summary(np.nan, np.nan, np.nan, np.nan, undefined)
  with np.errstate(invalid="ignore"):  # inf - inf, when both signs occur
    mean = float(np.mean(defined))
  if len(defined) < 2 or not np.all(np.isfinite(defined)):
    return Summary(mean, np.nan, np.nan, np.nan, undefined)
  return Summary(mean, float(np.std(defined, ddof=1)), *_interval(defined, seed), undefined)


def mean_ranks(scores: Scores, higher_is_better: Mapping[str, bool]) -> dict[str, float]:
  """Per method the mean over metrics of its rank among the methods, 1 the best, ties shared; by the means over images.
  A method whose mean is undefined ranks last in that metric."""
  from scipy import stats  # a third of the program's start: only who compares waits for it

  ranks = []
  for metric, higher in higher_is_better.items():
    means = np.array([summarise(row[metric]).mean for row in scores.values()])
    # Equal but for the rounding of sums (two copies in a symmetric measure) is equal.
    means = np.array([float(f"{mean:.10g}") for mean in means])
    undefined = np.isnan(means)
    rank = np.full(len(means), len(means) - (undefined.sum() - 1) / 2)
    rank[~undefined] = stats.rankdata(-means[~undefined] if higher else means[~undefined])
    ranks.append(rank)
  return dict(zip(scores, np.mean(ranks, axis=0).tolist(), strict=True)) if ranks else {}


def differences(scores: Scores, reference: str, *, seed: int = 0) -> dict[str, dict[str, Difference]]:
  """{metric: {method: Difference}} of every other method to the reference, image by image."""
  others = [method for method in scores if method != reference]
  found: dict[str, dict[str, Difference]] = {}
  for metric, base in scores[reference].items():
    row = {method: _difference(scores[method][metric], base, seed) for method in others}
    adjusted = holm([difference.p for difference in row.values()])
    found[metric] = {method: row[method]._replace(adjusted=p) for method, p in zip(others, adjusted, strict=True)}
  return found


def smallest_p(images: int, comparisons: int) -> float:
  """That Wilcoxon's two-sided test can give, whatever the scores, adjusted by Holm for so many comparisons."""
  return min(1.0, max(1, comparisons) * 2.0 ** (1 - images))


def _difference(values: np.ndarray, base: np.ndarray, seed: int) -> Difference:
  from scipy import stats

  both = np.isfinite(values) & np.isfinite(base)
  delta = np.asarray(values, np.float64)[both] - np.asarray(base, np.float64)[both]
  if len(delta) < 2:
    mean = float(delta[0]) if len(delta) else np.nan
    return Difference(mean, np.nan, np.nan, np.nan, np.nan, len(delta))
  # Without any difference the statistic is 0/0, and nothing speaks against equality.
  p = float(stats.wilcoxon(delta).pvalue) if np.any(delta) else 1.0
  return Difference(float(np.mean(delta)), *_interval(delta, seed), p, p, len(delta))


def _interval(values: np.ndarray, seed: int) -> tuple[float, float]:
  # One seed for all: the same images are drawn for every metric and method.
  draws = np.random.default_rng(seed).integers(0, len(values), (RESAMPLES, len(values)))
  tail = (1 - LEVEL) / 2
  low, high = np.quantile(values[draws].mean(axis=1), [tail, 1 - tail])
  return float(low), float(high)


def holm(p: Sequence[float]) -> list[float]:
  """Holm's step-down adjustment; NaN stays and does not count as a comparison."""
  adjusted = np.full(len(p), np.nan)
  defined = [index for index in np.argsort(p) if not np.isnan(p[index])]
  largest = 0.0
  for position, index in enumerate(defined):
    largest = max(largest, min(1.0, (len(defined) - position) * p[index]))
    adjusted[index] = largest
  return adjusted.tolist()
