"""What did a command take? Runs it as its only child and writes seconds and peak memory: `meter.py REPORT WORD ...`.

A process of its own, and a small one: Linux counts the memory of the process that starts another to that other's peak,
and a process with JAX in it has a gigabyte. Only the standard library, and nothing of this package.
"""

import json
import os
import subprocess
import sys
import time


def main(report: str, words: list[str]) -> int:
  start = time.monotonic()
  try:
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL)
  except OSError as error:
    print(f"{words[0]}: {error.strerror}", file=sys.stderr)
    return 127
  _, status, usage = os.wait4(process.pid, 0)
  seconds = time.monotonic() - start
  peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
  found = {"seconds": seconds, "cpu_seconds": usage.ru_utime + usage.ru_stime, "peak_bytes": peak}
  with open(report, "w", encoding="utf-8") as file:
    json.dump(found, file)
  return os.waitstatus_to_exitcode(status) % 256


if __name__ == "__main__":
  sys.exit(main(sys.argv[1], sys.argv[2:]))
