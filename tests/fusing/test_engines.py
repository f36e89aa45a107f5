"""Does a job that an engine runs make what it makes by itself, though tasks come in any order, twice or not at all?"""

import json
import pickle
import shutil

import numpy as np
import pytest
from scenes import read, write_pair
from toys import conv_params, conv_prior

from dig2dig_jax.cli import status as status_command
from dig2dig_jax.data.shards import KINDS, files
from dig2dig_jax.errors import UserError
from dig2dig_jax.fusing import engines, job, ledger, sharded, status, streaming
from dig2dig_jax.fusing.processes import Place
from dig2dig_jax.fusing.worker import Worker
from dig2dig_jax.methods.codec import luminance_codec
from dig2dig_jax.methods.dig2dig import dig2dig
from dig2dig_jax.methods.options import Dig2DigOptions
from dig2dig_jax.stores.address import typed_place
from dig2dig_jax.stores.shard import samples

pytestmark = pytest.mark.usefixtures("quick_compile", "one_method")
NAMES = tuple(f"p{i:02d}" for i in range(10))
OPTIONS = Dig2DigOptions(steps=2, strength=0.8, window="cumulative", temperature=0.01)


@pytest.fixture(scope="module")
def method():
  return dig2dig(conv_prior(), luminance_codec(1), options=OPTIONS)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
  root = tmp_path_factory.mktemp("engines")
  for name in NAMES:
    write_pair(root / "data", name, (32, 32), channels={"ir": 1, "vi": 1})
  return root


def fuse(method, data, out, *, engine=None, **changes):
  config = job.FuseConfig(data=data, out=out, sources=("ir", "vi"), bucket=16, **{"sheet": False} | changes)
  return job.run(config, method, conv_params(), engine=engine)


@pytest.fixture(scope="module")
def plain(root, method, quick_compile):
  report = fuse(method, root / "data", root / "plain")
  assert report.done == len(NAMES)
  return root / "plain"


def backwards(fuser, *, lost=(), twice=()):
  """An engine of one worker, in this process: the last task first, some without an answer, some with two. fuser: a list
  that keeps what was compiled."""

  def run(work, tasks):
    worker = Worker(work)
    worker._fuser = fuser[0] if fuser else None
    for number, task in reversed(list(enumerate(tasks))):
      done = worker(task)
      fuser[:] = [worker._fuser]
      pickle.dumps((done.lines, done.report, done.facts))  # as it has to travel
      for _ in range(0 if number in lost else 2 if number in twice else 1):
        yield done

  return run


def same(out, reference):
  return all(np.array_equal(read(out / f"{name}.png"), read(reference / f"{name}.png")) for name in NAMES)


@pytest.fixture(scope="module")
def fuser():
  return []


def test_a_pair_is_logged_once_and_what_no_task_told_of_is_left(root, method, plain, fuser):
  out = root / "engine"
  report = fuse(method, root / "data", out, engine=backwards(fuser, lost={0}, twice={1}))
  assert (report.done, report.left) == (2, 8)  # tasks of 8 and of 2
  report = fuse(method, root / "data", out, engine=backwards(fuser, twice={0}))
  assert (report.done, report.skipped, report.left) == (8, 2, 0)
  entries = ledger.read(out)
  assert sorted(entries) == sorted(NAMES) and all(len(lines) == 1 for lines in entries.values())
  assert same(out, plain)
  assert any("1 worker fused 8 pairs" in note for note in report.notes)


def test_tasks_are_of_one_size():
  todo = [(engines.Pair(name, {}), bucket)
          for name, bucket in zip("acdefg", [(16, 16)] * 3 + [(32, 32)] * 3, strict=True)]  # fmt: skip
  found = [[pair.name for pair in task] for task in engines.tasks(todo, 2)]
  assert found == [["a", "c"], ["d"], ["e", "f"], ["g"]]


def shard_rows(out, kind):
  return [(path.name, sample) for path in files(out, KINDS[kind]) for sample in samples(path, KINDS[kind])]


@pytest.mark.parametrize("kind", KINDS)
def test_results_lie_in_shards_that_are_whole(root, method, plain, fuser, kind):
  if kind == "parquet":
    pytest.importorskip("pyarrow", reason="Parquet is written by pyarrow: pip install 'dig2dig_jax[cloud]'")
  out = root / kind
  report = fuse(method, root / "data", out, engine=backwards(fuser), results=kind, shard=4)
  assert report.done == len(NAMES) and report.failed == []
  rows = shard_rows(out, kind)
  assert sorted(sample.name for _, sample in rows) == sorted(NAMES) and len({name for name, _ in rows}) == 3
  image = "png" if kind == "webdataset" else "image"
  for _, sample in rows:
    assert sample.members[image].read_bytes() == (plain / f"{sample.name}.png").read_bytes()
  assert not list(out.glob("*.png"))
  assert fuse(method, root / "data", out, results=kind, shard=4).skipped == len(NAMES)
  started = sharded.place_of(out, kind, 4)
  started.look()
  cut = files(out, KINDS[kind])[0]
  size = cut.stat().st_size
  with open(cut, "r+b") as file:
    file.truncate(size - 700)
  started.look()  # asks for no size a second time
  with pytest.raises(UserError, match=f"{cut.name}: expected .* {size} bytes .*, found {size - 700} bytes; delete"):
    fuse(method, root / "data", out, results=kind, shard=4)
  cut.unlink()
  held = sum(name == cut.name for name, _ in rows)
  assert fuse(method, root / "data", out, results=kind, shard=4).done == held


def test_a_shard_that_its_writer_did_not_live_to_log_is_logged_by_the_next_run(root, method, plain, fuser):
  out = root / "webdataset-killed"
  fuse(method, root / "data", out, engine=backwards(fuser), results="webdataset", shard=4)
  log = next((out / "log").glob("*.jsonl"))
  log.write_text("".join(log.read_text().splitlines(keepends=True)[:6]))  # the run, a whole shard and a part of another
  (lost := sorted(out.glob("*.tar"))[0]).unlink()
  gone = {line["id"] for line in map(json.loads, log.read_text().splitlines()) if line.get("shard") == lost.name}
  report = fuse(method, root / "data", out, engine=backwards(fuser), results="webdataset", shard=4)
  left = shard_rows(out, "webdataset")
  assert sorted(sample.name for _, sample in left) == sorted(NAMES)
  assert report.done in (2, 4) and set(ledger.read(out)) == set(NAMES) | gone


def test_a_shard_that_a_lost_worker_put_is_not_made_again(root, method, plain, fuser, monkeypatch):
  """Its answer never came: the next worker reads the lines back, and the log has each once."""
  done = []

  def twice(work, tasks):
    tasks = list(tasks)
    for _ in range(2):
      worker = Worker(work)
      worker._fuser = fuser[0] if fuser else None
      done.append([worker(task) for task in tasks])
      monkeypatch.setattr(streaming.Run, "fuse", None)
    yield from done[-1]

  out = root / "put"
  report = fuse(method, root / "data", out, engine=twice, results="webdataset", shard=4)
  assert report.done == len(NAMES) and same_lines(done[0]) == same_lines(done[1])
  monkeypatch.undo()
  assert [len(lines) for lines in ledger.read(out).values()] == [1] * len(NAMES) and len(list(out.glob("*.tar"))) == 3
  assert fuse(method, root / "data", out, results="webdataset", shard=4).skipped == len(NAMES)


def test_a_worker_looks_at_the_first_pair_that_it_fuses(root, method, fuser):
  config = job.FuseConfig(data=root / "data", out=root / "looks", sources=("ir", "vi"), bucket=16, looks=True)
  pairs = config.find()[0]
  worker = Worker(engines.Work(config, method, conv_params(), ledger.Identity({}, "x", "y"), 0))
  worker._fuser = fuser[0] if fuser else None
  first, second = worker(pairs[:2]), worker(pairs[2:4])
  assert [found.pair for found in first.facts.looks] == [pairs[0].name] and second.facts.looks == []


def same_lines(done):
  return json.loads(json.dumps([one.lines for one in done]))


def test_of_two_processes_with_one_share_the_second_puts_what_the_first_has_not(tmp_path):
  def folder(process, processes):
    found = sharded.place_of(tmp_path, "webdataset", 10, share=Place(process, processes))
    found.look()
    return found

  def add(out, *names, run="run"):
    for name in names:
      out.pending[name] = name.encode()
      out.add({"id": name, "fingerprint": run})

  first, second, divided, other = folder(0, 1), folder(0, 1), folder(1, 2), folder(1, 2)
  add(first, "a", "b")
  add(second, "a", "b", "c")
  assert [line["id"] for line in first.close()] == ["a", "b"]
  assert [line["id"] for line in second.close()] == ["c"]
  assert (second / "a.png").is_file() and not second.pending
  add(divided, "b", "d")
  assert [line["id"] for line in divided.close()] == ["d"]  # whose share is of another division
  (again := folder(0, 1))._seen.clear()
  add(again, "a", "b")
  assert again.close() == []
  other._seen = {path.name for path in tmp_path.iterdir() if "-of-1-" in path.name}
  apart = folder(0, 2)
  apart._seen = set(other._seen)
  add(apart, "d")
  assert [line["id"] for line in apart.close()] == ["d"]  # which no share of one division has in common: not looked at
  add(other, "a", run="another")
  assert [line["id"] for line in other.close()] == ["a"]
  ids = [sample.name for _, sample in shard_rows(tmp_path, "webdataset")]
  assert sorted(ids) == ["a", "a", "b", "c", "d", "d"]


def test_a_pair_that_fails_at_a_worker_fails_alone_and_is_tried_again(root, method, plain, fuser, tmp_path):
  shutil.copytree(root / "data", tmp_path / "data")
  bad = tmp_path / "data" / "vi" / f"{NAMES[3]}.png"
  whole = bad.read_bytes()
  bad.write_bytes(whole[:60])
  out = tmp_path / "out"
  report = fuse(method, tmp_path / "data", out, engine=backwards(fuser, twice={0, 1}))
  assert report.done == len(NAMES) - 1 and len(report.failed) == 1 and bad.name in report.failed[0]
  assert (out / "log" / "0-of-1.jsonl").read_text().count('"failed":') == 1
  bad.write_bytes(whole)
  report = fuse(method, tmp_path / "data", out, engine=backwards(fuser), only="failed")
  assert (report.done, report.failed) == (1, []) and same(out, plain)


def test_what_cannot_be_in_shards_is_refused(root, method):
  for changes in ({"maps": True}, {"temperatures": True}, {"overwrite": True}):
    with pytest.raises(UserError, match=f"--{next(iter(changes))}: expected --results=files"):
      fuse(method, root / "data", root / "refused", results="webdataset", **changes)
  assert sharded.CONTAINERS == ("files", "webdataset", "parquet", "array_record")


def test_sources_and_results_in_a_store_and_in_shards_there(root, method, plain, fuser, capsys):
  pytest.importorskip("fsspec")
  place = typed_place("memory://engines")
  rows = [(name, {f"{source}.png": (root / "data" / source / f"{name}.png").read_bytes() for source in ("ir", "vi")})
          for name in NAMES]  # fmt: skip
  (place / "shards" / "a.tar").write_bytes(KINDS["webdataset"].write(rows))
  for name, fields in rows:
    for field, data in fields.items():
      (place / "data" / field.removesuffix(".png") / f"{name}.png").write_bytes(data)
  report = fuse(method, place / "data", place / "out", engine=backwards(fuser))
  assert report.done == len(NAMES)
  for name in NAMES:
    assert (place / "out" / f"{name}.png").read_bytes() == (plain / f"{name}.png").read_bytes()
  (place / "pairs.jsonl").write_text("".join(json.dumps({"id": name, "files": {
    source: f"data/{source}/{name}.png" for source in ("ir", "vi")}}) + "\n" for name in NAMES))  # fmt: skip
  for changes in ({}, {"manifest": place / "pairs.jsonl"}):
    again = fuse(method, place / "data", place / "out", **changes)
    assert (again.done, again.skipped) == (0, len(NAMES))
  found = status.look(place / "out")
  assert (found.done, found.pairs, found.failed) == (len(NAMES), len(NAMES), {})
  assert status_command.run(["memory://engines/out", "--json"]) == 0
  assert json.loads(capsys.readouterr().out)["done"] == len(NAMES)
  report = fuse(method, place / "shards", place / "packed", engine=backwards(fuser), dataset="webdataset",
                results="webdataset", shard=5)  # fmt: skip
  assert report.done == len(NAMES) and len(shard_rows(place / "packed", "webdataset")) == len(NAMES)
  with pytest.raises(UserError, match="expected a folder beside the images, found the sources' own"):
    fuse(method, place / "data", place / "data" / "ir")


def test_a_list_of_shards_is_fused_and_the_shards_themselves_have_nothing_left_to_do(root, method, plain):
  rows = [(name, {f"{source}.png": (root / "data" / source / f"{name}.png").read_bytes() for source in ("ir", "vi")})
          for name in NAMES]  # fmt: skip
  (root / "listed").mkdir()
  (root / "listed" / "a.tar").write_bytes(KINDS["webdataset"].write(rows))
  of_shards = {"dataset": "webdataset", "out": root / "of-list"}
  lines, left_out = job.listed(job.FuseConfig(data=root / "listed", sources=("ir", "vi"), bucket=16, **of_shards))
  (root / "list.jsonl").write_text("".join(lines))
  assert fuse(method, None, root / "of-list", manifest=root / "list.jsonl").done == len(NAMES) and not left_out
  assert all(same_image(root / "of-list", plain, name) for name in NAMES)
  assert fuse(method, root / "listed", **of_shards).skipped == len(NAMES)


def same_image(out, plain, name):
  return (out / f"{name}.png").read_bytes() == (plain / f"{name}.png").read_bytes()
