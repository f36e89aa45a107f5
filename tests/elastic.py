"""Workers that join, leave and are killed: `python tests/elastic.py local|s3|webdataset [--pairs=N]`.

A Ray cluster on this machine has two workers, each on its own node. During a run one is killed with -9, then a third
joins. Afterwards every pair must be in the log once, with the pixels of a run without an engine.
"""

# ruff: noqa: E402  # where packages lie, and how Ray speaks, has to be said before they are imported
import argparse
import contextlib
import io
import json
import os
import pathlib
import signal
import sys
import tempfile
import time

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
os.environ.setdefault("RAY_DEDUP_LOGS", "0")
ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])

import cv2
import numpy as np
from faulty_s3 import server
from scenes import scene
from toys import conv_params, conv_prior

from dig2dig_jax.data.shards import KINDS, files
from dig2dig_jax.fusing import job, ledger
from dig2dig_jax.methods.codec import luminance_codec
from dig2dig_jax.methods.dig2dig import dig2dig
from dig2dig_jax.methods.options import Dig2DigOptions
from dig2dig_jax.stores import address
from dig2dig_jax.stores.shard import samples

SIDE, SHARD = 32, 1000
OPTIONS = Dig2DigOptions(steps=2, strength=0.8, window="cumulative", temperature=0.01)


def encoded(seed, channels):
  return cv2.imencode(".png", scene(seed, SIDE, SIDE, channels))[1].tobytes()


def images(count):
  return [(f"p{i:04d}", {"ir": encoded(i, 1), "vi": encoded(i + 10**6, 3)}) for i in range(count)]


def write_pairs(put, pairs, kind):
  """Through put(key, bytes): files in a folder per source, or shards."""
  if kind is None:
    for name, fields in pairs:
      for source, data in fields.items():
        put(f"data/{source}/{name}.png", data)
    return
  for start in range(0, len(pairs), SHARD):
    rows = [(name, {f"{source}.png": data for source, data in fields.items()})
            for name, fields in pairs[start:start + SHARD]]  # fmt: skip
    put(f"data/pairs-{start // SHARD:06d}{kind.suffix}", kind.write(rows))


def results(out, dataset):
  """{name: samples of its fused image}."""
  if dataset == "folders":
    found = {path.stem: path.read_bytes() for path in out.glob("*.png")}
  else:
    kind = KINDS[dataset]
    shards = [(file, sample) for file in files(out, kind) for sample in samples(file, kind)]
    names = [sample.name for _, sample in shards]
    assert len(names) == len(set(names)), "a pair lies in two shards"
    found = {sample.name: sample.members["png"].read_bytes() for _, sample in shards}
  return {name: cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED).astype(int)
          for name, data in found.items()}  # fmt: skip


def fuse(data, out, dataset, engine=None, cache=None):
  method = dig2dig(conv_prior(), luminance_codec(1), options=OPTIONS)
  config = job.FuseConfig(
    data=data, out=out, sources=("ir", "vi"), bucket=16, batch_size=4, dataset=dataset, shard=SHARD, sheet=False,
    results="files" if dataset == "folders" else dataset, program_cache=cache,
  )  # fmt: skip
  return job.run(config, method, conv_params(), engine=engine)


@contextlib.contextmanager
def cluster():
  """Yields one whose head computes nothing, with two workers."""
  import ray
  from ray.cluster_utils import Cluster

  quickly = {"health_check_period_ms": 500, "health_check_failure_threshold": 6}  # that a node is lost is seen in 3 s
  head = {"num_cpus": 0, "include_dashboard": False, "_system_config": quickly}
  found = Cluster(initialize_head=True, head_node_args=head)
  try:
    nodes = [found.add_node(num_cpus=1) for _ in range(2)]
    ray.init(address=found.address, log_to_driver=False, logging_level="ERROR")
    yield found, nodes
  finally:
    ray.shutdown()
    found.shutdown()


def disturbed(engine, found, nodes, told):
  """The engine, around which one worker is killed once the first task is done, and another joins after that."""

  told["pairs of"] = {"killed": 0, "second": 0, "third": 0}

  def run(work, tasks):
    for number, done in enumerate(engine(work, tasks)):
      if number == 0:
        raylet = nodes[0].all_processes["raylet"][0].process.pid
        workers = children(raylet)
        for pid in (raylet, *workers):
          with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        told["killed"] = len(workers)
        found.add_node(num_cpus=1)
      node = done.worker.rpartition("@")[2]
      first, second = (one.node_id.startswith(node) for one in nodes)
      who = "killed" if first else "second" if second else "third"
      told["pairs of"][who] += len(done.lines)
      yield done

  return run


def children(pid):
  """Processes that this one started, and theirs."""
  found = []
  for entry in pathlib.Path("/proc").glob("[0-9]*/stat"):
    with contextlib.suppress(OSError):
      number, _, rest = entry.read_text().partition(" ")
      if int(rest.rpartition(")")[2].split()[1]) == pid:
        found += [int(number), *children(int(number))]
  return found


def main():
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("where", choices=["local", "s3", "webdataset"])
  parser.add_argument("--pairs", type=int)
  parser.add_argument("--every", type=int, default=60, help="requests of which three meet a fault; of shards a third")
  asked = parser.parse_args()
  dataset = "webdataset" if asked.where == "webdataset" else "folders"
  count = asked.pairs or {"local": 800, "s3": 300, "webdataset": 3 * SHARD}[asked.where]
  from dig2dig_jax.fusing.ray_engine import RayEngine

  told = {}
  with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
    root = pathlib.Path(folder)
    pairs = images(count)

    def put_locally(key, data):
      path = root / key
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_bytes(data)

    write_pairs(put_locally, pairs, None)
    fuse(root / "data", root / "plain", "folders")
    if asked.where == "local":
      place = root
    else:
      url, client, faulty = stack.enter_context(server())
      write_pairs(lambda key, data: client.put_object(Bucket="pairs", Key=key, Body=data), pairs, KINDS.get(dataset))
      faulty._every = asked.every if dataset == "folders" else asked.every // 3
      place = address.typed_place(url)
    start = time.monotonic()
    with cluster() as (found, nodes):
      report = fuse(place / "data", place / "out", dataset, disturbed(RayEngine(2, None), found, nodes, told),
                    cache=root / "programs")
    seconds = time.monotonic() - start
    out = place / "out"
    entries = ledger.read(out)
    if asked.where != "local":
      faulty._every = 0
    once = sorted(entries) == sorted(name for name, _ in pairs) and all(len(lines) == 1 for lines in entries.values())
    plain, fused = results(root / "plain", "folders"), results(out, dataset)
    off = max(int(np.abs(fused[name] - plain[name]).max()) for name in plain)
    text = io.StringIO()
    for path in (out / "log").glob("*.jsonl"):
      text.write(path.read_bytes().decode())
    text.write((out / "run.json").read_bytes().decode())
    print(json.dumps({
      "pairs": count, "failed": report.failed, "once": once, "results": len(fused), "largest difference": off,
      "pairs of": told["pairs of"], "killed": told["killed"],
      "seconds": round(seconds, 1),
      "faults": faulty.count if asked.where != "local" else {},
      "secret": "no-secret-that-may-be-shown" in text.getvalue() or "no-key" in text.getvalue(),
      "notes": report.notes,
    }))  # fmt: skip


if __name__ == "__main__":
  main()
