"""The fuse job: every pair of a data set through one compiled method, written as PNG, each pair once.

A rerun skips what is done (`ledger`); processes share the pairs without talking to each other (`shares`). How the pairs
that are left become images is `streaming`'s.
"""

import dataclasses
from collections.abc import Iterator

import jax

from dig2dig_jax.data import ranges
from dig2dig_jax.errors import UserError
from dig2dig_jax.files import sweep, taken
from dig2dig_jax.fusing import faults, files, ledger, outputs, sharded, shares
from dig2dig_jax.fusing.agenda import Agenda
from dig2dig_jax.fusing.config import FuseConfig, FuseReport
from dig2dig_jax.fusing.engines import Engine, Work, collect
from dig2dig_jax.fusing.ledger_index import Index
from dig2dig_jax.fusing.processes import ALONE, Place
from dig2dig_jax.fusing.streaming import Run, log_failures, programs, say
from dig2dig_jax.methods.base import Method
from dig2dig_jax.methods.cost import evaluations
from dig2dig_jax.record import make_folder
from dig2dig_jax.restoration.restorer import Restorer
from dig2dig_jax.stores import path as store_path

SHEET_ROWS = 12
_AHEAD = 8  # pairs per device that are read in advance, or two batches, and
_AHEAD_PIXELS = 2**26  # pixels of all of them at most


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
    agenda = Agenda(config, pairs, place, prepare, index, run_identity, say=say)
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
        log_failures(report.failed, log, run_identity)
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
  """own: this process's devices fuse; those of an engine's workers are in the lines of their pairs."""
  run = {"fingerprint": identity.fingerprint, "sources": config.sources, "seed": config.seed,
         "versions": ledger.versions(), "weights": identity.weights, "flags": identity.flags}  # fmt: skip
  if own:
    run["device"], figures = jax.local_devices()[0].device_kind, {"devices": jax.local_device_count(), **figures}
  log.begin(run, process=place.process, processes=place.processes, **figures)


def _ahead(config: FuseConfig, agenda: Agenda) -> int:
  """How many pairs are read in advance: two batches for every device, as far as the largest images allow."""
  if isinstance(config.restorer, Restorer):
    return 0  # restoring asks for the devices that fuse
  count = max(_AHEAD, 2 * config.batch_size) * jax.local_device_count()
  return max(1, min(count, _AHEAD_PIXELS // max(1, agenda.largest)))
