"""Does the documentation site hold every page, load nothing from elsewhere, and do its notebooks run?"""

import ast
import importlib
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
LARGEST = 200_000  # bytes of one output
SECONDS = 120  # a notebook may take on a CPU that does nothing else


def pages(nav):
  """Files of a navigation, as deep as it is."""
  if isinstance(nav, str):
    return [nav]
  members = nav.values() if isinstance(nav, dict) else nav
  return [page for member in members for page in pages(member)]


def test_every_page_is_in_the_navigation_once():
  config = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
  found = pages(config["nav"])
  assert len(found) == len({*found})
  own = {path.name for path in ROOT.glob("docs/*.md")} | {f"notebooks/{path.stem}.md" for path in NOTEBOOKS}
  assert own <= {*found}
  elsewhere = {page.partition("/")[0] for page in {*found} - own}
  assert elsewhere == {"changelog.md", "contributing.md", "priors", "reference"}  # made by docs/hooks/site.py
  assert config["theme"]["font"] is False and config["hooks"] == ["docs/hooks/site.py"]


def cells(path):
  return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_whole_and_small_and_name_what_there_is(path):
  nbformat = pytest.importorskip("nbformat")
  nbformat.validate(nbformat.read(path, 4))
  assert cells(path)
  for cell in cells(path):
    assert all(len(json.dumps(output)) < LARGEST for output in cell["outputs"])
    assert not [output for output in cell["outputs"] if output["output_type"] == "error"]
    for node in ast.walk(ast.parse("".join(cell["source"]))):
      if isinstance(node, ast.ImportFrom):
        module = importlib.import_module(node.module)
        assert all(hasattr(module, alias.name) for alias in node.names)
      elif isinstance(node, ast.Import):
        assert all(importlib.util.find_spec(alias.name) for alias in node.names)
      elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "d2d":
        assert hasattr(importlib.import_module("dig2dig_jax"), node.attr), node.attr


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(path, monkeypatch):
  nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
  pytest.importorskip("ipykernel")
  monkeypatch.setenv("PYTHONPATH", str(ROOT))
  book = nbformat.read(path, 4)
  before = os.times()
  # Twice the seconds by the clock, for tests share the cores; what a notebook may take is counted in seconds of a CPU.
  nbclient.NotebookClient(book, timeout=2 * SECONDS, kernel_name="python3").execute()
  after = os.times()
  assert after.children_user + after.children_system - before.children_user - before.children_system < SECONDS


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_asks_no_other_host(tmp_path):
  pytest.importorskip("mkdocs")
  pytest.importorskip("mkdocstrings")
  command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
  env = os.environ | {"PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"}
  built = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=600)
  assert built.returncode == 0, built.stderr
  for path in (tmp_path / "site").rglob("*.html"):
    text = path.read_text()
    for tag in re.findall(r"<(?:script|link|img|iframe)\b[^>]*>", text):
      assert not re.search(r'(?:src|href)="(?:https?:)?//', tag), f"{path.name}: {tag}"
  assert "interval_dig" in (tmp_path / "site" / "reference" / "guidance.html").read_text()
