"""Is LPIPS what its authors compute? Their values for a seeded backbone, and the same arithmetic in PyTorch."""

import json

import numpy as np
import pytest
from absl.testing import flagsaver
from conftest import golden_path
from scenes import read, write_pair

import launch
from dig2dig_jax import metrics
from dig2dig_jax.errors import UserError
from dig2dig_jax.evaluation import lpips as job
from dig2dig_jax.models import lpips
from dig2dig_jax.porting import lpips as converter
from dig2dig_jax.porting.torch_tree import ConversionError

SHAPES = ((64, 3, 11, 11), (192, 64, 5, 5), (384, 192, 3, 3), (256, 384, 3, 3), (256, 256, 3, 3))
NAMES = (0, 3, 6, 8, 10)


def alexnet(biases=False):
  """State dict of random weights, as the stored values were made with; the classifier is there to be passed over."""
  state = {"classifier.6.bias": np.zeros(1000, np.float32)}
  for number, (name, shape) in enumerate(zip(NAMES, SHAPES, strict=True)):
    random = np.random.default_rng(1000 + number)
    weight = random.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
    state[f"features.{name}.weight"] = weight.astype(np.float32)
    state[f"features.{name}.bias"] = (random.normal(size=shape[0]) * 0.1 * biases).astype(np.float32)
  return state


def heads():
  with np.load(golden_path("metrics/lpips_heads.npz")) as arrays:
    return {name: arrays[name] for name in arrays.files}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  place = tmp_path_factory.mktemp("lpips")
  converter.write(place, converter.convert(alexnet(), heads()), {"name": "seeded"})
  return place


@pytest.mark.parametrize("name", ["smooth", "odd_noise", "identical", "const_fused"])
def test_the_authors_values(folder, name, quick_compile):
  with np.load(golden_path("metrics/goldens.npz")) as arrays:
    a, b, fused = (arrays[f"{name}_{key}"].astype(np.float64) for key in "ABF")
  expected = json.loads(golden_path("metrics/goldens.json").read_text())["golden"][name]["LPIPS_seeded_backbone"]
  score = job.load(folder)
  for source, key in ((a, "A"), (b, "B")):
    wanted = float(expected[f"lpips:lpips_seeded(F,{key}) f64"])
    np.testing.assert_allclose(score([source, source], fused), wanted, rtol=2e-5, atol=1e-8)
  both = (float(expected["lpips:lpips_seeded(F,A) f64"]) + float(expected["lpips:lpips_seeded(F,B) f64"])) / 2
  np.testing.assert_allclose(score([a, b], fused), both, rtol=2e-5, atol=1e-8)


def test_colour_images_and_biases_as_in_pytorch(quick_compile):
  torch = pytest.importorskip("torch")
  state, head = alexnet(biases=True), heads()
  a, b = np.random.default_rng(5).uniform(-1, 1, (2, 1, 45, 60, 3)).astype(np.float32)

  def features(x):
    x = torch.from_numpy(x.transpose(0, 3, 1, 2))
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    x = (x - shift.view(1, 3, 1, 1)) / scale.view(1, 3, 1, 1)
    for name, stride, padding in zip(NAMES, (4, 1, 1, 1, 1), (2, 2, 1, 1, 1), strict=True):
      if name in (3, 6):
        x = torch.nn.functional.max_pool2d(x, 3, 2)
      weight, bias = (torch.from_numpy(state[f"features.{name}.{leaf}"]) for leaf in ("weight", "bias"))
      x = torch.relu(torch.nn.functional.conv2d(x, weight, bias, stride, padding))
      yield x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10)

  expected = sum(
    float(((x - y) ** 2 * torch.from_numpy(head[f"lin{i}.model.1.weight"])).sum(1).mean())
    for i, (x, y) in enumerate(zip(features(a), features(b), strict=True))
  )
  flat = converter.convert(state, head)
  params = {"alex": {}, "heads": {path[6:]: leaf for path, leaf in flat.items() if path.startswith("heads/")}}
  for path, leaf in flat.items():
    if path.startswith("alex/"):
      _, layer, kind = path.split("/")
      params["alex"].setdefault(layer, {})[kind] = leaf
  np.testing.assert_allclose(lpips.distance(params, a, b), [expected], rtol=2e-5)


@pytest.mark.parametrize("command, table, row", [
  pytest.param(("evaluate", "--fused={root}/fused"), "out/scores.csv", "fused,a,", id="evaluate"),
  pytest.param(("report", "--fused={root}/fused"), "out/scores.csv", "fused,a,", id="report", marks=pytest.mark.slow),
  pytest.param(("benchmark", "--rows=Dig2DIG", "--prior={prior}", "--table=methods", "--dig_window=spectrum",
                "--steps=0", "--bands=2", "--bucket=32"), "out/methods/scores.csv", "average,a,", id="benchmark",
               marks=pytest.mark.slow),
])  # fmt: skip
def test_every_job_that_takes_the_weights_fills_the_column(
  folder, tiny_prior, tmp_path, quick_compile, monkeypatch, command, table, row
):
  monkeypatch.setitem(metrics.PROTOCOLS, "common", ("EN",))
  write_pair(tmp_path / "data", "a", (34, 40), channels={"ir": 1, "vi": 1})
  sources = [read(tmp_path / "data" / source / "a.png").astype(np.float64) for source in ("ir", "vi")]
  write_pair(tmp_path, "a", (34, 40), channels={"fused": 1})
  average = metrics.BASELINES["average"](sources)
  wanted = job.load(folder)(sources, read(tmp_path / "fused" / "a.png") if row.startswith("fused") else average)
  name, *arguments = (word.format(root=tmp_path, prior=tiny_prior) for word in command)
  common = [f"--data={tmp_path / 'data'}", f"--lpips={folder}", f"--out={tmp_path / 'out'}", "--compile_cache="]
  with flagsaver.flagsaver():
    assert launch.main(launch.parse(["launch.py", f"--job={name}", "--protocol=common", *common, *arguments])) == 0
  header, *lines = (tmp_path / table).read_text().splitlines()
  (found,) = (line for line in lines if line.startswith(row))
  value = dict(zip(header.split(","), found.split(","), strict=True))["LPIPS"]
  assert wanted > 0.001 and float(value) == pytest.approx(wanted, rel=1e-4)


def test_images_too_small_are_undefined(folder):
  small = np.zeros((30, 60))
  assert np.isnan(job.load(folder)([small, small], small))


def test_weights_that_are_none_are_refused(folder, tmp_path):
  with pytest.raises(UserError, match="expected lpips.safetensors and card.json, .*make it with dig2dig convert"):
    job.load(tmp_path)
  for name in ("lpips.safetensors", "card.json"):
    (tmp_path / name).write_bytes((folder / name).read_bytes())
  damaged = bytearray((tmp_path / "lpips.safetensors").read_bytes())
  damaged[-1] ^= 1
  (tmp_path / "lpips.safetensors").write_bytes(damaged)
  with pytest.raises(UserError, match="expected the hash .* of its card"):
    job.load(tmp_path)


def test_other_tensors_are_refused():
  state = alexnet()
  with pytest.raises(ConversionError, match="AlexNet: .*1 missing .*features_8"):
    converter.convert({name: tensor for name, tensor in state.items() if name != "features.8.bias"}, heads())
  with pytest.raises(ConversionError, match="heads: expected"):
    converter.convert(state, {"lin0.model.1.weight": np.ones((1, 64, 1, 1))})
  negative = heads()
  negative["lin1.model.1.weight"] = negative["lin1.model.1.weight"] - 1
  with pytest.raises(ConversionError, match="expected weights of at least 0"):
    converter.convert(state, negative)


def test_the_command_converts_files(tmp_path, capsys):
  torch = pytest.importorskip("torch")
  torch.save({name: torch.from_numpy(tensor) for name, tensor in alexnet().items()}, tmp_path / "alexnet.pth")
  torch.save({name: torch.from_numpy(tensor) for name, tensor in heads().items()}, tmp_path / "heads.pth")
  arguments = [f"--{name}={tmp_path / name}.pth" for name in ("alexnet", "heads")] + [f"--out={tmp_path / 'out'}"]
  assert converter.main(arguments) == 0 and capsys.readouterr().out == f"{tmp_path / 'out'}\n"
  image = np.zeros((40, 40))
  assert job.load(tmp_path / "out")([image, image], image) == pytest.approx(0, abs=1e-9)
  assert converter.main([arguments[0], f"--heads={tmp_path / 'none.pth'}"]) == 2
  assert "none.pth: expected a PyTorch checkpoint, found no file" in capsys.readouterr().err
