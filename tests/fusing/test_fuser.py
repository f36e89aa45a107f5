"""Does a method run the same on any number of devices, and in the memory that there is?"""

import dataclasses

import jax
import numpy as np
import pytest
from toys import conv_params, conv_prior, images

from dig2dig_jax.errors import UserError
from dig2dig_jax.fusing import fuser, memory
from dig2dig_jax.methods.codec import rgb_codec
from dig2dig_jax.methods.dig2dig import dig2dig
from dig2dig_jax.methods.options import Dig2DigOptions
from dig2dig_jax.sampling.types import StatefulDenoiser

pytestmark = pytest.mark.usefixtures("quick_compile")
OPTIONS = Dig2DigOptions(steps=2, strength=0.8, window="cumulative", temperature=0.01)
METHOD = dig2dig(conv_prior(), rgb_codec(), options=OPTIONS)
PARAMS = conv_params()
SHAPE = 2, 80, 96


def make(**options):
  return fuser.Fuser(METHOD, PARAMS, seed=0, **options)


@pytest.fixture(scope="module")
def whole(quick_compile):
  """A Fuser of whole images, whose programs the tests share."""
  return make()


def limit(monkeypatch, allowed):
  """Memory is enough where allowed(pairs, tile); returns what was asked."""
  asked = []

  def needed(self, shape, tile):
    asked.append((shape[0], tile))
    return 1e9 if allowed(shape[0], tile) else 1e9 * (shape[0] + 2)

  monkeypatch.setattr(memory, "available", lambda devices: 2e9)
  monkeypatch.setattr(fuser.Fuser, "_needed", needed)
  monkeypatch.setattr(fuser, "TILES", (64, 32))
  return asked


def test_what_fits_runs_whole_and_in_the_batch_that_was_asked_for(monkeypatch):
  asked = limit(monkeypatch, lambda pairs, tile: True)
  assert make(tile=None).plan(SHAPE, batch_size=3) == (3, 0) and asked == [(3, 0)]


def test_fewer_pairs_come_before_tiles(monkeypatch):
  asked = limit(monkeypatch, lambda pairs, tile: pairs == 1)
  one = make(tile=None)
  assert one.plan(SHAPE, batch_size=6) == (1, 0)
  assert asked == [(6, 0), (1, 0)] and not one.notes, "straight to what should fit"
  assert one.plan(SHAPE, batch_size=6) == (1, 0) and len(asked) == 2, "asked once per shape"


def test_tiles_come_last_and_are_told(monkeypatch):
  limit(monkeypatch, lambda pairs, tile: tile == 32)
  one = make(tile=None)
  assert one.plan(SHAPE, batch_size=1) == (1, 32)
  assert one.notes == [
    "96x80: a whole image needs 3.0 GB of memory, 2.0 GB are free; the network is evaluated in tiles of 32"
  ]
  with pytest.raises(UserError, match="memory for 96x80, 3.0 GB, found 2.0 GB; try --tile=1024, --dig_chunk=1"):
    make(tile=0).plan(SHAPE, batch_size=4)
  with pytest.raises(UserError, match="found 2.0 GB; try --tile=256"):
    make(tile=512).plan(SHAPE, batch_size=1)


def test_a_compiler_without_room_is_memory_too_and_other_faults_are_not(monkeypatch):
  def refuse(self, shape, tile):
    raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory" if tile < 64 else "INTERNAL: broken")

  monkeypatch.setattr(fuser.Fuser, "_program", refuse)
  monkeypatch.setattr(memory, "available", lambda devices: 2e9)
  with pytest.raises(UserError, match="more than the compiler can place, found 2.0 GB"):
    make(tile=0).plan(SHAPE, batch_size=2)
  with pytest.raises(jax.errors.JaxRuntimeError, match="broken"):
    make(tile=64).plan(SHAPE, batch_size=1)


def test_the_estimate_holds_at_least_what_comes_and_goes_and_grows_with_the_batch(whole):
  one, two = (memory.needed(whole._program((batch, *SHAPE, 3), 0), PARAMS) for batch in (1, 2))
  assert one > 2 * 80 * 96 * 3 * 4 and two > 1.5 * one


def test_memory_of_host_and_container(tmp_path):
  there = memory.available(jax.local_devices()[:1])
  assert 2**28 < there < 2**44
  (tmp_path / "memory.max").write_text("8000\n")
  (tmp_path / "memory.current").write_text("5000\n")
  (tmp_path / "memory.stat").write_text("anon 1000\ninactive_file 3000\n")
  assert memory._container(tmp_path) == 6000
  (tmp_path / "memory.max").write_text("max\n")
  assert memory._container(tmp_path) is None and memory._container(tmp_path / "none") is None


def test_features_are_not_reused_in_tiles():
  one = make(tile=64)
  remembering = lambda params, denoise: StatefulDenoiser(lambda *_: (), lambda *_: (None, ()))  # noqa: E731
  one._method = METHOD.replace(reverse=dataclasses.replace(METHOD.reverse, predictor=remembering))
  with pytest.raises(UserError, match="--reuse: features of whole images cannot be reused in tiles"):
    one.plan(SHAPE, batch_size=1)


def test_tiles_are_used_and_change_little(whole):
  # A network that sees two pixels far: tiles with enough overlap give the whole image's pixels.
  pair, ids = images(0, 1, *SHAPE, 3), np.array([7], np.uint32)
  (reference, _), (tiled, _) = whole(pair, ids), make(tile=64, overlap=16)(pair, ids)
  assert 0 < np.abs(tiled - reference).max() < 1e-4


def test_what_is_kept_of_the_trace_is_the_callers_choice(whole):
  pair, ids = images(1, 1, *SHAPE, 3), np.array([1], np.uint32)
  _, kept = make(keep=lambda trace: trace.weights[-1])(pair, ids)
  _, trace = whole(pair, ids)
  np.testing.assert_array_equal(kept, trace.weights[:, -1])
