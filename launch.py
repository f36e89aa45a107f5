"""python launch.py --flagfile=vif.flags --data=FOLDER --out=FOLDER, or --help: the command `dig2dig` in flags."""

import sys

try:  # the libraries take seconds, in which a user may think again
  from dig2dig_jax.cli.launcher import main, parse, start
except KeyboardInterrupt:
  print("stopped", file=sys.stderr)
  sys.exit(130)

__all__ = ["main", "parse"]

if __name__ == "__main__":
  start()
