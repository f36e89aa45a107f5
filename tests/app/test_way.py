"""From the drop to the download: does the page fuse as the command does, and does it say what the command says?"""

import json
import shlex

import cv2
import numpy as np
import pytest
from absl.testing import flagsaver
from page_client import png
from scenes import scene

from dig2dig_jax.alignment import stored
from dig2dig_jax.cli import commands, common, flags, launcher, main


@pytest.fixture
def run(tmp_path, tiny_prior, monkeypatch, capsys):
  """What a shell would do with a command, in a folder with these files: run(words, files) -> the notes of the run."""
  def call(words, files):
    for name, content in files.items():
      (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
      (tmp_path / name).write_bytes(content)
    if not (tmp_path / tiny_prior.name).exists():
      (tmp_path / tiny_prior.name).symlink_to(tiny_prior)
    monkeypatch.chdir(tmp_path)
    with flagsaver.flagsaver():
      status = main.main([*words, "--bucket=8", "--compile_cache="])
    notes = capsys.readouterr().err
    assert status == 0, notes
    return [line.removeprefix("note: ") for line in notes.splitlines() if line.startswith("note: ")]

  return call


LITTLE = {"bands": 2}  # to compile


def same(one, other):
  """The same picture: on another path of compilation single pixels may be one grey level of 8 bits off."""
  assert one.shape == other.shape and one.dtype == other.dtype
  apart = np.abs(one.astype(np.int64) - other)
  step = 1 if one.dtype == np.uint8 else 257
  assert apart.max() <= step and (apart > step // 257).mean() < 0.02, (apart.max(), (apart > 0).mean())


def read(content):
  return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)


def test_a_pair_small_at_once_then_whole_and_the_command_does_the_same(page, pair, run, tmp_path):
  tab, opened = page.drop(dict(reversed(pair.items())))  # their order is found
  assert (opened["task"], opened["order"]) == ("thermal", [1, 0])
  assert [one["size"] for one in opened["files"]] == [[56, 40]] * 2
  small = page.fused(tab, "preview", task="thermal", options={**LITTLE, "restore": "off"})
  assert small["size"] == [48, 34] and page.ask("GET", f"tabs/{tab}/download/fused-8.png").status_code == 409
  settings = {"task": "thermal", "options": {**LITTLE, "exponent": 7.5, "target": 1.5, "undershoot": 3}}
  done = page.fused(tab, **settings)
  assert done["size"] == [56, 40] and [one["name"] for one in done["sources"]] == ["ir.png", "vi.png"]
  assert done["lines"][0] == "task thermal, by the names vi and ir; --task= overrides this"
  assert any("noise of standard deviation" in line for line in done["lines"])
  words = shlex.split(done["command"])
  assert words[:3] == ["dig2dig", "fuse", "ir.png"] and "--dig_exponent=7.5" in words
  notes = run(words[1:], pair)
  assert notes == done["lines"][1:]  # the command says the task itself
  saved = page.ask("GET", f"tabs/{tab}/download/fused-8.png")
  assert "attachment" in saved.headers["content-disposition"]
  same(read(saved.content), read((tmp_path / "fused.png").read_bytes()))
  deep = read(page.ask("GET", f"tabs/{tab}/download/fused-16.png").content)
  assert deep.dtype == np.uint16 and np.any(deep % 257)
  assert np.abs(deep / 257 - read(saved.content)).max() <= 0.51


def test_the_file_of_flags_is_what_the_page_was_set_to(page, pair, tmp_path):
  assert commands.run  # defines the flags
  tab, _ = page.drop(pair)
  chosen = {**LITTLE, "exponent": 7.5, "base": "brightest"}
  page.fused(tab, task="thermal", options=chosen, swapped=True, valid="off", range="auto")
  (tmp_path / "settings.flags").write_bytes(page.ask("GET", f"tabs/{tab}/download/settings.flags").content)
  with flagsaver.flagsaver():
    launcher.parse(["dig2dig", "--job=fuse", f"--flagfile={tmp_path / 'settings.flags'}", f"--data={tmp_path}"])
    options = common.method_options()
    assert {name: getattr(options, name) for name in chosen} == chosen
    assert (options.functional, flags.SOURCES.value, flags.CHROMA_FROM.value) == (1, ["ir", "vi"], "ir")
    assert flags.VALID.value == "off" and set(common.data_config().ranges.values()) == {"auto"}


def test_a_setting_changes_the_picture_and_its_own_flag_and_no_other(page, pair):
  tab, _ = page.drop(pair)
  before = page.fused(tab, "preview", task="thermal", options=LITTLE)
  shown = page.image(f"tabs/{tab}/preview/{before['version']}/fused/0.png")
  flags = {control["name"]: control["flag"] for control in page.ask("GET", "controls").json()["controls"]}
  changes = {"exponent": 0, "target": 4, "restore": "off", "base": "brightest"}  # test_browser.py moves all
  for name in changes:
    done = page.fused(tab, "preview", task="thermal", options={**LITTLE, name: changes[name]})
    after = page.image(f"tabs/{tab}/preview/{done['version']}/fused/0.png")
    assert np.any(after != shown), name
    told = set(shlex.split(done["command"])) - set(shlex.split(before["command"]))
    assert told == {f"--{flags[name]}={changes[name]}"}


def test_a_colour_map_is_laid_over_by_the_commands_own_function(page, pair, server):
  from dig2dig_jax.data import overlay

  tab, _ = page.drop(pair)
  settings = {"task": "thermal", "options": {**LITTLE, "restore": "off"}}
  page.fused(tab, **settings)
  before = server.tabs.get(tab).pictures["full"][1]
  done = page.fused(tab, **settings, colormap="inferno")
  assert "--colormap=inferno" in shlex.split(done["command"])
  shown = page.image(f"tabs/{tab}/full/{done['version']}/fused/0.png")[..., ::-1]
  expected = overlay.laid_over(before.fused, before.placed.loaded.sources[0], "inferno")
  assert np.abs(shown - (expected + 1) * 127.5).max() <= 0.51 and np.ptp(shown[..., 0] - shown[..., 2]) > 20
  assert np.array_equal(read(page.ask("GET", f"tabs/{tab}/download/fused-8.png").content)[..., ::-1], shown)
  assert b"\n--colormap=inferno\n" in page.ask("GET", f"tabs/{tab}/download/settings.flags").content
  small = page.fused(tab, "preview", **settings, colormap="inferno")
  assert page.image(f"tabs/{tab}/preview/{small['version']}/fused/0.png").shape == (34, 48, 3)
  # Of the visible image, which has colours of its own, no values are shown.
  done = page.fused(tab, "preview", **settings, swapped=True, colormap="hot")
  assert done["lines"][-1] == "vi: 1 of 1 images have colours of their own, over which no --colormap is laid"
  assert "colormap: expected one of nothing" in page.fuse(tab, task="focus", colormap="hot")[-1]["error"]


def test_numbers_turned_by_hand_compile_nothing(page, pair, server):
  tab, _ = page.drop(pair)
  page.fused(tab, "preview", task="thermal", options=LITTLE)
  programs = set(server.stages._compiled)
  for value in (1, 2.5, 9):
    lines = page.fuse(tab, "preview", task="thermal", 
                      options={**LITTLE, "exponent": value, "target": value / 4, "undershoot": value})
    assert not any("preparing" in line.get("stage", "") for line in lines)
  assert set(server.stages._compiled) == programs


def test_a_bracket_of_three_and_its_maps(page):
  view = scene(3, 40, 56).astype(np.float32)
  files = {f"{name}.png": png(np.clip(view * gain, 0, 255).astype(np.uint8))
           for name, gain in (("bright", 1.9), ("dark", 0.3), ("middle", 1))}  # fmt: skip
  tab, opened = page.drop(files)
  assert (opened["task"], opened["order"]) == ("exposure", [1, 2, 0])
  done = page.fused(tab, "preview", task="exposure", options=LITTLE)
  assert [one["name"] for one in done["sources"]] == ["dark.png", "middle.png", "bright.png"]
  place = f"tabs/{tab}/preview/{done['version']}"
  fused, weight = page.image(f"{place}/fused/0.png"), page.image(f"{place}/weight/2.png")
  assert fused.shape == weight.shape == (34, 48, 3) and np.ptp(weight) > 0
  assert page.image(f"{place}/thumbnail/1.png").shape[0] == 72
  assert page.ask("GET", f"{place}/weight/3.png").status_code == 404
  shown = [page.image(f"{place}/source/{k}.png") @ [0.114, 0.587, 0.299] for k in range(3)]
  plain = page.image(f"{place}/plain/0.png")
  assert plain.shape == (34, 48) and np.abs(plain - np.mean(shown, axis=0)).max() < 2
  assert np.all(page.image(f"{place}/plain/1.png") >= plain)
  assert page.ask("GET", f"{place}/plain/4.png").status_code == 404
  assert page.ask("GET", f"tabs/{tab}/preview/{done['version'] - 1}/fused/0.png").status_code == 404
  refused = page.fuse(tab, task="thermal")[-1]
  assert "expected two images, found 3" in refused["error"]


def test_ranges_and_borders_are_told_and_shown(page):
  counts = (scene(1, 40, 56, 1).astype(np.uint16) * 4 + 29000)
  visible = scene(2, 40, 56)
  cut = np.dstack([visible, np.full((40, 56), 255, np.uint8)])
  cut[:, :10, 3] = 0
  ok, content = cv2.imencode(".png", cut[..., [2, 1, 0, 3]])
  tab, _ = page.drop({"ir.png": png(counts), "vi.png": content.tobytes()})
  done = page.fused(tab, "preview", task="thermal", options=LITTLE)
  low, high = done["sources"][0]["range"]
  assert 28900 < low < 29200 < high < 30100 and done["sources"][1]["range"] is None
  assert any(line.startswith("range of ir: ") for line in done["lines"])
  assert any(line.startswith("vi: 1 of 1 image shows a part of the frame only") for line in done["lines"])
  shade = page.image(f"tabs/{tab}/preview/{done['version']}/valid/1.png")[..., 3]
  assert shade[:, :7].all() and not shade[:, 12:].any()


@pytest.mark.slow
def test_what_is_moved_by_hand_comes_to_lie_and_with_roles_swapped_the_command_does_the_same(page, run, tmp_path):
  whole = cv2.GaussianBlur(scene(5, 60, 80, 3), (0, 0), 2)
  # Their whole range is used: what is narrow would get one of its own.
  whole = np.uint8(255.0 * (whole - whole.min()) / np.ptp(whole))
  files = {"ir.png": png(whole[10:50, 12:68, :1].copy()), "vi.png": png(whole[10 - 4 : 50 - 4, 12 - 6 : 68 - 6].copy())}
  tab, _ = page.drop(files)
  hand = {"vi": {"dx": -6, "dy": -4, "scale": 100, "angle": 0}}
  done = page.fused(tab, task="thermal", align="hand", hand=hand, swapped=True, options=LITTLE)
  assert done["transforms"] and "vi: aligned with ir in 1 of 1 pair" in done["lines"]
  place = f"tabs/{tab}/full/{done['version']}"
  infrared, brought = page.image(f"{place}/source/0.png"), page.image(f"{place}/source/1.png")
  # Its red is what the infrared was cut from.
  assert np.abs(brought[:-6, :-8, 2].astype(int) - infrared[:-6, :-8]).max() <= 1
  transforms = page.ask("GET", f"tabs/{tab}/download/transforms.json").content
  assert json.loads(transforms)["format"] == stored.FORMAT
  words = shlex.split(done["command"])
  assert {"--transforms=transforms.json", "--functional=vi", "--chroma_from=ir"} <= set(words)
  run(words[1:], {**files, "transforms.json": transforms})
  same(read(page.ask("GET", f"tabs/{tab}/download/fused-8.png").content), read((tmp_path / "fused.png").read_bytes()))


def test_what_cannot_be_is_one_line(page, pair):
  tab, _ = page.drop(pair)
  for settings, said in (
    ({"task": "night"}, "task: expected one of thermal, medical, focus, exposure"),
    ({"task": "thermal", "options": {"exponent": "much"}}, "exponent: expected a number"),
    ({"task": "thermal", "options": {"exponent": 51}}, "--dig_exponent=51.0: expected 0 to 50"),
    ({"task": "thermal", "options": {"prior": "x"}}, "expected the names of controls, found 'prior'"),
    ({"task": "thermal", "align": "hand", "hand": {"ir": {"dx": 1e9}}}, "hand, ir, dx: expected -4096 to 4096"),
    ({"task": "thermal", "range": "0:1"}, "range: expected one of"),
  ):
    assert said in page.fuse(tab, "preview", **settings)[-1]["error"]
