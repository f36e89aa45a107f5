"""How are the buffers of a program used again by its next call, one frame later?

On a CPU, XLA takes them from the C library at each call and gives them back. glibc returns blocks of this size to the
kernel, which clears every page before it hands them out again.
"""

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_ of glibc's malloc.h
_LARGEST, _MAPPED_FROM = 2**31 - 1, 2**30  # bytes


def keep_freed() -> bool:
  """Memory that this process frees stays with it, for its next frame; for programs that are little else than one
  sequence, since what they once used is not free for others until they end. False where the C library cannot."""
  try:
    set_option = ctypes.CDLL(None).mallopt
  except (OSError, AttributeError, TypeError):  # another C library, another system
    return False
  return all([set_option(_MMAP_THRESHOLD, _MAPPED_FROM), set_option(_TRIM_THRESHOLD, _LARGEST)])
