"""Does a place in a store do what a path does? And is an address that cannot be, or that holds a secret, refused?"""

import io
import pathlib
import pickle
import stat
import sys
import zipfile

import numpy as np
import pytest

from dig2dig_jax.data import pairs
from dig2dig_jax.data.images import read_image, write_png
from dig2dig_jax.errors import UserError
from dig2dig_jax.files import claim, what_lies_at
from dig2dig_jax.record import make_folder, write_text
from dig2dig_jax.stores import address
from dig2dig_jax.stores import path as paths
from dig2dig_jax.stores.address import redacted, typed_place

fsspec = pytest.importorskip("fsspec")
PIXELS = np.linspace(-1, 1, 20 * 24, dtype=np.float32).reshape(20, 24, 1)


@pytest.fixture
def place(request):
  paths.forget()
  return typed_place(f"memory://{request.node.name.replace('[', '-').replace(']', '')}")


def test_a_place_has_the_names_and_the_kinds_of_a_path(place):
  (place / "ir" / "b.x.png").write_bytes(b"12345")
  path = typed_place(str(place)) / "ir" / "b.x.png"
  assert (path.name, path.stem, path.suffix, path.parent.name) == ("b.x.png", "b.x", ".png", "ir")
  assert path.is_file() and not path.is_dir() and path.parent.is_dir() and not (place / "vi").exists()
  assert path.stat().st_size == 5 and stat.S_ISREG(path.stat().st_mode)
  assert path.read_bytes() == b"12345" and path.read_range(1, 3) == b"23"
  with path.open("rb") as file:
    file.seek(-2, io.SEEK_END)
    assert (file.read(), file.tell()) == (b"45", 5)
  assert [*place.iterdir()] == [place / "ir"] and path.with_name("c") == path.parent / "c"
  assert pickle.loads(pickle.dumps(path)) == path
  assert place.glob("*.png") == [] and (place / "ir").glob("*.png") == [path]
  assert [what_lies_at(found) for found in (path, path.parent, place / "c")] == ["a file", "a folder", "nothing there"]
  with pytest.raises(FileNotFoundError):
    (place / "c").read_bytes()


def test_images_are_written_and_pairs_found_as_in_folders(place):
  for source in ("ir", "vi"):
    for name in ("10", "2"):
      write_png(place / source / f"{name}.png", PIXELS)
  found, left_out = pairs.find_pairs(place, ("ir", "vi"))
  assert [pair.name for pair in found] == ["2", "10"] and left_out == []
  np.testing.assert_allclose(read_image(found[0].files["ir"]).pixels[..., :1], PIXELS, atol=1 / 255)


def test_what_this_program_did_not_write_is_kept(place):
  (place / "a.png").write_bytes(b"somebody's")
  (place / "run.json").write_bytes(b"somebody's")
  with pytest.raises(UserError, match="found a file that it did not write"):
    write_png(typed_place(str(place)) / "a.png", PIXELS)
  with pytest.raises(UserError, match="found a file that it did not write"):
    claim(typed_place(str(place)) / "run.json")
  for text in ("once", "twice"):
    write_text(place / "own.json", text)
  assert typed_place(str(place / "own.json")).read_bytes() == b"twice"


def test_an_object_is_whole_or_absent_though_its_store_writes_as_it_goes(place, monkeypatch):
  path = place / "a"
  path.write_bytes(b"old")
  monkeypatch.setattr("dig2dig_jax.stores.store._WHOLE", set())
  monkeypatch.setattr("dig2dig_jax.stores.retrying.TRIES", 1)
  there = fsspec.filesystem("memory")
  key = path.key

  def torn(target, data, **options):
    type(there).pipe_file(there, target, data[:1])
    raise ConnectionResetError(104, "reset")

  monkeypatch.setattr(there, "pipe_file", torn, raising=False)
  with pytest.raises(OSError, match="no answer"):
    path.write_bytes(b"new")
  assert there.cat_file(key) == b"old" and len(there.ls(key.rpartition("/")[0])) == 1
  monkeypatch.undo()
  monkeypatch.setattr("dig2dig_jax.stores.store._WHOLE", set())
  path.write_bytes(b"new")
  assert there.cat_file(key) == b"new"


def test_the_inside_of_an_archive_is_read_and_not_written(tmp_path):
  for source in ("ir", "vi"):
    write_png(tmp_path / "data" / source / "a.png", PIXELS)
  with zipfile.ZipFile(tmp_path / "pairs.zip", "w") as archive:
    for file in (tmp_path / "data").rglob("*.png"):
      archive.write(file, file.relative_to(tmp_path / "data"))
  place = typed_place(str(tmp_path / "pairs.zip"))
  (pair,), _ = pairs.find_pairs(place, ("ir", "vi"))
  assert pairs.load_pair(pair).sources.shape == (2, 20, 24, 3)
  assert str(pair.files["ir"]) == f"zip://ir/a.png::{tmp_path}/pairs.zip"
  with pytest.raises(UserError, match="expected a place to write to, found one that can only be read"):
    make_folder(place / "out")


@pytest.mark.parametrize("text, found", [
  ("s4://pairs/a", "found s4://; check its spelling"),
  ("s3://key:secret@pairs/a", "expected an address without credentials"),
  ("https://user:secret@host/a", "expected an address without credentials"),
  ("s3://key:sec/ret@pairs/a", "s3://pairs/a: expected an address without credentials"),
  ("https://user:se@cret@host/a", "https://host/a: expected an address without credentials"),
  ("sftp://user:secret@host/a", "sftp://host/a: expected an address without credentials"),
  ("zip://::/no/such.zip", "expected a store that can be reached, found"),
])  # fmt: skip
def test_an_address_that_cannot_be_is_refused_in_one_line(text, found):
  with pytest.raises(UserError) as raised:
    typed_place(text)
  assert found in str(raised.value) and "\n" not in str(raised.value) and "secret" not in str(raised.value)


def test_a_package_that_is_not_installed_is_named_with_its_command(monkeypatch):
  monkeypatch.setitem(sys.modules, "s3fs", None)
  with pytest.raises(UserError, match=r"expected s3fs to read or write s3://, .*pip install dig2dig_jax\[cloud\]"):
    address.typed_place("s3://pairs/a")


def test_nothing_secret_of_an_address_is_shown():
  assert redacted("--data=https://me:pw@host/a?X-Amz-Signature=1&b=2") == "--data=https://host/a?..."
  assert redacted("what? a=b") == "what? a=b"
  assert "sig" not in str(typed_place("memory://a/b")) + redacted("az://c/x?sig=1")


def test_paths_stay_paths(tmp_path):
  assert typed_place("data") == pathlib.Path("data") and typed_place("~") == pathlib.Path.home()
  assert typed_place(f"file://{tmp_path}") == tmp_path and typed_place(tmp_path) is not None


def test_a_path_of_universal_pathlib_is_taken_with_its_options():
  upath = pytest.importorskip("upath")
  place = typed_place(upath.UPath("memory://upath/a"))
  (place / "x").write_bytes(b"1")
  assert fsspec.filesystem("memory").cat_file((place / "x").key) == b"1"
