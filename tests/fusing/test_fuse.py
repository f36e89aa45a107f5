"""Does the fuse job do every pair, the same in any company, and say what it could not do?"""

import json
import shutil

import numpy as np
import pytest
from scenes import read, write, write_pair
from toys import conv_params, conv_prior

from dig2dig_jax.errors import UserError
from dig2dig_jax.figures import sheet
from dig2dig_jax.fusing import files, job, ledger
from dig2dig_jax.methods.codec import luminance_codec, rgb_codec
from dig2dig_jax.methods.dig2dig import dig2dig
from dig2dig_jax.methods.options import Dig2DigOptions

SIZES = {"a": (24, 32), "b": (30, 20), "c": (40, 24), "d": (32, 32)}  # a, b, d fit the bucket 32 x 32, c needs 48 x 32
pytestmark = pytest.mark.usefixtures("quick_compile")

COLOURED = ("a", "c")
OPTIONS = Dig2DigOptions(steps=2, strength=0.8, window="cumulative", temperature=0.01)


def write_pairs(root, names=SIZES):
  for name in names:
    write_pair(root, name, SIZES[name], channels={"ir": 1, "vi": 3 if name in COLOURED else 1})
  return root


def fuse_folder(data, out, *, sources=("ir", "vi"), codec=None, options=OPTIONS, **changes):
  # Two convolutions stand for the network: what is asked here is not whether the images are good.
  codec = codec or luminance_codec(1)
  method = dig2dig(conv_prior(), codec, options=options)
  config = job.FuseConfig(data=data, out=out, sources=sources, bucket=16, **changes)
  return job.run(config, method, conv_params())


@pytest.fixture(scope="module")
def first(quick_compile, tmp_path_factory):
  """(folder of pairs, results, report) of a run one by one, with two files that belong to no pair."""
  root = tmp_path_factory.mktemp("fuse")
  data = write_pairs(root / "data")
  shutil.copy(data / "vi" / "a.png", data / "vi" / "lonely.png")
  (data / "ir" / "notes.txt").write_text("no image")
  return data, root / "out", fuse_folder(data, root / "out", settings={"note": "kept"})


def differences(out, reference):
  return {
    path.stem: np.abs(read(path).astype(int) - read(reference / path.name)).max()
    for path in out.glob("?.png")
  }


def test_every_pair_has_its_size_and_its_colour(first):
  _, out, report = first
  assert (report.done, report.failed) == (4, [])
  for name, size in SIZES.items():
    image = read(out / f"{name}.png")
    assert image.dtype == np.uint8
    assert image.shape == (*size, 3) if name in COLOURED else size
    assert image.std() > 10
  assert np.ptp(read(out / "a.png").astype(int), axis=-1).max() > 10


def test_what_another_run_did_while_this_one_looked_around_is_not_done_again(first, tmp_path, monkeypatch):
  data, *_ = first
  claim, runs = job.files.claim_record, []

  def claim_late(*arguments, **options):
    if not runs:  # from here to the log's lock the other run has the folder to itself
      runs.append(None)
      runs.append(fuse_folder(data, tmp_path / "out"))
    claim(*arguments, **options)

  monkeypatch.setattr(job.files, "claim_record", claim_late)
  report = fuse_folder(data, tmp_path / "out")
  assert (runs[1].done, report.done, report.skipped) == (4, 0, 4)
  assert all(len(lines) == 1 for lines in ledger.read(tmp_path / "out").values())


def test_files_without_partner_are_reported_by_name(first):
  *_, report = first
  assert len(report.left_out) == 2
  assert any("notes.txt" in line and "not an image" in line for line in report.left_out)
  assert any("lonely.png" in line and "missing in ir" in line for line in report.left_out)


def test_programs_count_buckets_and_evaluations_the_network(first):
  *_, report = first
  assert report.programs == 2
  assert report.evaluations == 2 + 2 * 2  # steps, and two sources at two noise levels
  assert report.compile_seconds > 0 and report.seconds > 0
  assert report.summary().startswith("4 pairs fused, 0 failed; ")


def test_the_record_holds_settings_and_outcome(first):
  data, out, report = first
  record = json.loads((out / "run.json").read_text())
  assert record["settings"] == {
    "note": "kept", "seed": 0, "sources": ["ir", "vi"], "data": str(data), "dataset": "folders", "bucket": 16,
    "tile": None, "overlap": 128, "bit_depth": 8, "maps": False, "valid": "auto",
  }  # fmt: skip
  assert (record["done"], record["failed"], record["programs"]) == (4, [], 2)
  assert record["left_out"] == report.left_out
  assert record["jax"] and record["device"] and record["environment"]["jax"] == record["jax"]


def test_the_curves_have_every_step_of_every_pair(first):
  _, out, _ = first
  curves = {name: lines[0]["curves"] for name, lines in ledger.read(out).items()}
  assert set(curves) == set(SIZES)
  for curve in curves.values():
    assert len(curve["t"]) == OPTIONS.steps and sorted(curve["t"], reverse=True) == curve["t"]
    assert np.shape(curve["residual"]) == (OPTIONS.steps, 2) and np.min(curve["residual"]) > 0
    np.testing.assert_allclose(np.sum(curve["weight"], axis=1), 1, atol=2e-5)


def test_the_sheet_has_a_row_per_pair(first):
  _, out, _ = first
  sheet = read(out / "report" / "contact_sheet.png")
  assert sheet.shape[0] == 4 * (220 + 18 + 4) and sheet.shape[1] > 3 * 220
  assert not list(out.glob(".*.tmp")), "temporary files are left"


def test_no_fault_of_a_picture_takes_images_or_record_with_it(first, tmp_path, monkeypatch):
  _, reference, _ = first
  data, out = write_pairs(tmp_path / "data", ["a", "b"]), tmp_path / "out"

  def fails(*args):
    raise MemoryError("18 GB")

  monkeypatch.setattr(sheet, "_tile", fails)
  report = fuse_folder(data, out)
  assert (report.done, report.failed) == (2, []) and max(differences(out, reference).values()) <= 1
  told = [note for note in report.notes if "18 GB" in note]  # a store's retries in this process may be told, too
  assert len(told) == 2 and all("continues without it" in note for note in told)
  assert json.loads((out / "run.json").read_text())["done"] == 2 and len(ledger.read(out)) == 2


def test_batches_and_order_do_not_change_pixels(first, tmp_path, monkeypatch):
  data, reference, _ = first
  find = job.FuseConfig.find

  def reversed_pairs(config):
    pairs, report = find(config)
    return pairs[::-1], report

  monkeypatch.setattr(job.FuseConfig, "find", reversed_pairs)
  report = fuse_folder(data, tmp_path, batch_size=4, sheet=False)
  assert report.done == 4 and not (tmp_path / "report").exists()
  found = differences(tmp_path, reference)
  assert sorted(found) == sorted(SIZES) and max(found.values()) <= 1


def test_company_does_not_matter_but_seed_and_name_do(first, tmp_path):
  _, reference, _ = first
  data = write_pairs(tmp_path / "data", ["a"])
  fuse_folder(data, tmp_path / "alone", sheet=False)
  assert differences(tmp_path / "alone", reference) == {"a": 0}
  for source in ("ir", "vi"):
    shutil.copy(data / source / "a.png", data / source / "twin.png")
  fuse_folder(data, tmp_path / "other_seed", seed=1, sheet=False)
  assert differences(tmp_path / "other_seed", reference)["a"] > 1
  a, twin = (read(tmp_path / "other_seed" / f"{name}.png").astype(int) for name in ("a", "twin"))
  assert np.abs(a - twin).max() > 1, "pairs share their noise"


def test_a_bad_pair_is_named_and_the_others_are_done(first, tmp_path):
  _, reference, _ = first
  data, out = write_pairs(tmp_path / "data"), tmp_path / "out"
  whole = (data / "vi" / "b.png").read_bytes()
  (data / "vi" / "b.png").write_bytes(whole[: len(whole) // 2])
  write(data / "ir" / "c.png", np.zeros((8, 8, 1), np.uint8))
  write_pair(data, "e", (32, 32), channels={"ir": 1, "vi": 1})
  (data / "vi" / "e.png").write_text("this is no image")
  (out / "d.png").mkdir(parents=True)  # where a file should go
  report = fuse_folder(data, out)
  assert report.done == 1 and len(report.failed) == 4
  faults = {"vi/b.png": "truncated", "vi/c.png": "8x8", "vi/e.png": "other data", "out/d.png": "write"}
  for name, reason in faults.items():
    (line,) = [line for line in report.failed if name in line]
    assert reason in line and "\n" not in line
  (out / "d.png").rmdir()
  assert differences(out, reference) == {"a": 0}
  assert json.loads((out / "run.json").read_text())["failed"] == report.failed
  assert "1 pair fused, 4 failed" in report.summary()


def test_gains_that_follow_the_noise_are_told(first, tmp_path):
  """Of single pixels, by a network that knows nothing. The accumulated ones of `first` have one update."""
  write_pairs(tmp_path / "data", ["a"])
  options = Dig2DigOptions(steps=6, interval=2, temperature=0.01)
  report = fuse_folder(tmp_path / "data", tmp_path / "out", options=options)
  ((line,),) = ledger.read(tmp_path / "out").values()
  share = line["contradiction"]
  assert 0.35 < share < 0.65
  (note,) = [note for note in report.notes if note.startswith("gains of consecutive updates")]
  assert f"at {round(100 * share)} % of the pixels, where chance gives 50 %" in note
  assert not any(note.startswith("gains of consecutive") for note in first[2].notes)


def test_three_sources_in_colour_with_maps(tmp_path):
  sources = {"x": 3, "y": 3, "z": 1}
  write_pair(tmp_path, "p", (20, 24), channels=sources)
  write(tmp_path / "z" / "p.png", (read(tmp_path / "z" / "p.png")[..., None].astype(np.uint16) * 257))  # 16 bits
  out = tmp_path / "out"
  report = fuse_folder(tmp_path, out, sources=tuple(sources), codec=rgb_codec(), bit_depth=0, maps=True)
  assert (report.done, report.evaluations) == (1, 2 + 3 * 2)
  assert read(out / "p.png").shape == (20, 24, 3) and read(out / "p.png").dtype == np.uint16
  maps = [read(out / "weights" / f"p_{name}.png") for name in sources]
  assert {part.shape for part in maps} == {(20, 24)}
  total = np.sum(maps, axis=0, dtype=float)  # convex: they add up to white, each rounded to a level
  assert np.abs(total - 255).max() <= 1.5 and np.ptp(maps[0]) > 5


def test_maps_are_made_later_of_the_same_images_and_only_where_they_are_missing(tmp_path):
  data, out = write_pairs(tmp_path / "data", ["a", "b"]), tmp_path / "out"
  fuse_folder(data, out)
  images = {name: (out / f"{name}.png").read_bytes() for name in "ab"}
  report = fuse_folder(data, out, maps=True)
  assert (report.done, report.skipped, report.failed) == (2, 0, [])
  assert {name: (out / f"{name}.png").read_bytes() for name in "ab"} == images
  maps = {path.name: path.read_bytes() for path in (out / "weights").iterdir()}
  assert sorted(maps) == ["a_ir.png", "a_vi.png", "b_ir.png", "b_vi.png"]
  assert json.loads((out / "run.json").read_text())["settings"]["maps"] is True
  for wanted in (True, False):
    assert fuse_folder(data, out, maps=wanted).skipped == 2
  (out / "weights" / "b_vi.png").unlink()
  assert fuse_folder(data, out, maps=True).done == 1
  assert {path.name: path.read_bytes() for path in (out / "weights").iterdir()} == maps
  # Written over by a run without maps: those that lie there are not its own.
  fuse_folder(data, out, seed=1, overwrite=True)
  assert fuse_folder(data, out, seed=1, maps=True).done == 2
  assert all((out / "weights" / name).read_bytes() != content for name, content in maps.items())
  with pytest.raises(UserError, match=r"other flags \(seed: 1 then, 0 now\)"):
    fuse_folder(data, out, maps=True)


def test_the_conditions_that_acted_count_as_maps(tmp_path):
  config = job.FuseConfig(data=tmp_path, out=tmp_path, sources=("ir", "vi"), maps=True, conditions=("ssim",))
  for path in ("weights/p_ir.png", "weights/p_vi.png", "conditions/p.png"):
    assert not files.has_maps(config, "p", {"maps": True}), path
    write(tmp_path / path, np.zeros((4, 4, 1), np.uint8))
  assert files.has_maps(config, "p", {"maps": True}) and not files.has_maps(config, "p", {})


def test_what_cannot_run_is_refused_before_anything_is_compiled(tmp_path):
  data, out = write_pairs(tmp_path / "data", ["a"]), tmp_path / "out"
  (tmp_path / "empty").mkdir()
  (tmp_path / "file").write_text("")
  (tmp_path / "hollow" / "ir").mkdir(parents=True)
  (tmp_path / "hollow" / "vi").mkdir()
  for call, message in (
    (lambda: fuse_folder(tmp_path / "missing", out), "missing: expected a folder .* check --data"),
    (lambda: fuse_folder(tmp_path / "empty", out), "empty: expected a folder for source 'ir'"),
    (lambda: fuse_folder(tmp_path / "hollow", out), "hollow/ir: expected images, found none"),
    (lambda: fuse_folder(data, tmp_path / "file"), "file: expected a place to write, .*; change --out"),
    (lambda: fuse_folder(data, out, bit_depth=9), "--bit_depth=9: expected 8, 16 or 0"),
  ):
    with pytest.raises(UserError, match=message):
      call()
  assert not out.exists()
