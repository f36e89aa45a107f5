"""Does a process that keeps its memory take it from itself?"""

import subprocess
import sys

import pytest

from dig2dig_jax.video import allocation

FAULTS = """
import ctypes, resource, sys
from dig2dig_jax.video import allocation
if "keep" in sys.argv and not allocation.keep_freed():
  sys.exit(3)
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
def used():
  block = libc.malloc(40 << 20)
  ctypes.memset(block, 1, 40 << 20)
  libc.free(block)
used()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
  used()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _faults(*words):
  found = subprocess.run([sys.executable, "-c", FAULTS, *words], capture_output=True, text=True)
  if found.returncode == 3:
    pytest.skip("this C library has no such option")
  return int(found.stdout)


def test_freed_memory_is_used_again():
  assert 10 * _faults("keep") < _faults()


def test_another_c_library_is_left_alone(monkeypatch):
  monkeypatch.setattr(allocation.ctypes, "CDLL", lambda name: object())
  assert not allocation.keep_freed()
