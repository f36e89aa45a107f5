"""Does the server answer nobody but its own page, and give away nothing of the machine?"""

import json
import struct
import zlib

import pytest
from page_client import HOST, TOKEN, png
from scenes import scene

OURS = {"host": HOST, "origin": f"http://{HOST}"}


@pytest.mark.parametrize(
  "path",
  ["/", "/index.html", "/controls", "/tabs", f"/{TOKEN[:-1]}/", f"/{TOKEN}x/", f"/{TOKEN}", "//", f"/x/{TOKEN}/",
   f"/%2e/{TOKEN}x/", "/\u00e9/"],
)  # fmt: skip
def test_without_the_secret_there_is_nothing(page, path):
  found = page.client.get(path)
  assert (found.status_code, found.text) == (403, "not allowed: open the address that dig2dig app printed")


def test_the_page_comes_with_a_strict_policy_and_asks_nothing_of_others(page):
  found = page.ask("GET", "")
  assert found.status_code == 200 and "<script type=\"module\" src=\"app.js\">" in found.text
  policy = found.headers["content-security-policy"]
  assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy and "*" not in policy
  assert found.headers["x-content-type-options"] == "nosniff" and found.headers["cache-control"] == "no-store"
  assert found.headers["referrer-policy"] == "no-referrer"
  for name in ("", "app.css", "app.js", "compare.js", "controls.js", "queue.js", "upload.js"):
    text = page.ask("GET", name).text
    assert "//" not in text.replace("// ", "").replace("http://www.w3.org", ""), f"{name} names another place"
    assert "innerHTML" not in text and "eval(" not in text and " style=" not in text and "onclick" not in text
  assert page.ask("GET", "icon.svg").headers["content-type"] == "image/svg+xml"


@pytest.mark.parametrize(
  ("method", "headers"),
  [
    ("GET", {"host": "evil.example:8000"}),
    ("GET", {"host": "127.0.0.1:8001"}),
    ("GET", {"host": "127.0.0.1"}),
    ("GET", {"host": "10.0.0.1:8000"}),
    ("GET", {"host": ""}),
    ("GET", {"origin": "http://evil.example"}),
    ("GET", {"sec-fetch-site": "cross-site"}),
    ("GET", {"sec-fetch-site": "same-site"}),
    ("POST", {"origin": "null"}),
    ("POST", {"origin": "https://127.0.0.1:8000"}),
    ("POST", {"origin": "http://127.0.0.1:8001"}),
    ("POST", {"host": "evil.example:8000", "origin": "http://evil.example:8000"}),
    ("POST", {"origin": f"http://{HOST}.evil.example"}),
    ("POST", {"origin": None}),
  ],
)
def test_with_the_secret_but_from_elsewhere_there_is_nothing_either(page, method, headers):
  path = f"/{TOKEN}/{'tabs' if method == 'POST' else ''}"
  assert page.client.request(method, path, headers=OURS).status_code == 200
  if headers.get("origin", "") is None:
    del page.client.headers["origin"]
    headers = {"host": HOST}
  else:
    headers = OURS | headers
  assert page.client.request(method, path, headers=headers).status_code == 403


def test_on_all_addresses_names_are_still_refused(server):
  from dig2dig_jax.app.guard import Guard

  async def nothing(scope, receive, send):
    raise AssertionError

  guard = Guard(nothing, token=TOKEN, hosts=["localhost:8000"], any_address=True)
  for host, is_ours in (("10.1.2.3:8000", True), ("[fe80::1]:8000", True), ("localhost:8000", True),
                        ("evil.example:8000", False), ("10.1.2.3.evil.example:8000", False)):  # fmt: skip
    assert guard._is_ours(host) is is_ours, host


def test_no_file_of_the_machine_can_be_read(page, pair, tmp_path):
  tab, _ = page.drop(pair)
  secret = tmp_path / "secret.txt"
  secret.write_text("secret")
  for path in ("../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/etc/passwd", str(secret), f"/{secret}",
               f"tabs/{tab}/download/..%2f000", f"tabs/{tab}/download/000", f"tabs/{tab}/download/%2fetc%2fpasswd",
               f"tabs/..%2f{tab}/download/fused-8.png", f"tabs/{tab}/full/1/..%2f..%2f000/0.png"):  # fmt: skip
    found = page.ask("GET", path)
    assert found.status_code in (403, 404, 409, 410) and "root:" not in found.text and "secret" not in found.text, path


def test_names_are_no_paths_and_markup_stays_text(page, server, tmp_path):
  files = {"../../../tmp/x/<img src=x onerror=alert(1)>.png": png(scene(1, 40, 56, 1)),
           "C:\\photos\\-rf $(id) 'b'.png": png(scene(2, 40, 56, 3))}  # fmt: skip
  tab, opened = page.drop(files)
  names = [one["name"] for one in opened["files"]]
  assert names == ["<img src=x onerror=alert(1)>.png", "-rf $(id) 'b'.png"]  # JSON; scripts put it in as text
  own = server.tabs.get(tab)
  assert sorted(path.name for path in own.folder.iterdir()) == ["000", "001"]
  done = page.fused(tab, "preview", task="thermal", options={"bands": 1, "restore": "off"})
  import shlex

  words = shlex.split(done["command"])
  assert names[0] in words and f"./{names[1]}" in words  # one word each, and no flag
  long = page.send({"x" * 5000 + ".png": b"1"})
  (_, kept), = server.tabs.get(long).files.values()
  assert len(kept) <= 120 and kept.endswith(".png")


def test_no_answer_names_a_place_on_the_machine(page, server, pair):
  damaged = {"ir.png": pair["ir.png"][:-40], "vi.png": pair["vi.png"]}
  tab, _ = page.drop(damaged)  # their names tell the task
  refused = page.fuse(tab, task="thermal")[-1]["error"]
  assert refused.startswith("ir.png: expected an intact PNG file")
  other = {"one.png": b"no image at all", "two.png": pair["vi.png"]}
  found = page.ask("POST", f"tabs/{page.send(other)}/open")
  assert found.status_code == 422 and found.json()["error"].startswith("one.png: expected PNG, JPEG")
  for text in (refused, found.text):
    assert str(server.tabs.place) not in text and "/tmp" not in text


def bomb(side=9_000):
  """A PNG of 81 megapixels in some kilobytes: all black."""
  def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

  deflate, rows = zlib.compressobj(9), []
  for _ in range(side):
    rows.append(deflate.compress(bytes(1 + side)))
  rows.append(deflate.flush())
  head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
  return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"".join(rows)) + chunk(b"IEND", b"")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")  # which decode.py ignores where tests do not
def test_small_files_of_large_images_are_refused_undecoded(page, pair):
  content = bomb()
  assert len(content) < 200_000
  huge = content[:16] + struct.pack(">II", 60_000, 60_000) + content[24:29]
  huge += struct.pack(">I", zlib.crc32(huge[12:])) + content[33:]
  for each in (content, huge):  # the second is beyond the reader's limit too
    found = page.ask("POST", f"tabs/{page.send({'a.png': each, 'b.png': pair['vi.png']})}/open")
    assert found.status_code == 422 and "a.png: expected at most 64 megapixels" in found.json()["error"]


def test_large_files_and_many_files_are_refused_while_they_come(page, server, monkeypatch):
  from dig2dig_jax.app import limits

  monkeypatch.setattr(limits, "FILE_BYTES", 1 << 20)
  monkeypatch.setattr(limits, "SCENE_BYTES", (1 << 20) + 10)
  tab = page.ask("POST", "tabs").json()["tab"]
  seen = []

  def endless():
    for _ in range(64):
      seen.append(1)
      yield bytes(1 << 16)

  found = page.ask("PUT", f"tabs/{tab}/files/0?name=a.png", content=endless())
  assert found.status_code == 413 and "at most 1 MB" in found.json()["error"]
  assert page.ask("PUT", f"tabs/{tab}/files/0?name=a.png", content=bytes(1 << 20)).status_code == 200
  assert page.ask("PUT", f"tabs/{tab}/files/1?name=b.png", content=bytes(100)).status_code == 413
  assert page.ask("PUT", f"tabs/{tab}/files/0?name=a.png", content=b"1").status_code == 413  # is there already
  assert page.ask("PUT", f"tabs/{tab}/files/50?name=c.png", content=b"1").status_code == 413
  own = server.tabs.get(tab)
  assert sorted(path.name for path in own.folder.iterdir()) == ["000"] and own.bytes == 1 << 20
  assert page.ask("POST", f"tabs/{tab}/open").status_code == 422  # one file is no scene


def test_settings_that_are_no_settings_are_refused(page, pair):
  tab, _ = page.drop(pair)
  for content in (b"", b"[]", b"{", b'"' * 10, b"[" * 50_000, b"nul"):
    assert page.ask("POST", f"tabs/{tab}/fuse", content=content).status_code == 422
  assert page.ask("POST", f"tabs/{tab}/fuse", content=b'{"a": "' + b"x" * 100_000).status_code == 413
  assert page.ask("POST", f"tabs/{tab}/fuse", content=json.dumps({"kind": "poster"})).status_code == 422
  assert page.ask("POST", "tabs/0000/fuse", content=b"{}").status_code == 410
  assert page.ask("DELETE", f"tabs/{tab}").status_code in (404, 405)
