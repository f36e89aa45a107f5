"""Do all jobs that take pairs find the same ones, by --dataset, --split and --manifest?"""

import json

import pytest
from absl.testing import flagsaver
from scenes import scene, write

import launch
from dig2dig_jax import metrics
from dig2dig_jax.benchmarks import degraded, gain_figures, tables
from dig2dig_jax.errors import UserError
from dig2dig_jax.evaluation import detection, folders, fused, report
from dig2dig_jax.fusing import job as fuse
from dig2dig_jax.fusing import streaming

NAMES = ("a", "b", "c")
WANTED = ["c", "a"]  # of the split's file, in its order


@pytest.fixture(scope="module")
def root(tmp_path_factory):
  """MSRS as it is unpacked, which is no folder per source; a list of names; a manifest; fused images."""
  root = tmp_path_factory.mktemp("sets")
  for number, name in enumerate(NAMES):
    for part in ("train", "test"):
      for source in ("ir", "vi"):
        write(root / "msrs" / part / source / f"{part}_{name}.png", scene(number, 24, 28, 1))
  for name in WANTED:
    write(root / "fused" / f"test_{name}.png", scene(9, 24, 28, 1))
  (root / "some.txt").write_text("".join(f"test_{name}\n" for name in WANTED))
  entries = [
    {"id": f"test_{name}", "files": {s: f"msrs/test/{s}/test_{name}.png" for s in ("ir", "vi")}} for name in WANTED
  ]
  (root / "list.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
  return root



def job(name, monkeypatch, root, prior):
  """(flags of the job, the list that gets the names of its pairs). Every job stops when it has its pairs."""
  seen = []

  def batches(pairs, **options):
    seen.extend(pair.name for pair in pairs)
    raise UserError("seen")

  def load(pair, *others):
    seen.append(pair.name)
    if name == "degraded" or len(seen) == len(WANTED):  # it goes on until no pair can be read
      raise UserError("seen")
    return None

  prior = f"--prior={prior}"
  own = ["--fused=" + str(root / "fused"), "--nobaselines"]
  monkeypatch.setattr(metrics, "PROTOCOLS", {"panel": ("EN",), "common": ("EN",)})
  if name == "fuse":
    monkeypatch.setattr(streaming, "batches", batches)
    return [prior], seen
  if name in ("fused", "detection", "report"):
    monkeypatch.setattr(folders, "load", load)
    if name == "detection":
      monkeypatch.setattr("dig2dig_jax.cli.evaluate.Detector", lambda *path, **options: None)
      return ["--job=evaluate", "--suite=detection", "--detector=x", "--labels=y", *own], seen
    return [f"--job={'report' if name == 'report' else 'evaluate'}", *own], seen
  if name == "degraded":
    monkeypatch.setattr(degraded, "load_pair", load)
    return ["--job=benchmark", "--suite=degraded", prior], seen
  monkeypatch.setattr(tables if name == "tables" else gain_figures, "batches", batches)
  return ["--job=benchmark", prior, *(["--figure=1"] if name == "figures" else ["--table=methods"])], seen


@pytest.mark.parametrize("name", ["fuse", "fused", "detection", "report", "tables", "figures", "degraded"])
@pytest.mark.parametrize("how", ["split", "manifest"])
def test_every_job_takes_the_pairs_that_the_flags_name(name, how, root, tiny_prior, tmp_path, monkeypatch, capsys):
  arguments, seen = job(name, monkeypatch, root, tiny_prior)
  places = {
    "split": ["--dataset=msrs", f"--data={root / 'msrs'}", f"--split={root / 'some.txt'}"],
    "manifest": [f"--manifest={root / 'list.jsonl'}"],
  }[how]
  with flagsaver.flagsaver():
    status = launch.main(launch.parse(["launch.py", "--compile_cache=", f"--out={tmp_path}", *places, *arguments]))
  assert status == 2, capsys.readouterr()
  assert sorted(seen) == sorted(f"test_{name}" for name in WANTED), capsys.readouterr().err


def test_nobody_looks_for_pairs_by_another_way():
  for module in (tables, degraded, detection, fused, fuse, gain_figures, report):
    assert not hasattr(module, "find_pairs"), module.__name__
