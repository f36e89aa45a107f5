"""Is a checkpoint downloaded once, continued where it was cut off, kept only whole, and held against what it was?"""

import hashlib
import http.server
import io
import json
import threading
import zipfile

import pytest

from dig2dig_jax.errors import UserError
from dig2dig_jax.models.official import OFFICIAL, Official
from dig2dig_jax.porting import download, guided_diffusion


def _zipped() -> bytes:
  """Ten megabytes in the container of a PyTorch checkpoint, not compressed."""
  with io.BytesIO() as buffer:
    with zipfile.ZipFile(buffer, "w") as file:
      file.writestr("archive/data/0", bytes(range(256)) * 40_000)
    return buffer.getvalue()


CONTENT = _zipped()
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
  asked: list = []
  cut = None  # bytes after which the connection is closed
  silent = False  # whether the length is not told
  resumes = True  # whether a part may be asked for
  content = CONTENT

  def do_GET(self):
    if self.path != "/model.pt":
      self.send_error(404)
      return
    start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-")) if Handler.resumes else 0
    Handler.asked.append(start)
    content = Handler.content
    if start >= len(content):
      self.send_error(416)
      return
    self.send_response(206 if start else 200)
    if not Handler.silent:
      self.send_header("Content-Length", str(len(content) - start))
    self.end_headers()
    self.wfile.write(content[start : start + Handler.cut] if Handler.cut else content[start:])

  def log_message(self, *args):
    pass


@pytest.fixture
def url():
  Handler.asked, Handler.cut, Handler.silent, Handler.resumes, Handler.content = [], None, False, True, CONTENT
  server = http.server.ThreadingHTTPServer(("localhost", 0), Handler)
  thread = threading.Thread(target=server.serve_forever, daemon=True)
  thread.start()
  yield f"http://localhost:{server.server_port}/model.pt"
  server.shutdown()
  thread.join()
  server.server_close()


def test_a_cut_off_download_goes_on(url, tmp_path):
  Handler.cut = 3_000_000
  with pytest.raises(UserError, match="the download stopped .* run again to continue, or give --pt=FILE"):
    download.fetch(url, folder=tmp_path)
  assert not (tmp_path / "model.pt").exists()
  have = (tmp_path / "model.pt.part").stat().st_size
  assert 0 < have <= 3_000_000
  Handler.cut = None
  path = download.fetch(url, folder=tmp_path)
  assert path.read_bytes() == CONTENT and Handler.asked == [0, have]
  assert sorted(file.name for file in tmp_path.iterdir()) == ["model.pt", "model.pt.json"]
  assert download.fetch(url, folder=tmp_path) == path and len(Handler.asked) == 2  # from the cache


@pytest.mark.parametrize("resumes", [True, False])
@pytest.mark.parametrize("record", [{}, {"size": len(CONTENT), "sha256": SHA256}], ids=["nothing", "recorded"])
def test_a_cut_of_which_no_length_tells_is_not_kept(url, tmp_path, record, resumes):
  Handler.cut, Handler.silent, Handler.resumes = 3_000_000, True, resumes
  for _ in range(2):
    with pytest.raises(UserError, match="the download stopped .*of .* bytes came.* run again to continue") as error:
      download.fetch(url, folder=tmp_path, **record)
    assert "\n" not in str(error.value)
    assert [file.name for file in tmp_path.iterdir()] == ["model.pt.part"]
  Handler.cut = None
  assert download.fetch(url, folder=tmp_path, **record).read_bytes() == CONTENT
  assert Handler.asked == ([0, 3_000_000, 6_000_000] if resumes else [0, 0, 0])


def test_what_is_kept_has_its_size_and_hash_beside_it(url, tmp_path):
  path = download.fetch(url, folder=tmp_path)
  assert json.loads((tmp_path / "model.pt.json").read_text()) == {"url": url, "size": len(CONTENT), "sha256": SHA256}
  changed = bytearray(CONTENT)
  changed[5_000_000] ^= 1
  for damaged, words in ((bytes(changed), "expected sha256 "), (CONTENT[:-1], f"expected {len(CONTENT)} bytes, found")):
    path.write_bytes(damaged)
    with pytest.raises(UserError, match=f"{path}: {words}.*; it was removed, run again to download it"):
      download.fetch(url, folder=tmp_path)
    assert not list(tmp_path.iterdir())
    assert download.fetch(url, folder=tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("note", [None, "[" * 10_000, '{"size": true, "sha256": 3}'])
def test_a_file_of_an_older_cache_is_looked_at(url, tmp_path, note):
  """Where nothing is noted, or nothing that can be read, its own checksums tell."""
  (tmp_path / "model.pt").write_bytes(CONTENT[:5_000_000] + b"xxxx" + CONTENT[5_000_004:])
  if note:
    (tmp_path / "model.pt.json").write_text(note)
  with pytest.raises(UserError, match="damaged bytes in archive/data/0"):
    download.fetch(url, folder=tmp_path)
  assert not list(tmp_path.iterdir()) and not Handler.asked
  (tmp_path / "model.pt").write_bytes(CONTENT[:5_000_000])  # cut, and taken for whole by an older version
  with pytest.raises(UserError, match="found another or a cut file; it was removed"):
    download.fetch(url, folder=tmp_path)


def test_a_download_that_is_no_checkpoint_leaves_nothing(url, tmp_path):
  for content, record, words in (
    (b"<html>not here</html>", {}, "expected a PyTorch checkpoint, found another or a cut file"),
    (CONTENT[:5_000_000] + b"xxxx" + CONTENT[5_000_004:], {}, "found damaged bytes in archive/data/0"),
    (CONTENT, {"sha256": "0" * 64}, f"expected sha256 000000000000..., found {SHA256[:12]}"),
    (CONTENT, {"size": 5}, f"expected 5 bytes, found {len(CONTENT)}"),
  ):
    Handler.content = content
    with pytest.raises(UserError, match=f"{words}.*; it was removed"):
      download.fetch(url, folder=tmp_path, **record)
    assert not list(tmp_path.iterdir())


def test_the_older_container_is_taken_in_the_length_that_was_told(url, tmp_path):
  Handler.content = download._LEGACY + bytes(1000)
  assert download.fetch(url, folder=tmp_path).read_bytes() == Handler.content
  assert download.fetch(url, folder=tmp_path) and Handler.asked == [0]
  Handler.silent = True
  with pytest.raises(UserError, match="another or a cut file"):
    download.fetch(url, folder=tmp_path / "other")


def test_only_what_many_agree_on_is_on_record():
  known = {name for name, official in OFFICIAL.items() if official.sha256}
  assert known == {"256x256_diffusion_uncond"}
  assert all(len(OFFICIAL[name].sha256) == 64 and OFFICIAL[name].size for name in known)


def test_another_file_than_the_first_time_is_refused(url, tmp_path):
  assert download.fetch(url, earlier=SHA256, folder=tmp_path).read_bytes() == CONTENT
  with pytest.raises(UserError, match="of the earlier conversion, found another file"):
    download.fetch(url, earlier="0" * 64, folder=tmp_path / "other")


def test_what_cannot_be_had_is_said(url, tmp_path):
  with pytest.raises(UserError, match="found HTTP 404; download it manually and give --pt=FILE"):
    download.fetch(url.replace("model", "none"), folder=tmp_path)
  with pytest.raises(UserError, match="the download stopped"):
    download.fetch("http://localhost:9/model.pt", folder=tmp_path)


def test_the_command_downloads_what_it_is_not_given(url, tmp_path, monkeypatch, capsys):
  pytest.importorskip("torch", reason="PyTorch is not installed (pip install torch)")
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  monkeypatch.setattr(Official, "url", property(lambda self: url))
  config = OFFICIAL["lsun_cat"].config
  monkeypatch.setitem(OFFICIAL, "lsun_cat", Official("lsun_cat", config))
  assert guided_diffusion.main(["--name=lsun_cat", f"--out={tmp_path / 'prior'}"]) == 2
  assert "; download it again" in capsys.readouterr().err  # it came, and is no checkpoint
  assert Handler.asked == [0] and not (tmp_path / "prior").exists()
