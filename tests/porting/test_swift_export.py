"""Do the files of `dig2dig export` give what the package does, and at once, where the package is not?"""

import resource
import subprocess
import sys

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dig2dig_jax.assets import EMBEDDED
from dig2dig_jax.cli import main
from dig2dig_jax.data.images import read_image
from dig2dig_jax.front.preset import preset
from dig2dig_jax.methods.codec import luminance_codec
from dig2dig_jax.methods.registry import make_method
from dig2dig_jax.methods.sequence import without_restoring
from dig2dig_jax.models.swift import SwiftConfig
from dig2dig_jax.priors import checkpoint, swift
from dig2dig_jax.priors.prior import load_prior
from dig2dig_jax.restoration.noise_level import Noise
from dig2dig_jax.video import steady
from dig2dig_jax.video.program import program

onnx = pytest.importorskip("onnx", reason="no onnx: pip install dig2dig_jax[export]")
pytest.importorskip("onnxruntime", reason="no onnxruntime: pip install dig2dig_jax[export]")
pytestmark = pytest.mark.usefixtures("quick_compile")

ALONE = """
import numpy, onnxruntime, sys
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
network = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
image = numpy.load(sys.argv[2])
clean, = network.run(None, {"image": image, "deviation": numpy.float32([0.08])})
numpy.save(sys.argv[3], clean)
assert not {"jax", "flax", "dig2dig_jax"} & set(sys.modules)
"""


@pytest.fixture(scope="module")
def network():
  loaded = checkpoint.load_checkpoint(swift.SWIFT)
  assert isinstance(loaded.config, SwiftConfig)
  return loaded


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  out = tmp_path_factory.mktemp("export")
  assert main.main(["export", "-o", str(out)]) == 0
  return out


@pytest.mark.parametrize("kind", ["gray", "colour"])
def test_files_agree_with_the_package(folder, network, kind, tmp_path):
  rng = np.random.default_rng(0)
  gray = kind == "gray"
  image = np.clip(rng.normal(0, 0.4, (1, 32, 48, 1 if gray else 3)), -1, 1).astype(np.float32)
  level = jnp.float32(0.08 if gray else 0.08 / np.sqrt(3))
  three = jnp.broadcast_to(image[0], (32, 48, 3))
  run = jax.jit(lambda image, level: swift.estimate(network.config, network.params, image, level, gray=gray))
  expected = np.asarray(run(three, level))[None, ..., : image.shape[-1]]
  assert np.abs(expected - image).max() > 0.05  # it does something
  np.save(tmp_path / "image.npy", image)
  before = resource.getrusage(resource.RUSAGE_CHILDREN)
  command = [sys.executable, "-c", ALONE, folder / f"swift_{kind}.onnx", tmp_path / "image.npy", tmp_path / "out.npy"]
  subprocess.run(list(map(str, command)), check=True, cwd=tmp_path)
  after = resource.getrusage(resource.RUSAGE_CHILDREN)
  # Of the processor's time: how long others keep a machine busy says nothing of these files.
  assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0
  np.testing.assert_allclose(np.clip(np.load(tmp_path / "out.npy"), -1, 1), expected, atol=1e-4)
  kept = jax.export.deserialize(bytearray((folder / f"swift_{kind}.jax").read_bytes()))
  np.testing.assert_allclose(kept.call(image, np.float32([0.08])), expected, atol=1e-4)
  larger = np.zeros((1, 48, 16, image.shape[-1]), np.float32)
  assert kept.call(larger, np.float32([0.08])).shape == larger.shape  # sizes are left open


@pytest.mark.slow
def test_files_agree_with_the_package_on_twenty_pairs(folder, network, shared_data):
  """Infrared and visible photographs with noise, at levels over the whole of what was learned."""
  onnxruntime = pytest.importorskip("onnxruntime")
  names = [path.stem for path in sorted((shared_data / "vif/roadscene/ir").iterdir())[:20]]
  assert len(names) == 20
  for gray, kind in ((True, "gray"), (False, "colour")):
    session = onnxruntime.InferenceSession(folder / f"swift_{kind}.onnx", providers=["CPUExecutionProvider"])
    kept = jax.jit(jax.export.deserialize(bytearray((folder / f"swift_{kind}.jax").read_bytes())).call)
    run = jax.jit(lambda image, level, gray=gray: swift.estimate(
      network.config, network.params, image, level, gray=gray))  # fmt: skip
    for number, name in enumerate(names):
      path = next((shared_data / "vif/roadscene" / ("ir" if gray else "vi")).glob(f"{name}.*"))
      clean = read_image(path).pixels[:192, :192, : 1 if gray else 3]
      deviation = np.float32(np.geomspace(2, 75, 20)[number] / 127.5)
      noisy = clean + deviation * np.random.default_rng(number).standard_normal(clean.shape, np.float32)
      image = np.float32(np.clip(noisy, -1, 1))[None]
      level = jnp.float32(deviation if gray else deviation / np.sqrt(3))
      three = jnp.broadcast_to(image[0], (*image.shape[1:3], 3))
      expected = np.asarray(run(three, level))[None, ..., : image.shape[-1]]
      (found,) = session.run(None, {"image": image, "deviation": deviation[None]})
      np.testing.assert_allclose(np.clip(found, -1, 1), expected, atol=1e-4, err_msg=name)
      np.testing.assert_allclose(kept(image, deviation[None]), expected, atol=1e-4, err_msg=name)


@pytest.mark.slow
def test_a_kept_frame_program_is_the_package_s(tmp_path):
  """Of a noisy frame in colour and a thermal one: what `dig2dig video` makes of a first frame."""
  assert main.main(["export", "-o", str(tmp_path), "--size=96x64"]) == 0
  kept = jax.export.deserialize(bytearray((tmp_path / "fused_96x64.jax").read_bytes()))
  rng = np.random.default_rng(1)
  smooth = [cv2.GaussianBlur(rng.uniform(0, 255, (64, 96, channels)), (0, 0), 4) for channels in (1, 3)]
  frames = [np.uint8(np.clip(8 * (x.reshape(64, 96, -1) - 127) + 127 + rng.normal(0, 15, (64, 96, 1)), 0, 255))
            for x in smooth]  # fmt: skip
  prior, options = swift.with_swift(load_prior(EMBEDDED)), without_restoring(preset("thermal").options)
  method, found = make_method(prior, luminance_codec(1), options=options), {}
  for level in (0.0, 15 / 127.5):
    deviation = np.float32([level, level])
    noise = Noise(deviation, np.zeros(2, np.float32), deviation**2)
    run = program(method, options, prior.noise, noise=noise, gray=(True, False), seed=0)
    state = steady.start(2, (64, 96), options.bands)
    expected, _ = run(prior.params, frames, state)
    found[level] = np.asarray(kept.call(*frames, deviation), np.int32)
    assert np.abs(found[level] - np.asarray(expected.image, np.int32)).max() <= 1
  assert found[0.0].std() > 1.01 * found[15 / 127.5].std()  # noise is removed where it is told


def test_what_cannot_be_is_said_in_a_line(capsys, tmp_path):
  wrong = (["--size=640"], "expected WIDTHxHEIGHT"), (["--colour=1"], "found --colour=1"), ([], "-o FOLDER")
  for words, expected in wrong:
    out = ["-o", str(tmp_path / "x")] if words else []
    assert main.main(["export", *out, *words]) == 2
    assert expected in capsys.readouterr().err
