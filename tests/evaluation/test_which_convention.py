"""Is the convention that a number was made by among those that are told, and are others not?"""

import csv
import json
import math

import cv2
import numpy as np
import pytest
from absl.testing import flagsaver
from conftest import golden_path
from scenes import read, write, write_pair
from skimage.metrics import structural_similarity

from dig2dig_jax import metrics
from dig2dig_jax.cli import main
from dig2dig_jax.data.datasets import DataConfig
from dig2dig_jax.errors import UserError
from dig2dig_jax.evaluation import candidates_table, conventions, saturated, which_convention
from dig2dig_jax.evaluation.candidates import Convention, candidates, fitting, nearest, parse

SIZE = (48, 56)
NAMES = ("1", "2")
STORED = "as stored, rounded"


def weighted(a, b):
  return np.floor(0.3 * a + 0.6 * b + 20)


def images(data):
  return [(*(read(data / source / f"{name}.png").astype(float) for source in ("ir", "vi")),
           read(data.parent / "ours" / f"{name}.png").astype(float)) for name in NAMES]  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  root = tmp_path_factory.mktemp("conventions")
  for name in NAMES:
    write_pair(root / "data", name, SIZE, channels={"ir": 1, "vi": 1})
    pair = (read(root / "data" / source / f"{name}.png").astype(float) for source in ("ir", "vi"))
    write(root / "ours" / f"{name}.png", weighted(*pair).astype(np.uint8)[..., None])
  return root / "data"


def entropy(image):
  share = np.bincount(image.astype(int).ravel()) / image.size
  return -sum(share[share > 0] * np.log2(share[share > 0]))


def information(a, b):
  """In nats."""
  return (entropy(a) + entropy(b) - entropy(a * 256 + b)) * math.log(2)


def stretched(image):
  return (image - image.min()) / (image.max() - image.min()) * 255


# As other programs compute them, with four digits: {(printed name, number): what is to be found}.
def printed_by_others(data):
  rows = images(data)

  def mean(of):
    return f"{np.mean([of(*row) for row in rows]):.4f}"

  def ssim(a, f):
    return structural_similarity(a, f, data_range=255)

  return {
    ("SSIM", mean(lambda a, b, f: (ssim(a, f) + ssim(b, f)) / 2)): ("SSIM_uniform", "mean over the sources", STORED),
    ("ssim", mean(lambda a, b, f: ssim(b, f))): ("SSIM_uniform", "of vi alone", STORED),
    ("MI", mean(lambda a, b, f: information(a, f) + information(b, f))): (
      "MI", "sum over the sources; in nats", STORED),
    ("MI", mean(lambda a, b, f: min(information(a, f), information(b, f)) / math.log(2))): (
      "MI", "the smaller of the sources'; in bits", STORED),
    ("SD", mean(lambda a, b, f: f.std() / 255)): ("SD", "of images in 0..1", STORED),
    ("SD", mean(lambda a, b, f: np.rint(stretched(f)).std())): ("SD", "", "fused image stretched to 0..255"),
    ("SD", mean(lambda a, b, f: np.floor(stretched(f) + 1e-9).std())): (
      "SD", "", "fused image stretched to 0..255, fractions cut off"),
  }  # fmt: skip


@pytest.fixture(scope="module")
def found(data, tmp_path_factory, quick_compile):
  patch = pytest.MonkeyPatch()
  patch.setattr(metrics, "_MULTIPLE", 64)
  words = [f"{name}:{number}" for name, number in printed_by_others(data)]
  out = tmp_path_factory.mktemp("told")
  yield which_convention.run({"ours": data.parent / "ours"}, DataConfig(data, ("ir", "vi")), out, parse(words)), out
  patch.undo()


def test_a_number_is_told_to_be_of_the_convention_that_made_it(data, found):
  for (name, number), (measure, definition, prepared) in printed_by_others(data).items():
    (one,) = parse([f"{name}:{number}"])
    of = found[0].candidates["ours"][one.family]
    fit = fitting(one, of)
    assert 1 <= len(fit) <= 2, (name, number, fit)  # of dozens; four digits leave little to chance
    assert any(
      measure == c.convention.measure and c.convention.prepared == prepared
      and any(words.endswith(definition) for words in c.convention.definition.split(" = ")) for c in fit
    ), (name, number, fit)  # fmt: skip


def test_the_report_counts_what_fits_and_the_csv_has_all(found):
  report, out = found
  assert report.failed == [] and report.text == (out / "conventions.md").read_text()
  assert " conventions round" in report.text and "ours: no one way to prepare the images explains all" in report.text
  rows = list(csv.DictReader((out / "conventions.csv").read_text().splitlines()))
  assert len(rows) == sum(map(len, report.candidates["ours"].values())) > 60
  assert {row["printed as"] for row in rows} == {"SSIM", "MI", "SD"}
  # Gray images of 8 bits have no fractions to cut and no channels to join: those ways are the plain one.
  ways = {STORED, *(name for name in conventions.PREPARATIONS if "stretched" in name)}
  assert {row["images"] for row in rows} <= ways


def test_numbers_of_one_run_tell_how_its_images_were_prepared(data, found):
  families = found[0].candidates["ours"]

  def value(family, prepared):
    return next(c.value for c in families[family] if c.convention.prepared == prepared)

  words = "fused image stretched to 0..255"
  together = parse([f"SD:{value('SD', words):.4f}", f"SSIM:{value('SSIM', words):.4f}"])
  told = candidates_table.common(families, together)
  assert told == f"all numbers together fit images that are {words}"


def test_what_no_convention_gives_is_told_with_the_nearest(found):
  (one,) = parse(["SD:99.99"])
  of = found[0].candidates["ours"]["SD"]
  assert fitting(one, of) == []
  near = nearest(one, of)
  assert len(near) == 3 and abs(near[0].value - 99.99) == min(abs(c.value - 99.99) for c in of)


def test_the_command_takes_printed_numbers(data, found, tmp_path, capsys):
  words = ["evaluate", f"--data={data}", f"--fused={data.parent / 'ours'}", f"--out={tmp_path}", "--compile_cache="]
  with flagsaver.flagsaver():
    assert main.main([*words, "--which_convention=SD:0.1,SCD:9"]) == 0
  told = capsys.readouterr().out
  assert "ours: SD 0.1: " in told and "ours: SCD 9: none of " in told and (tmp_path / "conventions.csv").exists()


def test_what_is_defined_nowhere_is_told():
  report = candidates_table.markdown({"ours": {"VIF": []}}, parse(["VIF:0.69"]), 1, 1)
  assert "ours: VIF 0.69: undefined on these images by every convention" in report and "|" not in report


def test_a_number_is_rounded_as_it_is_printed():
  two, none, three = parse(["VIF:0.69", "MSE:1464", "Q^{AB/F}:0.690"])
  assert two.fits(0.6851) and two.fits(0.6949) and not two.fits(0.6952) and not two.fits(0.6848)
  assert none.fits(1464.4) and not none.fits(1464.6)
  assert three.family == "Qabf" and three.fits(0.6904) and not three.fits(0.6906)


@pytest.mark.parametrize("word, message", [
  ("VIF", "--which_convention=VIF: expected a number as published after VIF:, found nothing"),
  ("VIF:high", "expected a number as published after VIF:, found high"),
  ("VIF:inf", "expected a number"),
  ("VIF:1e400", "expected a number"),
  ("BRISQUE:20", "--which_convention=BRISQUE:20: expected one of EN, SD, .*, found BRISQUE"),
])  # fmt: skip
def test_what_is_no_printed_number_is_refused(word, message):
  with pytest.raises(UserError, match=message):
    parse([word])


def test_every_measure_has_a_family_and_names_mean_what_is_meant():
  own = {measure.name for family in conventions.FAMILIES.values() for measure in family if measure.function is None}
  assert own <= set(metrics.METRICS)
  # Ways to join sources, units and scales of 0..1 are no measures of their own here.
  joined = {"MI_nats", "MI_min", "MSE_tang", "PSNR_sum", "SSIM_mean", "SSIM_min", "VIF_min"}
  assert set(metrics.METRICS) - own == joined | set(metrics.PROTOCOLS["targets"])
  for printed, family in {"QAB/F": "Qabf", "MS-SSIM": "MS_SSIM", "vif": "VIF", "STD": "SD", "nope": None}.items():
    assert conventions.family(printed) == family


def test_colours_and_sixteen_bits_are_cut_off_or_rounded():
  colour = np.array([[[10.0, 20.0, 31.0]]])  # 18.264 gray, 20.333 on average
  deep = np.array([[[100.7]]])
  rounded, cut, channels = (how([colour], deep) for how in list(conventions.PREPARATIONS.values())[:3])
  assert (rounded[0][0][0, 0], rounded[1][0, 0]) == (18, 101) and (cut[0][0][0, 0], cut[1][0, 0]) == (18, 100)
  assert channels[0][0][0, 0] == 20
  gray = cv2.cvtColor(np.float32([[[10, 20, 31]]]), cv2.COLOR_RGB2GRAY)
  assert gray[0, 0] == pytest.approx(18.264, abs=1e-3)


def test_what_is_the_same_on_all_images_is_told_once():
  convention = Convention
  found = candidates({
    convention("VIF", "a", STORED): [0.5, 0.7], convention("VIF_cdd", "b", STORED): [0.5, 0.7],
    convention("VIFF", "c", STORED): [math.nan, 0.4], convention("x", "d", STORED): [math.nan, math.nan],
  })  # fmt: skip
  assert [(c.convention.measure, c.undefined) for c in found] == [("VIF, VIF_cdd", 0), ("VIFF", 1)]
  assert found[0].value == pytest.approx(0.6) and found[1].value == 0.4
  same = candidates({convention("SSIM", "L = 2 (x)", way): [0.5] for way in (STORED, "cut off", "stretched")})
  assert [c.convention.definition for c in same] == ["L = 2 (x)"]  # a definition with a sign of equality in it


@pytest.mark.parametrize("triplet", ["smooth", "odd_noise", "large", "saturated"])
def test_saturating_arithmetic_is_that_of_the_programs(triplet):
  expected = json.loads(golden_path("metrics/goldens.json").read_text())["golden"][triplet]
  with np.load(golden_path("metrics/goldens.npz")) as arrays:
    a, b, fused = (arrays[f"{triplet}_{key}"].astype(float) for key in "ABF")
  assert saturated.standard_deviation([a, b], fused) == pytest.approx(expected["SD"]["tang2022:SD_evaluation(uint8)"])
  assert saturated.correlation([a, b], fused) == pytest.approx(expected["CC"]["thfylsty:my_cc(uint8)"])
