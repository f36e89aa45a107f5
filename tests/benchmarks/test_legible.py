"""Is it told what of a page can be read in each image? By pages of one size and readers that know what is sharp."""

import re
import sys

import cv2
import numpy as np
import pytest

from dig2dig_jax.benchmarks import legible
from dig2dig_jax.errors import UserError


def sharp_columns(image):
  """A word for every sixth of the image that has edges."""
  gray = image.mean(axis=-1)
  parts = np.array_split(np.abs(np.diff(gray, axis=0)), 6, axis=1)
  return " ".join(f"part{k}" for k, part in enumerate(parts) if np.quantile(part, 0.995) > 60)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
  out = tmp_path_factory.mktemp("text")
  legible.make("focus", out, 2)
  return out


def test_agreement_counts_words_in_any_order():
  assert legible.agreement("b a", "a b") == 1 and legible.agreement("x", "a b") == 0
  assert legible.agreement("a a c", "a b c") == pytest.approx(2 / 3)
  assert np.isnan(legible.agreement("", " "))


@pytest.mark.parametrize("kind", legible.FRAMES)
def test_each_frame_shows_its_half_of_the_page(kind):
  random = np.random.default_rng(0)
  page = legible.page(random, (120, 240), 12)
  first, second = legible.frames(kind, page, random)
  left, right = np.s_[10:60], np.s_[145:190]
  shown = ((first, left), (second, right), (first, right), (second, left))
  halves = [np.abs(image.astype(float) - page)[:, part].mean() for image, part in shown]
  assert max(halves[:2]) < 5 < min(halves[2:])


def test_what_is_read_is_held_to_the_page(pages):
  lines = legible.score(pages, {"copy": pages / "page"}, sharp_columns).splitlines()
  assert lines[0] == "2 pages, focus"
  found = {line.split("|")[1].strip(): float(line.split("|")[2]) for line in lines[4:]}
  assert found["copy"] == 1 > found["copy of a"] > 0.5 and 1 > found["copy of b"] > 0.5
  assert list(found)[0] == "copy" and {"average", "Laplacian pyramid"} < set(found)


def test_what_cannot_be_scored_is_refused(pages, tmp_path):
  with pytest.raises(UserError, match=re.escape(f"{tmp_path}: expected folders that")):
    legible.score(tmp_path, {}, sharp_columns)
  (tmp_path / "000.png").write_bytes((pages / "page" / "000.png").read_bytes())
  with pytest.raises(UserError, match="expected an image named '001'"):
    legible.score(pages, {"half": tmp_path}, sharp_columns)
  with pytest.raises(UserError, match="expected pages with words, read none"):
    legible.score(pages, {"copy": pages / "page"}, lambda image: "")


def test_without_the_package_it_says_what_to_install(monkeypatch, pages, capsys):
  monkeypatch.setitem(sys.modules, "rapidocr_onnxruntime", None)
  assert legible.main(["score", str(pages), f"copy={pages / 'page'}"]) == 2
  assert "pip install rapidocr-onnxruntime" in capsys.readouterr().err


@pytest.mark.slow
def test_the_packages_reader_reads_words():
  pytest.importorskip("rapidocr_onnxruntime")
  image = np.full((60, 240, 3), 230, np.uint8)
  cv2.putText(image, "LEGIBLE", (20, 42), cv2.FONT_HERSHEY_SIMPLEX, 1.2, (0, 0, 0), 2)
  assert legible.reader()(image) == "LEGIBLE"
