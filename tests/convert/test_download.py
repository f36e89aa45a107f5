"""Is a checkpoint downloaded once, continued where it was cut off, and held against the hash it had at first?"""

import hashlib
import http.server
import threading

import pytest

from convert import download, guided_diffusion
from convert.official import OFFICIAL, Official
from dig2dig_jax.errors import UserError

CONTENT = bytes(range(256)) * 40_000  # ten megabytes


class Handler(http.server.BaseHTTPRequestHandler):
  asked: list = []
  cut = None  # bytes after which the connection is closed

  def do_GET(self):
    if self.path != "/model.pt":
      self.send_error(404)
      return
    start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
    Handler.asked.append(start)
    if start >= len(CONTENT):
      self.send_error(416)
      return
    self.send_response(206 if start else 200)
    self.send_header("Content-Length", str(len(CONTENT) - start))
    self.end_headers()
    self.wfile.write(CONTENT[start : start + Handler.cut] if Handler.cut else CONTENT[start:])

  def log_message(self, *args):
    pass


@pytest.fixture
def url():
  Handler.asked, Handler.cut = [], None
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
  assert sorted(file.name for file in tmp_path.iterdir()) == ["model.pt"]
  assert download.fetch(url, folder=tmp_path) == path and len(Handler.asked) == 2  # from the cache


def test_another_file_than_the_first_time_is_refused(url, tmp_path):
  right = hashlib.sha256(CONTENT).hexdigest()
  assert download.fetch(url, sha256=right, folder=tmp_path).read_bytes() == CONTENT
  with pytest.raises(UserError, match="of the earlier conversion, found another file"):
    download.fetch(url, sha256="0" * 64, folder=tmp_path / "other")


def test_what_cannot_be_had_is_said(url, tmp_path):
  with pytest.raises(UserError, match="found HTTP 404; get it by hand and give --pt=FILE"):
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
  assert "found another format; download it again" in capsys.readouterr().err  # it came, and is no checkpoint
  assert Handler.asked == [0] and not (tmp_path / "prior").exists()
