"""Are fused images in shards scored as the same images in a folder, whichever kind of shard holds them?"""

import json

import numpy as np
import pytest
from scenes import scene, write, write_pair

from dig2dig_jax import metrics
from dig2dig_jax.data.datasets import DataConfig
from dig2dig_jax.data.shards import KINDS
from dig2dig_jax.errors import UserError
from dig2dig_jax.evaluation import folders, report
from dig2dig_jax.evaluation import fused as evaluate_fused
from dig2dig_jax.stores import path as paths
from dig2dig_jax.stores.address import typed_place

NAMES = ("1", "2.b", "3_c")
NEEDS = {"webdataset": (), "parquet": ("pyarrow",), "array_record": ("array_record",)}


@pytest.fixture(scope="module", autouse=True)
def few_measures():
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(metrics, "PROTOCOLS", {"toy": ("EN", "MSE")})
    yield


@pytest.fixture(scope="module")
def root(tmp_path_factory):
  """Sources in folders and in a tar file; fused images in a folder."""
  root = tmp_path_factory.mktemp("shards")
  for number, name in enumerate(NAMES):
    write_pair(root / "data", name, (24, 32), channels={"ir": 1, "vi": 1})
    write(root / "plain" / f"{name}.png", scene(number + 50, 24, 32, 1))
  return root


def shards(root, dataset):
  """The same images as a run leaves them, two to a shard."""
  kind, place = KINDS[dataset], root / dataset
  place.mkdir(exist_ok=True)
  image, text = ("png", "json") if dataset == "webdataset" else ("image.png", "log.json")
  rows = [(name, {image: (root / "plain" / f"{name}.png").read_bytes(), text: json.dumps({"id": name}).encode()})
          for name in NAMES]  # fmt: skip
  for at in (0, 2):
    (place / f"fused-{at}{kind.suffix}").write_bytes(kind.write(rows[at : at + 2]))
  return place


@pytest.mark.parametrize("dataset", KINDS)
def test_scores_are_those_of_the_folder(root, tmp_path, dataset):
  for needed in NEEDS[dataset]:
    pytest.importorskip(needed)
  place = shards(root, dataset)
  data = DataConfig(root / "data", ("ir", "vi"))
  fused = folders.named([str(root / "plain"), str(place)])
  found = evaluate_fused.run(fused, data, tmp_path, protocol="toy", baselines=False)
  assert found.failed == [] and found.left_out == [] and found.comparison.images == list(NAMES)
  assert found.scores["plain"] == found.scores[dataset]
  again = evaluate_fused.run(fused, data, tmp_path, protocol="toy", baselines=False)
  assert again.scores == found.scores and len((tmp_path / "scores.jsonl").read_text().splitlines()) == len(NAMES)


def test_a_report_of_shards_in_a_store_and_sources_in_shards(root, tmp_path, quick_compile):
  pytest.importorskip("fsspec")
  place = shards(root, "webdataset")
  rows = [(name.replace(".", "_"), {f"{source}.png": (root / "data" / source / f"{name}.png").read_bytes()
                                    for source in ("ir", "vi")}) for name in ("1", "3_c")]  # fmt: skip
  store = typed_place("memory://evaluated")
  (store / "data" / "pairs.tar").write_bytes(KINDS["webdataset"].write(rows))
  for shard in place.iterdir():
    (store / "out" / shard.name).write_bytes(shard.read_bytes())
  data = DataConfig(store / "data", ("ir", "vi"), dataset="webdataset")
  found = report.run(folders.named(["memory://evaluated/out"]), data, tmp_path, command="", protocol="toy")
  paths.forget()
  assert found.failed == [] and found.comparison.images == ["1", "3_c"]
  assert ["no pair of that name" in line for line in found.left_out] == [True]  # 2.b
  assert (tmp_path / "report.html").is_file() and not (tmp_path / "figure.toml").exists()


def test_samples_without_an_image_and_of_one_name_are_told(root, tmp_path):
  kind, image = KINDS["webdataset"], (root / "plain" / "1.png").read_bytes()
  (tmp_path / "a.tar").write_bytes(kind.write([("1", {"png": image}), ("2", {"txt": b"no"})]))
  (tmp_path / "b.tar").write_bytes(kind.write([("1", {"png": image})]))
  left_out = []
  assert set(folders.index(tmp_path, left_out)) == {"1"}
  assert "sample 2: expected a fused image, found the fields txt" in left_out[0]
  assert "b.tar#1.png: expected one fused image named '1', found" in left_out[1]
  assert set(folders.index(tmp_path / "b.tar", [])) == {"1"}
  (tmp_path / "b.tar").write_bytes(np.arange(5000, dtype=np.uint8).tobytes())
  with pytest.raises(UserError, match="b.tar: expected a whole WebDataset file, found a damaged one"):
    folders.index(tmp_path, [])
