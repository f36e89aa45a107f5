"""Is an image in a palette's colours read as the values behind them, and is no photograph taken for one?"""

import cv2
import numpy as np
import PIL.Image
import pytest
from palette_counts import compressed, mistaken, recognised
from scenes import scene

from dig2dig_jax.data import overlay, palette, palettes, ranges
from dig2dig_jax.data.pairs import Pair
from dig2dig_jax.errors import UserError
from dig2dig_jax.ops import color

SMOOTH = cv2.GaussianBlur(scene(0, 240, 320, 1)[..., 0], (0, 0), 2)
VALUES = cv2.normalize(SMOOTH, None, 0, 255, cv2.NORM_MINMAX)


@pytest.mark.parametrize("name", palettes.NAMES)
def test_a_palette_is_known_and_taken_back(name):
  values, told = palette.to_values(palettes.table(name)[VALUES], "auto")
  assert values.shape == (*VALUES.shape, 1) and f"palette {name}" in told
  back = np.abs(palettes.table(name)[values[..., 0]].astype(int) - palettes.table(name)[VALUES])
  assert back.max() == 0  # a palette may hold a colour twice
  assert np.abs(values[..., 0].astype(int) - VALUES).mean() < 2

  found = palette.recognise(compressed(palettes.table(name)[VALUES], 75))
  alike = np.abs(palettes.table(found).astype(int) - palettes.table(name)).mean() if found else 999
  assert found == name or alike < 12, found  # two kinds of hot
  values, _ = palette.to_values(compressed(palettes.table(name)[VALUES], 75), "auto")
  assert np.abs(values[..., 0].astype(int) - VALUES).mean() < 10  # of 255: the two kinds of hot differ by 9


@pytest.mark.parametrize("name", ["jet", "turbo", "rainbow"])
def test_a_palette_is_known_where_compression_mixes_its_colours_at_edges(name):
  """A small image full of edges: at them JPEG's chroma of half the size leaves colours that are of no palette."""
  values = VALUES.copy()[:120, :160]
  blocks = np.add.outer(np.arange(120) // 6, np.arange(160) // 6) % 2 == 0
  values[blocks] = 255 - values[blocks]
  assert palette.recognise(compressed(palettes.table(name)[values], 80)) == name


def test_a_palette_is_known_where_what_is_flat_has_few_of_its_colours():
  """As before a sky: how much of the curve is covered is a matter of the whole image."""
  values = VALUES.copy()
  values[:140] = 30
  assert palette.recognise(compressed(palettes.table("jet")[values], 75)) == "jet"


def test_palettes_are_those_of_matplotlib():
  colormaps = pytest.importorskip("matplotlib").colormaps
  for name, theirs in (("matplotlib_jet", "jet"), ("matplotlib_hot", "hot"), ("matplotlib_rainbow", "rainbow"),
                       ("gnuplot", "gnuplot"), ("inferno", "inferno"), ("viridis", "viridis")):  # fmt: skip
    expected = colormaps[theirs](np.arange(256))[:, :3] * 255
    assert np.abs(palettes.table(name) - expected).max() <= 1, name


def test_gray_and_colours_of_other_kinds_are_left_alone():
  gray = np.repeat(VALUES[..., None], 3, axis=-1)
  noise = scene(4, 120, 160)
  tinted = np.clip(gray * [1.0, 0.9, 0.7], 0, 255).astype(np.uint8)  # sepia
  fire = palettes.table("hot")[VALUES // 2]  # red lights in the dark: from black to orange
  for samples in (gray, noise, tinted, fire, gray[..., :1], noise.astype(np.uint16), noise.astype(np.float32)):
    assert palette.recognise(samples) is None
    assert palette.to_values(samples, "auto")[0] is samples
  assert "; " not in palette.to_values(noise, "auto")[1]  # which told.lines() takes for the end of a clause
  assert palette.to_values(gray, "auto")[1] == "" and "no palette that is known" in palette.to_values(noise, "auto")[1]
  flower = np.concatenate([scene(6, 120, 320), np.full((120, 320, 3), palettes.table("hot")[200], np.uint8)])
  assert palette.recognise(flower) is None  # what is flat is of one colour of a palette, the rest of none
  jet = palettes.table("jet")[VALUES]
  assert palette.to_values(jet, "off") == (jet, "")


@pytest.mark.parametrize("every", [6, pytest.param(1, marks=pytest.mark.slow)])
def test_no_photograph_is_taken_for_a_palette(shared_data, every):
  folders = ("vif/roadscene/vi", "vif/tno/vi", "mef/mefb/under", "mef/mefb/over", "mff/mffw/a", "mff/mffw/b",
             "vif/roadscene/ir", "vif/tno/ir", "prior/val")  # fmt: skip
  counts = [mistaken(shared_data / folder, every) for folder in folders]
  assert sum(count for count, _ in counts) > 300 // every and not any(taken for _, taken in counts)


def test_thermal_images_in_a_palette_are_counted(tmp_path):
  PIL.Image.fromarray(VALUES).save(tmp_path / "a.png")
  PIL.Image.fromarray(np.full_like(VALUES, 90)).save(tmp_path / "b.png")  # one colour: no palette
  assert recognised(tmp_path, "jet") == (2, 1)


def test_what_is_asked_for_is_read():
  sources = ("ir", "vi")
  assert palette.parse("auto", sources, ["ir"]) == {"ir": "auto"} and palette.parse("off", sources, ["ir"]) == {}
  assert palette.parse("vi:jet,auto", sources, ["ir"]) == {"vi": "jet", "ir": "auto"}
  assert palette.parse("auto", sources, []) == {}
  for text in ("jot", "ir:jot", "vis:jet"):
    with pytest.raises(UserError, match=f"--palette={text}: expected auto, off or one of"):
      palette.parse(text, sources, ["ir"])
  with pytest.raises(UserError, match="expected the source that uses it"):
    palette.parse("jet", ("a", "b"), [])


def test_a_range_is_found_of_the_values_and_not_of_the_colours(tmp_path):
  values = (VALUES // 4 + 150).astype(np.uint8)
  PIL.Image.fromarray(palettes.table("jet")[values]).save(tmp_path / "x.png")
  pair = Pair("x", {"ir": tmp_path / "x.png"}, palettes={"ir": "jet"})
  found, told = ranges.assign([pair], {"ir": "auto"})
  low, high, _ = found[0].ranges["ir"][0]
  assert 148 <= low and high <= 214 and told
  image = found[0].read()["ir"]
  assert not image.is_colour and image.pixels.min() == -1 and image.pixels.max() == 1 and "palette jet" in image.told


def test_an_overlay_keeps_luminance_and_colours_by_value():
  fused, source = scene(1, 40, 50) / 127.5 - 1, scene(2, 40, 50, 1).repeat(3, -1) / 127.5 - 1
  source[:10] = -1  # nothing is taken up there
  found = overlay.laid_over(fused, source, "hot")
  np.testing.assert_allclose(found @ color.LUMA, fused @ color.LUMA, atol=1e-5)
  assert np.abs(found).max() <= 1 + 1e-6
  np.testing.assert_allclose(found[:10], fused[:10], atol=1e-6)
  valid = np.arange(50) < 20
  np.testing.assert_allclose(overlay.laid_over(fused, source, "hot", valid & np.ones((40, 1), bool))[:, 20:],
                             fused[:, 20:], atol=1e-6)  # fmt: skip
  warm = overlay.laid_over(np.zeros((4, 4, 1)), np.full((4, 4, 3), 0.2), "hot")
  assert (warm[..., 0] > warm[..., 2] + 0.3).all()  # orange
  assert overlay.parse("", ("a", "b"), "b") is None and overlay.parse("hot", ("a", "b"), "b") == ("b", "hot")
  assert overlay.parse("a:jet", ("a", "b"), "b") == ("a", "jet")
  for text in ("hat", "c:hot"):
    with pytest.raises(UserError, match=f"--colormap={text}: expected one of"):
      overlay.parse(text, ("a", "b"), "b")
