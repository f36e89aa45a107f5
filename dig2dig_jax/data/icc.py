"""Colour profiles: what are the samples of a Display P3 or Adobe RGB file in sRGB?

Only integer RGB is converted. Gray is left alone, profile or none, and so is gray that was saved as RGB: a sensor's
levels are data, and a colour transform could tint them. A profile that says sRGB (at most one 8-bit level away from
it) changes nothing, exactly. A profile that cannot be used (damaged, or meant for other than RGB) is ignored, as web
browsers do. 8-bit samples go through LittleCMS, by way of Pillow; it has no way in for 48-bit colour, which is
converted here from the profile's own matrix and curves. A 16-bit file whose profile has only look-up tables keeps its
values. Relative colorimetric intent; colours outside sRGB are clipped to it.
"""

import functools
import io
import struct

import numpy as np
import PIL.Image
import PIL.ImageCms

_BLOCK = 1 << 20  # samples converted at once, so that floats of a large image are never all in memory
_MADE, _ID = slice(24, 36), slice(84, 100)  # bytes of a profile's header
_CURVE_TERMS = {0: "g", 1: "gab", 2: "gabc", 3: "gabcd", 4: "gabcdef"}  # of parametricCurveType, in their order
_LEVELS = np.stack(np.meshgrid(*[np.arange(0, 256, 15)] * 3, indexing="ij"), -1).reshape(1, -1, 3).astype(np.uint8)


def to_srgb(samples: np.ndarray, profile: object) -> np.ndarray:
  """uint8 or uint16 [H, W, 3] under this ICC profile (None or anything but bytes: none) -> sRGB of the same kind."""
  if not isinstance(profile, bytes) or samples.shape[-1] != 3 or samples.dtype not in (np.uint8, np.uint16):
    return samples
  find = _transform if samples.dtype == np.uint8 else _matrix_and_curves
  found = find(profile)
  if found is None or not (samples != samples[..., :1]).any():
    return samples
  if samples.dtype == np.uint8:
    return np.asarray(found.apply(PIL.Image.fromarray(np.ascontiguousarray(samples))))
  return _convert(samples, *found)


@functools.lru_cache(maxsize=1)
def srgb() -> bytes:
  """sRGB's own profile, the same bytes at every time: LittleCMS writes when it made it."""
  made = bytearray(PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes())
  made[_MADE] = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)
  made[_ID] = bytes(16)  # a checksum of the rest, which may be left out
  return bytes(made)


@functools.lru_cache(maxsize=16)
def _transform(profile: bytes):
  """LittleCMS's transform to sRGB; None if it changes nothing or the profile cannot be used."""
  try:
    transform = PIL.ImageCms.buildTransform(
      io.BytesIO(profile), PIL.ImageCms.createProfile("sRGB"), "RGB", "RGB",
      renderingIntent=PIL.ImageCms.Intent.RELATIVE_COLORIMETRIC)
    changed = np.asarray(transform.apply(PIL.Image.fromarray(_LEVELS)))
  except (PIL.ImageCms.PyCMSError, OSError, ValueError, TypeError):
    return None
  return transform if _differs(changed) else None


@functools.lru_cache(maxsize=16)
def _matrix_and_curves(profile: bytes):
  """(matrix from linear RGB to linear sRGB, three curves of 65536 values); None as above, or if it has none."""
  try:
    columns, curves = _parse(profile)
    srgb, _ = _parse(PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes())
    found = np.linalg.solve(srgb, columns).astype(np.float32), curves
    changed = _convert(_LEVELS.astype(np.uint16) * 257, *found)
  except (ValueError, KeyError, IndexError, struct.error, np.linalg.LinAlgError):
    return None
  return found if _differs(changed / 257) else None


def _differs(changed):
  return bool(np.abs(changed.astype(np.float64) - _LEVELS).max() > 1)


def _parse(profile):
  """The matrix that takes linear RGB to XYZ, and the three curves that make RGB linear."""
  if profile[16:24] != b"RGB XYZ ":
    raise ValueError("not RGB by matrix and curves")
  (count,) = struct.unpack_from(">I", profile, 128)
  entries = (struct.unpack_from(">4sII", profile, 132 + 12 * i) for i in range(min(count, 200)))
  tags = {name: profile[start:start + length] for name, start, length in entries}
  columns = np.array([struct.unpack_from(">3i", tags[name], 8) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]).T / 65536
  return columns, np.stack([_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC")]).astype(np.float32)


def _curve(tag):
  x = np.linspace(0, 1, 65536)
  if tag[:4] == b"curv":
    (count,) = struct.unpack_from(">I", tag, 8)
    points = np.array(struct.unpack_from(f">{count}H", tag, 12), np.float64)
    if count > 1:
      return np.interp(x, np.linspace(0, 1, count), points / 65535)
    return x ** (points[0] / 256) if count else x
  terms = _CURVE_TERMS[struct.unpack_from(">H", tag, 8)[0]]
  p = dict.fromkeys("abcdef", 0.0) | {"a": 1.0}
  p |= {term: value / 65536 for term, value in zip(terms, struct.unpack_from(f">{len(terms)}i", tag, 12), strict=True)}
  bend = p["d"] if "d" in terms else -p["b"] / p["a"] if p["a"] else 0.0
  if "d" in terms:
    low, power = p["c"] * x + p["f"], (np.maximum(p["a"] * x + p["b"], 0)) ** p["g"] + p["e"]
  else:
    low, power = np.full_like(x, p["c"]), np.maximum(p["a"] * x + p["b"], 0) ** p["g"] + p["c"]
  curve = np.clip(np.where(x >= bend, power, low), 0, 1)
  if not np.isfinite(curve).all():
    raise ValueError("a curve is not finite")
  return curve


def _convert(samples, matrix, curves):
  flat = samples.reshape(-1, 3)
  result = np.empty_like(flat)
  for start in range(0, len(flat), _BLOCK):
    part = flat[start:start + _BLOCK]
    linear = np.stack([curves[i][part[:, i]] for i in range(3)], -1) @ matrix.T
    linear = np.clip(linear, 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** np.float32(1 / 2.4) - 0.055)
    result[start:start + _BLOCK] = np.rint(encoded * 65535)
  return result.reshape(samples.shape)
