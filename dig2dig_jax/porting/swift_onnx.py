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
from dig2dig_jax.models.swift import PATCH, PIXELS, PLANES, SwiftConfig

_OPSET, _IR = 17, 8


def write(path: Path, config: SwiftConfig, params: Any, *, gray: bool) -> None:
  """UserError where the package onnx is missing."""
  try:
    import onnx
  except ImportError:
    raise UserError(f"{path}: expected the package onnx, found it not installed; pip install "
                    "dig2dig_jax[export]") from None  # fmt: skip
  graph = _Graph(onnx, {name: np.asarray(leaf, np.float32) for name, leaf in
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

  def __init__(self, onnx, parameters: dict[str, np.ndarray]):
    self._onnx, self._parameters = onnx, parameters
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

  def conv(self, name: str, x: str) -> str:
    kernel = self._parameters[f"{name}/kernel"].transpose(3, 2, 0, 1)
    side = kernel.shape[-1] // 2
    return self.node("Conv", x, self.constant(kernel), pads=[side] * 4)

  def relu(self, name: str, x: str) -> str:
    return self.node("Relu", self.conv(name, x))

  def residual(self, name: str, x: str) -> str:
    return self.node("Add", x, self.relu(name, x))

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
    patches = self.fold(mean, PATCH)
    nothing = self.node("Mul", self.node("ReduceMean", patches, axes=[1], keepdims=1), self.constant([0.0]))
    level = self.node("Add", nothing, deviation)
    a = self.residual("fine", self.relu("stem", self.join(patches, level)))
    b = self.residual("middle", self.relu("down", self.fold(a, 2)))
    c = self.residual("coarse_2", self.residual("coarse", self.relu("down_2", self.fold(b, 2))))
    b = self.residual("middle_2", self.node("Add", b, self.unfold(self.conv("up_2", c), 2)))
    a = self.residual("fine_2", self.node("Add", a, self.unfold(self.conv("up", b), 2)))
    clean = self.node("Add", mean, self.unfold(self.conv("head", a), PATCH))
    if not gray:
      clean = self._coloured(image, clean, level, a, b)
    self.node("Transpose", clean, perm=[0, 2, 3, 1], out="clean")

  def _coloured(self, image: str, clean: str, level: str, a: str, b: str) -> str:
    colour = self.node("Conv", image, self.constant(PLANES[1:, :, None, None]))
    p = self.relu("colour_stem", self.join(self.fold(colour, PATCH), level, a))
    q = self.relu("colour_down", self.join(self.fold(p, 2), b))
    q = self.residual("colour_middle_2", self.residual("colour_middle", q))
    p = self.residual("colour_fine", self.node("Add", p, self.unfold(self.conv("colour_up", q), 2)))
    colour = self.node("Add", colour, self.unfold(self.conv("colour_head", p), PATCH))
    return self.node("Conv", self.join(clean, colour), self.constant(PIXELS[:, :, None, None]))
