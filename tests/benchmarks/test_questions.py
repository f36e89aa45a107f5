"""Are sources moved as it is said, do weights lean as they are made to, and is every question answered?"""

import json

import numpy as np
import pytest
from scenes import scene, write_pair

from dig2dig_jax.benchmarks import fewer_pixels, intervals, leaning, misregistered, mistold, questions, rows
from dig2dig_jax.data.pairs import LoadedPair
from dig2dig_jax.errors import UserError
from dig2dig_jax.fusing.config import FuseConfig
from dig2dig_jax.methods.codec import luminance_codec
from dig2dig_jax.methods.options import Dig2DigOptions
from dig2dig_jax.priors.prior import load_prior
from dig2dig_jax.restoration.restorer import Restorer

pytestmark = pytest.mark.usefixtures("quick_compile")


@pytest.fixture
def pair():
  first, second = (scene(seed, 64, 72).astype(np.float32) / 127.5 - 1 for seed in (1, 2))
  gray = [np.repeat(image.reshape(64, 72, -1).mean(axis=-1, keepdims=True), 3, axis=-1) for image in (first, second)]
  return LoadedPair("a", np.stack(gray).astype(np.float32), (None, None), (None, None))


def test_moves_are_what_their_names_say(pair):
  image = pair.sources[0]
  np.testing.assert_array_equal(misregistered.MOVES["none"](image), image)
  np.testing.assert_allclose(misregistered.MOVES["shift 4 px"](image)[:, 4:], image[:, :-4], atol=1e-5)
  turned = misregistered.MOVES["rotation 3 degrees"](image)
  middle = np.s_[31:33, 35:37]
  assert np.abs(turned - image)[middle].mean() < 0.5 * np.abs(turned - image).mean()
  moved = misregistered.MOVES["parallax to 8 px"](image)
  np.testing.assert_allclose(moved[0], image[0], atol=1e-5)
  np.testing.assert_allclose(moved[32, :60], image[32, 4:64], atol=1e-5)


def test_a_rule_that_looks_at_the_first_source_alone_loses_nothing(pair):
  rules = {"first": lambda sources, name: sources[0], "mean": lambda sources, name: sources.mean(axis=0)}
  lines = misregistered.rows([pair], rules)
  assert len(lines) == 2 * len(misregistered.MOVES) and len(lines[0]) == len(misregistered.HEADER)
  first = [line for line in lines if line[1] == "first"]
  assert all(line[2:] == first[0][2:] and line[-1] == "same" for line in first)
  psnr = {line[0]: line[-1] for line in lines if line[1] == "mean"}
  assert psnr["none"] == "same" and float(psnr["shift 8 px"]) < float(psnr["shift 1 px"])


@pytest.mark.parametrize("leans, sign", [("yes", 1), ("no", -1)])
def test_leaning_is_told_by_the_first_sources_weight(pair, leans, sign):
  def weights(sources, name):
    rough = np.abs(np.diff(sources, axis=1)).mean(axis=(1, 2, 3))
    share = np.exp(sign * 4 * rough) / np.exp(sign * 4 * rough).sum()
    uniform = np.full((1, 2, 4, 4, 1), 0.5)  # an update before the first gains: it does not count
    return np.concatenate([uniform, np.broadcast_to(share[None, :, None, None, None], (1, 2, 4, 4, 1))])

  (line,) = leaning.rows([pair], {"w": weights}, seed=0)
  changes = [float(cell) for cell in line[2:-1]]
  assert line[-1] == leans and all(sign * change > 0 for change in changes)
  assert sorted(changes, key=abs) == changes, "the more noise, the more"


def test_being_told_is_held_against_the_fusion_of_clean_sources(pair):
  class Restorers:  # what a restorer is asked: one that leaves sources as they are
    def restore(self, source, observed, size, name):
      return observed

  asked = []

  def restorer_of(known):
    asked.append({source: (one.stages, one.sigma) for source, one in known.items()})
    return Restorers()

  average = lambda sources, name: sources.mean(axis=0)  # noqa: E731
  lines = mistold.rows([pair], average, average, restorer_of, ("ir", "vi"), seed=0)
  assert len(lines) == 2 * (2 + len(mistold.FACTORS)) and len(asked) == 2 * len(mistold.FACTORS)
  assert len({tuple(line[2:]) for line in lines[: len(lines) // 2]}) == 1, "nobody restores: all ways are one"
  assert asked[0]["ir"] == asked[0]["vi"] and asked[0] != asked[1]


def test_gains_that_follow_the_noise_contradict_themselves_and_others(pair):
  rng = np.random.default_rng(4)

  def drawn(sources, name):
    return np.eye(2)[rng.integers(2, size=(6, 64, 72))].transpose(0, 3, 1, 2)[..., None]

  def known(sources, name):
    first = np.linspace(0, 1, 72).reshape(1, 1, 72, 1) * np.ones((6, 64, 1, 1))
    return np.stack([first, 1 - first], axis=1)

  mean, first = (lambda sources, name: sources.mean(axis=0)), (lambda sources, name: sources[0])
  ways = {("drawn", 1): intervals.Way(drawn, drawn, first), ("known", 10): intervals.Way(known, known, mean)}
  lines = intervals.rows([pair], ways, mean)
  assert [line[:2] for line in lines] == [["drawn", "1"], ["known", "10"]]
  assert all(len(line) == len(intervals.HEADER) for line in lines)
  larger, contradicted, other, *changes = map(float, lines[0][2:])
  assert larger == 1 and 0.48 < contradicted < 0.52 and 0.48 < other < 0.52 and changes[1] > 100, "a copy is no average"
  assert lines[1][2:] == ["0.754", "0.000", "0.000", "+0.0000", "+0.0", "+0.0000"]


@pytest.mark.slow
def test_the_command_answers_every_question(tiny_prior, tmp_path, monkeypatch):
  data, out = tmp_path / "data", tmp_path / "out"
  write_pair(data, "a", (34, 40), channels={"ir": 1, "vi": 3})
  prior, tuned = load_prior(tiny_prior), Dig2DigOptions(steps=0, window="spectrum", bands=2)
  few = {"closed form": tuned, "over two intervals": Dig2DigOptions(steps=4, interval=2)}
  monkeypatch.setattr(rows, "misregistered", lambda tuned: {"Dig2DIG": tuned})
  monkeypatch.setattr(rows, "weightings", lambda tuned: few)
  monkeypatch.setattr(misregistered, "MOVES", {name: misregistered.MOVES[name] for name in ("none", "shift 2 px")})
  monkeypatch.setattr(mistold, "FACTORS", (1.0,))
  monkeypatch.setattr(intervals, "READINGS", ("levels",))
  monkeypatch.setattr(intervals, "ROWS", {10: "DIG-25"})
  monkeypatch.setattr(fewer_pixels, "SCALES", (1.5,))
  config = FuseConfig(data, ("ir", "vi"), out=out, bucket=8)

  def ask(**options):
    codec = luminance_codec(1)
    return questions.run(prior, codec, config, tuned, lambda known: Restorer(prior, known, steps=2), **options)

  report = ask(middle=32)
  for question in questions.QUESTIONS:
    told = json.loads((out / question / "table.json").read_text())
    assert told["pairs"] == ["a"] and all(len(row) == len(told["header"]) for row in told["rows"])
    assert (out / question / "table.md").read_text() in report.text
  with pytest.raises(UserError, match="--cases=zz: expected names among misregistered"):
    ask(questions=("zz",))
