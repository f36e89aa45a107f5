"""`dig2dig video`: an infrared and a visible clip become one, and how much a fused clip flickers."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

from dig2dig_jax.alignment import stored
from dig2dig_jax.assets import ROOT
from dig2dig_jax.cli import common, flags, interrupt, launcher, sequence
from dig2dig_jax.cli.output import note, say
from dig2dig_jax.data import guess, ranges
from dig2dig_jax.errors import UserError
from dig2dig_jax.files import typed_path
from dig2dig_jax.fusing import processes
from dig2dig_jax.methods.registry import make_method
from dig2dig_jax.methods.sequence import looks_for_noise, without_restoring
from dig2dig_jax.video import allocation, job, scoring, steady, writers
from dig2dig_jax.video.clip import Clip, Listed, open_clip
from dig2dig_jax.video.config import BUCKET, VideoConfig

OWN = ("offset", "rate", "steady", "score")  # flags that launch.py does not know
# Flags of --job=fuse that mean nothing for two clips, and what is so.
_REFUSED = {
  "two clips by name": ("data", "manifest", "dataset", "split", "list", "examples", "task"),
  "registered clips, or --transforms of dig2dig align": ("align", "align_or", "reference"),
  "a clip alone to be written": ("maps", "sheet"),
  "clips that are neither blurred nor reduced": ("degradation", "sigma", "restore_steps"),
  "one frame after the other": ("batch_size",),
  "one process": ("distributed", "coordinator", "num_processes", "process_id"),
}


def run(words: Sequence[str]) -> int:
  """The exit status. UserError for what cannot be."""
  places = [word for word in words if not word.startswith("-")]
  given = [word for word in words if word.startswith("-")]
  values = {name: word for word in given for name in [word.lstrip("-").partition("=")[0]]}
  sequence.refuse(values, _REFUSED)
  if len(places) != 2:
    raise UserError(f"dig2dig video: expected two clips, infrared and visible, found {len(places)}; see dig2dig video "
                    "--help")  # fmt: skip
  if os.path.realpath(places[0]) == os.path.realpath(places[1]):
    raise UserError(f"{places[0]}: expected two different clips, found one of them twice")
  out = values.get("out", "").partition("=")[2]
  score = values.get("score")
  if not out and not (score or "").partition("=")[2]:
    raise UserError("dig2dig video: expected -o FUSED.mp4, or -o FOLDER for numbered PNG, found no output; add it")
  names, order = _roles(places, values.get("sources", "").partition("=")[2])
  offset = _seconds("offset", values.get("offset"))
  clips = _clips([places[k] for k in order], names, _rate(values.get("rate")))
  if not out:
    return _score(clips, typed_path(score.partition("=")[2]), offset)
  share = _share(values.get("steady"), "nosteady" in values)
  kept = [word for word in given if word.lstrip("-").partition("=")[0] not in (*OWN, "nosteady", "sources")]
  command = [f"--flagfile={ROOT / 'vif.flags'}", "--job=fuse", f"--sources={','.join(names)}",
             f"--functional={names[0]}", f"--chroma_from={names[1]}", *kept]  # fmt: skip
  place = typed_path(out)
  status = launcher.launch(command, lambda: _fuse(clips, place, offset, share))
  return _score(clips, place, offset) if status == 0 and score is not None else status


def evaluate(words: Sequence[str]) -> int:
  """`dig2dig evaluate --video IR VI FUSED ...`: the flicker of fused clips beside their sources'."""
  places = [word for word in words if not word.startswith("-")]
  values = {word.lstrip("-").partition("=")[0]: word for word in words if word.startswith("-")}
  if unknown := sorted(set(values) - {"video", "offset", "rate", "sources"}):
    raise UserError(f"{values[unknown[0]]}: expected --offset=, --rate= or --sources= beside --video, found another "
                    "flag; leave it out")  # fmt: skip
  if len(places) < 3:
    raise UserError(f"dig2dig evaluate --video: expected IR VI FUSED, two clips and one or more fused from them, found "
                    f"{len(places)} of these")  # fmt: skip
  names, order = _roles(places[:2], values.get("sources", "").partition("=")[2])
  offset = _seconds("offset", values.get("offset"))
  clips = _clips([places[k] for k in order], names, _rate(values.get("rate")))
  say(f"| clip | warping error | {' | '.join(names)} | excess | pairs of frames |\n"
      f"| --- |{' ---: |' * (3 + len(names))}")  # fmt: skip
  for place in places[2:]:
    found = scoring.flicker(*clips.values(), open_clip(typed_path(place)), offset)
    cells = [f"{value:.2f}" if found.pairs else "–" for value in (found.error, *found.sources, found.excess)]
    say(f"| {Path(place).name} | {' | '.join(cells)} | {found.pairs} |")
  return 0


def _fuse(clips: Mapping[str, Clip], out: Path, offset: Fraction, share: float) -> int:
  """By the flags, which have been read."""
  interrupt.begins()
  options = common.method_options()
  common.say_notes(options)
  config = VideoConfig(
    ranges=ranges.parse(flags.RANGE.value, flags.SOURCES.value),
    valid=flags.VALID.value,
    transforms=stored.read(Path(flags.TRANSFORMS.value)) if flags.TRANSFORMS.value else None,
    restore=looks_for_noise(options),
    share=share,
    offset=offset,
    seed=flags.SEED.value,
    bucket=flags.BUCKET.value if flags.BUCKET.present else BUCKET,
    tile=flags.TILE.value or 0,
    overlap=flags.OVERLAP.value,
    bit_depth=flags.BIT_DEPTH.value or 8,
    settings={"method": flags.METHOD.value, "options": dataclasses.asdict(options), **common.pixel_settings()},
  )
  writers.check(out, clips, config, overwrite=flags.OVERWRITE.value)  # before a network is read
  allocation.keep_freed()
  prior = common.network_prior()
  restored = without_restoring(options)
  method = make_method(prior, common.codec(), options=restored)
  with sequence.progress("frame") as at:
    settings = dict(config.settings) | common.network_settings(prior)
    config = dataclasses.replace(config, progress=at, settings=settings)
    tell = lambda line: note(f"note: {line}")  # noqa: E731
    found = job.run(clips, out, config, method, restored, prior, overwrite=flags.OVERWRITE.value, tell=tell)
  for line in found.notes:
    note(f"note: {line}")
  say(f"{found.summary()}; " + (f"segments in {out}.parts" if found.stopped_by else f"written: {out}"))
  if found.stopped_by is None:
    return 0
  return processes.INTERRUPTED if found.stopped_by == processes.CTRL_C else 3


def _score(clips: Mapping[str, Clip], fused: Path, offset: Fraction) -> int:
  found = scoring.flicker(*clips.values(), open_clip(fused), offset)
  if not found.pairs:
    say("warping error: not measured, since no two frames follow each other without a cut")
    return 0
  sources = ", ".join(f"{name} {error:.2f}" for name, error in zip(clips, found.sources, strict=True))
  say(f"warping error: fused {found.error:.2f}, {sources}; flicker beyond that of the sources: {found.excess:.2f} "
      f"(levels of 255, {found.pairs} pairs of frames; lower is better)")  # fmt: skip
  return 0


def _roles(places: Sequence[str], asked: str) -> tuple[list[str], tuple[int, ...]]:
  """(names of the infrared and the visible source, the places in that order)."""
  if asked:
    names = asked.split(",")
    if len(set(names)) != 2:
      raise UserError(f"--sources={asked}: expected two different names, the infrared one first")
    return names, (0, 1)
  found = guess.by_file_names([Path(place).stem for place in places])
  order = found.order if found is not None and found.task == "thermal" else (0, 1)
  if order != (0, 1):
    note(f"note: {places[order[0]]} is the infrared clip, by {found.why}; --sources=NAME,NAME keeps the given order")
  return ["ir", "vi"], order


def _clips(places: Sequence[str], names: Sequence[str], rate: Fraction | None) -> dict[str, Clip]:
  clips = {name: open_clip(place, rate) for name, place in zip(names, places, strict=True)}
  timed = [clip for clip in clips.values() if not isinstance(clip, Listed)]
  without = [name for name, clip in clips.items() if isinstance(clip, Listed)]
  if without and rate is None:
    if timed:  # a folder beside a video: its rate
      clips = {name: open_clip(place, timed[0].rate) for name, place in zip(names, places, strict=True)}
    shown = float(clips[without[0]].rate)
    note(f"note: {' and '.join(without)}: images have no time stamps, played at {shown:.4g} a second; --rate= says "
         "otherwise")
  return clips


def _value(name: str, word: str | None) -> str | None:
  if word is None:
    return None
  _, equals, value = word.partition("=")
  if not equals or not value:
    raise UserError(f"{word}: expected a value after =, such as --{name}=0.5")
  return value


def _seconds(name: str, word: str | None) -> Fraction:
  text = _value(name, word)
  try:
    return Fraction(text or 0)
  except (ValueError, ZeroDivisionError):
    raise UserError(f"--{name}={text}: expected seconds, such as 0.25 or -1") from None


def _rate(word: str | None) -> Fraction | None:
  text = _value("rate", word)
  if text is None:
    return None
  try:
    found = Fraction(text).limit_denominator(10**6)
  except (ValueError, ZeroDivisionError):
    found = Fraction(0)
  if not Fraction(1, 1000) <= found <= 1000:
    raise UserError(f"--rate={text}: expected frames per second, 0.001 to 1000, such as 25 or 30000/1001")
  return found


def _share(word: str | None, off: bool) -> float:
  text = _value("steady", word)
  if off:
    return 1.0
  if text is None:
    return steady.SHARE
  try:
    found = float(text)
  except ValueError:
    found = -1.0
  if not 0 < found <= 1:
    raise UserError(f"--steady={text}: expected the share of a frame's own weights, above 0 and at most 1")
  return found
