"""Are DDFM and CCF on the page what their methods make of the sources, only on request, and can they be ended?"""

import dataclasses
import json

import cv2
import jax
import numpy as np
import pytest

from dig2dig_jax.app import limits, rivals
from dig2dig_jax.app.jobs import Superseded
from dig2dig_jax.app.picture import random_key
from dig2dig_jax.data.padding import reflect_pad
from dig2dig_jax.methods.codec import luminance_codec
from dig2dig_jax.methods.fuse import fuse
from dig2dig_jax.methods.registry import make_method

QUICK = {"task": "thermal", "options": {"bands": 2, "restore": "off"}}


@pytest.fixture
def few(monkeypatch):
  """Methods of these steps."""
  def of(**steps):
    for name, number in steps.items():
      rival = rivals.RIVALS[name]
      found = rival._replace(options=dataclasses.replace(rival.options, steps=number))
      monkeypatch.setitem(rivals.RIVALS, name, found)

  return of


def ask(page, tab, name, **settings):
  found = page.ask("POST", f"tabs/{tab}/rivals/{name}", json={**QUICK, **settings})
  assert found.status_code == 200, found.text
  return [json.loads(line) for line in found.text.splitlines()]


def test_it_is_computed_when_asked_for_and_kept_while_the_sources_are_the_same(page, pair, few):
  few(ddfm=3)
  tab, _ = page.drop(pair)
  assert page.fused(tab, "preview", **QUICK)["rivals"] == {}
  lines = ask(page, tab, "ddfm")
  stages = [line["stage"] for line in lines if "stage" in line]
  assert [stage for stage in stages if "step" in stage] == [f"DDFM, step {k} of 3" for k in (1, 2, 3)]
  version = lines[-1]["done"]["rivals"]["ddfm"]
  image = page.image(f"tabs/{tab}/ddfm/{version}/fused/0.png")
  assert image.shape == (23, 32, 3) and np.ptp(image) > 20
  assert page.ask("GET", f"tabs/{tab}/ddfm/{version}/weight/0.png").status_code == 404
  # Sliders do not touch it, and nothing is computed again; other sources do.
  turned = QUICK | {"options": QUICK["options"] | {"exponent": 2}}
  assert page.fused(tab, "preview", **turned)["rivals"] == {"ddfm": version}
  assert ask(page, tab, "ddfm") == [{"done": {"rivals": {"ddfm": version}}}]
  assert page.fused(tab, "preview", **QUICK, range="full")["rivals"] == {}
  assert page.ask("GET", f"tabs/{tab}/ddfm/{version}/fused/0.png").status_code == 404


def test_what_cannot_be_is_one_line(page, pair, few):
  few(ddfm=3)
  tab, _ = page.drop(pair)
  assert "method: expected one of ddfm, ccf, found 'night'" in ask(page, tab, "night")[-1]["error"]
  tab, _ = page.drop({f"{k}.png": pair["vi.png"] for k in range(3)})
  assert "method ddfm: expected two images, found 3" in ask(page, tab, "ddfm", task="exposure")[-1]["error"]
  assert page.ask("POST", "tabs/0/rivals/ddfm", json=QUICK).status_code == 410


def settings_and_sources(server, page, pair, **given):
  from dig2dig_jax.app import controls

  tab, _ = page.drop(pair)
  own = server.tabs.get(tab)
  settings = controls.parse({**QUICK, **given}, len(pair))
  return settings, own.scene.placed(settings, own.opened)


def test_it_ends_between_two_steps(page, server, pair, few):
  few(ddfm=3)
  settings, whole = settings_and_sources(server, page, pair)
  said = []

  def say(stage):
    said.append(stage)
    if "step 2" in stage:
      raise Superseded

  with pytest.raises(Superseded):
    rivals.fused(server.stages, whole, settings, "ddfm", say)
  assert said[-1] == "DDFM, step 2 of 3"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ddfm", "ccf"])
def test_in_steps_it_is_what_the_method_makes_in_one_run(page, server, pair, few, name):
  few(**{name: 5})
  settings, whole = settings_and_sources(server, page, pair)
  found = rivals.fused(server.stages, whole, settings, name, lambda stage: None)
  small = np.stack([cv2.resize(one, (32, 23), interpolation=cv2.INTER_AREA) for one in whole.loaded.sources])
  method = make_method(server.stages.prior, luminance_codec(1), options=rivals.RIVALS[name].options)
  padded = reflect_pad(np.clip(small, -1, 1), (limits.SMALLER, limits.SMALLER))
  same, _ = jax.jit(lambda *a: fuse(method, *a))(server.stages.prior.params, random_key(), padded)
  assert np.abs(found.fused - np.asarray(same)[:23]).max() < 1e-3


@pytest.mark.slow
def test_colour_is_fused_where_the_task_fuses_colour_and_swapped_sources_change_their_roles(page, server, pair, few):
  few(ddfm=2, ccf=2)
  settings, whole = settings_and_sources(server, page, pair, task="exposure")
  for name in ("ddfm", "ccf"):
    found = rivals.fused(server.stages, whole, settings, name, lambda stage: None)
    assert found.fused.shape == (23, 32, 3) and np.isfinite(found.fused).all()
  crossed = {"ir.png": pair["vi.png"], "vi.png": pair["ir.png"]}
  usual, swapped = (
    rivals.fused(server.stages, whole, settings, "ddfm", lambda stage: None).fused
    for settings, whole in (settings_and_sources(server, page, pair),
                            settings_and_sources(server, page, crossed, swapped=True))
  )  # fmt: skip
  assert np.array_equal(usual, swapped)
