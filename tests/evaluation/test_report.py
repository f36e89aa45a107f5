"""Does the report open in a browser without a complaint, and do its slider and its tables do what they look like?"""

import base64
import json
import os
import re
import shutil
import subprocess

import cv2
import numpy as np
import pytest
from scenes import scene, write, write_pair

from dig2dig_jax import metrics
from dig2dig_jax.data.datasets import DataConfig
from dig2dig_jax.errors import UserError
from dig2dig_jax.evaluation import report, report_pictures
from dig2dig_jax.evaluation.report_pictures import Album
from dig2dig_jax.fusing import ledger

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SIZE = (48, 64)
NAMES = ("1", "2", "3 & <b>")


def pairs(root):
  return DataConfig(root / "data", ("ir", "vi"))


def write_log(folder, curves):
  """The log of a fuse job, with curves {pair: curve}."""
  blank = {"bytes": 1, "sha256": "0", "sources": {}, "fingerprint": "0", "flags": {}, "weights": "0"}
  (folder / ledger.FOLDER).mkdir(parents=True)
  lines = [json.dumps({"id": name, **blank, "curves": curve}) + "\n" for name, curve in curves.items()]
  (folder / ledger.FOLDER / "0-of-1.jsonl").write_text("".join(lines))


@pytest.fixture(scope="module")
def page(tmp_path_factory, quick_compile):
  """Folder of a report: two methods, one with a record, maps and curves of its run; one image of the other missing."""
  root = tmp_path_factory.mktemp("report")
  for index, name in enumerate((*NAMES, "4")):
    write_pair(root / "data", name, SIZE, channels={"ir": 1, "vi": 3})
    write(root / "ours" / f"{name}.png", scene(100 + index, *SIZE, 3))
    write(root / "ours" / "weights" / f"{name}_ir.png", scene(2, *SIZE, 1))
    if name != "4":
      write(root / "theirs" / f"{name}.png", scene(3, *SIZE, 1))
  settings = {"method": "dig2dig", "seed": 7, "command": "python launch.py --seed=7", "sources": ["vi", "ir"]}
  record = {"settings": settings, "evaluations": 29}
  (root / "ours" / "run.json").write_text(json.dumps(record))
  curve = {"t": [999, 500, 0], "weight": [[0.5, 0.5]] * 3, "residual": [[0.2, 0.3]] * 3}
  write_log(root / "ours", {name: curve for name in NAMES})
  patch = pytest.MonkeyPatch()
  patch.setattr(metrics, "PROTOCOLS", {"toy": ("EN", "MSE", "SCD")})
  folders = {"ours": root / "ours", "theirs": root / "theirs"}
  found = report.run(folders, pairs(root), root / "out", command="launch.py <me>", protocol="toy")
  patch.undo()
  return root / "out", found


def pictures(text):
  return [json.loads(part) for part in re.findall(r'class="pictures">(.*?)</script>', text)]


def test_the_page_holds_everything_and_asks_for_nothing(page):
  folder, found = page
  text = (folder / "report.html").read_text()
  assert not re.search(r'(src|href)="(?!#|data:)', text) and "http" not in re.sub(r"<meta[^>]*>", "", text)
  assert len(found.failed) == 1 and "theirs: expected an image named" in text
  assert "3 &amp; <b>" not in text and "launch.py &lt;me&gt;" in text and "python launch.py --seed=7" in text
  assert (folder / "summary.json").exists() and found.comparison.images == list(NAMES)
  data = json.loads(re.search(r'id="data">(.*?)</script>', text)[1])
  assert data["labels"] == ["ir", "vi", "ours", "theirs", *metrics.BASELINES, "weight of ir, ours"]
  assert data["shown"] == list(NAMES) and all(data["full"])
  assert data["scores"][0][0] == [row["EN"] for row in found.scores["ours"]]
  assert data["scores"][-1][2] == [None] * 3  # SCD of a copy
  assert text.count("data:image/svg+xml;base64,") == 3


def test_close_ups_are_every_pixel(page):
  folder, _ = page
  first = pictures((folder / "report.html").read_text())[0]
  assert first["exact"] and len(first["close_ups"]) == len(first["thumbnails"]) == 9
  decoded = cv2.imdecode(np.frombuffer(base64.b64decode(first["close_ups"][2].split(",")[1]), np.uint8), -1)
  np.testing.assert_array_equal(decoded[..., ::-1], scene(100, *SIZE, 3))


def test_five_hundred_pairs_keep_to_the_budget():
  images = {str(i): cv2.resize(scene(i, 175, 250, 1), (500, 350))[..., None] for i in range(9)}
  budget = 50_000_000
  album = Album(pairs=500, images=9, budget=budget)
  found = [album.add(images, ["0", "1"]) for _ in range(3)]  # the first has a close-up, the others none
  assert all(found) and found[0].close_ups and not found[1].close_ups
  small, large = (sum(map(len, uris)) for uris in (found[1].thumbnails, found[0].close_ups))
  share = report_pictures.SHARE * budget
  assert 500 * small <= share and report_pictures.CLOSE_UPS * large <= budget - share
  few = Album(pairs=500, images=9, budget=1_000_000)
  assert len(few._shown) == 33 and max(few._shown) == 499


def test_strips_fit_into_the_album():
  strip = {name: np.zeros((1, 30_000, 3), np.uint8) for name in "ab"}
  found = Album(pairs=1, images=2, budget=1_000_000).add(strip, ["a", "b"])
  assert len(found.thumbnails) == 2


def test_names_and_notes_are_text_on_the_page_and_a_fault_of_a_picture_is_a_note(tmp_path, quick_compile, monkeypatch):
  hostile = "<script>alert(1)</script>".replace("/", "\u2215")
  name = b"caf\xe9 <b>&'".decode("utf-8", "surrogateescape") + hostile
  for source in ("ir", "vi", hostile):
    (tmp_path / "data" / source).mkdir(parents=True)
    write(tmp_path / "p.png", scene(len(source), *SIZE, 1))
    (tmp_path / "p.png").rename(tmp_path / "data" / source / f"{name}.png")
  monkeypatch.setattr(metrics, "PROTOCOLS", {"toy": ("EN",)})
  monkeypatch.setattr(Album, "add", lambda *args: (_ for _ in ()).throw(MemoryError("12 GB")))
  folders = {hostile: tmp_path / "data" / hostile}
  found = report.run(folders, pairs(tmp_path), tmp_path / "out", command=hostile, protocol="toy")
  page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
  assert "<script>alert" not in page and "&lt;script&gt;alert" in page
  assert found.failed == [] and len(found.notes) == 1 and "12 GB" in found.notes[0]
  summary = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
  assert summary["images"] == [name]


def test_the_focus_is_where_detail_differs_and_not_where_brightness_does():
  a = np.full((200, 300, 1), 100, np.uint8)
  b = a.copy()
  b[:, :100] = 220
  b[150:170:2, 240:260] = 0
  x, y = report_pictures.focus([a, b])
  assert abs(x - 250 / 300) < 0.06 and abs(y - 160 / 200) < 0.06


def test_curves_follow_the_names_of_the_sources_and_not_their_order(tmp_path):
  curve = {"t": [9, 0], "weight": [[0.1, 0.9], [0.2, 0.8]], "residual": [[1, 2], [3, 4]]}
  write_log(tmp_path, {"1": curve})
  notes = []
  found = report._curves(tmp_path, {"settings": {"sources": ["vi", "ir"]}}, ("ir", "vi"), notes)
  assert found["1"]["weight"].tolist() == [[0.9, 0.1], [0.8, 0.2]] and found["1"]["t"] == [9, 0] and notes == []
  assert report._curves(tmp_path, {"settings": {"sources": ["a", "b"]}}, ("ir", "vi"), notes) is None
  assert "expected curves of ir, vi, found a, b" in notes[0]


def test_a_map_that_is_missing_is_a_note_and_a_damaged_record_too(tmp_path, quick_compile, monkeypatch):
  monkeypatch.setattr(metrics, "PROTOCOLS", {"toy": ("EN",)})
  write_pair(tmp_path / "data", "1", SIZE, channels={"ir": 1, "vi": 1})
  write(tmp_path / "ours" / "1.png", scene(1, *SIZE, 1))
  (tmp_path / "ours" / "weights").mkdir()
  (tmp_path / "ours" / "run.json").write_text("{")
  folders = {"ours": tmp_path / "ours"}
  report.run(folders, pairs(tmp_path), tmp_path / "out", command="x", protocol="toy", baselines=False)
  text = (tmp_path / "out" / "report.html").read_text()
  assert "1_ir.png: expected an image file, found nothing there" in text and "run.json: expected JSON" in text
  with pytest.raises(UserError, match="--page_mb=0: expected above 0"):
    report.run(folders, pairs(tmp_path), tmp_path / "out", command="x", budget_mb=0)


# What a reader would do, written into the page, and what came of it, written into the document's title.
_LISTEN = """<script>
window.faults = [];
addEventListener("error", event => faults.push(event.message));
addEventListener("unhandledrejection", event => faults.push(String(event.reason)));
addEventListener("securitypolicyviolation", event => faults.push(event.violatedDirective));
console.error = console.warn = (...words) => faults.push(words.join(" "));
</script>"""
_ACT = """<script>
const wait = until => new Promise(resolve => {
  const look = () => until() ? resolve() : setTimeout(look, 20);
  look();
});
const rows = table => [...document.getElementById(table).tBodies[0].rows];
const column = (table, number) => rows(table).map(row => row.cells[number].textContent);
const head = (table, number) => document.getElementById(table).tHead.rows[0].cells[number];
(async () => {
  const found = {};
  await wait(() => document.querySelectorAll("#crops canvas").length === 9);
  await wait(() => document.querySelectorAll(".tile img").length >= 9);
  found.before = document.getElementById("over").style.clipPath;
  const slider = document.getElementById("slider");
  slider.value = 20;
  slider.dispatchEvent(new Event("input"));
  found.after = document.getElementById("over").style.clipPath;
  const crop = () => document.querySelector("#crops canvas").toDataURL();
  const first = crop();
  document.getElementById("zoom").value = "6";
  document.getElementById("zoom").dispatchEvent(new Event("change"));
  found.zoomed = crop() !== first;
  const box = document.getElementById("stage").getBoundingClientRect();
  const [near, there] = [document.getElementById("window").style.left, { clientX: box.left + 1, clientY: box.top + 1 }];
  document.getElementById("stage").dispatchEvent(new MouseEvent("click", { bubbles: true, ...there }));
  found.moved = [near, document.getElementById("window").style.left];
  found.unsorted = column("means", 1);
  head("means", 1).click();
  found.best_first = column("means", 1);
  head("means", 1).click();
  found.worst_first = column("means", 1);
  head("means", 3).click();
  found.scd = column("means", 3);
  found.sorted_by = head("means", 3).getAttribute("aria-sort");
  const pair = document.getElementById("pair");
  found.pairs = [...pair.options].map(option => option.textContent);
  const shown = document.getElementById("over").src;
  pair.value = "2";
  pair.dispatchEvent(new Event("change"));
  found.other_pair = document.getElementById("over").src !== shown;
  found.images = column("perimage", 0);
  await wait(() => document.querySelectorAll("#crops canvas").length === 9);
  await Promise.all([...document.images].map(image => image.decode()));
  found.faults = faults;
  document.title = "FOUND" + btoa(unescape(encodeURIComponent(JSON.stringify(found))));
})().catch(error => { document.title = "FOUND" + btoa(JSON.stringify({ failed: String(error) })); });
</script>"""


@pytest.fixture(scope="module")
def acted(page, tmp_path_factory):
  """What a reader's actions do in a real browser."""
  if CHROMIUM is None:
    pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
  text = (page[0] / "report.html").read_text()
  text = text.replace("<style>", _LISTEN + "<style>", 1).replace("</body>", _ACT + "</body>")
  folder = tmp_path_factory.mktemp("browser")
  (folder / "page.html").write_text(text)
  command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}",
             "--window-size=1366,768", "--virtual-time-budget=20000", "--enable-logging=stderr", "--dump-dom",
             (folder / "page.html").as_uri()]  # fmt: skip
  environment = os.environ | {"HOME": str(folder)}
  done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
  title = re.search(r"<title>FOUND(.*?)</title>", done.stdout)
  assert title, done.stderr[-2000:]
  found = json.loads(base64.b64decode(title[1]))
  assert "failed" not in found, found
  return found, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def test_a_browser_has_nothing_to_complain_of(acted):
  found, console = acted
  assert found["faults"] == [] and console == []


def test_the_slider_moves_the_divider_and_a_click_the_crop(acted):
  found, _ = acted
  assert found["before"] == "inset(0px 50% 0px 0px)" and found["after"] == "inset(0px 80% 0px 0px)"
  assert found["zoomed"] and found["other_pair"]
  assert found["moved"][0] != found["moved"][1] == "0%"


def test_tables_sort_by_value_best_first_and_keep_the_undefined_last(acted):
  found, _ = acted
  numbers = [float(text) for text in found["unsorted"]]
  assert [float(text) for text in found["best_first"]] == sorted(numbers, reverse=True) != numbers
  assert [float(text) for text in found["worst_first"]] == sorted(numbers)
  assert [text.startswith("–") for text in found["scd"]] == [False] * 6 + [True] * 2
  assert found["sorted_by"] == "descending"


def test_names_survive_as_text(acted):
  found, _ = acted
  assert found["pairs"] == list(NAMES) and found["images"] == list(NAMES)
