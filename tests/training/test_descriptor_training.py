"""The descriptor: are examples what they claim to be, do weights survive their file, and does training help?"""

import json

import jax
import numpy as np
import pytest
import skimage.data

from dig2dig_jax.alignment import descriptor, structure, surfaces
from dig2dig_jax.alignment.estimate import REACH
from dig2dig_jax.errors import UserError
from dig2dig_jax.training import descriptor as training
from dig2dig_jax.training.descriptor_examples import Pair, draw, example


@pytest.fixture(scope="module")
def photograph():
  return skimage.data.camera()[::2, ::2]


def test_an_example_says_where_the_source_shows_what_the_reference_does(photograph):
  half = np.float32(photograph[::2, ::2])  # a source of half the resolution, whose pixels lie on every second one
  pair = Pair(np.float32(photograph), half, np.diag([0.5, 0.5, 1.0]))

  @jax.jit
  def likelihoods(reference, source, corners):
    maps = [structure.orientations(one.gray, one.mask) for one in (reference, source)]
    return surfaces.correlated(*maps, source.mask, corners, REACH)

  for seed in range(3):
    made = example(pair, 224, 40, np.random.default_rng(seed))
    likely = np.asarray(likelihoods(made.reference, made.source, made.corners))
    rows, columns = np.unravel_index(likely.reshape(len(likely), -1).argmax(-1), likely.shape[1:])
    found = np.stack([columns, rows], -1) - REACH
    off = np.linalg.norm(found - made.displacements, axis=-1)
    assert np.median(off) < 1 and np.abs(made.displacements).max() > 3
    assert np.linalg.norm(made.displacements, axis=-1).std() > 0.2  # not a shift alone


def test_an_example_depends_on_the_seed_and_its_number_alone(photograph):
  pairs = [Pair(np.float32(photograph), np.float32(photograph), np.eye(3))]
  one, again, other = (draw(pairs, [photograph], 5, 0, index) for index in (3, 3, 4))
  jax.tree.map(np.testing.assert_array_equal, one, again)
  assert one.corners.shape == (5, 2)
  assert one.reference.gray.shape != other.reference.gray.shape or np.any(one.reference.gray != other.reference.gray)


def test_weights_survive_their_file_and_damage_is_told(tmp_path):
  params = descriptor.embedded()
  training.write(tmp_path / "model.npz", params)
  again = descriptor.read(tmp_path / "model.npz")
  jax.tree.map(np.testing.assert_array_equal, params, again)
  abstract = jax.eval_shape(lambda: training.initial(0))
  assert jax.tree.map(np.shape, again) == jax.tree.map(lambda leaf: leaf.shape, abstract)
  without, strange = ({**params, "out": leaf} for leaf in ({}, {"bias": np.full(8, np.nan), "kernel": np.ones(1)}))
  nan = {**params, "out": {**params["out"], "bias": np.full(8, np.nan)}}
  damaged = [b"PK\3\4 and then nothing", b""]
  for other in (without, strange, nan):
    training.write(tmp_path / "model.npz", other)
    damaged.append((tmp_path / "model.npz").read_bytes())
  for content in damaged:
    (tmp_path / "model.npz").write_bytes(content)
    with pytest.raises(UserError, match=r"model\.npz: expected the network"):
      descriptor.read(tmp_path / "model.npz")


@pytest.mark.parametrize("wrong", ["--pairs=::0", "--pairs=3", "--pairs=a:", "--steps=0", "--pairs=::"])
def test_wrong_arguments_are_told_in_a_line(wrong, tmp_path, capsys):
  assert training.main([f"--data={tmp_path}", f"-o{tmp_path}", wrong]) == 2
  assert "expected" in capsys.readouterr().err


@pytest.mark.slow
def test_a_few_steps_make_true_places_likelier(photograph, tmp_path):
  pairs = [Pair(np.float32(photograph), 255 - np.float32(photograph), np.eye(3))]
  training.train(pairs, [photograph], tmp_path, steps=40)
  lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
  assert lines[-1]["step"] == 40
  trained = descriptor.read(tmp_path / "model.npz")
  gains = jax.jit(training.gains)
  seen = [draw(pairs, [photograph], 15, 1, index) for index in range(6)]
  before, after = (np.mean([gains(params, one).mean() for one in seen]) for params in (training.initial(0), trained))
  assert after > before
