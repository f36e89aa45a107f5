"""python launch.py --flagfile=vif.flags --data=FOLDER --out=FOLDER, or --help: the command `dig2dig` in flags."""

from dig2dig_jax.cli.interrupt import ends_at_once

with ends_at_once():  # the libraries take seconds, in which a user may think again
  from dig2dig_jax.cli.launcher import main, parse, start

__all__ = ["main", "parse"]

if __name__ == "__main__":
  start()
