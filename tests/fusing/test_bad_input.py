"""Are all good pairs fused and every bad file named with its reason, whatever lies in the folder?"""

import io
import struct
import zlib

import cv2
import numpy as np
import PIL.Image
import pytest
import tifffile
from absl.testing import flagsaver
from scenes import read, scene, write_pair
from toys import conv_denoiser, conv_params

import launch
from dig2dig_jax.cli import common
from dig2dig_jax.sampling.parametrisation import Parametrisation
from dig2dig_jax.sampling.schedule import NoiseSchedule

SIZE = (16, 20)
PIXELS = scene(1, *SIZE)
pytestmark = pytest.mark.usefixtures("quick_compile")


def encoded(kind, pixels=PIXELS, **options):
  data = io.BytesIO()
  PIL.Image.fromarray(pixels).save(data, kind, **options)
  return data.getvalue()


def tiff(samples, **options):
  data = io.BytesIO()
  tifffile.imwrite(data, samples, **options)
  return data.getvalue()


def half(data):
  return data[: len(data) // 2]


def png_of(width, height):
  """A PNG that announces this size and holds one row of nothing."""

  def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

  header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
  return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def damaged(data):
  middle = len(data) // 2
  return data[:middle] + bytes(byte ^ 255 for byte in data[middle : middle + 40]) + data[middle + 40 :]


def turned():
  exif = PIL.Image.Exif()
  exif[0x0112] = 6
  return encoded("JPEG", exif=exif)


GRAY = np.linspace(0, 1, PIXELS[..., 0].size, dtype=np.float32).reshape(SIZE)
FAILED = {  # kind -> (bytes of the visible image, what the report says of it)
  "empty": (b"", "an empty file"),
  "text": (b"this is no image", "found other data"),
  "html": (b"<!DOCTYPE html><title>404</title>", "found other data"),
  "pdf": (b"%PDF-1.7 ...", "found other data"),
  "gif": (encoded("GIF"), "found other data"),
  "lfs_pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "found other data"),
  "half_png": (half(encoded("PNG")), "damaged or truncated"),
  "half_jpeg": (half(encoded("JPEG")), "damaged or truncated"),
  "half_webp": (half(encoded("WEBP")), "damaged or truncated"),
  "half_bmp": (half(encoded("BMP")), "damaged or truncated"),
  "half_tiff": (half(tiff(PIXELS)), "damaged or truncated"),
  "half_deep_png": (half(cv2.imencode(".png", PIXELS.astype(np.uint16) * 257)[1].tobytes()), "damaged or truncated"),
  "only_signature": (b"\x89PNG\r\n\x1a\n", "damaged or truncated"),
  "flipped_bytes": (damaged(encoded("PNG")), "damaged or truncated"),
  "no_pixels": (png_of(0, 0), "damaged or truncated"),
  "bomb": (png_of(60000, 60000), "pixels, found 3600000000; crop it or reduce its size"),
  "pages": (tiff(np.stack([PIXELS, PIXELS]), photometric="rgb"), "found 2 pages or frames"),
  "animated": (encoded("WEBP", save_all=True, append_images=[PIL.Image.fromarray(255 - PIXELS)]), "2 pages or frames"),
  "cmyk": (encoded("JPEG", np.asarray(PIL.Image.fromarray(PIXELS).convert("RGB"))), None),  # replaced below
  "int64": (tiff(PIXELS[..., 0].astype(np.int64)), "found 64-bit int64"),
  "nan": (tiff(np.where(GRAY > 0.5, np.nan, GRAY).astype(np.float32)), "expected finite float samples, found 160 NaN"),
  "smaller": (encoded("PNG", PIXELS[:8]), "found 8x20: their fields of view differ"),
  "transposed": (
    encoded("PNG", np.ascontiguousarray(PIXELS.swapaxes(0, 1))), "found 16x20: their fields of view differ"
  ),  # fmt: skip
  "turned_by_exif": (turned(), "found 16x20: their fields of view differ"),
}
cmyk = io.BytesIO()
PIL.Image.fromarray(PIXELS).convert("CMYK").save(cmyk, "JPEG")
FAILED["cmyk"] = (cmyk.getvalue(), "found Pillow mode CMYK")
LEFT_OUT = {
  "notes.txt": "not an image; left out",
  "lonely.png": "present in vi, missing in ir; left out",
}


def test_everything_bad_is_named_and_everything_good_is_done(tmp_path, monkeypatch, capsys):
  class Prior:
    params, noise, directory, config = conv_params(), NoiseSchedule("linear", 1000), "toy", None
    parametrisation, kernels = Parametrisation(), "off"
    denoiser = staticmethod(conv_denoiser)

  monkeypatch.setattr(common, "prior", Prior)
  data, out = tmp_path / "data", tmp_path / "out"
  good = [f"good{i}" for i in range(4)]
  for name in (*good, *FAILED):
    write_pair(data, name, SIZE, channels={"ir": 1, "vi": 3})
  for name, (content, _) in FAILED.items():
    (data / "vi" / f"{name}.png").write_bytes(content)
  (data / "vi" / "notes.txt").write_text("x")
  (data / "vi" / "lonely.png").write_bytes(encoded("PNG"))
  (data / "vi" / "broken_link.png").symlink_to(data / "nowhere")
  (data / "ir" / "broken_link.png").write_bytes(encoded("PNG"))
  with flagsaver.flagsaver():
    flags = ("--compile_cache=", f"--data={data}", f"--out={out}", "--steps=2", "--strength=0.9", "--dig_interval=1",
             "--bucket=32")  # fmt: skip
    status = launch.main(launch.parse(["launch.py", *flags]))
  printed, err = capsys.readouterr()
  assert status == 3, err
  assert len(FAILED) + len(LEFT_OUT) + 1 >= 25
  assert printed.startswith(f"{len(good)} pairs fused, {len(FAILED)} failed; ")
  assert sorted(path.stem for path in out.glob("*.png")) == sorted(good)
  assert all(read(out / f"{name}.png").shape == (*SIZE, 3) for name in good)
  lines = [line for line in err.splitlines() if not line.startswith("compiling for ")]
  for name, (_, reason) in FAILED.items():
    (line,) = [line for line in lines if line.startswith("failed: ") and f"/vi/{name}.png" in line]
    assert reason in line, line
  links = {
    "vi/broken_link.png": "expected a file, found a link that points to nothing; left out",
    "ir/broken_link.png": "present in ir, missing in vi; left out",
  }
  for name, reason in {**LEFT_OUT, **links}.items():
    (line,) = [line for line in lines if line.startswith("note: ") and f"/{name}: " in line]
    assert reason in line, line
  assert len(lines) == len(FAILED) + len(LEFT_OUT) + len(links)
