"""Does the report hold what was compared, within its budget, and neither a place of the machine nor another host?"""

import base64
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from scenes import scene, write, write_pair

from dig2dig_jax import metrics
from dig2dig_jax.data.datasets import DataConfig
from dig2dig_jax.errors import UserError
from dig2dig_jax.evaluation import meanings, report, report_made, report_pictures
from dig2dig_jax.evaluation.report_pictures import Album
from dig2dig_jax.figures import comparison, spec
from dig2dig_jax.fusing import ledger
from dig2dig_jax.record import environment

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
    write(root / "theirs" / "weights" / f"{name}_ir.png", np.full((*SIZE, 1), 128, np.uint8))
    if name != "4":
      write(root / "theirs" / f"{name}.png", scene(3, *SIZE, 1))
  settings = {"method": "dig2dig", "seed": 7, "command": "python launch.py --seed=7", "sources": ["vi", "ir"]}
  record = {"settings": settings, "evaluations": 29, "seconds": 0.8059411,
            "environment": environment() | {"device": "tpu"}}  # fmt: skip
  (root / "ours" / "run.json").write_text(json.dumps(record))
  residual = [[0.2, 0.3], [0.3, 0.4], [0.4, 0.5]]
  curve = {"t": [999, 500, 0], "weight": [[0.5, 0.5]] * 3, "residual": residual}
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
  assert "No weight maps of theirs: each is of one value." in text
  assert data["kinds"] == ["source"] * 2 + ["method"] * 2 + ["plain"] * 4 + ["map"]
  assert data["shown"] == list(NAMES) and all(data["full"])
  assert data["scores"][0][0] == [row["EN"] for row in found.scores["ours"]]
  assert data["scores"][-1][2] == [None] * 3  # SCD of a copy
  assert text.count("<svg ") == 3 + 3 + 1  # distributions, costs, and residuals; weights that stand still are a line
  assert "ours: weight ir 0.50, vi 0.50, the same at every step" in text
  assert data["latex"]["rows"]["ours"] in data["latex"]["table"] and data["csv"].startswith("method,image,EN,MSE,SCD")


def test_of_a_run_stands_what_differs_from_the_reports_own_environment(page):
  text = (page[0] / "report.html").read_text()
  run = text.partition("<h3>ours</h3>")[2].partition("</table>")[0]
  assert "<td>tpu</td>" in run and "<td>0.806</td>" in run and "jaxlib" not in run


def test_the_page_names_no_place_of_the_machine(page, tmp_path):
  folder, _ = page
  text = (folder / "report.html").read_text()
  assert str(folder.parent) not in text and "…/theirs: expected an image named" in text
  for given, shown in (
    ("/home/me/My data/x.png: expected", "…/My data/x.png: expected"),
    ("--data=/a/b/c --out=out/d", "--data=…/c --out=out/d"),
    (r"C:\Users\me\a.png", "…/a.png"), ("~/a/b", "…/b"), ("1/2 of a/b", "1/2 of a/b"), ("python launch.py", None),
  ):  # fmt: skip
    assert report_made.placeless(given, [Path("/home/me/My data")]) == (shown or given)


def test_plain_rows_are_never_crowned_and_few_images_are_not_tested(page):
  folder, found = page
  text = (folder / "report.html").read_text()
  rows = {one[0]: one[1] for one in re.findall(r'<tr[^>]*><th scope="row" title="(.*?)">(.*?)</tr>', text)}
  assert 'class="best"' in rows["ours"] + rows["theirs"]
  plain = "".join(rows[name] for name in found.comparison.plain)
  assert len(found.comparison.plain) == 6 and 'class="best"' not in plain and "beats" in plain
  assert "Three images" not in text and "gives no p below 0.25, whatever the scores; 6 images are the fewest" in text
  assert "p = " not in (folder / "summary.md").read_text() and 'id="differences"' not in text
  assert found.comparison.method_ranks.keys() == {"ours", "theirs"}
  assert "entropy: How evenly are the grey levels in use?" in text
  assert "<title>Two methods of fusing infrared and visible images</title>" in text


def test_every_measure_has_a_meaning():
  assert all(meanings.meaning(name).asks for name in metrics.METRICS)
  assert "fares worst" in meanings.meaning("VIF_min").name and meanings.meaning("VIF_min").cheaply == ""


def test_the_figure_beside_the_page_is_drawn(page):
  folder, _ = page
  figure = spec.read(folder / "figure.toml")
  assert list(figure.images) == ["ir", "vi", "ours", "theirs"] and len(figure.boxes) == 1
  assert str(folder.parent) not in (folder / "figure.toml").read_text()
  assert comparison.write(folder / "figure.png", figure)[0].exists()


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
  found = report_made.curves(tmp_path, {"settings": {"sources": ["vi", "ir"]}}, ("ir", "vi"), notes)
  assert found["1"]["weight"].tolist() == [[0.9, 0.1], [0.8, 0.2]] and found["1"]["t"] == [9, 0] and notes == []
  assert report_made.curves(tmp_path, {"settings": {"sources": ["a", "b"]}}, ("ir", "vi"), notes) is None
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
