"""A panchromatic and a near-infrared image of one scene, out of the Sentinel-2 bands that xarray-spatial ships.

  pip download --no-deps xarray-spatial && python -m examples.remote_sensing xarray_spatial-*.whl FOLDER

writes FOLDER/pan/sentinel2.png and FOLDER/nir/sentinel2.png, 300 x 200 pixels of 16 bits. Panchromatic is the mean of
the blue, green and red bands, as a camera without colour filters would see it. Needs SciPy, and the package's wheel
only: nothing of it is imported. The bands contain modified Copernicus Sentinel data, free for any use.
"""

import argparse
import io
import zipfile
from pathlib import Path

import numpy as np
from scipy.io import netcdf_file

from dig2dig_jax.data.images import write_png

_SHOWN = 0.5, 99.5  # percentiles that become black and white


def band(wheel: zipfile.ZipFile, name: str) -> np.ndarray:
  """Reflectance times 10,000, [H, W]."""
  content = io.BytesIO(wheel.read(f"xrspatial/datasets/sentinel-2/{name}_band.nc"))
  with netcdf_file(content, mmap=False) as file:
    return next(field[:] for field in file.variables.values() if len(field.shape) == 2).astype(np.float64)


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("wheel", type=Path)
  parser.add_argument("folder", type=Path)
  options = parser.parse_args()
  with zipfile.ZipFile(options.wheel) as wheel:
    bands = {name: band(wheel, name) for name in ("blue", "green", "red", "nir")}
  images = {"pan": np.mean([bands[name] for name in ("blue", "green", "red")], axis=0), "nir": bands["nir"]}
  for name, image in images.items():
    low, high = np.percentile(image, _SHOWN)
    (options.folder / name).mkdir(parents=True, exist_ok=True)
    pixels = np.clip(2 * (image - low) / (high - low) - 1, -1, 1)
    write_png(options.folder / name / "sentinel2.png", pixels[..., None], bit_depth=16)


if __name__ == "__main__":
  main()
