"""Does no run ever change an original, or a file that it did not write?"""

import hashlib
import os

import cv2
import numpy as np
import pytest
import scale
from scenes import read, write_pair
from toys import conv_params, conv_prior

from dig2dig_jax.errors import UserError
from dig2dig_jax.figures import plots
from dig2dig_jax.files import MARK, NAMES, is_free
from dig2dig_jax.fusing import job
from dig2dig_jax.fusing.fuser import Fuser
from dig2dig_jax.methods.codec import luminance_codec
from dig2dig_jax.methods.dig2dig import dig2dig
from dig2dig_jax.methods.options import Dig2DigOptions
from dig2dig_jax.record import write_text

pytestmark = pytest.mark.usefixtures("quick_compile", "one_method")
OPTIONS = Dig2DigOptions(steps=2, strength=0.8, window="cumulative", temperature=0.01)
SIZE = (16, 16)


def run(data, out, **changes):
  method = dig2dig(conv_prior(), luminance_codec(1), options=OPTIONS)
  config = job.FuseConfig(data=data, out=out, sources=("ir", "vi"), bucket=16, sheet=False, **changes)
  return job.run(config, method, conv_params())


def hashes(folder):
  return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def data(tmp_path):
  for name in ("a", "b", "c"):
    write_pair(tmp_path / "data", name, SIZE, channels={"ir": 1, "vi": 3})
  return tmp_path / "data"


def spellings(data, tmp_path):
  (tmp_path / "link").symlink_to(data / "ir")
  (tmp_path / "nested").mkdir()
  (tmp_path / "nested" / "weights").symlink_to(data / "vi")
  return {
    "itself": (data / "ir", {}),
    "dots": (data / "vi" / ".." / "ir", {}),
    "a link to it": (tmp_path / "link", {}),
    "the second source": (data / "vi", {}),
    "its maps' folder": (tmp_path / "nested", {"maps": True}),
  }


@pytest.mark.parametrize("spelling", ["itself", "dots", "a link to it", "the second source", "its maps' folder"])
def test_sources_are_never_written_over_however_their_folder_is_called(data, tmp_path, spelling):
  out, changes = spellings(data, tmp_path)[spelling]
  before = hashes(data)
  with pytest.raises(UserError, match="--out=.*: expected a folder beside the images, found the sources' own: .*png"):
    run(data, out, overwrite=True, **changes)
  assert hashes(data) == before


def test_a_source_folder_or_file_that_is_a_link_into_the_results_is_seen_too(data, tmp_path):
  out = tmp_path / "out"
  (data / "ir").rename(out)
  (data / "ir").symlink_to(out)
  before = hashes(out)
  with pytest.raises(UserError, match="found the sources' own"):
    run(data, out)
  (data / "ir").unlink()
  (data / "ir").mkdir()
  for name in ("a", "b"):  # and one file alone, of the last pair
    write_pair(data, name, SIZE, channels={"ir": 1})
  (data / "ir" / "c.png").symlink_to(out / "c.png")
  with pytest.raises(UserError, match=r"ir/c.png lies in .*out"):
    run(data, out)
  assert hashes(out) == before


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_foreign_image_is_kept_and_named_and_the_rest_is_done(data, tmp_path, overwrite):
  out = tmp_path / "out"
  out.mkdir()
  cv2.imwrite(str(out / "a.png"), np.full((9, 9), 7, np.uint8))
  (out / "b.png").symlink_to(tmp_path / "nowhere")
  (out / "notes.txt").write_text("mine")
  before = (out / "a.png").read_bytes()
  report = run(data, out, overwrite=overwrite)
  assert report.done == 1 and len(report.failed) == 2 and report.left == 0
  for line, name in zip(report.failed, "ab", strict=True):
    assert f"out/{name}.png: expected nothing or a result of this program there" in line and "kept" in line
  assert (out / "a.png").read_bytes() == before and (out / "b.png").is_symlink()
  assert (out / "notes.txt").read_text() == "mine" and not (tmp_path / "nowhere").exists()
  (out / "a.png").unlink()
  assert run(data, out, overwrite=overwrite).done == 1


def test_a_result_that_was_edited_by_hand_is_kept(data, tmp_path):
  out = tmp_path / "out"
  run(data, out)
  image = read(out / "a.png")
  cv2.imwrite(str(out / "a.png"), 255 - image)
  edited = (out / "a.png").read_bytes()
  report = run(data, out, overwrite=True)
  assert (report.skipped, report.done, len(report.failed)) == (2, 0, 1)
  assert (out / "a.png").read_bytes() == edited


def test_a_foreign_file_that_appears_while_the_run_computes_is_kept(data, tmp_path, monkeypatch):
  out, start = tmp_path / "out", Fuser.start

  def meanwhile(self, images, ids):
    (out / "b.png").write_bytes(b"somebody's")
    return start(self, images, ids)

  monkeypatch.setattr(Fuser, "start", meanwhile)
  report = run(data, out)
  assert report.done == 2 and "b.png: expected nothing or a result" in report.failed[0]
  assert (out / "b.png").read_bytes() == b"somebody's"


def test_a_result_whose_writer_was_killed_before_its_line_is_done_again(data, tmp_path):
  out = tmp_path / "out"
  run(data, out)
  (log,) = (out / "log").glob("*.jsonl")
  log.write_text("".join(log.read_text().splitlines(keepends=True)[:2]))  # the run, and the first pair
  report = run(data, out)
  assert (report.skipped, report.done, report.failed) == (1, 2, [])
  scale.check(data, out)


def test_foreign_maps_fail_their_pair_alone(data, tmp_path):
  out = tmp_path / "out"
  (out / "weights").mkdir(parents=True)
  (out / "weights" / "b_vi.png").write_bytes(b"somebody's")
  report = run(data, out, maps=True)
  assert report.done == 2 and "weights/b_vi.png" in report.failed[0]
  assert (out / "weights" / "b_vi.png").read_bytes() == b"somebody's" and not (out / "b.png").exists()


def test_a_foreign_record_is_refused_before_anything_is_computed(data, tmp_path):
  out = tmp_path / "out"
  out.mkdir()
  (out / "run.json").write_text("{}")
  with pytest.raises(UserError, match=r"run.json: expected nothing or a result of this program.*move that file"):
    run(data, out)
  assert (out / "run.json").read_text() == "{}" and not list(out.glob("*.png"))


@pytest.mark.parametrize("content", [b"my diary, no json", b'{"a": 1}\n', b"\x89PNG mine\n\n"])
def test_a_foreign_log_is_refused_and_kept(data, tmp_path, content):
  log = tmp_path / "out" / "log" / "0-of-1.jsonl"
  log.parent.mkdir(parents=True)
  log.write_bytes(content)
  with pytest.raises(UserError, match="0-of-1.jsonl: expected nothing or a result of this program"):
    run(data, tmp_path / "out", overwrite=True)
  assert log.read_bytes() == content


def test_a_pipe_in_a_results_place_is_foreign_and_not_waited_for(data, tmp_path):
  (tmp_path / "out").mkdir()
  os.mkfifo(tmp_path / "out" / "a.png")
  report = run(data, tmp_path / "out")
  assert report.done == 2 and "a.png: expected nothing" in report.failed[0]


def test_texts_and_plots_replace_their_own_only(tmp_path):
  (tmp_path / "scores.csv").write_text("somebody's")
  write_text(tmp_path / "new.md", "one")
  write_text(tmp_path / "new.md", "two")
  assert (tmp_path / "new.md").read_text() == "two"
  with pytest.raises(UserError, match="scores.csv: expected nothing or a result of this program"):
    write_text(tmp_path / "scores.csv", "ours")
  assert (tmp_path / NAMES).read_text() == "new.md\n"
  scores = {"row": [{"EN": 1.0}]}
  plots.write_scores(tmp_path / "plot.png", scores)
  plots.write_scores(tmp_path / "plot.png", scores)
  assert is_free(tmp_path / "plot.png") and MARK in (tmp_path / "plot.png").read_bytes()
  (tmp_path / "plot.png").write_bytes(b"somebody's")
  with pytest.raises(UserError, match="plot.png: expected nothing"):
    plots.write_scores(tmp_path / "plot.png", scores)


def test_the_mark_leaves_an_image_readable_everywhere(data, tmp_path):
  run(data, tmp_path / "out")
  data = (tmp_path / "out" / "a.png").read_bytes()
  assert data.index(MARK) < data.index(b"IDAT")
  assert read(tmp_path / "out" / "a.png").shape == (*SIZE, 3)
  assert os.path.getsize(tmp_path / "out" / "a.png") == len(data)


def test_a_list_of_files_that_is_a_link_is_refused_and_not_followed(data, tmp_path):
  out, precious = tmp_path / "out", tmp_path / "precious.txt"
  out.mkdir()
  precious.write_text("mine")
  (out / NAMES).symlink_to(precious)
  with pytest.raises(UserError, match=rf"{NAMES}: expected nothing or this program's list .*, found a link"):
    run(data, out)
  assert precious.read_text() == "mine"
