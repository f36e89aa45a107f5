"""Is every block of code in the documents what a reader can run: flags, names and files that there are?"""

import ast
import collections
import contextlib
import importlib
import inspect
import io
import json
import re
import shlex
import shutil
import tomllib

import doc_blocks
import pytest
import yaml
from absl.testing import flagsaver

import dig2dig_jax as d2d
import launch
from dig2dig_jax.cli import align, commands, launcher, live, main, tasks, usage, video
from dig2dig_jax.data import guess

ROOT = doc_blocks.ROOT
BLOCKS = doc_blocks.blocks()
# Blocks that no test runs, by why; their commands and names are looked at all the same.
NOT_RUN = {
  "installs": 5,
  "needs a GPU": 1,
  "needs a browser": 1,
  "needs a checkout of another program": 4,
  "needs a cluster": 3,
  "needs a data set": 2,
  "needs a store or a cluster": 5,
  "needs cameras": 1,
  "needs released weights": 4,
  "reads a file that another command writes": 2,
  "reads folders of other commands": 4,
  "reads video files": 2,
  "reads volumes": 2,
  "reads what a camera writes": 4,
  "shows what a command prints": 1,
  "takes hours on a data set": 32,
  "takes minutes on a data set": 4,
  "takes minutes of restoration": 1,
}
OF_LAUNCHER = ("evaluate", "report", "benchmark", "train")
OWN_FLAGS = {"align": align._FLAGS, "live": live._FLAGS}
JUDGED = {"sh", "console", "python"}


def of(*languages):
  return [pytest.param(block, id=block.name) for block in BLOCKS if block.language in languages]


def test_blocks_that_no_test_runs_are_known():
  assert {block.language for block in BLOCKS} <= JUDGED | {"text", "json", "toml", "yaml"}
  assert collections.Counter(block.left_out for block in BLOCKS if block.left_out) == NOT_RUN
  assert not [block.name for block in BLOCKS if block.left_out and block.language not in JUDGED]


def parsed(words):
  """By the parser of launch.py, from the root; the flags must be their job's."""
  told = io.StringIO()
  with flagsaver.flagsaver(), contextlib.redirect_stderr(told):
    try:
      rest = launch.parse(["launch.py", *words])
    except SystemExit:
      pytest.fail(f"{shlex.join(words)}: {told.getvalue()}")
    usage.check(launcher._typed)
    assert rest == ["launch.py"], words


def of_command(command, words):
  """A command of dig2dig: its flags exist and have values that can be."""
  assert command in main.COMMANDS
  words = commands._out_flag(words)
  given = [word for word in words if word.startswith("--")]
  if command == "fuse":
    task, flags = commands._taken_out(given, "task")
    assert task is None or task in guess.TASKS
    parsed([*tasks.settings(task or "thermal", None), *flags])
  elif command == "evaluate" and "--video" in given:
    assert len(words) - len(given) >= 3
  elif command in OF_LAUNCHER:
    parsed([f"--job={command}", *words])
  elif command == "video":
    kept = [word for word in given if word[2:].partition("=")[0] not in (*video.OWN, "score", "nosteady", "sources")]
    parsed([f"--flagfile={ROOT / 'vif.flags'}", "--job=fuse", *kept])
  elif command in OWN_FLAGS:
    assert {word[2:].partition("=")[0] for word in given} <= {*OWN_FLAGS[command]}
  else:
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
      assert main.main([command, "--help"]) == 0
    assert all(word.partition("=")[0] in told.getvalue() or word.startswith("--out=") for word in given), words


@pytest.mark.parametrize("block", of("sh", "console", "yaml"))
def test_commands_are_ones_that_the_program_takes(block, monkeypatch):
  monkeypatch.chdir(ROOT)
  lines = doc_blocks.commands(block) if block.language == "sh" else []
  if block.language == "console":
    lines = [shlex.split(line[2:]) for line in block.text.splitlines() if line.startswith("$ ")]
  elif block.language == "yaml":
    lines = doc_blocks.of_yaml(yaml.safe_load(block.text))
  found = [program for words in lines for program in doc_blocks.programs(words)]
  assert found or any(words[:2] == ["python", "-c"] for words in lines), f"{block.name}: no command"
  for program, words in found:
    if program == "launch":
      parsed(words)
    elif program == "dig2dig":
      of_command(words[0], words[1:])
    elif program == "make":
      assert {*words} <= {*re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)}
    elif program == "pip":
      extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
      assert {*re.findall(r"\[(\w+)\]", shlex.join(words))} <= {*extras}
    else:
      source = (ROOT / f"{program.replace('.', '/')}.py").read_text()
      porting = ROOT / "dig2dig_jax" / "porting" / f"{program.split('.')[1]}.py"
      source += porting.read_text() if porting.exists() else ""
      for flag in re.findall(r"--\w+", shlex.join(words)):
        assert f'"{flag}"' in source, f"{block.name}: {flag}"


@pytest.mark.parametrize("block", of("json", "toml", "yaml"))
def test_files_that_are_shown_can_be_read(block):
  read = {"json": json.loads, "toml": tomllib.loads, "yaml": yaml.safe_load}[block.language]
  assert isinstance(read(block.text), dict)


@pytest.mark.parametrize("block", of("python"))
def test_python_names_what_there_is_with_arguments_that_it_takes(block):
  tree = ast.parse(block.text)
  for node in ast.walk(tree):
    if isinstance(node, ast.ImportFrom):
      module = importlib.import_module(node.module)
      for alias in node.names:
        assert hasattr(module, alias.name), alias.name
    owner = node.func.value if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else None
    if isinstance(owner, ast.Name) and owner.id in ("d2d", "dig2dig_jax"):
      if any(isinstance(argument, ast.Starred) for argument in node.args):
        continue
      keywords = dict.fromkeys((keyword.arg for keyword in node.keywords), 0)
      inspect.signature(getattr(d2d, node.func.attr)).bind(*([0] * len(node.args)), **keywords)


@pytest.fixture
def workspace(tmp_path, monkeypatch, tiny_prior):
  """A folder with the files that the documents name, from the bundled examples."""
  examples = ROOT / "examples"
  for names, source in (
    (("ir.png", "IR.png", "thermal.png"), "vif/ir/cameraman.png"),
    (("vi.png", "VISIBLE.png", "photo.jpg"), "vif/vi/cameraman.png"),
    (("mri.png",), "vif/ir/coffee.png"), (("pet.png",), "vif/vi/coffee.png"),
    (("under.jpg", "UNDER.jpg"), "mef/under/coffee.png"), (("over.jpg", "OVER.jpg"), "mef/over/coffee.png"),
    (("normal.jpg", "NORMAL.jpg"), "mef/over/coffee.png"),
    (("near.jpg", "NEAR.jpg"), "mff/a/astronaut.png"), (("far.jpg", "FAR.jpg"), "mff/b/astronaut.png"),
    (("thermal/0001.png",), "vif/ir/cameraman.png"), (("photo/IMG_0001.jpg",), "vif/vi/cameraman.png"),
  ):  # fmt: skip
    for name in names:
      (tmp_path / name).parent.mkdir(exist_ok=True)
      shutil.copy(examples / source, tmp_path / name)
  for name in ("my_pairs", "PAIRS", "FOLDER"):
    shutil.copytree(examples / "vif", tmp_path / name)
  shutil.copytree(examples / "vif" / "vi", tmp_path / "THEIRS")
  shutil.copytree(examples / "vif" / "vi", tmp_path / "before")
  for name in ("vif.flags", "mif.flags", "mff.flags", "mef.flags", "presets"):
    (tmp_path / name).symlink_to(ROOT / name)
  texts = {"toml": "figure.toml", "json": "pairs.jsonl"}
  for block in BLOCKS:
    if block.language in texts:
      (tmp_path / texts[block.language]).write_text(block.text)
    if "def make(prior" in block.text:
      (tmp_path / "mine.py").write_text(block.text)
  monkeypatch.syspath_prepend(tmp_path)
  monkeypatch.chdir(tmp_path)
  return tmp_path


def run(name, words, tiny_prior):
  """A command line of the documents in this process, with a tiny prior."""
  extra = [f"--prior={tiny_prior}", "--compile_cache=", "--bucket=32", "--bands=2"]
  with flagsaver.flagsaver():
    if name == "launch":
      launch.parse(["launch.py", *words, *([] if any(word.startswith("--job=") for word in words) else extra)])
      return launch.main([])
    own = extra if words[0] == "fuse" else ["--compile_cache="] if words[0] == "align" else []
    return main.main([*words, *(extra[:3] if any("mine:" in word for word in words) else own)])


RUN = [param for param in of("sh") if not param.values[0].left_out]


@pytest.mark.slow
@pytest.mark.parametrize("block", RUN)
def test_commands_run(block, workspace, tiny_prior, quick_compile):
  for words in doc_blocks.commands(block):
    for name, rest in doc_blocks.programs(words):
      if name in ("launch", "dig2dig"):
        (workspace / "FUSED.png").unlink(missing_ok=True)
        (workspace / "fused.png").unlink(missing_ok=True)
        assert run(name, rest, tiny_prior) == 0, shlex.join(words)


@pytest.mark.slow
@pytest.mark.parametrize("block", [param for param in of("python") if not param.values[0].left_out])
def test_python_runs(block, workspace, monkeypatch):
  names = d2d.read_image("ir.png").pixels[:64, :64], d2d.read_image("vi.png").pixels[:64, :64]
  exec(compile(block.text, block.name, "exec"), dict(zip(("infrared", "visible"), names, strict=True)))


def scripts():
  """Those that the documents start by `python FILE.py` or `python -m MODULE`, as paths from the root."""
  text = "".join(page.read_text() for page in doc_blocks.PAGES)
  found = {name for name in re.findall(r"python ([\w/]+\.py)\b", text) if name != "launch.py"}
  for module in re.findall(r"python -m ((?:dig2dig_jax|convert|tests|examples)[\w.]*)", text):
    path = ROOT / module.replace(".", "/")
    found.add(str((path / "__main__.py" if path.is_dir() else path.with_suffix(".py")).relative_to(ROOT)))
  return sorted(found)


def test_scripts_that_are_named_parse_their_arguments():
  """So that --help prints a usage line and an unknown flag is refused, rather than taken for a folder."""
  found = [name for name in scripts() if name != "fuse.py"]  # a stand-in for a reader's own
  assert len(found) > 20
  for name in found:
    text = (ROOT / name).read_text()
    for module in re.findall(r"^from (dig2dig_jax[\w.]*) import main$", text, re.MULTILINE):
      text += (ROOT / f"{module.replace('.', '/')}.py").read_text()
    assert "ArgumentParser(" in text, name
