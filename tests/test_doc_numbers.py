"""Are the numbers of the documents that can be counted in no time what they are counted to be?"""

import json
import pathlib
import re
import tomllib

import pytest

import dig2dig_jax.metrics

ROOT = pathlib.Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def parameters(folder):
  """Of a safetensors file, by its header."""
  total = 0
  for path in (ROOT / "checkpoints" / folder).glob("*.safetensors"):
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    for name, entry in header.items():
      if name != "__metadata__":
        size = 1
        for side in entry["shape"]:
          size *= side
        total += size
  return total


@pytest.mark.parametrize("folder", ["embedded", "drfusion", "swift"])
def test_parameters_of_the_priors(folder):
  (told,) = re.findall(rf"^\| `checkpoints/{folder}` \| ([\d.]+) M", README, re.MULTILINE)
  assert f"{parameters(folder) / 1e6:.1f}" == told


def test_the_readme_is_one_page_and_the_version_is_one():
  assert len(README.splitlines()) < 180
  project = tomllib.loads((ROOT / "pyproject.toml").read_text())
  assert "version" in project["project"]["dynamic"]  # read from the package
  assert f"\nversion: {dig2dig_jax.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_measures_are_as_many_as_the_readme_says():
  assert f"scores by {len(dig2dig_jax.metrics.METRICS)} measures" in README


def test_links_lead_to_files_of_the_repository():
  for page in [page for where in ("", "docs/", "examples/", "checkpoints/*/") for page in ROOT.glob(f"{where}*.md")]:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
      assert target.startswith("https://") or (page.parent / target).exists(), f"{page.name}: {target}"


def test_named_presets_and_modules_exist():
  for page in [ROOT / "README.md", *ROOT.glob("docs/*.md")]:
    text = page.read_text()
    for name in re.findall(r"--flagfile=([\w./]+\.flags)", text):
      assert (ROOT / name).is_file(), f"{page.name}: {name}"
    for name in re.findall(r"`((?:benchmarks|guidance|restoration|methods|sampling|data|models)/\w+\.py)`", text):
      assert (ROOT / "dig2dig_jax" / name).is_file(), f"{page.name}: {name}"
