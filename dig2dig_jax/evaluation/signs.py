"""What else than the method has made fused images what they are? Signs of a mishap between the program and the files.

Levels cut off or wrapped, a stretch to the full range, a source copied, JPEG, lost detail: each changes scores, none is
seen in a table. A sign is a word per image and method, kept beside its scores; `lines` makes a sentence per method of
what its images have in common. Only what hardly has another cause is a sign. Pure functions of images and names.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from dig2dig_jax import metrics
from dig2dig_jax.data.images import Image
from dig2dig_jax.evaluation import texture

VERSION = 1  # of the rules: scores of an earlier one are made again
_APART = 4.0  # levels that sources differ by on average, below which a copy of one is an average too
_FEW = 3  # images, below which a range is chance
_SHARES = {"cut": 0.5, "jpeg": 0.5, "soft": 0.5}  # of the images that must bear it; one image is enough for others

# What an image's sign means for its scores. {0}: the source, or the number, behind the sign's colon.
MEANINGS = {
  "copy": "is {0}, to a level: what it scores is what a copy scores",
  "scaled copy": "is {0} with another contrast: nothing else is in it",
  "average": "is the average of the sources, to a level",
  "scaled average": "is the average of the sources with another contrast",
  "cut": "is one level too low in many places and never one too high: cut off where it should be rounded "
         "(astype(uint8)), half a level darker",
  "wrapped": "jumps from one end of the range to the other where the sources do not: levels beyond 0..255 wrapped "
             "around; clip before astype(uint8)",
  "colour": "has colours where all sources are gray: scored in gray",
  "jpeg file": "is a JPEG: its artefacts are scored with it; write PNG",
  "jpeg": "has the 8 x 8 blocks of JPEG, which the sources have not: it was a JPEG before",
  "8 of 16": "is of 8 bits, of sources of more: scores are of 8 bits anyway",
  "8 in 16": "has 16 bits that hold 256 levels at most, of sources of more: it was of 8 bits before",
  "dark": "has 16 bits and levels 0..255 in them: nearly black to every reader; write 8 bits, or times 257",
  "repeated": "repeats every pixel {0} x {0} times: enlarged from a smaller size",
  "soft": "has less than a quarter of an average's fine detail: enlarged from a smaller size, or smoothed",
}  # fmt: skip


def of_file(path: Path, image: Image, depths: Sequence[int]) -> list[str]:
  """Signs of how a fused image is stored. depths: bits of the sources, 8 or 16."""
  found = ["jpeg file"] if path.suffix.lower() in (".jpg", ".jpeg") else []
  if image.bit_depth == 8:
    return found + ["8 of 16"] * (max(depths) == 16)
  levels = np.rint((image.pixels.astype(np.float64) + 1) * 32767.5).astype(np.int64)
  if 16 < levels.max() <= 255:
    return [*found, "dark"]
  if max(depths) == 16 and (not np.any(levels % 257) or not np.any(levels % 256)):
    found.append("8 in 16")
  return found


def of_pair(
  sources: Mapping[str, np.ndarray], methods: Mapping[str, np.ndarray], files: Mapping[str, Sequence[str]]
) -> dict[str, list[str]]:
  """{method: signs} of its file, which `files` has, and of its image. Images [H, W, 1 or 3], 0..255, of one size."""
  gray = {name: metrics.to_gray(source) for name, source in sources.items()}
  stack = np.stack(list(gray.values()))
  grids = max(map(texture.blocks_of_eight, stack))
  fine = [texture.fine(source) for source in stack]
  found = {}
  for method, image in methods.items():
    fused = metrics.to_gray(image)
    signs = [*files.get(method, ()), *_like(gray, fused)]
    signs += ["cut"] * _is_cut(stack, fused) + ["wrapped"] * _wraps(stack, fused)
    signs += ["colour"] * (image.shape[-1] == 3 and all(source.shape[-1] == 1 for source in sources.values()))
    signs += ["jpeg"] * (grids < 0.1 and texture.blocks_of_eight(fused) > 0.2)
    times = texture.repeats(fused)
    if times > 1 and all(texture.repeats(source) == 1 for source in stack):
      signs.append(f"repeated:{times}")
    elif texture.is_soft(texture.fine(fused), fine):
      signs.append("soft")
    if fused.min() == 0 and fused.max() == 255:
      signs.append("full beyond" if stack.min() > 2 or stack.max() < 253 else "full")
    found[method] = signs
  return found


def lines(images: Mapping[str, Mapping[str, Sequence[str]]]) -> list[str]:
  """A sentence per method and sign of {image: {method: signs}}."""
  found = []
  methods = list(dict.fromkeys(method for signs in images.values() for method in signs))
  for method in methods:
    own = {name: signs[method] for name, signs in images.items() if method in signs}
    for sign in dict.fromkeys(sign for signs in own.values() for sign in signs):
      kind, _, what = sign.partition(":")
      bearers = [name for name, signs in own.items() if sign in signs]
      if kind in MEANINGS and len(bearers) >= _SHARES.get(kind, 0) * len(own):
        found.append(f"{method}: {_which(bearers, own)} {MEANINGS[kind].format(what)}")
    full = [any(sign.startswith("full") for sign in signs) for signs in own.values()]
    beyond = sum("full beyond" in signs for signs in own.values())
    if len(own) >= _FEW and all(full) and beyond >= len(own) / 2:
      found.append(f"{method}: every one of {len(own)} images reaches 0 and 255, which of {beyond} the sources do not: "
                   "stretched to the full range, or clipped at it; EN, SD, SF, AG and EI grow with that")
  return found


def _which(bearers: Sequence[str], own: Mapping[str, Sequence[str]]) -> str:
  if len(own) == 1:
    return "the image"
  if len(bearers) == len(own):
    return f"each of {len(own)} images"
  if len(bearers) == 1:
    return bearers[0]
  return f"each of {len(bearers)} of {len(own)} images, {bearers[0]} the first,"


def _like(sources: Mapping[str, np.ndarray], fused: np.ndarray) -> list[str]:
  """Copy or average, or the same up to contrast; where the sources themselves are told apart, and is not flat."""
  stack = np.stack(list(sources.values()))
  if np.mean(np.ptp(stack, axis=0)) < _APART or fused.std() < 2:
    return []
  known = {f"copy:{name}": source for name, source in sources.items()} | {"average": stack.mean(axis=0)}
  for name, image in known.items():
    off = np.abs(fused - image)
    if off.mean() <= 1 and np.quantile(off, 0.99) <= 2:
      return [name]
  for name, image in known.items():
    if image.std() < 2:
      continue
    centred, target = image - image.mean(), fused - fused.mean()
    gain = np.sum(centred * target) / np.sum(centred**2)
    # What rounding leaves; after a gain above 1 its own rounding is the larger part, below it is all of it.
    if gain > 0.1 and np.sqrt(np.mean((target - gain * centred) ** 2)) <= 0.6:
      return [f"scaled {name}"]
  return []


def _is_cut(stack: np.ndarray, fused: np.ndarray) -> bool:
  """Where all sources agree, weights that sum to one give their level, and cutting off the last bits one less; and of
  a copy and an average all levels are known."""
  agreed = np.all(stack == stack[:1], axis=0) & (stack[0] > 0) & (stack[0] < 255)
  levels, off = stack[0][agreed], (fused - stack[0])[agreed]
  if _only_below(off, least=500):
    lower = off < 0
    # A gain just below one also lowers by a level, the bright ones.
    related = lower.all() or levels.std() == 0 or abs(np.corrcoef(levels, lower)[0, 1]) > 0.7
    if not related:
      return True
  known = [*stack, stack.mean(axis=0)] if np.mean(np.ptp(stack, axis=0)) >= _APART else []
  return any(_only_below((fused - image)[(fused > 0) & (fused < 254)], least=500) for image in known)


def _only_below(off: np.ndarray, least: int) -> bool:
  """Whether the differences are of 0 to one level below, a share of them below and none above."""
  if off.size < least:
    return False
  below, above = np.mean((off < 0) & (off >= -1)), np.mean(off > 0)
  return bool(below >= 0.02 and above <= 0.002 and below + np.mean(off == 0) >= 0.99)


def _wraps(stack: np.ndarray, fused: np.ndarray) -> bool:
  """Pixels well beyond all sources, at the other end of the range than a neighbour, where the sources are smooth."""
  low, high = texture.neighbours(fused)
  smooth = np.ones(fused.shape, bool)
  for source in stack:
    darkest, brightest = texture.neighbours(source)
    smooth &= brightest - darkest < 64
  to_dark = (fused < np.minimum(stack.min(axis=0) - 20, 48)) & (high > 207)
  to_bright = (fused > np.maximum(stack.max(axis=0) + 20, 207)) & (low < 48)
  return bool(np.sum((to_dark | to_bright) & smooth) >= 10)
