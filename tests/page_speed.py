"""How long does the page of `dig2dig app` take, in a browser, from a drop or a slider movement to the image?

  python tests/page_speed.py IR VI --size=640x480     medians of --rounds=20 turns, and the server's processor time

The server is `dig2dig app` in a separate process; the browser is Chromium, driven by Playwright. A turn is one `input`
event of the slider; it ends when the new image is decoded and the browser has drawn a frame with it.
"""

import argparse
import base64
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import cv2

TESTS = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(TESTS.parent), str(TESTS)]
SLIDERS = {"exponent": (2, 9), "target": (0.5, 3), "brightness": (0.5, 3), "undershoot": (1, 20)}
_READY = 180  # seconds that a first start may take, with nothing in its cache
_UNTIL = """began => new Promise(done => {
  const image = document.getElementById("fused"), old = image.src;
  const seen = new MutationObserver(async () => {
    if (image.src === old) return;
    seen.disconnect();
    await image.decode().catch(() => {});
    requestAnimationFrame(() => done(performance.now() - start));
  });
  seen.observe(image, { attributes: true, attributeFilter: ["src"] });
  const start = performance.now();
  began();
})"""
_DROP = f"""files => ({_UNTIL})(() => {{
  const transfer = new DataTransfer();
  for (const [name, content] of files)
    transfer.items.add(new File([Uint8Array.from(atob(content), sign => sign.charCodeAt(0))], name));
  document.body.dispatchEvent(new DragEvent("drop", {{ bubbles: true, cancelable: true, dataTransfer: transfer }}));
}})"""
_TURN = f"""([id, value]) => ({_UNTIL})(() => {{
  const slider = document.getElementById(id);
  slider.value = value;
  slider.dispatchEvent(new Event("input", {{ bubbles: true }}));
}})"""


def processor(pid: int) -> float:
  """Seconds of the processor that a process has had."""
  fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
  return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def settled(pid: int) -> None:
  """Waits until the server has made its programs ready: a second in which it hardly computed."""
  end = time.monotonic() + _READY
  while time.monotonic() < end:
    before = processor(pid)
    time.sleep(1)
    if processor(pid) - before < 0.03:
      return
  raise SystemExit(f"expected a server at rest within {_READY} s, found it still at work")


def scaled(path: pathlib.Path, size: tuple[int, int]) -> list[str]:
  """[name, content in base 64] of an image at this (width, height), as PNG."""
  pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
  ok, found = cv2.imencode(".png", cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))
  assert ok
  return [f"{path.parent.name}_{path.stem}.png", base64.b64encode(found.tobytes()).decode()]


def timed(page, pid: int, script: str, argument) -> tuple[float, float]:
  """(milliseconds in the browser, milliseconds of the server's processor)."""
  before = processor(pid)
  wall = page.evaluate(script, argument)
  return wall, 1000 * (processor(pid) - before)


def told(what: str, found: list[tuple[float, float]]) -> None:
  walls, spent = zip(*found, strict=True)
  print(f"{what:<26}{statistics.median(walls):7.0f} ms median,{max(walls):6.0f} ms longest,"
        f"{statistics.mean(spent):6.0f} ms of the server's processor ({len(found)} times)", flush=True)  # fmt: skip


def measure(files: list[list[str]], rounds: int, address: str, pid: int) -> None:
  from page_fixtures import CHROMIUM
  from playwright.sync_api import sync_playwright

  with sync_playwright() as driver:
    browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
    page = browser.new_page(viewport={"width": 1280, "height": 860})
    first, slides = [], {name: [] for name in SLIDERS}
    for _ in range(max(rounds // 4, 2)):
      page.goto(address)
      page.wait_for_selector("html[data-ready]")
      settled(pid)
      first.append(timed(page, pid, _DROP, files))
    page.wait_for_selector("#save-8[href]", timeout=_READY * 1000)
    for name, values in SLIDERS.items():
      for turn in range(rounds + 1):
        found = timed(page, pid, _TURN, [f"c-{name}", values[turn % 2] + 0.25 * (turn // 2)])
        slides[name] += [found] if turn else []  # the first may turn a limit on, which is another program
    browser.close()
  told("first picture", first)
  for name, found in slides.items():
    told(f"slider, {name}", found)


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("images", nargs=2, type=pathlib.Path, metavar="IMAGE")
  parser.add_argument("--size", default="640x480", help="WIDTHxHEIGHT to which both images are resized")
  parser.add_argument("--rounds", type=int, default=20)
  given = parser.parse_args()
  width, height = map(int, given.size.split("x"))
  files = [scaled(path, (width, height)) for path in given.images]
  with tempfile.TemporaryFile("w+") as notes:
    command = [sys.executable, "-m", "dig2dig_jax", "app"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=notes, text=True, cwd=TESTS.parent)
    try:
      address = server.stdout.readline().split()
      if not address:
        server.wait()
        notes.seek(0)
        raise SystemExit(notes.read())
      print(f"{width} x {height} pixels, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", flush=True)
      settled(server.pid)
      measure(files, given.rounds, address[0], server.pid)
    finally:
      server.terminate()
      server.wait(60)


if __name__ == "__main__":
  main()
