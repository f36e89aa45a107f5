"""Does every preset run as it stands, on its data set's own names and on a checkpoint in OpenAI's format?"""

import dataclasses
import json
import pathlib

import numpy as np
import pytest
import scenes
from absl.testing import flagsaver

import launch
from dig2dig_jax import metrics
from dig2dig_jax.benchmarks import paper, published, rows
from dig2dig_jax.cli import common
from dig2dig_jax.models.config import diffusion_config
from dig2dig_jax.models.shapes import parameter_shapes
from dig2dig_jax.porting import guided_diffusion, to_torch

pytestmark = pytest.mark.usefixtures("quick_compile")

ROOT = pathlib.Path(launch.__file__).resolve().parent
SIZE = (24, 30)
# guided-diffusion's own flags, of as small a network as they allow.
LAYOUT = {
  "image_size": 32, "num_channels": 32, "num_res_blocks": 1, "channel_mult": "1", "learn_sigma": True,
  "attention_resolutions": "16",
}  # fmt: skip
PUBLISHED = "Dig2DIG, published"
# The paper's tables whose numbers stand in a preset's head.
PRINTED = {
  "table1_llvip": ("1 LLVIP",), "table1_m3fd": ("1 M3FD", "3", "4", "5"), "table1_msrs": ("1 MSRS",),
  "table_mffw": ("2 MFFW",), "table_mefb": ("2 MEFB",),
}  # fmt: skip
# {preset: (files of the data set as it is unpacked, the one pair that is wanted)}.
TREES = {
  "table1_llvip": ([f"{source}/{part}/{name}.jpg" for source in ("infrared", "visible")
                    for part, name in (("train", "010001"), ("test", "190001"))], "190001"),
  "table1_m3fd": (["Ir/00000.png", "Vis/00000.png"], "00000"),
  "table1_msrs": ([f"{part}/{source}/{name}.png" for source in ("ir", "vi")
                   for part, name in (("train", "00001D"), ("test", "00537D"))], "00537D"),
  "table_mffw": (["input/mffw-01-A.jpg", "input/mffw-01-B.jpg", "input/lytro-01-A.jpg", "input/lytro-01-B.jpg"],
                 "mffw-01"),
  "table_mefb": (["input/Arno/Arno_A.png", "input/Arno/Arno_B.png"], "Arno"),
}  # fmt: skip
TASKS = {"vif": "ir,vi", "mif": "mri,pet", "mff": "a,b", "mef": "under,over"}
PAPERS = [f"{family}_{task}" for family in ("dig2dig_paper", "dig2dig_quadratic") for task in TASKS]
# {preset that fuses: network evaluations of a pair}.
FUSES = {
  **dict.fromkeys(PAPERS, 31), "ddfm_paper_vif": 100, "ccf_paper_vif": 200,
  **{f"accumulated_{task}": 14 for task in TASKS},
}  # fmt: skip

# Slow: a faster preset has most of their program, or all of it but for the names of its sources.
SLOW = {"table1_llvip", "table1_m3fd", "table1_msrs", "table_mefb", "ccf_paper_vif", "ddfm_paper_vif",
        "dig2dig_paper_mff", "dig2dig_quadratic_vif", "dig2dig_quadratic_mff",
        "accumulated_mif", "accumulated_mff", "accumulated_mef",
        *(f"{family}_{task}" for family in ("dig2dig_paper", "dig2dig_quadratic") for task in ("mif", "mef"))}


def once(presets):
  return [pytest.param(preset, marks=[pytest.mark.slow] if preset in SLOW else []) for preset in presets]


@pytest.fixture(scope="module")
def prior(tmp_path_factory):
  """Converted from a file as OpenAI's are: a PyTorch state dict of their layout, with learned variances."""
  torch = pytest.importorskip("torch", reason="PyTorch writes the checkpoint: pip install torch")
  folder = tmp_path_factory.mktemp("openai")
  config, rng = diffusion_config(**LAYOUT), np.random.default_rng(0)
  flat = {path: rng.normal(size=shape) / np.sqrt(max(1, np.prod(shape[:-1])))
          for path, shape in parameter_shapes(config).items()}  # fmt: skip
  torch.save({name: torch.from_numpy(array) for name, array in to_torch.state_dict(flat, config).items()},
             folder / "tiny.pt")  # fmt: skip
  (folder / "flags.json").write_text(json.dumps(LAYOUT))
  arguments = [f"--pt={folder / 'tiny.pt'}", f"--config={folder / 'flags.json'}", f"--out={folder / 'prior'}"]
  assert guided_diffusion.main(arguments) == 0
  return folder / "prior"


def run(preset, *arguments):
  given = ["launch.py", f"--flagfile={ROOT / 'presets' / preset}.flags", "--compile_cache=", "--bucket=32"]
  with flagsaver.flagsaver():
    return launch.main(launch.parse([*given, *arguments]))


def test_every_preset_is_run_by_a_test():
  found = {path.stem for path in (ROOT / "presets").glob("*.flags")}
  assert found == {*TREES, *FUSES, "detection_llvip"}, "the last: tests/evaluation/test_detection.py"


@pytest.mark.parametrize("preset", TREES)
def test_a_preset_of_a_table_finds_its_pairs_in_its_data_set_as_it_is_unpacked(preset, tmp_path):
  files, pair = TREES[preset]
  for number, file in enumerate(files):
    scenes.write(tmp_path / file, scenes.scene(number, *SIZE))
  with flagsaver.flagsaver():
    launch.parse(["launch.py", f"--flagfile={ROOT / 'presets' / preset}.flags", f"--data={tmp_path}"])
    found, _ = common.data_config().find()
    assert rows.rows_for("methods", common.method_options(), sources=2, gray=common.codec().gray)
  assert [one.name for one in found] == [pair]


@pytest.mark.parametrize("preset", once(TREES))
def test_a_preset_of_a_table_runs_on_its_data_set_as_it_is_unpacked(preset, prior, tmp_path, capsys):
  files, pair = TREES[preset]
  for number, file in enumerate(files):
    scenes.write(tmp_path / "data" / file, scenes.scene(number, *SIZE))
  # All rows of one preset; one row of each other, since every row costs its compilations.
  whole = preset == "table1_llvip"
  some = [] if whole else [f"--rows={PUBLISHED}"]
  arguments = [f"--data={tmp_path / 'data'}", f"--prior={prior}", f"--out={tmp_path / 'out'}", *some]
  assert run(preset, *arguments) == 0
  costs = {"DDFM": 100, "CCF": 200, PUBLISHED: 31, "Dig2DIG, quadratic": 31} if whole else {PUBLISHED: 31}
  told = capsys.readouterr().err
  count = f"{len(costs)} {'row' if len(costs) == 1 else 'rows'}"
  assert f"1 pair to do in {count}: at most {sum(costs.values())} network evaluations a pair" in told
  scores = json.loads((tmp_path / "out" / "methods" / "scores.json").read_text())
  assert list(scores) == [*metrics.BASELINES, *costs]
  for name, cost in costs.items():
    (row,) = scores[name]["images"].values()
    assert row["evaluations"] == cost and {*metrics.PROTOCOLS["dig2dig"]} < {*row} and 0 < row["SSIM"] < 2
  assert list(scores[PUBLISHED]["images"]) == [pair]
  if not whole:  # tracing is all that this costs
    assert run(preset, *arguments) == 0
    assert "0 pairs to do" in capsys.readouterr().err


@pytest.mark.parametrize("preset", once(FUSES))
def test_a_preset_that_fuses_runs(preset, prior, tmp_path, capsys):
  task = preset.rpartition("_")[2]
  for number, source in enumerate(TASKS[task].split(",")):
    scenes.write(tmp_path / "data" / source / "p.png", scenes.scene(number, *SIZE))
  assert run(preset, f"--data={tmp_path / 'data'}", f"--prior={prior}", f"--out={tmp_path / 'out'}") == 0
  out = capsys.readouterr().out
  assert "1 pair fused, 0 failed" in out and f"at most {FUSES[preset]} network evaluations" in out
  assert scenes.read(tmp_path / "out" / "p.png").std() > 5


@pytest.mark.parametrize("preset", PAPERS)
def test_the_papers_presets_are_what_the_tables_call_so(preset):
  task = preset.rpartition("_")[2]
  with flagsaver.flagsaver():
    launch.parse(["launch.py", f"--flagfile={ROOT / 'presets' / preset}.flags"])
    options, gray = common.method_options(), common.codec().gray
  named = published.PUBLISHED if "paper" in preset else published.QUADRATIC
  if not gray and "paper" in preset:
    named = dataclasses.replace(named, em_colour="channels")
  assert options == named and gray == (task in ("vif", "mif"))


@pytest.mark.parametrize("preset", PRINTED)
def test_the_heads_have_the_papers_numbers(preset):
  head = (ROOT / "presets" / f"{preset}.flags").read_text()
  for name in PRINTED[preset]:
    assert f"# {paper.TABLES[name].title}: {', '.join(paper.TABLES[name].columns)}\n" in head
    for row, values in paper.TABLES[name].rows.items():
      assert f"#   {row}  {' '.join(values)}\n" in head, row


def test_the_document_has_the_papers_tables():
  text = (ROOT / "docs" / "paper.md").read_text()
  for printed in paper.TABLES.values():
    assert f"**{printed.title}**\n\n{printed.markdown()}" in text, printed.title
    assert all(len(values) == len(printed.columns) for values in printed.rows.values())
