"""python -m tests.fuzz --cases=20000 [--suite=images] [--seed=0] [--processes=2] [--case=17]"""

import argparse
import collections
import pathlib
import sys
import tempfile
import time

from . import Result, run, run_case, suites


def main() -> int:
  parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Mutated input, many cases of it.")
  parser.add_argument("--suite", choices=suites(), help="one suite; all by default")
  parser.add_argument("--cases", type=int, default=20000, help="cases of each suite")
  parser.add_argument("--seed", type=int, default=0)
  parser.add_argument("--processes", type=int, default=2)
  parser.add_argument("--case", type=int, help="this case alone, in this process; its files are kept")
  flags = parser.parse_args()
  if flags.case is not None:
    if flags.suite is None:
      parser.error("--case needs --suite")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="fuzz-"))
    print(f"files of the case: {folder}")
    print(run_case(flags.suite, flags.seed, flags.case, folder))
    return 0
  return max(_run(suite, flags) for suite in ([flags.suite] if flags.suite else suites()))


def _run(suite, flags) -> int:
  began = shown = time.monotonic()

  def progress(result):
    nonlocal shown
    if time.monotonic() - shown > 20:
      shown = time.monotonic()
      print(f"{suite}: {result.outcomes.total()} of {flags.cases} cases, {len(result.failures)} failures, "
            f"{shown - began:.0f} s", flush=True)

  result = run(suite, range(flags.cases), seed=flags.seed, processes=flags.processes, progress=progress)
  _report(suite, flags.seed, result, time.monotonic() - began)
  return 1 if result.failures else 0


def _report(suite: str, seed: int, result: Result, seconds: float):
  ends = collections.Counter()
  table = collections.defaultdict(collections.Counter)
  for outcome, count in result.outcomes.items():
    kind, arrow, end = outcome.rpartition(" -> ")
    ends[end] += count
    if arrow:
      table[kind][end] += count
  print(f"{suite}: {result.outcomes.total()} cases of seed {seed} in {seconds:.0f} s: "
        + ", ".join(f"{count} {end}" for end, count in ends.most_common()))
  for kind in sorted(table):
    print(f"  {kind:28}" + ", ".join(f"{count} {end}" for end, count in table[kind].most_common()))
  print("  slowest: " + ", ".join(f"{s:.2f} s (case {case})" for s, case in result.slowest))
  print("  largest above the start: " + ", ".join(f"{n >> 20} MB (case {case})" for n, case in result.largest))
  print(f"  {len(result.printed)} cases in which a C library wrote to standard error"
        + "".join(f", such as case {case}: {text.splitlines()[0][:90]}" for case, text in
                  list(result.printed.items())[:1]))
  print(f"  {len(result.failures)} failures")
  for case, failure in sorted(result.failures):
    print(f"  case {case}: {failure.strip()}\n    again: python -m tests.fuzz --suite={suite} --seed={seed} "
          f"--case={case}")


if __name__ == "__main__":
  sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))  # as pytest has it: suites import its helpers
  sys.exit(main())
