"""Are a folder's scenes found and fused one by one, and does nothing of an archive or a name get past the limits?"""

import io
import json
import struct
import types
import zipfile

import cv2
import numpy as np
import pytest

from dig2dig_jax.app import limits


@pytest.fixture
def mean(monkeypatch):
  """In place of the fusion, the mean of the sources: the queue is asked, not the picture."""
  from dig2dig_jax.app import folder_routes

  def fused(stages, scene, opened, settings, kind, say, *, bucket):
    say("fusing")
    sources = scene.placed(settings, opened).loaded.sources
    return types.SimpleNamespace(fused=sources.mean(axis=0), lines=("a line",))

  monkeypatch.setattr(folder_routes.picture, "fused", fused)


def put(page, files):
  folder = page.ask("POST", "folders").json()["folder"]
  for path, content in files.items():
    found = page.ask("PUT", f"folders/{folder}/files", params={"path": path}, content=content)
    assert found.status_code == 204, found.text
  return folder


def run(page, folder, **asked):
  found = page.ask("POST", f"folders/{folder}/run", params=asked)
  assert found.status_code == 200, found.text
  return [json.loads(line) for line in found.text.splitlines()]


def packed(files, **options):
  content = io.BytesIO()
  with zipfile.ZipFile(content, "w", **options) as archive:
    for path, one in files.items():
      archive.writestr(path, one)
  return content.getvalue()


def scenes(pair, count=3):
  return {f"trip/{source}/{k}.png": pair[f"{source}.png"] for k in range(count) for source in ("ir", "vi")}


def test_a_folder_is_fused_scene_by_scene_and_one_that_fails_is_named(page, pair, mean):
  files = scenes(pair) | {"trip/vi/1.png": pair["vi.png"][:200], "trip/notes.txt": b"no image"}
  folder = put(page, files)
  found = page.ask("POST", f"folders/{folder}/look").json()
  assert found["task"] == "thermal" and [one["name"] for one in found["scenes"]] == ["0", "1", "2"]
  assert found["scenes"][0]["files"] == ["ir/0.png", "vi/0.png"]
  assert page.ask("GET", f"folders/{folder}/fused.zip").status_code == 409
  lines = run(page, folder)
  assert lines[-1] == {"finished": {"fused": 2, "failed": 1}}
  assert [line["scene"] for line in lines if "done" in line] == [0, 2]
  (failed,) = (line for line in lines if "error" in line)
  assert failed["scene"] == 1 and "/tmp" not in failed["error"]
  assert failed["error"].startswith("trip/vi/1.png: expected")
  with zipfile.ZipFile(io.BytesIO(page.ask("GET", f"folders/{folder}/fused.zip").content)) as archive:
    assert sorted(archive.namelist()) == ["0.png", "2.png", "failed.txt", "settings.flags"]
    picture = cv2.imdecode(np.frombuffer(archive.read("0.png"), np.uint8), cv2.IMREAD_UNCHANGED)
    assert picture.shape == (40, 56, 3) and b"1: trip/vi/1.png: expected" in archive.read("failed.txt")
  page.ask("POST", f"folders/{folder}/close")
  assert page.ask("GET", f"folders/{folder}/fused.zip").status_code == 410


def test_archives_of_scenes_are_a_folder_each_and_leave_no_copy(page, server, pair):
  # One folder that holds all of an archive, and what a Mac adds, say nothing.
  inner = {"day/ir_01.png": pair["ir.png"], "day/vi_01.png": pair["vi.png"], "__MACOSX/day/._ir_01.png": b"x",
           "day/.DS_Store": b"x", ".git/config": b"x"}  # fmt: skip
  folder = put(page, {"one.zip": packed(inner), "two.ZIP": packed(inner, compression=zipfile.ZIP_DEFLATED)})
  own = server.folders.get(folder)
  kept = sorted(str(path.relative_to(own.tree)) for path in own.tree.rglob("*") if path.is_file())
  assert kept == ["one/ir_01.png", "one/vi_01.png", "two/ir_01.png", "two/vi_01.png"]
  assert (own.count, own.bytes) == (4, 2 * sum(map(len, pair.values())))
  assert len(page.ask("POST", f"folders/{folder}/look").json()["scenes"]) == 2


def test_what_an_archive_holds_under_a_cameras_names_is_kept(page, server):
  link = zipfile.ZipInfo("_DSC0002.png")
  link.external_attr = 0o120777 << 16  # a symbolic link, of Unix
  content = io.BytesIO()
  with zipfile.ZipFile(content, "w") as archive:
    archive.writestr("_DSC0001.png", b"1")
    archive.writestr(link, b"/etc/passwd")
  own = server.folders.get(put(page, {"a.zip": content.getvalue()}))
  kept = {path.name: path for path in (own.tree / "a").iterdir()}
  assert set(kept) == {"_DSC0001.png", "_DSC0002.png"} and not any(path.is_symlink() for path in kept.values())
  assert kept["_DSC0002.png"].read_bytes() == b"/etc/passwd"  # the words, which are no image


def test_names_that_no_disk_takes_are_cut_and_deep_archives_keep_their_own(page, server):
  deep = packed({"a/b/c/d/e/f/g/h.png": b"1", "c:/x.png": b"2"})
  own = server.folders.get(put(page, {"漢" * 119 + ".png": b"1", "day/one.zip": deep}))
  kept = sorted(str(path.relative_to(own.tree)) for path in own.tree.rglob("*") if path.is_file())
  assert kept == ["day/one/c_/x.png", "day/one/e/f/g/h.png", "漢" * 78 + ".png"]


def test_a_folder_that_is_closed_while_its_archive_is_unpacked_leaves_nothing(page, server, monkeypatch):
  from dig2dig_jax.app import archive

  folder = put(page, {})
  own, chunks = server.folders.get(folder), archive.chunks

  def closing(file):
    server.folders.close(folder)
    yield from chunks(file)

  monkeypatch.setattr(archive, "chunks", closing)
  found = page.ask("PUT", f"folders/{folder}/files", params={"path": "a.zip"},
                   content=packed({f"{k}/{k}.png": b"1" for k in range(3)}))  # fmt: skip
  assert found.status_code == 413 and "still open" in found.json()["error"] and not own.place.exists()


def test_the_folder_that_was_longest_unused_goes(page, server):
  folders = [put(page, {}) for _ in range(limits.FOLDERS)]
  put(page, {})  # the first one goes
  assert page.ask("PUT", f"folders/{folders[1]}/files", params={"path": "a.png"}, content=b"1").status_code == 204
  put(page, {})  # the second was used meanwhile
  open_ = [page.ask("POST", f"folders/{folder}/cancel").status_code == 204 for folder in folders]
  assert open_ == [False, True, False, True]
  assert {path.name for path in server.folders.place.iterdir()} == server.folders.names() | server.tabs.names()


def test_no_name_leads_out_of_the_folder(page, server, pair):
  before = {path for path in server.folders.place.rglob("*")}
  folder = put(page, {"../../../up.png": b"1", "/etc/passwd": b"2", "C:\\x\\..\\y.png": b"3", "a/./.../.hidden": b"4",
                      "<img src=x onerror=alert(1)>/b.png": b"5", "n\x00ul\n.png": b"6", "x" * 999: b"7",
                      "z.zip": packed({"../../out.png": b"8", "/abs.png": b"9", "..\\..\\win.png": b"0"})})  # fmt: skip
  own = server.folders.get(folder)
  made = {path for path in server.folders.place.rglob("*")} - before
  assert made and all(path == own.place or own.place in path.parents for path in made)
  assert all(own.tree in path.parents for path in made if path.is_file())
  assert {path.name for path in made if path.is_file()} >= {"up.png", "passwd", "y.png", "hidden", "nul.png", "win.png"}


def lying(count, place=None):
  """An archive of empty files that says it has three; place: what it says of where their list begins."""
  content = bytearray(packed({f"{k}": b"" for k in range(count)}))
  end = content.rfind(b"PK\5\6")
  content[end + 8 : end + 12] = struct.pack("<HH", 3, 3)
  if place is not None:
    content[end + 16 : end + 20] = place
  return bytes(content)


def test_archives_that_unpack_to_too_much_are_refused_and_leave_nothing(page, server, monkeypatch):
  monkeypatch.setattr(limits, "FILE_BYTES", 1 << 20)
  monkeypatch.setattr(limits, "FOLDER_BYTES", 3 << 20)
  monkeypatch.setattr(limits, "FOLDER_FILES", 20)
  bombs = {
    "one.zip": ({"a.png": bytes(2 << 20)}, "at most 1 MB"),
    "all.zip": ({f"{k}.png": bytes(900_000) for k in range(9)}, "3 MB together"),
    "many.zip": ({f"{k}.png": b"" for k in range(40)}, "at most 20 files"),
    "list.zip": ({f"{k}": b"" for k in range(7000)}, "files in an archive"),
    "none.zip": (None, "expected a ZIP archive"),
    "lies.zip": (lying(7000), "files in an archive"),  # says that it holds three
    "hides.zip": (lying(7000, b"PK\5\6"), "files in an archive"),  # and that its list is where it is not looked for
  }
  folder = put(page, {})
  own = server.folders.get(folder)
  for name, (files, said) in bombs.items():
    content = files if isinstance(files, bytes) else b"PK\3\4 no archive" if files is None else (
      packed(files, compression=zipfile.ZIP_DEFLATED))  # fmt: skip
    found = page.ask("PUT", f"folders/{folder}/files", params={"path": name}, content=content)
    assert found.status_code == 413 and said in found.json()["error"], (name, found.text)
    assert not [path for path in own.tree.rglob("*") if path.is_file()] and (own.count, own.bytes) == (0, 0), name
  found = page.ask("POST", f"folders/{folder}/look")
  assert found.status_code == 422 and str(own.place) not in found.text


def test_a_queue_is_stopped_between_two_stages_and_other_tabs_come_between(page, server, pair, monkeypatch):
  from dig2dig_jax.app import folder_routes

  folder, order = put(page, scenes(pair)), []
  page.ask("POST", f"folders/{folder}/look")

  def fused(stages, scene, opened, settings, kind, say, *, bucket):
    order.append("scene")
    if len(order) == 1:
      server.worker.submit(lambda: order.append("other tab"))
    else:
      server.folders.get(folder).newest()  # as the page's Stop does
    say("fusing")
    return types.SimpleNamespace(fused=scene.placed(settings, opened).loaded.sources[0], lines=())

  monkeypatch.setattr(folder_routes.picture, "fused", fused)
  lines = run(page, folder, task="thermal")
  assert order == ["scene", "other tab", "scene"] and lines[-1] == {"superseded": True}
  assert not any("error" in line for line in lines)
  assert page.ask("POST", f"folders/{folder}/run", params={"task": "night"}).status_code == 422
