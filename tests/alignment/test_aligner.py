"""Do pairs of folders come onto each other before they are fused, is that written down, and what if they cannot?"""


import cv2
import made
import numpy as np
import pytest
from scenes import read, write
from toys import conv_params, conv_prior

import dig2dig_jax as d2d
from dig2dig_jax.alignment import aligner, stored
from dig2dig_jax.alignment.aligner import Aligner
from dig2dig_jax.alignment.transforms import corner_error
from dig2dig_jax.data.images import Image
from dig2dig_jax.errors import UserError
from dig2dig_jax.fusing import job, ledger
from dig2dig_jax.methods.codec import luminance_codec
from dig2dig_jax.methods.dig2dig import dig2dig
from dig2dig_jax.methods.options import Dig2DigOptions

pytestmark = pytest.mark.usefixtures("simple_loops")
OPTIONS = Dig2DigOptions(steps=1, window="cumulative", temperature=0.01)
SIZE, SMALL = (150, 200), (75, 100)
MATRIX = np.array([[0.5, 0, -0.25], [0, 0.5, -0.25], [0, 0, 1]]) @ made.similarity((4.0, -3.0), 1.04, 1.5)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  """ir at half the resolution, moved; one pair of one scene and one of two."""
  root = tmp_path_factory.mktemp("data")
  for name, seed, other in (("one", 0, 0), ("two", 1, 8)):
    source, _ = made.moved(made.other_kind(made.scene(other)), MATRIX, SMALL)
    write(root / "vi" / f"{name}.png", made.scene(seed)[..., None])
    write(root / "ir" / f"{name}.png", source[..., None])
  return root


def run(data, out, aligner, **changes):
  method = dig2dig(conv_prior(), luminance_codec(1), options=OPTIONS)
  config = job.FuseConfig(data=data, out=out, sources=("ir", "vi"), bucket=16, sheet=False, frames=aligner, **changes)
  return job.run(config, method, conv_params())


def lines(out):
  return {name: entries[-1] for name, entries in ledger.read(out).items()}


def test_a_pair_is_aligned_recorded_and_not_done_again_but_by_other_settings(data, tmp_path):
  report = run(data, tmp_path / "out", Aligner())
  assert report.done == 2 and not report.failed  # of two scenes, which at least have one aspect
  assert "ir: aligned with vi in 1 of 2 pairs" in report.notes
  assert any("two: ir cannot be aligned (confidence" in note for note in report.notes)
  assert any("ir: brought to the size of vi in 1 of 2 pairs, 2 times its pixels" in note for note in report.notes)
  assert not any("--align=auto aligns them" in note for note in report.notes)  # which has been tried
  entry = lines(tmp_path / "out")["one"]
  told = entry["aligned"]["ir"]
  assert told["used"] and told["confidence"] > 0.9 and told["reference"] == "vi" and entry["valid"]["ir"] < 1
  assert 2 * corner_error(np.array(told["matrix"]), MATRIX, *SIZE) < 1
  assert read(tmp_path / "out" / "one.png").shape == SIZE
  assert entry["flags"]["align"] == {"model": "auto", "otherwise": "warn", "reference": "largest, not "}
  again = run(data, tmp_path / "out", Aligner())
  assert again.done == 0 and again.skipped == 2
  with pytest.raises(UserError, match="align"):
    run(data, tmp_path / "out", Aligner("similarity"))


def test_two_scenes_of_two_aspects_are_refused_and_fewer_pixels_made_more_before_they_are_placed():
  frame, files = made.scene(0), {"ir": "ir.png", "vi": "vi.png"}
  asked = []

  def enlarge(source, pixels, size):
    asked.append((source, size))
    return cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_CUBIC)

  def images(scene, size):
    source, _ = made.moved(made.other_kind(made.scene(scene)), MATRIX, size)
    gray = {"ir": source, "vi": frame}
    pixels = {name: np.repeat(np.float32(one)[..., None] / 127.5 - 1, 3, axis=-1) for name, one in gray.items()}
    return {name: Image(one, False, 8) for name, one in pixels.items()}

  with pytest.raises(UserError, match=r"ir\.png: expected the aspect of vi\.png, 150x200 .* a confidence of"):
    Aligner()(images(8, (80, 100)), files)
  found, told = Aligner()(images(0, SMALL), files, enlarge)
  plain, _ = Aligner()(images(0, SMALL), files)
  ((source, size),) = asked
  assert source == "ir" and told["ir"]["restored"] and np.allclose(size, (150 / 1.04, 200 / 1.04), atol=1)
  inside = found["ir"].valid & plain["ir"].valid
  assert np.abs(found["ir"].pixels - plain["ir"].pixels)[inside].mean() < 0.01


def test_one_call_aligns_and_says_so(data, tiny_prior, caplog):
  files = [data / source / "one.png" for source in ("ir", "vi")]
  options = {"prior": tiny_prior, "bands": 2, "restore": "off"}
  with caplog.at_level("WARNING"):
    aligned = d2d.fuse_images(files, align="auto", **options)
  assert aligned.shape == SIZE and "images[0]: aligned with images[1] in 1 of 1 pair" in caplog.text
  assert np.abs(aligned.astype(int) - d2d.fuse_images(files, **options)).mean() > 2
  with pytest.raises(UserError, match='two.png: expected an image that can be aligned with .* align_or="warn"'):
    d2d.fuse_images([data / source / "two.png" for source in ("ir", "vi")], align="auto", align_or="skip", **options)


def test_stored_transforms_are_taken_as_they_are_and_fit_their_sizes(data, tmp_path):
  known = stored.Transforms("vi", SIZE, {"ir": stored.Placed(MATRIX, SMALL, 0.9)})
  report = run(data, tmp_path / "out", Aligner(known=known))
  assert report.done == 2 and not report.failed
  assert {tuple(map(tuple, one["aligned"]["ir"]["matrix"])) for one in lines(tmp_path / "out").values()} == {
    tuple(map(tuple, stored.rounded(MATRIX)))
  }
  moved = known._replace(sources={"ir": stored.Placed(MATRIX @ made.similarity((1.0, 0.0)), SMALL, 0.9)})
  with pytest.raises(UserError, match="align"):  # the file says something else: those results are of other flags
    run(data, tmp_path / "out", Aligner(known=moved))
  other = known._replace(sources={"ir": stored.Placed(MATRIX, (80, 100), 0.9)})
  failed = run(data, tmp_path / "o2", Aligner(known=other)).failed
  assert "expected 80x100 (height x width) as in --transforms" in failed[0]
  none = known._replace(sources={"uv": stored.Placed(MATRIX, SMALL, 0.9)})
  assert "expected a transform of ir" in run(data, tmp_path / "o3", Aligner(known=none)).failed[0]


def test_lines_tell_a_known_displacement_as_one_that_was_found_and_none_in_plain_words():
  known = {"used": True, "confidence": 0.9, "reference": "vi", "flow": np.full((7, 7, 2), [3.0, 4.0]).tolist()}
  refused = {"used": False, "confidence": 0.1, "reference": "vi"}
  assert aligner.lines([("x", {"ir": known})])[1] == "ir: displaced in 1 of 1 pair, by up to 5.0 px"
  assert len(aligner.lines([("x", {"ir": known})])) == 2
  found = known | {"bounded": 1.0}
  several = [aligner.lines([(name, {"ir": one}) for name in "xy"])[2:] for one in (known, found)]
  assert "belongs to the distances of one scene" in several[0][0] and not several[1]
  assert aligner.lines([("x", {"ir": refused})])[0] == "ir: not aligned with vi"
  both = [(name, {"ir": refused}) for name in "xy"]
  assert aligner.lines(both)[0] == "ir: not aligned with vi in any of 2 pairs"


@pytest.mark.parametrize("otherwise", ["warn", pytest.param("skip", marks=pytest.mark.slow)])
def test_what_cannot_be_aligned_is_fused_as_it_is_or_left_out(tmp_path, otherwise):
  write(tmp_path / "data" / "vi" / "x.png", made.scene(1)[..., None])
  write(tmp_path / "data" / "ir" / "x.png", made.other_kind(made.scene(8))[..., None])
  report = run(tmp_path / "data", tmp_path / "out", Aligner(otherwise=otherwise, last="ir"))
  if otherwise == "warn":
    assert report.done == 1 and any("x: ir cannot be aligned (confidence" in note for note in report.notes)
    assert not lines(tmp_path / "out")["x"]["aligned"]["ir"]["used"]
    run(tmp_path / "data", tmp_path / "plain", None)
    np.testing.assert_array_equal(read(tmp_path / "out" / "x.png"), read(tmp_path / "plain" / "x.png"))
  else:
    assert report.done == 0 and "left out, --align_or=warn fuses it as it is" in report.failed[0]
