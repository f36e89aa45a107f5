"""Does Ray do every pair once, whatever happens to its workers? And what is asked of it is read, or refused."""

import importlib.util
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from scenes import write_pair

from dig2dig_jax.errors import UserError
from dig2dig_jax.fusing import ledger, ray_engine

ELASTIC = pathlib.Path(__file__).resolve().parents[1] / "elastic.py"
RUN = """
import json, pathlib, sys
import elastic
from dig2dig_jax.fusing.ray_engine import RayEngine
root = pathlib.Path(sys.argv[1])
report = elastic.fuse(root / "data", root / "out", "folders", engine=RayEngine(1, 1))
print(json.dumps([report.done, report.left, report.skipped, report.stopped_by]))
"""


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


@pytest.mark.slow
@pytest.mark.parametrize("number, by", [(signal.SIGTERM, "SIGTERM"), (signal.SIGINT, "Ctrl-C"), (signal.SIGKILL, None)])
def test_a_run_that_is_stopped_while_ray_runs_is_gone_on_with(tmp_path, number, by):
  if absent := missing("ray", "pandas"):
    pytest.skip(f"not installed: {', '.join(absent)}; pip install dig2dig_jax[ray]")
  for i in range(192):
    write_pair(tmp_path / "data", f"p{i:03d}", (32, 32), channels={"ir": 1, "vi": 3})
  command = [sys.executable, "-c", RUN, str(tmp_path)]
  env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ELASTIC.parent), str(ELASTIC.parents[1])])}
  begun = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
  deadline = time.monotonic() + 200
  while len(list((tmp_path / "out").glob("*.png"))) < 20:
    assert begun.poll() is None and time.monotonic() < deadline
    time.sleep(0.2)
  begun.send_signal(number)
  told = begun.communicate(timeout=200)[0].splitlines()
  assert begun.returncode == (-number if by is None else 0)
  if by is not None:
    done, left, _, stopped_by = json.loads(told[-1])
    assert stopped_by == by and done + left == 192 and 0 < done < 192
  again = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=400)
  done, left, skipped, _ = json.loads(again.stdout.splitlines()[-1])
  assert (done + skipped, left) == (192, 0) and (by is None or skipped > 0)
  assert {len(lines) for lines in ledger.read(tmp_path / "out").values()} == {1}


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
