"""Does a report work in a browser, on a desk, on a phone and by night, and does it ask nobody for anything?"""

import re

import cv2
import numpy as np
import pytest
from scenes import scene, write, write_pair

from dig2dig_jax import metrics
from dig2dig_jax.data.datasets import DataConfig
from dig2dig_jax.evaluation import report

pytestmark = pytest.mark.slow
SIZE = (96, 128)
NAMES = ("1", "2", "3 & <b>", "4", "5", "6", "7")
VIEWS = [{"width": 1280, "height": 900}, {"width": 390, "height": 844}]


@pytest.fixture(scope="module")
def address(tmp_path_factory, quick_compile):
  """Of a report of three methods, the first with weight maps, on seven pairs: enough for a test of two comparisons."""
  root = tmp_path_factory.mktemp("report")
  for index, name in enumerate(NAMES):
    write_pair(root / "data", name, SIZE, channels={"ir": 1, "vi": 3})
    for number, method in enumerate(("ours", "theirs", "a third with a name that is long enough for two lines")):
      write(root / method / f"{name}.png", (scene(index, *SIZE, 3) * (1 - number / 4)).astype(np.uint8))
    write(root / "ours" / "weights" / f"{name}_ir.png", scene(2, *SIZE, 1))
  folders = {folder.name: folder for folder in sorted(root.iterdir(), key=lambda one: one.name != "ours")
             if folder.name != "data"}  # fmt: skip
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(metrics, "PROTOCOLS", {"toy": ("EN", "MSE", "SCD", "Qabf", "SF")})
    report.run(folders, DataConfig(root / "data", ("ir", "vi")), root / "out", command="x", protocol="toy")
  return (root / "out" / report.PAGE).as_uri()


@pytest.fixture
def opened(browser, address):
  """Function that opens the report; its faults are looked at in the end."""
  faults, pages = [], []

  def open_page(**options):
    page = browser.new_page(**options)
    page.on("console", lambda one: faults.append(one.text) if one.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda one: None if re.match("file:|data:|blob:", one.url) else faults.append(one.url))
    page.goto(address)
    page.wait_for_selector("#crops canvas")
    pages.append(page)
    return page

  yield open_page
  assert pages and faults == []


def cut(page):
  """Where the upper picture ends, percent."""
  return 100 - float(re.search(r"inset\(0px ([\d.]+)%", page.evaluate("over.style.clipPath"))[1])


def column(page, table, number):
  """Of the methods alone, without the rows for scale."""
  script = "(table, k) => [...table.tBodies[0].rows].map(row => row.cells[k].textContent)"
  return page.eval_on_selector(table, script, number)


def test_a_reader_compares_and_takes_away(opened, tmp_path):
  page = opened(viewport=VIEWS[0], accept_downloads=True)
  page.context.grant_permissions(["clipboard-read", "clipboard-write"])
  page.evaluate("compare.scrollIntoView()")
  box = page.locator("#stage").bounding_box()
  middle = box["y"] + box["height"] / 2
  # The divider: dragged, by keys, blinking.
  page.mouse.move(box["x"] + box["width"] / 2, middle)
  page.mouse.down()
  page.mouse.move(box["x"] + box["width"] / 4, middle, steps=4)
  page.mouse.up()
  assert abs(cut(page) - 25) < 1
  page.focus("#divider")
  page.keyboard.press("Shift+ArrowRight")
  assert abs(cut(page) - 35) < 1 and page.get_attribute("#divider", "aria-valuenow") == "35"
  page.keyboard.press("b")
  assert cut(page) == 100 and page.is_hidden("#divider")
  page.keyboard.press("b")
  assert abs(cut(page) - 35) < 1
  # A press moves the crop and not the divider; so do arrows.
  page.mouse.click(box["x"] + 3, box["y"] + 3)
  assert page.evaluate("document.getElementById('window').style.left") == "0%" and abs(cut(page) - 35) < 1
  page.focus("#window")
  first = page.evaluate("document.querySelector('#crops canvas').toDataURL()")
  for _ in range(12):
    page.keyboard.press("ArrowRight")
  page.select_option("#zoom", "6")
  assert page.evaluate("document.querySelector('#crops canvas').toDataURL()") != first
  # What a heading and a number tell, and what is sorted.
  assert "entropy: How evenly" in page.get_attribute("#means th:nth-child(4)", "title")
  assert re.match(r"± .* \[.*\]", page.get_attribute("#means tbody tr td:nth-of-type(3)", "title"))
  page.click("#means th:nth-child(4) button")
  numbers = [float(text.replace("★", "")) for text in column(page, "#means", 3)]
  assert numbers == sorted(numbers, reverse=True) and page.get_attribute("#means th:nth-child(4)", "aria-sort")
  assert page.locator("#means tbody.plain .best").count() == 0 and page.locator("#means tr.own").count() == 1
  assert page.inner_text("#means tbody.plain tr:first-child").startswith("For scale")
  page.click("#paired summary")
  assert page.locator("#differences td.worse, #differences td.better").count() > 0
  # Weight maps come with a scale.
  assert page.is_visible("#sheet-scale") and page.is_hidden("#map-scale")
  page.select_option("#right", label="weight of ir, ours")
  assert page.is_visible("#map-scale")
  # Another pair, from the sheet, by its name.
  page.get_by_role("button", name="3 & <b>").click()
  assert page.evaluate("document.getElementById('pair').selectedOptions[0].text") == "3 & <b>"
  # Taken away.
  page.click("#latex-row")
  assert page.inner_text("#latex").startswith("ours & ") and page.inner_text("#latex").endswith("\\\\")
  for name, mark in (("png", b"\x89PNG"), ("pdf", b"%PDF-1.4")):
    with page.expect_download() as saved:
      page.click(f"#figure-{name}")
    saved.value.save_as(tmp_path / f"figure.{name}")
    assert (tmp_path / f"figure.{name}").read_bytes().startswith(mark)
  assert cv2.imread(str(tmp_path / "figure.png")).shape[1] == 2100  # 88.9 mm at 600 dots an inch
  content = (tmp_path / "figure.pdf").read_bytes()
  start = int(re.search(rb"startxref\n(\d+)", content)[1])
  assert content[start : start + 4] == b"xref" and b"/Width 128 /Height 96 /ColorSpace /DeviceRGB" in content
  for number, place in enumerate(re.findall(rb"(\d{10}) 00000 n", content), start=1):
    assert content[int(place) :].startswith(b"%d 0 obj" % number)


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: str(view["width"]))
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_has_no_barriers(opened, barriers, view, scheme):
  page = opened(viewport=view, color_scheme=scheme)
  assert page.evaluate("document.documentElement.scrollWidth") <= view["width"]
  # A table is as wide as its frame, and all of a few pairs' pictures are there without scrolling, in print too.
  wide = "document.getElementById('means')"
  assert page.evaluate(f"{wide}.offsetWidth") >= page.evaluate(f"{wide}.parentElement.clientWidth")
  pictures = page.locator("#rows tbody img")
  assert pictures.count() == len(NAMES) * page.locator("#rows thead th:not(:first-child)").count()
  page.eval_on_selector_all("details", "all => all.forEach(one => { one.open = true; })")
  paper = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
  assert (sum(map(int, re.findall(r"\d+", paper)[:3])) > 384) == (scheme == "light")
  assert page.evaluate("document.documentElement.scrollWidth") <= view["width"]
  assert barriers(page) == []
