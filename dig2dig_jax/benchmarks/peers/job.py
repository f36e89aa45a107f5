"""How do all peers stand on a folder of pairs? Fused one after another on the same cores, then scored by `evaluate`."""

import fnmatch
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from dig2dig_jax.benchmarks.pairs import spread
from dig2dig_jax.benchmarks.peers import builtin, measure, spec, stage, table
from dig2dig_jax.benchmarks.peers.measure import Cost
from dig2dig_jax.benchmarks.peers.spec import Peer
from dig2dig_jax.data import guess
from dig2dig_jax.data.datasets import DataConfig
from dig2dig_jax.errors import UserError
from dig2dig_jax.evaluation import fused
from dig2dig_jax.record import make_folder, write_text


class Report(NamedTuple):
  """text: the tables in Markdown. left_out: a line per file without a partner. failed: per peer that could not fuse,
  which is left out, and per pair. notes: what is not installed, and signs of a mishap in the images."""

  text: str
  left_out: list[str]
  failed: list[str]
  notes: list[str]


def run(
  data: DataConfig,
  out: Path,
  *,
  place: Path | None = None,
  keep: Sequence[str] = (),
  protocol: str = "panel",
  limit: int = 0,
  tell: Callable[[str], None] = lambda line: None,
) -> Report:
  """Fuses the pairs of `data` by this project and every peer, and scores all. Images go to `out`/images/PEER, costs to
  `out`/costs.json, scores to `out`/scores.* and summary.*, the tables to `out`/peers.md.

  place: TOML file or folder of checkouts (`spec.read`), None for those that need none. keep: peers to run by name, *
  for any letters; this project always runs. limit: pairs, spread evenly; 0 takes all. UserError where the peers or the
  pairs cannot be read, or two sources are not given."""
  if len(data.sources) != 2:
    raise UserError(f"--table=peers: expected two sources, found {len(data.sources)}; add --sources=FIRST,SECOND")
  own, notes = builtin.peers()
  peers = own + (spec.read(place) if place else [])
  names = [peer.name for peer in peers]
  if twice := [name for name in names if names.count(name) > 1]:
    raise UserError(f"--peers={place}: expected distinct names, found {twice[0]} twice; rename that table")
  for pattern in keep:
    if not fnmatch.filter(names, pattern):
      raise UserError(f"--rows={pattern}: expected peers among {'; '.join(names)}")
  found = guess.by_names(data.sources)
  if found is None:
    raise UserError(f"--sources={','.join(data.sources)}: expected names that identify the task, e.g. ir,vi, "
                    "mri,pet, a,b or under,over; rename the folders")
  peers = [peer for peer in spec.for_task(peers, found.task)
           if peer.name == builtin.OURS or not keep or any(fnmatch.fnmatchcase(peer.name, one) for one in keep)]
  pairs, left_out = data.find()
  pairs = spread(pairs, limit)
  make_folder(out)
  failed: list[str] = []
  ordered = [data.sources[k] for k in found.order]
  with tempfile.TemporaryDirectory() as folder:
    staged = stage.write(pairs, ordered, Path(folder) / "pairs", failed)
    alone = stage.first(staged, Path(folder) / "first")
    costs = _fused(peers, staged, alone, found.task, out, failed, tell)
  scored = fused.run({name: out / "images" / name for name in costs}, data, out, protocol=protocol, pairs=pairs)
  licences = {peer.name: peer.licence for peer in peers if peer.name in costs}
  text = table.markdown(scored.comparison, scored.scores, costs, licences)
  text += f"* seconds: on {len(os.sched_getaffinity(0))} CPU cores, start and loading in them, one peer after another\n"
  write_text(out / "peers.md", text)
  return Report(text, left_out, failed + scored.failed, notes + [*scored.comparison.notes, *scored.notes])


def _fused(peers: Sequence[Peer], staged, alone, task: str, out: Path, failed: list[str], tell) -> dict[str, Cost]:
  costs: dict[str, Cost] = {}
  for peer in peers:
    tell(f"{peer.name}: fusing {len(staged.numbers)} pairs")
    try:
      costs[peer.name] = measure.fuse(peer, staged, alone, task, out / "images" / peer.name)
    except UserError as error:
      if peer.name == builtin.OURS:
        raise
      failed.append(f"{error}; left out")
      continue
    # After every peer: what ran stays on record where a later one is ended.
    write_text(out / "costs.json", json.dumps({name: cost._asdict() for name, cost in costs.items()}, indent=1) + "\n")
  return costs
