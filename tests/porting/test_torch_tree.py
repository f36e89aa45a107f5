"""Does the rule map names and axes as stated, and does it refuse everything that is not the same network?"""

import ml_dtypes
import numpy as np
import pytest

from dig2dig_jax.errors import UserError
from dig2dig_jax.porting.torch_tree import ConversionError, convert_shapes, convert_tree, flax_axes, flax_path, nest

TARGET = {
  "blocks_1_0/conv_2/kernel": (3, 3, 2, 4),
  "blocks_1_0/conv_2/bias": (4,),
  "qkv/kernel": (5, 6),
  "dense/kernel": (2, 7),
  "norm/scale": (4,),
  "label_emb/embedding": (11, 8),
  "pool_2/positional_embedding": (4, 5),
}
SHAPES = {
  "blocks.1.0.conv.2.weight": (4, 2, 3, 3),
  "blocks.1.0.conv.2.bias": (4,),
  "qkv.weight": (6, 5, 1),
  "dense.weight": (7, 2),
  "norm.weight": (4,),
  "label_emb.weight": (11, 8),
  "pool.2.positional_embedding": (4, 5),
}


def _state_dict(dtype=np.float32):
  rng = np.random.default_rng(0)
  return {name: rng.normal(size=shape).astype(dtype) for name, shape in SHAPES.items()}


def test_names_and_axes():
  state = _state_dict()
  flat = convert_tree(state, TARGET)
  assert list(flat) == list(TARGET)
  assert {path: array.shape for path, array in flat.items()} == TARGET
  conv = state["blocks.1.0.conv.2.weight"]
  assert flat["blocks_1_0/conv_2/kernel"][0, 2, 1, 3] == conv[3, 1, 0, 2]
  assert flat["qkv/kernel"][4, 1] == state["qkv.weight"][1, 4, 0]
  assert flat["dense/kernel"][1, 6] == state["dense.weight"][6, 1]
  for name, path in (
    ("norm.weight", "norm/scale"),
    ("label_emb.weight", "label_emb/embedding"),
    ("pool.2.positional_embedding", "pool_2/positional_embedding"),
  ):
    np.testing.assert_array_equal(flat[path], state[name])
  assert nest(flat)["blocks_1_0"]["conv_2"]["bias"] is flat["blocks_1_0/conv_2/bias"]


def test_a_name_without_a_module_and_a_conv1d_with_a_wider_kernel():
  assert flax_path("weight", {"scale": (1,)}) == "scale"
  assert flax_axes(np.zeros((6, 5, 3)), "qkv/kernel").shape == (6, 5, 3)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ml_dtypes.bfloat16])
def test_stored_precision_becomes_float32(dtype):
  state = _state_dict(dtype)
  flat = convert_tree(state, TARGET)
  assert {array.dtype for array in flat.values()} == {np.dtype(np.float32)}
  np.testing.assert_array_equal(flat["norm/scale"], state["norm.weight"].astype(np.float32))


def test_float32_is_not_copied():
  state = _state_dict()
  assert np.shares_memory(convert_tree(state, TARGET)["dense/kernel"], state["dense.weight"])


@pytest.mark.parametrize(
  ("change", "match"),
  [
    ({"qkv.weight": None}, r"1 missing \(qkv/kernel \(5, 6\)\)"),
    ({"extra.0.weight": (3,)}, r"1 unexpected \(extra.0.weight \(3,\)\)"),
    ({"dense.weight": (2, 7)}, r"1 mis-shaped \(dense.weight \(2, 7\), where dense/kernel is \(2, 7\)\)"),
    ({"blocks_1.0.conv.2.bias": (4,)}, "1 twice .*blocks.1.0.conv.2.bias and blocks_1.0.conv.2.bias"),
    ({f"extra.{i}.bias": (1,) for i in range(9)}, "9 unexpected .*extra.2.bias .1,., and 6 more"),
    ({"blocks.1.0.conv.2.weight": (4, 2, 3, 3, 1)}, "1 mis-shaped"),
    ({"qkv.weight": None, "qkv.w": (1,)}, "1 missing .*; 1 unexpected|1 unexpected"),
  ],
)
def test_refuses_another_network(change, match):
  state = _state_dict()
  for name, shape in change.items():
    if shape is None:
      del state[name]
    else:
      state[name] = np.zeros(shape, np.float32)
  with pytest.raises(ConversionError, match=match) as caught:
    convert_tree(state, TARGET, source="model.pt")
  assert isinstance(caught.value, UserError)
  assert str(caught.value).startswith("model.pt: expected the 7 tensors") and "\n" not in str(caught.value)


def test_refuses_integers():
  state = _state_dict()
  state["norm.weight"] = np.zeros(4, np.int64)
  with pytest.raises(ConversionError, match=r"1 not floating \(norm.weight int64\)"):
    convert_tree(state, TARGET)


def test_refuses_a_manifest_with_a_name_twice():
  with pytest.raises(ConversionError, match="1 names occur twice"):
    convert_shapes([*SHAPES.items(), ("dense.weight", (7, 2))], TARGET)
