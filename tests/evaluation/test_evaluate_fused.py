"""Does a comparison of folders say who is better, by the tables' own numbers, and name what does not fit?"""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from scenes import scene, write, write_pair
from skimage.metrics import structural_similarity

from dig2dig_jax import metrics
from dig2dig_jax.data.datasets import DataConfig
from dig2dig_jax.data.pairs import Pair
from dig2dig_jax.errors import UserError
from dig2dig_jax.evaluation import folders as fused_folders
from dig2dig_jax.evaluation import fused as evaluate_fused

SIZE = (40, 48)


@pytest.fixture
def data(tmp_path):
  for name in ("1", "2", "10"):
    write_pair(tmp_path / "data", name, SIZE, channels={"ir": 1, "vi": 3})
  return tmp_path / "data"


def pairs(data):
  return DataConfig(data, ("ir", "vi"))


def gray(data, name):
  """The sources as another program would read them."""
  vi = cv2.imread(str(data / "vi" / f"{name}.png")).astype(np.float64)
  return [cv2.imread(str(data / "ir" / f"{name}.png"), 0).astype(np.float64),
          np.rint(vi @ [114, 587, 299] / 1000)]  # fmt: skip


def folder(data, method, blend, names=("1", "2", "10"), suffix=".png"):
  place = data.parent / method
  for name in names:
    write(place / f"{name}{suffix}", blend(*gray(data, name)).astype(np.uint8)[..., None])
  return place


def mean(a, b):
  return np.floor((a + b) / 2)


def test_scores_never_land_among_sources(data):
  ours = folder(data, "ours", mean)
  with pytest.raises(UserError, match="^--out=.*: expected a folder beside the images, found the sources' own"):
    evaluate_fused.run({"ours": ours}, pairs(data), data / "vi" / ".." / "ir", protocol="common")
  assert sorted(path.name for path in (data / "ir").iterdir()) == ["1.png", "10.png", "2.png"]


def test_scores_of_a_folder_are_those_of_its_images(data, tmp_path, quick_compile):
  ours = folder(data, "ours", mean)
  report = evaluate_fused.run({"ours": ours}, pairs(data), tmp_path / "out", protocol="dig2dig", baselines=False)
  assert report.failed == [] and report.left_out == []
  rows = list(csv.DictReader((tmp_path / "out" / "scores.csv").read_text().splitlines()))
  assert [(row["method"], row["image"]) for row in rows] == [("ours", "1"), ("ours", "2"), ("ours", "10")]
  for row in rows:
    a, b = gray(data, row["image"])
    fused = mean(a, b)
    assert float(row["MSE"]) == pytest.approx((np.mean((a - fused) ** 2) + np.mean((b - fused) ** 2)) / 2)
    ssim = sum(structural_similarity(x, fused, data_range=255) for x in (a, b))
    assert float(row["SSIM_uniform"]) == pytest.approx(ssim)
  summary = json.loads((tmp_path / "out" / "summary.json").read_text())
  assert summary["images"] == ["1", "2", "10"] and summary["mean_rank"] == {}
  assert summary["summary"]["ours"]["MSE"]["mean"] == pytest.approx(np.mean([float(row["MSE"]) for row in rows]))
  assert evaluate_fused.NO_LPIPS in summary["notes"] and evaluate_fused.NO_LPIPS in report.text
  assert (tmp_path / "out" / "summary.tex").read_text().startswith("% protocol dig2dig, 3 images")


def test_several_folders_are_ranked_and_tested_and_baselines_stand_beside(data, tmp_path, quick_compile, monkeypatch):
  monkeypatch.setattr(metrics, "PROTOCOLS", {"toy": ("MSE", "EN")})
  ours = folder(data, "ours", mean)
  worse = folder(data, "theirs", lambda a, b: np.clip(mean(a, b) + 60, 0, 255), suffix=".jpg")
  seen = []
  report = evaluate_fused.run(
    fused_folders.named([ours, worse]), pairs(data), tmp_path / "out", protocol="toy", visit=seen.append
  )
  ranks = report.comparison.ranks
  assert list(ranks) == ["ours", "theirs", *fused_folders.baseline_names(("ir", "vi"))]
  assert report.comparison.differences["MSE"]["theirs"].mean > 500 and report.comparison.reference == "ours"
  copies = report.comparison.differences["MSE"]
  assert copies["copy of ir"].mean == pytest.approx(copies["copy of vi"].mean, rel=1e-3)
  assert [fused.name for fused in seen] == ["1", "2", "10"]
  assert seen[0].sources["vi"].shape == (*SIZE, 3) and seen[0].methods["ours"].shape == (*SIZE, 1)


def test_what_does_not_fit_is_named_and_counts_for_no_method(data, tmp_path, quick_compile, monkeypatch):
  monkeypatch.setattr(metrics, "PROTOCOLS", {"toy": ("EN",)})
  ours, theirs = folder(data, "ours", mean), folder(data, "theirs", mean, names=("1", "2"))
  write(theirs / "2.png", scene(0, 20, 20, 1))
  write(theirs / "99.png", scene(0, 20, 20, 1))
  report = evaluate_fused.run(
    {"ours": ours, "theirs": theirs}, pairs(data), tmp_path / "out", protocol="toy", baselines=False
  )
  assert report.left_out == [f"{theirs / '99.png'}: no pair of that name; left out"]
  small, missing = report.failed
  assert small == (f"{theirs / '2.png'}: expected 40x48 (height x width) as the sources, found 20x20; "
                   "left out for all methods")  # fmt: skip
  assert missing == f"{theirs}: expected an image named '10', found none; left out for all methods"
  assert report.comparison.images == ["1"] and {len(rows) for rows in report.scores.values()} == {1}
  assert report.comparison.notes[0] == "2 of 3 pairs are left out; ours has 3; theirs has 2"


def test_damaged_images_and_sources_are_named(data, tmp_path, quick_compile, monkeypatch):
  monkeypatch.setattr(metrics, "PROTOCOLS", {"toy": ("EN",)})
  ours = folder(data, "ours", mean)
  (ours / "1.png").write_bytes(b"\x89PNG\r\n\x1a\nrubbish")
  (data / "ir" / "2.png").write_bytes(b"")
  report = evaluate_fused.run({"ours": ours}, pairs(data), tmp_path / "out", protocol="toy", baselines=False)
  assert len(report.failed) == 2 and report.comparison.images == ["10"]
  assert "ours/1.png" in report.failed[0] and "ir/2.png" in report.failed[1]


def test_two_images_of_one_name_leave_out_that_pair_alone(data, tmp_path, quick_compile, monkeypatch):
  monkeypatch.setattr(metrics, "PROTOCOLS", {"toy": ("MSE",)})
  ours = folder(data, "ours", mean)
  (ours / "2.jpg").write_bytes((ours / "2.png").read_bytes())
  report = evaluate_fused.run({"ours": ours}, pairs(data), tmp_path / "out", protocol="toy", baselines=False)
  assert "2" not in report.comparison.images and len(report.comparison.images) == 2
  assert any("expected one image named '2'" in line for line in report.left_out) and len(report.failed) == 1


def test_an_extra_measure_is_a_column_that_no_rank_counts(data, tmp_path, quick_compile, monkeypatch):
  monkeypatch.setattr(metrics, "PROTOCOLS", {"all": ("MSE",)})
  ours = folder(data, "ours", mean)
  report = evaluate_fused.run(
    {"ours": ours}, pairs(data), tmp_path / "out", protocol="all", lpips=lambda sources, fused: fused.max()
  )
  assert list(report.comparison.higher_is_better.items()) == [("MSE", False), ("LPIPS", False)]
  assert evaluate_fused.NO_LPIPS not in report.comparison.notes
  assert report.comparison.ranks["ours"] <= 2.5  # the mean of the sources is best in MSE, alone or with the average


@pytest.mark.parametrize(
  "folders, options, message",
  [
    ({}, {"baselines": False}, "--fused: expected one or more folders"),
    ({"average": "ours"}, {}, "found average; rename"),
    ({"ours": "ours"}, {"protocol": "mine"},
     "--protocol=mine: expected one of panel, ddfm, dig2dig, targets, common, all"),
    ({"ours": "nothing"}, {}, "nothing: expected a folder of images"),
    ({"ours": "twice"}, {}, "expected one image named '1', found 1.jpg too"),
    ({"ours": "elsewhere"}, {}, "expected images that all of ours have, found none; .*named '1'"),
  ],
)
def test_what_cannot_be_compared_is_refused(data, tmp_path, folders, options, message):
  folder(data, "ours", mean)
  folder(data, "twice", mean, names=("1",))
  folder(data, "twice", mean, names=("1",), suffix=".jpg")
  write(tmp_path / "elsewhere" / "other.png", scene(0, *SIZE, 1))
  with pytest.raises(UserError, match=message):
    places = {method: tmp_path / place for method, place in folders.items()}
    evaluate_fused.run(places, pairs(data), tmp_path / "out", **options)


def test_a_rerun_scores_what_is_new_and_says_the_same(data, tmp_path, quick_compile, monkeypatch):
  monkeypatch.setattr(metrics, "PROTOCOLS", {"toy": ("MSE", "PSNR", "SCD")})
  ours, out = folder(data, "ours", mean), tmp_path / "out"
  again = lambda **options: evaluate_fused.run({"ours": ours}, pairs(data), out, protocol="toy", **options)  # noqa: E731
  scored, score = [], evaluate_fused._score
  counted = lambda images, *rest: scored.append(images.name) or score(images, *rest)  # noqa: E731
  monkeypatch.setattr(evaluate_fused, "_score", counted)
  first = again(limit=2)
  assert scored == ["1", "2"] and first.notes == []
  write(ours / "1.png", scene(9, *SIZE, 1))
  second = again()
  assert scored == ["1", "2", "1", "10"] and "1 of 3 pairs had already been scored" in second.notes[0]
  files = {path.name: path.read_bytes() for path in out.iterdir()}
  seen = []
  third = again(visit=lambda images: seen.append(images.name))
  assert len(scored) == 4 and seen == ["1", "2", "10"], "pictures are of all pairs"
  assert {path.name: path.read_bytes() for path in out.iterdir()} == files and third.text == second.text
  again(baselines=False)
  assert len(scored) == 7


def test_a_fault_in_scoring_is_that_pairs_own(data, tmp_path, quick_compile, monkeypatch):
  monkeypatch.setattr(metrics, "PROTOCOLS", {"toy": ("MSE",)})
  ours, score = folder(data, "ours", mean), evaluate_fused._score

  def fails(images, *rest):
    if images.name == "2":
      raise MemoryError("15 TB")
    return score(images, *rest)

  monkeypatch.setattr(evaluate_fused, "_score", fails)
  report = evaluate_fused.run({"ours": ours}, pairs(data), tmp_path / "out", protocol="toy")
  assert report.comparison.images == ["1", "10"] and len(report.failed) == 1 and "15 TB" in report.failed[0]


def test_folders_are_named_by_what_tells_them_apart(tmp_path):
  assert list(fused_folders.named(["a/ours", "b/theirs"])) == ["ours", "theirs"]
  assert list(fused_folders.named([tmp_path / "a" / "out", tmp_path / "b" / "out"])) == ["a/out", "b/out"]
  with pytest.raises(UserError, match="expected different folders, found a twice"):
    fused_folders.named(["a", "./a"])


def test_many_files_that_a_split_leaves_out_are_one_line():
  pair = Pair("1", {"ir": Path("ir/1.png")})
  files = {str(number): Path(f"out/{number}.png") for number in range(1, 9)}
  (line,) = fused_folders.superfluous({"ours": files}, [pair])
  assert line == f"ours: 7 images without a pair of their name, such as {Path('out/2.png')}; left out"
  assert len(fused_folders.superfluous({"ours": dict(list(files.items())[:7])}, [pair])) == 6
