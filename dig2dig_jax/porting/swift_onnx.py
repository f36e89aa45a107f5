"""How does the swift network run without JAX? As an ONNX graph, written node by node from its parameters.

Inputs: `image` float32 [1, H, W, C] in [-1, 1], C = 1 for gray and 3 for colour, H and W multiples of 16; `deviation`
float32 [1], of the noise in every channel, in the same units. Output: `clean`, of the image's shape, not clipped.
"""

from pathlib import Path
from typing import Any

import numpy as np
from flax import traverse_util

from dig2dig_jax.errors import UserError
from dig2dig_jax.files import replacing
from dig2dig_jax.models.swift import COLOUR_BLOCKS, COLOUR_PATCH, DOWN, PATCH, PIXELS, PLANES, UP, SwiftConfig

_OPSET, _IR = 17, 8


def write(path: Path, config: SwiftConfig, params: Any, *, gray: bool) -> None:
  """UserError where the package onnx is missing."""
  try:
    import onnx
  except ImportError:
    raise UserError(f"{path}: expected the package onnx, found it not installed; pip install "
                    "dig2dig_jax[export]") from None  # fmt: skip
  graph = _Graph(onnx, len(config.widths), {name: np.asarray(leaf, np.float32) for name, leaf in
                                            traverse_util.flatten_dict(params, sep="/").items()})  # fmt: skip
  graph.estimate(gray)
  channels = 1 if gray else 3
  shape = [1, "height", "width", channels]
  make, kind = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
  inputs, outputs = [make("image", kind, shape), make("deviation", kind, [1])], [make("clean", kind, shape)]
  whole = onnx.helper.make_graph(graph.nodes, "swift", inputs, outputs, graph.constants)
  model = onnx.helper.make_model(whole, opset_imports=[onnx.helper.make_opsetid("", _OPSET)], ir_version=_IR,
                                 producer_name="dig2dig_jax")  # fmt: skip
  for name, value in (("least", config.least), ("most", config.most)):
    onnx.helper.set_model_props(model, {**{p.key: p.value for p in model.metadata_props}, name: f"{value:g} of 255"})
  onnx.checker.check_model(model)
  with replacing(path) as temporary:
    temporary.write_bytes(model.SerializeToString())


class _Graph:
  """Nodes in the order of the network's own code; images are N C H W between the first and the last."""

  def __init__(self, onnx, depths: int, parameters: dict[str, np.ndarray]):
    self._onnx, self._depths, self._parameters = onnx, depths, parameters
    self.nodes: list = []
    self.constants: list = []

  def node(self, kind: str, *inputs: str, out: str = "", **attributes) -> str:
    out = out or f"{kind}_{len(self.nodes)}"
    self.nodes.append(self._onnx.helper.make_node(kind, list(inputs), [out], **attributes))
    return out

  def constant(self, values) -> str:
    name = f"constant_{len(self.constants)}"
    self.constants.append(self._onnx.numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name))
    return name

  def across(self, name: str, x: str) -> str:
    return self.node("Conv", x, self.constant(self._parameters[f"{name}/kernel"].transpose(3, 2, 0, 1)))

  def stem(self, patches: str, level: str) -> str:
    """Neighbours, and the level, which has none, as one kernel of 3 x 3."""
    own = self._parameters["stem/kernel"]
    kernel = np.zeros((3, 3, PATCH**2 + 1, own.shape[1]), np.float32)
    kernel[:, :, :-1] = own[:-1].reshape(3, 3, PATCH**2, -1)
    kernel[1, 1, -1] = own[-1]
    return self.node("Conv", self.join(patches, level), self.constant(kernel.transpose(3, 2, 0, 1)), pads=[1] * 4)

  def blocks(self, name: str, x: str, count: int) -> str:
    for number in range(count):
      kernel = self._parameters[f"{name}_{number}/along"].transpose(2, 0, 1)[:, None]
      along = self.node("Conv", x, self.constant(kernel), pads=[1] * 4, group=len(kernel))
      x = self.node("Add", x, self.relu(self.across(f"{name}_{number}/across", along)))
    return x

  def relu(self, x: str) -> str:
    return self.node("Relu", x)

  def fold(self, x: str, side: int) -> str:
    return self.node("SpaceToDepth", x, blocksize=side)

  def unfold(self, x: str, side: int) -> str:
    return self.node("DepthToSpace", x, blocksize=side, mode="DCR")

  def join(self, *parts: str) -> str:
    return self.node("Concat", *parts, axis=1)

  def estimate(self, gray: bool) -> None:
    image = self.node("Transpose", "image", perm=[0, 3, 1, 2])
    mean, deviation = image, "deviation"
    if not gray:
      mean = self.node("Conv", image, self.constant(PLANES[:1, :, None, None]))
      deviation = self.node("Mul", deviation, self.constant([3**-0.5]))
    x = self.relu(self.stem(patches := self.fold(mean, PATCH), self.level(patches, deviation)))
    x = self.blocks("down_0", x, DOWN[0])
    finer = []
    for depth in range(1, self._depths):
      finer.append(x)
      x = self.blocks(f"down_{depth}", self.across(f"coarser_{depth}", self.fold(x, 2)), DOWN[depth])
    found = []
    for depth in reversed(range(len(finer))):
      x = self.node("Add", finer[depth], self.unfold(self.across(f"finer_{depth}", x), 2))
      x = self.blocks(f"up_{depth}", x, UP[depth])
      found.append(x)
    clean = self.node("Add", mean, self.unfold(self.across("head", x), PATCH))
    if not gray:
      clean = self._coloured(image, clean, deviation, *found[-2:-4:-1])
    self.node("Transpose", clean, perm=[0, 2, 3, 1], out="clean")

  def level(self, like: str, deviation: str) -> str:
    nothing = self.node("Mul", self.node("ReduceMean", like, axes=[1], keepdims=1), self.constant([0.0]))
    return self.node("Add", nothing, deviation)

  def _coloured(self, image: str, clean: str, deviation: str, fine: str, coarse: str) -> str:
    before, within, after = COLOUR_BLOCKS
    colour = self.node("Conv", image, self.constant(PLANES[1:, :, None, None]))
    patches = self.fold(colour, COLOUR_PATCH)
    p = self.relu(self.across("colour_stem", self.join(patches, self.level(patches, deviation), fine)))
    p = self.blocks("colour_down", p, before)
    q = self.relu(self.across("colour_coarser", self.join(self.fold(p, 2), coarse)))
    q = self.blocks("colour_coarse", q, within)
    p = self.node("Add", p, self.unfold(self.across("colour_finer", q), 2))
    p = self.blocks("colour_up", p, after)
    colour = self.node("Add", colour, self.unfold(self.across("colour_head", p), COLOUR_PATCH))
    return self.node("Conv", self.join(clean, colour), self.constant(PIXELS[:, :, None, None]))
