"""Is the detector run as it was exported, and is mAP what it says? A model made here that finds bright cells."""

import json
import pathlib

import numpy as np
import pytest
from absl.testing import flagsaver
from scenes import write

import launch
from dig2dig_jax.errors import UserError
from dig2dig_jax.evaluation import detection, labels
from dig2dig_jax.evaluation.detector import Detections, Detector, letterbox
from dig2dig_jax.evaluation.labels import Labels

onnx = pytest.importorskip("onnx", reason="the detector of these tests is made with onnx: pip install onnx")
pytest.importorskip("onnxruntime", reason="detection is an extra: pip install onnxruntime")
pytest.importorskip("pycocotools", reason="detection is an extra: pip install pycocotools")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
  """{layout: file}: each says of every 8 x 8 cell of a 64 x 64 input how bright it is, as a box of class 0."""
  from onnx import TensorProto, helper, numpy_helper

  folder = tmp_path_factory.mktemp("models")
  rows, columns = np.divmod(np.arange(64), 8)
  centres = np.stack([columns * 8 + 4, rows * 8 + 4, np.full(64, 8), np.full(64, 8)]).astype(np.float32)[None]
  corners = np.stack([columns * 8, rows * 8, columns * 8 + 8, rows * 8 + 8]).astype(np.float32)[None]

  def save(layout, boxes, between, order):
    parts = [numpy_helper.from_array(boxes, "boxes"), numpy_helper.from_array(np.array([1, 1, 64]), "flat"),
             numpy_helper.from_array(np.full((1, 1, 64), between, np.float32), "constant")]  # fmt: skip
    nodes = [
      helper.make_node("ReduceMean", ["image"], ["gray"], axes=[1], keepdims=1),
      helper.make_node("AveragePool", ["gray"], ["cells"], kernel_shape=[8, 8], strides=[8, 8]),
      helper.make_node("Reshape", ["cells", "flat"], ["score"]),
      helper.make_node("Concat", order, ["rows"], axis=1),
      helper.make_node("Transpose", ["rows"], ["found"], perm=[0, 1, 2] if layout == "yolov8" else [0, 2, 1]),
    ]
    shape = [1, len(order) + 3, 64] if layout == "yolov8" else [1, 64, len(order) + 3]
    graph = helper.make_graph(
      nodes, "cells", [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 64, 64])],
      [helper.make_tensor_value_info("found", TensorProto.FLOAT, shape)], parts,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(folder / f"{layout}.onnx"))
    return folder / f"{layout}.onnx"

  return {
    "yolov8": save("yolov8", centres, 0, ["boxes", "score"]),
    "yolov5": save("yolov5", centres, 0.5, ["boxes", "constant", "score"]),
    "boxes": save("boxes", corners, 0, ["boxes", "score", "constant"]),
  }


def picture(cells, *, bright=255, side=64):
  image = np.zeros((side, side, 1), np.uint8)
  for row, column in cells:
    image[row * side // 8 : (row + 1) * side // 8, column * side // 8 : (column + 1) * side // 8] = bright
  return image


@pytest.mark.parametrize("layout, score", [("yolov8", 1), ("yolov5", 0.5), ("boxes", 1)])
def test_every_layout_finds_the_cell_in_pixels_of_the_image(models, layout, score):
  found = Detector(models[layout], layout=layout, threshold=0.2)(picture([(2, 5)], side=128))
  np.testing.assert_allclose(found.boxes, [[80, 32, 16, 16]], atol=1e-4)
  np.testing.assert_allclose(found.scores, [score], atol=1e-6)
  assert found.classes.tolist() == [0]


def test_letterbox_keeps_the_shape_and_tells_the_way_back():
  image = np.zeros((20, 40, 3), np.uint8)
  image[10:, 20:, 0] = 255
  pixels, scale, offset = letterbox(image, (64, 64))
  assert pixels.shape == (1, 3, 64, 64) and scale == 1.6 and offset.tolist() == [0, 16]
  np.testing.assert_allclose(pixels[0, :, 0, 0], 114 / 255)
  x, y = np.array([30, 15]) * scale + offset
  assert pixels[0, 0, int(y), int(x)] == 1 and pixels[0, 1, int(y), int(x)] == 0


LABELS = Labels([3, 7], {"a": [(3, [10.0, 10.0, 20.0, 20.0], 0)], "b": [(3, [0.0, 0.0, 10.0, 10.0], 0)]})


def found(*rows):
  boxes, scores, classes = zip(*rows, strict=True) if rows else ((), (), ())
  return Detections(np.reshape(np.array(boxes, float), (-1, 4)), np.array(scores), np.array(classes, int))


def test_map_of_cases_that_can_be_counted():
  whole = {"a": found(([10, 10, 20, 20], 0.9, 0)), "b": found(([0, 0, 10, 10], 0.8, 0))}
  mapping = {0: 3, 1: 7}
  assert detection.average_precision(LABELS, whole, mapping) == (1, 1)  # category 7 has no labels and does not count
  # Overlap 10 / 16 = 0.625 with one of two: right at three of ten thresholds.
  moved = whole | {"b": found(([0, 0, 10, 16], 0.8, 0))}
  half = 51 / 101  # precision 1 up to a recall of one half, at 101 points of recall
  np.testing.assert_allclose(detection.average_precision(LABELS, moved, mapping), (1, (3 + 7 * half) / 10))
  # A wrong detection above both right ones: precision 2/3 at most everywhere.
  extra = whole | {"b": found(([50, 50, 5, 5], 0.99, 0), ([0, 0, 10, 10], 0.8, 0))}
  np.testing.assert_allclose(detection.average_precision(LABELS, extra, mapping), (2 / 3, 2 / 3))
  assert detection.average_precision(LABELS, {"a": found(), "b": found()}, mapping) == (0, 0)
  other = {name: rows._replace(classes=rows.classes + 5) for name, rows in whole.items()}
  assert detection.average_precision(LABELS, other, mapping) == (0, 0)
  assert np.isnan(detection.average_precision(Labels([], {"a": []}), {"a": found()}, {})).all()


def test_the_preset_of_llvip_reads_its_folders_and_its_labels(models, tmp_path, capsys):
  people = [(1, 1), (5, 6)]
  for source, shown in (("infrared", people[:1]), ("visible", people[1:])):
    write(tmp_path / "LLVIP" / source / "test" / "190001.jpg", picture(shown))
    write(tmp_path / "LLVIP" / source / "train" / "010001.jpg", picture(people))
  write(tmp_path / "fused" / "190001.png", picture(people))
  boxes = [("person", 0, column * 8, row * 8, column * 8 + 8, row * 8 + 8) for row, column in people]
  write_voc(tmp_path / "LLVIP" / "Annotations", "190001", *boxes, size=64)
  preset = pathlib.Path(launch.__file__).parent / "presets" / "detection_llvip.flags"
  arguments = [f"--flagfile={preset}", f"--data={tmp_path / 'LLVIP'}", f"--labels={tmp_path / 'LLVIP' / 'Annotations'}",
               f"--fused={tmp_path / 'fused'}", f"--detector={models['yolov5']}", f"--out={tmp_path / 'out'}",
               "--nobaselines", "--compile_cache="]  # fmt: skip
  with flagsaver.flagsaver():
    assert launch.main(launch.parse(["launch.py", *arguments])) == 0
  text = capsys.readouterr().out
  assert text.startswith("1 images, 2 labelled objects\n") and "| fused | 1.0000 | 1.0000 |" in text
  scores = json.loads((tmp_path / "out" / "detection.json").read_text())["scores"]
  assert scores["source ir"]["mAP50"] < 0.6 > scores["source vi"]["mAP50"]


def test_yolo_and_coco_labels_say_the_same(tmp_path):
  (tmp_path / "a.txt").write_text("2 0.5 0.25 0.2 0.1\n\n0 0.1 0.1 0.2 0.2\n")
  (tmp_path / "b.txt").write_text("")
  yolo = labels.read(tmp_path, {"a": (100, 200), "b": (10, 10)})
  assert yolo.categories == [0, 2] and yolo.objects["b"] == []
  (first, box, _), second = yolo.objects["a"]
  assert first == 2 and second[0] == 0
  np.testing.assert_allclose(box, [80, 20, 40, 10])
  coco = {
    "images": [{"id": 5, "file_name": "x/a.png"}, {"id": 6, "file_name": "b.jpg"}, {"id": 7, "file_name": "c.jpg"}],
    "categories": [{"id": 2}, {"id": 0}],
    "annotations": [{"image_id": 5, "category_id": 2, "bbox": [80, 20, 40, 10]},
                    {"image_id": 5, "category_id": 0, "bbox": [0, 0, 40, 20]}],
  }  # fmt: skip
  (tmp_path / "labels.json").write_text(json.dumps(coco))
  found = labels.read(tmp_path / "labels.json", {"a": (100, 200), "b": (10, 10)})
  assert found.categories == yolo.categories
  for name in "ab":
    for ours, theirs in zip(found.objects[name], yolo.objects[name], strict=True):
      assert ours[0] == theirs[0]
      np.testing.assert_allclose(ours[1], theirs[1], atol=1e-9)


@pytest.mark.parametrize(
  "name, text, message",
  [
    ("a.txt", "0 0.5 0.5 0.1", "a.txt: expected 'class x y width height' .*found '0 0.5 0.5 0.1'"),
    ("a.txt", "0 50 50 10 10", "a.txt: expected .* shares of the image"),
    ("b.txt", "0 0.5 0.5 0.1 0.1", "expected labels of 'a', found none"),
    ("labels.json", "{}", "labels.json: expected a COCO file of labels, found KeyError"),
  ],
)
def test_labels_that_are_none_are_refused(tmp_path, name, text, message):
  (tmp_path / name).write_text(text)
  with pytest.raises(UserError, match=message):
    labels.read(tmp_path / name if name.endswith("json") else tmp_path, {"a": (64, 64)})


VOC = """<annotation><filename>{name}.jpg</filename>
<size><width>200</width><height>100</height><depth>3</depth></size>{objects}</annotation>"""
OBJECT = """<object><name>{kind}</name><truncated>0</truncated><difficult>{difficult}</difficult><bndbox>
<xmin>{0}</xmin><ymin>{1}</ymin><xmax>{2}</xmax><ymax>{3}</ymax></bndbox></object>"""


def write_voc(folder, name, *objects, size=None):
  """LLVIP's way of writing them; objects: (kind, difficult, left, top, right, bottom); size of a square image."""
  text = "".join(OBJECT.format(*box, kind=kind, difficult=difficult) for kind, difficult, *box in objects)
  folder.mkdir(parents=True, exist_ok=True)
  text = VOC.format(name=name, objects=text)
  for side in ("200", "100") if size else ():
    text = text.replace(f">{side}</", f">{size}</")
  (folder / f"{name}.xml").write_text(text)


def test_pascal_voc_labels_say_what_yolo_s_say(tmp_path):
  sizes = {"190001": (100, 200), "190002": (100, 200)}
  write_voc(tmp_path / "voc", "190001", ("person", 0, 80, 20, 120, 30), ("car", 0, 0, 0, 40, 20))
  write_voc(tmp_path / "voc", "190002", ("person", 1, 0, 0, 10, 10))
  write_voc(tmp_path / "voc", "000000", ("zebra", 0, 0, 0, 10, 10))  # of no image that is asked for
  (tmp_path / "yolo").mkdir()
  (tmp_path / "yolo" / "190001.txt").write_text("1 0.5 0.25 0.2 0.1\n0 0.1 0.1 0.2 0.2\n")
  (tmp_path / "yolo" / "190002.txt").write_text("1 0.025 0.05 0.05 0.1\n")
  voc, yolo = labels.read(tmp_path / "voc", sizes), labels.read(tmp_path / "yolo", sizes)
  assert voc.categories == yolo.categories == [0, 1]
  for ours, theirs in zip(voc.objects["190001"], yolo.objects["190001"], strict=True):
    assert ours[0] == theirs[0] and ours[2] == theirs[2] == 0
    np.testing.assert_allclose(ours[1], theirs[1], atol=1e-9)
  assert voc.objects["190002"] == [(1, [0.0, 0.0, 10.0, 10.0], 1)], "difficult: a crowd, in COCO's terms"
  with pytest.raises(UserError, match="expected labels of '190003', found none"):
    labels.read(tmp_path / "voc", sizes | {"190003": (100, 200)})


@pytest.mark.parametrize(
  "text, message",
  [
    ("<annotation>", "a.xml: expected Pascal VOC labels, found no element found"),
    (VOC.format(name="a", objects=OBJECT.format(5, 5, 5, 9, kind="a", difficult=0)), "found a box from 5,5 to 5,9"),
    (VOC.format(name="a", objects=OBJECT.format(1, 1, "x", 9, kind="a", difficult=0)), "could not convert"),
    (VOC.format(name="a", objects="").replace("200", "64"), "labels of an image of 64x100 for one of 200x100"),
    ("<!DOCTYPE a [<!ENTITY b 'c'>]><annotation/>", "found more than a megabyte, or declarations of its own"),
  ],
)
def test_pascal_voc_labels_that_are_none_are_refused(tmp_path, text, message):
  (tmp_path / "a.xml").write_text(text)
  with pytest.raises(UserError, match=message):
    labels.read(tmp_path, {"a": (100, 200)})
  (tmp_path / "a.txt").write_text("")
  with pytest.raises(UserError, match="expected labels of one kind"):
    labels.read(tmp_path, {"a": (100, 200)})


def test_models_that_are_none_are_refused(models, tmp_path):
  (tmp_path / "bad.onnx").write_text("rubbish")
  with pytest.raises(UserError, match="bad.onnx: expected an ONNX model, found"):
    Detector(tmp_path / "bad.onnx", layout="yolov8")
  with pytest.raises(UserError, match="none.onnx: expected an ONNX model, found no file"):
    Detector(tmp_path / "none.onnx", layout="yolov8")
  with pytest.raises(UserError, match=r"expected an output in the layout --detector_layout=boxes, found \(1, 5, 64\)"):
    Detector(models["yolov8"], layout="boxes")(picture([]))


def test_the_command_ranks_what_shows_both_objects_above_what_shows_one(models, tmp_path, capsys):
  # Each source shows one of two objects, the fused image both.
  for name, first, second in (("1", (1, 1), (5, 6)), ("2", (0, 3), (7, 2))):
    write(tmp_path / "data" / "ir" / f"{name}.png", picture([first]))
    write(tmp_path / "data" / "vi" / f"{name}.png", picture([second]))
    write(tmp_path / "fused" / f"{name}.png", picture([first, second]))
    lines = [f"0 {(column + 0.5) / 8} {(row + 0.5) / 8} 0.125 0.125" for row, column in (first, second)]
    (tmp_path / "labels").mkdir(exist_ok=True)
    (tmp_path / "labels" / f"{name}.txt").write_text("\n".join(lines))
  arguments = ["--job=evaluate", "--suite=detection", f"--data={tmp_path / 'data'}", f"--fused={tmp_path / 'fused'}",
               f"--labels={tmp_path / 'labels'}", f"--detector={models['yolov8']}", f"--out={tmp_path / 'out'}",
               "--nobaselines", "--compile_cache="]  # fmt: skip
  with flagsaver.flagsaver():
    assert launch.main(launch.parse(["launch.py", *arguments])) == 0
  text = capsys.readouterr().out
  assert text.startswith("2 images, 4 labelled objects\n") and "| fused | 1.0000 | 1.0000 |" in text
  scores = json.loads((tmp_path / "out" / "detection.json").read_text())["scores"]
  assert list(scores) == ["fused", "source ir", "source vi"]
  np.testing.assert_allclose(scores["source ir"]["mAP50"], 51 / 101)
  with flagsaver.flagsaver():
    assert launch.main(launch.parse(["launch.py", *arguments, "--detector_classes=1,2"])) == 2
  assert "--detector_classes: expected one number for each of the 1 categories [0], found 2" in capsys.readouterr().err
