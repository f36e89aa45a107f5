"""The fuse job: every pair of a data set through one compiled method, written as PNG, each pair once.

Reading, computing, and encoding with writing overlap: threads read ahead, the devices compute what was handed to them,
threads wait for results and write them. A rerun skips what is done (`ledger`); processes share the pairs without
talking to each other (`shares`).
"""

import collections
import contextlib
import dataclasses
import errno
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import jax
import numpy as np

from dig2dig_jax.data import overlay, ranges
from dig2dig_jax.data.images import write_png
from dig2dig_jax.data.kept import NOTHING
from dig2dig_jax.data.padding import crop
from dig2dig_jax.data.pairs import LoadedPair, Pair, load_pair
from dig2dig_jax.errors import UserError, one_line
from dig2dig_jax.figures import sheet
from dig2dig_jax.files import is_free, sweep, taken
from dig2dig_jax.fusing import faults, files, ledger, outputs, sharded, shares
from dig2dig_jax.fusing.agenda import Agenda
from dig2dig_jax.fusing.batches import Batch, batches
from dig2dig_jax.fusing.config import FuseConfig, FuseReport
from dig2dig_jax.fusing.done import is_own
from dig2dig_jax.fusing.engines import Engine, Work, collect
from dig2dig_jax.fusing.facts import Facts
from dig2dig_jax.fusing.fuser import Fuser
from dig2dig_jax.fusing.ledger_index import Index
from dig2dig_jax.fusing.processes import ALONE, Place, stopped_by_signal
from dig2dig_jax.fusing.programs import Programs
from dig2dig_jax.fusing.progress import Progress
from dig2dig_jax.guidance.weighting import contradiction
from dig2dig_jax.methods.base import Method
from dig2dig_jax.methods.cost import evaluations
from dig2dig_jax.methods.fuse import FusionTrace
from dig2dig_jax.record import make_folder
from dig2dig_jax.restoration.restorer import Restorer
from dig2dig_jax.stores import path as store_path

SHEET_ROWS = 12
_IN_FLIGHT = 2  # batches that are computed or written while the next one is made ready
_AHEAD = 8  # pairs per device that are read in advance, or two batches, and
_AHEAD_PIXELS = 2**26  # pixels of all of them at most
_WRITERS = 4
# What a disk says when it will not take the next image either.
_HOPELESS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG, errno.EIO}


def listed(config: FuseConfig) -> tuple[Iterator[str], list[str]]:
  """(the manifest of all pairs, a JSON line each; one line per file left out). Reads headers, runs nothing."""
  pairs, left_out = config.list_files()
  return shares.manifest(pairs, bucket=config.bucket), left_out


def run(
  config: FuseConfig, method: Method, params, *, place: Place = ALONE, engine: Engine | None = None
) -> FuseReport:
  """Fuses the pairs of `config.data` that are this process's and not done, on its devices or by an engine's workers. A
  pair that fails is reported and the others are done.

  Raises UserError when no pair can be found at all, when results of other flags are in the way, and when nothing more
  can be read or written; what was finished before that stays finished.
  """
  if config.bit_depth not in (0, 8, 16):
    raise UserError(f"--bit_depth={config.bit_depth}: expected 8, 16 or 0 for the sources' own")
  sharded.refuse(config.results, maps=config.maps, temperatures=config.temperatures, overwrite=config.overwrite)
  pairs, left_out = config.list_files()
  out = sharded.place_of(config.out, config.results, config.shard, share=place)
  plain, config = config, dataclasses.replace(config, out=out)
  if len(pairs) <= shares.FEW:  # of more, those that this process is to do
    outputs.refuse_sources(config.out, pairs)
  make_folder(config.out)
  prepare, notes = config.preparing(pairs)
  run_identity = ledger.identity(config.decisive() | ranges.decisive([prepare(pairs[0])]), params)
  unlogged = sharded.look(config.out)
  with Index(config.out) as index:
    agenda = Agenda(config, pairs, place, prepare, index, run_identity, say=_say)
    files.claim_record(config, place, known=not index.empty)
    with sharded.opened(config.out, unlogged, process=place.process, processes=place.processes) as log:
      if new := index.refresh():  # a run that had the log until now has done more, or shards told it
        sharded.look(config.out)
        agenda.look_again(new)
      index.publish()
      report = FuseReport(left_out=left_out, skipped=agenda.skipped, notes=notes)
      report.failed += [faults.Failure(name, "taken", str(taken(config.out / f"{name}.png"))) for name in agenda.kept]
      if agenda or agenda.kept:
        figures = {"pairs": len(pairs), "share": agenda.share, "skipped": agenda.skipped}
        _begin(log, config, run_identity, place, figures, own=engine is None)
      kept = programs(config, run_identity)
      if agenda:
        count = len(config.sources)
        report.evaluations = kept.count(f"evaluations of {count}", lambda: evaluations(method, params, count))
      if isinstance(config.restorer, Restorer):
        report.evaluations += config.restorer.evaluations
      if place.process == 0:
        for folder in (config.out, config.out / "weights", config.out / "conditions", index.folder):
          sweep(folder, now=log.touched())
      ahead = _ahead(config, agenda)
      if engine is None:
        rows = agenda.first(SHEET_ROWS) if config.sheet else ()
        run_of_it = Run(config, method, params, report, log, kept, run_identity, index, rows)
        run_of_it.fuse(agenda, ahead=ahead)
      else:
        _log_failures(report.failed, log, run_identity)
        collect(engine, Work(plain, method, params, run_identity, ahead), agenda, report, log)
      report.notes += log.notes()
    if place.process == 0 and report.done:
      index.refresh()
      index.publish()
    report.notes[:0] = index.notes
  report.notes += store_path.told()
  files.write_record(config, report, place)
  return report


def _begin(
  log, config: FuseConfig, identity: ledger.Identity, place: Place, figures: dict[str, int], *, own: bool
) -> None:
  """own: this process's devices fuse; those of an engine's workers are told by the lines of their pairs."""
  run = {"fingerprint": identity.fingerprint, "sources": config.sources, "seed": config.seed,
         "versions": ledger.versions(), "weights": identity.weights, "flags": identity.flags}  # fmt: skip
  if own:
    run["device"], figures = jax.local_devices()[0].device_kind, {"devices": jax.local_device_count(), **figures}
  log.begin(run, process=place.process, processes=place.processes, **figures)


def _log_failures(failed: Sequence[str], log, identity: ledger.Identity) -> None:
  for failure in failed:
    if isinstance(failure, faults.Failure):
      log.fail(failure.pair, identity.fingerprint, failure.kind, failure)


def _say(line: str) -> None:
  with contextlib.suppress(OSError):  # a line that cannot be written ends no run
    print(line, file=sys.stderr, flush=True)


def programs(config: FuseConfig, identity: ledger.Identity) -> Programs:
  """Those that were kept of what decides the pixels, but for how sources are read, which no program knows."""
  of_reading = ("ranges", "valid", "align", "deghost", "palettes", "colormap")
  compiled_in = {name: value for name, value in identity.flags.items() if name not in of_reading}
  program = {name: config.machine.get(name) for name in ("network", "dig_chunk")}
  return Programs(config.program_cache, f"{compiled_in} {identity.weights} {program} {_keeps_steps(config)}")


def _keeps_steps(config: FuseConfig) -> bool:
  return bool(config.maps and config.conditions)


def _ahead(config: FuseConfig, agenda: Agenda) -> int:
  """How many pairs are read in advance: two batches for every device, as far as the largest images allow."""
  if isinstance(config.restorer, Restorer):
    return 0  # restoring asks for the devices that fuse
  count = max(_AHEAD, 2 * config.batch_size) * jax.local_device_count()
  return max(1, min(count, _AHEAD_PIXELS // max(1, agenda.largest)))


def _told(sources: tuple[str, ...], pair: LoadedPair) -> dict[str, dict]:
  """What the log says of how the sources were read: ranges that are no whole types, [black, white], what share of a
  source is valid where not all is, what it had lost, how it was brought onto the others, and what moved in it."""
  ranges = {source: list(found[:2]) for source, found in zip(sources, pair.ranges, strict=True) if found is not None}
  valid = {source: round(found, 4) for source, found in zip(sources, pair.valid, strict=True) if found is not None}
  lost = {source: found for source, found in zip(sources, pair.lost, strict=False) if found}
  moved = {source: found.record() for source, found in pair.moved.items()}
  told = (("ranges", ranges), ("valid", valid), ("lost", lost), ("aligned", dict(pair.aligned)), ("moved", moved))
  return {name: found for name, found in told if found}


def _say_compiling(shape: tuple[int, ...]) -> None:
  _say(f"compiling for {shape[3]} x {shape[2]} pixels (first time for this size, about 20 s)")


class Run:
  """One run: what its threads share."""

  def __init__(self, config, method, params, report, log, kept, identity, index, rows, *, fuser=None, tells=True):
    """index: None where nobody else has written here. fuser: of a run before this one. tells: what its pairs have in
    common is said in the report, by `facts`."""
    keep_steps = _keeps_steps(config)

    def keep(trace: FusionTrace):  # the last update's weights: what the final image was blended with
      curves = None if trace.steps is None else files.curves(trace.steps)
      found = {"noise": trace.noise} if trace.noise is not None else {}
      if trace.weights.shape[0] > 2:
        found["contradiction"] = contradiction(trace.weights)
      return trace.weights[-1], trace.steps if keep_steps else None, curves, found

    self.config, self.report, self.log, self.identity, self.index = config, report, log, identity, index
    self.rows: dict[str, np.ndarray | None] = dict.fromkeys(rows)
    self.tells = tells
    self.fuser = fuser or Fuser(
      method,
      params,
      seed=config.seed,
      devices=jax.local_devices(),
      keep=keep,
      tile=config.tile,
      overlap=config.overlap,
      programs=kept,
      compiling=_say_compiling,
      shard_image=config.shard_image,
    )
    self.ready = time.monotonic()  # when the devices had last finished a batch
    self.versions = ledger.versions()
    self.pairs: dict[str, Pair] = {}  # that are read, computed or written
    self.logged = 0  # of the report's failures
    self.under_way: collections.deque[Future] = collections.deque()
    self.facts = Facts()

  def fuse(self, todo: Agenda | Sequence[Pair], *, ahead: int) -> None:
    config, report, fuser = self.config, self.report, self.fuser
    start, before, compiling = time.monotonic(), len(report.failed), fuser.compile_seconds
    self._tell_failures()
    stream = batches(
      self._due(todo),
      batch_size=self._batch_size,
      bucket=config.bucket,
      failed=report.failed,
      ahead=ahead,
      in_order=True,
      load=load_pair if config.restorer is None else config.restorer.load,
    )
    with (
      Progress(len(todo)) as progress,
      ThreadPoolExecutor(_WRITERS) as writers,
      contextlib.closing(stream),
      stopped_by_signal() as stopped,
    ):
      try:
        for batch in stream:
          for pair in batch.pairs:
            self.facts.add(pair)
          self.under_way.append(
            writers.submit(self._finish, batch, fuser.begin(batch.images, batch.ids), time.monotonic())
          )
          self._count(leave=0 if stopped.is_set() else _IN_FLIGHT)
          self._tell_failures()
          progress.at(report.done + len(report.failed) - before, compiling=fuser.compile_seconds)
          if stopped.is_set():
            break
      finally:
        self._count(leave=0)  # also where reading met a fault: what was computed is written
        self._tell_failures()
        progress.at(report.done + len(report.failed) - before)
    report.stopped_by = stopped.by
    report.left = len(todo) - report.done - (len(report.failed) - before)
    report.notes += self.facts.lines(config, fuser.notes) if self.tells else fuser.notes
    report.compile_seconds, report.programs = fuser.compile_seconds, fuser.programs
    report.seconds = time.monotonic() - start - (fuser.compile_seconds - compiling)
    rows = [row for row in self.rows.values() if row is not None]
    if rows and (not report.skipped or not (config.out / "report" / "contact_sheet.png").exists()):
      sheet.try_write(config.out / "report" / "contact_sheet.png", rows, report.notes)

  def _due(self, todo: Agenda | Sequence[Pair]) -> Iterator[Pair]:
    for pair in todo:
      self.pairs[pair.name] = pair
      yield pair

  def _tell_failures(self) -> None:
    new = self.report.failed[self.logged :]
    for failure in new:
      if isinstance(failure, faults.Failure):
        self.pairs.pop(failure.pair, None)
    _log_failures(new, self.log, self.identity)
    self.logged += len(new)

  def _batch_size(self, shape: tuple[int, int, int]) -> int:
    # Nothing else runs while a program is compiled: the memory that is free and the seconds that it takes are its own.
    self._count(leave=0)
    return self.fuser.plan(shape, batch_size=self.config.batch_size).batch

  def _count(self, *, leave: int) -> None:
    """Takes note of the batches that are written, waiting until at most `leave` are not."""
    while self.under_way and (len(self.under_way) > leave or self.under_way[0].done()):
      done, failed = self.under_way.popleft().result()
      self.report.done += done
      self.report.failed += failed

  def _finish(self, batch: Batch, result, begun: float) -> tuple[int, list[str]]:
    """Waits for a batch, writes it. Returns how many pairs are done, and a line for each other one."""
    try:
      fused, (weights, steps, curves, found) = self.fuser.finish(batch.images, batch.ids, result)
    except jax.errors.JaxRuntimeError as error:
      figures = self.fuser.figures(batch.images.shape)
      return 0, [faults.failure(pair.name, error, **figures) for pair in batch.pairs]
    now = time.monotonic()
    seconds = (now - max(begun, self.ready)) / len(batch.pairs)
    self.ready = now
    tile = self.fuser.tile(batch.images.shape)
    shown = self.config.maps or any(pair.name in self.rows for pair in batch.pairs)
    kept, curves, found = jax.device_get(((weights, steps) if shown else None, curves, found))
    done, failed = 0, []
    for i, pair in enumerate(batch.pairs):
      try:
        own = jax.tree.map(lambda leaf, i=i: leaf[i], (kept, curves))
        if "noise" in found:
          self.facts.noise[pair.name] = found["noise"][i]
        if "contradiction" in found:
          self.facts.contradictions[pair.name] = float(found["contradiction"][i])
        self._write(pair, fused[i], *own, seconds, tile)
        done += 1
      except Exception as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in _HOPELESS:
          raise
        why = str(error) if isinstance(error, UserError) else (
          f"{pair.name}: expected to write its results, found {one_line(error)}; run the same command again")
        failed.append(faults.Failure(pair.name, "unwritten", why))
    return done, failed

  def _coloured(self, pair: LoadedPair, image: np.ndarray) -> np.ndarray:
    """With the colours of --colormap, where its source has none of its own."""
    if self.config.colormap is None:
      return image
    source, name = self.config.colormap
    number = self.config.sources.index(source)
    if pair.is_colour[number]:
      self.facts.coloured.add(pair.name)
      return image
    area = pair.areas[number]
    area = None if area is None or not area.any() or area.shape != image.shape[:2] else area
    return overlay.laid_over(image, pair.sources[number], name, area)

  def _write(self, pair: LoadedPair, fused: np.ndarray, kept, curves, seconds: float, tile: int) -> None:
    config, facts, size = self.config, self.facts, pair.sources.shape[1:3]
    image = crop(fused, size)
    if not any(pair.is_colour):
      image = image[..., :1]
    image = self._coloured(pair, image)
    path = config.out / f"{pair.name}.png"
    # Asked again: since the start it may have changed.
    known = is_free(path) or self.index is not None and (
      is_own(path, self.index.rows([pair.name]).get(pair.name, ()), self.index))
    bit_depth = config.bit_depth or max(pair.bit_depths)
    if config.maps:
      files.write_maps(config, pair.name, crop(kept[0], size), pair.moved)
      if config.conditions:
        with sheet.for_show(pair.name, self.report.notes):
          files.write_selection(config, pair.name, kept[1])
    celsius = {}
    if config.temperatures:
      celsius = {"celsius": files.write_temperatures(config, pair.name, pair)}
      self.facts.celsius[pair.name] = celsius["celsius"]
    own = dict(zip(config.sources, pair.kept, strict=False)).get(config.described_by, NOTHING)
    write_png(path, image, bit_depth=bit_depth, known=known, kept=own)  # last: whoever finds it finds the rest
    if pair.name in self.rows:
      with sheet.for_show(f"contact sheet, {pair.name}", self.report.notes):
        self.rows[pair.name] = sheet.row(files.tiles(config, pair, image, crop(kept[0], size)))
    self.log.append({
      "id": pair.name,
      "seed": config.seed,
      "fingerprint": self.identity.fingerprint,
      "sha256": ledger.file_hash(path),
      "bytes": path.stat().st_size,
      "size": size,
      **_told(config.sources, pair),
      **({"noise": np.round(127.5 * facts.noise[pair.name], 2).tolist()} if pair.name in facts.noise else {}),
      **({"contradiction": round(facts.contradictions[pair.name], 3)} if pair.name in facts.contradictions else {}),
      "tile": tile,
      **({"maps": True} if config.maps else {}),
      **celsius,
      "seconds": round(seconds, 3),
      "device": self.fuser.devices[0].device_kind,
      "versions": self.versions,
      **({"curves": files.rounded(curves)} if curves else {}),
      "sources": ledger.source_bytes(self.pairs.pop(pair.name)),
      "weights": self.identity.weights,
      "flags": self.identity.flags,
    })
