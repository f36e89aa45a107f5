"""Whole image files of every kind that a reader may meet, small, from a seed."""

import io
import struct
import zlib
from typing import NamedTuple

import flir_files
import numpy as np
import PIL.Image
import PIL.ImageCms
import tifffile

_PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
_SRGB = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()


class Made(NamedTuple):
  """A whole file; `size` is (height, width) after turning, `readable` whether it must be read."""

  format: str
  data: bytes
  size: tuple[int, int]
  readable: bool
  note: str = ""

  def __repr__(self):
    return f"{self.format} {self.size} {self.note}"


def make(rng) -> Made:
  makers = {"png": _png, "jpeg": _jpeg, "tiff": _tiff, "bmp": _bmp, "webp": _webp, "jp2": _jp2, "avif": _avif,
            "exr": _exr, "heic": _heic, "flir": _flir}  # fmt: skip
  kind = rng.choice(list(makers), p=[0.23, 0.15, 0.32, 0.06, 0.07, 0.06, 0.03, 0.04, 0.02, 0.02])
  return makers[kind](rng, int(rng.integers(1, 40)), int(rng.integers(1, 40)))


def profile(rng) -> bytes:
  """An ICC profile of RGB: sRGB, one of other primaries, or damaged."""
  data = bytearray(_SRGB)
  if rng.random() < 0.7:
    at = int(rng.integers(128, len(data) - 4)) if rng.random() < 0.5 else data.index(b"XYZ ", 300) + 8
    data[at:at + 4] = struct.pack(">i", int(rng.integers(-(1 << 17), 1 << 17)))
  return bytes(data)


def chunk(name, body):
  return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _random(rng, *shape, dtype=np.uint8):
  top = min(np.iinfo(dtype).max, 1 << 31)
  smooth = np.cumsum(rng.integers(0, 9, shape), axis=-1 if len(shape) == 2 else 1)
  return (smooth * int(rng.integers(1, 99)) % top if rng.random() < 0.5 else rng.integers(0, top, shape)).astype(dtype)


def _exif(rng):
  """(options of Pillow's save, orientation)"""
  orientation = int(rng.integers(1, 9)) if rng.random() < 0.3 else 1
  exif = PIL.Image.Exif()
  exif[0x0112] = orientation
  return ({"exif": exif} if orientation > 1 else {}), orientation


def _turned(height, width, orientation):
  return (width, height) if orientation > 4 else (height, width)


def _png(rng, height, width):
  colour, depth = [(0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16), (3, 1), (3, 2), (3, 4), (3, 8), (4, 8),
                   (4, 16), (6, 8), (6, 16)][rng.integers(15)]
  interlaced = int(rng.random() < 0.2)
  bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
  rows = []
  for top, left, down, right in _PASSES if interlaced else ((0, 0, 1, 1),):
    lines, columns = -(-(height - top) // down), -(-(width - left) // right)
    if lines > 0 and columns > 0:
      rows += [bytes([rng.integers(5)]) + rng.bytes(-(-columns * bits // 8)) for _ in range(lines)]
  parts = [chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))]
  extras = {
    "gAMA": struct.pack(">I", 45455), "sRGB": b"\0", "tEXt": b"Comment\0by nobody", "pHYs": bytes(9),
    "iCCP": b"p\0\0" + zlib.compress(profile(rng)),
  }
  for name in rng.permutation(list(extras))[:rng.integers(3)]:
    parts.append(chunk(name.encode(), extras[name]))
  if colour == 3:
    parts.append(chunk(b"PLTE", rng.bytes(3 << depth)))
    if rng.random() < 0.3:
      parts.append(chunk(b"tRNS", rng.bytes(int(rng.integers(1, 1 << depth)))))
  _, orientation = _exif(rng)
  if orientation > 1:
    options, _ = {"exif": PIL.Image.Exif()}, None
    options["exif"][0x0112] = orientation
    parts.append(chunk(b"eXIf", options["exif"].tobytes()[6:]))
  stream = zlib.compress(b"".join(rows), int(rng.integers(10)))
  cut = int(rng.integers(len(stream))) if rng.random() < 0.3 else len(stream)
  parts += [chunk(b"IDAT", part) for part in (stream[:cut], stream[cut:]) if part]
  data = b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b"")
  return Made("png", data, _turned(height, width, orientation), True, f"colour {colour} depth {depth} {interlaced}")


def _jpeg(rng, height, width):
  mode = rng.choice(["RGB", "L", "CMYK"], p=[0.7, 0.2, 0.1])
  image = PIL.Image.fromarray(_random(rng, height, width, 3)).convert(mode)
  options, orientation = _exif(rng)
  options |= {"quality": int(rng.integers(5, 100)), "progressive": bool(rng.random() < 0.3)}
  if rng.random() < 0.2:
    options["restart_marker_rows"] = 1
  if rng.random() < 0.2 and mode == "RGB":
    options["icc_profile"] = profile(rng)
  if mode == "RGB":
    options["subsampling"] = int(rng.integers(3))
  note = str({name: value for name, value in options.items() if name not in ("icc_profile", "exif")})
  return Made("jpeg", _saved(image, "JPEG", **options), _turned(height, width, orientation), mode != "CMYK", note)


def _tiff(rng, height, width):
  if rng.random() < 0.35:
    mode = rng.choice(["RGB", "L", "1", "P", "RGBA", "I;16", "CMYK"])
    if mode == "I;16":
      image, compressions = PIL.Image.fromarray(_random(rng, height, width, dtype=np.uint16)), ["raw", "tiff_lzw",
                                                                                             "tiff_adobe_deflate"]
    else:
      image = PIL.Image.fromarray(_random(rng, height, width, 3)).convert(mode)
      compressions = ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd"]
      compressions += {"1": ["group3", "group4"], "RGB": ["jpeg"], "L": ["jpeg"]}.get(mode, [])
    compression = str(rng.choice(compressions))
    options, orientation = _exif(rng)
    if rng.random() < 0.3 and mode == "RGB":
      options["icc_profile"] = profile(rng)
    return Made("tiff", _saved(image, "TIFF", compression=compression, **options),
                _turned(height, width, orientation), mode != "CMYK", f"{mode} {compression}")
  dtype = np.dtype(str(rng.choice(["u1", "u2", "f4", "f8", "f2", "i2", "u4", "u8", "c8", "bool"],
                                  p=[0.2, 0.3, 0.2, 0.1, 0.05, 0.03, 0.03, 0.03, 0.03, 0.03])))
  channels = int(rng.integers(1, 5))
  samples = _random(rng, height, width, channels, dtype=dtype if dtype.kind == "u" else np.uint8).astype(dtype)
  good = dtype in (np.uint8, np.uint16)
  if dtype.kind == "f":
    samples = (samples / dtype.type(256)).astype(dtype)
    good = True
    if rng.random() < 0.3:
      samples[rng.integers(height), rng.integers(width)] = rng.choice([np.nan, np.inf, -np.inf, -1, 2])
      good = False
  options = {"photometric": "rgb" if channels > 2 else str(rng.choice(["minisblack", "miniswhite"])), "metadata": None}
  if channels in (2, 4):
    options["extrasamples"] = ["unassalpha"]
  planar = bool(channels > 1 and rng.random() < 0.2)
  options["planarconfig"] = None if channels == 1 else "separate" if planar else "contig"
  array = samples[..., 0] if channels == 1 else np.moveaxis(samples, -1, 0) if planar else samples
  if dtype.kind != "b":
    options["compression"] = rng.choice([None, "zlib", "deflate"])
  if rng.random() < 0.3:
    options["tile"] = tuple(16 * int(n) for n in rng.integers(1, 4, 2))
  elif rng.random() < 0.5:
    options["rowsperstrip"] = int(rng.integers(1, 12))
  if rng.random() < 0.3 and channels == 3:
    options["iccprofile"] = profile(rng)
  file = io.BytesIO()
  pages, reduced = 1, rng.random() < 0.1
  with tifffile.TiffWriter(file, bigtiff=bool(rng.random() < 0.2), byteorder=str(rng.choice(["<", ">"]))) as writer:
    if rng.random() < 0.1:
      options["subifds"] = 1
    writer.write(array, **options)
    if options.pop("subifds", 0):
      writer.write(array[..., ::2, :] if planar else array[::2], subfiletype=1, **options)
    while rng.random() < 0.1:
      pages += 1
      writer.write(array, subfiletype=int(reduced), **options)
  note = f"{dtype} x {channels} {pages} pages {reduced} {options}".replace(repr(options.get("iccprofile")), "...")
  good = good and (pages == 1 or reduced)
  return Made("tiff", file.getvalue(), (height, width), bool(good), note)


def _bmp(rng, height, width):
  mode = str(rng.choice(["RGB", "L", "1", "P", "RGBA"]))
  return Made("bmp", _saved(PIL.Image.fromarray(_random(rng, height, width, 3)).convert(mode), "BMP"),
              (height, width), True, mode)


def _webp(rng, height, width):
  mode = str(rng.choice(["RGB", "RGBA"]))
  frames = [PIL.Image.fromarray(_random(rng, height, width, 3)).convert(mode) for _ in range(3)]
  options, orientation = _exif(rng)
  animated = rng.random() < 0.2
  if animated:
    options |= {"save_all": True, "append_images": frames[1:]}
  if rng.random() < 0.2:
    options["icc_profile"] = profile(rng)
  data = _saved(frames[0], "WEBP", lossless=bool(rng.random() < 0.5), method=0, **options)
  return Made("webp", data, _turned(height, width, orientation), not animated, mode)


def _jp2(rng, height, width):
  mode = str(rng.choice(["RGB", "L", "RGBA", "I;16"]))
  samples = _random(rng, height, width, dtype=np.uint16) if mode == "I;16" else _random(rng, height, width, 3)
  image = PIL.Image.fromarray(samples) if mode == "I;16" else PIL.Image.fromarray(samples).convert(mode)
  options = {"irreversible": bool(rng.random() < 0.5), "no_jp2": bool(rng.random() < 0.3)}
  data = _saved(image, "JPEG2000", num_resolutions=1, **options)
  return Made("jp2", data, (height, width), True, f"{mode} {options}")


def _avif(rng, height, width):
  mode = str(rng.choice(["RGB", "RGBA"]))
  data = _saved(PIL.Image.fromarray(_random(rng, height, width, 3)).convert(mode), "AVIF", speed=10)
  return Made("avif", data, (height, width), True, mode)


def _exr(rng, height, width):
  try:
    import OpenEXR
  except ImportError:
    return _jp2(rng, height, width)
  name = str(rng.choice(["RGB", "RGBA", "Y"]))
  samples = _random(rng, height, width, len(name)).astype(str(rng.choice(["f2", "f4"]))) / 256
  samples[..., 3:] = 1  # whatever is divided by it stays in [0, 1]
  kinds = [OpenEXR.NO_COMPRESSION, OpenEXR.ZIP_COMPRESSION, OpenEXR.ZIPS_COMPRESSION, OpenEXR.PIZ_COMPRESSION]
  kind = kinds[rng.integers(len(kinds))]
  file = io.BytesIO()
  channels = {name: samples[..., 0].copy() if name == "Y" else samples}
  OpenEXR.File({"compression": kind, "type": OpenEXR.scanlineimage}, channels).write(file)
  return Made("exr", file.getvalue(), (height, width), True, f"{name} {samples.dtype} {kind}")


def _heic(rng, height, width):
  try:
    import pillow_heif
  except ImportError:
    return _jp2(rng, height, width)
  file = io.BytesIO()
  samples = _random(rng, height, width, 3)
  pillow_heif.from_bytes(mode="RGB", size=(width, height), data=samples.tobytes()).save(file, quality=50)
  return Made("heic", file.getvalue(), (height, width), True)


def _flir(rng, height, width):
  counts = 12000 + _random(rng, height, width, dtype=np.uint16) // 16
  options = {"stored": str(rng.choice(["png", "raw"])), "part": int(rng.choice([300, 65000]))}
  photograph = _random(rng, 2 * height, 2 * width, 3) if rng.random() < 0.5 else None
  data = flir_files.file(counts, photograph=photograph, placed=(1.5, 3, -2), **options)
  return Made("flir", data, (height, width), False, str(options))  # its floats need a range of their own


def _saved(image, kind, **options):
  file = io.BytesIO()
  image.save(file, kind, **options)
  return file.getvalue()
