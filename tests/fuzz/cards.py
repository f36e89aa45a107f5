"""Does a checkpoint folder that was tampered with load, or is it refused in one line that names the file? Nothing else.

Each case is one folder with one to three changes: values of the card's JSON by type, its structure, its bytes, the
header of the tensors, its length, the tensors' bytes. Most of them get the hashes that belong to them, as whoever
tampers would write them.
"""

import copy
import functools
import hashlib
import json
import pathlib
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from conftest import TINY

from dig2dig_jax.errors import UserError
from dig2dig_jax.models.drfusion_unet import DrFusionConfig
from dig2dig_jax.models.shapes import parameter_shapes
from dig2dig_jax.priors import card, checkpoint, prior

_SECONDS = 10  # of the processor: what else the machine does is no fault of the loader
_WHOLE = {  # what is tampered with: (network, schedule)
  "prior": (TINY, {"name": "linear", "num_timesteps": 1000}),
  "drfusion": (DrFusionConfig(width=8, groups=4), {"name": "learned", "num_timesteps": 3}),
}
_VALUES: tuple[Any, ...] = (
  None, True, False, 0, 1, -1, 2, 3, 7, 8, 64, 3000, 2**31, 2**32, 2**63, -(2**63), 2**64, 10**12, 10**30, 10**99, 0.5,
  1.0, -0.0, 1e-300, 1e300, float("nan"), float("inf"), "", "linear", "cosine", "learned", "a\nb",
  "\ud800", "drfusion", "../..", "x" * 5000, [], [[]], [1, 2], [0.001], [64] * 10, [10**30], ["a"], {}, {"a": {}},
)  # fmt: skip
# Of a network that may be one.
_LIKELY: tuple[Any, ...] = (
  True, False, None, -1, 0, 1, 2, 3, 4, 5, 8, 12, 16, 24, 30, 99, 0.5, [], [1], [2], [1, 1], [2, 1], [1, 2, 2], [0.1],
  "adaptive", "attention", "spatial", "spatial_v2", "cosine", "linear",
)  # fmt: skip


def check(rng: np.random.Generator, folder: pathlib.Path) -> str:
  """One case in `folder`, which is made if it is not there: "loaded" or "refused". AssertionError for all else."""
  kind = str(rng.choice(list(_WHOLE)))
  folder.mkdir(parents=True, exist_ok=True)
  text, tensors = _whole(kind)
  # The same share for each, so that deep faults are not hidden by shallow ones.
  for _ in range(rng.integers(1, 4)):
    if rng.random() < 0.5:
      text = _card(rng, text)
    else:
      tensors = _tensors(rng, tensors)
  if rng.random() < 0.8:
    text = _signed(text, tensors)
  (folder / checkpoint.CARD).write_bytes(text)
  (folder / checkpoint.WEIGHTS).write_bytes(tensors)
  load = prior.load_drfusion if kind == "drfusion" else prior.load_prior
  outcomes = {_outcome(load, folder), _outcome(checkpoint.load_checkpoint, folder)}
  return "refused" if "refused" in outcomes else "loaded"


def _outcome(load: Callable[[pathlib.Path], Any], folder: pathlib.Path) -> str:
  start = time.process_time()
  try:
    load(folder)
    outcome = "loaded"
  except UserError as error:
    line = str(error)
    assert "\n" not in line and len(line) < 2000, f"not one line: {line[:300]!r}"
    assert str(folder) in line, f"does not name the file: {line[:300]!r}"
    assert line.isprintable() and line.encode(), f"not printable: {line[:300]!r}"
    outcome = "refused"
  except Exception as error:  # whatever it is, a user would see a traceback
    raise AssertionError(f"{load.__name__} raised {type(error).__name__}: {str(error)[:300]!r}") from error
  took = time.process_time() - start
  assert took < _SECONDS, f"{load.__name__} took {took:.1f} s"
  return outcome


@functools.cache
def _whole(kind: str) -> tuple[bytes, bytes]:
  """(card, tensors) of a sound checkpoint."""
  config, schedule = _WHOLE[kind]
  rng = np.random.default_rng(0)
  flat = {path: rng.normal(size=shape).astype(np.float32) for path, shape in parameter_shapes(config).items()}
  with tempfile.TemporaryDirectory() as place:
    folder = pathlib.Path(place)
    checkpoint.save_checkpoint(
      folder, params=flat, config=config, schedule=schedule, card={"note": "fuzz"}, dtype="float16"
    )
    return (folder / checkpoint.CARD).read_bytes(), (folder / checkpoint.WEIGHTS).read_bytes()


def _signed(text: bytes, tensors: bytes) -> bytes:
  """The card with the hashes of what it says and of the tensors; as it is where it cannot be read any more."""
  try:
    fields = json.loads(text)
    fields["sha256"] = hashlib.sha256(tensors).hexdigest()
    fields["description_sha256"] = card.description_hash(fields)
    return json.dumps(fields).encode()
  except (ValueError, TypeError, RecursionError):
    return text


def _card(rng: np.random.Generator, text: bytes) -> bytes:
  try:
    fields = json.loads(text)
  except (ValueError, RecursionError):
    return _bytes(rng, text)
  way = rng.random()
  part = str(rng.choice(["config", "config", "schedule"]))
  if way < 0.4 and isinstance(fields, dict) and isinstance(fields.get(part), dict):
    return json.dumps(fields | {part: _tree(rng, fields[part], _LIKELY)}).encode()
  if way < 0.75:
    return json.dumps(_tree(rng, fields)).encode()
  way = rng.integers(5)
  if way == 0:  # deep
    opening = str(rng.choice(["[", '{"a":', '{"config":[']))
    return text[: rng.integers(len(text))] + opening.encode() * int(rng.integers(100, 100_000))
  if way == 1:  # a number of many digits
    digits = b"9" * int(rng.integers(50, 9000))
    return text.replace(b"1000", digits, 1) if b"1000" in text else text.replace(b"8", digits, 1)
  if way == 2:  # a name twice
    return text.replace(b'"format"', b'"config"', 1)
  if way == 3:  # huge
    return text + b" " * int(rng.integers(2**16, 2**22))
  return _bytes(rng, text)


def _tree(rng: np.random.Generator, value: Any, values: tuple[Any, ...] = _VALUES) -> Any:
  """The JSON value with one change somewhere: one of `values`, a name gone or new, something
  in two places."""
  value = copy.deepcopy(value)
  places = list(_places(value))
  if not places:
    return values[rng.integers(len(values))]
  holder, key = places[rng.integers(len(places))]
  way = rng.random()
  if way < 0.7:
    holder[key] = copy.deepcopy(values[rng.integers(len(values))])
  elif way < 0.8:
    del holder[key]
  elif way < 0.9 and isinstance(holder, dict):
    holder[str(rng.choice(["", "depth", "network", "a\nb", "\ud800", "__metadata__"]))] = holder[key]
  else:
    other, name = places[rng.integers(len(places))]
    other[name] = copy.deepcopy(holder[key])
  return value


def _places(value: Any):
  """(container, key) of everything in a JSON value."""
  items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
  for key, child in list(items):
    yield value, key
    yield from _places(child)


def _tensors(rng: np.random.Generator, content: bytes) -> bytes:
  length = int.from_bytes(content[:8], "little")
  text, rest = content[8 : 8 + length], content[8 + length :]
  way = rng.random()
  if way < 0.5:
    try:
      text = json.dumps(_tree(rng, json.loads(text))).encode()
    except (ValueError, RecursionError):
      text = _bytes(rng, text)
    return len(text).to_bytes(8, "little") + text + rest
  if way < 0.6:
    text = text[: rng.integers(len(text) + 1)] + b"[" * int(rng.integers(10_000, 200_000))
    return len(text).to_bytes(8, "little") + text + rest
  if way < 0.7:
    wrong = int(rng.choice([0, 1, max(0, length - 1), length // 2, 2**22, 2**31, 2**63 - 1]))
    return wrong.to_bytes(8, "little") + content[8:]
  if way < 0.8:
    return len(text).to_bytes(8, "little") + _bytes(rng, text) + rest
  return _bytes(rng, content)


def _bytes(rng: np.random.Generator, content: bytes) -> bytes:
  """Bytes that are cut, flipped, doubled, or new."""
  way, place = rng.integers(4), int(rng.integers(len(content) + 1))
  if way == 0:
    return content[:place]
  if way == 1:
    changed = bytearray(content)
    for _ in range(rng.integers(1, 8) if content else 0):
      changed[rng.integers(len(content))] = rng.integers(256)
    return bytes(changed)
  if way == 2:
    return content[:place] + content[place : place + 64] * 2 + content[place + 64 :]
  return content[:place] + rng.bytes(int(rng.integers(1, 64))) + content[place:]
