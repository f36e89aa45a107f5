"""Does a damaged or foreign file ever become a prior? Bytes flipped all over, ends cut off, tensors renamed."""

import itertools
import shutil

import jax
import numpy as np
import pytest
import recipe
from conftest import golden_path

from dig2dig_jax.errors import UserError
from dig2dig_jax.models.official import OFFICIAL, Official
from dig2dig_jax.porting import guided_diffusion
from dig2dig_jax.priors.checkpoint import load_checkpoint, save_checkpoint
from dig2dig_jax.priors.prior import load_prior

TAG = "adm_uncond_tiny"
SCHEDULE = {"name": "linear", "num_timesteps": 1000}


@pytest.fixture(scope="module")
def prior(tmp_path_factory):
  config, params = recipe.model(TAG)
  folder = tmp_path_factory.mktemp("whole") / "prior"
  save_checkpoint(folder, params=params, config=config, schedule=SCHEDULE, card={}, dtype="float16")
  return folder


def places(size):
  """Offsets all over a file, its first and last bytes among them."""
  return sorted({0, 1, 7, 8, 9, 60, size // 2, size - 2, size - 1, *np.random.default_rng(0).integers(size, size=12)})


def test_no_flipped_bit_of_a_card_gives_another_network(prior, tmp_path):
  """Three bits of every byte: a digit that became another digit is what JSON does not notice."""
  whole = (prior / "card.json").read_bytes()
  expected = load_checkpoint(prior, place=lambda path, array: None)
  (tmp_path / "model.safetensors").symlink_to(prior / "model.safetensors")
  refused = 0
  for place, bit in itertools.product(range(len(whole)), (1, 2, 4)):
    (tmp_path / "card.json").write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
    try:
      found = load_checkpoint(tmp_path, place=lambda path, array: None)
    except UserError as error:
      refused += 1
      assert str(tmp_path) in str(error) and "\n" not in str(error)
    else:
      assert (found.config, found.schedule) == (expected.config, expected.schedule), (place, bit)
  assert refused > len(whole)


@pytest.mark.parametrize("name", ["model.safetensors", "card.json"])
def test_no_flipped_byte_of_a_prior_goes_unseen(prior, tmp_path, name):
  whole = (prior / name).read_bytes()
  folder = shutil.copytree(prior, tmp_path / "prior")
  expected = load_prior(prior)
  for place in places(len(whole)):
    (folder / name).write_bytes(whole[:place] + bytes([whole[place] ^ 0x15]) + whole[place + 1 :])
    try:
      found = load_prior(folder)
    except UserError as error:
      assert str(folder) in str(error) and "\n" not in str(error)
    else:  # a letter of a note in the card, or white space: the network and its weights are the same
      assert name == "card.json" and (found.config, found.noise) == (expected.config, expected.noise)
  for keep in (0, 9, len(whole) // 2, len(whole) - 1):
    (folder / name).write_bytes(whole[:keep])
    if name == "card.json" and keep == len(whole) - 1:
      continue  # the line's end
    with pytest.raises(UserError, match="prior"):
      load_prior(folder)


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
  pytest.importorskip("torch", reason="PyTorch is not installed (pip install torch)")
  monkeypatch.setitem(OFFICIAL, TAG, Official(TAG, recipe.model(TAG)[0]))

  def refused(pt):
    status = guided_diffusion.main([f"--pt={pt}", f"--name={TAG}", f"--out={tmp_path / 'out'}"])
    error = capsys.readouterr().err
    assert status == 2 and str(pt) in error and error.count("\n") == 1, (status, error)
    assert not (tmp_path / "out").exists()
    return error

  return refused


def test_no_flipped_byte_of_a_pytorch_file_goes_unseen(command, tmp_path):
  """Zip's own checksums are compared, which PyTorch does not do when it maps a file."""
  whole = golden_path(f"guided_diffusion/unet_{TAG}.pt").read_bytes()
  pt = tmp_path / "flipped.pt"
  unseen = 0
  for place in places(len(whole)):
    pt.write_bytes(whole[:place] + bytes([whole[place] ^ 0x15]) + whole[place + 1 :])
    status = guided_diffusion.main([f"--pt={pt}", f"--name={TAG}", f"--out={tmp_path / 'out'}"])
    if status == 0:  # bytes of the container that mean nothing: padding, dates
      unseen += 1
      prior, (_, params) = load_prior(tmp_path / "out"), recipe.model(TAG)
      jax.tree.map(np.testing.assert_array_equal, prior.params, params)
      shutil.rmtree(tmp_path / "out")
    assert not (tmp_path / "out").exists()
  assert unseen < len(places(len(whole))) / 2


def test_cut_off_renamed_added_and_reshaped_tensors(command, tmp_path):
  import torch

  pt = tmp_path / "other.pt"
  tensors = {name: torch.from_numpy(array) for name, array in recipe.state_dict(TAG).items()}
  first = next(iter(tensors))
  for changed, words in (
    ({name: tensor for name, tensor in tensors.items() if name != first}, "1 missing"),
    ({**{n: t for n, t in tensors.items() if n != first}, "time_embed.9.weight": tensors[first]}, "1 unexpected"),
    ({**tensors, "extra": torch.zeros(2)}, "1 unexpected"),
    ({**tensors, first: tensors[first].T.contiguous()[:-1]}, "1 mis-shaped"),
    ({**tensors, first: tensors[first].int()}, "1 not floating"),
  ):
    torch.save(changed, pt)
    assert words in command(pt)
  torch.save(tensors, pt)
  pt.write_bytes(pt.read_bytes()[:-100])
  assert "download it again" in command(pt)
  shutil.copy(golden_path("guided_diffusion/unet_classifier_tiny.pt"), pt)
  assert "it looks like a classifier" in command(pt)


def test_weights_that_are_no_numbers_leave_nothing_behind(tmp_path):
  config, params = recipe.model(TAG)
  broken = jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), params)
  with pytest.raises(ValueError, match="is not finite as float32"):
    save_checkpoint(tmp_path / "prior", params=broken, config=config, schedule=SCHEDULE, card={})
  assert not (tmp_path / "prior").exists()
