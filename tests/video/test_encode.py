"""Are the same frames the same file?"""

import ctypes
from fractions import Fraction

import numpy as np
import pytest

from dig2dig_jax.video import encode

PERTURB = -6  # M_PERTURB of glibc's mallopt: bytes that fill fresh memory


def _moving(count, height, width):
  """uint8 [height, width, 3]: noisy squares that move over the frame."""
  rng = np.random.default_rng(0)
  squares = rng.integers(0, 256, (height // 8 + count, width // 8 + count, 3)).repeat(8, axis=0).repeat(8, axis=1)
  for shift in range(count):
    image = squares[2 * shift : 2 * shift + height, 3 * shift : 3 * shift + width]
    yield np.clip(image + rng.normal(0, 8, (height, width, 1)), 0, 255).astype(np.uint8)


def test_a_file_does_not_depend_on_what_memory_held(tmp_path):
  pytest.importorskip("av")
  libc = ctypes.CDLL(None)
  if not hasattr(libc, "mallopt"):
    pytest.skip("fresh memory can be filled with glibc only")
  frames, contents = list(_moving(40, 240, 320)), set()
  for value in (0, 1, 2, 255):
    path = tmp_path / f"{value}.mp4"
    libc.mallopt(PERTURB, value)
    try:
      with encode.Segment(path, frames[0].shape[:2], Fraction(25)) as segment:
        for frame in frames:
          segment.add(frame)
    finally:
      libc.mallopt(PERTURB, 0)
    contents.add(path.read_bytes())
  assert len(contents) == 1
