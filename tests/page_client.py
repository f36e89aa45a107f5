"""What the scripts of the page of `dig2dig app` do, by hand: requests to its routes, and answers read."""

import json

import cv2
import numpy as np

HOST = "127.0.0.1:8000"
TOKEN = "the-secret-of-this-test"


class Page:
  """client: Starlette's test client of the guarded routes."""

  def __init__(self, client):
    self.client = client

  def ask(self, method, path, **rest):
    return self.client.request(method, f"/{TOKEN}/{path}", **rest)

  def send(self, files):
    """{name: bytes} -> the new tab's name; nothing is opened yet."""
    tab = self.ask("POST", "tabs").json()["tab"]
    for number, (name, content) in enumerate(files.items()):
      found = self.ask("PUT", f"tabs/{tab}/files/{number}", params={"name": name}, content=content)
      assert found.status_code == 200, found.text
    return tab

  def drop(self, files):
    """(the new tab's name, what its files seem to be)."""
    tab = self.send(files)
    found = self.ask("POST", f"tabs/{tab}/open")
    assert found.status_code == 200, found.text
    return tab, found.json()

  def fuse(self, tab, kind="full", **settings):
    """All lines of the answer."""
    found = self.ask("POST", f"tabs/{tab}/fuse", json={"kind": kind, **settings})
    assert found.status_code == 200, found.text
    return [json.loads(line) for line in found.text.splitlines()]

  def fused(self, tab, kind="full", **settings):
    last = self.fuse(tab, kind, **settings)[-1]
    assert "done" in last, last
    return last["done"]

  def image(self, path):
    found = self.ask("GET", path)
    assert found.status_code == 200, found.text
    return cv2.imdecode(np.frombuffer(found.content, np.uint8), cv2.IMREAD_UNCHANGED)


def png(pixels):
  """Bytes of RGB or gray pixels [H, W, C] of 8 or 16 bits."""
  ok, found = cv2.imencode(".png", pixels[..., ::-1] if pixels.shape[-1] == 3 else pixels)
  assert ok
  return found.tobytes()
