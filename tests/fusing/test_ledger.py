"""Does the log tell what is done, whatever it has been through?"""

import json
import os
import resource
from pathlib import Path

import numpy as np
import pytest

from dig2dig_jax.data.pairs import Pair
from dig2dig_jax.errors import UserError
from dig2dig_jax.fusing import done as results
from dig2dig_jax.fusing import ledger
from dig2dig_jax.fusing.ledger_index import Index

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
  named = results.Named(pair.name, list(pair.files.values()))
  with Index(out) as index:
    at_once = set(results.at_once([named.name], [[file] for file in named.files], index, run, out))
    found = set(results.finished([named], index, run, out, overwrite=overwrite))
    assert at_once <= found
    return found


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
    log.append({**ENTRY, "id": "q"})
  lines = path.read_text().splitlines()
  assert len(lines) == 6 and json.loads(lines[5])["id"] == "q" and ledger.read(out)["p"][0]["finished"]


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


GOOD = {"id": "p", "bytes": 5, "sha256": "0", "sources": {"ir": 2, "vi": 2}, "fingerprint": "0", "flags": {},
        "weights": "0"}  # fmt: skip  # as logs of before have it, with everything in each line
ENTRY = {**GOOD, "sha256": 64 * "0"}


@pytest.mark.parametrize(
  "change",
  [{"id": ["p"]}, {"flags": None}, {"sources": None}, {"bytes": "5"}, {"bytes": True}, {"sources": {"ir": []}},
   {"weights": None}, {"bytes": 2**70}, {"flags": json.loads('{"a":' * 500 + "1" + "}" * 500)}],
)  # fmt: skip
def test_a_line_of_other_types_is_set_aside_with_one_note(tmp_path, pair, change):
  out, notes = tmp_path / "out", []
  write(out, pair)
  path = out / "log" / "0-of-1.jsonl"
  path.write_text(path.read_text() + 2 * (json.dumps({**GOOD, **change}) + "\n") + json.dumps(GOOD) + "\n")
  assert [entry["weights"] for entry in ledger.read(out, notes)["p"]] == [RUN.weights, "0"]
  assert notes == [f"{path}: expected a finished image in every line, found 2 without (the first is line 3); "
                   "ignored, and those pairs count as not done"]
  assert done(out, pair, overwrite=True) in ({"p"}, set())


@pytest.mark.parametrize(
  "line", [b"[" * 100_000, b'{"id":' * 100_000, b"\xff\xfe{}", b"1" * 10_000, b"[" * (2**24 + 5), b"\0" * 100]
)
def test_what_is_no_json_is_set_aside_however_deep_or_long(tmp_path, pair, line):
  out, notes = tmp_path / "out", []
  write(out, pair)
  path = out / "log" / "0-of-1.jsonl"
  path.write_bytes(line + b"\n" + path.read_bytes())
  assert list(ledger.read(out, notes)) == ["p"] and done(out, pair) == {"p"}
  assert len(notes) == 1 and "found 1 without (the first is line 1)" in notes[0]


def test_damaged_curves_are_left_out_and_the_pair_is_done(tmp_path, pair):
  out, notes = tmp_path / "out", []
  write(out, pair)
  path = out / "log" / "0-of-1.jsonl"
  entry = ledger.read(out)["p"][0]
  path.write_text(json.dumps({**entry, "curves": {"t": [1], "weight": "x", "residual": []}}) + "\n")
  assert done(out, pair) == {"p"} and "curves" not in ledger.read(out, notes)["p"][0] and len(notes) == 1


def test_a_log_is_not_written_through_a_link_or_another_name(tmp_path, pair):
  precious = tmp_path / "precious"
  out = tmp_path / "out"
  for make, found in (
    (lambda path: path.symlink_to(precious), "a link to another place"),
    (lambda path: path.hardlink_to(precious), "a file that has another name too"),
    (os.mkfifo, "no plain file"),
    (Path.mkdir, "Is a directory"),
  ):
    precious.write_text("one line\nand a torn one")
    path = out / "log" / "0-of-1.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    make(path)
    with pytest.raises(UserError, match=f"0-of-1.jsonl: expected a log to write to, found {found}; remove it or"):
      with ledger.Ledger(out):
        pass
    assert precious.read_text() == "one line\nand a torn one"
    path.rmdir() if path.is_dir() else path.unlink()


def test_a_log_that_is_a_link_or_no_file_is_passed_over_with_a_note(tmp_path, pair):
  out, notes = tmp_path / "out", []
  write(out, pair)
  (tmp_path / "elsewhere").write_text(json.dumps({**GOOD, "id": "theirs"}) + "\n")
  (out / "log" / "1-of-3.jsonl").symlink_to(tmp_path / "elsewhere")
  os.mkfifo(out / "log" / "2-of-3.jsonl")
  assert list(ledger.read(out, notes)) == ["p"]
  assert [note.split(": ")[1] for note in notes] == ["expected a log, found a link or no plain file; ignored"] * 2


def test_a_folder_of_logs_that_is_a_link_is_refused(tmp_path):
  (tmp_path / "elsewhere").mkdir()
  (tmp_path / "out").mkdir()
  (tmp_path / "out" / "log").symlink_to(tmp_path / "elsewhere")
  for call in (lambda: ledger.read(tmp_path / "out"), ledger.Ledger(tmp_path / "out").__enter__):
    with pytest.raises(UserError, match="log: expected a folder of this run's logs, found a link to another place"):
      call()
  assert not list((tmp_path / "elsewhere").iterdir())


def test_a_long_torn_line_is_cut_and_nothing_before_it(tmp_path, pair):
  out = tmp_path / "out"
  write(out, pair)
  path = out / "log" / "0-of-1.jsonl"
  whole = path.read_bytes()
  for torn in (b"x" * (2**20 + 7), b"x" * 2**20, b"x"):
    path.write_bytes(whole + torn)
    with ledger.Ledger(out):
      assert path.read_bytes() == whole
  path.write_bytes(b"x" * (2**20 + 7))
  with ledger.Ledger(out):
    assert path.read_bytes() == b""


def test_a_disk_that_fills_takes_whole_lines_or_nothing(tmp_path):
  before = resource.getrlimit(resource.RLIMIT_FSIZE)
  with ledger.Ledger(tmp_path) as log:
    log.append({**ENTRY, "id": "p"})
    whole = log.path.read_bytes()
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 9, before[1]))
    try:
      with pytest.raises(UserError, match="expected a place to write, found File too large"):
        log.append({**ENTRY, "id": "q"})
    finally:
      resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert log.path.read_bytes() == whole
    log.append({**ENTRY, "id": "r"})
  assert [json.loads(line)["id"] for line in log.path.read_text().splitlines()[1:]] == ["p", "r"]
