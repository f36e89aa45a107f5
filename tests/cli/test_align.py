"""Does `dig2dig align` write what `dig2dig fuse` takes, and refuse in one line what it cannot do?"""

import json
import pathlib
import sys

import cv2
import numpy as np
import pytest
from scenes import read, write

from dig2dig_jax.alignment import stored
from dig2dig_jax.alignment.transforms import corner_error
from dig2dig_jax.cli import main

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "alignment"))
import made

pytestmark = pytest.mark.usefixtures("simple_loops")
NO_CACHE = "--compile_cache="  # tests measure what is compiled
MATRIX = made.similarity((5.0, -4.0), 1.05, 2.0)


@pytest.fixture
def files(tmp_path):
  source, _ = made.moved(made.other_kind(made.scene(0)), MATRIX)
  write(tmp_path / "a" / "ir.png", source[..., None])
  write(tmp_path / "b" / "vi.png", made.scene(0)[..., None])
  write(tmp_path / "c" / "uv.png", made.scene(9)[..., None])
  return [str(tmp_path / place) for place in ("a/ir.png", "b/vi.png", "c/uv.png")]


def test_files_are_aligned_into_a_folder_of_sources(files, tmp_path, capsys):
  out = tmp_path / "out"
  assert main.main(["align", *files[:2], NO_CACHE, "-o", str(out)]) == 0
  told = capsys.readouterr().out
  assert "reference, 200 x 150" in told and "aligned, confidence" in told and "turned by" in told
  kept = json.loads((out / "transforms.json").read_text())
  assert kept["reference"] == "vi" and corner_error(np.array(kept["sources"]["ir"]["matrix"]), MATRIX, 150, 200) < 0.6
  aligned, frame = read(out / "ir" / "vi.png"), read(out / "vi" / "vi.png")
  assert aligned.shape == (150, 200, 4) and frame.shape == (150, 200)  # transparent where it shows nothing
  gray, alpha = aligned[..., 1].astype(int), aligned[..., 0]  # as OpenCV has them, turned round
  assert 0.8 < np.mean(alpha == 255) < 1 and np.isin(alpha, [0, 255]).all()
  assert main.main(["align", *files[:2], NO_CACHE, "-o", str(out)]) == 2  # what stands there stands
  assert "transforms.json: expected nothing there" in capsys.readouterr().err
  assert np.median(np.abs(gray - made.other_kind(made.scene(0)))[alpha == 255]) < 12


def test_every_pair_of_a_folder_is_aligned_and_what_cannot_be_is_named(files, tmp_path, capsys):
  data, out = tmp_path / "data", tmp_path / "out"
  for name, source in (("1", files[0]), ("2", files[2])):
    for kind, file in (("_T", source), ("_W", files[1])):
      (data / f"{name}{kind}.png").parent.mkdir(exist_ok=True)
      (data / f"{name}{kind}.png").write_bytes(pathlib.Path(file).read_bytes())
  (data / "3_T.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
  (data / "3_W.png").write_bytes(pathlib.Path(files[1]).read_bytes())
  assert main.main(["align", str(data), NO_CACHE, "-o", str(out)]) == 3
  told = capsys.readouterr()
  assert "1_T.png: aligned, confidence" in told.out and f"refused: {data / '2_T.png'}" in told.err
  assert f"failed: {data / '3_T.png'}: expected" in told.err
  written = sorted(str(path.relative_to(out)) for path in out.rglob("*.*"))
  assert written == ["ir/1.png", "transforms/1.json", "vi/1.png"]
  assert stored.read(out / "transforms" / "1.json").reference == "vi"
  assert main.main(["align", str(data), "--reference=uv", NO_CACHE, "-o", str(out)]) == 2
  assert "--reference=uv: expected one of the sources ir, vi" in capsys.readouterr().err


def test_originals_and_foreign_files_stay(files, tmp_path, capsys):
  originals = {file: pathlib.Path(file).read_bytes() for file in files}
  data = tmp_path / "data"
  for source, file in (("ir", files[0]), ("vi", files[1])):
    (data / source).mkdir(parents=True)
    (data / source / "p.png").write_bytes(originals[file])
  pair = [str(data / source / "p.png") for source in ("ir", "vi")]
  assert main.main(["align", *pair, NO_CACHE, "-o", str(data), "--overwrite"]) == 2
  assert "expected another place than a source's" in capsys.readouterr().err
  assert [pathlib.Path(file).read_bytes() for file in pair] == [originals[file] for file in files[:2]]
  out = tmp_path / "out"
  out.mkdir()
  (out / "transforms.json").write_text("a diary")
  assert main.main(["align", *files[:2], NO_CACHE, "-o", str(out), "--overwrite"]) == 2
  assert "found a file that it did not write" in capsys.readouterr().err
  assert (out / "transforms.json").read_text() == "a diary" and len(list(out.iterdir())) == 1


def test_fusion_takes_the_transforms_of_the_same_files_whatever_they_are_called(tmp_path, capsys):
  source, _ = made.moved(made.other_kind(made.scene(0)), MATRIX)
  colours = np.stack([made.scene(0), 255 - made.scene(0), made.scene(0)], -1).astype(np.uint8)
  write(tmp_path / "DSC1.png", colours)
  write(tmp_path / "cam2.png", source[..., None])
  files = [str(tmp_path / name) for name in ("DSC1.png", "cam2.png")]
  assert main.main(["align", *files, NO_CACHE, "-o", str(tmp_path / "out")]) == 0
  told = capsys.readouterr()
  assert "thermal, by two views that disagree" in told.err and "DSC1.png: reference" in told.out
  kept = stored.read(tmp_path / "out" / "transforms.json")
  assert kept.reference == "vi" and list(kept.sources) == ["ir"]


def test_temperatures_are_aligned_and_holes_in_them_refused(files, tmp_path, capsys):
  degrees = 20 + read(files[0]).astype(np.float32) / 8  # a float TIFF beyond [0, 1]
  place = tmp_path / "a" / "T.tiff"
  cv2.imwrite(str(place), degrees)
  assert main.main(["align", str(place), files[1], NO_CACHE, "-o", str(tmp_path / "out")]) == 0
  degrees[40:50, 60:70] = np.nan
  cv2.imwrite(str(place), degrees)
  capsys.readouterr()
  assert main.main(["align", str(place), files[1], NO_CACHE, "-o", str(tmp_path / "other")]) == 2
  assert "T.tiff: expected finite float samples" in capsys.readouterr().err


def test_what_cannot_be_seen_is_refused(files, tmp_path, capsys):
  clear = np.dstack([made.scene(0)] * 3 + [np.zeros((150, 200))]).astype(np.uint8)
  write(tmp_path / "a" / "clear.png", clear)
  assert main.main(["align", str(tmp_path / "a" / "clear.png"), files[1], NO_CACHE, "-o", str(tmp_path / "out")]) == 3
  assert "confidence 0.00" in capsys.readouterr().err
  (tmp_path / "place").write_text("a file")
  assert main.main(["align", *files[:2], NO_CACHE, "-o", str(tmp_path / "place")]) == 2
  assert "expected a folder, found a file" in capsys.readouterr().err


def test_what_cannot_be_is_one_line(files, tmp_path, capsys):
  out = ["-o", str(tmp_path / "out")]
  assert main.main(["align", files[1], files[2], NO_CACHE, *out]) == 3
  assert "refused:" in capsys.readouterr().err and not (tmp_path / "out").exists()
  for words, expected in (
    ([files[0], *out], "expected two or more image files"),
    (files[:2], "expected -o FOLDER"),
    ([*files[:2], *out, "--align=optical"], "--align=optical: expected one of auto, flow, translation"),
    ([*files[:2], *out, "--reference=nowhere.png"], "expected one of the files"),
    ([*files[:2], *out, "--sources=a,../b"], "expected 2 different names"),
    ([*files[:2], *out, "--stepz=3"], "--stepz: expected one of --out"),
  ):
    assert main.main(["align", *words]) == 2
    (found,) = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("note: ")]
    assert expected in found
  assert main.main(["align", "--help"]) == 0 and "dig2dig align FILE FILE" in capsys.readouterr().out
