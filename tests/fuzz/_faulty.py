"""A suite that does everything that a suite must not, for the test of the harness."""

import os
import signal
import time
import warnings

SECONDS, MEMORY = 2, 64 << 20


def check(rng, folder):
  what = ["fine", "raises", "asserts", "crashes", "hangs", "eats", "warns", "prints"][rng.integers(8)]
  if what == "raises":
    raise KeyError("this")
  assert what != "asserts", "asserted"
  if what == "crashes":
    os.kill(os.getpid(), signal.SIGSEGV)
  if what == "hangs":
    time.sleep(60)
  if what == "eats":
    bytearray(b"x") * (128 << 20)
  if what == "warns":
    warnings.warn("a warning", stacklevel=1)
  if what == "prints":
    os.write(2, b"Traceback (most recent call last):")
  return f"toy -> {what}"
