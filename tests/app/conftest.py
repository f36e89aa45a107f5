"""The page's server without a network: its routes behind the guard, the tiny prior, small pictures."""

import json
import warnings

import cv2
import numpy as np
import pytest
from scenes import scene

HOST = "127.0.0.1:8000"
TOKEN = "the-secret-of-this-test"


@pytest.fixture(scope="module")
def server(tiny_prior, tmp_path_factory, quick_compile):
  """The `Server` of a file's tests, which share what it compiled. Small pictures are of 48 pixels."""
  pytest.importorskip("starlette", reason="the page needs the extra [app]: pip install 'dig2dig_jax[app]'")
  from dig2dig_jax.app import limits
  from dig2dig_jax.app.jobs import Worker
  from dig2dig_jax.app.server import Server
  from dig2dig_jax.app.stages import Stages
  from dig2dig_jax.priors.prior import load_prior

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(limits, "SMALL", 48)
    folder = tmp_path_factory.mktemp("app")
    yield Server(Stages(load_prior(tiny_prior)), folder, Worker(), prior=tiny_prior.name, bucket=8)


@pytest.fixture
def page(server):
  pytest.importorskip("httpx", reason="the test client needs httpx, of the extra [test]")
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Starlette's, about the next httpx
    from starlette.testclient import TestClient
  from dig2dig_jax.app.guard import Guard
  from dig2dig_jax.app.server import application

  guarded = Guard(application(server), token=TOKEN, hosts=[HOST])
  with TestClient(guarded, base_url=f"http://{HOST}", headers={"origin": f"http://{HOST}"}) as client:
    yield Page(client)


class Page:
  """What the page's scripts do, by hand."""

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


@pytest.fixture(scope="session")
def pair():
  """{name: bytes} of a noisy infrared and a noisy visible image of 40 x 56 pixels."""
  return {"ir.png": png(scene(1, 40, 56, 1)), "vi.png": png(scene(2, 40, 56, 3))}
