"""Do sources of other sizes come into one frame where their aspects agree, exactly, and are the others refused?"""


import cv2
import made
import numpy as np
import pytest
from scenes import read, write
from toys import conv_params, conv_prior

from dig2dig_jax.alignment import frames
from dig2dig_jax.alignment.frames import Frames
from dig2dig_jax.data.images import Image
from dig2dig_jax.errors import UserError
from dig2dig_jax.evaluation import folders
from dig2dig_jax.fusing import job, ledger
from dig2dig_jax.methods.codec import luminance_codec
from dig2dig_jax.methods.dig2dig import dig2dig
from dig2dig_jax.methods.options import Dig2DigOptions

pytestmark = pytest.mark.usefixtures("simple_loops")
FILES = {"ir": "ir.png", "vi": "vi.png"}


def image(pixels, valid=None):
  return Image(np.repeat(np.float32(pixels)[..., None], 3, axis=-1), False, 8, None, valid)


def ramp(height, width):
  """Rises evenly along both axes, as an area detector of that many pixels sees it."""
  x, y = (np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height
  return 0.8 * np.add.outer(y, x) - 0.8


def check_places(found, small):
  """On even rises: the ripple of cubic weights, a tenth of a coarse pixel along each axis, and no shift."""
  off = (found["ir"].pixels - found["vi"].pixels)[16:-16, 16:-16, 0] / (0.8 / max(small))
  assert np.abs(off).max() < 0.2 and abs(off.mean()) < 0.01


@pytest.mark.parametrize("small", [(128, 166), (160, 208), (80, 104), (213, 277)])
def test_pixel_centres_meet_at_whole_and_real_scales(small):
  found, told = Frames()({"ir": image(ramp(*small)), "vi": image(ramp(320, 416))}, FILES)
  height, width = small
  assert found["ir"].pixels.shape == found["vi"].pixels.shape == (320, 416, 3)
  check_places(found, small)
  assert told == {"ir": {"resized": [round(320 / height, 4), round(416 / width, 4)], "from": [height, width],
                         "reference": "vi"}}  # fmt: skip


def test_the_reference_decides_the_frame_and_a_larger_source_is_reduced_smoothly():
  fine = image(np.tile([-0.5, 0.5], (320, 208)))  # stripes that the coarser pixels cannot hold
  found, told = Frames(reference="ir")({"ir": image(ramp(80, 104)), "vi": fine}, FILES)
  assert found["vi"].pixels.shape == (80, 104, 3) and np.abs(found["vi"].pixels[8:-8, 8:-8]).max() < 0.05
  assert told["vi"]["resized"] == [0.25, 0.25] and told["vi"]["reference"] == "ir"
  with pytest.raises(UserError, match="uv: expected the reference among the sources ir, vi"):
    Frames(reference="uv")({"ir": fine, "vi": fine}, FILES)


def test_what_is_valid_is_brought_along():
  valid = np.ones((80, 104), bool)
  valid[:, :20] = False
  found, _ = Frames()({"ir": image(ramp(80, 104), valid), "vi": image(ramp(320, 416))}, FILES)
  area = found["ir"].valid
  assert area.shape == (320, 416) and not area[:, :80].any() and area[:, 84:].all()


@pytest.mark.parametrize(
  ("one", "other", "agrees"),
  [
    ((480, 640), (1080, 1440), True),
    ((128, 166), (320, 416), True),
    ((480, 640), (1456, 1936), True),  # a sensor with a few more columns
    ((12, 17), (24, 33), True),
    ((3, 4), (300, 400), True),
    ((512, 640), (480, 640), False),
    ((512, 640), (3000, 4000), False),
    ((104, 104), (320, 416), False),
    ((480, 640), (640, 480), False),
    ((360, 640), (480, 640), False),
  ],
)
def test_aspects_agree_within_a_rounding(one, other, agrees):
  assert frames.agree(one, other) == frames.agree(other, one) == agrees


def test_another_aspect_is_refused_with_what_would_work_and_stretched_where_asked():
  images = {"ir": image(ramp(104, 104)), "vi": image(ramp(320, 416))}
  with pytest.raises(UserError, match=r"ir\.png: expected the aspect of vi\.png, 320x416 .* found 104x104: .*--align="):
    Frames()(images, FILES)
  found, told = Frames("stretch")(images, FILES)
  check_places(found, (104, 104))
  assert told["ir"]["resized"] == [round(320 / 104, 4), 4.0]
  assert Frames("off")(images, FILES) == (images, {})


def test_the_job_says_and_records_it_and_evaluates_what_was_fused(tmp_path):
  scene = made.scene(0)
  for name, size in (("whole", (75, 100)), ("other", (75, 75))):
    write(tmp_path / "data" / "vi" / f"{name}.png", scene[..., None])
    small = cv2.resize(scene, size[::-1], interpolation=cv2.INTER_AREA)
    write(tmp_path / "data" / "ir" / f"{name}.png", small[..., None])
  options = Dig2DigOptions(steps=1, window="cumulative", temperature=0.01)
  method = dig2dig(conv_prior(), luminance_codec(1), options=options)
  config = job.FuseConfig(data=tmp_path / "data", out=tmp_path / "out", sources=("ir", "vi"), bucket=16, sheet=False)
  report = job.run(config, method, conv_params())
  assert report.done == 1 and len(report.failed) == 1 and "other.png: expected the aspect of" in report.failed[0]
  (line,) = [note for note in report.notes if note.startswith("ir: ")]
  assert line == ("ir: brought to the size of vi in 1 of 1 pair, 2 times its pixels a side, resampled bicubically; if "
                  "their fields of view differ, --align=auto aligns them")  # fmt: skip
  assert read(tmp_path / "out" / "whole.png").shape == (150, 200)
  (entry,) = ledger.read(tmp_path / "out")["whole"]
  assert entry["aligned"] == {"ir": {"resized": [2.0, 2.0], "from": [75, 100], "reference": "vi"}}
  assert "align" not in entry["flags"]  # so that results of equal sizes stay as they are
  pair = next(pair for pair in config.find()[0] if pair.name == "whole")
  failed: list[str] = []
  folder = {"fused": tmp_path / "out"}
  loaded = folders.load(pair, folder, {"fused": folders.index(folder["fused"], [])}, failed)
  assert not failed and {image.shape[:2] for image in loaded.sources.values()} == {(150, 200)}
  with pytest.raises(UserError, match="align"):
    job.run(config.__class__(**{**vars(config), "frames": Frames("stretch")}), method, conv_params())
