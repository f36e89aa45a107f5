"""Does the page work in a browser, by mouse, by keys and on a phone, and does it ask nobody but its own server?"""

import base64
import contextlib
import socket
import threading
import time
import zipfile

import cv2
import numpy as np
import pytest
from page_client import TOKEN, png
from scenes import scene

from dig2dig_jax.data import palettes

pytestmark = pytest.mark.slow

_DROP = """async files => {
  const transfer = new DataTransfer();
  for (const [name, content] of files) {
    const bytes = Uint8Array.from(atob(content), letter => letter.charCodeAt(0));
    transfer.items.add(new File([bytes], name, { type: "image/png" }));
  }
  for (const kind of ["dragenter", "dragover", "drop"])
    document.body.dispatchEvent(new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer: transfer }));
}"""
_NAMELESS = """() => [...document.querySelectorAll("button, input, select, a[href], [role=slider]")].filter(one =>
  one.checkVisibility() && !(one.getAttribute("aria-label") || one.labels?.length || one.textContent.trim()))
  .map(one => one.outerHTML)"""


@contextlib.contextmanager
def served(server):
  """The address of the page, behind a real socket."""
  uvicorn = pytest.importorskip("uvicorn", reason="the page needs the extra [app]")
  from dig2dig_jax.app.guard import Guard
  from dig2dig_jax.app.server import application

  listening = socket.create_server(("127.0.0.1", 0))
  host = f"127.0.0.1:{listening.getsockname()[1]}"
  guarded = Guard(application(server), token=TOKEN, hosts=[host])
  running = uvicorn.Server(uvicorn.Config(guarded, log_level="critical", lifespan="off", timeout_graceful_shutdown=1))
  thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
  thread.start()
  try:
    yield f"http://{host}/{TOKEN}/"
  finally:
    running.should_exit = True
    thread.join(20)


class Tab:
  """A page with its faults."""

  def __init__(self, browser, address, **options):
    self.page = browser.new_page(viewport={"width": 1280, "height": 860}, **options)
    self.faults = []
    self.page.on("console", lambda m: self.faults.append(m.text) if m.type in ("error", "warning") else None)
    self.page.on("pageerror", lambda error: self.faults.append(str(error)))
    self.page.on("request", lambda r: None if r.url.startswith(address) else self.faults.append(r.url))
    self.page.goto(address)
    self.page.wait_for_selector("html[data-ready]")

  def drop(self, files):
    self.page.evaluate(_DROP, [[name, base64.b64encode(content).decode()] for name, content in files.items()])
    self.page.wait_for_selector("#work:not([hidden])", timeout=120_000)
    self.whole()

  def whole(self):
    """Waits for the full picture."""
    self.page.wait_for_selector("#save-8[href]", timeout=120_000)

  def command(self):
    return self.page.inner_text("#command")

  def turn(self, name, value):
    self.page.evaluate(
      "([id, value]) => { const one = document.getElementById(id); one.value = value;"
      " for (const kind of ['input', 'change']) one.dispatchEvent(new Event(kind, { bubbles: true })); }",
      [name, value],
    )  # fmt: skip
    self.whole()


def test_a_pair_from_the_drop_to_the_download(server, browser, pair, tmp_path):
  with served(server) as address:
    tab = Tab(browser, address, accept_downloads=True)
    page = tab.page
    tab.drop(pair)
    assert tab.command() == "dig2dig fuse ir.png vi.png -o fused.png --task=thermal --prior=tiny"
    assert "task thermal, by the names ir and vi" in page.inner_text("#lines")
    page.locator("#work summary").nth(0).click()
    page.locator("#work summary").nth(1).click()
    for name, value, flag in (
      ("c-bands", 2, "--bands=2"), ("c-exponent", 8, "--dig_exponent=8"), ("c-target", 2, "--target=2"),
      ("c-brightness", 1.5, "--brightness=1.5"), ("c-region", 1, "--dig_region=1"),
      ("c-undershoot", 0, "--undershoot=0"), ("c-overshoot", 2, "--overshoot=2"),
      ("c-base", "uniform", "--base=uniform"), ("c-band_window", 1, "--dig_band_window=1"),
      ("c-restore", "off", "--restore=off"), ("range", "full", "--range=full"), ("valid", "off", "--valid=off"),
      ("colormap", "inferno", "--colormap=inferno"),
    ):  # fmt: skip
      before = page.get_attribute("#fused", "src")
      tab.turn(name, value)
      assert page.get_attribute("#fused", "src") != before and flag in tab.command(), name
    page.get_by_label("Reset Detail").click()
    tab.whole()
    assert "--dig_exponent" not in tab.command()
    page.get_by_label("Reset colour map").click()
    tab.whole()
    assert "--colormap" not in tab.command() and page.get_by_label("Reset colour map").is_disabled()
    # By hand, with arrows.
    tab.turn("align", "hand")
    page.get_by_role("button", name="Right", exact=True).focus()
    page.keyboard.press("ArrowRight")
    tab.whole()
    assert page.input_value("#hand-dx") == "5" and page.is_visible("#save-transforms")
    tab.turn("align", "off")
    # Compared: by keys, by blinking, under a map.
    page.focus("#divider")
    page.keyboard.press("Shift+ArrowRight")
    assert page.get_attribute("#divider", "aria-valuenow") == "60"
    page.keyboard.press("Home")
    assert page.get_attribute("#divider", "aria-valuenow") == "0"
    page.keyboard.press("b")
    assert page.get_attribute("#blink", "aria-pressed") == "true" and page.is_hidden("#divider")
    page.keyboard.press("b")
    page.select_option("#overlay", "weight 0")
    page.wait_for_selector("#over:not([hidden])")
    assert "weight of ir" in page.inner_text("#legend")
    page.locator("#strip button").nth(1).click()
    page.wait_for_selector("#source[src*='/source/1.png']")
    # Any two: a plain fusion on the left, a source on the right, and back.
    page.select_option("#against", "plain 2")
    page.wait_for_selector("#source[src*='/plain/2.png']")
    page.select_option("#shown", "source 0")
    page.wait_for_selector("#fused[src*='/source/0.png']")
    assert (page.inner_text("#left"), page.text_content("#right")) == ("pyramid", "ir")
    page.select_option("#shown", "fused 0")
    page.wait_for_selector("#fused[src*='/fused/0.png']")
    assert page.evaluate(_NAMELESS) == []
    with page.expect_download() as saved:
      page.click("#save-16")
    saved.value.save_as(tmp_path / "fused.png")
    found = cv2.imread(str(tmp_path / "fused.png"), cv2.IMREAD_UNCHANGED)
    assert saved.value.suggested_filename == "fused.png" and found.dtype == np.uint16 and found.shape == (40, 56, 3)
    with page.expect_download() as saved:
      page.click("#save-tiff")
    saved.value.save_as(tmp_path / "fused.tif")
    assert saved.value.suggested_filename == "fused.tif"
    assert np.array_equal(cv2.imread(str(tmp_path / "fused.tif"), cv2.IMREAD_UNCHANGED), found)
    for width in (390, 768):
      page.set_viewport_size({"width": width, "height": 844})
      assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.click("#reset-all")
    tab.whole()
    assert tab.command().endswith("--task=thermal --prior=tiny")
    assert tab.faults == []


def test_what_is_wrong_is_said_and_other_images_are_taken(server, browser, pair):
  with served(server) as address:
    tab = Tab(browser, address, color_scheme="dark", reduced_motion="reduce")
    tab.page.evaluate(_DROP, [["a.png", ""]])
    tab.page.wait_for_selector("#error:not([hidden])")
    assert "expected two or more images" in tab.page.inner_text("#error")
    before = server.tabs.names()
    marked = {"<b>ir.png": pair["ir.png"], "<i>vi.png": pair["vi.png"]}
    tab.drop(marked)
    assert "<b>ir.png" in tab.command() and tab.page.locator("#work b, #work i").count() == 0
    tab.page.click("#again")
    assert tab.page.is_visible("#drop")
    end = time.monotonic() + 10
    while server.tabs.names() - before and time.monotonic() < end:
      time.sleep(0.05)
    assert not server.tabs.names() - before and tab.faults == []


def test_other_methods_are_computed_when_they_are_chosen_and_can_be_ended(server, browser, pair, monkeypatch):
  from dig2dig_jax.app import rivals

  gate, run = threading.Event(), rivals.fused

  def waiting(stages, whole, settings, name, say):
    while name == "ccf":  # until it is cancelled
      say(f"{name}, step 1 of 100")
      gate.wait(0.05)
    return run(stages, whole, settings, name, say)

  monkeypatch.setattr(rivals, "fused", waiting)
  with served(server) as address:
    tab = Tab(browser, address)
    page = tab.page
    tab.drop(pair)
    page.select_option("#shown", label="DDFM, seconds")
    page.wait_for_selector("#fused[src*='/ddfm/']", timeout=120_000)
    assert page.text_content("#right") == "DDFM, small"
    assert "20 steps of its paper's 100" in page.inner_text("#small-told")
    before = page.get_attribute("#fused", "src")
    tab.turn("c-exponent", 8)  # does not touch it
    assert page.get_attribute("#fused", "src") == before
    tab.turn("range", "full")  # does: it comes again
    page.wait_for_function("before => { const now = document.getElementById('fused').src;"
                           " return now.includes('/ddfm/') && !now.endsWith(before); }", arg=before)  # fmt: skip
    page.select_option("#against", "method 1")
    page.get_by_text("ccf, step 1 of 100").wait_for()
    assert page.text_content("#left") == "ir"
    page.click("#cancel")
    page.wait_for_function("() => document.getElementById('against').value === 'source 0'")
    assert page.inner_text("#status") == "cancelled" and page.input_value("#shown") == "method 0"
    tab.turn("c-exponent", 3)  # the thread is free again
    assert tab.faults == []


def test_a_server_that_is_gone_and_a_file_that_is_gone_are_said(server, browser, pair, tmp_path):
  with served(server) as address:
    tab = Tab(browser, address)
    page = tab.page
    for name, content in pair.items():
      (tmp_path / name).write_bytes(content)
    held = []
    page.route("**/tabs", lambda route: held.append(route))  # between the choice and the upload a disk is taken away
    page.set_input_files("#files", [tmp_path / name for name in pair])
    while not held:
      page.wait_for_timeout(20)
    (tmp_path / "ir.png").unlink()
    held[0].continue_()
    page.wait_for_selector("#error:not([hidden])")
    assert page.inner_text("#error").startswith("ir.png: expected a file that is still there")
    page.unroute("**/tabs")
    tab.drop(pair)
    page.route("**/fuse", lambda route: route.fulfill(status=403, body="not allowed"))  # another secret
    page.evaluate("document.getElementById('c-exponent').value = 2; document.getElementById('c-exponent')"
                  ".dispatchEvent(new Event('input'))")  # fmt: skip
    page.get_by_text("the server was started anew").wait_for()
    page.unroute("**/fuse")
  page.evaluate("document.getElementById('c-exponent').dispatchEvent(new Event('input'))")
  page.get_by_text("the server does not answer").wait_for()
  # Chromium itself notes the three, and nothing else was at fault.
  assert all("Failed to load resource" in fault for fault in tab.faults), tab.faults


def smooth(seed, height=96, width=128):
  return cv2.GaussianBlur(scene(seed, height, width, 3), (0, 0), 2)


def test_a_palette_is_taken_back_and_what_moved_is_one_exposures_alone(server, browser):
  values = cv2.normalize(smooth(0)[..., 0], None, 0, 255, cv2.NORM_MINMAX)
  thermal = {"ir.png": png(palettes.table("jet")[values]), "vi.png": png(smooth(1))}
  under, over = (np.clip(smooth(2) * gain, 0, 255).astype(np.uint8) for gain in (0.5, 1.0))
  cv2.circle(over, (90, 40), 14, (250, 20, 20), -1)
  with served(server) as address:
    tab = Tab(browser, address)
    tab.drop(thermal)
    assert "palette jet" in tab.page.inner_text("#lines")
    tab.page.click("#again")
    tab.drop({"under.png": png(under), "over.png": png(over)})
    lines = tab.page.inner_text("#lines")
    assert "task exposure" in lines and "moved" in lines, lines
    assert tab.faults == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_there_are_no_barriers(server, browser, pair, barriers, scheme):
  with served(server) as address:
    tab = Tab(browser, address, color_scheme=scheme)
    assert barriers(tab.page) == []
    tab.drop(pair)
    for summary in tab.page.locator("#work summary").all():
      summary.click()
    tab.page.select_option("#overlay", "weight 0")
    tab.page.wait_for_selector("#over:not([hidden])")
    assert "0" in tab.page.inner_text("#legend") and tab.page.locator("#legend .scale").count() == 1
    assert barriers(tab.page) == []
    tab.page.set_viewport_size({"width": 390, "height": 844})
    assert barriers(tab.page) == []


def test_the_divider_follows_a_drag(server, browser, pair):
  with served(server) as address:
    tab = Tab(browser, address)
    tab.drop(pair)
    box = tab.page.locator("#stage").bounding_box()
    middle = box["y"] + box["height"] / 2
    tab.page.mouse.move(box["x"] + box["width"] * 0.7, middle)
    tab.page.mouse.down()
    tab.page.mouse.move(box["x"] + box["width"] * 0.3, middle, steps=5)
    tab.page.mouse.up()
    assert tab.page.get_attribute("#divider", "aria-valuenow") == "30"


def test_a_folder_of_scenes_from_the_choice_to_the_archive(server, browser, pair, barriers, tmp_path):
  for source in ("ir", "vi"):
    (tmp_path / "trip" / source).mkdir(parents=True)
    for k in range(2):
      (tmp_path / "trip" / source / f"{k}.png").write_bytes(pair[f"{source}.png"])
  (tmp_path / "trip" / "vi" / "1.png").write_bytes(pair["vi.png"][:200])
  with served(server) as address:
    tab = Tab(browser, address, accept_downloads=True)
    page = tab.page
    page.set_input_files("#folder", tmp_path / "trip")
    page.wait_for_selector("#queue:not([hidden])")
    assert "2 scenes of thermal + visible" in page.inner_text("#queue-told")
    assert barriers(page) == []
    page.focus("#queue-start")
    page.keyboard.press("Enter")
    page.get_by_text("2 of 2, 1 failed").wait_for(timeout=120_000)
    page.wait_for_selector("#queue-start:not([hidden])")
    states = page.locator("#queue-scenes td:last-child").all_inner_texts()
    assert states[0] == "fused" and states[1].startswith("trip/vi/1.png: expected")
    assert "1 of 2 scenes fused, 1 failed" in page.inner_text("#status")
    assert barriers(page) == [] and page.evaluate(_NAMELESS) == []
    with page.expect_download() as saved:
      page.click("#queue-save")
    saved.value.save_as(tmp_path / "fused.zip")
    with zipfile.ZipFile(tmp_path / "fused.zip") as archive:
      assert "0.png" in archive.namelist() and "1.png" not in archive.namelist()
    for width in (390, 768):
      page.set_viewport_size({"width": width, "height": 844})
      assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.click("#queue-again")
    assert page.is_visible("#drop") and page.is_hidden("#queue") and tab.faults == []
    page.evaluate(_DROP, [["a.zip", ""]])  # no archive: said, and there is a place to drop others
    page.wait_for_selector("#error:not([hidden])")
    assert "a.zip: expected a ZIP archive" in page.inner_text("#error")
    assert page.is_visible("#drop") and page.is_hidden("#queue")
    # Chromium itself notes the refusal, and nothing else was at fault.
    assert all("413" in fault for fault in tab.faults), tab.faults


def test_a_stack_of_five_a_bracket_and_a_reload(server, browser):
  view = smooth(3, 40, 56).astype(np.float32)
  bracket = {f"{name}.png": png(np.clip(view * gain, 0, 255).astype(np.uint8))
             for name, gain in (("bright", 1.9), ("dark", 0.3), ("middle", 1))}  # fmt: skip
  stack = {}
  for k in range(5):
    plane = cv2.GaussianBlur(scene(4, 40, 56, 3), (0, 0), 2)
    plane[:, 11 * k : 11 * k + 12] = scene(4, 40, 56, 3)[:, 11 * k : 11 * k + 12]
    stack[f"{k + 1}.png"] = png(plane)
  with served(server) as address:
    tab = Tab(browser, address)
    tab.drop(stack)
    assert tab.page.locator("#strip button").count() == 5
    tab.page.locator("#strip button").nth(4).click()
    tab.page.wait_for_selector("#source[src*='/source/4.png']")
    before = server.tabs.names()
    tab.page.reload()
    tab.page.wait_for_selector("html[data-ready]")
    assert tab.page.is_visible("#drop")
    tab.drop(bracket)
    assert tab.page.input_value("#task") == "exposure" and tab.page.locator("#strip button").count() == 3
    assert len(server.tabs.names() & before) < len(before)  # the one that was left is closed
    tab.page.set_viewport_size({"width": 390, "height": 844})
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= 390 and tab.faults == []
