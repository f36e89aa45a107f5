"""Does Ray do every pair once, whatever happens to its workers? And what is asked of it is read, or refused."""

import importlib.util
import json
import pathlib
import subprocess
import sys

import pytest

from dig2dig_jax.errors import UserError
from dig2dig_jax.fusing import ray_engine

ELASTIC = pathlib.Path(__file__).resolve().parents[1] / "elastic.py"


def missing(*names):
  return [name for name in names if importlib.util.find_spec(name) is None]


@pytest.mark.slow
@pytest.mark.parametrize("where", ["local", "s3", "webdataset"])
def test_a_worker_is_killed_another_joins_and_every_pair_is_done_once(where):
  needed = ("ray", "pandas", *(() if where == "local" else ("moto", "s3fs", "flask")))
  if absent := missing(*needed):
    pytest.skip(f"not installed: {', '.join(absent)}; pip install dig2dig_jax[ray,test-cloud]")
  done = subprocess.run([sys.executable, ELASTIC, where], capture_output=True, text=True, timeout=900)
  assert done.returncode == 0, done.stderr[-2000:]
  told = json.loads(done.stdout.splitlines()[-1])
  assert told["once"] and told["failed"] == [] and told["results"] == told["pairs"]
  assert told["largest difference"] <= 1
  assert told["killed"] >= 1 and told["pairs of"]["second"] > 0
  assert told["pairs of"]["third"] > 0 or where == "webdataset"  # which has three tasks in all
  assert not told["secret"]
  if where != "local":
    assert min(told["faults"].values()) > 0


@pytest.mark.parametrize("text, read", [("4", (4, 4)), ("1:", (1, None)), ("2:8", (2, 8))])
def test_numbers_of_workers(text, read):
  assert ray_engine.parse_workers(text) == read


@pytest.mark.parametrize("text", ["", "0", "3:2", "a", "1:b", ":4", "-1"])
def test_numbers_of_workers_that_cannot_be(text):
  with pytest.raises(UserError, match="--engine_workers=.*expected LEAST:MOST"):
    ray_engine.parse_workers(text)


def test_what_a_worker_takes():
  assert ray_engine.parse_resources("CPU:4,GPU:0.5") == {"CPU": 4, "GPU": 0.5}
  assert ray_engine.parse_resources("") == {"CPU": 1}
  for text in ("GPU", "GPU:x", "GPU:-1", "a b:1", "GPU:nan"):
    with pytest.raises(UserError, match="--engine_resources=.*expected NAME:COUNT"):
      ray_engine.parse_resources(text)


def test_without_ray_the_command_to_install_it_is_told(monkeypatch):
  monkeypatch.setitem(sys.modules, "ray", None)
  with pytest.raises(UserError, match=r"expected Ray, found it not installed; pip install dig2dig_jax\[ray\]"):
    next(ray_engine.RayEngine()(None, [[]]))
