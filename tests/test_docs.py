"""Do the examples of the documents run?"""

import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import toys
from absl import flags

from dig2dig_jax import metrics
from dig2dig_jax.cli import flags as _defined  # noqa: F401
from dig2dig_jax.sampling.types import Prediction

ROOT = pathlib.Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"


def code(name):
  return "\n".join(re.findall(r"```python\n(.*?)```", (DOCS / name).read_text(), re.DOTALL))


def test_the_condition_of_the_document_guides(quick_compile):
  names: dict = {}
  exec(code("conditions.md"), names)
  guide, step = names["guidance"], toys.row(toys.run_steps(5), 0)
  sources, x0 = toys.images(0, 2, 8, 10, 3), toys.images(1, 8, 10, 3)

  @jax.jit
  def run(x0, sources):
    weights = jnp.full((2, 8, 10, 1), 0.5)
    return guide.update(Prediction(x0, x0), guide.init(sources), sources, step=step, weights=weights)

  found, state = run(x0, sources)
  assert np.abs(found.x0 - x0).max() > 0.01 and state.selected.sum() == 2


def test_the_example_of_the_converter_names_what_there_is():
  for name in re.findall(r"^from (\S+) import (.+)$", code("converter.md"), re.MULTILINE):
    module = __import__(name[0], fromlist=["_"])
    for member in name[1].split(", "):
      assert hasattr(module, member), f"{name[0]}.{member}"


def test_the_evaluation_document_and_the_readme_name_flags_protocols_and_files_that_exist():
  text = (DOCS / "evaluation.md").read_text()
  own = "\n".join(re.findall(r"^dig2dig .*$", (DOCS / "formats.md").read_text(), re.MULTILINE))
  assert "--temperatures" in own and {"fuse", "task"} >= {*re.findall(r"dig2dig (\w+)", own)}
  commands = re.findall(r"launch\.py[^`\n]*", text + (DOCS.parent / "README.md").read_text())
  known = {*flags.FLAGS, "flagfile", "help", "task"}
  for name in re.findall(r"--(?:no)?([a-z_]+)", "\n".join([*commands, own])):
    assert name in known or f"no{name}" in known, name
  for name in re.findall(r"^\| `(\w+)`", text, re.MULTILINE):
    assert name in metrics.PROTOCOLS, name
  assert f"{len(metrics.METRICS)} measures" in (DOCS.parent / "README.md").read_text()
  for name in re.findall(r"`(table\w+?)(?:\.flags)?`", text):
    assert (DOCS.parent / "presets" / f"{name}.flags").exists(), name


def test_every_document_that_is_named_is_there():
  folders = ("dig2dig_jax", "convert", "tests", "docs", "presets", "checkpoints")
  files = [*ROOT.glob("*.*"), *(path for folder in folders for path in (ROOT / folder).rglob("*"))]
  for path in (path for path in files if path.suffix in (".py", ".md", ".flags", ".toml", ".json")):
    for name in re.findall(r"[\w/]*\b[A-Z]+\.md\b|\bdocs/\w+\.md\b", path.read_text()):
      assert (ROOT / name).is_file() or (path.parent / name).is_file(), f"{path}: {name}"
