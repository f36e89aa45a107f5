"""Does a prior come back from disk as it went, and is a damaged or foreign folder refused by name?"""

import dataclasses
import json
import os
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors
from flax import traverse_util

from dig2dig_jax.errors import UserError
from dig2dig_jax.models.config import UNetConfig
from dig2dig_jax.models.shapes import parameter_shapes
from dig2dig_jax.priors import checkpoint, tensor_file
from dig2dig_jax.priors.checkpoint import load_checkpoint, save_checkpoint

CONFIG = UNetConfig(
  image_size=8,
  model_channels=8,
  out_channels=3,
  num_res_blocks=1,
  attention_ds=(2,),
  channel_mult=(1, 2),
  norm_groups=4,
)
SCHEDULE = {"name": "linear", "num_timesteps": 1000}


@pytest.fixture(scope="module")
def params():
  rng = np.random.default_rng(0)
  flat = {path: rng.normal(size=shape).astype(np.float32) for path, shape in parameter_shapes(CONFIG).items()}
  return traverse_util.unflatten_dict(flat, sep="/")


@pytest.fixture
def prior(params, tmp_path):
  save_checkpoint(tmp_path / "prior", params=params, config=CONFIG, schedule=SCHEDULE, card={"by": "a test"})
  return tmp_path / "prior"


def _same(a, b, **tolerance):
  jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), a, b)


def test_round_trip(prior, params):
  loaded = load_checkpoint(prior)
  assert (loaded.config, loaded.schedule) == (CONFIG, SCHEDULE)
  assert jax.tree.structure(loaded.params) == jax.tree.structure(params)
  _same(loaded.params, params, rtol=0)
  assert loaded.card["by"] == "a test" and loaded.card["format"] == 1
  assert loaded.card["parameters"] == sum(leaf.size for leaf in jax.tree.leaves(params))
  assert sorted(os.listdir(prior)) == ["card.json", "model.safetensors"]


@pytest.mark.parametrize(("dtype", "rtol"), [("float16", 1e-3), ("bfloat16", 8e-3)])
def test_storage_in_half(dtype, rtol, params, tmp_path):
  save_checkpoint(tmp_path, params=params, config=CONFIG, schedule=SCHEDULE, card={}, dtype=dtype)
  count = sum(leaf.size for leaf in jax.tree.leaves(params))
  assert 2 * count < (tmp_path / "model.safetensors").stat().st_size < 2.1 * count + 9000  # 9 kB of names
  loaded = load_checkpoint(tmp_path)
  assert {leaf.dtype for leaf in jax.tree.leaves(loaded.params)} == {np.dtype(np.float32)}
  _same(loaded.params, params, rtol=rtol, atol=1e-6)
  halves = load_checkpoint(tmp_path, dtype=jnp.bfloat16)
  assert {leaf.dtype for leaf in jax.tree.leaves(halves.params)} == {np.dtype(jnp.bfloat16)}


def test_flat_and_transposed_parameters_are_stored_alike(prior, params, tmp_path):
  flat = traverse_util.flatten_dict(params, sep="/")
  flat = {path: leaf.copy(order="F") for path, leaf in flat.items()}
  save_checkpoint(tmp_path / "flat", params=flat, config=CONFIG, schedule=SCHEDULE, card={})
  assert load_checkpoint(tmp_path / "flat").card["sha256"] == load_checkpoint(prior).card["sha256"]


def test_save_refuses_a_programmer_s_mistakes(params, tmp_path):
  def save(**changes):
    arguments = {"params": params, "config": CONFIG, "schedule": SCHEDULE, "card": {}} | changes
    save_checkpoint(tmp_path / "prior", **arguments)

  flat = traverse_util.flatten_dict(params, sep="/")
  huge = {**flat, "out_2/bias": np.full(3, 1e6, np.float32)}
  for changes, match in (
    ({"dtype": "int8"}, "dtype, formats: expected one of"),
    ({"formats": "zip"}, "dtype, formats: expected one of"),
    ({"card": {"sha256": "0"}}, "written by save_checkpoint"),
    ({"params": {"params": params}}, "missing"),
    ({"params": {**flat, "out_2/bias": np.zeros(6)}}, r"1 mis-shaped \(out_2/bias\)"),
    ({"params": huge, "dtype": "float16"}, "out_2/bias is not finite as float16"),
  ):
    with pytest.raises(ValueError, match=match):
      save(**changes)
  assert not (tmp_path / "prior").exists()


def test_a_failing_write_leaves_the_old_prior(prior, params, monkeypatch):
  def fail(*args, **kw):
    raise OSError("disk full")

  monkeypatch.setattr(checkpoint.json, "dumps", fail)
  with pytest.raises(OSError, match="disk full"):
    save_checkpoint(prior, params=jax.tree.map(jnp.zeros_like, params), config=CONFIG, schedule=SCHEDULE, card={})
  monkeypatch.undo()
  _same(load_checkpoint(prior).params, params, rtol=0)
  assert sorted(os.listdir(prior)) == ["card.json", "model.safetensors"]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_orbax_alone_and_both_formats(dtype, params, tmp_path):
  for formats, files in (("orbax", ["card.json", "orbax"]), ("both", ["card.json", "model.safetensors", "orbax"])):
    save_checkpoint(
      tmp_path / formats, params=params, config=CONFIG, schedule=SCHEDULE, card={}, dtype=dtype, formats=formats
    )
    assert sorted(os.listdir(tmp_path / formats)) == files
  loaded = [load_checkpoint(tmp_path / formats).params for formats in ("orbax", "both")]
  _same(*loaded, rtol=0)
  _same(loaded[0], params, rtol=1e-2 if dtype == "bfloat16" else 0, atol=1e-6)
  save_checkpoint(tmp_path / "both", params=params, config=CONFIG, schedule=SCHEDULE, card={})
  assert sorted(os.listdir(tmp_path / "both")) == ["card.json", "model.safetensors"]  # the card names no orbax now


def test_damaged_orbax(params, tmp_path):
  save_checkpoint(tmp_path, params=params, config=CONFIG, schedule=SCHEDULE, card={}, formats="orbax")
  card = json.loads((tmp_path / "card.json").read_text())
  _edit(tmp_path, orbax_sha256="0" * 64)
  _refused(tmp_path, "orbax: expected an orbax checkpoint, found other files than the card's")
  _edit(tmp_path, orbax_sha256=card["orbax_sha256"])
  largest = max((tmp_path / "orbax").rglob("d/*"), key=lambda path: path.stat().st_size)
  content = largest.read_bytes()
  largest.write_bytes(content[: len(content) // 2])
  _refused(tmp_path, "orbax: expected an orbax checkpoint, found other files than the card's")


def test_parameters_go_where_they_belong_one_by_one(prior, params):
  seen = []
  loaded = load_checkpoint(prior, place=lambda path, array: seen.append((path, array.dtype)) or array.sum())
  assert len(seen) == len(parameter_shapes(CONFIG)) and {dtype for _, dtype in seen} == {np.dtype(np.float32)}
  _same(loaded.params, jax.tree.map(np.sum, params), rtol=0)


def test_the_format_is_safetensors_own(prior, params):
  with safetensors.safe_open(prior / "model.safetensors", framework="np") as file:
    flat = traverse_util.flatten_dict(params, sep="/")
    assert set(file.keys()) == set(flat)
    for path, leaf in flat.items():
      np.testing.assert_array_equal(file.get_tensor(path), leaf)


def _refused(directory, match):
  with pytest.raises(UserError, match=match) as caught:
    load_checkpoint(directory)
  assert str(caught.value).startswith(str(directory)) and "\n" not in str(caught.value)


def test_a_missing_folder_lists_its_neighbours(prior):
  _refused(prior.parent / "pryor", f"found none; there are: .*{prior}.*dig2dig convert guided_diffusion$")


def test_a_released_checkpoint_is_made_by_its_name_and_neighbours_are_named_once(prior, monkeypatch):
  monkeypatch.setattr(checkpoint, "CHECKPOINTS", prior.parent)
  monkeypatch.chdir(prior.parent.parent)
  name = f"{prior.parent.name}/256x256_diffusion_uncond"
  made = f"make one with dig2dig convert guided_diffusion --name=256x256_diffusion_uncond --out={name}$"
  _refused(pathlib.Path(name), f"there are: {prior.parent.name}/{prior.name}; {made}")


def test_damaged_weights(prior):
  weights = prior / "model.safetensors"
  whole = weights.read_bytes()
  weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
  _refused(prior, "model.safetensors: expected sha256 .*convert or copy the folder again")
  weights.unlink()
  _refused(prior, "model.safetensors: .* found no file")


def _edit(prior, **changes):
  """Changes a card and gives up the hash of its description, as cards of older versions have none."""
  path = prior / "card.json"
  card = json.loads(path.read_text())
  card.pop("description_sha256", None)
  path.write_text(json.dumps(card | changes))


def test_not_safetensors_at_all(prior):
  (prior / "model.safetensors").write_bytes(b"{}")
  _edit(prior, sha256=tensor_file.sha256(prior / "model.safetensors"))
  _refused(prior, "expected a safetensors file")


def test_weights_of_another_network(prior):
  _edit(prior, config=dataclasses.asdict(dataclasses.replace(CONFIG, num_classes=11, out_channels=6)))
  expected = len(parameter_shapes(CONFIG)) + 1
  _refused(prior, rf"expected the {expected} tensors .*1 missing \(label_emb/embedding\); 2 mis-shaped \(out_2")


def test_a_description_that_fits_the_parameters_and_is_another(prior):
  """Heads, size and schedule change the image and no shape."""
  whole = json.loads((prior / "card.json").read_text())
  for changes in (
    {"config": whole["config"] | {"num_heads": 2}},
    {"config": whole["config"] | {"image_size": 16}},
    {"schedule": {"name": "linear", "num_timesteps": 1001}},
    {"dtype": "float16"},
    {"description_sha256": "0" * 64},
  ):
    (prior / "card.json").write_text(json.dumps(whole | changes))
    _refused(prior, "card.json: expected the network and schedule of its 'description_sha256', found others")
  (prior / "card.json").write_text(json.dumps(whole, sort_keys=True, indent=8))
  load_checkpoint(prior)


def test_damaged_card(prior):
  card = json.loads((prior / "card.json").read_text())
  del card["description_sha256"]
  for changes, match in (
    ({"config": card["config"] | {"num_head_channels": 0}}, "num_head_channels: expected -1 or .*, found 0"),
    ({"format": 2}, "expected format 1, found 2; update dig2dig_jax"),
    ({"config": {"image_size": 8}}, "incomplete network configuration"),
    ({"config": card["config"] | {"depth": 1}}, "unknown network fields"),
    ({"config": 3}, "expected a checkpoint's card"),
  ):
    (prior / "card.json").write_text(json.dumps(card | changes))
    _refused(prior, f"card.json: .*{match}")
  (prior / "card.json").write_text(json.dumps({"format": 1}))
  _refused(prior, "found no 'config'")
  for text, match in (("{", "expected JSON"), ("[]", "expected a JSON object, found a list")):
    (prior / "card.json").write_text(text)
    _refused(prior, f"card.json: {match}")


def test_a_folder_of_somebody_elses_is_kept(tmp_path, params):
  for name in (checkpoint.CARD, checkpoint.WEIGHTS):
    folder = tmp_path / name
    folder.mkdir()
    (folder / name).write_text("somebody's")
    with pytest.raises(UserError, match=f"{name}: expected nothing or a result of this program"):
      save_checkpoint(folder, params=params, config=CONFIG, schedule=SCHEDULE, card={})
    assert (folder / name).read_text() == "somebody's" and len(list(folder.iterdir())) == 1
