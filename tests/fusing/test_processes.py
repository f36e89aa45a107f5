"""Does a process know its place, from flags or from any cluster, and is each pair in one share?"""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import SIMPLE_LOOPS_FLAGS
from scenes import write_pair

from dig2dig_jax.data import datasets
from dig2dig_jax.data.manifest import Manifest
from dig2dig_jax.errors import UserError
from dig2dig_jax.fusing import processes, shares
from dig2dig_jax.fusing.processes import Place

SIZES = {"a": (16, 16), "b": (9, 30), "c": (13, 10), "d": (40, 40), "e": (1, 5), "f": (30, 17), "g": (17, 30)}
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch):
  for name in [name for name in os.environ if name.startswith(("SLURM", "OMPI", "PMI", "JOB_COMPLETION"))]:
    monkeypatch.delenv(name)


@pytest.mark.parametrize(
  "environment, arguments, expected",
  [
    ({}, {"distributed": False}, (0, 1)),
    ({}, {"distributed": False, "processes": 4, "process": 3}, (3, 4)),
    ({"SLURM_PROCID": "2", "SLURM_STEP_NUM_TASKS": "8"}, {"distributed": True}, (2, 8)),
    ({"SLURM_PROCID": "2", "SLURM_STEP_NUM_TASKS": "8"}, {"distributed": False}, (0, 1)),
    ({"SLURM_PROCID": "2", "SLURM_STEP_NUM_TASKS": "8"}, {"distributed": True, "processes": 9, "process": 1}, (1, 9)),
    ({"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"}, {"distributed": True}, (1, 2)),
    ({"PMI_RANK": "0", "PMI_SIZE": "3"}, {"distributed": True}, (0, 3)),
    ({"JOB_COMPLETION_INDEX": "5"}, {"distributed": True, "processes": 6}, (5, 6)),
  ],
)
def test_the_place_is_what_flags_or_the_cluster_say(monkeypatch, environment, arguments, expected):
  for name, value in environment.items():
    monkeypatch.setenv(name, value)
  assert processes.place(**arguments) == expected


@pytest.mark.parametrize(
  "environment, arguments, message",
  [
    ({}, {"distributed": False, "processes": 4}, "--num_processes, --process_id: expected both"),
    ({}, {"distributed": True, "processes": 4, "process": 4}, "--process_id=4: expected 0 to 3"),
    ({"JOB_COMPLETION_INDEX": "0"}, {"distributed": True}, "add --num_processes"),
  ],
)
def test_half_an_answer_is_refused(monkeypatch, environment, arguments, message):
  for name, value in environment.items():
    monkeypatch.setenv(name, value)
  with pytest.raises(UserError, match=message):
    processes.place(**arguments)


def test_processes_that_a_coordinator_joined_go_on_when_others_are_lost():
  code = (
    "import os, sys, time\n"
    "import jax, jax.numpy as jnp\n"
    "from dig2dig_jax.fusing.processes import place\n"
    "number, port = int(sys.argv[1]), sys.argv[2]\n"
    "print(*place(True, coordinator=f'127.0.0.1:{port}', processes=3, process=number), flush=True)\n"
    "if number == 0: os._exit(9)\n"  # the coordinator itself, without a word
    "if number == 1: os.abort()\n"
    "time.sleep(2)\n"
    "print(int(jnp.arange(4).sum()), len(jax.local_devices()))\n"
  )
  port = str(20000 + os.getpid() % 20000)
  root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
  running = [
    subprocess.Popen([sys.executable, "-c", code, str(number), port], cwd=root, stdout=subprocess.PIPE,
                     stderr=subprocess.PIPE, text=True)
    for number in range(3)
  ]  # fmt: skip
  found = [process.communicate(timeout=120) for process in running]
  assert [out.split() for out, _ in found] == [["0", "3"], ["1", "3"], ["2", "3", "6", "1"]], found
  assert running[2].returncode == 0


@pytest.fixture
def pairs(tmp_path):
  for name, size in SIZES.items():
    write_pair(tmp_path, name, size, channels={"ir": 1, "vi": 3})
  (tmp_path / "ir" / "e.png").write_bytes(b"")
  return datasets.find(tmp_path, ("ir", "vi"))[0]


def test_pairs_are_ordered_by_padded_size_and_dealt_out(pairs):
  planned = shares.plan(pairs, bucket=16)
  assert [entry.pair.name for entry in planned] == ["d", "f", "g", "b", "a", "c", "e"]
  assert planned[0].size == (40, 40) and planned[0].bucket == (48, 48)
  assert planned[-1].size is None and planned[-1].bucket is None, "what cannot be read comes last, to be reported"
  for count in (1, 2, 3, 9):
    parts = [shares.deal(shares.order(pairs, bucket=16), Place(process, count)) for process in range(count)]
    assert sorted(pairs[number].name for part in parts for number in part) == sorted(SIZES)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("size", [{"size": [16, 16]}, {}])
def test_neighbours_in_a_shard_go_to_one_process_and_no_share_is_much_larger(tmp_path, monkeypatch, size):
  monkeypatch.setattr(shares, "FEW", 0)
  count, processes = 6000, 3
  entries = [{"id": f"{i}", "files": dict.fromkeys(("ir", "vi"), f"a.tar#{i}:{i + 1}:1#{i}.png"), **size}
             for i in range(count)]  # fmt: skip
  (tmp_path / "list.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
  order = shares.order(Manifest(tmp_path / "list.jsonl", ("ir", "vi")), bucket=16)
  parts = [shares.deal(order, Place(process, processes)) for process in range(processes)]
  assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(count))
  assert max(map(len, parts)) <= 1.02 * min(map(len, parts))
  assert all(np.count_nonzero(np.diff(part) == 1) > 0.8 * len(part) for part in parts)
  alone = shares.deal(order._replace(run=1), Place(0, processes))
  assert np.count_nonzero(np.diff(alone) == 1) < 0.5 * len(alone)


def test_the_manifest_is_read_back_to_the_same_pairs(pairs, tmp_path):
  text = "".join(shares.manifest(pairs, bucket=16))
  first = json.loads(text.splitlines()[0])
  assert first == {
    "id": "d", "files": {source: str(tmp_path / source / "d.png") for source in ("ir", "vi")},
    "size": [40, 40], "bucket": [48, 48],
  }  # fmt: skip
  (tmp_path / "list.jsonl").write_text(text)
  found, left_out = datasets.find("", ("ir", "vi"), manifest=tmp_path / "list.jsonl")
  assert sorted(found) == sorted(pairs) and not left_out


@pytest.mark.parametrize("number, name", [(signal.SIGTERM, "SIGTERM"), (signal.SIGHUP, "SIGHUP")])
def test_a_signal_is_told_once_and_the_handler_put_back(number, name):
  before = signal.getsignal(number)
  with processes.stopped_by_signal() as stopped:
    assert not stopped.is_set() and stopped.by is None
    signal.raise_signal(number)
    assert stopped.is_set() and stopped.by == name
    assert signal.getsignal(number) == before, "a second signal ends the process"
  assert signal.getsignal(number) == before
  assert Place(1, 2).processes == 2


def test_ctrl_c_is_told_and_one_that_is_ignored_stays_ignored(capsys):
  before = signal.getsignal(signal.SIGINT)
  with processes.stopped_by_signal() as stopped:
    signal.raise_signal(signal.SIGINT)
    assert stopped.is_set() and stopped.by == "Ctrl-C"
  assert signal.getsignal(signal.SIGINT) == before
  assert capsys.readouterr().err == "stopping: what is under way is finished and written; Ctrl-C again ends at once\n"
  signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
  try:
    with processes.stopped_by_signal() as stopped:
      signal.raise_signal(signal.SIGHUP)
      assert not stopped.is_set()
  finally:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.mark.parametrize("work", ["time.sleep(60)", "hashlib.pbkdf2_hmac('sha256', b'a', b'b', 10**9)"])
def test_a_second_ctrl_c_ends_at_once_also_where_python_does_not_get_to_its_handlers(work):
  code = (
    "import hashlib, time\n"
    "from dig2dig_jax.fusing.processes import stopped_by_signal\n"
    "with stopped_by_signal():\n"
    "  print('ready', flush=True)\n"
    f"  {work}\n"
  )
  running = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             text=True)  # fmt: skip
  assert running.stdout.readline() == "ready\n"
  time.sleep(0.3)
  running.send_signal(signal.SIGINT)
  time.sleep(0.3)
  assert running.poll() is None, "the first one only asks"
  running.send_signal(signal.SIGINT)
  _, err = running.communicate(timeout=20)
  assert running.returncode == 130 and "Traceback" not in err, err


def test_ctrl_c_in_the_fuse_job_keeps_what_is_done_and_says_so(tiny_prior, tmp_path):
  for number in range(300):
    write_pair(tmp_path / "data", f"p{number}", (32, 32), channels={"ir": 1, "vi": 1})
  out = tmp_path / "out"
  places = [f"--data={tmp_path / 'data'}", f"--out={out}", f"--prior={tiny_prior}", "--compile_cache="]
  command = [sys.executable, "launch.py", *places, "--steps=20", "--strength=0.9", "--dig_interval=5", "--bucket=32"]
  env = {**os.environ, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "XLA_FLAGS": SIMPLE_LOOPS_FLAGS}
  running = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
  end = time.monotonic() + 120
  while running.poll() is None and time.monotonic() < end and not any(out.glob("*.png")):
    time.sleep(0.01)
  running.send_signal(signal.SIGINT)
  printed, err = running.communicate(timeout=60)
  done = len(list(out.glob("*.png")))
  assert running.returncode == 130 and "Traceback" not in err, err
  assert printed.startswith(f"{done} pairs fused, 0 failed; ") and 0 < done < 300
  assert f"; stopped by Ctrl-C, {300 - done} pairs left for the same command; results in" in printed
