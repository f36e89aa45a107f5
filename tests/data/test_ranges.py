"""Is a source of narrow values seen as its camera saw it, alike in all its files, and is the range said?"""

import os

import cv2
import numpy as np
import pytest
import tifffile
from scenes import scene

from dig2dig_jax.data import ranges
from dig2dig_jax.data.pairs import Pair, load_pair
from dig2dig_jax.data.scaling import Range, to_pixels
from dig2dig_jax.errors import UserError

SIZE = (40, 50)


def levels(seed=0):
  """[H, W] in 0..1, the whole range in use."""
  found = scene(seed, *SIZE, 1)[..., 0].astype(np.float64)
  return (found - found.min()) / np.ptp(found)


ENCODINGS = {  # how cameras store levels 0..1
  "centikelvin": lambda x: (28500 + 3000 * x).astype(np.uint16),
  "tenths": lambda x: (200 + 150 * x).astype(np.uint16),
  "counts": lambda x: (7400 + 900 * x).astype(np.uint16),
  "ct": lambda x: (4095 * x).astype(np.uint16),
  "kelvin": lambda x: (285 + 30 * x).astype(np.float32),
  "celsius": lambda x: (-8 + 40 * x).astype(np.float32),
  "hounsfield": lambda x: (-1024 + 2500 * x).astype(np.int16),
  "long": lambda x: (70000 + 900 * x).astype(np.int32),
  "double": lambda x: 1e6 + 5 * x,
}


def pairs_of(folder, files):
  """One pair per entry {name: (first source's samples, second's)}."""
  found = []
  for name, samples in files.items():
    paths = {}
    for source, array in zip(("ir", "vi"), samples, strict=True):
      paths[source] = folder / source / f"{name}.tiff"
      paths[source].parent.mkdir(exist_ok=True)
      tifffile.imwrite(paths[source], array)
    found.append(Pair(name, paths))
  return found


def visible():
  return scene(9, *SIZE, 3)


def first_source(pair):
  return load_pair(pair).sources[0, ..., 0]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_narrow_range_is_found_in_every_encoding(tmp_path, encoding):
  (pair,), lines = ranges.assign(pairs_of(tmp_path, {"a": (ENCODINGS[encoding](levels()), visible())}), {})
  assert np.abs(first_source(pair) - (2 * levels() - 1)).max() < 0.02
  (line,) = lines
  assert line.startswith("range of ir: ") and "--range" in line and "1 " in line
  assert np.array_equal(load_pair(pair).sources[1], (visible() / 127.5 - 1).astype(np.float32)), "8 bits stay"


def test_files_of_several_encodings_in_one_folder_get_a_range_each(tmp_path):
  files = {name: (encode(levels()), visible()) for name, encode in ENCODINGS.items()}
  pairs, lines = ranges.assign(pairs_of(tmp_path, files), {})
  assert len(lines) <= len(ENCODINGS)
  for pair in pairs:
    assert np.abs(first_source(pair) - (2 * levels() - 1)).max() < 0.02, pair.name


@pytest.mark.parametrize("order", ["AABBB", "ABA", "ABBAB"])
def test_files_of_two_encodings_in_any_order_and_number(tmp_path, order):
  encode = {"A": ENCODINGS["centikelvin"], "B": ENCODINGS["tenths"]}
  files = {f"{i}": (encode[kind](levels(i % 2)), visible()) for i, kind in enumerate(order)}
  pairs, lines = ranges.assign(pairs_of(tmp_path, files), {})
  assert len(lines) == 2
  for i, pair in enumerate(pairs):
    assert np.abs(first_source(pair) - (2 * levels(i % 2) - 1)).max() < 0.03, pair.name


def test_the_frames_of_a_sequence_share_one_range(tmp_path):
  frames = {f"{i}": (ENCODINGS["centikelvin"](0.4 + 0.1 * i + 0.3 * levels(i)), visible()) for i in range(4)}
  pairs, (line,) = ranges.assign(pairs_of(tmp_path, frames), {})
  assert "4 uint16 files" in line
  means = [first_source(pair).mean() for pair in pairs]
  assert np.all(np.diff(means) > 0.05), "brighter frames stay brighter"
  assert len({load_pair(pair).ranges[0] for pair in pairs}) == 1


def test_what_spans_more_than_half_of_its_type_stays(tmp_path):
  stored = (60000 * levels()).astype(np.uint16)
  (pair,), (line,) = ranges.assign(pairs_of(tmp_path, {"a": (stored, visible())}), {})
  assert np.allclose(first_source(pair), stored / 32767.5 - 1, atol=1e-6)
  assert "range of ir: 0 to 65535, the whole type" in line
  assert ranges.decisive([pair]) == {}


@pytest.mark.parametrize("outlier", [0, 65535])
def test_dead_pixels_and_filled_up_borders_do_not_decide(tmp_path, outlier):
  dead, border = ENCODINGS["centikelvin"](levels()), ENCODINGS["centikelvin"](levels())
  dead[3, 4] = outlier
  border[:, :15] = outlier
  both = border.copy()
  both[3, 20] = 65535 - outlier
  for name, stored in (("dead", dead), ("border", border), ("both", both)):
    (pair,), _ = ranges.assign(pairs_of(tmp_path, {name: (stored, visible())}), {})
    found = first_source(pair)[:, 16:]
    wrong = np.abs(found - (2 * levels()[:, 16:] - 1)) > 0.05
    assert wrong.sum() <= (2 if name == "both" else 0), name


def test_full_and_given_ranges_are_taken(tmp_path):
  stored = ENCODINGS["centikelvin"](levels())
  made = pairs_of(tmp_path, {"a": (stored, visible())})
  (whole,), lines = ranges.assign(made, ranges.parse("ir:full", ("ir", "vi")))
  assert np.allclose(first_source(whole), stored / 32767.5 - 1, atol=1e-6) and not lines
  (given,), (line,) = ranges.assign(made, ranges.parse("ir:28500:32500", ("ir", "vi")))
  assert np.allclose(first_source(given), (stored - 28500.0) / 2000 - 1, atol=1e-6)
  assert line == "range of ir: 28500 to 32500, as given"
  assert load_pair(given).ranges == (Range(28500, 32500), None)


def test_auto_stretches_eight_bits_too(tmp_path):
  dull = (100 + 50 * levels()).astype(np.uint8)
  (pair,), _ = ranges.assign(pairs_of(tmp_path, {"a": (dull, visible())}), ranges.parse("ir:auto", ("ir", "vi")))
  assert np.abs(first_source(pair) - (2 * levels() - 1)).max() < 0.05


def test_shared_keeps_exposures_apart(tmp_path):
  under, over = (500 * levels()).astype(np.uint16), (4000 * levels()).astype(np.uint16)
  (pair,), (line,) = ranges.assign(pairs_of(tmp_path, {"a": (under, over)}), ranges.parse("shared", ("ir", "vi")))
  dark, bright = load_pair(pair).sources[..., 0]
  assert np.allclose(dark, under / 2000 - 1, atol=0.01) and np.allclose(bright, over / 2000 - 1, atol=0.01)
  assert line.startswith("range of ir and vi: 0 to 4000")


def test_constant_and_unreadable_files_do_not_end_it(tmp_path):
  made = pairs_of(tmp_path, {"a": (np.full(SIZE, 300, np.float32), visible()), "b": (visible(), visible())})
  made[1].files["ir"].write_bytes(b"II*\0damaged")
  found, lines = ranges.assign(made, {})
  assert np.all(first_source(found[0]) == -1) and len(lines) == 1
  assert ranges.assign([], {}) == ([], [])


def test_a_pipe_is_not_waited_for(tmp_path):
  (pair,) = pairs_of(tmp_path, {"a": (visible(), visible())})
  pair.files["ir"].unlink()
  os.mkfifo(pair.files["ir"])
  kept_open = os.open(pair.files["ir"], os.O_RDWR | os.O_NONBLOCK)
  os.write(kept_open, bytes(64))
  try:
    ranges.assign([pair], {})
    assert len(os.read(kept_open, 100)) == 64, "it was read from"
  finally:
    os.close(kept_open)


@pytest.mark.parametrize("value", [np.float32(3e38), np.float32(-3e38), 1e17, 1e300, -1e300, 1e-320])
def test_a_constant_of_any_size_is_black(tmp_path, value):
  (pair,), _ = ranges.assign(pairs_of(tmp_path, {"a": (np.full(SIZE, value), visible())}), {})
  assert np.all(first_source(pair) == -1)
  assert np.all(to_pixels(np.full(SIZE, value), [Range(0, 1e-290)])[0] == (1 if value > 1 else -1))


@pytest.mark.parametrize("ends", [(-3.4e38, 3.4e38), (-1e300, 1e300), (0, 1e-280), (0, 5e-324)])
def test_ranges_at_the_edge_of_their_type(tmp_path, ends):
  low, high = (float(end) for end in ends)
  stored = low + (high / 2 - low / 2) * (2 * levels())
  (pair,), _ = ranges.assign(pairs_of(tmp_path, {"a": (stored, visible())}), {})
  found = first_source(pair)
  assert np.isfinite(found).all()
  if high > 1e-300:
    assert np.abs(found - (2 * levels() - 1)).max() < 0.02


def test_values_that_cannot_be_computed_with_are_refused_in_one_line(tmp_path):
  (pair,), lines = ranges.assign(pairs_of(tmp_path, {"a": (np.full(SIZE, 1.7e308), visible())}), {})
  with pytest.raises(UserError, match=r"a.tiff: expected samples from -1e\+300 .*, found 1.7e\+308 to .*; rescale"):
    load_pair(pair)
  assert not lines


@pytest.mark.parametrize(
  "text", "ir ir: ir:5 ir:5:5 ir:9:1 ir:nan:3 ir:1:2:3 x:auto ir:inf:9 ir:-1e308:1e308 ir:0:5e-324".split()
)
def test_what_cannot_be_a_range_is_refused_in_one_line(text):
  with pytest.raises(UserError, match="--range=.*expected") as fault:
    ranges.parse(text, ("ir", "vi"))
  assert "\n" not in str(fault.value)


@pytest.mark.parametrize("text, says", [
  ("ir:auto,ir:full", "one entry for ir, found ir:full too"),
  ("auto,full", "one entry for all sources, found full too"),
  ("vi:1:2,auto,vi:1:2", "one entry for vi, found vi:1:2 too"),
])  # fmt: skip
def test_two_entries_for_one_source_are_refused(text, says):
  with pytest.raises(UserError, match=f"--range={text}: expected {says}; leave one out"):
    ranges.parse(text, ("ir", "vi"))


def test_settings_name_one_source_or_all():
  sources = ("ir", "vi")
  assert ranges.parse("vi:full,auto", sources) == {"ir": "auto", "vi": "full"}, "in any order"
  assert ranges.parse("", sources) == {}
  assert ranges.parse("auto,vi:full", sources) == {"ir": "auto", "vi": "full"}
  assert ranges.parse("ir:-40:120.5", sources) == {"ir": Range(-40, 120.5)}


def test_ends_are_exact_and_what_is_beyond_is_clipped():
  pixels, taken = to_pixels(np.array([[[90], [100], [150], [200], [201]]], np.uint16), [Range(100, 200)])
  assert pixels[0, :, 0].tolist() == [-1, -1, 0, 1, 1] and taken == Range(100, 200)
  assert cv2.minMaxLoc(to_pixels(np.arange(65536, dtype=np.uint16).reshape(256, 256))[0])[:2] == (-1, 1)
