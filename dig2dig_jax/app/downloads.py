"""What can be saved of a picture, under which names?"""

import tempfile
from pathlib import Path

from starlette.exceptions import HTTPException

from dig2dig_jax.alignment import stored
from dig2dig_jax.app import command, picture
from dig2dig_jax.data.images import write_png


def saved_as(name: str) -> str:
  """The name that the browser gives the file."""
  return f"fused{Path(name).suffix}" if name.startswith("fused") else name


def content(folder: Path, name: str, found: picture.Picture) -> bytes:
  """A file's bytes. folder: for what is written on the way. HTTPException, 404, for a name that is none."""
  if name == command.FLAGS:
    return command.flag_file(found.settings, len(found.placed.areas)).encode()
  with tempfile.TemporaryDirectory(dir=folder) as place:
    path = Path(place) / "file"
    if name == command.TRANSFORMS and found.placed.transforms is not None:
      stored.write(path, found.placed.transforms)
    elif name in ("fused-8.png", "fused-16.png"):
      write_png(path, found.fused, bit_depth=int(name[6:-4]))
    elif name == "fused-16.tif":
      return picture.tiff(found)
    else:
      raise HTTPException(404, "expected fused-8.png, fused-16.png, fused-16.tif, settings.flags or transforms.json")
    return path.read_bytes()
