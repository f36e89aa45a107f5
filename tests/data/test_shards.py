"""Are the pairs of shards those that were put in, of every kind, and is what is none named?"""

import dataclasses
import errno
import json
import struct
import tracemalloc

import cv2
import pytest
from scenes import scene

from dig2dig_jax.data import datasets, pairs, shards
from dig2dig_jax.data.decode import read_size
from dig2dig_jax.data.manifest import Manifest
from dig2dig_jax.errors import UserError
from dig2dig_jax.fusing import shares
from dig2dig_jax.stores import array_record, example, parquet, webdataset
from dig2dig_jax.stores.address import typed_place


def encoded(seed, channels):
  return cv2.imencode(".png", scene(seed, 20, 24, channels))[1].tobytes()


ROWS = [(f"n{i}", {"ir.png": encoded(i, 1), "vi.png": encoded(i + 9, 3)}) for i in range(5)]
KINDS = list(shards.KINDS)


def write(folder, kind, rows=ROWS, name="a-000"):
  folder.mkdir(exist_ok=True)
  found = shards.KINDS[kind]
  (path := folder / f"{name}{found.suffix}").write_bytes(found.write(rows))
  return path


@pytest.fixture(autouse=True)
def closed():
  yield
  array_record.close()


@pytest.mark.parametrize("kind", KINDS)
def test_pairs_of_shards_are_those_that_were_written(tmp_path, kind):
  pytest.importorskip("pyarrow")
  write(tmp_path / "s", kind, ROWS[:3], "a-9")
  lonely = [("lonely", {"ir.png": b"x"})] if kind != "parquet" else []  # whose rows all have all columns
  write(tmp_path / "s", kind, [*ROWS[3:], *lonely], "a-10")
  found, left_out = datasets.find(tmp_path / "s", ("VI", "ir"), dataset=kind)
  assert [pair.name for pair in found] == [name for name, _ in ROWS]
  assert len(left_out) == len(lonely) and all("lonely" in line for line in left_out)
  for pair, (_, fields) in zip(found, ROWS, strict=True):
    assert pair.files["ir"].read_bytes() == fields["ir.png"] and pair.files["VI"].read_bytes() == fields["vi.png"]
    assert pair.files["ir"].stat().st_size == len(fields["ir.png"]) and read_size(pair.files["ir"]) == (20, 24)
  assert pairs.load_pair(found[0]).sources.shape == (2, 20, 24, 3)
  assert len({*found[0].files.values(), *found[1].files.values()}) == 4


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_shard_and_one_of_other_fields_are_refused(tmp_path, kind):
  pytest.importorskip("pyarrow")
  path = write(tmp_path / "s", kind)
  with pytest.raises(UserError, match="expected .* samples with the fields mri, ct, found none"):
    datasets.find(path, ("mri", "ct"), dataset=kind)
  data = path.read_bytes()
  path.write_bytes(data[: len(data) // 2])
  with pytest.raises(UserError, match=f"{path}: expected a whole .* file, found a damaged one"):
    datasets.find(path, ("ir", "vi"), dataset=kind)
  with pytest.raises(UserError, match="expected a .* file, found"):
    datasets.find(path.with_name(f"no{path.suffix}"), ("ir", "vi"), dataset=kind)
  with pytest.raises(UserError, match="expected files .* in it, found none"):
    datasets.find(tmp_path, ("ir", "vi"), dataset=kind)


def test_pairs_of_many_shards_are_not_in_memory(tmp_path):
  image = encoded(0, 1)
  for first in range(0, 400, 40):
    rows = [(f"n{number:05d}", {"ir.png": image, "vi.png": image}) for number in range(first, first + 40)]
    write(tmp_path, "webdataset", rows, f"a-{first:05d}")
  config = datasets.DataConfig(tmp_path, ("ir", "vi"), dataset="webdataset")
  tracemalloc.start()
  try:
    found, _ = config.list_files()
    held, most = tracemalloc.get_traced_memory()
  finally:
    tracemalloc.stop()
  assert len(found) == 400 and held < 400 * 400 and most < 400 * 1500  # a Pair with its files takes 1.7 kB


@pytest.mark.parametrize("kind", KINDS)
def test_a_list_of_shards_is_a_manifest_that_is_read_without_looking_through_them(tmp_path, monkeypatch, kind):
  pytest.importorskip("pyarrow")
  write(tmp_path / "s#1", kind)
  config = datasets.DataConfig(tmp_path / "s#1", ("vi", "ir"), dataset=kind)
  found, _ = config.list_files()
  assert isinstance(found, Manifest) and found.sizes is None
  (tmp_path / "list.jsonl").write_text("".join(shares.manifest(found, bucket=16)))
  monkeypatch.setattr(shards, "samples", None)
  again, _ = dataclasses.replace(config, manifest=tmp_path / "list.jsonl").list_files()
  assert again.sizes.tolist() == [[20, 24]] * 5 and list(again) == list(found)
  for pair, (_, fields) in zip(again, ROWS, strict=True):
    assert pair.files["ir"].read_bytes() == fields["ir.png"]
    assert pair.files["vi"].stat() == found[int(pair.name[1])].files["vi"].stat()


@pytest.mark.parametrize("kind", KINDS)
def test_a_shard_that_is_another_since_it_was_listed_is_a_fault_of_its_pairs(tmp_path, kind):
  pytest.importorskip("pyarrow")
  path = write(tmp_path, kind)
  found, _ = datasets.find(path, ("ir", "vi"), dataset=kind)
  array_record.close()
  write(tmp_path, kind, [(name, {"xy.png": b"1234" * 9 + fields["vi.png"]}) for name, fields in ROWS[:3]])
  for pair in (found[0], found[4]):
    with pytest.raises(UserError, match=f"{path}#"):
      pairs.load_pair(pair)


@pytest.mark.parametrize("strange, message", [
  ("a-000.tar#512:9999999999999999:9#n0.ir.png", "found .*none there any more"),
  ("a-000.tar#9999999999:9999999999999:9#n0.ir.png", "found .*none there any more"),
  ("b.tar#512:1024:512#n0.ir.png", "b.tar#n0.ir.png: .*found its shard nowhere"),
  ("a-000.tar#-512:1024:512#n0.ir.png", "a-000.tar#-512:1024:512#n0.ir.png: .*o such file|nothing there"),
  ("a-000.tar#512:1024#n0.ir.png", "o such file|nothing there"),
])  # fmt: skip
def test_a_place_in_a_shard_that_cannot_be_is_a_fault_of_its_pair(tmp_path, strange, message):
  write(tmp_path, "webdataset")
  entry = {"id": "x", "files": {"ir": strange, "vi": strange}}
  (tmp_path / "list.jsonl").write_text(json.dumps(entry) + "\n")
  (pair,) = Manifest(tmp_path / "list.jsonl", ("ir", "vi"))
  with pytest.raises(UserError, match=message):
    pairs.load_pair(pair)


def test_pairs_whose_names_stand_twice_are_left_out_of_all_shards(tmp_path, monkeypatch):
  monkeypatch.setattr(shards, "MOST_LINES", 3)
  write(tmp_path, "webdataset", ROWS[:4], "a-1")
  lonely = [(f"lonely{i}", {"ir.png": b"x"}) for i in range(5)]
  write(tmp_path, "webdataset", [*lonely, ("N1", ROWS[1][1]), ROWS[0], ROWS[4]], "a-2")
  found, left_out = datasets.find(tmp_path, ("ir", "vi"), dataset="webdataset")
  assert [pair.name for pair in found] == ["n2", "n3", "n4"]
  assert len(left_out) == 8 and "2 more samples" in left_out[3] and "1 more pairs" in left_out[7]
  assert all("expected one pair named" in line for line in left_out[4:7])


def test_names_that_are_no_utf_8_and_a_temporary_folder_without_room(tmp_path, monkeypatch):
  write(tmp_path, "webdataset", [("caf\udce9", ROWS[0][1]), *ROWS[1:]])
  found, _ = datasets.find(tmp_path, ("ir", "vi"), dataset="webdataset")
  assert found[0].name == "caf\udce9" and found[0].files["ir"].read_bytes() == ROWS[0][1]["ir.png"]

  def full(*given, **options):
    raise OSError(errno.ENOSPC, "No space left on device")

  monkeypatch.setattr(shards.tempfile, "TemporaryDirectory", full)
  with pytest.raises(UserError, match="expected room for a list of pairs, found No space left on device; free some"):
    datasets.find(tmp_path, ("ir", "vi"), dataset="webdataset")


def test_numbered_shards_are_named_by_braces(tmp_path):
  for number, row in enumerate(ROWS):
    write(tmp_path / "s", "webdataset", [row], f"a-{number:02d}")
  found, _ = datasets.find(tmp_path / "s" / "a-{01..03}.tar", ("ir", "vi"), dataset="webdataset")
  assert [pair.name for pair in found] == ["n1", "n2", "n3"]


def test_a_remote_tar_is_read_in_blocks_and_by_ranges(tmp_path, monkeypatch):
  pytest.importorskip("fsspec")
  place = typed_place("memory://shards")
  (place / "a.tar").write_bytes(webdataset.write(ROWS))
  for block in (700, 1 << 20):  # smaller than a member, and than the file
    monkeypatch.setattr(webdataset, "_BLOCK", block)
    webdataset._blocks.clear()
    found, _ = datasets.find(typed_place("memory://shards/a.tar"), ("ir", "vi"), dataset="webdataset")
    for pair, (_, fields) in zip(found, ROWS, strict=True):
      assert [pair.files[source].read_bytes() for source in ("ir", "vi")] == [*fields.values()]


def test_a_cell_that_is_empty_is_a_fault_of_its_pair(tmp_path):
  pytest.importorskip("pyarrow")
  path = write(tmp_path / "s", "parquet", [*ROWS[:1], ("half", {"ir.png": ROWS[1][1]["ir.png"]})])
  found, _ = datasets.find(path, ("ir", "vi"), dataset="parquet")
  assert pairs.load_pair(found[0]).name == "n0"
  with pytest.raises(UserError, match="an empty cell"):
    pairs.load_pair(found[1])
  assert parquet.KIND.suffix == ".parquet"


def test_examples_are_read_with_what_else_they_hold():
  record = example.packed({"ir": b"a" * 300, "": b""})
  assert example.unpacked(record) == {"ir": b"a" * 300, "": b""}
  floats = b"\x0a\x04" + struct.pack("<f", 1)
  feature = b"\x12" + bytes([len(floats)]) + floats  # its float_list
  number = b"\x0a\x01n\x12" + bytes([len(feature)]) + feature
  entry = b"\x0a" + bytes([len(number)]) + number
  features = b"\x0a" + bytes([len(entry)]) + entry
  assert example.unpacked(record + features) == {"ir": b"a" * 300, "": b""}
  for damaged in (record[:-1], b"\xff" * 20, b"\x0b"):
    with pytest.raises(ValueError):
      example.unpacked(damaged)


def test_a_record_has_the_bytes_of_the_protocol():
  # By hand: features { feature { key: "a" value { bytes_list { value: "1" } } } }
  assert example.packed({"a": b"1"}) == b"\x0a\x0c\x0a\x0a\x0a\x01a\x12\x05\x0a\x03\x0a\x011"
