"""How do weights that are found frame by frame not flicker? They follow what the scene does, and nothing else.

Where nothing changed from the last frame to this one, the weights of a band are an exponential average over time;
where something did, they are this frame's own, so that nothing trails behind what moves. How much of the scene changed
is asked at every level of the pyramid, of its own pixels. At a cut all weights begin anew.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from dig2dig_jax.ops import pyramid
from dig2dig_jax.ops.arrays import Array, Images
from dig2dig_jax.ops.filters import gaussian_blur
from dig2dig_jax.restoration.noise_level import LEVEL

SHARE = 0.1  # of this frame's weights in the average, where nothing changed
# Changes of a source's brightness, averaged over a neighbourhood, from which weights begin to follow, and do so fully:
# the grain that is left in good pictures stays below.
FROM, TO = 3 * LEVEL, 9 * LEVEL
_NEIGHBOURHOOD = 1.0  # pixels of a level, standard deviation
_CUT_LEVEL = 4  # of the pyramid: the scene at large
_CUT, _CUT_SHARE = 24 * LEVEL, 0.4  # change beyond that of the median pixel, and how many pixels of a level have it


class State(NamedTuple):
  """What is carried from frame to frame. weights: of every band, [K, h, w, 1]. scene: the sources' brightness at every
  level, [K, h, w, 1]. begun: 0 before the first frame, then 1."""

  weights: list[Array]
  scene: list[Array]
  begun: Array


def start(count: int, size: tuple[int, int], bands: int) -> State:
  """Before the first frame of `count` sources of this size (height, width), for weights of that many bands."""
  levels = min(bands, pyramid.max_levels(*size))
  empty = pyramid.gaussian_pyramid(jnp.zeros((count, *size, 1)), levels)
  return State([*empty], [*empty], jnp.float32(0))


def carried(weights: list[Array], content: Images, state: State, *, share: float = SHARE) -> tuple[State, Array]:
  """(the State with the weights that this frame is blended by, whether it is the first of a scene).

  Args:
    weights: of this frame's bands by themselves, [K, h, w, 1], convex over K.
    content: its sources, [K, H, W, C] in [-1, 1].
    state: of the frame before.
    share: of this frame's weights where nothing changed, 0 to 1; 1 carries nothing.
  """
  scene = pyramid.gaussian_pyramid(content.mean(axis=-1, keepdims=True), len(weights))
  first = (state.begun == 0) | is_cut(scene, state.scene)
  found = []
  for own, before, now, then in zip(weights, state.weights, scene, state.scene, strict=True):
    change = gaussian_blur(jnp.abs(now - then), _NEIGHBOURHOOD).max(axis=0, keepdims=True)
    follow = share + (1 - share) * jnp.clip((change - FROM) / (TO - FROM), 0, 1)
    follow = jnp.where(first, 1.0, follow)
    found.append(before + follow * (own - before))
  return State(found, scene, jnp.ones_like(state.begun)), first & (state.begun > 0)


def is_cut(scene: list[Array], before: list[Array]) -> Array:
  """Whether two frames show different scenes: most of a source changed by more than its median pixel did, which is
  what a camera's gain changes all of them by."""
  level = min(_CUT_LEVEL, len(scene) - 1)
  change = scene[level] - before[level]
  beyond = jnp.abs(change - jnp.median(change, axis=(1, 2), keepdims=True)) > _CUT
  return jnp.any(jnp.mean(beyond, axis=(1, 2, 3)) > _CUT_SHARE)


def as_arrays(state: State) -> dict[str, Array]:
  """For a file."""
  return {f"weights{k}": one for k, one in enumerate(state.weights)} | {
    f"scene{k}": one for k, one in enumerate(state.scene)} | {"begun": state.begun}  # fmt: skip


def of_arrays(arrays) -> State:
  """The inverse. KeyError for what is none."""
  count = sum(name.startswith("weights") for name in arrays)
  read = lambda name: [jnp.asarray(arrays[f"{name}{k}"]) for k in range(count)]  # noqa: E731
  return State(read("weights"), read("scene"), jnp.asarray(arrays["begun"]))


def shapes(state: State) -> list[tuple[int, ...]]:
  """Of its arrays, to tell states apart."""
  return [leaf.shape for leaf in jax.tree.leaves(state)]
