"""Does Ctrl-C end what has not begun, at once and in one word, and is it an exception again from then on?"""

import signal
import subprocess
import sys

import pytest

from dig2dig_jax.cli import interrupt

CODE = """
import os, signal, time
from dig2dig_jax.cli import interrupt
with interrupt.ends_at_once():
  {before}
  try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(5)
  except KeyboardInterrupt:
    print("heard")
"""


@pytest.mark.parametrize(
  ("before", "status", "out", "err"), [("pass", 130, "", "stopped\n"), ("interrupt.begins()", 0, "heard\n", "")]
)
def test_it_ends_the_process_until_the_job_begins(before, status, out, err):
  found = subprocess.run([sys.executable, "-c", CODE.format(before=before)], capture_output=True, text=True, timeout=60)
  assert (found.returncode, found.stdout, found.stderr) == (status, out, err)


def test_a_handler_of_somebody_else_stays():
  before = signal.signal(signal.SIGINT, signal.SIG_IGN)
  try:
    with interrupt.ends_at_once():
      assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    interrupt.begins()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
  finally:
    signal.signal(signal.SIGINT, before)
  with interrupt.ends_at_once():
    assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
  assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_after_the_job_it_ends_nothing():
  code = CODE.format(before="interrupt.over()").replace("time.sleep(5)", "print('whole')")
  found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
  assert (found.returncode, found.stdout, found.stderr) == (0, "whole\n", "")
