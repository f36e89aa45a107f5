"""Does the command `dig2dig` do what its help says, quickly where nothing is fused, and as launch.py where it is?"""

import pathlib
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest
from absl.testing import flagsaver
from scenes import read, scene, write, write_pair

from dig2dig_jax.cli import commands, main, tasks
from dig2dig_jax.data import guess

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def run(capsys, quick_compile, tiny_prior):
  """dig2dig in this process: run(*words) -> (status, stdout, stderr)."""

  def call(*words):
    fuses = words[0] == "fuse" and "--help" not in words
    extra = [f"--prior={tiny_prior}", "--compile_cache=", "--bucket=8", "--bands=2"] if fuses else []
    with flagsaver.flagsaver():
      status = main.main([*map(str, words), *extra])
    return status, *capsys.readouterr()

  return call


def test_help_needs_no_jax_and_every_command_has_its_own():
  code = (
    "import sys\n"
    "class NoJax:\n"
    "  def find_spec(self, name, path=None, target=None):\n"
    "    if name.split('.')[0] in ('jax', 'flax'): raise ImportError(name)\n"
    "sys.meta_path.insert(0, NoJax())\n"
    "from dig2dig_jax.cli.main import main\n"
    "assert main([]) == main(['--help']) == main(['-h']) == 0\n"
    "for command in ('fuse', 'evaluate', 'report', 'benchmark', 'train'):\n"
    "  for flag in ('-h', '--help'):\n"
    "    assert main([command, flag]) == 0\n"
  )
  found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
  assert found.returncode == 0, found.stderr
  assert all(f"dig2dig {command}" in found.stdout for command in main.COMMANDS)
  assert max(map(len, main.HELP.splitlines())) <= 120


@pytest.mark.parametrize(("first", "second", "said"), [("vis", "ir", True), ("ir", "vis", False)])
def test_sources_in_another_order_than_given_are_named(first, second, said, tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(commands.launcher, "launch", lambda job: 0)
  for name in (first, second):
    (tmp_path / f"{name}.png").touch()
  files = [str(tmp_path / f"{name}.png") for name in (first, second)]
  assert main.main(["fuse", *files, "-o", str(tmp_path / "out")]) == 0
  assert ("another order than given: ir.png as ir, vis.png as vi;" in capsys.readouterr().err) == said


def test_two_files_become_one_and_nothing_else(run, tmp_path):
  write_pair(tmp_path, "a", (24, 28), channels={"left": 1, "right": 3})
  a, b, out = tmp_path / "left" / "a.png", tmp_path / "right" / "a.png", tmp_path / "out" / "fused.png"
  status, told, notes = run("fuse", a, b, "-o", out, "--task=thermal")
  assert status == 0 and f"results in {out}" in told and "1 pair fused" in told
  assert "compiling for 32 x 24 pixels" in notes
  assert read(out).shape == (24, 28, 3)
  assert sorted(path.name for path in out.parent.iterdir()) == ["fused.png"]
  before = out.read_bytes()
  status, _, refused = run("fuse", a, b, "-o", out, "--task=thermal")
  assert status == 2 and "expected nothing there" in refused and out.read_bytes() == before
  assert run("fuse", a, b, f"--out={out}", "--task=thermal", "--overwrite")[0] == 0
  for foreign in (out.with_name("photo.png"), a):  # not this program's, so never its to replace
    foreign.write_bytes(a.read_bytes())
    before = foreign.read_bytes()
    status, _, refused = run("fuse", a, b, "-o", foreign, "--task=thermal", "--overwrite")
    assert status == 2 and "which is kept" in refused and foreign.read_bytes() == before


def test_no_results_are_named_where_none_were_written(run, tmp_path):
  for name, width in (("one", 28), ("two", 32)):
    write(tmp_path / f"{name}.png", scene(1, 24, width))
  files = tmp_path / "one.png", tmp_path / "two.png"
  status, told, notes = run("fuse", *files, "-o", tmp_path / "out.png", "--task=focus", "--resize=off")
  assert status == 3 and "expected 24x28" in notes and "nothing fused" in told and "results in" not in told
  assert not (tmp_path / "out.png").exists()


def test_a_folder_becomes_a_folder_its_names_say_the_task_and_a_copy_is_told(run, tmp_path):
  write_pair(tmp_path / "in", "a", (24, 28), channels={"under": 3, "over": 3})
  (tmp_path / "in" / "over" / "a.png").write_bytes((tmp_path / "in" / "under" / "a.png").read_bytes())
  status, told, notes = run("fuse", tmp_path / "in", "-o", tmp_path / "out")
  assert status == 0 and "task exposure, by the names over and under" in notes
  assert "note: under/a.png and over/a.png have the same content; nothing to fuse\n" in notes
  assert (tmp_path / "out" / "a.png").is_file() and (tmp_path / "out" / "run.json").is_file()


@pytest.mark.parametrize(
  ("words", "said"),
  [
    (("fly",), "expected a command among fuse"),
    (("fuse",), "expected two or more image files"),
    (("fuse", "a.png"), "found a.png, which is no folder"),
    (("fuse", "a.png", "b.png"), "expected -o FUSED.png"),
    (("fuse", "a.png", "b.png", "-o", "out.gif"), "expected a .png file, or a folder"),
    (("fuse", "a.png", "b.png", "-o"), "-o: expected a file or a folder after it"),
    (("fuse", "a.png", "b.png", "-o", "out.png", "--task=night"), "expected one of thermal, medical, focus, exposure"),
    (("fuse", "nowhere_a.png", "nowhere_b.png", "-o", "out.png"), "nowhere_a.png: expected "),
    (("fuse", "a.png", "b.png", "-o", "out.png", "--manifest=pairs.jsonl"), "--manifest=pairs.jsonl: expected no such"),
    (("fuse", "a.png", "b.png", "-o", "out.png", "--maps"), "--maps: expected a folder to write to, found one image"),
    (("fuse", "a.png", "b.png", "--seed", "3", "-o", "out.png"), "expected a value after =, .* write --seed=3"),
    (("fuse", "a.png", "b.png", "-o", "out.png", "--", "-c.png", "--", "-d.png"), "a.png: expected "),
    (("convert", "onnx"), "expected one of guided_diffusion"),
    (("show",), "expected images"),
    (("show", "."), "expected a prior's folder"),
    (("fuse", ".", "..", "-o", "out.png"), ".: expected an image file beside the others, found a folder"),
  ],
)
def test_what_cannot_be_is_one_line_and_status_2(run, tmp_path, monkeypatch, words, said):
  monkeypatch.chdir(tmp_path)
  status, told, refused = run(*words)
  assert status == 2 and told == "" and re.search(re.sub(r"[][()?+]", r"\\\g<0>", said), refused), refused
  assert refused.startswith("error: ") and refused.count("\n") == 1
  assert list(tmp_path.iterdir()) == []


def test_help_of_a_command_has_its_own_flags_alone(run):
  pages = {command: run(command, "-h")[1] for command in main.COMMANDS}
  assert all(page.startswith(f"dig2dig {command}") for command, page in pages.items())
  assert "--maps" in pages["fuse"] and "--learning_rate" not in pages["fuse"] and "--learning_rate" in pages["train"]


def test_sources_that_are_named_need_no_other_flag(monkeypatch, tmp_path):
  launched = []
  monkeypatch.setattr(commands.launcher, "launch", lambda flags: launched.append(list(flags)) or 0)
  for names, hot in (("a,b", "a"), ("vi,ir", "ir")):
    assert main.main(["fuse", str(tmp_path), f"--sources={names}", "--task=thermal", "-o", "out"]) == 0
    assert f"--functional={hot}" in launched[-1] and launched[-1][-2:] == [f"--sources={names}", "--out=out"]


def test_show_tells_what_is_seen(run, tmp_path):
  write(tmp_path / "a.png", scene(1, 120, 130, 1))
  status, told, _ = run("show", tmp_path / "a.png", ROOT / "checkpoints" / "embedded")
  assert status == 0 and "130 x 120, gray in 1 of uint8" in told and "noise of standard deviation" in told
  assert "parameters: 3664076" in told
  status, told, refused = run("show", tmp_path / "nowhere.png", tmp_path / "a.png")
  assert status == 2 and "130 x 120" in told and refused.startswith("error: ") and "nowhere.png" in refused


@pytest.mark.parametrize(
  "names, task, order",
  [
    (("day0_vi", "heat0_ir"), "thermal", (1, 0)),
    (("vi", "narrow_ir"), "thermal", (1, 0)),
    (("wärme bild ir", "foto größe vi"), "thermal", (0, 1)),
    (("PET_head", "t1_axial"), "medical", (1, 0)),
  ],
)
def test_a_word_in_each_of_two_files_names_says_which_is_which(names, task, order):
  assert guess.by_file_names(names)[:2] == (task, order)
  assert guess.by_file_names(names[:1] * 2) is None, "one word twice says nothing"
  assert guess.by_names(names) is None, "folders and sources are not files of one scene"


@pytest.mark.parametrize("names", [("IMG_1", "IMG_2"), ("vi_1", "vi_2"), ("ir", "scene"), ("low", "high_ir")])
def test_names_without_a_word_in_each_leave_it_to_the_images(names):
  assert guess.by_file_names(names) is None


def test_tasks_are_guessed_by_names_and_by_images():
  assert guess.by_names(["VIS", "ir"])[:2] == ("thermal", (1, 0))
  assert guess.by_names(["x", "y"]) is None and guess.by_names(["a", "b", "c"]) is None
  assert {task for task in guess.NAMES} == set(guess.TASKS)
  view = scene(3, 96, 128).astype(np.float32) / 127.5 - 1
  other = scene(9, 96, 128).mean(axis=-1, keepdims=True).repeat(3, -1).astype(np.float32) / 127.5 - 1
  assert guess.by_images([view, other])[:2] == ("thermal", (1, 0))
  assert guess.by_images([np.clip(view + 0.4, -1, 1), np.clip(view - 0.4, -1, 1)])[:2] == ("exposure", (1, 0))
  night = (view + 1) / 8  # two stops and more, and yet all of them dark
  assert guess.by_images([night - 1, 0.4 * night - 1])[:2] == ("exposure", (1, 0))
  assert guess.by_images([view, cv2.GaussianBlur(view, (0, 0), 3)]).task == "focus"
  scan = np.where(np.hypot(*np.mgrid[-48:48, -64:64])[..., None] < 35, view, -1)
  assert guess.by_images([scan, scan[::-1]]).task == "medical"


def test_a_thermal_image_in_a_palette_is_known_by_it(tmp_path):
  heat = cv2.GaussianBlur(np.random.default_rng(0).random((96, 128)).astype(np.float32), (0, 0), 9)
  heat = np.uint8(cv2.normalize(heat, None, 0, 255, cv2.NORM_MINMAX))
  write(tmp_path / "1.png", scene(3, 96, 128))
  write(tmp_path / "2.png", cv2.applyColorMap(heat, cv2.COLORMAP_JET)[..., ::-1])
  found = tasks.by_look([tmp_path / "1.png", tmp_path / "2.png"])
  assert found == ("thermal", (1, 0), "the palette jet in 2.png")
  assert tasks.by_look([tmp_path / "1.png", tmp_path / "1.png"]).task == "focus"


def test_settings_of_a_task_name_its_sources():
  assert "--functional=hot" in tasks.settings("thermal", ["hot", "light"])
  assert tasks.settings("focus", ["1", "2", "3"])[-1] == "--sources=1,2,3"


def test_a_full_disk_behind_standard_output_is_one_line():
  if not pathlib.Path("/dev/full").exists():
    pytest.skip("no /dev/full on this system")
  with open("/dev/full", "w") as full:
    command = [sys.executable, "launch.py", "--help"]
    found = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
  assert found.returncode == 2 and found.stderr.startswith("error: standard output: expected to write there, found No")
  assert found.stderr.count("\n") == 1


def test_a_dash_is_standard_output_for_live_alone(monkeypatch, capsys):
  from dig2dig_jax.cli import live

  monkeypatch.setattr(live, "run", lambda words: print(words) or 0)
  assert main.main(["live", "a.mp4", "b.mp4", "-o", "-"]) == 0
  assert capsys.readouterr().out == "['a.mp4', 'b.mp4', '--out=-']\n"
  assert main.main(["fuse", "a.png", "b.png", "-o", "-"]) == 2
  assert "-o: expected a file or a folder after it" in capsys.readouterr().err
