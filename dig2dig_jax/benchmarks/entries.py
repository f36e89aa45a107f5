"""A benchmark that others can enter: frozen pairs (by SHA-256), one protocol, a page made from committed score files.

  python -m dig2dig_jax.benchmarks.entries freeze ROOT vif/tno:ir,vi mff/mffw:a,b > docs/entries/pairs.json
  python -m dig2dig_jax.benchmarks.entries score vif/tno ROOT/vif/tno MyMethod=FUSED -o docs/entries
  python -m dig2dig_jax.benchmarks.entries page docs/entries > docs/benchmark_entries.md

`score` refuses pairs that are not the frozen ones and folders that lack one of them.
"""

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dig2dig_jax import escape, metrics
from dig2dig_jax.benchmarks import command
from dig2dig_jax.benchmarks.peers.table import rank_biserial, tally
from dig2dig_jax.data.datasets import DataConfig
from dig2dig_jax.data.pairs import Pair
from dig2dig_jax.errors import UserError
from dig2dig_jax.evaluation import compare, fused
from dig2dig_jax.evaluation.compare_table import from_plain, number, plain
from dig2dig_jax.evaluation.scores import measures_version
from dig2dig_jax.record import make_folder, write_text

PAIRS = "pairs.json"
PROTOCOL = "panel"
_DIGITS = 6  # of a committed score: more than any table prints

Frozen = dict[str, Any]  # {"sources": [...], "pairs": {name: {source: SHA-256}}}


def frozen(data: Path, sources: Sequence[str]) -> Frozen:
  """The list of a folder of pairs: names and the SHA-256 of each file, no image."""
  pairs, _ = DataConfig(data, tuple(sources)).find_files()
  return {"sources": list(sources), "pairs": {pair.name: _hashes(pair) for pair in pairs}}


def _hashes(pair: Pair) -> dict[str, str]:
  return {source: hashlib.sha256(path.read_bytes()).hexdigest() for source, path in pair.files.items()}


def check(data: Path, listed: Frozen) -> None:
  """UserError unless a folder's pairs are the frozen ones: all of them, no other, and each file to the bit."""
  found = frozen(data, listed["sources"])["pairs"]
  if strange := sorted(found.keys() ^ listed["pairs"].keys()):
    what = "it is not on the list" if strange[0] in found else "it is missing"
    count = len(listed["pairs"])
    raise UserError(f"{data}: expected the {count} frozen pairs, found {len(found)}; {strange[0]}: {what}")
  for name, own in found.items():
    if own != listed["pairs"][name]:
      source = next(source for source in own if own[source] != listed["pairs"][name][source])
      raise UserError(f"{data}: expected the frozen file of {name} in {source}, found another; unpack the data again")


def score(
  name: str, listed: Frozen, data: Path, folders: Mapping[str, Path], out: Path, kept: Path | None = None
) -> list[Path]:
  """Scores folders of fused images {method: folder} of all pairs of a list, and the plain fusions, by PROTOCOL;
  writes `out`/SET/METHOD.json for each. kept: folder of an earlier run on the same folders, as `--table=peers` writes
  it, whose scores are taken where they still hold, and whose summary is written anew. UserError for other pairs, and
  where a fused image is missing."""
  check(data, listed)
  with tempfile.TemporaryDirectory() as scratch:
    place = Path(scratch) if kept is None else kept
    found = fused.run(folders, DataConfig(data, tuple(listed["sources"])), place, protocol=PROTOCOL)
  if found.failed:
    raise UserError(found.failed[0])
  folder = out / name.replace("/", "_")
  make_folder(folder)
  written = []
  for method, rows in found.scores.items():
    entry = {"set": name, "method": method, "protocol": PROTOCOL, "measures": measures_version(),
             "scores": {image: {one: _rounded(value) for one, value in row.items()}
                        for image, row in zip(found.comparison.images, rows, strict=True)}}  # fmt: skip
    written.append(folder / f"{method.replace('/', '_')}.json")
    write_text(written[-1], _text(entry), known=_is_entry(written[-1], name, method))
  return written


def _text(entry: Mapping[str, Any]) -> str:
  """JSON with a line per image."""
  rows = ",\n".join(f"  {json.dumps(image)}: {json.dumps(row)}" for image, row in entry["scores"].items())
  fields = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in entry.items() if key != "scores"]
  return "{\n" + ",\n".join([*fields, f' "scores": {{\n{rows}\n }}']) + "\n}\n"


def _is_entry(path: Path, name: str, method: str) -> bool:
  """Whether a file is an older entry of this set and method, which came with a checkout and may be replaced."""
  try:
    found = json.loads(path.read_text(encoding="utf-8"))
  except (OSError, ValueError):
    return False
  return isinstance(found, dict) and (found.get("set"), found.get("method")) == (name, method)


def _rounded(value: float) -> float | str | None:
  found = plain(value)
  return round(found, _DIGITS) if isinstance(found, float) else found


def page(folder: Path) -> str:
  """docs/benchmark_entries.md, of the list and the score files in a folder. UserError for a file that is no entry."""
  lists = json.loads((folder / PAIRS).read_text(encoding="utf-8"))
  text = _HEAD
  for name, listed in lists.items():
    files = sorted((folder / name.replace("/", "_")).glob("*.json"))
    text += f"\n## {name}\n\n{len(listed['pairs'])} pairs, sources {' and '.join(listed['sources'])}\n\n"
    text += _table([_entry(path, listed) for path in files]) if files else "No entry yet.\n"
  return text


def _entry(path: Path, listed: Frozen) -> dict[str, Any]:
  try:
    entry = json.loads(path.read_text(encoding="utf-8"))
    same = entry["scores"].keys() == listed["pairs"].keys() and entry["protocol"] == PROTOCOL
  except (ValueError, KeyError, TypeError, AttributeError) as error:
    raise UserError(f"{path}: expected scores that `entries score` wrote, found {type(error).__name__}") from error
  if not same:
    raise UserError(f"{path}: expected scores of the {len(listed['pairs'])} frozen pairs by {PROTOCOL}, found others")
  return entry


def _table(entries: Sequence[Mapping[str, Any]]) -> str:
  names = metrics.PROTOCOLS[PROTOCOL]
  # Pairs in one order everywhere: what is tested is the difference on each.
  scores = {entry["method"]: {name: np.array([from_plain(row[name]) for _, row in sorted(entry["scores"].items())])
                              for name in names} for entry in entries}  # fmt: skip
  better = {name: metrics.METRICS[name].higher_is_better for name in names}
  ranks = compare.mean_ranks(scores, better)
  heads = [f"{escape.markdown(name)} {'↑' if better[name] else '↓'}" for name in names]
  first = min(ranks, key=lambda method: ranks[method])
  tests = compare.differences(scores, first)
  rows = []
  for method in sorted(scores, key=lambda method: ranks[method]):
    means = [number(compare.summarise(scores[method][name]).mean) for name in names]
    own = ["–", "–"] if method == first else _against(scores, tests, better, first, method)
    rows.append([escape.markdown(method), *means, f"{ranks[method]:.2f}", *own])
  return escape.table(["method", *heads, "mean rank ↓", "first better/worse", "mean r"], rows)


def _against(scores: compare.Scores, tests, better: Mapping[str, bool], first: str, method: str) -> list[str]:
  effects = {name: rank_biserial((scores[first][name] - scores[method][name]) * (1 if higher else -1))
             for name, higher in better.items()}  # fmt: skip
  won, lost = tally(effects, {name: tests[name][method].adjusted for name in better})
  defined = [r for r in effects.values() if np.isfinite(r)]
  return [f"{won}/{lost}", number(float(np.mean(defined))) if defined else "–"]


_HEAD = """# Benchmark entries

By `python -m dig2dig_jax.benchmarks.entries page docs/entries`, from the score files in `docs/entries`. The pairs are
frozen: `docs/entries/pairs.json` has their names and the SHA-256 of every file. It has no images, which are their
authors'.

**Protocol.** All pairs of a set, at the sources' size; fused images of 8 bits with the sources' names, PNG. Measures of
`panel` (`docs/evaluation.md`), of gray images, means over the pairs. The mean rank is over the measures and the rows of
the table; it changes with every entry. Rows of plain fusions and copies of the sources are for scale. The last two
columns hold a row against the first by mean rank: on how many measures the first is better and worse at p < 0.05
(Wilcoxon's signed-rank test over the pairs, by Holm over the rows), and the matched-pairs rank-biserial correlation,
mean over the measures: 1 where the first is better on every pair. Say which pairs the settings of a method were chosen
on.

**To enter.** Fuse the pairs with your program, then

<!-- not run: reads folders of other commands -->
```sh
python -m dig2dig_jax.benchmarks.entries score vif/tno data/vif/tno "My method=FOLDER" -o docs/entries
python -m dig2dig_jax.benchmarks.entries page docs/entries > docs/benchmark_entries.md
```

(`--kept=OUT` takes the scores of a run of `--table=peers`, whose images are in `OUT/images`, where they still hold)
and send both files, with the place of your code and its licence. Pairs that differ from the list in a bit are refused,
and so is a folder that lacks one. Seconds and memory beside the scores: `docs/peers.md`.
"""


def main(words: Sequence[str]) -> int:
  parser = argparse.ArgumentParser(prog="python -m dig2dig_jax.benchmarks.entries", description=__doc__)
  commands = parser.add_subparsers(dest="command", required=True)
  freeze = commands.add_parser("freeze")
  freeze.add_argument("root", type=Path)
  freeze.add_argument("sets", nargs="+", metavar="SET:SOURCE,SOURCE")
  scored = commands.add_parser("score")
  scored.add_argument("set")
  scored.add_argument("data", type=Path)
  scored.add_argument("fused", nargs="+", metavar="NAME=FOLDER")
  scored.add_argument("-o", "--out", type=Path, default=Path("docs/entries"))
  scored.add_argument("--kept", type=Path, help="folder of an earlier run, whose scores are used where valid")
  shown = commands.add_parser("page")
  shown.add_argument("folder", type=Path)
  asked = parser.parse_args(words)
  return command.status(lambda: _asked(asked))


def _asked(asked: argparse.Namespace) -> str:
  if asked.command == "freeze":
    lists = {name: frozen(asked.root / name, sources.split(","))
             for name, _, sources in (text.partition(":") for text in asked.sets)}  # fmt: skip
    return json.dumps(lists, indent=1) + "\n"
  if asked.command == "page":
    return page(asked.folder)
  lists = json.loads((asked.out / PAIRS).read_text(encoding="utf-8"))
  if asked.set not in lists:
    raise UserError(f"{asked.set}: expected a set among {', '.join(lists)}")
  folders = command.named_folders(asked.fused)
  written = score(asked.set, lists[asked.set], asked.data, folders, asked.out, asked.kept)
  return "".join(f"{path}\n" for path in written)


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
