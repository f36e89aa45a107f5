"""Is a checkpoint that lies refused in one line that names the file, at once and before anything is made room for?"""

import json
import math
import resource
import struct
import time

import numpy as np
import pytest
from conftest import TINY

from dig2dig_jax.errors import UserError
from dig2dig_jax.models.config import UNetConfig
from dig2dig_jax.models.drfusion_unet import DrFusionConfig
from dig2dig_jax.models.shapes import config_from_dict, least_parameters, parameter_shapes
from dig2dig_jax.priors import card, checkpoint, orbax_store, prior, tensor_file

SCHEDULE = {"name": "linear", "num_timesteps": 1000}
DRFUSION = DrFusionConfig(width=8, groups=4)


def saved(folder, config=TINY, schedule=SCHEDULE, **options):
  rng = np.random.default_rng(0)
  flat = {path: rng.normal(size=shape).astype(np.float32) for path, shape in parameter_shapes(config).items()}
  checkpoint.save_checkpoint(folder, params=flat, config=config, schedule=schedule, card={}, **options)
  return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  return saved(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def folder(whole, tmp_path):
  for path in whole.iterdir():
    (tmp_path / path.name).write_bytes(path.read_bytes())
  return tmp_path


def refused(folder, words="expected", *, load=checkpoint.load_checkpoint, seconds=2):
  """The one line that `load` refuses with, at once and in a few megabytes."""
  # Of the processor, which the machine's other work does not lengthen; the largest that the process ever was.
  start, most = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  with pytest.raises(UserError, match=words) as caught:
    load(folder)
  took, grown = time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - most
  line = str(caught.value)
  assert "\n" not in line and line.startswith(str(folder)) and len(line) < 1000, line
  assert took < seconds and grown < 2**18, (took, grown)  # 256 MB, in kilobytes
  return line


def fields(folder):
  found = json.loads((folder / "card.json").read_text())
  found.pop("description_sha256", None)
  return found


def rewrite(folder, values):
  (folder / "card.json").write_text(values if isinstance(values, str) else json.dumps(values))


@pytest.mark.parametrize(
  ("content", "words"),
  [
    (b"[" * 200_000, "nested too deeply"),
    (b'{"format": ' + b'{"a":' * 100_000, "nested too deeply"),
    (b"\xff\xfe{}", "not UTF-8 at 0"),
    (b"\x00" * 2**21, "more than 1048576 bytes"),
    (b"", "expected JSON"),
    (b'"text"', "expected a JSON object, found a str"),
    (b'{"format": ' + b"1" * 5000 + b"}", "a number of 5000 digits"),
    (b'{"format": 1, "format": 2}', "a name twice in one object"),
  ],
  ids=lambda value: None if isinstance(value, str) else repr(value[:12]),
)
def test_text_that_is_no_card(folder, content, words):
  (folder / "card.json").write_bytes(content)
  assert f"{folder}/card.json" in refused(folder, words)


NO_NUMBERS = [
  float("nan"), float("inf"), -1, -(2**70), 2**70, 10**99, 1.5, 1e300, True, "8", "1" * 5000, None, [], {}, [[]]
]  # fmt: skip
RIGHT = {  # of these
  "num_head_channels": -1, "num_classes": None, "attention_ds": [], "pool": None, "resblock_updown": True
}  # fmt: skip


@pytest.mark.parametrize(
  "name", ["image_size", "model_channels", "out_channels", "num_res_blocks", "in_channels", "num_heads", "patch",
           "norm_groups", "num_head_channels", "num_classes", "attention_ds", "channel_mult", "dropout", "pool",
           "resblock_updown"]
)  # fmt: skip
def test_values_of_a_network_that_are_none(folder, name):
  values = fields(folder)
  for wrong in NO_NUMBERS:
    if name in RIGHT and wrong == RIGHT[name] and type(wrong) is type(RIGHT[name]):
      continue
    rewrite(folder, values | {"config": values["config"] | {name: wrong}})
    assert f"card.json: expected a checkpoint's card, found {name}: expected" in refused(folder)


@pytest.mark.parametrize(
  ("changes", "words"),
  [
    ({"num_res_blocks": 3000}, "num_res_blocks: expected a whole number from 0 to 100, found 3000"),
    ({"num_res_blocks": 90}, "expected at most 100 residual blocks, found 364"),
    ({"num_res_blocks": 20}, "at least 840 of 122688 numbers, found 120 of"),  # before its shapes are worked out
    ({"channel_mult": [1] * 11}, "channel_mult: expected 1 to 10 times"),
    ({"model_channels": 8192, "channel_mult": [64, 64]}, "model.safetensors: expected the network's tensors, at"),
    ({"model_channels": 8192, "image_size": 8192}, "model.safetensors: expected the network's tensors, at"),
    ({"norm_groups": 3}, "is not a multiple of norm_groups"),
    ({"num_heads": 7, "middle_attention": True}, "model.safetensors: expected"),
    ({"depth\n" * 50: 1}, "unknown network fields 'depth"),
    ({"network": "drfusion"}, "unknown network fields"),
    ({"network": ["drfusion"]}, "unknown network fields 'network'"),
    ({"pool": "attention", "num_head_channels": 4096}, "expected"),
  ],
  ids=lambda value: str(value)[:30],
)
def test_networks_out_of_proportion(folder, changes, words):
  values = fields(folder)
  rewrite(folder, values | {"config": values["config"] | changes})
  refused(folder, words)


def test_a_network_is_not_looked_at_that_the_file_cannot_hold(folder, monkeypatch):
  monkeypatch.setattr(checkpoint, "parameter_shapes", lambda config: pytest.fail("worked out the shapes"))
  values = fields(folder)
  rewrite(folder, values | {"config": values["config"] | {"num_res_blocks": 20}})
  refused(folder, "expected the network's tensors")


@pytest.mark.parametrize(
  ("changes", "words"),
  [
    ({"format": True}, "expected format 1, found True"),
    ({"format": 1.0}, "expected format 1, found 1.0"),
    ({"format": "9" * 10_000}, "expected format 1"),
    ({"dtype": "int4"}, "dtype: expected one of float32, bfloat16, float16, found 'int4'"),
    ({"dtype": ["float32"]}, "dtype: expected one of"),
    ({"parameters": "many"}, "parameters: expected a whole number"),
    ({"parameters": -1}, "parameters: expected a whole number"),
    ({"sha256": 10**90}, "sha256: expected 64 hexadecimal digits"),
    ({"sha256": [[[[[[]]]]]]}, "sha256: expected 64 hexadecimal digits"),
    ({"description_sha256": 0}, "description_sha256: expected 64 hexadecimal digits"),
    ({"config": []}, "expected fields by name"),
    ({"schedule": "linear"}, "schedule: expected fields by name, found 'linear'"),
    ({"schedule": [["name", "linear"], ["num_timesteps", 1000]]}, "schedule: expected fields by name"),
    ({"schedule": {"name": "linear"}}, "found no 'num_timesteps'"),
    ({"schedule": SCHEDULE | {"beta": 1}}, "unknown schedule fields 'beta'"),
    ({"schedule": SCHEDULE | {"name": "li\nnear"}}, "name: expected the name of a schedule"),
    *(({"schedule": SCHEDULE | {"num_timesteps": wrong}}, "num_timesteps: expected a whole number from 1 to 100000")
      for wrong in (10**12, 0, -5, True, 1000.0, "1000", None, float("nan"))),
  ],
  ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_the_rest_of_a_card(folder, changes, words):
  rewrite(folder, fields(folder) | changes)
  assert "card.json" in refused(folder, words)


@pytest.mark.parametrize(
  ("schedule", "words"),
  [
    ({"name": "sigmoid", "num_timesteps": 1000}, "noise schedule: expected linear, cosine, flow, edm, found 'sigmoid'"),
    ({"name": "linear", "num_timesteps": 20}, "expected more than 20 timesteps, found 20"),
  ],
)
def test_a_schedule_that_no_run_can_follow(folder, schedule, words):
  rewrite(folder, fields(folder) | {"schedule": schedule})
  refused(folder, words, load=prior.load_prior)


def test_drfusion_s_card(tmp_path):
  saved(tmp_path, DRFUSION, {"name": "learned", "num_timesteps": 3})
  values = fields(tmp_path)
  for changes, words in (
    ({"width": 4096}, "model.safetensors: expected the network's tensors, at least 300 of"),
    ({"width": 2**40}, "card.json: .*width: expected a whole number from 8 to 4096"),
    ({"width": 64.0}, "width: expected a whole number"),
    ({"steps": 10**12}, "steps: expected a whole number from 1 to 10000"),
    ({"steps": True}, "steps: expected a whole number"),
    ({"groups": 0}, "groups: expected a whole number"),
    ({"dropout": float("nan")}, "dropout: expected a number"),
    ({"depth": 1}, "unknown network fields 'depth'"),
    ({"steps": 4}, r"1 mis-shaped \(alpha\)"),
  ):
    rewrite(tmp_path, values | {"config": values["config"] | changes})
    # The last asks for a network that could be: its shapes are worked out, which is a trace of all its layers.
    refused(tmp_path, words, load=prior.load_drfusion, seconds=10 if "alpha" in words else 2)
  rewrite(tmp_path, values | {"schedule": {"name": "learned", "num_timesteps": 1000}})
  refused(tmp_path, "a schedule of the network's 3 steps, found 1000", load=prior.load_drfusion)


def header(**entries):
  text = json.dumps(entries).encode()
  return struct.pack("<Q", len(text)) + text


def tensor(dtype="F32", shape=(1,), data_offsets=(0, 4)):
  return {"dtype": dtype, "shape": shape, "data_offsets": data_offsets}


FOUR = b"\0" * 4


@pytest.mark.parametrize(
  ("content", "words"),
  [
    (b"", "a file of 0 bytes"),
    (b"\xff" * 8, "a header of 18446744073709551615 bytes in a file of 8"),
    (struct.pack("<Q", 2**63) + b"{}", "a header of 9223372036854775808 bytes"),
    (struct.pack("<Q", 2**23) + b" " * 2**23, "a header of 8388608 bytes"),
    (struct.pack("<Q", 4) + b'{"\xff"', "not UTF-8"),
    (struct.pack("<Q", 200_000) + b"[" * 200_000, "nested too deeply"),
    (struct.pack("<Q", 2) + b"[]", "a header that is a list"),
    (header(a=tensor("F64")) + FOUR, "a dtype of 'a' that is not among F32, F16, BF16"),
    (header(a=tensor("I32")) + FOUR, "a dtype of 'a'"),
    (header(a=tensor(["F32"])) + FOUR, "a dtype of 'a'"),
    (header(a=tensor(shape=[-1])) + FOUR, "a shape of 'a'"),
    (header(a=tensor(shape=[True])) + FOUR, "a shape of 'a'"),
    (header(a=tensor(shape=[1.0])) + FOUR, "a shape of 'a'"),
    (header(a=tensor(shape=[1] * 9)) + FOUR, "a shape of 'a'"),
    (header(a=tensor(shape=[2**40, 2**40])) + FOUR, "data_offsets of 'a' that are not those of its shape"),
    (header(a=tensor(shape=[2**63, 2, 2**62])) + FOUR, "data_offsets of 'a' that are not those of its shape"),
    (header(a=tensor(data_offsets=[0, 4, 8])) + FOUR, "a data_offsets of 'a'"),
    (header(a=tensor(data_offsets=[False, 4])) + FOUR, "a data_offsets of 'a'"),
    (header(a=tensor(data_offsets=[4, 8])) + FOUR, "bytes of 'a' that begin at 4 and not at 0"),
    (header(a=tensor(), b=tensor()) + FOUR, "bytes of 'b' that begin at 0 and not at 4"),
    (header(a=tensor()) + FOUR * 2, "4 bytes of tensors in the header, 8 in the file"),
    (header(a=tensor()), "4 bytes of tensors in the header, 0 in the file"),
    (header(a=3), "no dtype, shape and data_offsets of 'a'"),
    (struct.pack("<Q", 16) + b'{"a": 1, "a": 2}', "a name twice"),
  ],
  ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_headers_of_tensors(folder, content, words):
  (folder / "model.safetensors").write_bytes(content)
  rewrite(folder, fields(folder) | {"sha256": tensor_file.sha256(folder / "model.safetensors")})
  assert "model.safetensors: expected a safetensors file, found" in refused(folder, words)


def test_names_of_tensors_are_shown_in_one_line(folder):
  path = folder / "model.safetensors"
  content = {"new\nline" * 1000 + str(i): np.zeros(1000, np.float32) for i in range(400)}
  digest = tensor_file.write(path, {name: (1000,) for name in content}, content.__getitem__, dtype="float32")
  rewrite(folder, fields(folder) | {"sha256": digest})
  refused(folder, "400 unexpected")


def test_an_orbax_store_out_of_proportion(tmp_path):
  saved(tmp_path, formats="orbax")
  values = fields(tmp_path)
  for changes, words in (
    ({"model_channels": 8192}, "orbax: expected the network's tensors, at least"),
    ({"in_channels": 4}, r"orbax: expected the .* tensors of the network, found 1 mis-shaped \(input_blocks_0_0"),
  ):
    rewrite(tmp_path, values | {"config": values["config"] | changes})
    refused(tmp_path, words)
  rewrite(tmp_path, values | {"dtype": "float99"})
  refused(tmp_path, "card.json: .*dtype: expected one of")
  # Zeros that are not there, or packed, may stand for any number of bytes.
  zeros = {"a": np.zeros((1000, 1000), np.float32)}
  digest = orbax_store.save(tmp_path / "orbax", zeros, dtype="float32")
  rewrite(tmp_path, values | {"orbax_sha256": digest})
  refused(tmp_path, r"orbax: expected an orbax checkpoint, found 1000000 numbers in \d+ bytes")


def test_memory_and_depth_that_run_out_are_told(folder):
  for error, words in ((MemoryError(), "more than there is memory for"), (RecursionError(), "nested too deeply")):
    def place(path, array, error=error):
      raise error

    refused(folder, words, load=lambda folder, place=place: checkpoint.load_checkpoint(folder, place=place))


def test_released_networks_keep_within_the_bounds():
  from dig2dig_jax.models.official import OFFICIAL

  for name, official in OFFICIAL.items():
    assert config_from_dict(json.loads(json.dumps(official.config.to_dict()))) == official.config
    if name in ("64x64_classifier", "64x64_diffusion", "256x256_diffusion_uncond"):
      shapes = parameter_shapes(official.config)
      tensors, numbers = least_parameters(official.config)
      assert tensors <= len(shapes) and numbers <= sum(map(math.prod, shapes.values()))
  assert isinstance(OFFICIAL["lsun_cat"].config, UNetConfig) and card.MOST_TIMESTEPS >= 1000
