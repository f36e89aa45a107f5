"""How do weights that are found frame by frame not flicker? They follow what the scene does, and nothing else.

Where nothing changed from the last frame to this one, the weights of the finest bands are an exponential average over
time; where something did, they are this frame's own, so that nothing trails behind what moves. At a cut all begin anew.

Coarse bands and the base are left as they are: their weights come from so many pixels that noise hardly moves them,
and there an average lags behind what moves slowly, which shows as a shadow (docs/video.md has the figures).
"""

from typing import NamedTuple

import jax.numpy as jnp

from dig2dig_jax.ops import pyramid, sources
from dig2dig_jax.ops.arrays import Array, Images
from dig2dig_jax.ops.filters import gaussian_blur
from dig2dig_jax.restoration.noise_level import LEVEL

SHARE = 0.2  # of this frame's weights in the average, where nothing changed
BANDS = 2  # the finest, whose weights are carried
# Changes of a source's brightness, averaged over a neighbourhood, from which weights begin to follow, and do so fully:
# the grain that is left in good pictures stays below.
FROM, TO = 3 * LEVEL, 9 * LEVEL
_NEIGHBOURHOOD = 1.0  # pixels of a level, standard deviation
_CUT_LEVEL, _CUT_SIDE = 4, 8  # of the pyramid, and the least side there: the scene at large
# Squared correlation of two frames of a source, below which they are of different scenes. Bright and dark often lie
# alike in two scenes, sky above street; a scene that is wrongly taken for another loses one frame's average.
_ALIKE = 0.5
_CUT = 3 * LEVEL  # deviation of the second frame that the first does not explain, up to which nothing is cut


class State(NamedTuple):
  """What is carried from frame to frame. weights: of the finest bands, [K, h, w, 1]. scene: the sources' brightness at
  the levels of the pyramid down to the one that cuts are seen at, [K, h, w, 1]. begun: 0 before the first frame, then
  1."""

  weights: list[Array]
  scene: list[Array]
  begun: Array


def start(count: int, size: tuple[int, int], bands: int) -> State:
  """Before the first frame of `count` sources of this size (height, width), for weights of that many bands."""
  levels = min(bands, pyramid.max_levels(*size))
  scene = _scene(jnp.zeros((count, *size, 1)), levels)
  return State(scene[: min(BANDS, levels - 1)], scene, jnp.float32(0))  # the base is never carried


def carried(
  weights: list[Array], content: Images, state: State, *, share: float = SHARE
) -> tuple[list[Array], State, Array]:
  """(the weights that this frame is blended by, the State after it, whether it begins another scene).

  Args:
    weights: of this frame's bands by themselves, [K, h, w, 1], convex over K, finest first.
    content: its sources, [K, H, W, C] in [-1, 1].
    state: of the frame before.
    share: of this frame's weights where nothing changed, above 0 to 1; 1 carries nothing.
  """
  scene = _scene(content.mean(axis=-1, keepdims=True), len(weights))
  cut = is_cut(scene, state.scene)
  found = []
  for own, before, now, then in zip(weights, state.weights, scene, state.scene, strict=False):
    change = sources.greatest(gaussian_blur(jnp.abs(now - then), _NEIGHBOURHOOD))[None]
    follow = share + (1 - share) * jnp.clip((change - FROM) / (TO - FROM), 0, 1)
    found.append(jnp.where((state.begun == 0) | cut, own, before + follow * (own - before)))
  return [*found, *weights[len(found) :]], State(found, scene, jnp.ones_like(state.begun)), cut & (state.begun > 0)


def is_cut(scene: list[Array], before: list[Array]) -> Array:
  """Whether two frames show different scenes: at large, no source resembles itself, whatever a camera's gain made of
  its brightness and contrast. A source in which hardly anything is to be seen says nothing."""
  one, other = (level[-1] - level[-1].mean(axis=(1, 2, 3), keepdims=True) for level in (before, scene))
  then, now = jnp.mean(jnp.square(one), axis=(1, 2, 3)), jnp.mean(jnp.square(other), axis=(1, 2, 3))
  alike = jnp.square(jnp.mean(one * other, axis=(1, 2, 3))) / (then * now + 1e-12)
  changed = (1 - alike) * now > _CUT**2
  different = changed & (alike < _ALIKE)
  return jnp.any(different) & jnp.all(different | ~changed)


def _scene(brightness: Array, levels: int) -> list[Array]:
  """Levels of the pyramid down to the one that cuts are seen at."""
  side = min(brightness.shape[1:3])
  deepest = min(_CUT_LEVEL, max((side // _CUT_SIDE).bit_length() - 1, 0), levels - 1)
  return pyramid.gaussian_pyramid(brightness, max(deepest, min(BANDS, levels) - 1) + 1)


def as_arrays(state: State) -> dict[str, Array]:
  """For a file."""
  weights = {f"weights{k}": one for k, one in enumerate(state.weights)}
  return {**weights, **{f"scene{k}": one for k, one in enumerate(state.scene)}, "begun": state.begun}


def of_arrays(arrays: dict) -> State:
  """The inverse. KeyError for what is none."""

  def read(name: str) -> list[Array]:
    return [jnp.asarray(arrays[f"{name}{k}"]) for k in range(sum(key.startswith(name) for key in arrays))]

  return State(read("weights"), read("scene"), jnp.asarray(arrays["begun"]))
