"""Is a manifest that is read in blocks what it is line by line: its pairs, its sizes, and the line that is at fault?"""

import dataclasses
import json

import numpy as np
import pytest

from dig2dig_jax.data import manifest_lines, many_pairs
from dig2dig_jax.data.datasets import DataConfig
from dig2dig_jax.data.manifest import Manifest
from dig2dig_jax.errors import UserError
from dig2dig_jax.fusing import shares
from dig2dig_jax.stores import listing
from dig2dig_jax.stores import path as paths
from dig2dig_jax.stores.address import typed_place

IR_VI = ("ir", "vi")


def line(name, *, size=None, **more):
  files = {"ir": f"ir/{name}.png", "vi": f"/vi/{name}.png"}
  return {"id": name, "files": files} | ({} if size is None else {"size": size}) | more


def read(tmp_path, *lines):
  path = tmp_path / "list.jsonl"
  text = "".join((one if isinstance(one, str) else json.dumps(one, ensure_ascii=False)) + "\n" for one in lines)
  path.write_text(text, encoding="utf-8", errors="surrogatepass")
  return Manifest(path, IR_VI)


def test_blocks_tell_what_single_lines_tell(tmp_path, monkeypatch):
  names = [f"{number:04d}é" for number in range(500)]
  lines = [line(name, size=[number + 1, 2]) for number, name in enumerate(names)]
  whole = read(tmp_path, *lines)
  monkeypatch.setattr(manifest_lines, "columns", lambda lines, sources: None)
  single = Manifest(whole.path, IR_VI)
  assert np.array_equal(whole.sizes, single.sizes) and np.array_equal(whole.hashes, single.hashes)
  some = np.array([3, 4, 499, 7, 0])
  assert single.entries(some) == [(names[i], [f"{tmp_path}/ir/{names[i]}.png", f"/vi/{names[i]}.png"]) for i in some]
  monkeypatch.undo()
  assert whole.entries(some) == single.entries(some) and [pair.name for pair in whole] == names
  assert whole.entries(some[:0]) == []


@pytest.mark.parametrize(
  "strange, message",
  [
    ("[1", "line 61: expected .*found JSONDecodeError"),
    (f"{json.dumps(line('x'))}, {json.dumps(line('y'))}", "line 61: expected .*found JSONDecodeError"),
    ({"id": 7, "files": {"ir": "a", "vi": "b"}}, "line 61: expected an id that can be a file's name, found 7"),
    (line("a/b"), "line 61: expected an id that can be"),
    (line(".a"), "line 61: expected an id that can be"),
    (line("a\0b"), "line 61: expected an id that can be"),
    (line(""), "line 61: expected an id that can be"),
    ("[]", "line 61: .*found TypeError"),
    ({"id": "x", "files": {"ir": "a", "vi": 3}}, "line 61: .*a path of type int"),
    (line("0003"), "line 61: expected each id once, found '0003' again"),
  ],
)
def test_the_line_at_fault_is_told_among_many(tmp_path, strange, message):
  with pytest.raises(UserError, match=message):
    read(tmp_path, *(line(f"{number:04d}") for number in range(60)), strange, line("z"))


def test_lines_that_make_sense_together_alone_are_no_lines(tmp_path):
  whole = json.dumps(line("x"))
  with pytest.raises(UserError, match="line 1: .*JSONDecodeError"):
    read(tmp_path, whole[:-1], whole[-1], f"{whole}, {whole}")


def test_empty_lines_and_strange_sizes_are_passed_over(tmp_path):
  strange = line("b", size=[True, 5]), "  ", line("c", size=[2**31, 1], x=[{}])
  found = read(tmp_path, line("a", size=[4, 5]), "", *strange)
  assert [pair.name for pair in found] == ["a", "b", "c"] and found.sizes is None
  assert manifest_lines.size_of([4, 5]) == (4, 5)
  assert shares.order(read(tmp_path, line("a", size=[4, 5])), bucket=4).padded.tolist() == [[4, 8]]


def test_large_folders_are_listed_as_small_ones_are(tmp_path, monkeypatch):
  """With names in any case, numbers in order, files that are alone or twice, and those that a word tells apart."""
  ir = "a10.png A2.png é1.tif b.png twice.png twice.jpg only.png x_ir.png note.txt \udcff.png"
  vi = "a10.jpg a2.png É1.png B.png twice.png alone.png x_vi.png \udcff.png"
  for source, names in (("ir", ir), ("vi", vi)):
    (tmp_path / source).mkdir()
    for name in names.split():
      (tmp_path / source / name).touch()
  small, told = DataConfig(tmp_path, IR_VI).list_files()
  assert isinstance(small, list) and [pair.name for pair in small][:2] == ["A2", "a10"]
  monkeypatch.setattr(many_pairs, "MANY", 5)
  large, lines = DataConfig(tmp_path, IR_VI).list_files()
  assert isinstance(large, Manifest) and sorted(large, key=str) == sorted(small, key=str)
  assert [pair.name for pair in large][:2] == ["A2", "a10"]
  left = ("note.txt", "twice.jpg", "ir/only.png", "vi/alone.png", "vi/twice.png")
  for found in (told, lines):
    assert all(any(name in line for line in found) for name in left)
  numbers = tmp_path / "numbers.txt"
  numbers.write_text("b\nA10.png\n\nb.png\r\n")
  some, _ = dataclasses.replace(DataConfig(tmp_path, IR_VI), split=str(numbers)).list_files()
  assert isinstance(some, Manifest) and [pair.name for pair in some] == ["b", "a10"]
  monkeypatch.setattr(many_pairs, "LEFT", 2)
  again, lines = DataConfig(tmp_path, IR_VI).list_files()
  assert again == small and "more than 2 files without one of the same name" in lines[0]


def test_large_folders_of_a_store_are_listed_into_a_file_too(monkeypatch):
  pytest.importorskip("fsspec")
  paths.forget()
  place = typed_place("memory://large-folders")
  for source, names in (("ir", "a10.png A2.png é1.png note.txt"), ("vi", "a10.jpg a2.png É1.png x/y")):
    for name in names.split():
      (place / source / name).write_bytes(b"")
  small, told = DataConfig(place, IR_VI).list_files()
  monkeypatch.setattr(many_pairs, "MANY", 2)
  monkeypatch.setattr(listing, "FEW", 2)
  paths.forget()
  large, lines = DataConfig(place, IR_VI).list_files()
  assert isinstance(small, list) and isinstance(large, Manifest) and list(large) == small and lines == told
  assert large.sizes is None and len(told) == 1 and "note.txt" in told[0]


def test_a_part_of_a_manifest_is_its_pairs_and_sizes_by_number(tmp_path):
  whole = read(tmp_path, *(line(name, size=[number + 1, 2]) for number, name in enumerate("abcdef")))
  part = whole.part(np.array([4, 0, 3])).part(np.array([2, 0]))
  assert [pair.name for pair in part] == ["d", "e"] and part.sizes.tolist() == [[4, 2], [5, 2]]
  assert part.entry(1) == whole.entry(4) and part.hashes.tolist() == whole.hashes[[3, 4]].tolist()
  del whole  # whose file stays open for its parts
  assert part[0].name == "d"


def test_names_of_a_split_that_are_missing_are_counted_and_a_name_counts_once(tmp_path):
  whole = read(tmp_path, *(line(name) for name in "abcdef"))
  names = tmp_path / "names.txt"
  names.write_text("F\nb.PNG\nf\n")
  config = DataConfig(tmp_path, IR_VI, manifest=whole.path, split=str(names))
  found, _ = config.list_files()
  assert isinstance(found, Manifest) and [pair.name for pair in found] == ["f", "b"]
  names.write_text("a\nx\ny\nz\nw\n")
  with pytest.raises(UserError, match=r"its 5 names among the pairs, found 4 missing \(x, y, z, \.\.\.\)"):
    config.list_files()
