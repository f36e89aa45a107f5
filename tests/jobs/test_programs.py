"""Does a later process load the very program that an earlier one compiled, and never another?"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dig2dig_jax.errors import UserError
from dig2dig_jax.jobs.programs import Programs

X = np.arange(6, dtype=np.float32)


def compiled(scale):
  return jax.jit(lambda x: {"scaled": scale * x, "pair": (x.sum(), jnp.flip(x))}).lower(X).compile()


def fail():
  raise AssertionError("compiled again")


def get(folder, make, identity="flags", name="6 pixels"):
  programs = Programs(folder, identity)
  return programs.get(name, jax.local_devices()[:1], make), programs.notes


def test_what_was_kept_is_loaded_and_computes_the_same(tmp_path):
  first, _ = get(tmp_path, lambda: compiled(2))
  second, notes = get(tmp_path, fail)
  jax.tree.map(np.testing.assert_array_equal, first(X), second(X))
  assert not notes and len(list(tmp_path.glob("*.program"))) == 1
  assert second.memory_analysis().output_size_in_bytes == first.memory_analysis().output_size_in_bytes


@pytest.mark.parametrize("other", [{"identity": "other flags"}, {"name": "7 pixels"}])
def test_another_question_has_a_program_of_its_own(tmp_path, other):
  get(tmp_path, lambda: compiled(2))
  found, _ = get(tmp_path, lambda: compiled(3), **other)
  np.testing.assert_array_equal(found(X)["scaled"], 3 * X)


def test_other_source_and_settings_too(tmp_path, monkeypatch):
  get(tmp_path, lambda: compiled(2))
  monkeypatch.setattr("dig2dig_jax.jobs.programs._environment", lambda: "another version")
  found, _ = get(tmp_path, lambda: compiled(3))
  np.testing.assert_array_equal(found(X)["scaled"], 3 * X)


def test_a_damaged_file_is_made_again_and_said(tmp_path):
  get(tmp_path, lambda: compiled(2))
  (path,) = tmp_path.glob("*.program")
  path.write_bytes(path.read_bytes()[:100])
  found, (note,) = get(tmp_path, lambda: compiled(2))
  np.testing.assert_array_equal(found(X)["scaled"], 2 * X)
  assert str(path) in note and "compiled again" in note
  get(tmp_path, fail)


def test_what_cannot_be_kept_is_used_and_said(tmp_path, monkeypatch):
  def refuse(program):
    raise NotImplementedError("no such device")

  monkeypatch.setattr("dig2dig_jax.jobs.programs.serialize_executable.serialize", refuse)
  found, (note,) = get(tmp_path, lambda: compiled(2))
  assert found(X)["scaled"][1] == 2 and "NotImplementedError: no such device" in note and not list(tmp_path.iterdir())


def test_nothing_is_kept_without_a_folder_and_a_bad_folder_is_one_line(tmp_path):
  assert get(None, lambda: compiled(2))[0](X)["scaled"][1] == 2
  (tmp_path / "file").write_text("x")
  with pytest.raises(UserError, match="--compile_cache"):
    get(tmp_path / "file", lambda: compiled(2))
