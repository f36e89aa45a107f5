"""The page's server without a network: its routes behind the guard, the tiny prior, small pictures."""

import shutil
import warnings
from importlib import resources

import pytest
from page_client import HOST, TOKEN, Page, png
from scenes import scene

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture
def browser():
  """A Chromium of this machine, for pages of `dig2dig app` and for reports."""
  playwright = pytest.importorskip("playwright.sync_api", reason="a browser is driven by playwright: [test-browser]")
  if CHROMIUM is None:
    pytest.skip("no chromium on this machine")
  with playwright.sync_playwright() as driver:
    started = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
    yield started
    started.close()


@pytest.fixture
def barriers():
  """Function of a page that gives what axe-core finds serious or critical in it as it stands."""
  axe = pytest.importorskip("axe_playwright_python", reason="barriers are found by axe-core: [test-browser]")
  script = resources.files(axe).joinpath("axe.min.js").read_text(encoding="utf-8")

  def found(page):
    page.evaluate(script)
    report = page.evaluate("axe.run()")
    assert len(report["passes"]) > 10  # it has looked
    return [(one["id"], node["html"][:200]) for one in report["violations"] if one["impact"] in ("serious", "critical")
            for node in one["nodes"]]  # fmt: skip

  return found


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
    patch.setattr(limits, "SMALLER", 32)
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


@pytest.fixture(scope="session")
def pair():
  """{name: bytes} of a noisy infrared and a noisy visible image of 40 x 56 pixels."""
  return {"ir.png": png(scene(1, 40, 56, 1)), "vi.png": png(scene(2, 40, 56, 3))}
