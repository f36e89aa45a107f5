"""python -m convert.verify: see dig2dig_jax/porting/verify.py, or --help."""

import sys

from dig2dig_jax.porting.verify import main

if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
