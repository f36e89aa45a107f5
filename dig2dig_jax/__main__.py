"""python -m dig2dig_jax: the command `dig2dig`."""

import sys

from dig2dig_jax.cli.main import main

if __name__ == "__main__":
  sys.exit(main())
