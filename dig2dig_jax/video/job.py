"""The video job: two clips through one program, into a file or a folder, in segments that a later run goes on from."""

import contextlib
import functools
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dig2dig_jax.errors import UserError
from dig2dig_jax.fusing.processes import stopped_by_signal
from dig2dig_jax.methods.base import Method
from dig2dig_jax.priors.prior import Prior
from dig2dig_jax.priors.swift import Swift, knows, told
from dig2dig_jax.record import make_folder
from dig2dig_jax.restoration import blind
from dig2dig_jax.sampling import schedule
from dig2dig_jax.video import pairing, preparing, stream
from dig2dig_jax.video.clip import Clip
from dig2dig_jax.video.config import VideoConfig, VideoReport
from dig2dig_jax.video.parts import Parts
from dig2dig_jax.video.program import is_steady, program
from dig2dig_jax.video.writers import Images, VideoFile, check, check_nothing_there, writer

_TOLD = 8  # cuts that a line names
_ONE_CUT = 3  # frames within which both clips change, where one has fewer frames


def flow_of(
  clips: Mapping[str, Clip], config: VideoConfig, method: Method, options: Any, prior: Any, tell: Callable[[str], Any]
) -> stream.Flow:
  """What is decided of two clips, each in a line that is told, and the program for it. The method's options restore
  nothing: that is done here, for the whole sequence."""
  restore = config.restore and isinstance(prior, Prior)
  found = preparing.prepared(
    clips, settings=config.ranges, transforms=config.transforms, valid=config.valid, restore=restore
  )
  for line in (*found.lines, *pairing.lines(clips)):
    tell(line)
  for source in found.sources if isinstance(prior, Swift) else ():
    deviation = float(source.noise.deviation)
    if deviation > blind.FROM and not knows(prior.quick, blind.asked(source.noise, source.gray, _levels(prior))):
      tell(told(prior.quick, source.name, deviation))
  if not is_steady(options):
    tell("frames are fused independently: averaging weights over time needs --dig_window=spectrum and "
         "--steps=0")
  fused = program(
    method,
    options,
    prior.noise,
    noise=jax.tree.map(lambda *fields: np.stack(fields), *(source.noise for source in found.sources)),
    gray=tuple(source.gray for source in found.sources),
    seed=config.seed,
    share=config.share,
    bit_depth=config.bit_depth,
    tile=config.tile,
    overlap=config.overlap,
  )
  bands = options.bands if is_steady(options) else 1
  return stream.Flow(clips, found, fused, prior.params, bands, config.bucket, config.offset)


def _levels(prior: Prior) -> schedule.Step:
  """All that it was trained on."""
  return schedule.steps_at(prior.noise.tables(), range(prior.noise.num_timesteps))


def run(
  clips: Mapping[str, Clip],
  out: Path,
  config: VideoConfig,
  method: Method,
  options: Any,
  prior: Any,
  *,
  overwrite: bool = False,
  tell: Callable[[str], Any] = lambda line: None,
) -> VideoReport:
  """Fuses clips {source: Clip}, the infrared one first, the visible one second, whose frames, time stamps and sound the
  result has. out: a file of a format of `encode.FORMATS`, or a folder for numbered PNG.

  A run that was ended leaves its segments beside `out`, and the same run goes on from them. UserError where that cannot
  be: what is told before anything is computed, and frames that cannot be decoded.
  """
  check(out, clips, config, overwrite=overwrite)
  make_folder(out.parent)
  report = VideoReport(count=_count(clips))
  check_folder = functools.partial(check_nothing_there, out, overwrite=overwrite)
  with Parts(out, config.identity(clips, prior), overwrite=overwrite, check=check_folder) as parts:
    for line in parts.notes:
      tell(line)
    flow = flow_of(clips, config, method, options, prior, tell)
    into = writer(out, parts, flow)
    report.before = report.frames = sum(len(part.pts) for part in parts.done)
    for line in into.lines():
      tell(line)
    _fuse(flow, config, parts, into, report)
    report.cuts = _apart([number for part in parts.done for number in part.cuts])
    if report.stopped_by is None:
      if not parts.done:
        raise UserError(f"{clips[list(clips)[1]].path}: expected frames at the times of those of the other clip, found "
                        "none; correct --offset")
      report.notes += into.finish(parts)
      parts.remove()
  if report.cuts:
    named = ", ".join(str(number + 1) for number in report.cuts[:_TOLD])
    more = f" and {len(report.cuts) - _TOLD} more" if len(report.cuts) > _TOLD else ""
    report.notes.append(f"new scenes start at frame {named}{more}: no weights are carried across these cuts")
  return report


def _fuse(flow: stream.Flow, config: VideoConfig, parts: Parts, into: VideoFile | Images, report: VideoReport) -> None:
  """Segment by segment, until the clips end or a signal asks to stop."""
  first = report.frames
  pts: list[int] = []
  cuts: list[int] = []
  begun = time.monotonic()
  with (
    stopped_by_signal() as stopped,
    contextlib.closing(stream.fused(flow, first=first, state=parts.state())) as frames,
    into.open() as segment,
  ):
    state = flow.start()
    for done in frames:
      if done.number == first:
        begun = time.monotonic()  # the first one waited for the program
      if stopped.is_set():
        segment.abandon()
        break
      segment.add(done)
      pts.append(done.pts)
      cuts += [done.number] if done.cut else []
      state = done.state
      config.progress(done.number + 1, report.count)
      if len(pts) == config.segment:
        parts.finish(pts, cuts, state, segment.commit())
        report.frames += len(pts)
        pts, cuts = [], []
    else:
      if pts:
        parts.finish(pts, cuts, state, segment.commit())
        report.frames += len(pts)
    report.stopped_by = stopped.by
  report.seconds = time.monotonic() - begun


def _apart(cuts: list[int]) -> list[int]:
  """Cuts without those that follow another one at once: clips of different rates change a few frames apart."""
  found: list[int] = []
  for number in cuts:
    if not found or number - found[-1] > _ONE_CUT:
      found.append(number)
  return found


def _count(clips: Mapping[str, Clip]) -> int | None:
  """Of the result's frames, as far as headers tell."""
  return list(clips.values())[1].count
