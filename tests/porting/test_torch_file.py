"""Are PyTorch's files read in every style they are written in, and refused by name when they are not state dicts?"""

import os
import pickle
import sys

import numpy as np
import pytest
import recipe
from conftest import golden_path

from dig2dig_jax.errors import UserError
from dig2dig_jax.porting.torch_file import read_state_dict

STYLES = {
  "plain_state_dict": "expected",
  "plain_python_dict": "expected",
  "trainer_fp32_parameters": "expected",
  "trainer_fp16_flat_views": "expected",
  "mixed_half_float": "expected",
  "legacy_nonzip": "expected",
  "bfloat16": "expected_bfloat16",
  "odd_tensors": "expected_odd_tensors",
}


@pytest.fixture
def torch():
  return pytest.importorskip("torch", reason="PyTorch is not installed (pip install torch)")


@pytest.mark.parametrize("style", STYLES)
def test_styles(style, torch):
  found = read_state_dict(golden_path(f"guided_diffusion/pt_styles/{style}.pt"))
  with np.load(golden_path(f"guided_diffusion/pt_styles/{STYLES[style]}.npz")) as expected:
    assert sorted(found) == sorted(expected.files)
    for name in expected.files:
      assert (found[name].dtype, found[name].shape) == (expected[name].dtype, expected[name].shape), name
      np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


@pytest.mark.parametrize(
  "tag", ["superres_tiny", "classifier_tiny", "adm_uncond_tiny", "legacy_tiny", "classcond_neworder_tiny"]
)
def test_checkpoints_hold_the_recipe_s_weights(tag, torch):
  found = read_state_dict(golden_path(f"guided_diffusion/unet_{tag}.pt"))
  expected = recipe.state_dict(tag)
  assert list(found) == list(expected)
  for name, array in expected.items():
    assert found[name].dtype == np.float32
    np.testing.assert_array_equal(found[name], array, err_msg=name)


class _Code:
  def __reduce__(self):
    return os.mkdir, ("ran",)


def _refused(path, match):
  with pytest.raises(UserError, match=match) as caught:
    read_state_dict(path)
  assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_code_is_not_run(tmp_path, monkeypatch, torch):
  monkeypatch.chdir(tmp_path)
  torch.save({"a": _Code()}, tmp_path / "code.pt")
  torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pt")
  (tmp_path / "raw.pt").write_bytes(pickle.dumps({"a": _Code()}))
  for name in ("code.pt", "module.pt"):
    _refused(tmp_path / name, "found a pickle that would run code")
  _refused(tmp_path / "raw.pt", "found another format")
  assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("keep", [0, 100, 0.5, 0.99])
@pytest.mark.parametrize("source", ["unet_superres_tiny.pt", "pt_styles/legacy_nonzip.pt"])
def test_truncated_file(source, keep, tmp_path, torch):
  whole = golden_path(f"guided_diffusion/{source}").read_bytes()
  path = tmp_path / "part.pt"
  path.write_bytes(whole[: keep if isinstance(keep, int) else int(keep * len(whole))])
  _refused(path, "expected a PyTorch checkpoint, found (a damaged file|another format); download it again")


def test_other_formats(tmp_path, torch):
  (tmp_path / "page.pt").write_bytes(b"<!DOCTYPE html><html>404</html>")
  _refused(tmp_path / "page.pt", "found another format; download it again")
  _refused(tmp_path / "absent.pt", "found no file")
  _refused(tmp_path, "found a folder")


def test_not_a_state_dict(tmp_path, torch):
  path = tmp_path / "other.pt"
  for content, match in (
    ([torch.zeros(2)], "expected a state dict, found a list"),
    (torch.zeros(2), "expected a state dict, found a Tensor"),
    ({1: torch.zeros(2)}, "found the key 1"),
    ({"state_dict": {"a": torch.zeros(2)}, "epoch": 3}, r"'state_dict' to be a dict; .* save \['state_dict'\] alone"),
    ({"a": torch.zeros(2), "lr": 0.1}, "found 'lr' to be a float"),
    ({"a": torch.zeros(2).to_sparse()}, "found 'a' to be sparse"),
  ):
    torch.save(content, path)
    _refused(path, match)


def test_without_torch(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, "torch", None)
  _refused(tmp_path / "model.pt", "PyTorch, which is not installed; do: pip install torch")
