"""Does the log tell what is done, whatever it has been through?"""

import json

import numpy as np
import pytest

from dig2dig_jax.data.pairs import Pair
from dig2dig_jax.errors import UserError
from dig2dig_jax.jobs import ledger

FLAGS = {"strength": 0.9, "sources": ("ir", "vi")}
PARAMS = {"a": np.arange(4, dtype=np.float32), "b": {"c": np.ones((2, 2), np.float16)}}
RUN = ledger.identity(FLAGS, PARAMS)


@pytest.fixture
def pair(tmp_path):
  files = {}
  for source in ("ir", "vi"):
    files[source] = tmp_path / source / "p.png"
    files[source].parent.mkdir()
    files[source].write_bytes(source.encode())
  return Pair("p", files)


def write(out, pair, *, run=RUN, image=b"image", process=0, processes=1):
  """An image with its line, as the fuse job leaves them."""
  out.mkdir(exist_ok=True)
  path = out / f"{pair.name}.png"
  path.write_bytes(image)
  with ledger.Ledger(out, process=process, processes=processes) as log:
    log.append({
      "id": pair.name, "bytes": path.stat().st_size, "sha256": ledger.file_hash(path),
      "sources": ledger.source_bytes(pair), "fingerprint": run.fingerprint, "flags": run.flags, "weights": run.weights,
    })  # fmt: skip
  return path


def done(out, pair, run=RUN, *, overwrite=False):
  return ledger.finished([pair], ledger.read(out), run, out, overwrite=overwrite)


def test_what_is_done_is_known_from_any_process(tmp_path, pair):
  out = tmp_path / "out"
  assert done(out, pair) == set()
  write(out, pair, process=2, processes=5)
  assert done(out, pair) == {"p"}
  (out / "p.png").write_bytes(b"cut")  # by somebody else: not the image of the line
  assert done(out, pair) == set()
  (out / "p.png").unlink()
  assert done(out, pair) == set()


@pytest.mark.parametrize(
  "run, message",
  [
    (ledger.identity({**FLAGS, "strength": 0.5}, PARAMS), r"other flags \(strength: 0.9 then, 0.5 now\); add"),
    (ledger.identity(FLAGS, {**PARAMS, "a": PARAMS["a"] + 1}), "other weights; add --overwrite or change --out"),
  ],
)  # fmt: skip
def test_other_flags_and_weights_are_refused_unless_asked_for(tmp_path, pair, run, message):
  out = tmp_path / "out"
  write(out, pair)
  with pytest.raises(UserError, match=message):
    done(out, pair, run)
  assert done(out, pair, run, overwrite=True) == set()
  # Written over, and by the first settings again: the image's hash tells whose it is.
  write(out, pair, run=run, image=b"other")
  assert done(out, pair, run) == {"p"}
  with pytest.raises(UserError, match="add --overwrite"):
    done(out, pair)
  write(out, pair, process=1, processes=2)
  assert done(out, pair) == {"p"}


def test_changed_sources_are_refused_unless_asked_for(tmp_path, pair):
  out = tmp_path / "out"
  write(out, pair)
  pair.files["vi"].write_bytes(b"another photograph")
  with pytest.raises(UserError, match="p.png: expected a result of this run or none, found one of other source images"):
    done(out, pair)
  assert done(out, pair, overwrite=True) == set()


def test_torn_lines_are_cut_and_strange_ones_passed_over(tmp_path, pair):
  out = tmp_path / "out"
  write(out, pair)
  path = out / "log" / "0-of-1.jsonl"
  whole = path.read_bytes()
  path.write_bytes(whole + b'"text"\n{"id": "p"}\n' + whole[:40])
  assert done(out, pair) == {"p"}
  with ledger.Ledger(out) as log:
    log.append({"id": "q"})
  lines = path.read_text().splitlines()
  assert len(lines) == 4 and json.loads(lines[3])["id"] == "q" and json.loads(lines[0])["finished"]


def test_a_log_has_one_writer(tmp_path):
  with ledger.Ledger(tmp_path):
    with pytest.raises(UserError, match="0-of-1.jsonl: expected to be its only writer, found another run at work"):
      with ledger.Ledger(tmp_path):
        pass
    with ledger.Ledger(tmp_path, process=1, processes=2):
      pass
  with ledger.Ledger(tmp_path):
    pass


def test_the_identity_sees_every_value_name_and_dtype():
  changed = [
    ledger.identity({**FLAGS, "strength": 0.91}, PARAMS),
    ledger.identity(FLAGS, {**PARAMS, "b": {"c": np.ones((2, 2), np.float32)}}),
    ledger.identity(FLAGS, {"a": PARAMS["a"], "b": {"d": PARAMS["b"]["c"]}}),
    ledger.identity(FLAGS, {"a": PARAMS["a"].reshape(2, 2), "b": PARAMS["b"]}),
  ]
  assert len({run.fingerprint for run in (RUN, *changed)}) == 5
  assert ledger.identity(dict(reversed(FLAGS.items())), PARAMS) == RUN
