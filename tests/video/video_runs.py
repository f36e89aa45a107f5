"""Fixtures, taken as a plugin: one program for all tests that ask for the same one, and clips that are made once."""

import dataclasses

import made_clips as made
import numpy as np
import pytest
from video_options import OPTIONS

from dig2dig_jax.methods.codec import luminance_codec
from dig2dig_jax.methods.registry import make_method
from dig2dig_jax.priors.prior import load_prior
from dig2dig_jax.video import job
from dig2dig_jax.video.clip import open_clip
from dig2dig_jax.video.config import VideoConfig
from dig2dig_jax.video.program import program

SIZE = (32, 48)


@pytest.fixture(scope="module")
def one_program(quick_compile):
  """In place of the program of every run: the same one where nothing differs that it depends on."""
  known = {}

  def get(method, options, schedule, *, noise, **rest):
    key = (options, schedule, tuple(np.ravel(noise).tolist()), *sorted(rest.items()))
    if key not in known:
      known[key] = program(method, options, schedule, noise=noise, **rest)
    return known[key]

  before, job.program = job.program, get
  yield
  job.program = before


@pytest.fixture(scope="module")
def prior(tiny_prior):
  return load_prior(tiny_prior)


@pytest.fixture(scope="module")
def fuse(prior, one_program):
  """fuse(ir, vi, out, **config) -> VideoReport, of places or clips; what is told is in its `notes` too."""
  method = make_method(prior, luminance_codec(1), options=OPTIONS)

  def call(infrared, visible, out, *, overwrite=False, **config):
    clips = {name: open_clip(place) for name, place in (("ir", infrared), ("vi", visible))}
    config = VideoConfig(**{"bucket": 16, "segment": 7, "restore": False, **config})
    told = []
    found = job.run(clips, out, config, method, OPTIONS, prior, overwrite=overwrite, tell=told.append)
    return dataclasses.replace(found, notes=[*told, *found.notes])

  return call


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
  """(ir.mp4 of 10 frames a second, vi.mp4 of 25 with sound): 20 visible frames, a cut before number 12."""
  folder = tmp_path_factory.mktemp("clips")
  return made.write_both(folder, count=20, size=SIZE, cut=0.48)


@pytest.fixture(scope="module")
def undisturbed(clips, fuse, tmp_path_factory):
  """(the file, the report) of a run that nobody stopped."""
  out = tmp_path_factory.mktemp("undisturbed") / "out.mp4"
  return out, fuse(*clips, out)


