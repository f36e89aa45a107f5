"""python -m convert.drfusion: see dig2dig_jax/porting/drfusion.py, or --help."""

import sys

from dig2dig_jax.porting.drfusion import main

if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
