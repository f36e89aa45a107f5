"""python -m convert.lpips: see dig2dig_jax/porting/lpips.py, or --help."""

import sys

from dig2dig_jax.porting.lpips import main

if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
