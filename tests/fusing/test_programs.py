"""Does a later process run the very program of an earlier one, whatever became of the files, and never another?"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from dig2dig_jax.fusing import programs
from dig2dig_jax.fusing.programs import Programs
from dig2dig_jax.sampling.sampler import Trace

X = np.arange(6, dtype=np.float32)


def jitted(scale):
  return jax.jit(lambda x: {"scaled": scale * x, "pair": (x.sum(), Trace(jnp.flip(x), x, x, {"a": x}))})


def fail():
  raise AssertionError("traced again")


def get(folder, make, identity="flags", name="6 pixels"):
  found = Programs(folder, identity)
  return found.get(name, jax.local_devices()[:1], make, (X,)), found.notes


def test_what_was_kept_is_loaded_and_computes_the_same(tmp_path):
  first, _ = get(tmp_path, lambda: jitted(2))
  second, notes = get(tmp_path, fail)
  jax.tree.map(np.testing.assert_array_equal, first.compiled(X), second.compiled(X))
  assert jax.tree.structure(second.compiled(X)) == jax.tree.structure(jitted(2)(X))
  assert not first.kept and second.kept and not notes and len(list(tmp_path.glob("*.program"))) == 1
  assert (
    second.compiled.memory_analysis().output_size_in_bytes == first.compiled.memory_analysis().output_size_in_bytes
  )


@pytest.mark.parametrize("other", [{"identity": "other flags"}, {"name": "7 pixels"}])
def test_another_question_has_a_program_of_its_own(tmp_path, other):
  get(tmp_path, lambda: jitted(2))
  found, _ = get(tmp_path, lambda: jitted(3), **other)
  np.testing.assert_array_equal(found.compiled(X)["scaled"], 3 * X)


def test_other_source_and_settings_too(tmp_path, monkeypatch):
  get(tmp_path / "kept", lambda: jitted(2))
  (tmp_path / "source").mkdir()
  monkeypatch.setattr(programs, "_PACKAGE", tmp_path / "source")
  found, _ = get(tmp_path / "kept", lambda: jitted(3))
  np.testing.assert_array_equal(found.compiled(X)["scaled"], 3 * X)


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "pickle"])
def test_a_damaged_file_is_made_again_and_said(tmp_path, damage):
  get(tmp_path, lambda: jitted(2))
  (path,) = tmp_path.glob("*.program")
  whole = path.read_bytes()
  flipped = bytearray(whole)
  flipped[len(whole) // 2] ^= 1
  pickled = b"cos\nsystem\n(S'false'\ntR."
  path.write_bytes({"cut": whole[:100], "flipped": flipped, "empty": b"", "pickle": pickled}[damage])
  found, (note,) = get(tmp_path, lambda: jitted(2))
  np.testing.assert_array_equal(found.compiled(X)["scaled"], 2 * X)
  assert str(path) in note and "compiled again" in note
  get(tmp_path, fail)


@pytest.mark.parametrize("damage", [b"", b"9 abc\n", b"\xff\xfe", b"12345"])
def test_what_was_counted_is_kept_and_damage_costs_a_count(tmp_path, damage):
  assert Programs(tmp_path, "flags").count("evaluations of 2", lambda: 7) == 7
  assert Programs(tmp_path, "flags").count("evaluations of 2", fail) == 7
  assert Programs(tmp_path, "flags").count("evaluations of 3", lambda: 9) == 9
  assert Programs(tmp_path, "other flags").count("evaluations of 2", lambda: 8) == 8
  assert Programs().count("evaluations of 2", lambda: 5) == 5
  for path in tmp_path.glob("*.count"):
    path.write_bytes(damage)
  assert Programs(tmp_path, "flags").count("evaluations of 2", lambda: 6) == 6
  assert Programs(tmp_path, "flags").count("evaluations of 2", fail) == 6


def test_what_does_not_run_is_removed_and_compiled_again(tmp_path):
  get(tmp_path, lambda: jitted(2))
  found = Programs(tmp_path, "flags")
  error = RuntimeError("NOT_FOUND: f\nmore")
  program = found.again("6 pixels", jax.local_devices()[:1], lambda: jitted(2), (X,), error)
  np.testing.assert_array_equal(program.compiled(X)["scaled"], 2 * X)
  assert found.notes == ["a cached program does not run (NOT_FOUND: f): removed, compiled again"]
  assert not program.kept and not list(tmp_path.iterdir())


def test_what_cannot_be_kept_is_used_and_said_once(tmp_path, monkeypatch):
  def refuse(*args, **kw):
    raise NotImplementedError("no such device")

  monkeypatch.setattr(programs.export, "export", refuse)
  found = Programs(tmp_path, "flags")
  for name in ("6 pixels", "the same"):
    program = found.get(name, jax.local_devices()[:1], lambda: jitted(2), (X,))
  (note,) = found.notes
  assert program.compiled(X)["scaled"][1] == 2 and "NotImplementedError: no such device" in note
  assert not list(tmp_path.iterdir())


def test_nothing_is_kept_without_a_folder_and_a_bad_folder_is_a_note(tmp_path):
  assert get(None, lambda: jitted(2))[0].compiled(X)["scaled"][1] == 2
  (tmp_path / "file").write_text("x")
  found, (note,) = get(tmp_path / "file", lambda: jitted(2))
  assert found.compiled(X)["scaled"][1] == 2 and "--compile_cache" in note and "\n" not in note


def test_a_program_of_several_devices_is_kept_too(tmp_path):
  devices = jax.local_devices()
  if len(devices) < 2:
    pytest.skip("one device; tests/fusing/test_kept_runs.py asks with eight")
  mesh = jax.make_mesh((len(devices),), ("pairs",), axis_types=(AxisType.Auto,), devices=devices)
  x = jax.device_put(np.ones((len(devices), 3), np.float32), NamedSharding(mesh, PartitionSpec("pairs")))
  for make in (lambda: jax.jit(lambda x: 2 * x), fail):
    found = Programs(tmp_path).get("sharded", devices, make, (x,)).compiled(x)
    assert found.sharding.is_equivalent_to(x.sharding, 2) and float(found.sum()) == 6 * len(devices)
