"""Do imports go one way, and does the package stand without torch? The rooms of the house and who may enter which."""

import ast
import functools
import importlib.util
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
# room -> rooms that its modules may import, beside their own. `errors` is one line that everybody may raise.
PURE = {"sampling", "models", "ops"}
FUSION = PURE | {"priors", "data", "alignment", "restoration", "guidance", "methods"}
TEXT = {"escape", "line_file", "record", "stores", "strict_json"}
# From what everybody may import, up. One arrow between any two rooms, and none back.
ALLOWED = {
  "errors": set(),
  "checks": set(),
  "assets": set(),
  "files": set(),
  "pages": set(),
  "strict_json": set(),
  "escape": set(),
  "record": {"escape"},
  "line_file": {"record", "strict_json"},
  "stores": set(),
  "ops": set(),
  "metrics": {"ops"},
  "models": {"ops"},
  "sampling": {"ops"},
  "data": {"ops", "stores"},
  "alignment": {"assets", "data", "models", "ops", "strict_json"},
  "priors": {"assets", "models", "ops", "sampling", "strict_json"},
  "porting": {"priors", "models", "sampling"},
  "restoration": {"priors", "data", "sampling", "ops"},
  "guidance": {"restoration", "sampling", "ops"},
  "methods": {"guidance", "restoration", "sampling", "ops"},
  "front": FUSION | {"assets"},
  "figures": {"escape", "data", "metrics"},
  "fusing": FUSION | TEXT | {"figures"},
  "volumes": FUSION | {"assets", "front", "fusing"},
  "video": FUSION | TEXT | {"assets", "front", "fusing", "metrics"},
  "evaluation": FUSION | TEXT | {"figures", "fusing", "metrics", "pages"},
  "benchmarks": FUSION | TEXT | {"assets", "figures", "front", "fusing", "metrics", "evaluation", "porting"},
  "training": FUSION | TEXT | {"figures", "evaluation"},
  "app": FUSION | {"assets", "figures", "front", "fusing", "metrics", "pages"},
  "cli": FUSION | {
    "app", "dig2dig_jax", "assets", "escape", "figures", "front", "strict_json", "fusing", "training", "evaluation",
    "benchmarks", "metrics", "porting", "stores", "video", "volumes",
  },  # fmt: skip
  "__main__": {"cli"},
  "convert": {"porting", "benchmarks"},
  "launch": {"cli"},
}


def module_name(path):
  parts = path.relative_to(ROOT).with_suffix("").parts
  return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {
  module_name(path): path
  for path in [ROOT / "launch.py", *ROOT.glob("dig2dig_jax/**/*.py"), *ROOT.glob("convert/**/*.py")]
}


@functools.cache
def imports(name, *, top_level=False):
  """Full names of the modules that a module imports; `from package import module` counts as package.module."""
  tree = ast.parse(MODULES[name].read_text())
  functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
  inside = {node for function in functions for node in ast.walk(function)}
  found = set()
  for node in ast.walk(tree):
    if top_level and node in inside:
      continue
    if isinstance(node, ast.Import):
      found |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, f"{name}: a relative import"
      whole = {f"{node.module}.{alias.name}" for alias in node.names}
      found |= {full if full in MODULES else node.module for full in whole}
  return found


def room(name):
  parts = name.split(".")
  return parts[1] if parts[0] == "dig2dig_jax" and len(parts) > 1 else parts[0]


def ours(names):
  return {name for name in names if name.split(".")[0] in ("dig2dig_jax", "convert", "launch")}


def test_the_walk_sees_the_house():
  assert {room(name) for name in MODULES} - {"dig2dig_jax"} == set(ALLOWED)
  reader = "dig2dig_jax.porting.torch_file"
  assert "torch" in imports(reader) - imports(reader, top_level=True)
  assert "dig2dig_jax.sampling.process" in imports("dig2dig_jax.guidance.gain", top_level=True)
  assert "dig2dig_jax.errors" in imports("dig2dig_jax.data.pairs")


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_go_one_way(name):
  here = room(name)
  if here == "dig2dig_jax":  # the package's own __init__ offers whatever it likes of the pure parts
    allowed = FUSION | {"assets", "errors", "front", "metrics", "video", "volumes"}
  else:
    common = set() if here in ("ops", "models", "metrics") else {"checks", "errors", "files"}
    allowed = ALLOWED[here] | {here} | common
  wrong = {other for other in ours(imports(name)) if room(other) not in allowed}
  assert not wrong, f"{name} ({here}) imports {sorted(wrong)}"


def test_methods_know_their_base_and_not_each_other():
  for name in MODULES:
    if room(name) == "methods" and name != "dig2dig_jax.methods.registry":
      shared = {f"dig2dig_jax.methods.{name}" for name in ("base", "codec", "option", "options", "assembly", "fuse")}
      assert {other for other in imports(name) if room(other) == "methods"} <= shared, name


def test_no_module_imports_itself_in_a_circle():
  graph = {name: ours(imports(name, top_level=True)) & set(MODULES) for name in MODULES}
  left = dict(graph)
  while ready := [name for name, needs in left.items() if not needs & set(left)]:
    for name in ready:
      del left[name]
  assert not left, f"modules in or above a circle: {sorted(left)}"


def test_only_the_launcher_reads_flags_and_only_converters_torch():
  with_torch = {name for name in MODULES if room(name) == "porting"} | {
    "dig2dig_jax.benchmarks.full_size", "dig2dig_jax.benchmarks.peer"
  }  # fmt: skip
  with_torch |= {name for name in MODULES if ".peers.drivers." in name}  # scripts that a peer's own Python runs
  for name in MODULES:
    roots = {other.split(".")[0] for other in imports(name)}
    assert ("absl" in roots) == (name in ("dig2dig_jax.cli.launcher", "dig2dig_jax.cli.declare")), f"{name} and absl"
    assert "torch" not in roots or name in with_torch, f"{name} imports torch"
    assert "torch" not in {other.split(".")[0] for other in imports(name, top_level=True)}, f"{name}: torch at the top"
    of_stores = {"array_record", "boto3", "fsspec", "pandas", "pyarrow", "ray", "s3fs", "upath"}
    at_the_top = {other.split(".")[0] for other in imports(name, top_level=True)}
    assert not of_stores & at_the_top, f"{name}: what a store or an engine needs, at the top"
    assert "matplotlib" not in {other.split(".")[0] for other in imports(name, top_level=True)}, f"{name}: matplotlib"


def test_every_module_imports_without_torch_and_initialises_no_device():
  extra = {"starlette", "uvicorn"}
  absent = {name for name in extra if importlib.util.find_spec(name) is None}
  names = sorted(name for name in MODULES if name != "launch"
                 and not absent & {other.split(".")[0] for one in (name, *ours(imports(name))) if one in MODULES
                                   for other in imports(one)})  # fmt: skip
  code = (
    "import importlib, sys\n"
    "class NoTorch:\n"
    "  def find_spec(self, name, path=None, target=None):\n"
    "    if name.split('.')[0] == 'torch': raise ImportError('no torch here')\n"
    "sys.meta_path.insert(0, NoTorch())\n"
    f"for name in {names}: importlib.import_module(name)\n"
    "from jax._src import xla_bridge\n"
    "assert not xla_bridge.backends_are_initialized(), 'a device was taken at import'\n"
  )
  found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
  assert found.returncode == 0, found.stderr
