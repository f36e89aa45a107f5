"""python -m convert.full_size: see dig2dig_jax/benchmarks/full_size.py, or --help."""

import sys

from dig2dig_jax.benchmarks.full_size import main

if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
