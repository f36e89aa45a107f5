"""Are other programs run on the same pairs, measured, and scored beside this one? By tiny programs in their place."""

import json
import sys

import numpy as np
import pytest
from PIL import Image

from dig2dig_jax.benchmarks.peers import builtin, job, measure, overview, spec, stage, table
from dig2dig_jax.benchmarks.peers.adapters import ADAPTERS, DRIVERS
from dig2dig_jax.data.datasets import DataConfig
from dig2dig_jax.errors import UserError

AVERAGE = """
import sys
from pathlib import Path
import numpy as np
from PIL import Image
a, b, out = map(Path, sys.argv[1:])
for path in a.glob("*.png"):
  pair = [np.asarray(Image.open(folder / path.name).convert("L"), float) for folder in (a, b)]
  Image.fromarray(np.mean(pair, axis=0).astype(np.uint8)).save(out / path.name)
"""


@pytest.fixture
def pairs(tmp_path):
  random = np.random.default_rng(0)
  for source in ("ir", "vi"):
    (tmp_path / "data" / source).mkdir(parents=True)
    for name in ("one", "two", "three"):
      levels = random.integers(0, 256, (32, 40), np.uint8)
      Image.fromarray(levels).save(tmp_path / "data" / source / f"{name}.png")
  return tmp_path / "data"


@pytest.fixture
def average(tmp_path):
  (tmp_path / "average.py").write_text(AVERAGE)
  return f"{sys.executable} {tmp_path / 'average.py'} {{a}} {{b}} {{out}}"


def peer(name, command):
  return spec.Peer(name, tuple(command.split()), licence="MIT")


@pytest.mark.slow
def test_a_folder_of_pairs_becomes_a_table(pairs, average, tmp_path, monkeypatch):
  copy = ("cp", "{a}", "{out}")
  monkeypatch.setattr(builtin, "peers", lambda: ([peer("dig2dig", average), spec.Peer("copier", copy, each=True)], []))
  (tmp_path / "peers.toml").write_text(f'[breaks]\ncommand = "{sys.executable} -c 1/0 {{a}} {{b}} {{out}}"\n')
  found = job.run(DataConfig(pairs, ("ir", "vi")), tmp_path / "out", place=tmp_path / "peers.toml")
  assert [line for line in found.failed if "breaks" in line and "ZeroDivisionError" in line] == found.failed
  assert "each of 3 images is a copy" not in found.text and any("copier" in note for note in found.notes)
  fused = np.asarray(Image.open(tmp_path / "out" / "images" / "dig2dig" / "two.png"), float)
  sources = [np.asarray(Image.open(pairs / source / "two.png"), float) for source in ("ir", "vi")]
  np.testing.assert_array_equal(fused, np.floor(np.mean(sources, axis=0)))
  costs = json.loads((tmp_path / "out" / "costs.json").read_text())
  assert costs.keys() == {"dig2dig", "copier"}
  assert 0 < costs["dig2dig"]["first"] and 5 < costs["copier"]["peak"] < costs["dig2dig"]["peak"] < 300
  assert "| copier |" in (tmp_path / "out" / "peers.md").read_text()
  assert overview.read(tmp_path / "out").tallies.keys() >= {"copier", "average"}


def test_images_come_back_by_their_pairs_names(pairs, tmp_path):
  staged = stage.write(DataConfig(pairs, ("ir", "vi")).find()[0], ("ir", "vi"), tmp_path / "pairs", [])
  copier = spec.Peer("copier", ("cp", "{b}", "{out}"), each=True)
  cost = measure.fuse(copier, staged, stage.first(staged, tmp_path / "first"), "thermal", tmp_path / "out" / "copier")
  for name in ("one", "two", "three"):
    found = Image.open(tmp_path / "out" / "copier" / f"{name}.png")
    np.testing.assert_array_equal(np.asarray(found), np.asarray(Image.open(pairs / "vi" / f"{name}.png")))
  assert 0 < cost.seconds < 60 and 0 < cost.peak < 64


def test_memory_is_the_childs_and_not_that_of_who_starts_it(tmp_path):
  report = tmp_path / "used.json"
  log = tmp_path / "log"
  held = np.ones(2**26)  # 512 MB in this process
  used = measure._metered(spec.Peer("small", ()), ["true"], log)
  assert used["peak_bytes"] < 2**26 < held.nbytes and not report.exists()


def test_what_a_peer_lacks_is_said(pairs, tmp_path):
  staged = stage.write(DataConfig(pairs, ("ir", "vi")).find()[0], ("ir", "vi"), tmp_path / "pairs", [])
  with pytest.raises(UserError, match="0001.png in {out}, found none"):
    measure.fuse(peer("idle", "true {a} {b} {out}"), staged, stage.first(staged, tmp_path / "first"), "thermal",
                 tmp_path / "out" / "idle")  # fmt: skip
  with pytest.raises(UserError, match="status 127: nowhere: No such file"):
    measure._metered(spec.Peer("nowhere", ()), ["nowhere"], tmp_path / "log")


@pytest.mark.parametrize(
  "text, message",
  [
    ("[x]\ncommand = 'fuse {a} {b}'", "found no {out}"),
    ("[x]\nlicence = 'MIT'", "expected a command or an adapter, found none"),
    ("[x]\ncommand = 'f {a} {b} {out}'\ntasks = ['video']", "found video"),
    ("[x]\ncomand = 'f'", "found comand"),
    ("[x]\nadapter = 'gifnet'\ncheckout = 'nowhere'", "expected a checkout of AWCXV/GIFNet"),
    ("[x]\nadapter = 'other'\ncheckout = '.'", "found other"),
    ("[x]\ncommand = 3", "expected command to be a str"),
    ("x = 3", r"expected a table \[x\]"),
    ("[x", "expected TOML"),
  ],
)
def test_bad_lists_of_peers_are_refused(tmp_path, text, message):
  (tmp_path / "peers.toml").write_text(text)
  with pytest.raises(UserError, match=message):
    spec.read(tmp_path / "peers.toml")


def test_checkouts_are_known_by_their_names(tmp_path):
  for name, adapter in ADAPTERS.items():
    sign = tmp_path / name.upper() / adapter.sign
    sign.parent.mkdir(parents=True)
    sign.touch()
    assert (DRIVERS / adapter.driver).is_file()
  found = spec.read(tmp_path)
  assert sorted(peer.name for peer in found) == sorted(ADAPTERS)
  assert all(word in found[0].command for word in ("{a}", "{b}", "{out}", "{task}", sys.executable))
  assert "mmdrfuse" not in [peer.name for peer in spec.for_task(found, "focus")]
  with pytest.raises(UserError, match="found none"):
    spec.read(DRIVERS)


def test_rank_biserial():
  assert table.rank_biserial(np.array([1.0, 2.0, 3.0])) == 1
  assert table.rank_biserial(np.array([-3.0, 1.0, 2.0, 0.0])) == 0
  assert np.isnan(table.rank_biserial(np.zeros(3)))


def test_the_overview_counts_what_is_beyond_chance(tmp_path, capsys):
  for folder, rows in {"one": ("ours", "theirs"), "two": ("ours", "other")}.items():
    (tmp_path / folder).mkdir()
    differences = {"VIF": {rows[1]: {"adjusted": 0.01}}, "Nabf": {rows[1]: {"adjusted": 0.01}},
                   "SCD": {rows[1]: {"adjusted": None}}, "MI": {rows[1]: {"adjusted": 0.2}}}  # fmt: skip
    differences = {name: row | {"copy of ir": {"adjusted": None}} for name, row in differences.items()}
    summary = {"images": ["1", "2"], "reference": "ours", "mean_rank": {"ours": 1.25, rows[1]: 1.75, "copy of ir": 3},
               "higher_is_better": {"VIF": True, "Nabf": False, "SCD": True, "MI": True}, "difference": differences}
    (tmp_path / folder / "summary.json").write_text(json.dumps(summary))
    lines = ["method,image,VIF,Nabf,SCD,MI", "ours,1,3,2,,1", "ours,2,4,2,,1"]
    lines += [f"{rows[1]},{image},1,1,,0" for image in "12"]
    (tmp_path / folder / "scores.csv").write_text("\n".join(lines))
  assert overview.main([str(tmp_path / "one"), str(tmp_path / "two")]) == 0
  assert capsys.readouterr().out.splitlines()[2:] == [
    "| ours | 1.25 | 1.25 |", "| theirs | 1.75, 1/1 | – |", "| other | – | 1.75, 1/1 |"
  ]  # fmt: skip
  assert overview.main([str(tmp_path)]) == 2 and "expected what --table=peers writes" in capsys.readouterr().err
