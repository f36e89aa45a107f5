"""Can others enter, and only with the frozen pairs? Is the page what the command makes of the committed files?"""

import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from dig2dig_jax import files, metrics
from dig2dig_jax.benchmarks import entries
from dig2dig_jax.errors import UserError

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture
def data(tmp_path):
  random = np.random.default_rng(1)
  for source in ("ir", "vi", "fused"):
    (tmp_path / "set" / source).mkdir(parents=True)
    for name in ("1", "2"):
      Image.fromarray(random.integers(0, 256, (48, 48), np.uint8)).save(tmp_path / "set" / source / f"{name}.png")
  return tmp_path / "set"


@pytest.mark.slow
def test_a_method_enters(data, tmp_path, capsys):
  out = tmp_path / "entries"
  out.mkdir()
  assert entries.main(["freeze", str(tmp_path), "set:ir,vi"]) == 0
  (out / "pairs.json").write_text(capsys.readouterr().out)
  assert "No entry yet" in entries.page(out)
  arguments = ["score", "set", str(data), f"Mine={data / 'fused'}", "-o", str(out)]
  assert entries.main(arguments) == 0
  assert json.loads((out / "set" / "Mine.json").read_text())["scores"].keys() == {"1", "2"}
  assert "| Mine |" in entries.page(out) and "| average |" in entries.page(out)
  copied = (out / "set" / "average.json").read_bytes()
  (out / "set" / files.NAMES).unlink()  # as in a clone: nothing tells who wrote what lies there
  assert entries.main(arguments) == 0
  (out / "set" / files.NAMES).unlink()
  (out / "set" / "average.json").write_text("mine")
  assert entries.main(arguments) == 2 and "average.json: expected nothing or a result" in capsys.readouterr().err
  (out / "set" / "average.json").write_bytes(copied)
  (data / "fused" / "2.png").unlink()
  assert entries.main(arguments) == 2 and "expected an image named '2'" in capsys.readouterr().err
  Image.fromarray(np.zeros((48, 48), np.uint8)).save(data / "ir" / "2.png")
  assert entries.main(arguments) == 2 and "expected the frozen file of 2 in ir" in capsys.readouterr().err
  (data / "ir" / "2.png").unlink()
  assert entries.main(arguments) == 2 and "it is missing" in capsys.readouterr().err
  (out / "set" / "Mine.json").write_text('{"scores": {}}')
  assert entries.main(["page", str(out)]) == 2 and "Mine.json: expected scores" in capsys.readouterr().err


def test_only_the_frozen_pairs_are_taken(data):
  listed = entries.frozen(data, ("ir", "vi"))
  entries.check(data, listed)
  Image.fromarray(np.zeros((48, 48), np.uint8)).save(data / "vi" / "1.png")
  with pytest.raises(UserError, match="expected the frozen file of 1 in vi"):
    entries.check(data, listed)
  (data / "vi" / "1.png").unlink()
  with pytest.raises(UserError, match="found 1; 1: it is missing"):
    entries.check(data, listed)


def test_rows_are_held_against_the_first():
  own = dict.fromkeys(metrics.PROTOCOLS["panel"], np.ones(8))
  own |= {"Qabf_petrovic": np.arange(1, 9.0), "Nabf": np.zeros(8)}
  rows = {"worse": own | {"Qabf_petrovic": own["Qabf_petrovic"] - 1, "Nabf": own["Nabf"] + 0.1}, "best": own}
  listed = [{"method": name, "scores": {str(k): {one: row[one][k] for one in row} for k in range(8)}}
            for name, row in rows.items()]  # fmt: skip
  lines = entries._table(listed).splitlines()[2:]
  assert lines[0].startswith("| best |") and lines[0].endswith("| – | – |")
  assert lines[1].endswith("| 2/0 | 1.000 |")


def test_the_page_is_what_the_command_makes():
  assert (DOCS / "benchmark_entries.md").read_text(encoding="utf-8") == entries.page(DOCS / "entries")


def test_the_list_has_no_images_and_every_hash():
  lists = json.loads((DOCS / "entries" / "pairs.json").read_text())
  assert {name: len(listed["pairs"]) for name, listed in lists.items()} == {
    "vif/roadscene": 50, "vif/tno": 25, "mff/mffw": 13, "mef/mefb": 18, "mif/mri_ct": 21, "mif/mri_pet": 16,
    "mif/mri_spect": 16,
  }  # fmt: skip
  hashes = [digest for listed in lists.values() for files in listed["pairs"].values() for digest in files.values()]
  assert all(len(digest) == 64 and int(digest, 16) >= 0 for digest in hashes)
  assert {*map(len, (files for listed in lists.values() for files in listed["pairs"].values()))} == {2}


def test_the_frozen_pairs_are_those_at_hand(shared_data):
  lists = json.loads((DOCS / "entries" / "pairs.json").read_text())
  entries.check(shared_data / "mff" / "mffw", lists["mff/mffw"])
