"""How much memory does finding the pairs take, for each kind of container?

  python tests/planning.py shards --pairs=100000      tar files of 1000 pairs
  python tests/planning.py store --pairs=1000000      a folder per source in S3, with simulated responses
  python tests/planning.py split --pairs=1000000      a manifest, and a file with every second pair's name
  python tests/planning.py list --pairs=100000        --list of the shards, and its output read as --manifest
  python tests/planning.py ray --pairs=100000         the tasks of --engine=ray, with actors that do nothing

Prints seconds of processor time and what the planner (pairs, order, share) added to the peak memory of the process.
"""

import argparse
import json
import os
import pathlib
import resource
import sys
import tempfile
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1])]
SOURCES = ("ir", "vi")
_EACH = 1000  # pairs of a shard


def name_of(number):
  return f"scene_{number:08d}"


def write_shards(folder, pairs):
  import cv2
  import numpy as np

  from dig2dig_jax.stores import webdataset

  image = cv2.imencode(".png", np.zeros((8, 8, 1), np.uint8))[1].tobytes()
  for first in range(0, pairs, _EACH):
    rows = [(name_of(number), {"ir.png": image, "vi.png": image}) for number in range(first, first + _EACH)]
    (folder / f"{first:08d}.tar").write_bytes(webdataset.write(rows))


def write_manifest(path, pairs):
  with path.open("w") as lines:
    for name in map(name_of, range(pairs)):
      files = {source: f"{source}/{name}.png" for source in SOURCES}
      lines.write(json.dumps({"id": name, "files": files, "size": [480, 640]}) + "\n")


def stand_in(pairs):
  """Of S3: answers a listing by pages of 1000 names, and nothing else."""
  from dig2dig_jax.stores import store

  class Bucket:
    req_kw = {}

    def split_path(self, key):
      return (*key.split("/", 1), None) if "/" in key else (key, "", None)

    def call_s3(self, method, *, Prefix, ContinuationToken=0, **asked):
      if not Prefix:
        return {"CommonPrefixes": [{"Prefix": f"{source}/"} for source in SOURCES]}
      end = min(ContinuationToken + 1000, pairs)
      keys = [{"Key": f"{Prefix}{name_of(number)}.png", "Size": 40} for number in range(ContinuationToken, end)]
      return {"Contents": keys, "IsTruncated": end < pairs, "NextContinuationToken": end}

  store.Store._connected = lambda self, url, options: (Bucket(), "bucket")
  Bucket._strip_protocol = staticmethod(lambda url: url.removeprefix("s3://"))


def resident():
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(what, root, pairs):
  import numpy  # noqa: F401 of the planner, as what it imports is no matter of the pairs

  from dig2dig_jax.data.datasets import DataConfig
  from dig2dig_jax.fusing import shares
  from dig2dig_jax.stores.address import typed_place

  config = {
    "shards": DataConfig(root, SOURCES, dataset="webdataset"),
    "store": DataConfig(root, SOURCES),
    "split": DataConfig(root, SOURCES, manifest=root / "pairs.jsonl", split=str(root / "names.txt")),
    "list": DataConfig(root, SOURCES, dataset="webdataset"),
  }[what]
  if what == "store":
    stand_in(pairs)
    config = DataConfig(typed_place("s3://bucket"), SOURCES)
  before, begun = resident(), time.process_time()
  found, left_out = config.list_files()
  if what == "list":
    with (root / "list.jsonl").open("w") as lines:
      lines.writelines(shares.manifest(found, bucket=64))
    took, most = time.process_time() - begun, resident() - before
    print(f"--list: {took:.1f} s of processor time, at most {most:.0f} MB more than before; read as --manifest: ",
          end="")  # fmt: skip
    begun = time.process_time()
    found, _ = DataConfig(root, SOURCES, manifest=root / "list.jsonl").list_files()
  mine = shares.deal(shares.order(found, bucket=64), shares.Place(0, 1))
  assert found[int(mine[0])].name
  took, most = time.process_time() - begun, resident() - before
  print(f"{len(found)} of {pairs} pairs, {what}: {took:.1f} s of processor time, at most {most:.0f} MB more than "
        f"before, {most * 2**20 / pairs:.0f} bytes a pair; {len(left_out)} left out")  # fmt: skip
  return most


class Idle:
  """A worker that gives back what it is given."""

  def __call__(self, batch):
    return {"done": batch["task"]}


def measure_ray(pairs):
  import ray
  import ray.data

  from dig2dig_jax.data.pairs import Pair
  from dig2dig_jax.fusing import engines, ray_engine

  ray.init(address="local", log_to_driver=False, logging_level="ERROR")
  ray.data.DataContext.get_current().enable_progress_bars = False
  todo = ((Pair(name, {source: pathlib.Path(f"/data/{source}/{name}.png") for source in SOURCES}), (480, 640))
          for name in map(name_of, range(pairs)))  # fmt: skip
  before, begun = resident(), time.monotonic()
  packed = list(map(ray_engine._packed, engines.tasks(todo, 32)))
  stream = ray.data.from_items([{"task": task} for task in packed], override_num_blocks=len(packed)).map_batches(
    Idle, batch_size=None, zero_copy_batch=True, compute=ray.data.ActorPoolStrategy(min_size=1, max_size=2))
  done = sum(1 for _ in stream.iter_batches(batch_size=None, prefetch_batches=0))
  took, most = time.monotonic() - begun, resident() - before
  size = sum(map(len, packed)) / pairs
  print(f"{pairs} pairs in {done} tasks of {size:.0f} bytes a pair; by Ray {done / took:.0f} tasks a second, at most "
        f"{most:.0f} MB more than before in the command, {most * 2**20 / pairs:.0f} bytes a pair")


def run(what, pairs, root):
  if what in ("shards", "list"):
    write_shards(root, pairs)
  elif what == "split":
    write_manifest(root / "pairs.jsonl", pairs)
    (root / "names.txt").write_text("".join(f"{name_of(number)}.png\n" for number in range(0, pairs, 2)))
  if (child := os.fork()) == 0:  # so that what it took to write them is no part of the peak
    measure(what, root, pairs)
    sys.stdout.flush()
    os._exit(0)
  assert os.waitpid(child, 0)[1] == 0


def main():
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("what", choices=["shards", "store", "split", "list", "ray"])
  parser.add_argument("--pairs", type=int, default=100_000)
  given = parser.parse_args()
  if given.what == "ray":
    measure_ray(given.pairs)
    return
  with tempfile.TemporaryDirectory() as folder:
    run(given.what, given.pairs, pathlib.Path(folder))


if __name__ == "__main__":
  main()
